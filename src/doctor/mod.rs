//! The doctor: what this machine lacks for a number of sockets, what that costs, and how to mend it.
//!
//! ```text
//!   /proc, /sys ──▶ Host ─────┐
//!   trying it out ▶ Probed ───┼──▶ examine ──▶ [Finding] ──▶ Report ──▶ table or JSON
//!   --sockets N ──▶ Needs ────┘──▶ sysctl_file ──▶ /etc/sysctl.d
//! ```
//!
//! [`examine`] looks only at what it is given, so a test can hand it any machine. One file an area: `kernel` holds
//! what the socket plane can't do without, `sockets` the limits on their number, `hardware` CPUs, memory, clock
//! and disk; `sysctl` puts what the machine's settings lack into a file.
//!
//! Invariants:
//! * A check that can't read its source says so and is not counted as short: `/sys` differs between machines.
//! * A finding that isn't `Ok` has a cost and a remedy.

mod hardware;
mod host;
mod kernel;
mod probed;
mod report;
mod sockets;
mod sysctl;

pub use host::Host;
pub use probed::Probed;
pub use report::{Colour, Report};
pub use sysctl::file as sysctl_file;

/// What the machine is to hold.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    pub sockets: u64,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// It works, slower or with less room.
    Warn,
    /// The server doesn't start, or can't hold what was asked for.
    Bad,
}

/// One check's outcome.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    pub name: &'static str,
    pub status: Status,
    /// What was found, in words and figures.
    pub value: String,
    /// What it costs as it is; absent where nothing is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// How to mend it; absent where nothing is short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(name: &'static str, value: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, value: value.into(), cost: None, remedy: None }
    }

    fn warn(name: &'static str, value: impl Into<String>, cost: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (cost, remedy) = (Some(cost.into()), Some(remedy.into()));
        Self { name, status: Status::Warn, value: value.into(), cost, remedy }
    }

    fn bad(name: &'static str, value: impl Into<String>, cost: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Bad, ..Self::warn(name, value, cost, remedy) }
    }
}

/// All checks, in the order in which they are printed.
pub fn examine(host: &Host, needs: Needs) -> Vec<Finding> {
    let areas = [kernel::checks(host, needs), sockets::checks(host, needs), hardware::checks(host, needs)];
    areas.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_short_has_a_cost_and_a_remedy() {
        for host in [host::tests::sound(), host::tests::starved(), host::tests::empty()] {
            for finding in examine(&host.host, Needs { sockets: 100_000 }) {
                let short = finding.status != Status::Ok;
                assert_eq!((finding.cost.is_some(), finding.remedy.is_some()), (short, short), "{finding:?}");
                assert!(!finding.value.is_empty() && !finding.name.is_empty(), "{finding:?}");
            }
        }
    }

    #[test]
    fn a_sound_machine_passes_every_check() {
        let host = host::tests::sound();
        for finding in examine(&host.host, Needs { sockets: 100_000 }) {
            assert_eq!(finding.status, Status::Ok, "{finding:?}");
        }
    }

    #[test]
    fn a_starved_machine_fails_by_name() {
        let host = host::tests::starved();
        let findings = examine(&host.host, Needs { sockets: 100_000 });
        let with = |status| -> Vec<&str> {
            findings.iter().filter(|finding| finding.status == status).map(|finding| finding.name).collect()
        };
        assert_eq!(
            with(Status::Bad),
            [
                "kernel",
                "io_uring",
                "kernel.io_uring_disabled",
                "socket hand-over",
                "memlock",
                "open files",
                "fs.file-max",
                "net.ipv4.tcp_mem",
                "conntrack",
                "memory",
                "disk",
            ]
        );
        assert_eq!(
            with(Status::Warn),
            [
                "seccomp",
                "net.core.somaxconn",
                "net.ipv4.tcp_max_syn_backlog",
                "net.core.netdev_max_backlog",
                "net.ipv4.tcp_wmem",
                "net.ipv4.tcp_rmem",
                "local ports",
                "CPUs",
                "CPU quota",
                "CPU governor",
                "vm.overcommit_memory",
                "clock",
            ]
        );
    }

    #[test]
    fn a_machine_that_shows_nothing_is_not_blamed_for_it() {
        let host = host::tests::empty();
        for finding in examine(&host.host, Needs { sockets: 1_000 }) {
            assert_eq!(finding.status, Status::Ok, "{finding:?}");
        }
    }

    #[test]
    fn this_machine_can_be_examined() {
        let host = Host::this(std::env::temp_dir().as_path()).expect("this machine");
        let findings = examine(&host, Needs { sockets: 1_000 });
        let of = |name| findings.iter().find(|finding| finding.name == name).expect(name);
        assert_eq!(of("io_uring").status, Status::Ok, "{:?}", of("io_uring"));
        assert_eq!(of("socket hand-over").status, Status::Ok, "{:?}", of("socket hand-over"));
    }
}
