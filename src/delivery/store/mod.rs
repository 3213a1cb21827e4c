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
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, ffi};
use tracing::warn;

use super::sealer::Sealer;
use super::{DeliveryError, DeliveryState, EventId, Salt, WebhookId};
use crate::limits::{DELIVERY_PAGES_CACHED_BYTES, OPEN_RETRY_MS, STORE_BUSY_TIMEOUT_MS};
use columns::Number;
pub use rewind::Salts;

const DATABASE_FILE: &str = "webhooks.db";
/// All statements of this part, with room: each is compiled once.
const STATEMENTS_CACHED: usize = 48;

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
        let path = data_dir.join(DATABASE_FILE);
        let io_error = |source| DeliveryError::File { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(io_error)?;
        // SQLite gives its log and index files the mode of the database file. Only `create_new` is safe here: to open a
        // file that this process has open in SQLite and close it again would drop SQLite's POSIX locks on it.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error(error)),
        }
        let connection = connect(path)?;
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

/// Waits while others open or close the same fresh file: to switch it to WAL, to recover its log and to remove that log at the last
/// close, SQLite upgrades locks, and there it answers "busy" at once, whatever the busy timeout is.
fn connect(path: PathBuf) -> Result<Connection, DeliveryError> {
    let deadline = Instant::now() + Duration::from_millis(STORE_BUSY_TIMEOUT_MS);
    loop {
        match try_connect(path.clone()) {
            Err(DeliveryError::Locked) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(OPEN_RETRY_MS));
            }
            outcome => return outcome,
        }
    }
}

fn try_connect(path: PathBuf) -> Result<Connection, DeliveryError> {
    // No SQLITE_OPEN_URI: a directory may be called `file:…`. A `Store` is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&path, flags)?;
    connection.busy_timeout(Duration::from_millis(STORE_BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(DeliveryError::NoWriteAheadLog { path, mode });
    }
    // NORMAL would let a power cut undo the last changes, and with them matches that were told as recorded.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Negative: in KiB, not in pages.
    connection.pragma_update(None, "cache_size", -((DELIVERY_PAGES_CACHED_BYTES >> 10) as i64))?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// The salt of the database; a new one gets it here.
fn settle_salt(connection: &Connection) -> Result<Salt, DeliveryError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)?;
    connection.execute("INSERT OR IGNORE INTO server (one, salt) VALUES (1, ?1)", [Salt(salt)])?;
    Ok(connection.query_row("SELECT salt FROM server", (), |row| row.get(0))?)
}
