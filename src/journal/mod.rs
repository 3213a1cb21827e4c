//! What has been published, in order: in memory until everybody has it, on the disk for as long as it is retained, and read again
//! from any number on.
//!
//! ```text
//!   hub ──append──▶ Window ──read_from(position)──▶ every shard, at its own pace
//!                     │ ▲ └──recent──▶ replays and polls, while it still has what they want
//!            unwritten│ │synced
//!                     ▼ │
//!                   Writer ──▶ segments, lease ──▶ Reader ──▶ Chunk ──▶ replays and polls, where it does not
//!                     └── on_kept(number) ──▶ hub, which answers publishers
//! ```
//!
//! In memory: `window.rs`. On the disk: `record.rs`, `segment.rs`, `lease.rs` are its formats, `writer.rs` and `retention.rs` change
//! it, `catalogue.rs` and `reader.rs` find events in it. `recovery.rs` begins with what an earlier run has left, `service.rs` is the
//! thread of it all. `survey.rs` and `repair.rs` are for the command line. All but the thread is pure over the trait
//! [`Disk`](disk::Disk).
//!
//! Invariants worth naming:
//! * A number belongs to one event for ever, whatever a crash takes.
//! * A request is kept whole or not at all, and none is told to be kept before it is.
//! * Numbers that hold no event are told as a [`Gap`], never passed over.
//! * Whoever lags, shard or disk, blocks nobody and loses nothing: past the window's bound publishers are told to come back.

mod catalogue;
mod chunk;
pub mod disk;
#[cfg(test)]
pub(crate) mod fixture;
pub mod lease;
mod opening;
mod options;
mod reader;
pub mod record;
pub mod recovery;
pub mod repair;
mod retention;
mod scan;
pub mod segment;
pub mod service;
mod status;
pub mod survey;
#[cfg(test)]
mod tests;
mod window;
pub mod writer;

pub use catalogue::{Catalogue, Mark, Place, Segment, SegmentId};
pub use chunk::{Chunk, Gap, GapReason, Part};
pub use opening::{OpenError, Opening};
pub use options::{Fanout, JournalOptions, SyncPolicy, UnknownWord};
pub use reader::{Damage, ReadError, Reader};
pub use scan::Scan;
pub use service::{JournalHandle, JournalService};
pub use status::{JournalFault, JournalStatus};
pub use window::Window;

use std::sync::Arc;

use crate::hub::EncodedBatch;

/// Why the journal did not take a batch.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum JournalError {
    /// The readers lag by as much as may be held for them; retry later.
    #[error("the server is overloaded: a shard is {lag_events} events behind")]
    Overloaded { lag_events: u64 },
    /// Publishers are faster than the hub; retry later.
    #[error("the server is overloaded: too many events wait to be numbered")]
    QueueFull,
    /// The numbers that may be given out are used up, as the disk is slow; retry later.
    #[error("the server is overloaded: the disk has not confirmed more numbers yet")]
    Unleased,
    /// The disk has not yet made room for what is under way; retry later.
    #[error("the server is overloaded: the disk is making room for more events")]
    Unprepared,
    /// The operator has to make room; then it goes on by itself.
    #[error("the journal's disk is full: make room on it, and publishing goes on by itself")]
    DiskFull,
    /// The operator has to see to the disk.
    #[error(
        "the journal can't be written ({reason}): see to its disk, then start the server again if it does not go on by itself"
    )]
    Failed { reason: String },
    #[error("the server is shutting down")]
    Stopping,
    /// The events have numbers and may have been sent, and the server ended before they were kept.
    #[error("the server ended before the journal kept the events")]
    Unkept,
}

/// The sequence of all events. One writer, the hub; readers hold a position of their own.
pub trait Journal: Send + Sync {
    /// The number that the next event gets. Numbers begin at 1.
    fn head(&self) -> u64;

    /// Whether a batch of about `bytes` would be taken now. Asked before numbers are given out.
    fn admit(&self, bytes: usize) -> Result<(), JournalError>;

    /// Appends a batch that begins at [`head`](Self::head).
    fn append(&self, batch: Arc<EncodedBatch>);

    /// Adds the batches from number `position` on to `batches`, at least one where there is one and no more than about
    /// `bytes_max`, and returns the position behind them. `reader` will not ask for anything before it again.
    fn read_from(
        &self,
        reader: usize,
        position: u64,
        bytes_max: usize,
        batches: &mut impl Extend<Arc<EncodedBatch>>,
    ) -> u64;
}
