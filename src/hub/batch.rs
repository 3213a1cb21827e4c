//! Events with their numbers, encoded once and shared by every shard.

use super::envelope::append_frame;
use crate::clock::Nanos;
use crate::event::{Event, Topic};
use crate::limits::EVENT_OVERHEAD_BYTES;

/// One publish request's events in the order of their numbers, each as a complete WebSocket frame.
#[derive(Debug)]
pub struct EncodedBatch {
    first_seq: u64,
    accepted_at: Nanos,
    origin: Origin,
    events: Box<[Event]>,
    /// Where each event's frame ends in `frames`; it begins where the one before ends.
    ends: Box<[usize]>,
    frames: Box<[u8]>,
    bytes: usize,
}

/// Who published a batch, and when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The number of the publisher's account, or [`Self::SERVER`].
    pub publisher: u64,
    /// When the request was accepted, in Unix milliseconds.
    pub unix_ms: u64,
}

impl Origin {
    /// The publisher of what the server says itself; accounts are numbered from 1.
    pub const SERVER: u64 = 0;
}

impl EncodedBatch {
    /// Numbers the events from `first_seq` on and encodes them. `accepted_at` is when the publisher's request was
    /// complete: fan-out latency counts from there.
    pub fn encode(events: Vec<Event>, first_seq: u64, accepted_at: Nanos, origin: Origin) -> Self {
        let mut frames = Vec::with_capacity(events.iter().map(|event| event.data.len() + 128).sum());
        let encode = |(event, seq): (&Event, u64)| {
            append_frame(event, seq, &mut frames);
            frames.len()
        };
        let ends = events.iter().zip(first_seq..).map(encode).collect();
        let data: usize = events.iter().map(|event| event.data.len()).sum();
        let bytes = frames.len() + data + events.len() * EVENT_OVERHEAD_BYTES;
        Self { first_seq, accepted_at, origin, events: events.into(), ends, frames: frames.into(), bytes }
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

    pub fn origin(&self) -> Origin {
        self.origin
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
        self.bytes
    }

    /// As they were published.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    pub fn topic(&self, event: usize) -> &Topic {
        &self.events[event].topic
    }

    pub fn frame(&self, event: usize) -> &[u8] {
        let start = if event == 0 { 0 } else { self.ends[event - 1] };
        &self.frames[start..self.ends[event]]
    }
}
