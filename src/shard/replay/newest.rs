//! The newest event of each conflation key, for sessions that want no other.
//!
//! Keys are remembered by a hash with a secret of this process, in two generations: when one is full, the older is forgotten. Of
//! a key that was forgotten every event is sent, so that what is bounded here is only how much is passed over.

use std::collections::HashMap;

use crate::event::Event;
use crate::limits::NEWEST_KEYS_MAX;

#[derive(Default)]
pub struct Newest {
    young: HashMap<u64, u64, ahash::RandomState>,
    old: HashMap<u64, u64, ahash::RandomState>,
    hasher: ahash::RandomState,
}

impl Newest {
    /// Notes an event as it is published.
    pub fn note(&mut self, event: &Event, seq: u64) {
        let Some(hash) = self.hash(event) else { return };
        if self.young.len() >= NEWEST_KEYS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash, seq);
    }

    /// Whether a later event on the same topic has the same key.
    pub fn has_newer(&self, event: &Event, seq: u64) -> bool {
        let newest = self.hash(event).and_then(|hash| self.young.get(&hash).or_else(|| self.old.get(&hash)));
        newest.is_some_and(|newest| *newest > seq)
    }

    /// Of its topic and key; an event without a key is like no other.
    fn hash(&self, event: &Event) -> Option<u64> {
        event.key.as_deref().map(|key| self.hasher.hash_one((event.topic.as_str(), key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventParser;

    fn event(topic: &str, key: Option<&str>) -> Event {
        let text = serde_json::json!({ "type": "tick", "topic": topic, "key": key.unwrap_or("x"), "data": {} });
        let mut event = EventParser::new().parse(text.to_string().as_bytes(), 1, None).expect("a sound event");
        event.key = key.map(Into::into);
        event
    }

    #[test]
    fn an_event_has_a_newer_one_with_its_key_and_topic() {
        let mut newest = Newest::default();
        newest.note(&event("price:a", Some("k")), 7);
        assert!(newest.has_newer(&event("price:a", Some("k")), 6));
        assert!(!newest.has_newer(&event("price:a", Some("k")), 7));
        assert!(!newest.has_newer(&event("price:b", Some("k")), 6));
        assert!(!newest.has_newer(&event("price:a", Some("l")), 6));
        newest.note(&event("price:a", None), 8);
        assert!(!newest.has_newer(&event("price:a", None), 1), "without a key it is like no other");
    }

    #[test]
    fn keys_are_forgotten_by_generations() {
        let mut newest = Newest::default();
        for number in 0..3 * NEWEST_KEYS_MAX as u64 {
            newest.note(&event("price:a", Some(&number.to_string())), number + 1);
        }
        assert!(newest.young.len() + newest.old.len() <= 2 * NEWEST_KEYS_MAX);
        assert!(!newest.has_newer(&event("price:a", Some("0")), 0), "forgotten");
        let last = 3 * NEWEST_KEYS_MAX as u64 - 1;
        assert!(newest.has_newer(&event("price:a", Some(&last.to_string())), last));
    }
}
