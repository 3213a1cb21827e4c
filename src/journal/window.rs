//! The journal in memory: the newest batches, kept until every reader has read them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{Journal, JournalError};
use crate::hub::EncodedBatch;

pub struct Window {
    head: AtomicU64,
    bytes_max: usize,
    held: Mutex<Held>,
}

struct Held {
    batches: VecDeque<Arc<EncodedBatch>>,
    bytes: usize,
    /// Each reader's position: the number of the next event that it has not read.
    positions: Vec<u64>,
}

impl Window {
    /// A window for `readers` shards that holds at most about `bytes_max` for the slowest of them.
    pub fn new(readers: usize, bytes_max: usize) -> Self {
        let held = Held { batches: VecDeque::new(), bytes: 0, positions: vec![1; readers] };
        Self { head: AtomicU64::new(1), bytes_max, held: Mutex::new(held) }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().expect("no holder panics")
    }
}

impl Held {
    fn slowest(&self) -> u64 {
        self.positions.iter().copied().min().unwrap_or(u64::MAX)
    }

    fn drop_what_all_have_read(&mut self) {
        let slowest = self.slowest();
        while let Some(batch) = self.batches.front().filter(|batch| batch.next_seq() <= slowest) {
            self.bytes -= batch.bytes();
            self.batches.pop_front();
        }
    }
}

impl Journal for Window {
    fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    fn admit(&self, bytes: usize) -> Result<(), JournalError> {
        let held = self.held();
        // A batch larger than the whole window is taken when the window is empty.
        if held.bytes > 0 && held.bytes + bytes > self.bytes_max {
            return Err(JournalError::Overloaded { lag_events: self.head() - held.slowest() });
        }
        Ok(())
    }

    fn append(&self, batch: Arc<EncodedBatch>) {
        assert_eq!(batch.first_seq(), self.head(), "the hub numbers events from the journal's head on");
        let mut held = self.held();
        self.head.store(batch.next_seq(), Ordering::Release);
        held.bytes += batch.bytes();
        held.batches.push_back(batch);
        held.drop_what_all_have_read();
    }

    fn read_from(
        &self,
        reader: usize,
        position: u64,
        bytes_max: usize,
        batches: &mut impl Extend<Arc<EncodedBatch>>,
    ) -> u64 {
        if position >= self.head() {
            return position;
        }
        let mut held = self.held();
        let first = held.batches.partition_point(|batch| batch.next_seq() <= position);
        let mut bytes = 0;
        let within_bounds = held.batches.range(first..).take_while(|batch| {
            let fits = bytes == 0 || bytes + batch.bytes() <= bytes_max;
            bytes += batch.bytes();
            fits
        });
        let mut position = position;
        batches.extend(within_bounds.inspect(|batch| position = batch.next_seq()).cloned());
        held.positions[reader] = position;
        held.drop_what_all_have_read();
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

    fn read(window: &Window, reader: usize, position: u64) -> (Vec<u64>, u64) {
        let mut batches = Vec::new();
        let position = window.read_from(reader, position, usize::MAX, &mut batches);
        (batches.iter().map(|batch| batch.first_seq()).collect(), position)
    }

    #[test]
    fn each_reader_reads_everything_once_at_its_own_pace() {
        let window = Window::new(2, 1 << 20);
        window.append(batch(1, 2));
        assert_eq!(read(&window, 0, 1), (vec![1], 3));
        window.append(batch(3, 1));
        assert_eq!(read(&window, 0, 3), (vec![3], 4));
        assert_eq!(read(&window, 0, 4), (vec![], 4));
        assert_eq!(read(&window, 1, 1), (vec![1, 3], 4));
    }

    #[test]
    fn a_reader_takes_no_more_than_it_asks_for_but_always_something() {
        let window = Window::new(1, 1 << 20);
        for number in 1..=10 {
            window.append(batch(number, 1));
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
        let window = Window::new(2, 1 << 20);
        window.append(batch(1, 100));
        read(&window, 0, 1);
        assert!(window.held().bytes > 0, "reader 1 has not read it");
        read(&window, 1, 1);
        assert_eq!(window.held().bytes, 0);
        assert!(window.held().batches.is_empty());
    }

    #[test]
    fn a_lagging_reader_makes_the_window_refuse_and_then_take_again() {
        let window = Window::new(2, 1000);
        while window.admit(300).is_ok() {
            window.append(batch(window.head(), 1));
            read(&window, 0, window.head() - 1);
        }
        let lag_events = window.head() - 1;
        assert_eq!(window.admit(300), Err(JournalError::Overloaded { lag_events }));
        read(&window, 1, 1);
        assert_eq!(window.admit(300), Ok(()));
    }

    #[test]
    fn an_empty_window_takes_even_a_batch_past_its_size() {
        let window = Window::new(1, 10);
        assert_eq!(window.admit(1 << 20), Ok(()));
    }
}
