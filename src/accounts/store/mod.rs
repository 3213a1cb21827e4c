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
//! Each change is written into the audit log in its own transaction (`audit`), by who makes it and when.
//!
//! A change that changes nothing (an owner that is already there) takes no number, leaves no entry and touches no disk.

mod accounts;
mod audit;
mod columns;
mod keys;
mod reload;
mod schema;
mod watchlists;

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::{AccountId, AccountName, StoreError};
use crate::database;
use columns::Version;
use schema::SCHEMA;

pub use accounts::{AccountChange, AccountRecord, GrantChange, NewAccount};
pub use keys::{CreatedKey, KeyRecord};
pub use watchlists::WatchlistEdit;

/// One connection to the accounts database. Its calls block on the disk: it belongs on a thread that may.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database of this data directory; makes both where they are missing, readable by their owner alone.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: database::open(data_dir, &SCHEMA)? })
    }

    /// As [`Store::open`], but a missing database is an error: for commands to which an empty one would be of no use.
    pub fn open_existing(data_dir: &Path) -> Result<Self, StoreError> {
        let connection = database::open_existing(data_dir, &SCHEMA)?;
        let missing = || StoreError::NoDatabase { data_dir: data_dir.to_owned() };
        Ok(Self { connection: connection.ok_or_else(missing)? })
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

/// The account's name, if it exists.
fn require_account(connection: &Connection, account: AccountId) -> Result<AccountName, StoreError> {
    let found = connection
        .prepare_cached("SELECT name FROM accounts WHERE id = ?1")?
        .query_row([account], |row| row.get(0))
        .optional()?;
    found.ok_or_else(|| StoreError::NoSuchAccount { account: account.to_string() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::accounts::fixture::by;
    use crate::accounts::{Grants, Tier};
    use crate::database::DatabaseError;

    #[test]
    fn the_database_is_made_where_it_is_missing_and_only_found_by_who_needs_what_is_in_it() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data_dir = dir.path().join("data");
        let refused = Store::open_existing(&data_dir).expect_err("missing");
        assert!(matches!(&refused, StoreError::NoDatabase { data_dir: named } if *named == data_dir), "{refused}");
        assert!(!data_dir.exists());
        let store = Store::open(&data_dir).expect("open");
        assert!(data_dir.join("accounts.db").exists());
        // What the part that opens it sees to: FULL.
        let synchronous = store.connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
        assert_eq!(synchronous.expect("pragma"), 2);
        Store::open_existing(&data_dir).expect("it is there");
    }

    #[test]
    fn what_is_wrong_with_the_database_is_told_by_its_name() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::fs::write(dir.path().join("accounts.db"), [b'x'; 4096]).expect("write");
        let refused = Store::open(dir.path()).expect_err("not a database").to_string();
        assert!(refused.starts_with("the accounts database is damaged (file is not a database"), "{refused}");
    }

    #[test]
    fn a_change_takes_the_lock_before_it_reads_and_a_held_one_is_told_as_busy() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut holder = Store::open(dir.path()).expect("open");
        let mut waiter = Store::open(dir.path()).expect("open");
        waiter.connection.busy_timeout(Duration::from_millis(10)).expect("timeout");
        let _held = holder.change().expect("lock");
        assert!(matches!(waiter.change().expect_err("locked"), StoreError::Database(DatabaseError::Busy)));
    }

    #[test]
    fn the_data_version_moves_with_a_foreign_change_and_not_with_our_own() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut ours = Store::open(dir.path()).expect("open");
        let mut theirs = Store::open(dir.path()).expect("open");
        let account =
            |name: &str| NewAccount { name: name.parse().expect("name"), tier: Tier::Free, grants: Grants::none() };
        let before = ours.data_version().expect("data_version");
        ours.create_account(&account("ours"), &by()).expect("create");
        assert_eq!(ours.data_version().expect("data_version"), before);
        theirs.create_account(&account("theirs"), &by()).expect("create");
        assert_ne!(ours.data_version().expect("data_version"), before);
    }
}
