//! What one publisher may take: bytes of its requests at a time, and events a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::Policy;
use super::rate::Rate;
use super::recent::Recent;
use super::refused::{Refused, seconds};
use crate::accounts::KeyNumber;
use crate::clock::Nanos;
use crate::limits;

/// Every publisher that is at work, by its key. One for the server; touched a few times a request.
pub struct Publishers {
    working: Mutex<Working>,
}

struct Working {
    bytes_max: u64,
    /// Of those with a request under way.
    bytes: HashMap<KeyNumber, u64>,
    events: Recent<KeyNumber>,
}

/// Bytes of one request, counted under its publisher until it is dropped.
pub struct BytesInFlight {
    publishers: Arc<Publishers>,
    key: KeyNumber,
    bytes: u64,
}

impl Publishers {
    pub fn new(policy: &Policy) -> Arc<Self> {
        let events = Recent::new(rate(policy), limits::BATCH_EVENTS_MAX as u64, limits::RATED_PUBLISHERS_MAX);
        let bytes_max = policy.publisher_bytes_in_flight;
        Arc::new(Self { working: Mutex::new(Working { bytes_max, bytes: HashMap::new(), events }) })
    }

    /// Puts another policy into force; requests under way keep what they have.
    pub fn follow(&self, policy: &Policy) {
        let mut working = self.working();
        working.bytes_max = policy.publisher_bytes_in_flight;
        working.events.set_rate(rate(policy), limits::BATCH_EVENTS_MAX as u64);
    }

    /// Counts a request's bytes. One request that is alone always passes, so that none is too large for ever.
    pub fn admit_bytes(self: &Arc<Self>, key: KeyNumber, bytes: u64) -> Result<BytesInFlight, Refused> {
        let mut held = BytesInFlight { publishers: self.clone(), key, bytes: 0 };
        held.grow(bytes)?;
        Ok(held)
    }

    /// Counts events that are about to be published, all or nothing.
    pub fn admit_events(&self, key: KeyNumber, count: u64, now: Nanos) -> Result<(), Refused> {
        let admitted = self.working().events.admit(key, count, now);
        admitted.map_err(|wait| Refused::EventsTooFast { retry_after_s: seconds(wait) })
    }

    /// Gives back what events cost that were admitted and that the server then had no room for, so that it doesn't refuse
    /// them once more for having come before.
    pub fn refund_events(&self, key: KeyNumber, count: u64) {
        self.working().events.refund(&key, count);
    }

    fn working(&self) -> MutexGuard<'_, Working> {
        self.working.lock().expect("no holder panics")
    }
}

fn rate(policy: &Policy) -> Rate {
    Rate::per_second(policy.publisher_events_per_second, policy.publisher_event_burst)
}

impl BytesInFlight {
    /// Makes it at least as large as `bytes`; where that doesn't fit, it stays as it was.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Refused> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let mut working = self.publishers.working();
        let max = working.bytes_max;
        let of_key = working.bytes.entry(self.key).or_default();
        let others = *of_key - self.bytes;
        if max != 0 && others > 0 && others.saturating_add(bytes) > max {
            return Err(Refused::BytesInFlight);
        }
        *of_key = others.saturating_add(bytes);
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for BytesInFlight {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut working = self.publishers.working();
        let of_key = working.bytes.get_mut(&self.key).expect("its bytes are counted");
        *of_key -= self.bytes;
        if *of_key == 0 {
            working.bytes.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: KeyNumber = KeyNumber(1);
    const OTHER: KeyNumber = KeyNumber(2);
    const SECOND: Nanos = 1_000_000_000;

    fn publishers(bytes: u64, events_per_second: u32, event_burst: u32) -> Arc<Publishers> {
        Publishers::new(&Policy {
            publisher_bytes_in_flight: bytes,
            publisher_events_per_second: events_per_second,
            publisher_event_burst: event_burst,
            ..Policy::default()
        })
    }

    #[test]
    fn requests_of_one_publisher_fit_together_and_another_has_its_own_room() {
        let publishers = publishers(100, 0, 0);
        let admit = |key, bytes| publishers.admit_bytes(key, bytes);
        let first = admit(KEY, 60).expect("room");
        assert_eq!(admit(KEY, 41).err(), Some(Refused::BytesInFlight));
        let mut second = admit(KEY, 10).expect("room");
        assert_eq!(second.grow(41), Err(Refused::BytesInFlight));
        assert_eq!((second.grow(40), second.grow(1)), (Ok(()), Ok(())));
        let _other = admit(OTHER, 100).expect("another publisher");
        drop(first);
        assert_eq!(second.grow(100), Ok(()));
        drop((second, _other));
        assert!(publishers.working().bytes.is_empty(), "nothing is kept");
    }

    #[test]
    fn another_policy_counts_for_the_next_request() {
        let publishers = publishers(100, 0, 0);
        let _held = publishers.admit_bytes(KEY, 60).expect("room");
        publishers.follow(&Policy {
            publisher_bytes_in_flight: 200,
            publisher_events_per_second: 10,
            publisher_event_burst: 20,
            ..Policy::default()
        });
        let _more = publishers.admit_bytes(KEY, 140).expect("there is more room");
        assert_eq!(publishers.admit_events(KEY, 20, 0), Ok(()));
        assert!(publishers.admit_events(KEY, 20, 0).is_err());
    }

    #[test]
    fn one_request_alone_always_passes_and_then_nobody_beside_it() {
        let publishers = publishers(100, 0, 0);
        let large = publishers.admit_bytes(KEY, u64::MAX).expect("alone");
        assert!(publishers.admit_bytes(KEY, 1).is_err());
        drop(large);
        assert!(publishers.admit_bytes(KEY, 1).is_ok());
    }

    #[test]
    fn a_request_without_bytes_yet_leaves_nothing_behind() {
        let publishers = publishers(100, 0, 0);
        let held = publishers.admit_bytes(KEY, 100).expect("room");
        let mut empty = publishers.admit_bytes(KEY, 0).expect("nothing fits everywhere");
        assert!(empty.grow(1).is_err());
        drop((held, empty));
        assert!(publishers.working().bytes.is_empty());
    }

    #[test]
    fn no_limit_is_none() {
        let publishers = publishers(0, 0, 0);
        let _held = [u64::MAX / 2; 2].map(|bytes| publishers.admit_bytes(KEY, bytes).expect("no limit"));
        assert_eq!(publishers.admit_events(KEY, u64::MAX, 0), Ok(()));
    }

    #[test]
    fn events_have_a_rate_and_the_wait_is_until_these_would_fit() {
        let publishers = publishers(0, 10, 20);
        let admit = |key, count, now| publishers.admit_events(key, count, now);
        assert_eq!(admit(KEY, 20, 0), Ok(()));
        assert_eq!(admit(KEY, 15, 0), Err(Refused::EventsTooFast { retry_after_s: 2 }));
        assert_eq!(admit(OTHER, 20, 0), Ok(()));
        assert_eq!(admit(KEY, 15, 2 * SECOND), Ok(()));
        assert_eq!(admit(KEY, 1_000, 30 * SECOND), Ok(()), "a request past the burst passes when it is all there");
        assert_eq!(admit(KEY, 1, 30 * SECOND), Err(Refused::EventsTooFast { retry_after_s: 99 }));
    }
}
