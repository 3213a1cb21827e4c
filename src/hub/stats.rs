//! What the hub counts. Written by its thread, but for requests that are turned away before they reach it.

use crate::journal::JournalError;
use crate::metrics::{Counter, Counters, Gauge, labels};

#[derive(Debug, Default)]
pub struct HubStats {
    /// Requests whose events have numbers, those among them that only repeat included.
    pub publishes: Counter,
    /// Events that were numbered, and the bytes of their data.
    pub events: Counter,
    pub event_bytes: Counter,
    /// Events that were published before, as their ids tell.
    pub duplicates: Counter,
    /// Requests that wait for the disk.
    pub pending: Gauge,
    pub refused: Counters<HubRefusal>,
}

labels! {
    /// Why a request got no numbers.
    pub enum HubRefusal {
        Overloaded = "lag",
        QueueFull = "queue_full",
        Unleased = "unleased",
        Unprepared = "no_room_yet",
        DiskFull = "disk_full",
        Failed = "disk_failed",
        Stopping = "stopping",
        /// It got numbers, and nobody knows what became of them.
        Unkept = "unkept",
    }
}

impl HubStats {
    pub fn refuse(&self, error: &JournalError) {
        let refusal = match error {
            JournalError::Overloaded { .. } => HubRefusal::Overloaded,
            JournalError::QueueFull => HubRefusal::QueueFull,
            JournalError::Unleased => HubRefusal::Unleased,
            JournalError::Unprepared => HubRefusal::Unprepared,
            JournalError::DiskFull => HubRefusal::DiskFull,
            JournalError::Failed { .. } => HubRefusal::Failed,
            JournalError::Stopping => HubRefusal::Stopping,
            JournalError::Unkept => HubRefusal::Unkept,
        };
        self.refused.of(refusal).add_shared(1);
    }
}
