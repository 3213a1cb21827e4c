//! What the plan has to know of the machine, read once at start.

use std::path::Path;
use std::{fs, io};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity};

use super::{CpuList, memory_limit};
use crate::limits::CPU_NUMBER_MAX;

/// The machine as this process sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The CPUs that this process may run on (`sched_getaffinity`).
    pub cpus: CpuList,
    /// RLIMIT_NOFILE, soft; `u64::MAX` where there is none.
    pub descriptors_max: u64,
    /// The machine's memory, or the control group's where that is less.
    pub memory_total_bytes: u64,
    /// What can be taken without swapping, within the control group.
    pub memory_available_bytes: u64,
    /// `net.ipv4.tcp_mem`: no pressure below the first, pressure from the second, refusal at the third.
    pub tcp_mem_pages: Option<[u64; 3]>,
    pub page_bytes: u64,
}

/// Why the machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    #[error("can't learn which CPUs this process may use (sched_getaffinity: {source}): name them with --cpus")]
    Affinity { source: io::Error },
    #[error("can't read {path}: {source}: mount /proc where this process sees it")]
    Unreadable { path: String, source: io::Error },
    #[error("{path} has no line `{key}`: mount the kernel's own /proc where this process sees it")]
    Missing { path: String, key: &'static str },
}

impl Machine {
    /// Reads limits and affinity of this process, and memory from `root` (`/` but in tests).
    pub fn read(root: &Path) -> Result<Self, MachineError> {
        let affinity = sched_getaffinity(None).map_err(|source| MachineError::Affinity { source: source.into() })?;
        let none = || MachineError::Affinity { source: io::Error::other("an empty mask") };
        let cpus = CpuList::of((0..=CPU_NUMBER_MAX.min(CpuSet::MAX_CPU - 1)).filter(|&cpu| affinity.is_set(cpu)))
            .ok_or_else(none)?;

        let path = root.join("proc/meminfo");
        let shown = || path.display().to_string();
        let meminfo = fs::read_to_string(&path).map_err(|source| MachineError::Unreadable { path: shown(), source })?;
        let kilobytes = |key| kilobytes_of(&meminfo, key).ok_or_else(|| MachineError::Missing { path: shown(), key });
        let (mut total, mut available) = (kilobytes("MemTotal")? * 1024, kilobytes("MemAvailable")? * 1024);
        if let Some(group) = memory_limit(root) {
            total = total.min(group.max_bytes);
            available = available.min(group.available_bytes());
        }

        Ok(Self {
            cpus,
            descriptors_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            memory_total_bytes: total,
            memory_available_bytes: available,
            tcp_mem_pages: tcp_mem_of(root),
            page_bytes: rustix::param::page_size() as u64,
        })
    }

    /// What all TCP sockets of the machine may have queued together.
    pub fn tcp_queue_bytes_max(&self) -> Option<u64> {
        self.tcp_mem_pages.map(|[_, _, max]| max.saturating_mul(self.page_bytes))
    }
}

/// Raises this process's soft RLIMIT_NOFILE to the hard one. Every shard's descriptor table is bounded by the soft
/// limit, and what starts a service seldom sets it. Returns the limit in force (`u64::MAX`: none).
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

/// Keeps this process's memory in pages of the usual size (`PR_SET_THP_DISABLE`, Linux 3.15). The allocator asks for transparent huge
/// pages, and the first touch of one clears 2 MiB: an event behind it waits for milliseconds on a virtual machine, for a tenth
/// of one on others, and a server that was just started takes 30 MiB more than it needs.
pub fn decline_huge_pages() -> io::Result<()> {
    Ok(nix::sys::prctl::set_thp_disable(true)?)
}

/// `MemTotal:       24684092 kB`
fn kilobytes_of(meminfo: &str, key: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}

fn tcp_mem_of(root: &Path) -> Option<[u64; 3]> {
    let text = fs::read_to_string(root.join("proc/sys/net/ipv4/tcp_mem")).ok()?;
    let pages: Vec<u64> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
    pages.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::fake_root::FakeRoot;
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684092 kB\nMemFree:        14761340 kB\nMemAvailable:   24101824 kB\n";

    #[test]
    fn memory_and_tcp_mem_are_read_in_bytes_and_pages() {
        let root =
            FakeRoot::new(&[("proc/meminfo", MEMINFO), ("proc/sys/net/ipv4/tcp_mem", "287901\t383868\t575802\n")]);
        let machine = Machine::read(root.path()).expect("a machine");
        assert_eq!(machine.memory_total_bytes, 24_684_092 * 1024);
        assert_eq!(machine.memory_available_bytes, 24_101_824 * 1024);
        assert_eq!(machine.tcp_mem_pages, Some([287_901, 383_868, 575_802]));
        assert_eq!(machine.tcp_queue_bytes_max(), Some(575_802 * machine.page_bytes));
    }

    #[test]
    fn a_control_group_takes_the_place_of_a_larger_machine() {
        let root = FakeRoot::new(&[
            ("proc/meminfo", MEMINFO),
            ("proc/self/cgroup", "0::/box\n"),
            ("sys/fs/cgroup/box/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/box/memory.current", "73741824\n"),
        ]);
        let machine = Machine::read(root.path()).expect("a machine");
        assert_eq!(machine.memory_total_bytes, 1 << 30);
        assert_eq!(machine.memory_available_bytes, 1_000_000_000);
        assert_eq!(machine.tcp_mem_pages, None);
    }

    #[test]
    fn a_strange_proc_is_an_error_that_names_the_file() {
        let message = Machine::read(FakeRoot::new(&[]).path()).expect_err("no meminfo").to_string();
        assert!(message.contains("proc/meminfo"), "{message}");
        let root = FakeRoot::new(&[("proc/meminfo", "MemTotal: 5 kB\n")]);
        let message = Machine::read(root.path()).expect_err("no MemAvailable").to_string();
        assert!(message.contains("MemAvailable"), "{message}");
    }

    #[test]
    fn this_machine_can_be_read() {
        let machine = Machine::read(Path::new("/")).expect("this machine");
        assert!(machine.cpus.len() >= 1 && machine.descriptors_max > 0);
        assert!(machine.memory_available_bytes <= machine.memory_total_bytes);
    }
}
