//! What the journal hands to whoever replays it: consecutive events, and what of them is gone.

use std::sync::Arc;

use crate::hub::EncodedBatch;

/// The events from one number to another, without a hole that is not told.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    /// The number that was asked for.
    pub from: u64,
    /// The number after the last one that it covers. Equal to `from` where there is nothing from there on yet.
    pub next: u64,
    /// In the order of their numbers.
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub enum Part {
    /// May begin before the number that was asked for, and end behind [`Chunk::next`].
    Events(Arc<EncodedBatch>),
    Gap(Gap),
}

/// Numbers of which no event can be had any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: u64,
    /// The last one.
    pub to: u64,
    pub reason: GapReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// Retention has dropped them.
    Retention,
    /// The server or the machine went down before they were on the disk. Not all of these numbers had been given out.
    Crash,
    /// The session wants the newest event of each key only, and of these numbers some events were passed over.
    Latest,
}

impl GapReason {
    /// As it stands in a `gap` message.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::Crash => "crash",
            Self::Latest => "latest",
        }
    }
}
