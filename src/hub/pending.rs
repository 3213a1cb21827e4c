//! Answers that wait until the journal keeps what they speak of. Pure.
//!
//! Invariants:
//! * Each is given once, and none before every number up to its last one is kept.
//! * Those that become due together are given in the order of their numbers, and of one number in the order of their coming.

use std::collections::VecDeque;

pub struct Pending<T> {
    /// Each with its last number, in ascending order.
    waiting: VecDeque<(u64, T)>,
}

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<T> Pending<T> {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets an answer wait for the number `last_seq`.
    pub fn push(&mut self, last_seq: u64, answer: T) {
        // New events come last. Only a request that does nothing but repeat earlier ones has somebody behind it.
        let behind = self.waiting.partition_point(|(seq, _)| *seq <= last_seq);
        self.waiting.insert(behind, (last_seq, answer));
    }

    /// The answers that are due now that every number below `next` is kept.
    pub fn due(&mut self, next: u64) -> impl Iterator<Item = T> {
        let due = self.waiting.partition_point(|(seq, _)| *seq < next);
        self.waiting.drain(..due).map(|(_, answer)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(pending: &mut Pending<&'static str>, next: u64) -> Vec<&'static str> {
        pending.due(next).collect()
    }

    #[test]
    fn an_answer_waits_for_its_last_number_and_is_given_once() {
        let mut pending = Pending::default();
        pending.push(3, "1 to 3");
        pending.push(4, "4");
        assert_eq!(due(&mut pending, 3), Vec::<&str>::new());
        assert_eq!(due(&mut pending, 4), ["1 to 3"]);
        assert_eq!(due(&mut pending, 4), Vec::<&str>::new());
        assert_eq!((pending.len(), pending.is_empty()), (1, false));
        assert_eq!(due(&mut pending, 100), ["4"]);
        assert!(pending.is_empty());
    }

    #[test]
    fn one_that_repeats_waits_no_longer_than_what_it_repeats() {
        let mut pending = Pending::default();
        for (last_seq, answer) in [(1, "1"), (5, "2 to 5"), (6, "6"), (5, "2 to 5 again"), (1, "1 again"), (7, "7")] {
            pending.push(last_seq, answer);
        }
        assert_eq!(due(&mut pending, 2), ["1", "1 again"]);
        assert_eq!(due(&mut pending, 7), ["2 to 5", "2 to 5 again", "6"]);
        assert_eq!(due(&mut pending, u64::MAX), ["7"]);
    }
}
