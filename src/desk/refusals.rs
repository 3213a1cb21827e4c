//! Who was upgraded only to be told 4403, so that a client that comes back every second costs no more upgrades.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;

use crate::accounts::KeyNumber;
use crate::clock::Nanos;
use crate::limits;

/// Refusals of the last minute, of all shards. Only touched on the way to a refusal.
#[derive(Default)]
pub struct Refusals {
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    keys: LastMinute<KeyNumber>,
    addresses: LastMinute<IpAddr>,
}

impl Refusals {
    /// Notes a refusal. Where the key or the address had one within the last minute, answers the nanoseconds that are
    /// left of it, and the minute does not begin again.
    pub fn note(&self, key: KeyNumber, address: IpAddr, now: Nanos) -> Option<Nanos> {
        let mut recent = self.recent.lock().expect("no holder panics");
        let left = recent.keys.left_of(&key, now).max(recent.addresses.left_of(&address, now));
        if left.is_none() {
            recent.keys.note(key, now);
            recent.addresses.note(address, now);
        }
        left
    }
}

const MINUTE: Nanos = 60_000_000_000;

/// What was noted within a minute, in two generations: when the newer one is a minute old, the older one is dropped whole,
/// so that nothing ever has to be searched for what has expired.
struct LastMinute<K> {
    newer: HashMap<K, Nanos>,
    older: HashMap<K, Nanos>,
    newer_since: Nanos,
}

impl<K> Default for LastMinute<K> {
    fn default() -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), newer_since: 0 }
    }
}

impl<K: Hash + Eq> LastMinute<K> {
    fn left_of(&self, key: &K, now: Nanos) -> Option<Nanos> {
        let until = self.newer.get(key).or_else(|| self.older.get(key))? + MINUTE;
        (until > now).then(|| until - now)
    }

    fn note(&mut self, key: K, now: Nanos) {
        if now >= self.newer_since + MINUTE {
            self.older = std::mem::take(&mut self.newer);
            self.newer_since = now;
        }
        if self.newer.len() < limits::REFUSALS_MAX {
            self.newer.insert(key, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn a_repeat_from_the_same_key_or_address_is_known_for_a_minute() {
        let refusals = Refusals::default();
        assert_eq!(refusals.note(KeyNumber(1), address(1), 0), None);
        assert_eq!(refusals.note(KeyNumber(1), address(2), SECOND), Some(59 * SECOND));
        assert_eq!(refusals.note(KeyNumber(2), address(1), 2 * SECOND), Some(58 * SECOND));
        assert_eq!(refusals.note(KeyNumber(2), address(2), 3 * SECOND), None);
    }

    #[test]
    fn the_minute_ends_even_for_one_who_never_stops_trying() {
        let refusals = Refusals::default();
        let upgrades = (0..180).filter(|second| refusals.note(KeyNumber(1), address(1), second * SECOND).is_none());
        assert_eq!(upgrades.count(), 3);
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_it_without_bound() {
        let refusals = Refusals::default();
        for number in 0..limits::REFUSALS_MAX as u32 * 2 {
            refusals.note(KeyNumber(number.into()), IpAddr::from(number.to_be_bytes()), 0);
        }
        assert_eq!(refusals.recent.lock().unwrap().keys.newer.len(), limits::REFUSALS_MAX);
    }
}
