//! The limits on how many sockets there can be, how fast they come, and what they may queue.

use indicatif::{BinaryBytes, HumanCount};

use super::sysctl::{files_wanted, tcp_mem_pages_wanted};
use super::{Finding, Host, Needs};
use crate::limits::{
    LISTEN_BACKLOG_MIN, LOCAL_PORTS_MIN, NETDEV_BACKLOG_MIN, QUEUED_BYTES_PER_SOCKET, SOCKET_BUFFER_DEFAULT_BYTES,
    SOCKET_BUFFER_DEFAULT_BYTES_MAX,
};
use crate::plan::{Plan, Wishes, shards_for, slots_per_shard};

pub(super) fn checks(host: &Host, needs: Needs) -> Vec<Finding> {
    vec![
        open_files(host, needs),
        file_max(host, needs),
        backlog(host, "net.core.somaxconn", "proc/sys/net/core/somaxconn"),
        backlog(host, "net.ipv4.tcp_max_syn_backlog", "proc/sys/net/ipv4/tcp_max_syn_backlog"),
        netdev_backlog(host),
        tcp_mem(host, needs),
        buffers(host, "net.ipv4.tcp_wmem", "proc/sys/net/ipv4/tcp_wmem"),
        buffers(host, "net.ipv4.tcp_rmem", "proc/sys/net/ipv4/tcp_rmem"),
        local_ports(host, needs),
        conntrack(host, needs),
        congestion(host),
    ]
}

const NOT_TOLD: &str = "not told";

/// RLIMIT_NOFILE bounds a ring's table, so it says how many shards the sockets need; those shards need descriptors
/// themselves, which the plan counts.
fn open_files(host: &Host, needs: Needs) -> Finding {
    const NAME: &str = "open files";
    let (soft, hard) = host
        .limit("Max open files")
        .map_or((host.machine.descriptors_max, host.machine.descriptors_max), |limit| (limit.soft, limit.hard));
    let shards = shards_for(needs.sockets, hard);
    let sockets = HumanCount(needs.sockets);
    let value = format!(
        "soft {}, hard {}: {} sockets a shard, {shards} shard{} for {sockets}",
        count(soft),
        count(hard),
        HumanCount(slots_per_shard(hard).into()),
        if shards == 1 { "" } else { "s" },
    );
    // The server raises the soft limit to the hard one when it starts.
    let mut machine = host.machine.clone();
    machine.descriptors_max = hard;
    let wishes = Wishes { shards: Some(usize::try_from(shards).unwrap_or(usize::MAX)), ..Wishes::default() };
    match Plan::new(&machine, &wishes) {
        Ok(_) => Finding::ok(NAME, value),
        Err(error) => Finding::bad(
            NAME,
            value,
            format!("one process can't hold {sockets} sockets: {error}"),
            format!("ulimit -Hn {}, or LimitNOFILE= in the service's unit", needs.sockets.clamp(65_536, 1 << 20)),
        ),
    }
}

/// A socket in a ring has no process descriptor, but is an open file of the machine all the same.
fn file_max(host: &Host, needs: Needs) -> Finding {
    const NAME: &str = "fs.file-max";
    let Some([open, _, max]) = host.numbers::<3>("proc/sys/fs/file-nr") else { return Finding::ok(NAME, NOT_TOLD) };
    let wanted = files_wanted(host, needs);
    let value = format!("{}, {} open", count(max), count(open));
    if wanted <= max {
        return Finding::ok(NAME, value);
    }
    let cost = format!("{} open files are wanted; past the bound no process can open any", count(wanted));
    Finding::bad(NAME, value, cost, format!("sysctl -w fs.file-max={}", wanted.saturating_mul(2)))
}

fn backlog(host: &Host, name: &'static str, path: &str) -> Finding {
    match host.number(path) {
        None => Finding::ok(name, NOT_TOLD),
        Some(value) if value >= LISTEN_BACKLOG_MIN => Finding::ok(name, count(value)),
        Some(value) => Finding::warn(
            name,
            count(value),
            "in a reconnect storm connections are dropped and tried again a second or more later",
            format!("sysctl -w {name}={LISTEN_BACKLOG_MIN}"),
        ),
    }
}

/// Acknowledgements come back from every socket of a fan-out at once.
fn netdev_backlog(host: &Host) -> Finding {
    const NAME: &str = "net.core.netdev_max_backlog";
    match host.number("proc/sys/net/core/netdev_max_backlog") {
        None => Finding::ok(NAME, NOT_TOLD),
        Some(value) if value >= NETDEV_BACKLOG_MIN => Finding::ok(NAME, count(value)),
        Some(value) => Finding::warn(
            NAME,
            count(value),
            "where packets pass from CPU to CPU, those of a burst past the bound are dropped and sent again later",
            format!("sysctl -w {NAME}={NETDEV_BACKLOG_MIN}"),
        ),
    }
}

/// Told because it decides what a loss costs; which one is best depends on the clients' networks.
fn congestion(host: &Host) -> Finding {
    const NAME: &str = "congestion control";
    let Some(control) = host.text("proc/sys/net/ipv4/tcp_congestion_control") else {
        return Finding::ok(NAME, NOT_TOLD);
    };
    let queueing = host.text("proc/sys/net/core/default_qdisc").unwrap_or_else(|| NOT_TOLD.to_owned());
    Finding::ok(NAME, format!("{control}, queueing discipline {queueing}"))
}

/// What all sockets together may queue, compared with one event on its way to each of them.
fn tcp_mem(host: &Host, needs: Needs) -> Finding {
    const NAME: &str = "net.ipv4.tcp_mem";
    let Some(pages) = host.machine.tcp_mem_pages else { return Finding::ok(NAME, NOT_TOLD) };
    let [_, pressure, max] = pages.map(|pages| pages.saturating_mul(host.machine.page_bytes));
    let wanted = needs.sockets.saturating_mul(QUEUED_BYTES_PER_SOCKET);
    let value = format!(
        "pressure from {}, at most {}; {} for one event to each of {} sockets",
        BinaryBytes(pressure),
        BinaryBytes(max),
        BinaryBytes(wanted),
        HumanCount(needs.sockets),
    );
    let remedy = || {
        let [low, pressure, max] = tcp_mem_pages_wanted(host.machine.page_bytes, needs);
        format!("sysctl -w net.ipv4.tcp_mem=\"{low} {pressure} {max}\"")
    };
    if wanted <= pressure {
        Finding::ok(NAME, value)
    } else if wanted <= max {
        Finding::warn(NAME, value, "the kernel shrinks every socket's buffers in the midst of a fan-out", remedy())
    } else {
        Finding::bad(
            NAME,
            value,
            "the kernel refuses to queue an event for all sockets: some wait, some reset",
            remedy(),
        )
    }
}

/// Least, default and most bytes of a socket's buffer.
fn buffers(host: &Host, name: &'static str, path: &str) -> Finding {
    let Some([least, default, most]) = host.numbers::<3>(path) else { return Finding::ok(name, NOT_TOLD) };
    let value = format!("{} by default, at most {}", BinaryBytes(default), BinaryBytes(most));
    if default <= SOCKET_BUFFER_DEFAULT_BYTES_MAX {
        return Finding::ok(name, value);
    }
    let cost = "sockets that stop reading (or are not read) hold that much of the kernel's memory each";
    Finding::warn(name, value, cost, format!("sysctl -w {name}=\"{least} {SOCKET_BUFFER_DEFAULT_BYTES} {most}\""))
}

/// Only clients on this machine need them: each connection takes a port of an address.
fn local_ports(host: &Host, needs: Needs) -> Finding {
    const NAME: &str = "local ports";
    let Some([first, last]) = host.numbers::<2>("proc/sys/net/ipv4/ip_local_port_range") else {
        return Finding::ok(NAME, NOT_TOLD);
    };
    let ports = (last + 1).saturating_sub(first);
    let addresses = needs.sockets.div_ceil(ports.max(1));
    let value = format!("{} an address: a load test from here takes {}", count(ports), plural(addresses, "address"));
    if ports >= LOCAL_PORTS_MIN {
        return Finding::ok(NAME, value);
    }
    let cost = "load tests from this machine spread over many addresses; the server itself is not hurt";
    Finding::warn(NAME, value, cost, "sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"")
}

fn conntrack(host: &Host, needs: Needs) -> Finding {
    const NAME: &str = "conntrack";
    let tracked = host.number("proc/sys/net/netfilter/nf_conntrack_count");
    let (Some(tracked), Some(max)) = (tracked, host.number("proc/sys/net/netfilter/nf_conntrack_max")) else {
        return Finding::ok(NAME, "not loaded");
    };
    let value = format!("{} of {} connections tracked", count(tracked), count(max));
    let wanted = tracked.saturating_add(needs.sockets);
    // A table that tracks nothing is loaded without a rule that uses it.
    if tracked == 0 || wanted <= max {
        return Finding::ok(NAME, value);
    }
    Finding::bad(
        NAME,
        value,
        "once the table is full the firewall drops every new connection",
        format!(
            "sysctl -w net.netfilter.nf_conntrack_max={}, or a NOTRACK rule for the server's port",
            wanted.saturating_mul(2)
        ),
    )
}

fn count(number: u64) -> String {
    if number == u64::MAX { "unlimited".to_owned() } else { HumanCount(number).to_string() }
}

fn plural(number: u64, noun: &str) -> String {
    let ending = match (number, noun.ends_with('s')) {
        (1, _) => "",
        (_, true) => "es",
        (_, false) => "s",
    };
    format!("{} {noun}{ending}", count(number))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::super::host::tests::{FakeHost, sound};
    use super::*;

    #[test]
    fn open_files_say_how_many_shards_the_sockets_take() {
        let FakeHost { host, files } = sound();
        files.write("proc/self/limits", "Max open files  1024  20000  files\n");
        for (sockets, shards) in [(100_000, "5 shards for 100,000"), (1_000_000, "50 shards for 1,000,000")] {
            let finding = open_files(&host, Needs { sockets });
            assert_eq!(finding.status, Status::Ok, "{finding:?}");
            assert!(finding.value.contains(shards) && finding.value.contains("20,000 sockets a shard"), "{finding:?}");
        }
        let finding = open_files(&host, Needs { sockets: 100_000_000 });
        assert_eq!(finding.status, Status::Bad, "{finding:?}");
    }

    #[test]
    fn tcp_mem_warns_at_pressure_and_fails_at_the_maximum() {
        let FakeHost { mut host, files: _files } = sound();
        host.machine.tcp_mem_pages = Some([100, 1_000, 2_000]);
        let status = |sockets| tcp_mem(&host, Needs { sockets }).status;
        assert_eq!([1_000, 1_001, 2_000, 2_001].map(status), [Status::Ok, Status::Warn, Status::Warn, Status::Bad]);
        let remedy = tcp_mem(&host, Needs { sockets: 2_001 }).remedy.expect("a remedy");
        assert!(remedy.ends_with("=\"2001 4002 6003\""), "{remedy}");
    }

    #[test]
    fn the_connection_table_has_to_hold_the_sockets_where_it_is_in_use() {
        let FakeHost { host, files } = sound();
        let status = |sockets| conntrack(&host, Needs { sockets }).status;
        assert_eq!((status(262_132), status(262_133)), (Status::Ok, Status::Bad));
        files.write("proc/sys/net/netfilter/nf_conntrack_count", "0\n");
        assert_eq!(status(262_145), Status::Ok);
    }

    #[test]
    fn open_files_of_the_machine_count_the_sockets_too() {
        let FakeHost { host, files } = sound();
        files.write("proc/sys/fs/file-nr", "1000\t0\t111000\n");
        assert_eq!(file_max(&host, Needs { sockets: 100_000 }).status, Status::Ok);
        assert_eq!(file_max(&host, Needs { sockets: 100_001 }).status, Status::Bad);
        assert!(file_max(&host, Needs { sockets: 100_001 }).remedy.expect("a remedy").contains("fs.file-max="));
    }

    #[test]
    fn absurd_needs_overflow_nothing() {
        let FakeHost { host, files: _files } = sound();
        for finding in checks(&host, Needs { sockets: u64::MAX }) {
            assert!(!finding.value.is_empty());
        }
    }
}
