//! CPUs, memory, clock and disk, and what a container leaves of them.

use indicatif::{BinaryBytes, HumanCount};

use super::{Finding, Host, Needs};
use crate::limits::{
    DISK_AVAILABLE_BYTES_MIN, DISK_AVAILABLE_BYTES_WANTED, KERNEL_BYTES_PER_SOCKET, MEMORY_PERCENT_MAX,
    USER_BYTES_PER_SOCKET,
};
use crate::plan::{FIXED_BYTES, cpu_quota, fixed_bytes_per_shard, memory_limit, shards_for, slots_per_shard};

pub(super) fn checks(host: &Host, needs: Needs) -> Vec<Finding> {
    vec![
        cpus(host),
        quota(host),
        governor(host),
        isolation(host),
        memory(host, needs),
        memory_group(host),
        overcommit(host),
        huge_pages(host),
        clock(host),
        disk(host),
    ]
}

const NOT_TOLD: &str = "not told";

fn cpus(host: &Host) -> Finding {
    const NAME: &str = "CPUs";
    let cpus = &host.machine.cpus;
    let value = format!("{} ({cpus})", cpus.len());
    if cpus.len() > 1 {
        return Finding::ok(NAME, value);
    }
    let cost = "shards, hub and webhooks take turns on it: each event waits for a time slice";
    Finding::warn(NAME, value, cost, "give the process two CPUs or more (taskset, the container's cpuset)")
}

/// A container's share of CPU time (`cpu.max`).
fn quota(host: &Host) -> Finding {
    const NAME: &str = "CPU quota";
    match cpu_quota(&host.root) {
        None => Finding::ok(NAME, "none"),
        Some(quota) if quota >= host.machine.cpus.len() as f64 => Finding::ok(NAME, format!("{quota:.1} CPUs")),
        Some(quota) => Finding::warn(
            NAME,
            format!("{quota:.1} CPUs of {}", host.machine.cpus.len()),
            "a shard that has used up the share stops for the rest of each 100 ms period",
            "lift the control group's CPU quota (cpu.max, --cpus of the container) and bind CPUs by cpuset instead",
        ),
    }
}

fn governor(host: &Host) -> Finding {
    const NAME: &str = "CPU governor";
    let governor_of = |cpu: &usize| host.text(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"));
    let mut governors: Vec<String> = host.machine.cpus.as_slice().iter().filter_map(governor_of).collect();
    governors.sort();
    governors.dedup();
    let value = governors.join(", ");
    match value.as_str() {
        "" => Finding::ok(NAME, "none: the clock is not this kernel's to set"),
        "performance" => Finding::ok(NAME, value),
        _ => Finding::warn(
            NAME,
            value,
            "the first event after a quiet spell waits until the CPU's clock has risen",
            "cpupower frequency-set -g performance",
        ),
    }
}

/// Told because it explains latencies; being without isolated CPUs is no fault.
fn isolation(host: &Host) -> Finding {
    const NAME: &str = "isolated CPUs";
    match host.text("sys/devices/system/cpu/isolated").as_deref() {
        None => Finding::ok(NAME, NOT_TOLD),
        Some("") => Finding::ok(NAME, "none"),
        Some(cpus) => Finding::ok(NAME, cpus),
    }
}

fn memory(host: &Host, needs: Needs) -> Finding {
    const NAME: &str = "memory";
    let descriptors = host.limit("Max open files").map_or(host.machine.descriptors_max, |limit| limit.hard);
    let shards = shards_for(needs.sockets, descriptors);
    // A table of descriptors is as long as the limit allows, however few sockets come.
    let fixed = shards.saturating_mul(fixed_bytes_per_shard(slots_per_shard(descriptors))) + FIXED_BYTES;
    let wanted = needs.sockets.saturating_mul(USER_BYTES_PER_SOCKET + KERNEL_BYTES_PER_SOCKET).saturating_add(fixed);
    let available = host.machine.memory_available_bytes;
    let value = format!(
        "{} available, {} for {} sockets",
        BinaryBytes(available),
        BinaryBytes(wanted),
        HumanCount(needs.sockets)
    );
    let remedy = "free or add memory (or raise the container's limit), or plan for fewer sockets";
    if wanted > available {
        Finding::bad(NAME, value, "the kernel kills the process before all sockets are connected", remedy)
    } else if wanted > available / 100 * MEMORY_PERCENT_MAX {
        Finding::warn(NAME, value, "little is left for the page cache that resuming sessions read from", remedy)
    } else {
        Finding::ok(NAME, value)
    }
}

/// Told because the figure above already counts it.
fn memory_group(host: &Host) -> Finding {
    const NAME: &str = "memory limit";
    match memory_limit(&host.root) {
        None => Finding::ok(NAME, "none"),
        Some(group) => {
            let (max, used) = (BinaryBytes(group.max_bytes), BinaryBytes(group.used_bytes));
            Finding::ok(NAME, format!("{max} for the control group, {used} used"))
        }
    }
}

/// 2: the kernel counts what is only reserved (Documentation/mm/overcommit-accounting.rst).
fn overcommit(host: &Host) -> Finding {
    const NAME: &str = "vm.overcommit_memory";
    match host.text("proc/sys/vm/overcommit_memory").as_deref() {
        None => Finding::ok(NAME, NOT_TOLD),
        Some("2") => Finding::warn(
            NAME,
            "2",
            "tables that are as long as the limit on open files count in full, and a start or a thread may be refused memory",
            "sysctl -w vm.overcommit_memory=0",
        ),
        Some(value) => Finding::ok(NAME, value),
    }
}

/// Told because it explains latencies of other programs; the server declines them for itself when it starts.
fn huge_pages(host: &Host) -> Finding {
    const NAME: &str = "huge pages";
    let Some(modes) = host.text("sys/kernel/mm/transparent_hugepage/enabled") else {
        return Finding::ok(NAME, NOT_TOLD);
    };
    let chosen = modes.split(['[', ']']).nth(1).unwrap_or(&modes);
    Finding::ok(NAME, format!("{chosen} for the machine; the server declines them"))
}

/// The shards read the clock several times a pass; these sources can be read without a system call.
fn clock(host: &Host) -> Finding {
    const NAME: &str = "clock";
    const FAST: [&str; 5] =
        ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "riscv_clocksource"];
    let path = "sys/devices/system/clocksource/clocksource0/current_clocksource";
    match host.text(path) {
        None => Finding::ok(NAME, NOT_TOLD),
        Some(source) if FAST.contains(&source.as_str()) => Finding::ok(NAME, source),
        Some(source) => Finding::warn(
            NAME,
            source,
            "every reading of the clock is a system call of a microsecond or more",
            format!("boot with clocksource=tsc tsc=reliable, or write one of `available_clocksource` to /{path}"),
        ),
    }
}

fn disk(host: &Host) -> Finding {
    const NAME: &str = "disk";
    let Some(available) = host.probed.disk_available_bytes else { return Finding::ok(NAME, NOT_TOLD) };
    let value = format!("{} free at the data directory", BinaryBytes(available));
    let remedy = "free some, or point --data-dir to a larger disk";
    if available < DISK_AVAILABLE_BYTES_MIN {
        Finding::bad(NAME, value, "the journal fills the disk within minutes, and publishing stops", remedy)
    } else if available < DISK_AVAILABLE_BYTES_WANTED {
        Finding::warn(NAME, value, "the journal keeps only a short stretch of events to resume from", remedy)
    } else {
        Finding::ok(NAME, value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::super::host::tests::{FakeHost, sound};
    use super::*;

    #[test]
    fn a_quota_below_the_cpus_is_a_warning() {
        let FakeHost { host, files } = sound();
        files.write("proc/self/cgroup", "0::/\n");
        for (text, status) in
            [("400000 100000", Status::Ok), ("399000 100000", Status::Warn), ("max 100000", Status::Ok)]
        {
            files.write("sys/fs/cgroup/cpu.max", text);
            assert_eq!(quota(&host).status, status, "{text}");
        }
    }

    #[test]
    fn memory_is_compared_with_what_the_sockets_take() {
        let FakeHost { mut host, files: _files } = sound();
        let status = |host: &Host, sockets| memory(host, Needs { sockets }).status;
        host.machine.memory_available_bytes = 1 << 30;
        assert_eq!(status(&host, 100_000), Status::Ok);
        assert_eq!(status(&host, 220_000), Status::Warn);
        assert_eq!(status(&host, 300_000), Status::Bad);
    }

    #[test]
    fn one_slow_governor_among_fast_ones_is_told() {
        let FakeHost { host, files } = sound();
        assert_eq!(governor(&host).status, Status::Ok);
        files.write("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n");
        assert_eq!(governor(&host).status, Status::Warn);
        assert_eq!(governor(&host).value, "performance, powersave");
    }

    #[test]
    fn a_small_disk_warns_and_a_full_one_fails() {
        let FakeHost { mut host, files: _files } = sound();
        for (bytes, status) in [(3 << 30, Status::Ok), (1 << 30, Status::Warn), (1 << 20, Status::Bad)] {
            host.probed.disk_available_bytes = Some(bytes);
            assert_eq!(disk(&host).status, status, "{bytes}");
        }
    }
}
