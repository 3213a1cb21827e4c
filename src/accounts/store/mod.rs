//! The accounts database: `accounts.db` in the data directory, SQLite in WAL mode.
//!
//! ```text
//!   server (service thread) ── Store ──┐
//!                                      ├── accounts.db      one writer at a time, readers never wait
//!   stentor account|key     ── Store ──┘
//! ```
//!
//! Every change runs in one transaction that also takes the next number of `change.version` and stamps it on the account
//! that it touched. That is how a reader in another process finds out what to fetch again (`reload`).
//!
//! A change that changes nothing (an owner that is already there) takes no number and touches no disk.

mod accounts;
mod columns;
mod keys;
mod reload;
mod schema;
mod watchlists;

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::{AccountId, StoreError};
use crate::limits::{OPEN_RETRY_MS, STORE_BUSY_TIMEOUT_MS};
use columns::Version;

pub use accounts::{AccountChange, AccountRecord, GrantChange, NewAccount};
pub use keys::{CreatedKey, KeyRecord};
pub use watchlists::WatchlistEdit;

const DATABASE_FILE: &str = "accounts.db";
/// All statements of this part, with room: each is compiled once.
const STATEMENTS_CACHED: usize = 48;

/// One connection to the accounts database. Its calls block on the disk: it belongs on a thread that may.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database of this data directory; makes both where they are missing, readable by their owner alone.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let io_error = |source| StoreError::DataDir { path: data_dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(io_error)?;
        // SQLite gives its log and index files the mode of the database file. Only `create_new` is safe here: to open a
        // file that this process has open in SQLite and close it again would drop SQLite's POSIX locks on it.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(data_dir.join(DATABASE_FILE)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error(error)),
        }
        Self::connect(data_dir)
    }

    /// As [`Store::open`], but a missing database is an error: for commands to which an empty one would be of no use.
    pub fn open_existing(data_dir: &Path) -> Result<Self, StoreError> {
        match data_dir.join(DATABASE_FILE).try_exists() {
            Ok(true) => Self::connect(data_dir),
            Ok(false) => Err(StoreError::NoDatabase { data_dir: data_dir.to_owned() }),
            Err(source) => Err(StoreError::DataDir { path: data_dir.to_owned(), source }),
        }
    }

    /// Waits while others open or close the same fresh file: to switch it to WAL, to recover its log and to remove that log
    /// at the last close, SQLite upgrades locks, and there it answers "busy" at once, whatever the busy timeout is.
    fn connect(data_dir: &Path) -> Result<Self, StoreError> {
        let deadline = Instant::now() + Duration::from_millis(STORE_BUSY_TIMEOUT_MS);
        loop {
            match Self::try_connect(data_dir.join(DATABASE_FILE)) {
                Err(StoreError::Busy) if Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(OPEN_RETRY_MS));
                }
                outcome => return outcome,
            }
        }
    }

    fn try_connect(path: PathBuf) -> Result<Self, StoreError> {
        // No SQLITE_OPEN_URI: a directory may be called `file:…`. A `Store` is used by one thread at a time.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(Duration::from_millis(STORE_BUSY_TIMEOUT_MS))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(StoreError::NoWriteAheadLog { path, mode });
        }
        // NORMAL would let a power cut undo the last changes. Changes are rare, and a revoked key must not come back.
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut connection)?;
        Ok(Self { connection })
    }

    /// A number that differs from the last answer when another connection has committed a change in between.
    pub fn data_version(&self) -> Result<i64, StoreError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// A transaction that will write. It takes the write lock at once: to take it later, after a read, could fail where
    /// waiting does not help. Dropped without a commit, it undoes everything.
    fn change(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }
}

/// What of an account a change has touched.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Touched {
    Account,
    Watchlist,
}

/// Takes the next change number.
fn next_version(change: &Transaction<'_>) -> Result<Version, StoreError> {
    let sql = "UPDATE change SET version = version + 1 RETURNING version";
    Ok(change.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// Takes the next change number and stamps it on the account; every change of an account ends here.
fn stamp(change: &Transaction<'_>, account: AccountId, touched: Touched) -> Result<(), StoreError> {
    let version = next_version(change)?;
    let sql = "UPDATE accounts SET version = ?2, watchlist_version = iif(?3, ?2, watchlist_version) WHERE id = ?1";
    change.prepare_cached(sql)?.execute((account, version, touched == Touched::Watchlist))?;
    Ok(())
}

fn require_account(connection: &Connection, account: AccountId) -> Result<(), StoreError> {
    let found = connection
        .prepare_cached("SELECT 1 FROM accounts WHERE id = ?1")?
        .query_row([account], |_| Ok(()))
        .optional()?;
    found.ok_or_else(|| StoreError::NoSuchAccount { account: account.to_string() })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use jiff::Timestamp;

    use super::*;
    use crate::accounts::{Grants, Tier};

    #[test]
    fn the_data_directory_and_its_files_are_readable_by_their_owner_alone() {
        let above = tempfile::tempdir().expect("temporary directory");
        let data_dir = above.path().join("new/stentor-data");
        let mut store = Store::open(&data_dir).expect("a fresh data directory");
        store
            .create_account(
                &NewAccount { name: "a".parse().expect("name"), tier: Tier::Pro, grants: Grants::none() },
                Timestamp::now(),
            )
            .expect("create");
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&data_dir), 0o700);
        for file in ["accounts.db", "accounts.db-wal", "accounts.db-shm"] {
            assert_eq!(mode(&data_dir.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn commits_are_durable_foreign_keys_hold_and_the_log_is_write_ahead() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let store = Store::open(dir.path()).expect("open");
        let pragma =
            |name| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("pragma");
        assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
        let mode: String = store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("pragma");
        assert_eq!(mode, "wal");
    }

    #[test]
    fn a_missing_database_is_named_and_not_made() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let missing = dir.path().join("nowhere");
        let refused = Store::open_existing(&missing).expect_err("missing");
        assert!(matches!(&refused, StoreError::NoDatabase { data_dir } if *data_dir == missing), "{refused}");
        assert!(!missing.exists());
    }

    #[test]
    fn a_file_that_is_no_database_is_told_as_damage() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join(DATABASE_FILE), [b'x'; 4096]).expect("write");
        let refused = Store::open(dir.path()).expect_err("not a database");
        assert!(matches!(refused, StoreError::Corrupt { .. }), "{refused}");
    }

    #[test]
    fn a_data_directory_that_is_a_file_is_refused_by_its_path() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("write");
        let refused = Store::open(&file).expect_err("a file").to_string();
        assert!(refused.contains(&file.display().to_string()), "{refused}");
    }

    #[test]
    fn many_connections_may_open_a_fresh_directory_at_once() {
        for _ in 0..10 {
            let dir = tempfile::tempdir().expect("temporary directory");
            thread::scope(|scope| {
                let openings: Vec<_> = (0..8).map(|_| scope.spawn(|| Store::open(dir.path()).map(drop))).collect();
                for opening in openings {
                    opening.join().expect("no panic").expect("open");
                }
            });
        }
    }

    #[test]
    fn a_lock_that_another_process_holds_is_told_as_busy() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut holder = Store::open(dir.path()).expect("open");
        let mut waiter = Store::open(dir.path()).expect("open");
        waiter.connection.busy_timeout(Duration::from_millis(10)).expect("timeout");
        let _held = holder.change().expect("lock");
        assert!(matches!(waiter.change().expect_err("locked"), StoreError::Busy));
    }

    #[test]
    fn the_data_version_moves_with_a_foreign_change_and_not_with_our_own() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut ours = Store::open(dir.path()).expect("open");
        let mut theirs = Store::open(dir.path()).expect("open");
        let account =
            |name: &str| NewAccount { name: name.parse().expect("name"), tier: Tier::Free, grants: Grants::none() };
        let before = ours.data_version().expect("data_version");
        ours.create_account(&account("ours"), Timestamp::now()).expect("create");
        assert_eq!(ours.data_version().expect("data_version"), before);
        theirs.create_account(&account("theirs"), Timestamp::now()).expect("create");
        assert_ne!(ours.data_version().expect("data_version"), before);
    }
}
