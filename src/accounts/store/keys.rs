//! Making, listing, finding and revoking keys.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use serde_json::json;

use super::columns::Moment;
use super::{Store, Touched, audit, require_account, stamp};
use crate::accounts::audit::{Act, Action, Author};
use crate::accounts::{AccountId, AccountName, ApiKey, KeyId, KeyNumber, KeyPrefix, LiveKey, Role, StoreError};
use crate::limits::{LIVE_KEYS_PER_ACCOUNT_MAX, REVOKED_KEYS_LISTED_PER_ACCOUNT_MAX};

/// A key as lists show it. The key itself is in no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub number: KeyNumber,
    pub id: KeyId,
    pub prefix: KeyPrefix,
    pub account: AccountId,
    pub account_name: AccountName,
    pub role: Role,
    pub created: Timestamp,
    /// When it was revoked; `None` while it is in force.
    pub revoked: Option<Timestamp>,
}

/// A key just made: the only moment at which the key itself is known.
#[derive(Clone, Debug)]
pub struct CreatedKey {
    pub key: ApiKey,
    pub record: KeyRecord,
}

const SELECT_RECORD: &str = "SELECT number, keys.id, prefix, account, name, role, keys.created_ms, revoked_ms
    FROM keys JOIN accounts ON accounts.id = keys.account";

impl Store {
    /// Errors: `NoSuchAccount`, `TooManyKeys`, `Random`.
    pub fn create_key(&mut self, account: AccountId, role: Role, by: &Author) -> Result<CreatedKey, StoreError> {
        let (key, id) = (ApiKey::generate()?, KeyId::generate()?);
        let change = self.change()?;
        require_account(&change, account)?;
        if live_keys_of(&change, account)?.len() >= LIVE_KEYS_PER_ACCOUNT_MAX {
            return Err(StoreError::TooManyKeys);
        }
        let sql = "INSERT INTO keys (id, account, role, hash, prefix, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        change.prepare_cached(sql)?.execute((id, account, role, key.hash(), key.prefix(), Moment(by.at)))?;
        stamp(&change, account, Touched::Account)?;
        let record = record_of(&change, id)?;
        audit::write(&change, &record.became(Action::KeyCreate), by)?;
        change.commit()?;
        Ok(CreatedKey { key, record })
    }

    /// Every key, revoked ones included, by account and age.
    pub fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        select(&self.connection, "ORDER BY name, number", ())
    }

    /// One account's keys, revoked ones included, the oldest first. Errors: `NoSuchAccount`.
    pub fn keys_of(&self, account: AccountId) -> Result<Vec<KeyRecord>, StoreError> {
        require_account(&self.connection, account)?;
        select(&self.connection, "WHERE account = ?1 ORDER BY number", [account])
    }

    /// Whether a key is neither revoked nor of an account that was deleted.
    pub fn key_is_live(&self, key: KeyNumber) -> Result<bool, StoreError> {
        let sql = "SELECT 1 FROM keys WHERE number = ?1 AND revoked_ms IS NULL";
        Ok(self.connection.prepare_cached(sql)?.query_row([key], |_| Ok(())).optional()?.is_some())
    }

    /// The key that a person means: by its id, by the key itself, or by its prefix as listed. Where several begin alike, the
    /// one that is in force is meant. Errors: `NoSuchKey`, `AmbiguousKey`.
    pub fn find_key(&self, text: &str) -> Result<KeyRecord, StoreError> {
        // Told by its beginning at most: this may be a secret, and a message may be logged.
        let none = || StoreError::NoSuchKey { key: text.chars().take("key_0123456789abcdef".len()).collect() };
        if let Ok(id) = text.parse::<KeyId>() {
            return record_of(&self.connection, id);
        }
        if let Some(key) = ApiKey::parse(text) {
            return select(&self.connection, "WHERE hash = ?1", [key.hash()])?.pop().ok_or_else(none);
        }
        let prefix = KeyPrefix::parse(text).ok_or_else(none)?;
        let mut found =
            select(&self.connection, "WHERE prefix = ?1 ORDER BY revoked_ms IS NOT NULL, number", [&prefix])?;
        let live = found.iter().filter(|key| key.revoked.is_none()).count();
        if live > 1 || (live == 0 && found.len() > 1) {
            let ids = found.iter().map(|key| key.id).collect();
            return Err(StoreError::AmbiguousKey { prefix: prefix.to_string(), ids });
        }
        if found.is_empty() { Err(none()) } else { Ok(found.swap_remove(0)) }
    }

    /// Takes a key of this account out of force, for good. To revoke it again changes nothing.
    /// Errors: `NoSuchKey`, also for another account's key.
    pub fn revoke_key(&mut self, account: AccountId, id: KeyId, by: &Author) -> Result<KeyRecord, StoreError> {
        let change = self.change()?;
        let record = record_of(&change, id)?;
        if record.account != account {
            return Err(no_such_key(id));
        }
        if record.revoked.is_some() {
            return Ok(record);
        }
        change.prepare_cached("UPDATE keys SET revoked_ms = ?2 WHERE id = ?1")?.execute((id, Moment(by.at)))?;
        let forget = "DELETE FROM keys WHERE number IN (
                          SELECT number FROM keys WHERE account = ?1 AND revoked_ms IS NOT NULL AND id <> ?2
                          ORDER BY revoked_ms DESC, number DESC LIMIT -1 OFFSET ?3)";
        let others_kept = REVOKED_KEYS_LISTED_PER_ACCOUNT_MAX as i64 - 1;
        change.prepare_cached(forget)?.execute((account, id, others_kept))?;
        stamp(&change, account, Touched::Account)?;
        let record = record_of(&change, id)?;
        audit::write(&change, &record.became(Action::KeyRevoke), by)?;
        change.commit()?;
        Ok(record)
    }
}

impl KeyRecord {
    fn became(&self, action: Action) -> Act {
        let (account, role, prefix) = (self.account_name.as_str(), self.role.as_str(), self.prefix.as_str());
        Act::new(action, self.id, json!({ "account": account, "role": role, "prefix": prefix }))
    }
}

/// The keys of an account that are in force.
pub(super) fn live_keys_of(connection: &Connection, account: AccountId) -> Result<Box<[LiveKey]>, StoreError> {
    let sql = "SELECT number, id, role, hash FROM keys WHERE account = ?1 AND revoked_ms IS NULL";
    let mut select = connection.prepare_cached(sql)?;
    let live =
        |row: &Row<'_>| Ok(LiveKey { number: row.get(0)?, id: row.get(1)?, role: row.get(2)?, hash: row.get(3)? });
    Ok(select.query_map([account], live)?.collect::<Result<_, _>>()?)
}

fn record_of(connection: &Connection, id: KeyId) -> Result<KeyRecord, StoreError> {
    let found = connection
        .prepare_cached(&format!("{SELECT_RECORD} WHERE keys.id = ?1"))?
        .query_row([id], record)
        .optional()?;
    found.ok_or_else(|| no_such_key(id))
}

fn select(connection: &Connection, which: &str, params: impl Params) -> Result<Vec<KeyRecord>, StoreError> {
    let mut select = connection.prepare_cached(&format!("{SELECT_RECORD} {which}"))?;
    Ok(select.query_map(params, record)?.collect::<Result<_, _>>()?)
}

fn record(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let Moment(created) = row.get(6)?;
    let revoked = row.get::<_, Option<Moment>>(7)?.map(|Moment(revoked)| revoked);
    Ok(KeyRecord {
        number: row.get(0)?,
        id: row.get(1)?,
        prefix: row.get(2)?,
        account: row.get(3)?,
        account_name: row.get(4)?,
        role: row.get(5)?,
        created,
        revoked,
    })
}

fn no_such_key(id: KeyId) -> StoreError {
    StoreError::NoSuchKey { key: id.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::accounts::fixture::{Fixture, by, now};

    #[test]
    fn a_created_key_is_listed_by_prefix_and_never_stored_in_the_clear() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let CreatedKey { key, record } = fixture.store.create_key(alice, Role::Publisher, &by()).expect("create");
        assert!(key.expose().starts_with(record.prefix.as_str()));
        assert_eq!((record.account, record.role, record.revoked), (alice, Role::Publisher, None));
        assert_eq!(fixture.store.keys_of(alice).expect("keys"), std::slice::from_ref(&record));
        assert_eq!(fixture.store.keys().expect("keys"), [record]);
        for file in ["accounts.db", "accounts.db-wal"] {
            let bytes = std::fs::read(fixture.data_dir().join(file)).expect(file);
            assert!(!bytes.windows(key.expose().len()).any(|window| window == key.expose().as_bytes()), "{file}");
        }
    }

    #[test]
    fn a_key_is_found_by_id_by_itself_and_by_prefix() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let CreatedKey { key, record } = fixture.store.create_key(alice, Role::Admin, &by()).expect("create");
        fixture.store.create_key(alice, Role::Admin, &by()).expect("another");
        for text in [&record.id.to_string(), key.expose(), record.prefix.as_str()] {
            assert_eq!(fixture.store.find_key(text).expect(text), record);
        }
        for text in ["", "stn_", &key.expose()[..20], "key_0000000000000000", "stn_--------", "alice"] {
            assert!(matches!(fixture.store.find_key(text), Err(StoreError::NoSuchKey { .. })), "{text}");
        }
    }

    #[test]
    fn a_shared_prefix_means_the_key_in_force_or_is_ambiguous() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let made: Vec<KeyRecord> =
            (0..2).map(|_| fixture.store.create_key(alice, Role::Admin, &by()).expect("create").record).collect();
        fixture.store.connection.execute("UPDATE keys SET prefix = 'stn_aaaaaaaa'", []).expect("collide");
        let refused = fixture.store.find_key("stn_aaaaaaaa").expect_err("two in force");
        assert!(matches!(&refused, StoreError::AmbiguousKey { ids, .. } if ids.len() == 2), "{refused}");
        assert!(refused.to_string().contains(&made[1].id.to_string()), "{refused}");
        fixture.store.revoke_key(alice, made[0].id, &by()).expect("revoke");
        assert_eq!(fixture.store.find_key("stn_aaaaaaaa").expect("one in force").id, made[1].id);
        fixture.store.revoke_key(alice, made[1].id, &by()).expect("revoke");
        assert!(matches!(fixture.store.find_key("stn_aaaaaaaa"), Err(StoreError::AmbiguousKey { .. })));
    }

    #[test]
    fn revoking_is_for_good_and_repeating_it_changes_nothing() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let id = fixture.store.create_key(alice, Role::Subscriber, &by()).expect("create").record.id;
        let revoked = fixture.store.revoke_key(alice, id, &by()).expect("revoke");
        assert_eq!(revoked.revoked, Some(now()));
        let later = now() + Duration::from_secs(60);
        assert_eq!(fixture.store.revoke_key(alice, id, &Author { at: later, ..by() }).expect("again"), revoked);
        assert_eq!(fixture.store.keys_of(alice).expect("keys"), [revoked]);
    }

    #[test]
    fn a_key_is_live_until_it_is_revoked_or_its_account_deleted() {
        let mut fixture = Fixture::new();
        let (alice, bob) = (fixture.account("alice"), fixture.account("bob"));
        let [alices, bobs] =
            [alice, bob].map(|account| fixture.store.create_key(account, Role::Admin, &by()).expect("create").record);
        let live = |store: &Store| [&alices, &bobs].map(|key| store.key_is_live(key.number).expect("an answer"));
        assert_eq!(live(&fixture.store), [true, true]);
        fixture.store.revoke_key(alice, alices.id, &by()).expect("revoke");
        assert_eq!(live(&fixture.store), [false, true]);
        fixture.store.delete_account(bob, &by()).expect("delete");
        assert_eq!(live(&fixture.store), [false, false]);
    }

    #[test]
    fn an_account_can_not_revoke_anothers_key() {
        let mut fixture = Fixture::new();
        let (alice, bob) = (fixture.account("alice"), fixture.account("bob"));
        let id = fixture.store.create_key(alice, Role::Subscriber, &by()).expect("create").record.id;
        for (account, id) in [(bob, id), (alice, KeyId(7))] {
            let refused = fixture.store.revoke_key(account, id, &by()).expect_err("not theirs");
            assert!(matches!(refused, StoreError::NoSuchKey { .. }), "{refused}");
        }
        assert_eq!(fixture.store.find_key(&id.to_string()).expect("key").revoked, None);
    }

    #[test]
    fn keys_in_force_are_bounded_and_revoking_makes_room() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let mut create = || fixture.store.create_key(alice, Role::Subscriber, &by());
        let first = create().expect("create").record.id;
        for _ in 1..LIVE_KEYS_PER_ACCOUNT_MAX {
            create().expect("create");
        }
        assert!(matches!(create(), Err(StoreError::TooManyKeys)));
        fixture.store.revoke_key(alice, first, &by()).expect("revoke");
        fixture.store.create_key(alice, Role::Subscriber, &by()).expect("room again");
    }

    #[test]
    fn the_oldest_revoked_keys_are_forgotten() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let mut ids = Vec::new();
        for nth in 0..=REVOKED_KEYS_LISTED_PER_ACCOUNT_MAX as u64 {
            let id = fixture.store.create_key(alice, Role::Subscriber, &by()).expect("create").record.id;
            let later = Author { at: now() + Duration::from_secs(nth), ..by() };
            fixture.store.revoke_key(alice, id, &later).expect("revoke");
            ids.push(id);
        }
        let kept: Vec<KeyId> = fixture.store.keys_of(alice).expect("keys").iter().map(|key| key.id).collect();
        assert_eq!(kept, ids[1..]);
    }
}
