//! What was published, in all lives of the server: the shadow model's truth.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cast::{self, Mask};
use crate::event::Event;
use crate::hub::EncodedBatch;
use crate::journal::{Catalogue, Gap, GapReason};

#[derive(Default)]
pub struct History {
    entries: BTreeMap<u64, Entry>,
    /// The numbers of each topic's events, in order.
    by_topic: [Vec<u64>; cast::TOPICS.len()],
    /// The newest event of each topic and conflation key.
    newest: HashMap<(u8, Box<str>), u64>,
    /// The newest number that each publisher's id has.
    ids: HashMap<(u64, Box<str>), u64>,
    /// Everything before this number may be gone by retention.
    pub retained_from: u64,
    pub events_seen: u64,
}

pub struct Entry {
    batch: Arc<EncodedBatch>,
    index: usize,
    pub topic: u8,
    /// In which life of the server it was published.
    pub life: u32,
    /// Its publisher was told that it is kept, or, where nothing goes out before it is kept, somebody saw it.
    pub promised: bool,
    /// It survived a crash, so it survives the next one.
    pub lasting: bool,
    /// A crash took it.
    pub lost: bool,
}

impl Entry {
    pub fn event(&self) -> &Event {
        &self.batch.events()[self.index]
    }

    pub fn frame(&self) -> &[u8] {
        self.batch.frame(self.index)
    }

    pub fn unix_ms(&self) -> u64 {
        self.batch.origin().unix_ms
    }
}

impl History {
    pub fn append(&mut self, batch: &Arc<EncodedBatch>, life: u32) {
        for (index, (event, seq)) in batch.events().iter().zip(batch.first_seq()..).enumerate() {
            let topic = cast::number_of(&event.topic);
            let entry =
                Entry { batch: batch.clone(), index, topic, life, promised: false, lasting: false, lost: false };
            assert!(
                self.entries.last_key_value().is_none_or(|(last, _)| *last < seq),
                "number {seq} is given out although {:?} was before",
                self.entries.last_key_value().map(|(last, _)| last)
            );
            self.entries.insert(seq, entry);
            self.by_topic[topic as usize].push(seq);
            if let Some(key) = &event.key {
                self.newest.insert((topic, key.clone()), seq);
            }
            if let Some(id) = &event.id {
                self.ids.insert((batch.origin().publisher, id.clone()), seq);
            }
        }
    }

    /// What is older than the catalogue's oldest segment may be gone.
    pub fn follow_retention(&mut self, catalogue: &Catalogue) {
        if let Some(oldest) = catalogue.segments().next() {
            self.retained_from = self.retained_from.max(oldest.first_seq());
        }
    }

    pub fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    pub fn get_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        self.entries.get_mut(&seq)
    }

    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(seq, entry)| (*seq, entry))
    }

    /// The number that a publisher's id got last.
    pub fn of_id(&self, publisher: u64, id: &str) -> Option<u64> {
        self.ids.get(&(publisher, id.into())).copied()
    }

    pub fn newest_of_key(&self, topic: u8, key: &str) -> Option<u64> {
        self.newest.get(&(topic, key.into())).copied()
    }

    /// The numbers after `after`, up to `to`, of events on these topics.
    pub fn matching(&self, mask: Mask, after: u64, to: u64) -> impl Iterator<Item = u64> {
        let topics = (0..cast::TOPICS.len()).filter(move |topic| mask & 1 << topic != 0);
        topics.flat_map(move |topic| {
            let numbers = &self.by_topic[topic];
            let first = numbers.partition_point(|seq| *seq <= after);
            numbers[first..].iter().copied().take_while(move |seq| *seq <= to)
        })
    }

    /// Holds what a client was told against what happened.
    pub fn check_gap(&self, gap: &Gap) {
        assert!(gap.from <= gap.to, "{gap:?}");
        for (seq, entry) in self.entries.range(gap.from..=gap.to) {
            match gap.reason {
                GapReason::Retention => {
                    assert!(*seq < self.retained_from, "{gap:?} is told, and event {seq} is retained")
                }
                // Where a recovery that removed the last empty segment is cut short, nothing tells any more which of the numbers
                // before it retention has dropped.
                GapReason::Crash => assert!(
                    entry.lost || *seq < self.retained_from,
                    "{gap:?} is told, and event {seq} was not lost in a crash"
                ),
                GapReason::Latest => {}
            }
        }
    }
}
