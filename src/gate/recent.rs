//! The rates of many strangers, remembered for as long as it matters and in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;

use super::rate::{Rate, RateState};
use crate::clock::Nanos;

/// One [`RateState`] for each key that was seen lately, in two generations: when the newer one is as old as a state takes to
/// be as good as new, the older one is dropped whole, so nothing ever has to be searched for what may go.
///
/// A generation that is full ends early. The keys that were not seen since the one before began then have their whole
/// burst again: whoever comes with that many addresses is not held by what one of them may do, and nobody else is
/// refused for it.
pub struct Recent<K> {
    rate: Rate,
    lifetime: Nanos,
    keys_max: usize,
    newer: HashMap<K, RateState>,
    older: HashMap<K, RateState>,
    newer_since: Nanos,
}

impl<K: Hash + Eq> Recent<K> {
    /// Each key may do `rate`, at most `count_max` at a time; `keys_max` are remembered in a generation.
    pub fn new(rate: Rate, count_max: u64, keys_max: usize) -> Self {
        let lifetime = rate.forgiven_after(count_max);
        Self { rate, lifetime, keys_max, newer: HashMap::new(), older: HashMap::new(), newer_since: 0 }
    }

    /// From now on each key may do that. What it has done counts as it did: it was paid for in time.
    pub fn set_rate(&mut self, rate: Rate, count_max: u64) {
        self.rate = rate;
        self.lifetime = rate.forgiven_after(count_max);
    }

    /// Admits `count` of `key`, or says in how many nanoseconds they would be.
    pub fn admit(&mut self, key: K, count: u64, now: Nanos) -> Result<(), Nanos> {
        if self.rate.is_unlimited() {
            return Ok(());
        }
        let is_full = self.newer.len() >= self.keys_max && !self.newer.contains_key(&key);
        if is_full || now >= self.newer_since.saturating_add(self.lifetime) {
            // Clearing keeps the table's memory for the next generation, so no growing under the lock either.
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.clear();
            self.newer_since = now;
        }
        let before = self.older.get(&key).copied().unwrap_or_default();
        self.newer.entry(key).or_insert(before).admit(&self.rate, count, now)
    }

    /// In how many nanoseconds `count` of `key` would be admitted; none: now. It notes nothing.
    pub fn wait(&self, key: &K, count: u64, now: Nanos) -> Option<Nanos> {
        let state = self.newer.get(key).or_else(|| self.older.get(key)).copied().unwrap_or_default();
        state.wait(&self.rate, count, now)
    }

    /// Gives back what `count` of `key` cost that were admitted and came to nothing.
    pub fn refund(&mut self, key: &K, count: u64) {
        // One that is in neither generation has its whole burst.
        if let Some(state) = self.newer.get_mut(key).or_else(|| self.older.get_mut(key)) {
            state.refund(&self.rate, count);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn each_key_has_a_rate_of_its_own_that_outlives_a_generation() {
        let mut recent = Recent::new(Rate::per_second(1, 2), 1, 100);
        // 2 s are a generation: the burst of the first key is spent at the end of one and remembered in the next.
        for now in [SECOND * 19 / 10, SECOND * 19 / 10] {
            assert_eq!(recent.admit('a', 1, now), Ok(()));
        }
        assert!(recent.admit('a', 1, SECOND * 2).is_err());
        assert_eq!(recent.admit('b', 1, SECOND * 2), Ok(()));
        assert!(recent.admit('a', 1, SECOND * 2).is_err());
    }

    #[test]
    fn another_rate_counts_from_the_next_on() {
        let mut recent = Recent::new(Rate::per_second(1, 1), 1, 100);
        assert_eq!(recent.admit('a', 1, 0), Ok(()));
        recent.set_rate(Rate::per_second(10, 1), 1);
        assert_eq!(recent.admit('a', 1, 0), Err(SECOND), "what it owes is still to be paid for");
        assert_eq!(recent.admit('a', 1, SECOND), Ok(()));
        assert_eq!(recent.admit('a', 1, SECOND), Err(SECOND / 10));
    }

    #[test]
    fn a_refund_reaches_a_key_in_either_generation() {
        let mut recent = Recent::new(Rate::per_second(1, 2), 1, 100);
        let now = SECOND * 19 / 10;
        assert_eq!((recent.admit('a', 1, now), recent.admit('a', 1, now)), (Ok(()), Ok(())));
        recent.refund(&'a', 1);
        assert_eq!((recent.admit('a', 1, now), recent.wait(&'a', 1, now)), (Ok(()), Some(SECOND)));
        // Another key begins a new generation.
        assert_eq!(recent.admit('b', 1, SECOND * 2), Ok(()));
        assert!(recent.older.contains_key(&'a') && !recent.newer.contains_key(&'a'));
        recent.refund(&'a', 1);
        assert_eq!((recent.wait(&'a', 1, SECOND * 2), recent.admit('a', 1, SECOND * 2)), (None, Ok(())));
        recent.refund(&'c', 1);
        assert_eq!(recent.len(), 3, "a stranger to it is not noted");
    }

    #[test]
    fn it_answers_exactly_as_if_nothing_were_ever_forgotten() {
        let mut random = fastrand::Rng::with_seed(3);
        let rate = Rate::per_second(10, 5);
        let (mut recent, mut forever) = (Recent::new(rate, 8, 1_000), HashMap::<u32, RateState>::new());
        let mut now = 0;
        for _ in 0..100_000 {
            now += random.u64(0..SECOND / 50);
            let (key, count) = (random.u32(0..20), random.u64(1..=8));
            let expected = forever.entry(key).or_default().admit(&rate, count, now);
            assert_eq!(recent.wait(&key, count, now), expected.err());
            assert_eq!(recent.admit(key, count, now), expected);
        }
    }

    #[test]
    fn a_flood_of_keys_is_bounded_and_refuses_no_newcomer() {
        let mut recent = Recent::new(Rate::per_second(1, 1), 1, 100);
        for key in 0..10_000 {
            assert_eq!(recent.admit(key, 1, 0), Ok(()));
            assert!(recent.len() <= 200);
        }
        assert!(recent.admit(9_999, 1, 0).is_err(), "the latest are remembered");
        assert_eq!(recent.admit(0, 1, 0), Ok(()), "the oldest are not");
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let mut recent = Recent::new(Rate::per_second(1, 1), 1, 100);
        (0..50).for_each(|key| recent.admit(key, 1, 0).expect("a whole burst"));
        for now in [SECOND, 2 * SECOND] {
            recent.admit(1_000, 1, now).expect("a whole burst");
        }
        assert_eq!(recent.len(), 2, "one key in two generations");
    }
}
