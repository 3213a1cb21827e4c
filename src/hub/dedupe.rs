//! Which publisher's `id` has which number, so that a retry is no second event. Pure: time comes in as an argument.
//!
//! Invariants:
//! * An id is known for the window, or for as long as there is room: the oldest are forgotten first.
//! * Ids of different publishers have nothing to do with each other.
//! * Memory is bounded, however long the ids are: of each only 128 bits are kept, made with two secret keys, so that no
//!   publisher can find two ids that are one here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// What is kept of a publisher and an id.
type Fingerprint = [u64; 2];

pub struct Dedupe {
    window_ms: u64,
    ids_max: usize,
    hashers: [RandomState; 2],
    /// Their numbers, in parts: a table that grows is moved at once, and a sixty-fourth of them takes no more than a millisecond.
    known: [HashMap<Fingerprint, u64, ahash::RandomState>; PARTS],
    /// Each once, in the order in which they came.
    order: VecDeque<Remembered>,
}

const PARTS: usize = 64;

struct Remembered {
    unix_ms: u64,
    fingerprint: Fingerprint,
}

impl Dedupe {
    /// Remembers ids for `window_ms`, and `ids_max` of them at most.
    pub fn new(window_ms: u64, ids_max: usize) -> Self {
        Self {
            window_ms,
            ids_max,
            hashers: [RandomState::new(), RandomState::new()],
            known: std::array::from_fn(|_| HashMap::default()),
            order: VecDeque::new(),
        }
    }

    pub fn knows(&self, publisher: u64, id: &str) -> bool {
        let fingerprint = self.fingerprint(publisher, id);
        self.known[part(fingerprint)].contains_key(&fingerprint)
    }

    /// The number of the event with this id where it is known. Else it gets the number `seq`, and none is returned.
    pub fn claim(&mut self, publisher: u64, id: &str, seq: u64, unix_ms: u64) -> Option<u64> {
        let fingerprint = self.fingerprint(publisher, id);
        let known = &mut self.known[part(fingerprint)];
        if let Some(first) = known.get(&fingerprint) {
            return Some(*first);
        }
        known.insert(fingerprint, seq);
        self.order.push_back(Remembered { unix_ms, fingerprint });
        if self.order.len() > self.ids_max {
            self.forget_oldest();
        }
        None
    }

    /// Forgets what has left the window. An id from a clock that was ahead stays for that much longer.
    pub fn forget(&mut self, unix_ms: u64) {
        while self.order.front().is_some_and(|oldest| !self.is_recent(oldest.unix_ms, unix_ms)) {
            self.forget_oldest();
        }
    }

    /// Whether an id of the time `then` is to be known at the time `now`.
    pub fn is_recent(&self, then: u64, now: u64) -> bool {
        now.saturating_sub(then) < self.window_ms
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front().expect("one is known");
        self.known[part(oldest.fingerprint)].remove(&oldest.fingerprint);
    }

    fn fingerprint(&self, publisher: u64, id: &str) -> Fingerprint {
        self.hashers.each_ref().map(|hasher| hasher.hash_one((publisher, id)))
    }
}

fn part(fingerprint: Fingerprint) -> usize {
    fingerprint[0] as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(dedupe: &Dedupe) -> usize {
        let known = dedupe.known.iter().map(HashMap::len).sum();
        assert_eq!(dedupe.order.len(), known);
        known
    }

    #[test]
    fn an_id_has_the_number_that_it_got_first() {
        let mut dedupe = Dedupe::new(1_000, 100);
        assert!(!dedupe.knows(1, "a"));
        assert_eq!(dedupe.claim(1, "a", 7, 0), None);
        assert!(dedupe.knows(1, "a"));
        assert_eq!(dedupe.claim(1, "a", 8, 1), Some(7));
        assert_eq!(dedupe.claim(1, "a", 9, 2), Some(7));
        assert_eq!(ids(&dedupe), 1);
    }

    #[test]
    fn publishers_and_ids_are_not_mixed_up() {
        let mut dedupe = Dedupe::new(1_000, 1_000);
        let mut seq = 0;
        for publisher in [0, 1, 11, u64::MAX] {
            for id in ["", "1", "11", "a", "a\0", "A", &"a".repeat(128), &"a".repeat(127)] {
                seq += 1;
                assert_eq!(dedupe.claim(publisher, id, seq, 0), None, "{publisher} {id:?}");
            }
        }
        assert_eq!(ids(&dedupe), 32);
    }

    #[test]
    fn the_window_ends_for_each_id_by_itself() {
        let mut dedupe = Dedupe::new(1_000, 100);
        dedupe.claim(1, "a", 1, 5_000);
        dedupe.claim(1, "b", 2, 5_400);
        // A retry does not prolong it.
        dedupe.claim(1, "a", 3, 5_900);
        dedupe.forget(5_999);
        assert!(dedupe.knows(1, "a") && dedupe.knows(1, "b"));
        dedupe.forget(6_000);
        assert!(!dedupe.knows(1, "a") && dedupe.knows(1, "b"));
        assert_eq!(dedupe.claim(1, "a", 4, 6_000), None);
        dedupe.forget(6_400);
        assert!(dedupe.knows(1, "a") && !dedupe.knows(1, "b"));
        dedupe.forget(u64::MAX);
        assert_eq!(ids(&dedupe), 0);
    }

    #[test]
    fn a_clock_that_is_put_back_makes_nothing_known_for_less_time() {
        let mut dedupe = Dedupe::new(1_000, 100);
        dedupe.claim(1, "a", 1, 5_000);
        dedupe.claim(1, "b", 2, 100);
        dedupe.forget(100);
        dedupe.forget(1_050);
        assert!(dedupe.knows(1, "a") && dedupe.knows(1, "b"));
    }

    #[test]
    fn without_room_the_oldest_is_forgotten() {
        let mut dedupe = Dedupe::new(u64::MAX, 3);
        for (id, seq) in ["a", "b", "c", "a", "d"].into_iter().zip(1..) {
            dedupe.claim(1, id, seq, 0);
        }
        assert_eq!(["a", "b", "c", "d"].map(|id| dedupe.knows(1, id)), [false, true, true, true]);
        for seq in 10..10_000 {
            dedupe.claim(1, &seq.to_string(), seq, 0);
        }
        assert_eq!(ids(&dedupe), 3);
    }
}
