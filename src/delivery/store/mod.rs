//! The webhooks database: `webhooks.db` in the data directory, SQLite in WAL mode, of the core's thread alone.
//!
//! Changes gather in one transaction, begun by the first of them and ended by [`Store::commit`]: the position, what matched, and what
//! came of attempts are on the disk together or not at all. Times are Unix milliseconds.
//!
//! A webhook's deliveries that wait are ordered by their place: when they are due, then their row.
//!
//! Invariants:
//! * A row is used once as long as the process runs: what comes back of an attempt never meets another delivery.
//! * After an error inside a transaction nothing of it can be committed any more, or all but the change that failed; the caller rolls
//!   back.

mod columns;
mod deliveries;
#[cfg(test)]
mod fixture;
mod history;
mod pieces;
mod rewind;
mod schema;
#[cfg(test)]
mod tests;
mod webhooks;

use std::cell::Cell;
use std::path::Path;

use rusqlite::{Connection, ffi};
use tracing::warn;

use super::sealer::Sealer;
use super::{DeliveryError, DeliveryState, EventId, Salt, WebhookId};
use crate::database;
use crate::limits::DELIVERY_PAGES_CACHED_BYTES;
use columns::Number;
use schema::SCHEMA;

pub use rewind::Salts;

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

/// One connection to the webhooks database. Its calls block on the disk: it belongs on a thread that may.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    sealer: Option<Sealer>,
    salt: Salt,
    /// Whether a transaction was begun and neither committed nor rolled back.
    changing: Cell<bool>,
    /// Of the next delivery.
    next_row: Cell<i64>,
    /// Deliveries up to this row have been looked at for their age.
    pruned_to: i64,
}

impl Store {
    /// Opens the database of a data directory; makes it where it is missing, readable by its owner alone. With a sealer, secrets that
    /// are not sealed yet become so.
    pub fn open(data_dir: &Path, sealer: Option<Sealer>) -> Result<Self, DeliveryError> {
        let connection = database::open(data_dir, &SCHEMA)?;
        // Negative: in KiB, not in pages.
        connection.pragma_update(None, "cache_size", -((DELIVERY_PAGES_CACHED_BYTES >> 10) as i64))?;
        let salt = settle_salt(&connection)?;
        let (changing, next_row) = (Cell::new(false), Cell::new(1));
        let mut store = Self { connection, sealer, salt, changing, next_row, pruned_to: 0 };
        store.settle_secrets()?;
        Ok(store)
    }

    /// Made with the database.
    pub fn salt(&self) -> Salt {
        self.salt
    }

    /// The number of the first event that was not matched yet; `None` of a new database.
    pub fn position(&self) -> Result<Option<u64>, DeliveryError> {
        let mut select = self.connection.prepare_cached("SELECT position FROM server")?;
        let position: Option<Number> = select.query_row((), |row| row.get(0))?;
        Ok(position.map(|number| number.0))
    }

    pub fn set_position(&mut self, position: u64) -> Result<(), DeliveryError> {
        self.change()?.prepare_cached("UPDATE server SET position = ?1")?.execute([Number(position)])?;
        Ok(())
    }

    /// Ends the transaction; nothing to do where nothing has changed. After an error, roll back.
    pub fn commit(&mut self) -> Result<(), DeliveryError> {
        if self.changing.get() {
            self.connection.prepare_cached("COMMIT")?.execute(())?;
            self.changing.set(false);
        }
        Ok(())
    }

    /// Whether there is something to commit.
    pub fn is_changed(&self) -> bool {
        self.changing.get()
    }

    /// Undoes what was not committed.
    pub fn roll_back(&mut self) {
        self.changing.set(false);
        // Some errors make SQLite do it by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            warn!(%error, "the webhooks database could not undo a change");
        }
    }

    /// The connection inside a transaction, which begins here if none is open. It takes the write lock at once: to take it later, after
    /// a read, could fail where waiting does not help.
    fn change(&self) -> Result<&Connection, DeliveryError> {
        if !self.changing.get() {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
            self.changing.set(true);
            let mut select = self.connection.prepare_cached("SELECT coalesce(max(row), 0) + 1 FROM deliveries")?;
            let free: i64 = select.query_row((), |row| row.get(0))?;
            self.next_row.set(self.next_row.get().max(free));
        } else if self.connection.is_autocommit() {
            // SQLite has undone it because of an error: what follows must not be taken for the whole.
            let undone = ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK);
            return Err(rusqlite::Error::SqliteFailure(undone, None).into());
        }
        Ok(&self.connection)
    }
}

/// The salt of the database; a new one gets it here.
fn settle_salt(connection: &Connection) -> Result<Salt, DeliveryError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    connection.execute("INSERT OR IGNORE INTO server (one, salt) VALUES (1, ?1)", [Salt(salt)])?;
    Ok(connection.query_row("SELECT salt FROM server", (), |row| row.get(0))?)
}
