//! Making, listing, changing and deleting accounts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction};
use serde_json::json;

use super::columns::Moment;
use super::{Store, Touched, audit, next_version, stamp};
use crate::accounts::audit::{Act, Action, Author, named};
use crate::accounts::{AccountId, AccountName, Grant, Grants, StoreError, Tier};
use crate::limits::GRANTS_PER_ACCOUNT_MAX;

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub name: AccountName,
    pub tier: Tier,
    /// All of them; [`Grants::of_a_new_account`] is the usual set.
    pub grants: Grants,
}

/// What is to become of an account; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    pub tier: Option<Tier>,
    pub grants: Option<GrantChange>,
}

#[derive(Clone, Debug)]
pub enum GrantChange {
    Replace(Grants),
    /// Removes, then adds. To add what is there and to remove what isn't are no errors.
    Edit {
        add: Vec<Grant>,
        remove: Vec<Grant>,
    },
}

/// An account as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    pub id: AccountId,
    pub name: AccountName,
    pub tier: Tier,
    pub grants: Grants,
    pub created: Timestamp,
    pub live_keys: u32,
    pub owners: u32,
}

const SELECT_RECORD: &str = "SELECT id, name, tier, created_ms,
    (SELECT count(*) FROM keys WHERE account = accounts.id AND revoked_ms IS NULL) AS live_keys,
    (SELECT count(*) FROM watchlist WHERE account = accounts.id) AS owners
    FROM accounts";

impl Store {
    /// Errors: `NameTaken`, `TooManyGrants`.
    pub fn create_account(&mut self, account: &NewAccount, by: &Author) -> Result<AccountRecord, StoreError> {
        let change = self.change()?;
        let version = next_version(&change)?;
        let sql =
            "INSERT INTO accounts (name, tier, created_ms, version, watchlist_version) VALUES (?1, ?2, ?3, ?4, ?4)
                   RETURNING id";
        let id = change
            .prepare_cached(sql)?
            .query_row((&account.name, account.tier, Moment(by.at), version), |row| row.get::<_, AccountId>(0))
            .map_err(|error| match error.sqlite_error_code() {
                // The name is the only thing of an account that can collide.
                Some(ErrorCode::ConstraintViolation) => StoreError::NameTaken { name: account.name.to_string() },
                _ => error.into(),
            })?;
        write_grants(&change, id, &account.grants)?;
        let record = record_of(&change, id)?;
        let detail = json!({ "tier": record.tier.as_str(), "grants": named(record.grants.iter()) });
        audit::write(&change, &Act::new(Action::AccountCreate, &record.name, detail), by)?;
        change.commit()?;
        Ok(record)
    }

    /// Errors: `NoSuchAccount`.
    pub fn account(&self, account: AccountId) -> Result<AccountRecord, StoreError> {
        record_of(&self.connection, account)
    }

    /// The account of that name, in any case. Errors: `NoSuchAccount`.
    pub fn account_named(&self, name: &AccountName) -> Result<AccountRecord, StoreError> {
        let id = self
            .connection
            .prepare_cached("SELECT id FROM accounts WHERE name = ?1")?
            .query_row([name], |row| row.get(0))
            .optional()?;
        let id = id.ok_or_else(|| StoreError::NoSuchAccount { account: name.to_string() })?;
        record_of(&self.connection, id)
    }

    /// Every account, by name.
    pub fn accounts(&self) -> Result<Vec<AccountRecord>, StoreError> {
        self.accounts_after(None, usize::MAX)
    }

    /// The first `accounts_max` of the accounts whose names come after `after`, which need not be anybody's; by name.
    pub fn accounts_after(
        &self,
        after: Option<&AccountName>,
        accounts_max: usize,
    ) -> Result<Vec<AccountRecord>, StoreError> {
        let sql = format!("{SELECT_RECORD} WHERE name > ?1 ORDER BY name LIMIT ?2");
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows_max = i64::try_from(accounts_max).unwrap_or(i64::MAX);
        // No name is empty, so each comes after the empty text.
        let mut rows = select.query((after.map_or("", AccountName::as_str), rows_max))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record(&self.connection, row)?);
        }
        Ok(records)
    }

    /// Sets tier and grants, together or not at all. Errors: `NoSuchAccount`, `TooManyGrants`.
    pub fn change_account(
        &mut self,
        account: AccountId,
        wanted: &AccountChange,
        by: &Author,
    ) -> Result<AccountRecord, StoreError> {
        let change = self.change()?;
        let before = record_of(&change, account)?;
        let tier = wanted.tier.unwrap_or(before.tier);
        let grants = match &wanted.grants {
            None => before.grants.clone(),
            Some(GrantChange::Replace(grants)) => grants.clone(),
            Some(GrantChange::Edit { add, remove }) => before.grants.without(remove).with(add.iter().cloned()),
        };
        let after = AccountRecord { tier, grants, ..before.clone() };
        if after == before {
            return Ok(before);
        }
        change.prepare_cached("UPDATE accounts SET tier = ?2 WHERE id = ?1")?.execute((account, tier))?;
        write_grants(&change, account, &after.grants)?;
        stamp(&change, account, Touched::Account)?;
        audit::write(&change, &changed(&before, &after), by)?;
        change.commit()?;
        Ok(after)
    }

    /// Deletes the account with its keys, grants and watchlist; answers with what it was. Errors: `NoSuchAccount`.
    pub fn delete_account(&mut self, account: AccountId, by: &Author) -> Result<AccountRecord, StoreError> {
        let change = self.change()?;
        let record = record_of(&change, account)?;
        change.prepare_cached("DELETE FROM accounts WHERE id = ?1")?.execute([account])?;
        // Nothing is left to be stamped: a reader sees a new number and one account fewer.
        next_version(&change)?;
        let detail = json!({ "tier": record.tier.as_str(), "live_keys": record.live_keys, "owners": record.owners });
        audit::write(&change, &Act::new(Action::AccountDelete, &record.name, detail), by)?;
        change.commit()?;
        Ok(record)
    }
}

/// What became of an account: the tier where that is another, and the grants that came and went.
fn changed(before: &AccountRecord, after: &AccountRecord) -> Act {
    let mut detail = json!({});
    if after.tier != before.tier {
        detail["tier"] = after.tier.as_str().into();
        detail["tier_before"] = before.tier.as_str().into();
    }
    let of_first_alone = |first: &Grants, second: &Grants| {
        let held: BTreeSet<String> = second.iter().map(Grant::to_string).collect();
        let mut alone = first.iter().map(Grant::to_string).filter(|grant| !held.contains(grant)).peekable();
        alone.peek().is_some().then(|| named(alone))
    };
    if let Some(granted) = of_first_alone(&after.grants, &before.grants) {
        detail["granted"] = granted;
    }
    if let Some(revoked) = of_first_alone(&before.grants, &after.grants) {
        detail["revoked"] = revoked;
    }
    Act::new(Action::AccountChange, &after.name, detail)
}

/// The grants of an account, in order.
pub(super) fn grants_of(connection: &Connection, account: AccountId) -> Result<Grants, StoreError> {
    let mut select = connection.prepare_cached("SELECT pattern FROM grants WHERE account = ?1")?;
    let grants = select.query_map([account], |row| row.get::<_, Grant>(0))?.collect::<Result<Grants, _>>()?;
    Ok(grants)
}

fn write_grants(change: &Transaction<'_>, account: AccountId, grants: &Grants) -> Result<(), StoreError> {
    if grants.len() > GRANTS_PER_ACCOUNT_MAX {
        return Err(StoreError::TooManyGrants { wanted: grants.len() });
    }
    change.prepare_cached("DELETE FROM grants WHERE account = ?1")?.execute([account])?;
    let mut insert = change.prepare_cached("INSERT INTO grants (account, pattern) VALUES (?1, ?2)")?;
    for grant in grants.iter() {
        insert.execute((account, grant))?;
    }
    Ok(())
}

fn record_of(connection: &Connection, account: AccountId) -> Result<AccountRecord, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT_RECORD} WHERE id = ?1"))?;
    let mut rows = select.query([account])?;
    let row = rows.next()?.ok_or_else(|| StoreError::NoSuchAccount { account: account.to_string() })?;
    record(connection, row)
}

fn record(connection: &Connection, row: &Row<'_>) -> Result<AccountRecord, StoreError> {
    let id = row.get("id")?;
    let Moment(created) = row.get("created_ms")?;
    Ok(AccountRecord {
        id,
        name: row.get("name")?,
        tier: row.get("tier")?,
        grants: grants_of(connection, id)?,
        created,
        live_keys: row.get("live_keys")?,
        owners: row.get("owners")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::Role;
    use crate::accounts::fixture::{Fixture, by, grants, name, now, owner};

    #[test]
    fn a_created_account_is_found_by_name_by_id_and_in_the_list() {
        let Fixture { mut store, .. } = Fixture::new();
        let wanted = NewAccount { name: name("alice"), tier: Tier::Elite, grants: Grants::of_a_new_account() };
        let made = store.create_account(&wanted, &by()).expect("create");
        assert_eq!((made.name.as_str(), made.tier, made.created), ("alice", Tier::Elite, now()));
        assert_eq!(made.grants, grants(&["price:*", "transactions:*"]));
        assert_eq!(store.account(made.id).expect("by id"), made);
        assert_eq!(store.account_named(&name("alice")).expect("by name"), made);
        assert_eq!(store.accounts().expect("list"), [made]);
    }

    #[test]
    fn a_name_is_taken_once_in_any_case() {
        let mut fixture = Fixture::new();
        fixture.account("alice");
        let again = NewAccount { name: name("Alice"), tier: Tier::Free, grants: Grants::none() };
        let refused = fixture.store.create_account(&again, &by()).expect_err("taken");
        assert!(matches!(&refused, StoreError::NameTaken { name } if name == "Alice"), "{refused}");
        assert_eq!(fixture.store.accounts().expect("list").len(), 1);
    }

    #[test]
    fn accounts_are_listed_by_name() {
        let mut fixture = Fixture::new();
        for name in ["carol", "Alice", "bob"] {
            fixture.account(name);
        }
        let names: Vec<String> = fixture.store.accounts().expect("list").iter().map(|a| a.name.to_string()).collect();
        assert_eq!(names, ["Alice", "bob", "carol"]);
    }

    #[test]
    fn a_list_goes_on_after_any_name_in_any_case() {
        let mut fixture = Fixture::new();
        for name in ["carol", "Alice", "bob"] {
            fixture.account(name);
        }
        let page = |after: Option<&str>, accounts_max| -> Vec<String> {
            let after = after.map(name);
            let records = fixture.store.accounts_after(after.as_ref(), accounts_max).expect("a page");
            records.iter().map(|account| account.name.to_string()).collect()
        };
        assert_eq!(page(None, 2), ["Alice", "bob"]);
        assert_eq!(page(Some("ALICE"), 2), ["bob", "carol"]);
        assert_eq!(page(Some("b"), 1), ["bob"]);
        assert_eq!(page(Some("carol"), 2), [""; 0]);
    }

    #[test]
    fn an_unknown_account_is_no_such_account_for_every_operation() {
        let Fixture { mut store, .. } = Fixture::new();
        for nobody in [AccountId(1), AccountId(u64::MAX)] {
            let errors = [
                store.account(nobody).err(),
                store.change_account(nobody, &AccountChange::default(), &by()).err(),
                store.delete_account(nobody, &by()).err(),
                store.create_key(nobody, Role::Subscriber, &by()).err(),
                store.keys_of(nobody).err(),
                store.watchlist(nobody).err(),
                store.watch(nobody, &[owner("w")], &by()).err(),
                store.unwatch(nobody, &[owner("w")], &by()).err(),
                store.replace_watchlist(nobody, &[], &by()).err(),
            ];
            for error in errors {
                assert!(matches!(error, Some(StoreError::NoSuchAccount { .. })), "{error:?}");
            }
        }
        assert!(matches!(store.account_named(&name("bob")), Err(StoreError::NoSuchAccount { .. })));
    }

    #[test]
    fn tier_and_grants_change_together_and_what_is_not_named_stays() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let store = &mut fixture.store;
        let pro = AccountChange { tier: Some(Tier::Pro), grants: None };
        assert_eq!(store.change_account(alice, &pro, &by()).expect("tier").tier, Tier::Pro);

        let edit = GrantChange::Edit {
            add: vec!["bot:x".parse().expect("grant"), "bot:y".parse().expect("grant")],
            remove: vec!["price:*".parse().expect("grant"), "bot:never-there".parse().expect("grant")],
        };
        store.change_account(alice, &AccountChange { tier: None, grants: Some(edit) }, &by()).expect("edit");
        let replace = AccountChange { tier: Some(Tier::Free), grants: Some(GrantChange::Replace(grants(&["bot:*"]))) };
        let edited = store.account(alice).expect("account");
        assert_eq!((edited.tier, edited.grants), (Tier::Pro, grants(&["bot:x", "bot:y", "transactions:*"])));

        let answered = store.change_account(alice, &replace, &by()).expect("replace");
        assert_eq!((answered.tier, &answered.grants), (Tier::Free, &grants(&["bot:*"])));
        assert_eq!(store.account(alice).expect("account"), answered);
    }

    #[test]
    fn too_many_grants_leave_the_account_as_it_was() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let many: Grants =
            (0..=GRANTS_PER_ACCOUNT_MAX).map(|n| format!("bot:{n}").parse::<Grant>().expect("grant")).collect();
        let change = AccountChange { tier: Some(Tier::Free), grants: Some(GrantChange::Replace(many.clone())) };
        let before = fixture.store.account(alice).expect("account");
        let refused = fixture.store.change_account(alice, &change, &by()).expect_err("too many");
        assert!(matches!(refused, StoreError::TooManyGrants { wanted } if wanted == GRANTS_PER_ACCOUNT_MAX + 1));
        assert_eq!(fixture.store.account(alice).expect("account"), before);
        let new = NewAccount { name: name("bob"), tier: Tier::Free, grants: many };
        assert!(matches!(fixture.store.create_account(&new, &by()), Err(StoreError::TooManyGrants { .. })));
        assert!(matches!(fixture.store.account_named(&name("bob")), Err(StoreError::NoSuchAccount { .. })));
    }

    #[test]
    fn a_deleted_account_takes_its_keys_and_owners_along_and_its_id_is_not_used_again() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let key = fixture.store.create_key(alice, Role::Admin, &by()).expect("key").record.id;
        fixture.store.watch(alice, &[owner("w")], &by()).expect("watch");
        let gone = fixture.store.delete_account(alice, &by()).expect("delete");
        assert_eq!((gone.live_keys, gone.owners), (1, 1));
        assert!(matches!(fixture.store.find_key(&key.to_string()), Err(StoreError::NoSuchKey { .. })));
        let again = fixture.account("alice");
        assert!(again > alice);
        assert!(fixture.store.watchlist(again).expect("watchlist").is_empty());
        assert_eq!(fixture.store.keys().expect("keys"), []);
    }

    #[test]
    fn what_one_connection_commits_the_other_reads() {
        let mut fixture = Fixture::new();
        let mut other = fixture.second_store();
        let alice = fixture.account("alice");
        assert_eq!(other.account_named(&name("alice")).expect("seen by the other").id, alice);
        other.change_account(alice, &AccountChange { tier: Some(Tier::Pro), grants: None }, &by()).expect("change");
        assert_eq!(fixture.store.account(alice).expect("account").tier, Tier::Pro);
    }
}
