//! Who was upgraded only to be told 4403, so that a client that comes back every second costs no more upgrades.

use std::net::IpAddr;
use std::sync::Mutex;

use super::host::Host;
use super::rate::Rate;
use super::recent::Recent;
use crate::accounts::KeyNumber;
use crate::clock::Nanos;
use crate::limits;

/// Refusals of the last minute, of all shards. Only touched on the way to a refusal.
pub struct Refusals {
    noted: Mutex<Noted>,
}

/// One upgrade a minute is what a key and an address may have of them.
struct Noted {
    keys: Recent<KeyNumber>,
    hosts: Recent<Host>,
}

impl Default for Refusals {
    fn default() -> Self {
        let rate = Rate::one_in(limits::REFUSAL_REMEMBERED_S * 1_000_000_000);
        let (keys, hosts) = (Recent::new(rate, 1, limits::REFUSALS_MAX), Recent::new(rate, 1, limits::REFUSALS_MAX));
        Self { noted: Mutex::new(Noted { keys, hosts }) }
    }
}

impl Refusals {
    /// Notes a refusal. Where the key or the address had one within the last minute, answers the nanoseconds that are
    /// left of it, and the minute does not begin again.
    pub fn note(&self, key: KeyNumber, address: IpAddr, now: Nanos) -> Option<Nanos> {
        let host = Host::of(address);
        let Noted { keys, hosts } = &mut *self.noted.lock().expect("no holder panics");
        let left = keys.wait(&key, 1, now).max(hosts.wait(&host, 1, now));
        if left.is_none() {
            keys.admit(key, 1, now).and(hosts.admit(host, 1, now)).expect("neither has to wait");
        }
        left
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
    fn an_ipv6_network_of_64_bits_is_one_address() {
        let refusals = Refusals::default();
        let note = |key, text: &str, now| refusals.note(KeyNumber(key), text.parse().expect(text), now);
        assert_eq!(note(1, "2001:db8:0:1::5", 0), None);
        assert_eq!(note(2, "2001:db8:0:1:ffff::9", SECOND), Some(59 * SECOND));
        assert_eq!(note(3, "2001:db8:0:2::5", SECOND), None);
        assert_eq!((note(4, "192.0.2.1", 0), note(5, "::ffff:192.0.2.1", 0)), (None, Some(60 * SECOND)));
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
        for number in 0..limits::REFUSALS_MAX as u32 * 3 {
            refusals.note(KeyNumber(number.into()), IpAddr::from(number.to_be_bytes()), 0);
        }
        let noted = refusals.noted.lock().expect("no holder panics");
        assert_eq!((noted.keys.len(), noted.hosts.len()), (2 * limits::REFUSALS_MAX, 2 * limits::REFUSALS_MAX));
    }
}
