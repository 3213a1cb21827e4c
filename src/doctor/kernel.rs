//! What the socket plane can't do without: the kernel, its io_uring, and the permission to use it.

use indicatif::{BinaryBytes, HumanCount};

use super::{Finding, Host, Needs};
use crate::limits::{EXECUTOR_MEMLOCK_BYTES_MIN, RING_BYTES_PER_SHARD};
use crate::plan::shards_for;
use crate::ring::probe::check_release;

pub(super) fn checks(host: &Host, needs: Needs) -> Vec<Finding> {
    vec![release(host), ring(host), disabled(host), hand_over(host), seccomp(host), memlock(host, needs)]
}

const NO_START: &str = "the server does not start";

fn release(host: &Host) -> Finding {
    const NAME: &str = "kernel";
    let release = host.probed.release.clone();
    match check_release(&release) {
        Ok(()) => Finding::ok(NAME, release),
        Err(error) => Finding::bad(NAME, release, NO_START, error.to_string()),
    }
}

fn ring(host: &Host) -> Finding {
    const NAME: &str = "io_uring";
    match &host.probed.ring {
        Ok(()) => Finding::ok(NAME, "can be set up, with every operation needed"),
        Err(error) => Finding::bad(NAME, "can't be used", NO_START, error),
    }
}

/// 0: everyone may; 1: a privileged group; 2: nobody (Documentation/admin-guide/sysctl/kernel.rst, since 6.6).
fn disabled(host: &Host) -> Finding {
    const NAME: &str = "kernel.io_uring_disabled";
    let remedy = "sysctl -w kernel.io_uring_disabled=0";
    match host.number("proc/sys/kernel/io_uring_disabled") {
        None => Finding::ok(NAME, "not there: this kernel can't forbid it"),
        Some(0) => Finding::ok(NAME, "0"),
        Some(1) => {
            let cost = "only root and the group of kernel.io_uring_group may start the server";
            Finding::warn(NAME, "1", cost, format!("{remedy}, or add the server's user to that group"))
        }
        Some(value) => Finding::bad(NAME, value.to_string(), NO_START, remedy),
    }
}

fn hand_over(host: &Host) -> Finding {
    const NAME: &str = "socket hand-over";
    match &host.probed.hand_over {
        Ok(()) => Finding::ok(NAME, "SO_REUSEPORT and direct descriptors work"),
        Err(error) => Finding::bad(
            NAME,
            format!("failed: {error}"),
            "no shard can take a connection",
            "allow SO_REUSEPORT and io_uring_register here (sandbox, seccomp profile, RLIMIT_NOFILE)",
        ),
    }
}

fn seccomp(host: &Host) -> Finding {
    const NAME: &str = "seccomp";
    match (host.status("Seccomp").as_deref(), &host.probed.ring) {
        (None, _) => Finding::ok(NAME, "not told"),
        (Some("0"), _) => Finding::ok(NAME, "off"),
        (Some(_), Ok(())) => Finding::ok(NAME, "a filter that lets io_uring through"),
        (Some(mode), Err(_)) => Finding::warn(
            NAME,
            format!("mode {mode}: a filter is in force"),
            "it may be what keeps io_uring from being set up",
            "run with a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register",
        ),
    }
}

/// Rings and registered buffers count as locked memory for whoever lacks CAP_IPC_LOCK; the executors' own floor is for all.
fn memlock(host: &Host, needs: Needs) -> Finding {
    const NAME: &str = "memlock";
    let Some(limit) = host.limit("Max locked memory") else { return Finding::ok(NAME, "not told") };
    if limit.soft < EXECUTOR_MEMLOCK_BYTES_MIN {
        let remedy =
            "ulimit -l unlimited, LimitMEMLOCK=infinity in the service's unit, or --ulimit memlock=-1 for a container";
        return Finding::bad(NAME, BinaryBytes(limit.soft).to_string(), NO_START, remedy);
    }
    if host.may_lock_any_memory() {
        return Finding::ok(NAME, "not counted for this process (CAP_IPC_LOCK)");
    }
    if limit.soft == u64::MAX {
        return Finding::ok(NAME, "unlimited");
    }
    let descriptors = host.limit("Max open files").map_or(host.machine.descriptors_max, |files| files.hard);
    let shards = shards_for(needs.sockets, descriptors);
    let wanted = shards * RING_BYTES_PER_SHARD;
    let value = BinaryBytes(limit.soft).to_string();
    if limit.soft >= wanted {
        return Finding::ok(NAME, value);
    }
    Finding::warn(
        NAME,
        value,
        format!(
            "rings of {} shards may want {}, and are refused past the limit",
            HumanCount(shards),
            BinaryBytes(wanted)
        ),
        format!("ulimit -l {}, or LimitMEMLOCK= in the service's unit", wanted / 1024),
    )
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::{FakeHost, sound};
    use super::super::{Needs, Status};
    use super::*;

    #[test]
    fn a_ring_for_a_group_only_is_a_warning_and_for_nobody_is_bad() {
        let FakeHost { host, files } = sound();
        for (text, status) in [("0\n", Status::Ok), ("1\n", Status::Warn), ("2\n", Status::Bad)] {
            files.write("proc/sys/kernel/io_uring_disabled", text);
            assert_eq!(disabled(&host).status, status, "{text}");
        }
    }

    #[test]
    fn a_filter_is_suspected_only_where_the_ring_failed() {
        let FakeHost { mut host, files } = sound();
        files.write("proc/self/status", "Seccomp:\t2\n");
        assert_eq!(seccomp(&host).status, Status::Ok);
        host.probed.ring = Err("forbidden".to_owned());
        assert_eq!(seccomp(&host).status, Status::Warn);
    }

    #[test]
    fn locked_memory_counts_by_shards_unless_privileged() {
        let FakeHost { host, files } = sound();
        let limits = "Max open files  1000  1000  files\nMax locked memory  1048576  1048576  bytes\n";
        files.write("proc/self/limits", limits);
        assert_eq!(memlock(&host, Needs { sockets: 1_000 }).status, Status::Ok);
        let short = memlock(&host, Needs { sockets: 1_001 });
        assert_eq!(short.status, Status::Warn);
        assert!(short.remedy.expect("a remedy").contains("ulimit -l 2048"));
        files.write("proc/self/status", "CapEff:\t000001fffeffffff\n");
        assert_eq!(memlock(&host, Needs { sockets: 1_001 }).status, Status::Ok);
    }

    #[test]
    fn too_little_locked_memory_for_an_executor_is_bad_whatever_the_capabilities() {
        let FakeHost { host, files } = sound();
        for capabilities in ["CapEff:\t0000000000000000\n", "CapEff:\t000001fffeffffff\n"] {
            files.write("proc/self/status", capabilities);
            files.write("proc/self/limits", "Max locked memory  524287  524287  bytes\n");
            assert_eq!(memlock(&host, Needs { sockets: 1 }).status, Status::Bad, "{capabilities}");
            files.write("proc/self/limits", "Max locked memory  524288  524288  bytes\n");
            assert_ne!(memlock(&host, Needs { sockets: 1 }).status, Status::Bad, "{capabilities}");
        }
    }
}
