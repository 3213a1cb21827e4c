//! The journal's newest events in memory: what a shard or the disk does not have yet, and a stretch behind it for clients that
//! come back after seconds.
//!
//! ```text
//!          oldest             synced     slowest reader      visible   head
//!   ──(gone)──┴─ kept for replays ─┴────────────┴───────────────┴────────┴──▶ numbers
//!                                 └──────────── the lag, bounded ────────┘
//! ```
//!
//! Invariants:
//! * A batch is held until every reader has read it and the disk has it; after that it is kept for as long as there is room.
//! * Readers see no number that is not visible: with durable fan-out those that the disk has, else all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Chunk, Journal, JournalError, Part};
use crate::hub::EncodedBatch;

pub struct Window {
    head: AtomicU64,
    visible: AtomicU64,
    lag_bytes_max: usize,
    kept_bytes: usize,
    held: Mutex<Held>,
    /// The number below which everybody has everything, and the bytes from there on, for whoever must not wait for the lock.
    slowest: AtomicU64,
    lag_bytes: AtomicU64,
}

struct Held {
    batches: VecDeque<Arc<EncodedBatch>>,
    bytes: usize,
    /// Of those that a reader or the disk does not have yet.
    lag_bytes: usize,
    /// How many batches at the front everybody has.
    done: usize,
    /// Each reader's position: the number of the next event that it has not read.
    positions: Vec<u64>,
    /// The number of the next event that the disk does not have; the largest where there is no disk.
    synced: u64,
}

impl Window {
    /// A window for `readers` shards whose first event gets the number `head`. It holds at most about `lag_bytes_max` for the
    /// slowest of them or the disk, and about `kept_bytes` of what all have.
    pub fn new(readers: usize, head: u64, lag_bytes_max: usize, kept_bytes: usize) -> Self {
        let held = Held {
            batches: VecDeque::new(),
            bytes: 0,
            lag_bytes: 0,
            done: 0,
            positions: vec![head; readers],
            synced: u64::MAX,
        };
        let [visible, slowest, head] = [head; 3].map(AtomicU64::new);
        let lag_bytes = AtomicU64::new(0);
        Self { head, visible, lag_bytes_max, kept_bytes, held: Mutex::new(held), slowest, lag_bytes }
    }

    /// From now on the disk is one of those that have to have a batch before it is let go. To be called before the first event.
    pub fn await_disk(&self) {
        self.held().synced = self.head();
    }

    /// The number that readers do not see yet, nor any after it.
    pub fn visible(&self) -> u64 {
        self.visible.load(Ordering::Acquire)
    }

    /// Lets readers see every number below `visible`.
    pub fn reveal(&self, visible: u64) {
        self.visible.store(visible, Ordering::Release);
    }

    /// The batches from number `position` on, for the disk: no more than about `bytes_max`, at least one where there is one.
    /// They stay held until [`Self::synced`].
    pub fn unwritten(&self, position: u64, bytes_max: usize) -> Vec<Arc<EncodedBatch>> {
        if position >= self.head() {
            return Vec::new();
        }
        self.held().from(position, u64::MAX, bytes_max).cloned().collect()
    }

    /// The disk has every number below `synced`.
    pub fn synced(&self, synced: u64) {
        let mut held = self.held();
        held.synced = synced;
        self.let_go(&mut held);
    }

    /// By how many events and bytes the slowest of shards and disk lags.
    pub fn lag(&self) -> (u64, u64) {
        let slowest = self.slowest.load(Ordering::Relaxed);
        (self.head().saturating_sub(slowest), self.lag_bytes.load(Ordering::Relaxed))
    }

    fn let_go(&self, held: &mut Held) {
        let slowest = held.let_go(self.kept_bytes);
        self.slowest.store(slowest.min(self.head()), Ordering::Relaxed);
        self.lag_bytes.store(held.lag_bytes as u64, Ordering::Relaxed);
    }

    /// The visible events from number `from` on, for a replay: no more than about `bytes_max`, at least one where there is one.
    /// None where the first of them is not held any more.
    pub fn recent(&self, from: u64, bytes_max: usize) -> Option<Chunk> {
        let visible = self.visible();
        if from >= visible {
            return Some(Chunk { from, next: from, parts: Vec::new() });
        }
        let held = self.held();
        held.batches.front().filter(|oldest| oldest.first_seq() <= from)?;
        let batches: Vec<_> = held.from(from, visible, bytes_max).cloned().collect();
        let next = batches.last().map_or(from, |last| last.next_seq());
        Some(Chunk { from, next, parts: batches.into_iter().map(Part::Events).collect() })
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().expect("no holder panics")
    }
}

impl Held {
    /// The number below which everybody has everything.
    fn slowest(&self) -> u64 {
        self.positions.iter().copied().min().unwrap_or(u64::MAX).min(self.synced)
    }

    /// The batches from a number on that end at `visible` or before, within about `bytes_max`, at least one.
    fn from(&self, position: u64, visible: u64, bytes_max: usize) -> impl Iterator<Item = &Arc<EncodedBatch>> {
        let first = self.batches.partition_point(|batch| batch.next_seq() <= position);
        let mut bytes = 0;
        self.batches.range(first..).take_while(move |batch| {
            let fits = bytes == 0 || bytes + batch.bytes() <= bytes_max;
            bytes += batch.bytes();
            fits && batch.next_seq() <= visible
        })
    }

    /// Returns the number below which everybody has everything.
    fn let_go(&mut self, kept_bytes: usize) -> u64 {
        let slowest = self.slowest();
        while let Some(batch) = self.batches.get(self.done).filter(|batch| batch.next_seq() <= slowest) {
            self.lag_bytes -= batch.bytes();
            self.done += 1;
        }
        while self.done > 0 && self.bytes - self.lag_bytes > kept_bytes {
            let batch = self.batches.pop_front().expect("one that is done");
            self.bytes -= batch.bytes();
            self.done -= 1;
        }
        slowest
    }
}

impl Journal for Window {
    fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    fn admit(&self, bytes: usize) -> Result<(), JournalError> {
        let held = self.held();
        // A batch larger than the whole window is taken when nobody lags.
        if held.lag_bytes > 0 && held.lag_bytes + bytes > self.lag_bytes_max {
            return Err(JournalError::Overloaded { lag_events: self.head() - held.slowest() });
        }
        Ok(())
    }

    fn append(&self, batch: Arc<EncodedBatch>) {
        assert_eq!(batch.first_seq(), self.head(), "the hub numbers events from the journal's head on");
        let mut held = self.held();
        self.head.store(batch.next_seq(), Ordering::Release);
        held.bytes += batch.bytes();
        held.lag_bytes += batch.bytes();
        held.batches.push_back(batch);
        self.let_go(&mut held);
    }

    fn read_from(
        &self,
        reader: usize,
        position: u64,
        bytes_max: usize,
        batches: &mut impl Extend<Arc<EncodedBatch>>,
    ) -> u64 {
        let visible = self.visible();
        if position >= visible {
            return position;
        }
        let mut held = self.held();
        let mut position = position;
        batches.extend(held.from(position, visible, bytes_max).inspect(|batch| position = batch.next_seq()).cloned());
        held.positions[reader] = position;
        self.let_go(&mut held);
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventParser;
    use crate::hub::Origin;

    fn batch(first_seq: u64, events: usize) -> Arc<EncodedBatch> {
        let parse = || EventParser::new().parse(br#"{"type":"alert","data":{"n":1}}"#, 1, None).expect("a sound event");
        Arc::new(EncodedBatch::encode((0..events).map(|_| parse()).collect(), first_seq, 0, Origin::default()))
    }

    fn window(readers: usize, lag_bytes_max: usize) -> Window {
        Window::new(readers, 1, lag_bytes_max, 0)
    }

    /// Appends for everybody to see.
    fn append(window: &Window, batch: Arc<EncodedBatch>) {
        window.append(batch);
        window.reveal(window.head());
    }

    fn read(window: &Window, reader: usize, position: u64) -> (Vec<u64>, u64) {
        let mut batches = Vec::new();
        let position = window.read_from(reader, position, usize::MAX, &mut batches);
        (batches.iter().map(|batch| batch.first_seq()).collect(), position)
    }

    #[test]
    fn each_reader_reads_everything_once_at_its_own_pace() {
        let window = window(2, 1 << 20);
        append(&window, batch(1, 2));
        assert_eq!(read(&window, 0, 1), (vec![1], 3));
        append(&window, batch(3, 1));
        assert_eq!(read(&window, 0, 3), (vec![3], 4));
        assert_eq!(read(&window, 0, 4), (vec![], 4));
        assert_eq!(read(&window, 1, 1), (vec![1, 3], 4));
    }

    #[test]
    fn a_reader_takes_no_more_than_it_asks_for_but_always_something() {
        let window = window(1, 1 << 20);
        for number in 1..=10 {
            append(&window, batch(number, 1));
        }
        let mut position = 1;
        for expected in 1..=10 {
            let mut batches = Vec::new();
            position = window.read_from(0, position, 1, &mut batches);
            assert_eq!(batches.iter().map(|batch| batch.first_seq()).collect::<Vec<_>>(), [expected]);
        }
        assert_eq!(position, 11);
    }

    #[test]
    fn what_every_reader_has_is_let_go() {
        let window = window(2, 1 << 20);
        append(&window, batch(1, 100));
        read(&window, 0, 1);
        assert!(window.held().bytes > 0, "reader 1 has not read it");
        read(&window, 1, 1);
        assert_eq!(window.held().bytes, 0);
        assert!(window.held().batches.is_empty());
    }

    #[test]
    fn a_lagging_reader_makes_the_window_refuse_and_then_take_again() {
        let window = window(2, 1000);
        while window.admit(300).is_ok() {
            append(&window, batch(window.head(), 1));
            read(&window, 0, window.head() - 1);
        }
        let lag_events = window.head() - 1;
        assert_eq!(window.admit(300), Err(JournalError::Overloaded { lag_events }));
        assert_eq!(window.lag(), (lag_events, window.held().bytes as u64));
        read(&window, 1, 1);
        assert_eq!(window.lag(), (0, 0));
        assert_eq!(window.admit(300), Ok(()));
    }

    #[test]
    fn an_empty_window_takes_even_a_batch_past_its_size() {
        let window = window(1, 10);
        assert_eq!(window.admit(1 << 20), Ok(()));
    }

    #[test]
    fn what_all_have_is_kept_for_replays_within_its_room() {
        let bytes = batch(1, 1).bytes();
        let window = Window::new(1, 1, 1 << 20, 3 * bytes + 10);
        for number in 1..=10 {
            append(&window, batch(number, 1));
            read(&window, 0, number);
        }
        let replay = |from| {
            let chunk = window.recent(from, usize::MAX)?;
            Some((chunk.parts.len(), chunk.next))
        };
        assert_eq!(replay(7), None, "it is gone");
        assert_eq!(replay(8), Some((3, 11)));
        assert_eq!(replay(10), Some((1, 11)));
        assert_eq!(replay(11), Some((0, 11)), "there is nothing yet");
    }

    #[test]
    fn what_the_disk_does_not_have_is_held_and_counts_as_lag() {
        let window = window(1, 1000);
        window.await_disk();
        append(&window, batch(1, 1));
        read(&window, 0, 1);
        assert_eq!(window.unwritten(1, usize::MAX).len(), 1);
        assert_eq!(window.admit(1000), Err(JournalError::Overloaded { lag_events: 1 }));
        window.synced(2);
        assert_eq!(window.admit(1000), Ok(()));
        assert!(window.unwritten(2, usize::MAX).is_empty() && window.held().batches.is_empty());
    }

    #[test]
    fn what_is_not_visible_is_nobodys_to_read_but_the_disks() {
        let window = window(1, 1 << 20);
        window.append(batch(1, 2));
        window.append(batch(3, 1));
        assert_eq!(read(&window, 0, 1), (vec![], 1));
        assert_eq!(window.recent(1, usize::MAX).map(|chunk| chunk.next), Some(1));
        assert_eq!(window.unwritten(1, usize::MAX).len(), 2);
        window.reveal(3);
        assert_eq!(window.recent(1, usize::MAX).map(|chunk| chunk.next), Some(3));
        assert_eq!(read(&window, 0, 1), (vec![1], 3));
    }
}
