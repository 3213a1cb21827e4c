//! The webhooks database: `webhooks.db` in the data directory, SQLite in WAL mode, of the core's thread alone.
//!
//! Changes gather in one transaction, begun by the first of them and ended by [`Store::commit`]: the position, what matched, and what
//! came of attempts are on the disk together or not at all. Times are Unix milliseconds.
//!
//! A webhook's deliveries that wait are ordered by their place: when they are due, then their row.

use std::path::Path;

use super::sealer::Sealer;
use super::{AttemptRecord, DeliveryError, DeliveryRecord, DeliveryState, EventId, Salt, Webhook, WebhookId};

/// A delivery that was not there before.
#[derive(Clone, Debug)]
pub struct NewDelivery<'d> {
    pub webhook: WebhookId,
    pub event: EventId,
    /// `None` of tests, operational events and notices, which there may be any number of.
    pub seq: Option<u64>,
    pub kind: &'d str,
    pub state: DeliveryState,
    pub created_ms: u64,
    pub due_ms: u64,
    /// The body of one that has no number.
    pub body: Option<&'d [u8]>,
    pub note: Option<&'d str>,
}

/// Where a waiting delivery stands in its webhook's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub due_ms: u64,
    pub delivery: i64,
}

/// A delivery that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub place: Place,
    pub seq: Option<u64>,
    /// Attempts made so far.
    pub attempts: u32,
}

/// What an attempt leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    Failed,
    /// It waits for another attempt until then.
    Retry {
        due_ms: u64,
    },
}

pub struct Store {}

impl Store {
    /// Opens the database of a data directory; makes it where it is missing, readable by its owner alone. With a sealer, secrets that
    /// are not sealed yet become so.
    pub fn open(_data_dir: &Path, _sealer: Option<Sealer>) -> Result<Self, DeliveryError> {
        todo!()
    }

    /// Made with the database.
    pub fn salt(&self) -> Salt {
        todo!()
    }

    /// The number of the first event that was not matched yet; `None` of a new database.
    pub fn position(&self) -> Result<Option<u64>, DeliveryError> {
        todo!()
    }

    pub fn set_position(&mut self, _position: u64) -> Result<(), DeliveryError> {
        todo!()
    }

    /// Ends the transaction; nothing to do where nothing has changed.
    pub fn commit(&mut self) -> Result<(), DeliveryError> {
        todo!()
    }

    /// Whether there is something to commit.
    pub fn is_changed(&self) -> bool {
        todo!()
    }

    /// Undoes what was not committed.
    pub fn roll_back(&mut self) {
        todo!()
    }

    /// Every webhook, by the time it was made.
    pub fn webhooks(&self) -> Result<Vec<Webhook>, DeliveryError> {
        todo!()
    }

    pub fn insert_webhook(&mut self, _webhook: &Webhook) -> Result<(), DeliveryError> {
        todo!()
    }

    /// Everything but its id, account and time.
    pub fn update_webhook(&mut self, _webhook: &Webhook) -> Result<(), DeliveryError> {
        todo!()
    }

    /// With its deliveries.
    pub fn delete_webhook(&mut self, _webhook: WebhookId) -> Result<(), DeliveryError> {
        todo!()
    }

    /// Returns its row; `None` where this webhook has one of this number already.
    pub fn insert_delivery(&mut self, _delivery: &NewDelivery<'_>) -> Result<Option<i64>, DeliveryError> {
        todo!()
    }

    /// As [`Self::insert_delivery`], but one of this number that is finished waits again, with no attempts. `None`: it waits already.
    pub fn insert_or_revive(&mut self, _delivery: &NewDelivery<'_>) -> Result<Option<i64>, DeliveryError> {
        todo!()
    }

    /// Adds an attempt to a delivery that waits, and says how it goes on. `false`: it waits no more (it was dropped, or is gone); then
    /// only [`Next::Delivered`] is noted.
    pub fn attempted(&mut self, _delivery: i64, _record: &AttemptRecord, _next: Next) -> Result<bool, DeliveryError> {
        todo!()
    }

    /// A delivery of this webhook ends without another attempt.
    pub fn drop_delivery(&mut self, _delivery: i64, _note: &str) -> Result<(), DeliveryError> {
        todo!()
    }

    /// All that wait end without another attempt; how many there were, and the lowest number of them.
    pub fn drop_waiting(&mut self, _webhook: WebhookId, _note: &str) -> Result<(u64, Option<u64>), DeliveryError> {
        todo!()
    }

    /// The same for the `deliveries` oldest (by row) of those that stand behind a place.
    pub fn drop_oldest(
        &mut self,
        _webhook: WebhookId,
        _behind: Place,
        _deliveries: u64,
        _note: &str,
    ) -> Result<u64, DeliveryError> {
        todo!()
    }

    /// The first `deliveries_max` that stand behind a place and are due by `due_ms`, in their order.
    pub fn due(
        &self,
        _webhook: WebhookId,
        _behind: Place,
        _due_ms: u64,
        _deliveries_max: usize,
    ) -> Result<Vec<Waiting>, DeliveryError> {
        todo!()
    }

    /// When the first of those behind a place is due.
    pub fn next_due(&self, _webhook: WebhookId, _behind: Place) -> Result<Option<u64>, DeliveryError> {
        todo!()
    }

    /// How many wait.
    pub fn waiting(&self, _webhook: WebhookId) -> Result<u64, DeliveryError> {
        todo!()
    }

    /// The stored body and kind of a delivery without a number, with its event's id.
    pub fn body(&self, _delivery: i64) -> Result<Option<(EventId, String, Vec<u8>)>, DeliveryError> {
        todo!()
    }

    /// The newest first, notices included.
    pub fn history(&self, _webhook: WebhookId, _records_max: usize) -> Result<Vec<DeliveryRecord>, DeliveryError> {
        todo!()
    }

    /// Deletes up to `rows_max` finished deliveries made before `before_ms`; how many there were.
    pub fn prune_old(&mut self, _before_ms: u64, _rows_max: usize) -> Result<usize, DeliveryError> {
        todo!()
    }

    /// Deletes up to `rows_max` of the oldest finished deliveries of a webhook, so that `kept` are left; how many there were.
    pub fn prune_webhook(&mut self, _webhook: WebhookId, _kept: u64, _rows_max: usize) -> Result<usize, DeliveryError> {
        todo!()
    }
}
