//! From the database to the next snapshot, reading only what has changed since the last one.

use std::sync::Arc;

use ahash::HashSet;
use rusqlite::{Connection, Row};

use super::Store;
use super::accounts::grants_of;
use super::columns::Version;
use super::keys::live_keys_of;
use super::watchlists::watchlist_of;
use crate::accounts::{Account, AccountId, Snapshot, StoreError};

impl Store {
    /// The snapshot that follows `held`, or `None` when nothing has changed. What did not change is shared with `held`.
    pub fn reload(&mut self, held: &Snapshot) -> Result<Option<Snapshot>, StoreError> {
        // One transaction: everything below is read from the same moment.
        let view = self.connection.transaction()?;
        let Version(version) = view.prepare_cached("SELECT version FROM change")?.query_row([], |row| row.get(0))?;
        if version == held.version() {
            return Ok(None);
        }
        if version < held.version() {
            // An older database was restored over this one while we ran: nothing that is held can be trusted.
            return Self::next(&view, &Snapshot::empty(), version).map(Some);
        }
        Self::next(&view, held, version).map(Some)
    }

    fn next(view: &Connection, held: &Snapshot, version: u64) -> Result<Snapshot, StoreError> {
        let changed = changed_accounts(view, held)?;
        let next = held.with_changes(version, changed);
        let count: u32 = view.prepare_cached("SELECT count(*) FROM accounts")?.query_row([], |row| row.get(0))?;
        if count as usize == next.len() {
            // `next` holds every account that exists, so with as many it holds no other.
            return Ok(next);
        }
        let mut select = view.prepare_cached("SELECT id FROM accounts")?;
        let existing = select.query_map([], |row| row.get(0))?.collect::<Result<HashSet<AccountId>, _>>()?;
        Ok(next.without_others(&existing))
    }
}

fn changed_accounts(view: &Connection, held: &Snapshot) -> Result<Vec<Arc<Account>>, StoreError> {
    let sql = "SELECT id, name, tier, version, watchlist_version FROM accounts WHERE version > ?1";
    let mut select = view.prepare_cached(sql)?;
    let mut rows = select.query([Version(held.version())])?;
    let mut changed = Vec::new();
    while let Some(row) = rows.next()? {
        changed.push(Arc::new(account(view, row, held)?));
    }
    Ok(changed)
}

fn account(view: &Connection, row: &Row<'_>, held: &Snapshot) -> Result<Account, StoreError> {
    let id = row.get("id")?;
    let (Version(version), Version(watchlist_version)) = (row.get("version")?, row.get("watchlist_version")?);
    let watchlist = match held.account(id) {
        Some(account) if watchlist_version <= held.version() => account.watchlist.clone(),
        _ => watchlist_of(view, id)?,
    };
    Ok(Account {
        id,
        name: row.get("name")?,
        tier: row.get("tier")?,
        grants: grants_of(view, id)?,
        watchlist,
        keys: live_keys_of(view, id)?,
        version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::fixture::{Fixture, by, owner, owners};
    use crate::accounts::{AccountChange, Owner, Role, Tier};
    use crate::database::DatabaseError;
    use crate::limits::WATCHLIST_OWNERS_MAX;

    fn reload(store: &mut Store, held: &Snapshot) -> Snapshot {
        store.reload(held).expect("reload").expect("something has changed")
    }

    #[test]
    fn nothing_new_gives_no_snapshot() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let held = reload(&mut fixture.store, &Snapshot::empty());
        fixture.store.unwatch(alice, &owners(&["never-there"]), &by()).expect("nothing");
        fixture
            .store
            .change_account(alice, &AccountChange { tier: Some(Tier::Elite), grants: None }, &by())
            .expect("same");
        assert!(fixture.store.reload(&held).expect("reload").is_none());
    }

    #[test]
    fn every_kind_of_change_gives_its_account_a_new_version_and_leaves_the_others_shared() {
        let mut fixture = Fixture::new();
        let (alice, bob) = (fixture.account("alice"), fixture.account("bob"));
        let key = fixture.store.create_key(alice, Role::Admin, &by()).expect("key").record.id;
        let mut held = reload(&mut fixture.store, &Snapshot::empty());
        let pro = AccountChange { tier: Some(Tier::Pro), grants: None };
        type Change<'a> = &'a dyn Fn(&mut Store) -> Result<(), StoreError>;
        let changes: [Change; 6] = [
            &|store| store.change_account(alice, &pro, &by()).map(|_| ()),
            &|store| store.create_key(alice, Role::Publisher, &by()).map(|_| ()),
            &|store| store.revoke_key(alice, key, &by()).map(|_| ()),
            &|store| store.watch(alice, &owners(&["w", "x"]), &by()).map(|_| ()),
            &|store| store.unwatch(alice, &owners(&["w"]), &by()).map(|_| ()),
            &|store| store.replace_watchlist(alice, &owners(&["z"]), &by()).map(|_| ()),
        ];
        for change in changes {
            change(&mut fixture.store).expect("change");
            let next = reload(&mut fixture.store, &held);
            let account = |snapshot: &Snapshot, id| Arc::clone(snapshot.account(id).expect("account"));
            assert!(next.version() > held.version());
            assert_eq!(account(&next, alice).version, next.version());
            assert!(account(&next, alice).version > account(&held, alice).version);
            assert!(Arc::ptr_eq(&account(&next, bob), &account(&held, bob)));
            held = next;
        }
        assert_eq!(held.account(alice).expect("alice").watchlist, owners(&["z"]).into_iter().collect());
        assert_eq!(held.account(alice).expect("alice").tier, Tier::Pro);
    }

    #[test]
    fn a_watchlist_is_kept_when_something_else_of_its_account_changes() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        fixture.store.watch(alice, &owners(&["w"]), &by()).expect("watch");
        let held = reload(&mut fixture.store, &Snapshot::empty());
        fixture.store.create_key(alice, Role::Subscriber, &by()).expect("key");
        let next = reload(&mut fixture.store, &held);
        let list = |snapshot: &Snapshot| snapshot.account(alice).expect("alice").watchlist.clone();
        assert!(list(&next).is_same(&list(&held)));
        fixture.store.watch(alice, &owners(&["x"]), &by()).expect("watch");
        assert!(!list(&reload(&mut fixture.store, &next)).is_same(&list(&next)));
    }

    #[test]
    fn a_revoked_key_leaves_the_snapshot_and_the_others_stay() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let made: Vec<_> =
            (0..2).map(|_| fixture.store.create_key(alice, Role::Subscriber, &by()).expect("create")).collect();
        let held = reload(&mut fixture.store, &Snapshot::empty());
        let identity = held.authenticate(made[0].key.expose()).expect("in force");
        assert_eq!((identity.key, identity.key_id), (made[0].record.number, made[0].record.id));
        assert_eq!((identity.role, identity.account.id), (Role::Subscriber, alice));

        fixture.store.revoke_key(alice, made[0].record.id, &by()).expect("revoke");
        let next = reload(&mut fixture.store, &held);
        assert!(next.authenticate(made[0].key.expose()).is_none() && !next.key_is_live(made[0].record.number));
        assert!(next.authenticate(made[1].key.expose()).is_some() && next.key_is_live(made[1].record.number));
        assert!(held.key_is_live(made[0].record.number), "a snapshot never changes");
    }

    #[test]
    fn a_deleted_account_leaves_the_snapshot_with_its_keys() {
        let mut fixture = Fixture::new();
        let (alice, bob) = (fixture.account("alice"), fixture.account("bob"));
        let alices = fixture.store.create_key(alice, Role::Subscriber, &by()).expect("create");
        let bobs = fixture.store.create_key(bob, Role::Subscriber, &by()).expect("create");
        let held = reload(&mut fixture.store, &Snapshot::empty());
        fixture.store.delete_account(alice, &by()).expect("delete");
        // One more and one fewer: the count alone would not tell.
        let carol = fixture.account("carol");
        let next = reload(&mut fixture.store, &held);
        assert!(next.account(alice).is_none() && next.account(carol).is_some());
        assert!(next.authenticate(alices.key.expose()).is_none() && !next.key_is_live(alices.record.number));
        assert!(next.authenticate(bobs.key.expose()).is_some());
        assert!(Arc::ptr_eq(next.account(bob).expect("bob"), held.account(bob).expect("bob")));
    }

    #[test]
    fn a_restored_older_database_is_read_from_the_beginning() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let held = reload(&mut fixture.store, &Snapshot::empty());
        let older = "UPDATE change SET version = 1; UPDATE accounts SET version = 1, tier = 'free'";
        fixture.store.connection.execute_batch(older).expect("an older state");
        let next = reload(&mut fixture.store, &held);
        assert_eq!(next.account(alice).expect("alice").tier, Tier::Free);
    }

    #[test]
    fn a_full_watchlist_comes_whole_and_in_order() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let full: Vec<Owner> = (0..WATCHLIST_OWNERS_MAX).map(|n| owner(&format!("wallet{n}"))).collect();
        fixture.store.replace_watchlist(alice, &full, &by()).expect("replace");
        let snapshot = reload(&mut fixture.store, &Snapshot::empty());
        let list = &snapshot.account(alice).expect("alice").watchlist;
        assert_eq!(list.len(), WATCHLIST_OWNERS_MAX);
        assert!(full.iter().all(|owner| list.contains(owner)) && list.iter().is_sorted());
    }

    #[test]
    fn a_row_that_no_stentor_wrote_is_told_as_damage() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        fixture.store.connection.execute("INSERT INTO grants VALUES (?1, 'nonsense')", [alice]).expect("insert");
        let refused = fixture.store.reload(&Snapshot::empty()).expect_err("damaged");
        let StoreError::Database(DatabaseError::Corrupt { detail }) = refused else { panic!("{refused}") };
        assert!(detail.contains("nonsense"), "{detail}");
    }
}
