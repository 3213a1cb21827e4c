//! A file for `/etc/sysctl.d`: every setting that the server's sockets depend on, with its reason.
//!
//! What the machine has enough of stands there as it is: the file takes nothing back from what else runs there, and made again
//! it is the same, also where an earlier one is what made the machine so. The wants are those of the checks, so whoever follows
//! the file passes them (a test holds that). A setting that this kernel does not have is left out.

use std::fmt::Write as _;

use indicatif::HumanCount;

use super::{Host, Needs};
use crate::limits::{
    LISTEN_BACKLOG_MIN, NETDEV_BACKLOG_MIN, QUEUED_BYTES_PER_SOCKET, SOCKET_BUFFER_DEFAULT_BYTES,
    SOCKET_BUFFER_DEFAULT_BYTES_MAX, SYSTEM_FILES_RESERVED,
};

/// One setting of the file.
struct Setting {
    key: &'static str,
    now: String,
    /// What it should be instead; `None` where there is enough.
    wanted: Option<String>,
    why: &'static str,
}

/// The file's text.
pub fn file(host: &Host, needs: Needs) -> String {
    let mut text = format!(
        "# For {} sockets of Stentor: put this into /etc/sysctl.d/80-stentor.conf, then run `sysctl --system`.\n",
        HumanCount(needs.sockets)
    );
    for Setting { key, now, wanted, why } in settings(host, needs) {
        let told = if wanted.is_some() { format!("Now: {now}.") } else { "Enough as it is.".to_owned() };
        let value = wanted.unwrap_or(now);
        writeln!(text, "\n# {why} {told}\n{key} = {value}").expect("a String takes everything");
    }
    text.push_str(LOSSY_NETWORKS);
    text
}

/// No measurement of ours is behind it, so it is left to whoever knows the clients.
const LOSSY_NETWORKS: &str = "
# A choice: for clients on lossy networks BBR with fair queueing keeps streams flowing where CUBIC slows down at each loss.
#net.core.default_qdisc = fq
#net.ipv4.tcp_congestion_control = bbr
";

fn settings(host: &Host, needs: Needs) -> Vec<Setting> {
    let settings = [
        at_least(
            host,
            "net.core.somaxconn",
            LISTEN_BACKLOG_MIN,
            "Connections that wait to be accepted: a reconnect storm brings thousands at once.",
        ),
        at_least(
            host,
            "net.ipv4.tcp_max_syn_backlog",
            LISTEN_BACKLOG_MIN,
            "The same of those whose handshake is under way.",
        ),
        at_least(
            host,
            "net.core.netdev_max_backlog",
            NETDEV_BACKLOG_MIN,
            "Packets that wait for a CPU: every socket of a fan-out acknowledges it.",
        ),
        files(host, needs),
        tcp_mem(host, needs),
        buffers(host, "net.ipv4.tcp_wmem"),
        buffers(host, "net.ipv4.tcp_rmem"),
        io_uring(host),
        overcommit(host),
        conntrack(host, needs),
    ];
    settings.into_iter().flatten().collect()
}

fn path(key: &str) -> String {
    format!("proc/sys/{}", key.replace('.', "/"))
}

/// A setting as it is, its numbers a blank apart.
fn now(host: &Host, key: &str) -> Option<String> {
    Some(host.text(&path(key))?.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn at_least(host: &Host, key: &'static str, least: u64, why: &'static str) -> Option<Setting> {
    let enough = host.number(&path(key))? >= least;
    Some(Setting { key, now: now(host, key)?, wanted: (!enough).then(|| least.to_string()), why })
}

/// Twice what is open then, as other programs grow, too.
fn files(host: &Host, needs: Needs) -> Option<Setting> {
    let [_, _, max] = host.numbers::<3>("proc/sys/fs/file-nr")?;
    let wanted = files_wanted(host, needs);
    Some(Setting {
        key: "fs.file-max",
        now: max.to_string(),
        wanted: (wanted > max).then(|| wanted.saturating_mul(2).to_string()),
        why: "Open files of the machine: a socket is one, also where no process has a descriptor of it.",
    })
}

fn tcp_mem(host: &Host, needs: Needs) -> Option<Setting> {
    let words = |[low, pressure, max]: [u64; 3]| format!("{low} {pressure} {max}");
    let now = host.machine.tcp_mem_pages?;
    let wanted = tcp_mem_pages_wanted(host.machine.page_bytes, needs);
    Some(Setting {
        key: "net.ipv4.tcp_mem",
        now: words(now),
        wanted: (wanted[0] > now[1]).then(|| words(wanted)),
        why: "Pages that all sockets together may queue: one event on its way to each of them has to stay below the second number.",
    })
}

fn buffers(host: &Host, key: &'static str) -> Option<Setting> {
    let [least, default, most] = host.numbers::<3>(&path(key))?;
    let enough = default <= SOCKET_BUFFER_DEFAULT_BYTES_MAX;
    Some(Setting {
        key,
        now: now(host, key)?,
        wanted: (!enough).then(|| format!("{least} {SOCKET_BUFFER_DEFAULT_BYTES} {most}")),
        why: "Least, default and most bytes of a socket's buffer: the default is what one that is not read may hold.",
    })
}

fn io_uring(host: &Host) -> Option<Setting> {
    let key = "kernel.io_uring_disabled";
    let now = now(host, key)?;
    let wanted = (now != "0").then(|| "0".to_owned());
    Some(Setting { key, now, wanted, why: "Without io_uring the server does not start." })
}

fn overcommit(host: &Host) -> Option<Setting> {
    let key = "vm.overcommit_memory";
    let now = now(host, key)?;
    let wanted = (now == "2").then(|| "0".to_owned());
    let why = "Tables are as long as the limit on open files allows, and mostly never touched: 2 counts all of them.";
    Some(Setting { key, now, wanted, why })
}

/// Only where connections are tracked.
fn conntrack(host: &Host, needs: Needs) -> Option<Setting> {
    let tracked = host.number("proc/sys/net/netfilter/nf_conntrack_count").filter(|tracked| *tracked > 0)?;
    let max = host.number("proc/sys/net/netfilter/nf_conntrack_max")?;
    let wanted = tracked.saturating_add(needs.sockets);
    Some(Setting {
        key: "net.netfilter.nf_conntrack_max",
        now: max.to_string(),
        wanted: (wanted > max).then(|| wanted.saturating_mul(2).to_string()),
        why: "Connections that the firewall tracks: with a full table it drops every new one. A NOTRACK rule for the port is better.",
    })
}

/// Files that are open in the machine once all sockets are.
pub(super) fn files_wanted(host: &Host, needs: Needs) -> u64 {
    let open = host.numbers::<3>("proc/sys/fs/file-nr").map_or(0, |[open, _, _]| open);
    open.saturating_add(needs.sockets).saturating_add(SYSTEM_FILES_RESERVED)
}

/// Low, pressure and most: one event to each socket, and twice and three times that.
pub(super) fn tcp_mem_pages_wanted(page_bytes: u64, needs: Needs) -> [u64; 3] {
    let bytes = needs.sockets.saturating_mul(QUEUED_BYTES_PER_SOCKET);
    [1, 2, 3].map(|times: u64| bytes.saturating_mul(times).div_ceil(page_bytes.max(1)))
}

#[cfg(test)]
mod tests {
    use super::super::host::tests::{FakeHost, empty, sound, starved};
    use super::super::{Status, examine};
    use super::*;

    const NEEDS: Needs = Needs { sockets: 100_000 };

    /// The lines that are in force.
    fn in_force(text: &str) -> Vec<(&str, &str)> {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(|line| line.split_once(" = ").expect("a setting")).collect()
    }

    #[test]
    fn a_machine_that_follows_the_file_passes_every_check_of_a_sysctl_and_gets_the_same_file_again() {
        let FakeHost { mut host, files } = starved();
        let text = file(&host, NEEDS);
        let settings = in_force(&text);
        assert_eq!((settings.len(), text.matches("Enough").count()), (10, 0), "{text}");
        for (key, value) in &settings {
            files.write(&path(key), &format!("{value}\n"));
            match *key {
                "fs.file-max" => files.write("proc/sys/fs/file-nr", &format!("484\t0\t{value}\n")),
                "net.ipv4.tcp_mem" => {
                    let pages: Vec<u64> = value.split(' ').map(|pages| pages.parse().expect("a number")).collect();
                    host.machine.tcp_mem_pages = Some(pages.try_into().expect("three"));
                }
                _ => {}
            }
        }
        let checks = examine(&host, NEEDS);
        let of_sysctls = ["net.", "fs.", "vm.", "kernel.", "conntrack"];
        let short: Vec<_> = checks
            .iter()
            .filter(|check| of_sysctls.iter().any(|area| check.name.starts_with(area)) && check.status != Status::Ok)
            .collect();
        assert!(short.is_empty(), "{short:?}");
        let again = file(&host, NEEDS);
        assert_eq!((in_force(&again), again.matches("Enough").count()), (settings, 10));
    }

    #[test]
    fn what_there_is_enough_of_stays_as_it_is() {
        let FakeHost { host, files } = sound();
        files.write("proc/sys/net/core/somaxconn", "65535\n");
        let text = file(&host, NEEDS);
        assert_eq!(text.matches("Now:").count(), 0, "{text}");
        let settings = in_force(&text);
        assert!(settings.contains(&("net.core.somaxconn", "65535")), "{text}");
        assert!(settings.contains(&("net.ipv4.tcp_mem", "287901 383868 575802")), "{text}");
        assert!(settings.contains(&("net.ipv4.tcp_wmem", "4096 16384 4194304")), "{text}");
        assert!(!settings.iter().any(|(key, _)| key.contains("congestion")), "that is a choice");
    }

    #[test]
    fn a_setting_that_a_machine_does_not_have_is_left_out() {
        let FakeHost { host, files: _files } = empty();
        let text = file(&host, NEEDS);
        assert_eq!(in_force(&text), [], "{text}");
    }

    #[test]
    fn more_sockets_want_more_and_absurdly_many_overflow_nothing() {
        let FakeHost { host, files: _files } = sound();
        assert!(in_force(&file(&host, Needs { sockets: 10_000_000 })).len() >= 3);
        file(&host, Needs { sockets: u64::MAX });
    }
}
