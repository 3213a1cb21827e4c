//! What `/proc` tells of a server process and of the kernel's sockets.

use std::collections::BTreeMap;
use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All resident pages.
    pub rss_bytes: u64,
    /// Those that are its own data: no program text, no files.
    pub anonymous_bytes: u64,
    /// The most that was resident since it began.
    pub peak_bytes: u64,
}

/// `/proc/net/sockstat`: every TCP socket of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TcpMemory {
    pub sockets: u64,
    /// Bytes in socket buffers; what `net.ipv4.tcp_mem` bounds. The sockets themselves are not in it.
    pub buffer_bytes: u64,
}

const PAGE_BYTES: u64 = 4096;

pub fn memory(pid: u32) -> io::Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_status(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/status has no VmRSS")))
}

/// How many descriptors a process has open. Sockets that only a ring knows (direct descriptors) are not among them.
pub fn descriptors(pid: u32) -> io::Result<u64> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64)
}

pub fn tcp_memory() -> Option<TcpMemory> {
    parse_sockstat(&std::fs::read_to_string("/proc/net/sockstat").ok()?)
}

/// Bytes that the kernel holds in slab caches, which is where sockets live.
pub fn slab_bytes() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "Slab:")
}

/// CPU time of all living threads of a process, user and system, in nanoseconds.
pub fn cpu_ns(pid: u32) -> io::Result<u64> {
    Ok(thread_times(pid)?.0.values().map(|thread| thread.cpu_ns).sum())
}

/// CPU times of a process's threads at one moment, by thread id.
#[derive(Clone, Debug, Default)]
pub struct ThreadTimes(BTreeMap<u32, ThreadTime>);

#[derive(Clone, Debug)]
struct ThreadTime {
    name: String,
    cpu_ns: u64,
}

pub fn thread_times(pid: u32) -> io::Result<ThreadTimes> {
    let mut times = BTreeMap::new();
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path();
        let Some(id) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(path.join("schedstat")) else { continue };
        let cpu_ns = parse_schedstat(&text).ok_or_else(|| io::Error::other(format!("odd schedstat: {text}")))?;
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default().trim().to_owned();
        times.insert(id, ThreadTime { name, cpu_ns });
    }
    Ok(ThreadTimes(times))
}

impl ThreadTimes {
    /// What the threads that live now have used since then, in nanoseconds, by name; those of one name together.
    pub fn since(&self, before: &Self) -> BTreeMap<String, u64> {
        let mut used = BTreeMap::new();
        for (id, now) in &self.0 {
            let then = before.0.get(id).map_or(0, |then| then.cpu_ns);
            *used.entry(now.name.clone()).or_default() += now.cpu_ns.saturating_sub(then);
        }
        used
    }
}

/// Bytes that all TCP sockets together may hold in their buffers: the last figure of `net.ipv4.tcp_mem`, which is in pages.
pub fn tcp_bytes_max() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_mem").ok()?;
    Some(text.split_whitespace().nth(2)?.parse::<u64>().ok()?.saturating_mul(PAGE_BYTES))
}

fn parse_status(text: &str) -> Option<Memory> {
    let rss_bytes = kilobytes(text, "VmRSS:")?;
    Some(Memory { rss_bytes, anonymous_bytes: kilobytes(text, "RssAnon:")?, peak_bytes: kilobytes(text, "VmHWM:")? })
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn parse_sockstat(text: &str) -> Option<TcpMemory> {
    let words: Vec<&str> = text.lines().find_map(|line| line.strip_prefix("TCP:"))?.split_whitespace().collect();
    let value = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1)?.parse::<u64>().ok()
    };
    Some(TcpMemory { sockets: value("alloc")?, buffer_bytes: value("mem")? * PAGE_BYTES })
}

/// Time on a CPU, time waiting for one, and how often (Documentation/scheduler/sched-stats.rst); all in nanoseconds,
/// where `stat` counts in hundredths of a second.
fn parse_schedstat(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Raises the soft limit of open files to the hard one; returns what it is then.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it can't be raised, the old one is told.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "Name:\tstentor\nVmHWM:\t  130000 kB\nVmRSS:\t  123456 kB\nRssAnon:\t  100000 kB\nRssFile:\t 1 kB\n";
        let [rss_bytes, anonymous_bytes, peak_bytes] = [123_456, 100_000, 130_000].map(|kilobytes| kilobytes * 1024);
        assert_eq!(parse_status(text), Some(Memory { rss_bytes, anonymous_bytes, peak_bytes }));
        assert_eq!(parse_status("Name: kthread\n"), None);
    }

    #[test]
    fn sockets_and_their_buffers_are_read() {
        let text = "sockets: used 14\nTCP: inuse 1 orphan 0 tw 0 alloc 7 mem 321\nUDP: inuse 0 mem 5\n";
        assert_eq!(parse_sockstat(text), Some(TcpMemory { sockets: 7, buffer_bytes: 321 * 4096 }));
    }

    #[test]
    fn cpu_time_is_the_first_figure_of_schedstat() {
        assert_eq!(parse_schedstat("123456789 42 7\n"), Some(123_456_789));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn this_process_has_memory_and_cpu_time() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap().rss_bytes > 100_000);
        assert!(cpu_ns(pid).unwrap() > 0);
        assert!(descriptors(pid).unwrap() >= 3);
        let before = thread_times(pid).unwrap();
        let spin = std::time::Instant::now();
        while spin.elapsed().as_millis() < 20 {}
        let used = thread_times(pid).unwrap().since(&before);
        assert!(used.values().sum::<u64>() > 1_000_000, "{used:?}");
        tcp_memory().unwrap();
        assert!(tcp_bytes_max().unwrap() > 1 << 20);
        assert!(slab_bytes().unwrap() > 0);
    }
}
