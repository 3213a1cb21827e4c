//! What the journal's thread shows the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::clock::Nanos;
use crate::metrics::{Counter, Gauge, Histogram};

/// Why the journal takes no events. It is told to publishers, so each message ends with the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalFault {
    #[error(
        "the journal's disk is full: make room on it, or let the journal keep less (retention_bytes, retention_hours)"
    )]
    DiskFull,
    #[error("the journal can't be written ({0}): see to its disk, and events are taken again by themselves")]
    Io(String),
}

impl From<&std::io::Error> for JournalFault {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded => Self::DiskFull,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Set by the journal's thread, read by any.
#[derive(Debug, Default)]
pub struct JournalStatus {
    pub(super) written: AtomicU64,
    pub(super) synced: AtomicU64,
    pub(super) room: AtomicU64,
    pub(super) leased: AtomicU64,
    fault: ArcSwapOption<JournalFault>,
    pub(super) writes: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// How long each sync of records took.
    pub sync: Histogram,
    /// The number of the next event that publishers are not told to be kept.
    pub kept: Gauge,
    /// Turns of the writer that failed.
    pub failures: Counter,
    /// What there is on the disk.
    pub segments: Gauge,
    pub disk_bytes: Gauge,
    pub oldest_seq: Gauge,
}

impl JournalStatus {
    /// The number of the next event that the kernel does not have.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// The number of the next event of which it is not known that the disk has it. With `sync = "never"` that is all but
    /// what is in segments that are complete.
    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Acquire)
    }

    /// Bytes of records for which the disk has promised room, from [`Self::written`] on.
    pub fn room(&self) -> u64 {
        self.room.load(Ordering::Acquire)
    }

    /// The highest number that may be given out.
    pub fn leased(&self) -> u64 {
        self.leased.load(Ordering::Acquire)
    }

    /// Why no event can be taken now; none, where all is well.
    pub fn fault(&self) -> Option<Arc<JournalFault>> {
        self.fault.load_full()
    }

    /// How often records were written, and how many bytes of them, since the start.
    pub fn writes(&self) -> (u64, u64) {
        (self.writes.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// How often records were synced since the start, and how long that took in all.
    pub fn syncs(&self) -> (u64, Nanos) {
        let sync = self.sync.read();
        (sync.count(), sync.sum_ns())
    }

    pub(super) fn set_fault(&self, fault: Option<JournalFault>) {
        match (self.fault.load().as_deref(), &fault) {
            (before, Some(fault)) if before != Some(fault) => tracing::error!("{fault}"),
            (Some(_), None) => tracing::info!("the journal takes events again"),
            _ => {}
        }
        self.fault.store(fault.map(Arc::new));
    }
}
