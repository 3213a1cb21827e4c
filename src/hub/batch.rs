//! Events with their numbers, encoded once and shared by every shard.

use super::envelope::append_frame;
use crate::clock::Nanos;
use crate::event::{Event, Topic};

/// One publish request's events in the order of their numbers, each as a complete WebSocket frame.
#[derive(Debug)]
pub struct EncodedBatch {
    first_seq: u64,
    accepted_at: Nanos,
    events: Box<[EncodedEvent]>,
    frames: Box<[u8]>,
}

#[derive(Debug)]
struct EncodedEvent {
    topic: Topic,
    /// Where the frame ends in `frames`; it begins where the one before ends.
    end: usize,
}

impl EncodedBatch {
    /// Numbers the events from `first_seq` on and encodes them. `accepted_at` is when the publisher's request was
    /// complete: fan-out latency counts from there.
    pub fn encode(events: Vec<Event>, first_seq: u64, accepted_at: Nanos) -> Self {
        let mut frames = Vec::with_capacity(events.iter().map(|event| event.data.len() + 128).sum());
        let events = events
            .into_iter()
            .zip(first_seq..)
            .map(|(event, seq)| {
                append_frame(&event, seq, &mut frames);
                EncodedEvent { topic: event.topic, end: frames.len() }
            })
            .collect();
        Self { first_seq, accepted_at, events, frames: frames.into() }
    }

    pub fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// The number after the last event's.
    pub fn next_seq(&self) -> u64 {
        self.first_seq + self.events.len() as u64
    }

    pub fn accepted_at(&self) -> Nanos {
        self.accepted_at
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// What the batch holds in memory, in bytes, near enough to bound it.
    pub fn bytes(&self) -> usize {
        self.frames.len() + self.events.len() * (size_of::<EncodedEvent>() + 64)
    }

    pub fn topic(&self, event: usize) -> &Topic {
        &self.events[event].topic
    }

    pub fn frame(&self, event: usize) -> &[u8] {
        let start = if event == 0 { 0 } else { self.events[event - 1].end };
        &self.frames[start..self.events[event].end]
    }
}
