//! The control group's bounds on memory and CPU time, both versions of the hierarchy.
//!
//! A process sees its group in `/proc/self/cgroup`. In a container that path may not exist under `/sys/fs/cgroup`
//! (the mount shows another root), so the search climbs from the path to the mount and takes the tightest bound.

use std::fs;
use std::path::{Path, PathBuf};

/// The memory bound of the tightest group around this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupMemory {
    pub max_bytes: u64,
    /// What the group uses and could not give back (page cache that is easy to drop isn't counted).
    pub used_bytes: u64,
}

impl CgroupMemory {
    pub fn available_bytes(&self) -> u64 {
        self.max_bytes.saturating_sub(self.used_bytes)
    }
}

/// The tightest memory bound, where there is one. `root` is `/` but in tests.
pub fn memory_limit(root: &Path) -> Option<CgroupMemory> {
    groups(root, "memory")
        .filter_map(|group| match group {
            Group::V2(path) => Some(CgroupMemory {
                max_bytes: number(&path.join("memory.max"))?,
                used_bytes: used(&path, "memory.current", "inactive_file"),
            }),
            Group::V1(path) => Some(CgroupMemory {
                // Version 1 writes "no bound" as the largest page-aligned number.
                max_bytes: number(&path.join("memory.limit_in_bytes")).filter(|&bytes| bytes < 1 << 62)?,
                used_bytes: used(&path, "memory.usage_in_bytes", "total_inactive_file"),
            }),
        })
        .min_by_key(CgroupMemory::available_bytes)
}

/// The CPU time that the group may use, in CPUs (1.5: one and a half), where it is bounded.
pub fn cpu_quota(root: &Path) -> Option<f64> {
    groups(root, "cpu")
        .filter_map(|group| {
            let (quota, period) = match group {
                Group::V2(path) => {
                    let text = fs::read_to_string(path.join("cpu.max")).ok()?;
                    let (quota, period) = text.trim().split_once(' ')?;
                    (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?)
                }
                // No bound is -1 there, which is no u64.
                Group::V1(path) => (number(&path.join("cpu.cfs_quota_us"))?, number(&path.join("cpu.cfs_period_us"))?),
            };
            (period > 0).then(|| quota as f64 / period as f64)
        })
        .min_by(f64::total_cmp)
}

enum Group {
    V1(PathBuf),
    V2(PathBuf),
}

/// The groups around this process that `controller` may bound, innermost first.
fn groups(root: &Path, controller: &str) -> impl Iterator<Item = Group> {
    let mount = root.join("sys/fs/cgroup");
    let listing = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in listing.lines() {
        // hierarchy-ID:controller-list:path (cgroups(7)); version 2 has an empty controller list.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        if controllers.is_empty() {
            found.extend(upwards(&mount, path).map(Group::V2));
        } else if controllers.split(',').any(|name| name == controller) {
            for name in [controllers, controller] {
                found.extend(upwards(&mount.join(name), path).map(Group::V1));
            }
        }
    }
    found.into_iter()
}

/// `mount/a/b`, `mount/a`, `mount`.
fn upwards(mount: &Path, group: &str) -> impl Iterator<Item = PathBuf> {
    // A group outside the namespace's root is shown with `..`; nothing of it is visible here.
    let inside = if group.contains("..") { "" } else { group.trim_start_matches('/') };
    Path::new(inside).ancestors().map(|path| mount.join(path)).collect::<Vec<_>>().into_iter()
}

fn used(group: &Path, usage_file: &str, droppable_key: &str) -> u64 {
    let usage = number(&group.join(usage_file)).unwrap_or(0);
    let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let droppable = stat
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(key, _)| *key == droppable_key))
        .and_then(|(_, bytes)| bytes.trim().parse::<u64>().ok())
        .unwrap_or(0);
    usage.saturating_sub(droppable)
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::fake_root::FakeRoot;
    use super::*;

    #[test]
    fn version_2_takes_the_tightest_group_on_the_way_up() {
        let root = FakeRoot::new(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/memory.current", "600\n"),
            ("sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 500\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"),
            ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
        ]);
        let memory = memory_limit(root.path()).expect("a bound");
        assert_eq!(memory, CgroupMemory { max_bytes: 1000, used_bytes: 100 });
        assert_eq!(memory.available_bytes(), 900);
        assert_eq!(cpu_quota(root.path()), Some(1.5));
    }

    #[test]
    fn version_1_reads_its_own_names_and_its_own_unbounded() {
        let root = FakeRoot::new(&[
            ("proc/self/cgroup", "4:memory:/box\n2:cpu,cpuacct:/\n0::/\n"),
            ("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "5000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!(memory_limit(root.path()), Some(CgroupMemory { max_bytes: 5000, used_bytes: 0 }));
        assert_eq!(cpu_quota(root.path()), Some(0.5));
    }

    #[test]
    fn no_group_and_no_bound_are_none() {
        for files in [
            vec![],
            vec![("proc/self/cgroup", "2:cpu:/\n"), ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")],
            vec![("proc/self/cgroup", "garbage\n0::/../../x\n"), ("sys/fs/cgroup/cpu.max", "max 0\n")],
            vec![("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "5 0\n")],
        ] {
            let root = FakeRoot::new(&files);
            assert_eq!((memory_limit(root.path()), cpu_quota(root.path())), (None, None), "{files:?}");
        }
    }
}
