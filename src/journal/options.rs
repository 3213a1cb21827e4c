//! `[journal]` of the configuration.

use std::fmt;
use std::str::FromStr;

use crate::limits;

/// How the journal keeps events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    pub sync: SyncPolicy,
    /// Between two syncs with [`SyncPolicy::Interval`], in milliseconds.
    pub sync_interval_ms: u64,
    /// Whether events go out at once, or only when the disk has them.
    pub fanout: Fanout,
    /// The oldest segments beyond this are dropped; 0: no bound.
    pub retention_bytes: u64,
    /// The same for segments whose newest event is older; 0: no bound.
    pub retention_hours: u64,
    pub segment_bytes: u64,
    /// How long a publisher's `id` is remembered, in seconds.
    pub dedupe_seconds: u64,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Always,
            sync_interval_ms: limits::SYNC_INTERVAL_MS,
            fanout: Fanout::Immediate,
            retention_bytes: limits::RETENTION_BYTES,
            retention_hours: limits::RETENTION_HOURS,
            segment_bytes: limits::SEGMENT_BYTES,
            dedupe_seconds: limits::DEDUPE_S,
        }
    }
}

/// When a publisher is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// When the disk has its events, which survive a power cut then. Those that come meanwhile share the next sync.
    Always,
    /// When the kernel has them, which survive a crash of the server then; the disk has them an interval later.
    Interval,
    /// When the kernel has them; the kernel decides when the disk does.
    Never,
}

/// When events go out to sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fanout {
    /// At once, while the disk is still at it: a crash may lose what clients have seen, and tells it as a gap.
    Immediate,
    /// When the publisher would be answered, so that nobody ever sees an event that is not kept.
    Durable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {0}")]
pub struct UnknownWord(&'static str);

impl SyncPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::Never => "never",
        }
    }
}

impl FromStr for SyncPolicy {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [Self::Always, Self::Interval, Self::Never];
        all.into_iter().find(|one| one.as_str() == text).ok_or(UnknownWord("always, interval and never"))
    }
}

impl fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Fanout {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Durable => "durable",
        }
    }
}

impl FromStr for Fanout {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let all = [Self::Immediate, Self::Durable];
        all.into_iter().find(|one| one.as_str() == text).ok_or(UnknownWord("immediate and durable"))
    }
}

impl fmt::Display for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
