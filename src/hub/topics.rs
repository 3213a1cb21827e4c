//! Which topics are busy: events of the last minute, counted as the hub numbers them.
//!
//! ```text
//!   slices of ten seconds:  [ 1 ][ 2 ][ 3 ][ 4 ][ 5 ][ now… ]        each counts at most TOPICS_COUNTED_MAX topics
//! ```
//!
//! There may be any number of topics, so a slice counts the frequent ones alone (Misra and Gries, 1982): a topic that finds no
//! room takes one from every count, its own event included, and whoever is at nothing leaves. Each such round stands for more than
//! [`TOPICS_COUNTED_MAX`] events, so a round costs an event less than a look-up, and a count is short by the rounds at most.
//!
//! The hub takes the lock once a batch. Whoever reads copies pointers under it, and adds up outside: at most [`TOPIC_SLICES`] times
//! [`TOPICS_COUNTED_MAX`] counts, which takes less than a shard's turn.

use std::sync::{Arc, Mutex};

use ahash::HashMap;

use crate::clock::Nanos;
use crate::limits::{TOPIC_SLICE_MS, TOPIC_SLICES, TOPICS_COUNTED_MAX};

const SLICE_NS: Nanos = TOPIC_SLICE_MS * 1_000_000;

/// The counts in force. One writer, the hub.
#[derive(Default)]
pub struct TopicTraffic {
    slices: Mutex<Slices>,
}

#[derive(Clone, Default)]
struct Slices {
    now: Slice,
    /// The oldest first; never more than the last minute has.
    past: Vec<Arc<Slice>>,
}

#[derive(Clone, Default)]
struct Slice {
    /// Which stretch of time it is, counted from the process's epoch.
    index: u64,
    counts: HashMap<Arc<str>, u64>,
    /// How far a count may be short.
    rounds: u64,
}

/// The busiest topics of about a minute.
#[derive(Debug, PartialEq, Eq)]
pub struct Busiest {
    /// How long a time was counted.
    pub window_ms: u64,
    /// How far a number of events may be short.
    pub short_by_max: u64,
    /// Topics and their events, most first.
    pub topics: Vec<(Arc<str>, u64)>,
}

impl TopicTraffic {
    /// Counts an event of each of these topics.
    pub fn count<'a>(&self, topics: impl Iterator<Item = &'a str>, now: Nanos) {
        let mut slices = self.slices.lock().expect("no holder panics");
        slices.turn_to(now);
        topics.for_each(|topic| slices.now.count(topic));
    }

    /// The busiest `topics_max` topics.
    pub fn busiest(&self, topics_max: usize, now: Nanos) -> Busiest {
        let slices = self.slices.lock().expect("no holder panics").clone();
        slices.busiest(topics_max, now)
    }
}

impl Slices {
    fn turn_to(&mut self, now: Nanos) {
        let index = now / SLICE_NS;
        if index > self.now.index {
            let ended = std::mem::replace(&mut self.now, Slice { index, ..Slice::default() });
            self.past.push(Arc::new(ended));
            self.past.retain(|slice| is_recent(slice, index));
        }
    }

    fn busiest(&self, topics_max: usize, now: Nanos) -> Busiest {
        let index = now / SLICE_NS;
        let mut sums: HashMap<&Arc<str>, u64> = HashMap::default();
        let mut short_by_max = 0;
        let past = self.past.iter().map(|slice| &**slice);
        for slice in past.chain([&self.now]).filter(|slice| is_recent(slice, index)) {
            slice.counts.iter().for_each(|(topic, count)| *sums.entry(topic).or_default() += count);
            short_by_max += slice.rounds;
        }
        let mut topics: Vec<(&Arc<str>, u64)> = sums.into_iter().collect();
        // Of two that are equal always the same one first, or a page that asks again would see them jump.
        let order = |(one, ones): &(&Arc<str>, u64), (other, others): &(&Arc<str>, u64)| {
            others.cmp(ones).then_with(|| one.cmp(other))
        };
        // Only those that are told are sorted: a shard's thread does it.
        if topics_max < topics.len() {
            topics.select_nth_unstable_by(topics_max, order);
            topics.truncate(topics_max);
        }
        topics.sort_unstable_by(order);
        let topics = topics.into_iter().map(|(topic, count)| (topic.clone(), count)).collect();
        let begun = (index + 1).saturating_sub(TOPIC_SLICES) * SLICE_NS;
        Busiest { window_ms: (now - begun) / 1_000_000, short_by_max, topics }
    }
}

fn is_recent(slice: &Slice, index: u64) -> bool {
    slice.index + TOPIC_SLICES > index
}

impl Slice {
    fn count(&mut self, topic: &str) {
        if let Some(count) = self.counts.get_mut(topic) {
            *count += 1;
        } else if self.counts.len() < TOPICS_COUNTED_MAX {
            self.counts.insert(topic.into(), 1);
        } else {
            self.rounds += 1;
            self.counts.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn told(busiest: &Busiest) -> Vec<(&str, u64)> {
        busiest.topics.iter().map(|(topic, events)| (&**topic, *events)).collect()
    }

    #[test]
    fn topics_are_told_by_their_events_most_first() {
        let traffic = TopicTraffic::default();
        traffic.count(["b", "a", "c", "c"].into_iter(), 2 * SECOND);
        traffic.count(["c"].into_iter(), 13 * SECOND);
        let busiest = traffic.busiest(9, 14 * SECOND);
        assert_eq!(told(&busiest), [("c", 3), ("a", 1), ("b", 1)]);
        assert_eq!((busiest.window_ms, busiest.short_by_max), (14_000, 0), "no more time has gone by");
        assert_eq!(told(&traffic.busiest(1, 14 * SECOND)), [("c", 3)]);
    }

    #[test]
    fn however_few_are_told_they_are_the_first_of_all_also_among_equals() {
        let mut random = fastrand::Rng::with_seed(11);
        let traffic = TopicTraffic::default();
        for slice in 0..TOPIC_SLICES {
            let topics: Vec<String> = (0..2_000).map(|_| format!("topic-{}", random.u32(..400))).collect();
            traffic.count(topics.iter().map(String::as_str), slice * SLICE_NS);
        }
        let told = |topics_max| traffic.busiest(topics_max, TOPIC_SLICES * SLICE_NS - 1).topics;
        let all = told(usize::MAX);
        assert_eq!(all.len(), 400);
        assert!(all.is_sorted_by_key(|(topic, count)| (std::cmp::Reverse(*count), topic.clone())));
        for few in [0, 1, 10, 256, 399, 400, 401] {
            assert_eq!(told(few), all[..few.min(400)], "{few}");
        }
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten_also_where_nothing_came_since() {
        let traffic = TopicTraffic::default();
        traffic.count(["old"].into_iter(), 5 * SECOND);
        traffic.count(["new"].into_iter(), 15 * SECOND);
        assert_eq!(told(&traffic.busiest(9, 59 * SECOND)), [("new", 1), ("old", 1)]);
        let later = traffic.busiest(9, 65 * SECOND);
        assert_eq!((told(&later), later.window_ms), (vec![("new", 1)], 55_000));
        assert_eq!(told(&traffic.busiest(9, 70 * SECOND)), []);
        traffic.count(["last"].into_iter(), 900 * SECOND);
        assert_eq!(told(&traffic.busiest(9, 900 * SECOND)), [("last", 1)]);
        assert_eq!(traffic.slices.lock().unwrap().past.len(), 0, "and nothing is kept of it");
    }

    #[test]
    fn a_frequent_topic_is_found_among_any_number_of_others_and_its_count_is_short_by_no_more_than_told() {
        let mut random = fastrand::Rng::with_seed(7);
        let traffic = TopicTraffic::default();
        let (mut published, mut heavy) = (0, 0);
        for _ in 0..200_000 {
            let topic =
                if random.u32(..100) < 2 { "heavy".to_owned() } else { format!("one-of-many-{}", random.u32(..)) };
            heavy += u64::from(topic == "heavy");
            published += 1;
            traffic.count([&*topic].into_iter(), SECOND);
        }
        let busiest = traffic.busiest(1, SECOND);
        let (topic, counted) = told(&busiest)[0];
        assert_eq!(topic, "heavy");
        assert!(counted <= heavy && heavy <= counted + busiest.short_by_max, "{counted} of {heavy}: {busiest:?}");
        assert!(busiest.short_by_max <= published / TOPICS_COUNTED_MAX as u64, "{busiest:?}");
        assert!(traffic.slices.lock().unwrap().now.counts.len() <= TOPICS_COUNTED_MAX);
    }
}
