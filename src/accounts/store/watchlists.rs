//! Reading and changing an account's watchlist. Each call is all or nothing.

use rusqlite::{Connection, Transaction};
use serde_json::json;

use super::{Store, Touched, audit, require_account, stamp};
use crate::accounts::audit::{Act, Action, Author};
use crate::accounts::{AccountId, Owner, StoreError, Watchlist};
use crate::limits::WATCHLIST_OWNERS_MAX;

/// What a change did to a watchlist, in owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchlistEdit {
    pub added: usize,
    pub removed: usize,
    /// How many it holds now.
    pub total: usize,
}

impl Store {
    /// Errors: `NoSuchAccount`.
    pub fn watchlist(&self, account: AccountId) -> Result<Watchlist, StoreError> {
        require_account(&self.connection, account)?;
        watchlist_of(&self.connection, account)
    }

    /// Adds owners; one that is there already stays. Errors: `NoSuchAccount`, `WatchlistFull`.
    pub fn watch(&mut self, account: AccountId, owners: &[Owner], by: &Author) -> Result<WatchlistEdit, StoreError> {
        self.edit_watchlist(account, Action::WatchlistAdd, by, |change, held| {
            let (added, removed) = (insert(change, account, owners, held)?, 0);
            Ok(WatchlistEdit { added, removed, total: held + added })
        })
    }

    /// Removes owners; one that isn't there is no error. Errors: `NoSuchAccount`.
    pub fn unwatch(&mut self, account: AccountId, owners: &[Owner], by: &Author) -> Result<WatchlistEdit, StoreError> {
        self.edit_watchlist(account, Action::WatchlistRemove, by, |change, held| {
            let (added, removed) = (0, delete(change, account, owners)?);
            Ok(WatchlistEdit { added, removed, total: held - removed })
        })
    }

    /// Makes the watchlist hold these owners and no others. Errors: `NoSuchAccount`, `WatchlistFull`.
    pub fn replace_watchlist(
        &mut self,
        account: AccountId,
        owners: &[Owner],
        by: &Author,
    ) -> Result<WatchlistEdit, StoreError> {
        self.edit_watchlist(account, Action::WatchlistReplace, by, |change, held| {
            // Only the difference is written: clients send the whole list to change one owner.
            let diff = watchlist_of(change, account)?.diff(&owners.iter().cloned().collect());
            let removed = delete(change, account, &diff.removed)?;
            let added = insert(change, account, &diff.added, held - removed)?;
            Ok(WatchlistEdit { added, removed, total: held - removed + added })
        })
    }

    /// `edit` gets the number of owners held.
    fn edit_watchlist(
        &mut self,
        account: AccountId,
        action: Action,
        by: &Author,
        edit: impl FnOnce(&Transaction<'_>, usize) -> Result<WatchlistEdit, StoreError>,
    ) -> Result<WatchlistEdit, StoreError> {
        let change = self.change()?;
        let name = require_account(&change, account)?;
        let held: u32 = change
            .prepare_cached("SELECT count(*) FROM watchlist WHERE account = ?1")?
            .query_row([account], |row| row.get(0))?;
        let edited = edit(&change, held as usize)?;
        if edited.added + edited.removed > 0 {
            stamp(&change, account, Touched::Watchlist)?;
            // The counts alone: a watchlist may have ten thousand owners, and they are the customer's business.
            let detail = json!({ "added": edited.added, "removed": edited.removed, "total": edited.total });
            audit::write(&change, &Act::new(action, name, detail), by)?;
            change.commit()?;
        }
        Ok(edited)
    }
}

pub(super) fn watchlist_of(connection: &Connection, account: AccountId) -> Result<Watchlist, StoreError> {
    let mut select = connection.prepare_cached("SELECT owner FROM watchlist WHERE account = ?1")?;
    let owners = select.query_map([account], |row| row.get::<_, Owner>(0))?.collect::<Result<Watchlist, _>>()?;
    Ok(owners)
}

fn insert(change: &Transaction<'_>, account: AccountId, owners: &[Owner], held: usize) -> Result<usize, StoreError> {
    let mut insert = change.prepare_cached("INSERT OR IGNORE INTO watchlist (account, owner) VALUES (?1, ?2)")?;
    let mut added = 0;
    for owner in owners {
        added += insert.execute((account, owner))?;
        if held + added > WATCHLIST_OWNERS_MAX {
            return Err(StoreError::WatchlistFull);
        }
    }
    Ok(added)
}

fn delete(change: &Transaction<'_>, account: AccountId, owners: &[Owner]) -> Result<usize, StoreError> {
    let mut delete = change.prepare_cached("DELETE FROM watchlist WHERE account = ?1 AND owner = ?2")?;
    owners.iter().try_fold(0, |removed, owner| Ok(removed + delete.execute((account, owner))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::fixture::{Fixture, by, owner, owners};

    fn edit(added: usize, removed: usize, total: usize) -> WatchlistEdit {
        WatchlistEdit { added, removed, total }
    }

    #[test]
    fn owners_come_and_go_and_repetition_changes_nothing() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let store = &mut fixture.store;
        assert_eq!(store.watch(alice, &owners(&["b", "a", "b"]), &by()).expect("watch"), edit(2, 0, 2));
        assert_eq!(store.watch(alice, &owners(&["a"]), &by()).expect("again"), edit(0, 0, 2));
        assert_eq!(store.unwatch(alice, &owners(&["b", "x"]), &by()).expect("unwatch"), edit(0, 1, 1));
        assert_eq!(store.unwatch(alice, &owners(&["b"]), &by()).expect("again"), edit(0, 0, 1));
        assert_eq!(store.watchlist(alice).expect("list"), owners(&["a"]).into_iter().collect());
    }

    #[test]
    fn replacing_writes_only_the_difference() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let store = &mut fixture.store;
        store.watch(alice, &owners(&["a", "b", "c"]), &by()).expect("watch");
        assert_eq!(
            store.replace_watchlist(alice, &owners(&["d", "c", "b", "d"]), &by()).expect("replace"),
            edit(1, 1, 3)
        );
        assert_eq!(store.watchlist(alice).expect("list"), owners(&["b", "c", "d"]).into_iter().collect());
        assert_eq!(store.replace_watchlist(alice, &[], &by()).expect("empty"), edit(0, 3, 0));
    }

    #[test]
    fn a_watchlist_is_the_accounts_own() {
        let mut fixture = Fixture::new();
        let (alice, bob) = (fixture.account("alice"), fixture.account("bob"));
        fixture.store.watch(alice, &owners(&["a"]), &by()).expect("watch");
        fixture.store.watch(bob, &owners(&["a", "b"]), &by()).expect("watch");
        fixture.store.unwatch(bob, &owners(&["a"]), &by()).expect("unwatch");
        assert!(fixture.store.watchlist(alice).expect("list").contains("a"));
    }

    #[test]
    fn a_full_watchlist_takes_no_more_and_loses_nothing() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let store = &mut fixture.store;
        let full: Vec<Owner> = (0..WATCHLIST_OWNERS_MAX).map(|n| owner(&format!("wallet{n}"))).collect();
        assert_eq!(store.replace_watchlist(alice, &full, &by()).expect("full").total, WATCHLIST_OWNERS_MAX);
        store.watch(alice, &full[..2], &by()).expect("those are there already");
        assert!(matches!(store.watch(alice, &[owner("more")], &by()), Err(StoreError::WatchlistFull)));
        let other: Vec<Owner> = (0..=WATCHLIST_OWNERS_MAX).map(|n| owner(&format!("other{n}"))).collect();
        assert!(matches!(store.replace_watchlist(alice, &other, &by()), Err(StoreError::WatchlistFull)));
        assert_eq!(store.watchlist(alice).expect("list"), full.into_iter().collect());
        store.unwatch(alice, &[owner("wallet0")], &by()).expect("room");
        assert_eq!(store.watch(alice, &[owner("more")], &by()).expect("fits").total, WATCHLIST_OWNERS_MAX);
    }
}
