//! CPUs: which there are, pinning a thread to one, and how much time a thread took.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity, set_current_timer_slack};
use rustix::time::{ClockId, clock_gettime};

/// The CPUs that this process may use, ascending.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
}

/// Keeps the calling thread on one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Lets the calling thread's sleeps end on time: timers are otherwise up to 50 µs late (prctl(2)).
pub fn sleep_exactly() {
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// The same, and before other threads, where the user may: for one that sleeps nearly always, and whose lateness would count as
/// the server's.
pub fn be_punctual() {
    sleep_exactly();
    let _ = rustix::process::setpriority_process(None, -10);
}

/// Lets other threads of the calling thread's CPU go before it.
pub fn be_patient() {
    // Anybody may have less.
    let _ = rustix::process::setpriority_process(None, 19);
}

/// CPU time of the calling thread.
pub fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How long a thread has waited for its CPU.
#[derive(Debug)]
pub struct CpuTurns(Option<File>);

impl CpuTurns {
    pub fn of_this_thread() -> Self {
        Self(File::open("/proc/thread-self/schedstat").ok())
    }

    /// In all, in nanoseconds: the second figure of schedstat (Documentation/scheduler/sched-stats.rst); 0 where the kernel does not tell.
    pub fn waited_ns(&self) -> u64 {
        let mut text = [0; 96];
        let read = self.0.as_ref().and_then(|file| file.read_at(&mut text, 0).ok()).unwrap_or(0);
        let figures = std::str::from_utf8(&text[..read]).unwrap_or("");
        figures.split_whitespace().nth(1).and_then(|figure| figure.parse().ok()).unwrap_or(0)
    }
}

/// Reads a list such as `0-2,5`.
pub fn parse_list(text: &str) -> Result<Vec<usize>, String> {
    let wrong = || format!("`{text}` is not a list of CPUs: write one like 0-2,5");
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| wrong())?;
        let last: usize = last.trim().parse().map_err(|_| wrong())?;
        if first > last || last >= CpuSet::MAX_CPU {
            return Err(wrong());
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_shares_its_cpu_has_waited_for_it() {
        let cpu = allowed().unwrap()[0];
        let shared = move || {
            pin(cpu).unwrap();
            let (turns, began) = (CpuTurns::of_this_thread(), thread_ns());
            while thread_ns() - began < 50_000_000 {}
            turns.waited_ns()
        };
        let threads = [0, 1].map(|_| std::thread::spawn(shared));
        let waited: u64 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(waited > 10_000_000, "{waited} ns");
    }

    #[test]
    fn lists_of_cpus_are_read() {
        assert_eq!(parse_list("1"), Ok(vec![1]));
        assert_eq!(parse_list("0-2,5"), Ok(vec![0, 1, 2, 5]));
        for wrong in ["", "a", "3-1", "0-", "99999"] {
            assert!(parse_list(wrong).is_err(), "{wrong}");
        }
    }
}
