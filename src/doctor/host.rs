//! The machine under examination: its `/proc` and `/sys` below a root, and what was found by trying.

use std::fs;
use std::path::{Path, PathBuf};

use super::Probed;
use crate::plan::{Machine, MachineError};

/// One machine. `root` is `/` but in tests.
#[derive(Debug)]
pub struct Host {
    pub root: PathBuf,
    pub machine: Machine,
    pub probed: Probed,
}

/// One line of `/proc/self/limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    /// `u64::MAX` where it is unlimited.
    pub soft: u64,
    pub hard: u64,
}

/// The bit of CAP_IPC_LOCK in a capability mask (capabilities(7)).
const CAP_IPC_LOCK: u32 = 14;

impl Host {
    /// This machine, with `data_dir` as the place where the journal would lie.
    pub fn this(data_dir: &Path) -> Result<Self, MachineError> {
        let root = PathBuf::from("/");
        let machine = Machine::read(&root)?;
        Ok(Self { root, machine, probed: Probed::try_out(data_dir) })
    }

    /// The trimmed text of a file below the root.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let text = fs::read_to_string(self.root.join(path)).ok()?;
        Some(text.trim().to_owned())
    }

    /// The number that a file holds.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The numbers that a file holds, where there are exactly `N`.
    pub(super) fn numbers<const N: usize>(&self, path: &str) -> Option<[u64; N]> {
        let numbers: Option<Vec<u64>> = self.text(path)?.split_whitespace().map(|word| word.parse().ok()).collect();
        numbers?.try_into().ok()
    }

    /// A line of `/proc/self/limits`, such as `Max open files            20000                20000                files`.
    pub(super) fn limit(&self, name: &str) -> Option<Limit> {
        let limits = self.text("proc/self/limits")?;
        let mut words = limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace();
        let mut bound = || match words.next()? {
            "unlimited" => Some(u64::MAX),
            number => number.parse().ok(),
        };
        Some(Limit { soft: bound()?, hard: bound()? })
    }

    /// A value of `/proc/self/status`.
    pub(super) fn status(&self, key: &str) -> Option<String> {
        let status = self.text("proc/self/status")?;
        let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        Some(value.trim().to_owned())
    }

    /// Whether locked memory isn't counted for this process.
    pub(super) fn may_lock_any_memory(&self) -> bool {
        let mask = self.status("CapEff").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
        mask.is_some_and(|mask| mask & (1 << CAP_IPC_LOCK) != 0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::fake_root::FakeRoot;
    use crate::ring::probe::{Unsupported, check_release};

    /// A host together with the directory that it reads.
    pub struct FakeHost {
        pub host: Host,
        pub files: FakeRoot,
    }

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max open files            1024                 262144               files     
Max locked memory         unlimited            unlimited            bytes     
";

    fn machine(cpus: &str, available_bytes: u64, tcp_mem_pages: Option<[u64; 3]>) -> Machine {
        Machine {
            cpus: cpus.parse().expect(cpus),
            descriptors_max: 1024,
            memory_total_bytes: available_bytes,
            memory_available_bytes: available_bytes,
            tcp_mem_pages,
            page_bytes: 4096,
        }
    }

    fn able() -> Probed {
        let release = "6.18.44-generic".to_owned();
        Probed { release, ring: Ok(()), hand_over: Ok(()), disk_available_bytes: Some(100 << 30) }
    }

    /// Nothing is short for 100,000 sockets.
    pub fn sound() -> FakeHost {
        let files = FakeRoot::new(&[
            ("proc/self/limits", LIMITS),
            ("proc/self/status", "Seccomp:\t0\nCapEff:\t0000000000000000\n"),
            ("proc/sys/kernel/io_uring_disabled", "0\n"),
            ("proc/sys/fs/file-max", "2466177\n"),
            ("proc/sys/fs/file-nr", "484\t0\t2466177\n"),
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "8192\n"),
            ("proc/sys/net/core/netdev_max_backlog", "8192\n"),
            ("proc/sys/vm/overcommit_memory", "0\n"),
            ("proc/sys/net/ipv4/tcp_congestion_control", "cubic\n"),
            ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
            ("proc/sys/net/ipv4/tcp_mem", "287901\t383868\t575802\n"),
            ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "262144\n"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
            ("sys/devices/system/cpu/isolated", "2-3\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
        ]);
        let machine = machine("0-3", 23 << 30, Some([287_901, 383_868, 575_802]));
        FakeHost { host: Host { root: files.path().to_owned(), machine, probed: able() }, files }
    }

    /// Everything is short for 100,000 sockets.
    pub fn starved() -> FakeHost {
        let limits = LIMITS.replace("262144", "256   ").replace("unlimited", "65536    ");
        let files = FakeRoot::new(&[
            ("proc/self/limits", &limits),
            ("proc/self/status", "Seccomp:\t2\nCapEff:\t0000000000000000\n"),
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/cpu.max", "50000 100000\n"),
            ("proc/sys/kernel/io_uring_disabled", "2\n"),
            ("proc/sys/fs/file-max", "50000\n"),
            ("proc/sys/fs/file-nr", "484\t0\t50000\n"),
            ("proc/sys/net/core/somaxconn", "128\n"),
            ("proc/sys/net/ipv4/tcp_max_syn_backlog", "128\n"),
            ("proc/sys/net/core/netdev_max_backlog", "1000\n"),
            ("proc/sys/vm/overcommit_memory", "2\n"),
            ("proc/sys/net/ipv4/tcp_wmem", "4096\t4194304\t4194304\n"),
            ("proc/sys/net/ipv4/tcp_rmem", "4096\t6291456\t6291456\n"),
            ("proc/sys/net/ipv4/ip_local_port_range", "60000\t60999\n"),
            ("proc/sys/net/netfilter/nf_conntrack_max", "65536\n"),
            ("proc/sys/net/netfilter/nf_conntrack_count", "12\n"),
            ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n"),
            ("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n"),
        ]);
        let refused = || std::io::Error::from_raw_os_error(libc::EPERM);
        let probed = Probed {
            release: "5.15.0".to_owned(),
            ring: check_release("5.15.0").map_err(|error| Unsupported::to_string(&error)),
            hand_over: Err(refused().to_string()),
            disk_available_bytes: Some(1 << 20),
        };
        let machine = machine("0", 64 << 20, Some([1_000, 2_000, 3_000]));
        FakeHost { host: Host { root: files.path().to_owned(), machine, probed }, files }
    }

    /// Nothing can be read, but everything that was tried works.
    pub fn empty() -> FakeHost {
        let files = FakeRoot::new(&[]);
        let mut machine = machine("0-3", 23 << 30, None);
        machine.descriptors_max = 20_000;
        let probed = Probed { disk_available_bytes: None, ..able() };
        FakeHost { host: Host { root: files.path().to_owned(), machine, probed }, files }
    }

    #[test]
    fn limits_are_read_by_their_names() {
        let FakeHost { host, files: _files } = sound();
        assert_eq!(host.limit("Max open files"), Some(Limit { soft: 1024, hard: 262_144 }));
        assert_eq!(host.limit("Max locked memory"), Some(Limit { soft: u64::MAX, hard: u64::MAX }));
        assert_eq!(host.limit("Max patience"), None);
    }

    #[test]
    fn a_capability_mask_tells_who_may_lock_memory() {
        let FakeHost { host, files } = sound();
        assert!(!host.may_lock_any_memory());
        files.write("proc/self/status", "CapEff:\t0000000000004000\n");
        assert!(host.may_lock_any_memory());
        files.write("proc/self/status", "CapEff:\tgarbage\n");
        assert!(!host.may_lock_any_memory());
    }

    #[test]
    fn files_of_another_form_read_as_absent() {
        let FakeHost { host, files } = sound();
        assert_eq!(host.numbers::<2>("proc/sys/net/ipv4/ip_local_port_range"), Some([32_768, 60_999]));
        assert_eq!(host.numbers::<3>("proc/sys/net/ipv4/ip_local_port_range"), None);
        files.write("proc/sys/net/core/somaxconn", "many\n");
        assert_eq!(host.number("proc/sys/net/core/somaxconn"), None);
    }
}
