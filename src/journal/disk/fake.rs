//! A simulated disk: it writes short, fails, fills up, answers late, and after a power cut has what was synced for sure and any
//! part of the rest. All by its seed.
//!
//! Each operation takes some polls before it has its effect and some after, so that a crash finds it not begun, or done and not
//! yet answered.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use fastrand::Rng;

use super::{Disk, DiskFile};

/// How likely it is that an operation goes wrong, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub short_writes: f64,
    pub write_errors: f64,
    /// Of files and of names. What was to be synced is then on the disk or not, and no later sync changes that.
    pub sync_errors: f64,
    /// What all files together may take, in bytes.
    pub room: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self { short_writes: 0.0, write_errors: 0.0, sync_errors: 0.0, room: u64::MAX }
    }
}

#[derive(Clone)]
pub struct FakeDisk(Rc<RefCell<State>>);

pub struct FakeFile {
    disk: FakeDisk,
    number: usize,
}

struct State {
    rng: Rng,
    faults: Faults,
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    lasting_names: BTreeMap<String, usize>,
    /// What leads from the lasting names to the names.
    name_changes: Vec<NameChange>,
    syncs: u64,
    failed_syncs: u64,
}

/// A file's bytes, as they are and as they are known to last.
#[derive(Default)]
struct Contents {
    now: Vec<u8>,
    lasting: Vec<u8>,
    /// What leads from the one to the other.
    changes: Vec<Change>,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Size(usize),
}

enum NameChange {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

impl FakeDisk {
    pub fn new(seed: u64) -> Self {
        Self::with(Rng::with_seed(seed), Vec::new(), BTreeMap::new())
    }

    /// One whose files hold these bytes, which last.
    fn with(rng: Rng, contents: Vec<Vec<u8>>, names: BTreeMap<String, usize>) -> Self {
        let file = |bytes: Vec<u8>| Contents { now: bytes.clone(), lasting: bytes, changes: Vec::new() };
        Self(Rc::new(RefCell::new(State {
            rng,
            faults: Faults::default(),
            files: contents.into_iter().map(file).collect(),
            lasting_names: names.clone(),
            names,
            name_changes: Vec::new(),
            syncs: 0,
            failed_syncs: 0,
        })))
    }

    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// How often a file was synced.
    pub fn syncs(&self) -> u64 {
        self.0.borrow().syncs
    }

    /// How often the sync of a file has failed.
    pub fn failed_syncs(&self) -> u64 {
        self.0.borrow().failed_syncs
    }

    /// The seed's own chance, for whoever drives the simulation.
    pub fn rng<T>(&self, use_it: impl FnOnce(&mut Rng) -> T) -> T {
        use_it(&mut self.0.borrow_mut().rng)
    }

    /// The disk as the next start finds it after the process was killed: all that was done is there.
    pub fn after_kill(&self) -> Self {
        let state = self.0.borrow();
        let contents = state.files.iter().map(|file| file.now.clone()).collect();
        let mut rng = state.rng.clone();
        Self::with(rng.fork(), contents, state.names.clone())
    }

    /// The disk as the next start finds it after a power cut: what was synced, and any part of what was not.
    pub fn after_power_cut(&self) -> Self {
        let state = self.0.borrow();
        let mut rng = state.rng.clone();
        let survive = |file: &Contents| {
            let mut bytes = file.lasting.clone();
            file.changes.iter().for_each(|change| change.survive_by_chance(&mut bytes, &mut rng));
            bytes
        };
        let contents = state.files.iter().map(survive).collect();
        let mut names = state.lasting_names.clone();
        for change in state.name_changes.iter().filter(|_| rng.bool()) {
            change.apply(&mut names);
        }
        Self::with(rng.fork(), contents, names)
    }

    /// Polls the future as often as told. None where it is still at it then: the crash came first.
    pub fn run_for<T>(&self, polls: usize, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => Some(done),
            Poll::Pending => None,
        })
    }

    async fn operation<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.pause().await;
        let result = act(&mut self.0.borrow_mut());
        self.pause().await;
        result
    }

    async fn pause(&self) {
        let mut polls = self.rng(|rng| rng.usize(..3));
        poll_fn(|_| match polls.checked_sub(1) {
            None => Poll::Ready(()),
            Some(fewer) => {
                polls = fewer;
                Poll::Pending
            }
        })
        .await
    }

    fn file(&self, number: usize) -> FakeFile {
        FakeFile { disk: self.clone(), number }
    }
}

/// Polls the future until it is done.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
}

impl State {
    fn happens(&mut self, probability: f64) -> bool {
        self.rng.f64() < probability
    }

    fn number(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or(io::ErrorKind::NotFound.into())
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.name_changes.push(change);
    }

    /// How much all files can still grow.
    fn room(&self) -> usize {
        let taken: usize = self.names.values().map(|number| self.files[*number].now.len()).sum();
        usize::try_from(self.faults.room).unwrap_or(usize::MAX).saturating_sub(taken)
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, number) => {
                names.insert(name.clone(), *number);
            }
            Self::Rename(from, to) => {
                if let Some(number) = names.remove(from) {
                    names.insert(to.clone(), number);
                }
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Contents {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.changes.push(change);
    }

    fn sync(&mut self) {
        self.changes.drain(..).for_each(|change| change.apply(&mut self.lasting));
    }

    fn fail_to_sync(&mut self, rng: &mut Rng) {
        self.changes.drain(..).for_each(|change| change.survive_by_chance(&mut self.lasting, rng));
    }
}

impl Change {
    fn apply(&self, contents: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(contents, *offset, bytes),
            Self::Size(len) => contents.resize(*len, 0),
        }
    }

    /// Does all of it, nothing, or, of a write, some bytes at its beginning or any of its units.
    fn survive_by_chance(&self, contents: &mut Vec<u8>, rng: &mut Rng) {
        let Self::Write { offset, bytes } = self else {
            if rng.bool() {
                self.apply(contents);
            }
            return;
        };
        match rng.u8(..4) {
            0 => {}
            1 => self.apply(contents),
            2 => put(contents, *offset, &bytes[..rng.usize(..=bytes.len())]),
            _ => {
                let unit = if rng.bool() { 8 } else { 512 };
                for (nth, piece) in bytes.chunks(unit).enumerate().filter(|_| rng.bool()) {
                    put(contents, offset + nth * unit, piece);
                }
            }
        }
    }
}

fn put(contents: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[offset..end].copy_from_slice(bytes);
}

fn failed() -> io::Error {
    io::Error::other("the disk says so")
}

impl Disk for FakeDisk {
    type File = FakeFile;

    async fn names(&self) -> io::Result<Vec<String>> {
        self.operation(|state| Ok(state.names.keys().cloned().collect())).await
    }

    async fn create(&self, name: &str) -> io::Result<FakeFile> {
        let create = |state: &mut State| {
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.push(Contents::default());
            let number = state.files.len() - 1;
            state.change_names(NameChange::Create(name.to_owned(), number));
            Ok(number)
        };
        self.operation(create).await.map(|number| self.file(number))
    }

    async fn open(&self, name: &str) -> io::Result<FakeFile> {
        self.operation(|state| state.number(name)).await.map(|number| self.file(number))
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let rename = |state: &mut State| {
            state.number(from)?;
            state.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
            Ok(())
        };
        self.operation(rename).await
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        let remove = |state: &mut State| {
            state.number(name)?;
            state.change_names(NameChange::Remove(name.to_owned()));
            Ok(())
        };
        self.operation(remove).await
    }

    async fn sync_names(&self) -> io::Result<()> {
        let sync = |state: &mut State| {
            if state.happens(state.faults.sync_errors) {
                return Err(failed());
            }
            state.lasting_names = state.names.clone();
            state.name_changes.clear();
            Ok(())
        };
        self.operation(sync).await
    }
}

impl DiskFile for FakeFile {
    async fn size(&self) -> io::Result<u64> {
        self.disk.operation(|state| Ok(state.files[self.number].now.len() as u64)).await
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let read = |state: &mut State| {
            let rest = state.files[self.number].now.get(offset as usize..).unwrap_or_default();
            Ok(rest[..len.min(rest.len())].to_vec())
        };
        self.disk.operation(read).await
    }

    async fn write_at(&self, mut bytes: Vec<u8>, offset: u64) -> io::Result<usize> {
        let write = |state: &mut State| {
            if state.happens(state.faults.write_errors) {
                return Err(failed());
            }
            if state.happens(state.faults.short_writes) && bytes.len() > 1 {
                bytes.truncate(state.rng.usize(1..bytes.len()));
            }
            let offset = offset as usize;
            let end_max = state.files[self.number].now.len().saturating_add(state.room());
            bytes.truncate(end_max.saturating_sub(offset));
            if bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let len = bytes.len();
            state.files[self.number].change(Change::Write { offset, bytes });
            Ok(len)
        };
        self.disk.operation(write).await
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        let allocate = |state: &mut State| {
            let (room, file) = (state.room(), &mut state.files[self.number]);
            let grows_by = (len as usize).saturating_sub(file.now.len());
            if grows_by > room {
                return Err(io::ErrorKind::StorageFull.into());
            }
            if grows_by > 0 {
                file.change(Change::Size(len as usize));
            }
            Ok(())
        };
        self.disk.operation(allocate).await
    }

    async fn truncate(&self, len: u64) -> io::Result<()> {
        let truncate = |state: &mut State| {
            state.files[self.number].change(Change::Size(len as usize));
            Ok(())
        };
        self.disk.operation(truncate).await
    }

    async fn sync(&self) -> io::Result<()> {
        let sync = |state: &mut State| {
            state.syncs += 1;
            let fails = state.happens(state.faults.sync_errors);
            let State { files, rng, failed_syncs, .. } = state;
            if fails {
                *failed_syncs += 1;
                files[self.number].fail_to_sync(rng);
                return Err(failed());
            }
            files[self.number].sync();
            Ok(())
        };
        self.disk.operation(sync).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn written(disk: &FakeDisk, name: &str, bytes: &[u8]) -> FakeFile {
        let file = disk.create(name).await.expect("room");
        assert_eq!(file.write_at(bytes.to_vec(), 0).await.expect("room"), bytes.len());
        file
    }

    async fn found(disk: &FakeDisk, name: &str) -> Option<Vec<u8>> {
        disk.open(name).await.ok()?.read_at(0, 1 << 20).await.ok()
    }

    #[test]
    fn what_was_synced_survives_a_power_cut_and_all_survives_a_kill() {
        run(async {
            for seed in 0..100 {
                let disk = FakeDisk::new(seed);
                let file = written(&disk, "a", &[1; 1000]).await;
                file.sync().await.expect("no faults");
                disk.sync_names().await.expect("no faults");
                file.write_at(vec![2; 1000], 500).await.expect("room");
                let after = found(&disk.after_power_cut(), "a").await.expect("its name was synced");
                assert_eq!(after[..500], [1; 500], "seed {seed}");
                assert_eq!(found(&disk.after_kill(), "a").await.expect("no power cut").len(), 1500);
            }
        });
    }

    #[test]
    fn what_was_not_synced_survives_now_and_then_and_in_part() {
        run(async {
            let (mut none, mut all, mut torn, mut nameless) = (0, 0, 0, 0);
            for seed in 0..400 {
                let disk = FakeDisk::new(seed);
                written(&disk, "a", &[1; 2000]).await;
                match found(&disk.after_power_cut(), "a").await {
                    None => nameless += 1,
                    Some(bytes) if bytes.is_empty() => none += 1,
                    Some(bytes) if bytes == [1; 2000] => all += 1,
                    Some(_) => torn += 1,
                }
            }
            assert!([none, all, torn, nameless].iter().all(|times| *times > 20), "{none} {all} {torn} {nameless}");
        });
    }

    #[test]
    fn a_full_disk_refuses_and_takes_again() {
        run(async {
            let disk = FakeDisk::new(7);
            disk.set_faults(Faults { room: 1000, ..Faults::default() });
            let file = disk.create("a").await.expect("names take no room");
            let full = |result: io::Result<()>| result.expect_err("full").kind() == io::ErrorKind::StorageFull;
            assert!(full(file.allocate(1001).await));
            assert_eq!(file.write_at(vec![1; 2000], 0).await.expect("room for some"), 1000);
            assert!(full(file.write_at(vec![1], 1000).await.map(drop)));
            disk.remove("a").await.expect("it is there");
            disk.create("b").await.expect("names").allocate(1000).await.expect("there is room again");
        });
    }
}
