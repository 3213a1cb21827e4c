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
    keys: HashMap<KeyNumber, Nanos>,
    addresses: HashMap<IpAddr, Nanos>,
}

impl Refusals {
    /// Notes a refusal. Where the key or the address had one within the last minute, answers the nanoseconds that are
    /// left of it, and the minute does not begin again.
    pub fn note(&self, key: KeyNumber, address: IpAddr, now: Nanos) -> Option<Nanos> {
        let mut recent = self.recent.lock().expect("no holder panics");
        let Recent { keys, addresses } = &mut *recent;
        let left = left_of(keys, &key, now).max(left_of(addresses, &address, now));
        if left.is_none() {
            remember(keys, key, now);
            remember(addresses, address, now);
        }
        left
    }
}

const MINUTE: Nanos = 60_000_000_000;

fn left_of<K: Hash + Eq>(noted: &HashMap<K, Nanos>, key: &K, now: Nanos) -> Option<Nanos> {
    let until = noted.get(key)? + MINUTE;
    (until > now).then(|| until - now)
}

fn remember<K: Hash + Eq>(noted: &mut HashMap<K, Nanos>, key: K, now: Nanos) {
    if noted.len() >= limits::REFUSALS_MAX {
        noted.retain(|_, since| *since + MINUTE > now);
    }
    if noted.len() < limits::REFUSALS_MAX {
        noted.insert(key, now);
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
        assert_eq!(refusals.recent.lock().unwrap().keys.len(), limits::REFUSALS_MAX);
    }
}
