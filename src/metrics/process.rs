//! What the kernel tells of this process: memory, descriptors, time on the CPUs by thread.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use super::{ProcessSample, ThreadSample};
use crate::clock::Nanos;
use crate::limits;

/// Reads `/proc/self`. What can't be read is told as nothing: no counter is worth a fault.
pub struct ProcessReader {
    proc_self: PathBuf,
    ticks_per_second: f64,
    page_bytes: u64,
    threads: Threads,
    read_at: Option<Nanos>,
}

/// Time on the CPUs by the names of threads, in clock ticks.
#[derive(Default)]
struct Threads {
    /// Of those that are there, by their ids.
    present: HashMap<String, (String, u64)>,
    /// Of those that are gone, so that no sum ever shrinks.
    gone: BTreeMap<String, u64>,
}

impl ProcessReader {
    /// `root` is `/` but in tests.
    pub fn new(root: &Path) -> Self {
        Self {
            proc_self: root.join("proc/self"),
            ticks_per_second: rustix::param::clock_ticks_per_second() as f64,
            page_bytes: rustix::param::page_size() as u64,
            threads: Threads::default(),
            read_at: None,
        }
    }

    pub fn read(&mut self, now: Nanos) -> ProcessSample {
        // A file a thread, so not with each reading.
        let is_due = |at: Nanos| now.saturating_sub(at) >= limits::THREADS_READ_EVERY_MS * 1_000_000;
        if self.read_at.is_none_or(is_due) {
            self.read_at = Some(now);
            self.read_threads();
        }
        let stat = self.file("stat");
        let pages = self.file("statm").split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        ProcessSample {
            rss_bytes: pages.unwrap_or(0) * self.page_bytes,
            cpu_seconds: self.seconds(cpu_ticks(&stat).unwrap_or(0)),
            open_fds: self.open_descriptors(),
            threads: self.threads_by_name(),
        }
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.proc_self.join(name)).unwrap_or_default()
    }

    /// The directory's size tells, from Linux 6.2 on; before that it is 0, and they are counted.
    fn open_descriptors(&self) -> u64 {
        let directory = self.proc_self.join("fd");
        match fs::metadata(&directory).map(|metadata| metadata.len()) {
            Ok(count) if count > 0 => count,
            _ => fs::read_dir(&directory).map_or(0, |entries| entries.count() as u64),
        }
    }

    fn read_threads(&mut self) {
        let Ok(tasks) = fs::read_dir(self.proc_self.join("task")) else { return };
        let mut present = HashMap::new();
        for task in tasks.flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("stat")) else { continue };
            if let (Some(name), Some(ticks)) = (name(&stat), cpu_ticks(&stat)) {
                present.insert(task.file_name().to_string_lossy().into_owned(), (group(name).to_owned(), ticks));
            }
        }
        self.threads.replace(present);
    }

    fn threads_by_name(&self) -> Vec<ThreadSample> {
        let of = |(name, ticks)| ThreadSample { name, cpu_seconds: self.seconds(ticks) };
        self.threads.sums().into_iter().map(of).collect()
    }

    fn seconds(&self, ticks: u64) -> f64 {
        ticks as f64 / self.ticks_per_second
    }
}

impl Threads {
    fn replace(&mut self, present: HashMap<String, (String, u64)>) {
        for (id, (name, ticks)) in std::mem::replace(&mut self.present, present) {
            // An id may have another thread by now, with less on its account.
            let goes_on = self.present.get(&id).is_some_and(|(now, at)| *now == name && *at >= ticks);
            if !goes_on {
                *self.gone.entry(name).or_default() += ticks;
            }
        }
    }

    fn sums(&self) -> BTreeMap<String, u64> {
        let mut sums = self.gone.clone();
        for (name, ticks) in self.present.values() {
            *sums.entry(name.clone()).or_default() += ticks;
        }
        sums
    }
}

/// How many files the process may have open; none where there is no bound.
pub fn descriptors_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The name in a `stat` file, which may hold anything, parentheses too.
fn name(stat: &str) -> Option<&str> {
    let (before, _) = stat.rsplit_once(')')?;
    before.split_once('(').map(|(_, name)| name)
}

/// User and system time of a `stat` file: the fourteenth and fifteenth of its fields.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// Shards by their numbers, of which there are few; other threads that are numbered are told as one.
fn group(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((kind, number)) if kind != "shard" && number.bytes().all(|byte| byte.is_ascii_digit()) => kind,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fake_root::FakeRoot;

    const SECOND: Nanos = 1_000_000_000;

    fn stat(name: &str, user: u64, system: u64) -> String {
        format!("77 ({name}) S 1 77 77 0 -1 4194560 900 0 0 0 {user} {system} 0 0 20 0 5 0 100 1000 200\n")
    }

    fn ticks(sample: &ProcessSample) -> Vec<(&str, u64)> {
        let per_second = rustix::param::clock_ticks_per_second() as f64;
        sample.threads.iter().map(|thread| (&*thread.name, (thread.cpu_seconds * per_second).round() as u64)).collect()
    }

    #[test]
    fn threads_are_told_by_their_names_and_what_ended_ones_took_is_not_forgotten() {
        let root = FakeRoot::new(&[
            ("proc/self/stat", &stat("stentor", 70, 30)),
            ("proc/self/statm", "5000 300 100 1 0 1 0"),
            ("proc/self/fd/0", ""),
            ("proc/self/task/77/stat", &stat("stentor", 1, 2)),
            ("proc/self/task/78/stat", &stat("shard-0", 10, 20)),
            ("proc/self/task/79/stat", &stat("webhook-0", 3, 4)),
            ("proc/self/task/80/stat", &stat("webhook-12", 5, 6)),
            ("proc/self/task/81/stat", &stat("odd) (name", 0, 9)),
            ("proc/self/task/82/stat", "nothing of the kind"),
        ]);
        let mut reader = ProcessReader::new(root.path());
        let first = reader.read(SECOND);
        assert_eq!(ticks(&first), [("odd) (name", 9), ("shard-0", 30), ("stentor", 3), ("webhook", 18)]);
        assert_eq!(first.rss_bytes, 300 * rustix::param::page_size() as u64);
        assert!((first.cpu_seconds * rustix::param::clock_ticks_per_second() as f64 - 100.0).abs() < 1e-6);
        assert!(first.open_fds > 0);

        fs::remove_dir_all(root.path().join("proc/self/task/80")).expect("it was there");
        // Another thread with an id that was given back.
        root.write("proc/self/task/79/stat", &stat("webhook-40", 1, 0));
        root.write("proc/self/task/78/stat", &stat("shard-0", 11, 20));
        assert_eq!(ticks(&reader.read(SECOND + 1)), ticks(&first), "not that often");
        let second = reader.read(3 * SECOND);
        assert_eq!(ticks(&second), [("odd) (name", 9), ("shard-0", 31), ("stentor", 3), ("webhook", 19)]);
    }

    #[test]
    fn a_process_that_can_t_be_read_is_told_as_nothing() {
        let root = FakeRoot::new(&[("proc/other", "")]);
        assert_eq!(ProcessReader::new(root.path()).read(0), ProcessSample::default());
    }

    #[test]
    fn this_process_can_be_read() {
        let sample = ProcessReader::new(Path::new("/")).read(0);
        assert!(sample.rss_bytes > 1 << 20 && sample.open_fds >= 3 && !sample.threads.is_empty(), "{sample:?}");
    }
}
