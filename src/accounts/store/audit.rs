//! The audit log's table: an entry with each change, bounded in number and in age.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Row, Transaction, named_params};
use serde_json::Value;

use super::Store;
use super::columns::Moment;
use crate::accounts::StoreError;
use crate::accounts::audit::{Act, AuditEntry, AuditQuery, Author, Side};
use crate::limits::{AUDIT_DAYS_MAX, AUDIT_ENTRIES_MAX, AUDIT_ENTRIES_PER_ACCOUNT_MAX, AUDIT_FILTER_CHARS_MAX};

/// How long an entry is kept.
const AGE_MAX: Duration = Duration::from_secs(AUDIT_DAYS_MAX * 24 * 3600);

impl Store {
    /// Writes down what was done elsewhere. What is done to this database writes its own entry.
    pub fn record(&mut self, act: &Act, by: &Author) -> Result<(), StoreError> {
        self.record_all([(act, by)])
    }

    /// The same of several acts, in one transaction.
    pub fn record_all<'a>(&mut self, acts: impl IntoIterator<Item = (&'a Act, &'a Author)>) -> Result<(), StoreError> {
        let mut acts = acts.into_iter().peekable();
        if acts.peek().is_none() {
            return Ok(());
        }
        let change = self.change()?;
        acts.try_for_each(|(act, by)| write(&change, act, by))?;
        Ok(change.commit()?)
    }

    /// The entries that are wanted.
    pub fn audit(&self, query: &AuditQuery) -> Result<Vec<AuditEntry>, StoreError> {
        let order = if query.oldest_first { "ASC" } else { "DESC" };
        let sql = format!(
            "SELECT id, at_ms, actor, action, target, detail FROM audit
            WHERE id > :after AND id < :before AND at_ms >= :since
                AND (:actor = '' OR instr(lower(actor), :actor) > 0)
                AND (:action = '' OR action = :action OR substr(action, 1, length(:action) + 1) = :action || '.')
            ORDER BY id {order} LIMIT :entries_max"
        );
        let actor = query.actor.as_deref().unwrap_or_default();
        // SQLite's lower() knows ASCII alone; so do all actors but those of odd user names.
        let actor: String = actor.chars().take(AUDIT_FILTER_CHARS_MAX).collect::<String>().to_ascii_lowercase();
        let params = named_params! {
            ":after": number(query.after.unwrap_or(0)),
            ":before": query.before.map_or(i64::MAX, number),
            ":since": query.since.map_or(i64::MIN, Timestamp::as_millisecond),
            ":actor": actor,
            ":action": query.action.map_or("", |action| action.as_str()),
            ":entries_max": number(query.entries_max as u64),
        };
        let mut select = self.connection.prepare_cached(&sql)?;
        Ok(select.query_map(params, entry)?.collect::<Result<_, _>>()?)
    }

    /// How many entries are no longer kept.
    pub fn audit_dropped(&self) -> Result<u64, StoreError> {
        let sql =
            "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0) - (SELECT count(*) FROM audit)";
        let dropped: i64 = self.connection.query_row(sql, (), |row| row.get(0))?;
        Ok(u64::try_from(dropped).unwrap_or(0))
    }
}

/// Adds an entry to a change that is about to be committed, and drops what the log has no more room for.
pub(super) fn write(change: &Transaction<'_>, act: &Act, by: &Author) -> Result<(), StoreError> {
    write_bounded(change, act, by, Bounds { of_account: AUDIT_ENTRIES_PER_ACCOUNT_MAX, of_side: AUDIT_ENTRIES_MAX })
}

/// Entries that are kept.
struct Bounds {
    of_account: u64,
    of_side: u64,
}

fn write_bounded(change: &Transaction<'_>, act: &Act, by: &Author, kept: Bounds) -> Result<(), StoreError> {
    let (side, account) = match by.actor.side() {
        Side::Operator => (0, None),
        Side::Customer(account) => (1, Some(account)),
    };
    let sql =
        "INSERT INTO audit (at_ms, side, account, actor, action, target, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (actor, detail) = (by.actor.to_string(), act.detail().to_string());
    let row = (Moment(by.at), side, account, actor, act.action.as_str(), act.target(), detail);
    change.prepare_cached(sql)?.execute(row)?;
    if let Some(account) = account {
        // A walk through as many entries of an index as are kept: a twentieth of a millisecond.
        let sql = "DELETE FROM audit WHERE id IN
            (SELECT id FROM audit WHERE account = ?1 ORDER BY id DESC LIMIT -1 OFFSET ?2)";
        change.prepare_cached(sql)?.execute((account, number(kept.of_account)))?;
    }
    let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE side = ?1 ORDER BY id
        LIMIT max(0, (SELECT entries FROM audit_kept WHERE side = ?1) - ?2))";
    change.prepare_cached(sql)?.execute((side, number(kept.of_side)))?;
    let oldest_kept = by.at.saturating_sub(AGE_MAX).map_or(Timestamp::MIN, |oldest| oldest);
    change.prepare_cached("DELETE FROM audit WHERE at_ms < ?1")?.execute([Moment(oldest_kept)])?;
    Ok(())
}

/// A number as SQLite has it.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let Moment(at) = row.get(1)?;
    let Detail(detail) = row.get(5)?;
    let id: i64 = row.get(0)?;
    Ok(AuditEntry { id: id.unsigned_abs(), at, actor: row.get(2)?, action: row.get(3)?, target: row.get(4)?, detail })
}

struct Detail(Value);

impl FromSql for Detail {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::accounts::audit::{Action, Actor, KeyActor};
    use crate::accounts::fixture::{Fixture, by, grants, name, now, owners};
    use crate::accounts::{AccountChange, AccountId, GrantChange, Grants, KeyId, NewAccount, Role, Tier};

    /// What the log says, the oldest first.
    fn log(store: &Store) -> Vec<(String, String, Value)> {
        let mut entries = store.audit(&AuditQuery { entries_max: 1_000, ..AuditQuery::default() }).expect("the log");
        entries.reverse();
        entries.into_iter().map(|entry| (entry.action, entry.target, entry.detail)).collect()
    }

    fn after(store: &Store, what: usize) -> Vec<(String, String, Value)> {
        log(store).split_off(what)
    }

    fn recorded(action: &str, target: impl ToString, detail: Value) -> (String, String, Value) {
        (action.to_owned(), target.to_string(), detail)
    }

    fn by_key(role: Role) -> Author {
        by_key_of(AccountId(7), role)
    }

    fn by_key_of(account_id: AccountId, role: Role) -> Author {
        let (account, address) = (name("ops"), "203.0.113.7".parse().expect("an address"));
        Author { actor: Actor::Key(KeyActor { key: KeyId(7), role, account, account_id, address }), at: now() }
    }

    fn act(target: u64) -> Act {
        Act::new(Action::TokenMint, target, json!({}))
    }

    fn ids(store: &Store, query: AuditQuery) -> Vec<u64> {
        let query = AuditQuery { entries_max: if query.entries_max == 0 { 100 } else { query.entries_max }, ..query };
        store.audit(&query).expect("the log").iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn an_account_leaves_a_trail_from_its_creation_to_its_deletion() {
        let Fixture { mut store, .. } = Fixture::new();
        let wanted = NewAccount { name: name("alice"), tier: Tier::Free, grants: Grants::of_a_new_account() };
        let alice = store.create_account(&wanted, &by()).expect("create").id;
        let edit = GrantChange::Edit {
            add: vec!["bot:x".parse().expect("grant")],
            remove: grants(&["price:*"]).iter().cloned().collect(),
        };
        let change = AccountChange { tier: Some(Tier::Elite), grants: Some(edit) };
        store.change_account(alice, &change, &by()).expect("change");
        let key = store.create_key(alice, Role::Publisher, &by()).expect("key").record;
        store.revoke_key(alice, key.id, &by()).expect("revoke");
        store.replace_watchlist(alice, &owners(&["a", "b"]), &by()).expect("replace");
        store.watch(alice, &owners(&["c"]), &by()).expect("watch");
        store.unwatch(alice, &owners(&["a", "x"]), &by()).expect("unwatch");
        store.delete_account(alice, &by()).expect("delete");
        let of_key = json!({ "account": "alice", "role": "publisher", "prefix": key.prefix.as_str() });
        let expected = [
            recorded("account.create", "alice", json!({ "tier": "free", "grants": ["price:*", "transactions:*"] })),
            recorded(
                "account.change",
                "alice",
                json!({ "tier": "elite", "tier_before": "free", "granted": ["bot:x"], "revoked": ["price:*"] }),
            ),
            recorded("key.create", key.id, of_key.clone()),
            recorded("key.revoke", key.id, of_key),
            recorded("watchlist.replace", "alice", json!({ "added": 2, "removed": 0, "total": 2 })),
            recorded("watchlist.add", "alice", json!({ "added": 1, "removed": 0, "total": 3 })),
            recorded("watchlist.remove", "alice", json!({ "added": 0, "removed": 1, "total": 2 })),
            recorded("account.delete", "alice", json!({ "tier": "elite", "live_keys": 0, "owners": 2 })),
        ];
        assert_eq!(log(&store), expected);
    }

    #[test]
    fn an_entry_says_who_and_when() {
        let Fixture { mut store, .. } = Fixture::new();
        store.record(&act(1), &by_key(Role::Admin)).expect("record");
        let entries = store.audit(&AuditQuery { entries_max: 9, ..AuditQuery::default() }).expect("the log");
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        let expected = json!({
            "id": 1, "at": "2025-10-09T08:53:20Z", "actor": "admin key key_0000000000000007 of ops from 203.0.113.7",
            "action": "token.mint", "target": "1", "detail": {},
        });
        assert_eq!(entry.to_json(), expected);
    }

    #[test]
    fn what_changed_nothing_and_what_was_refused_leaves_no_entry() {
        let mut fixture = Fixture::new();
        let alice = fixture.account("alice");
        let store = &mut fixture.store;
        let key = store.create_key(alice, Role::Admin, &by()).expect("key").record.id;
        store.revoke_key(alice, key, &by()).expect("revoke");
        store.watch(alice, &owners(&["a"]), &by()).expect("watch");
        let so_far = log(store).len();
        store.revoke_key(alice, key, &by()).expect("again");
        store.watch(alice, &owners(&["a"]), &by()).expect("again");
        store.unwatch(alice, &owners(&["x"]), &by()).expect("none");
        store.change_account(alice, &AccountChange::default(), &by()).expect("nothing");
        store.create_key(AccountId(99), Role::Admin, &by()).expect_err("nobody");
        let again = NewAccount { name: name("Alice"), tier: Tier::Free, grants: Grants::none() };
        store.create_account(&again, &by()).expect_err("taken");
        assert_eq!(after(store, so_far), []);
    }

    #[test]
    fn a_change_that_is_not_committed_leaves_no_entry() {
        let mut fixture = Fixture::new();
        let change = fixture.store.change().expect("change");
        write(&change, &act(1), &by()).expect("write");
        drop(change);
        assert_eq!(log(&fixture.store), []);
        assert_eq!(fixture.store.audit_dropped().expect("none"), 0);
    }

    #[test]
    fn entries_alone_are_no_news_to_the_shards() {
        let mut fixture = Fixture::new();
        fixture.account("alice");
        let held = fixture.store.reload(&crate::accounts::Snapshot::empty()).expect("reload").expect("alice");
        fixture.store.record(&act(1), &by()).expect("record");
        assert!(fixture.store.reload(&held).expect("reload").is_none());
    }

    #[test]
    fn a_query_chooses_by_place_by_time_by_actor_and_by_action() {
        let mut fixture = Fixture::new();
        let later = Author { at: now() + Duration::from_secs(60), ..by_key(Role::Subscriber) };
        fixture.store.record(&act(1), &by()).expect("record");
        fixture.store.record(&act(2), &by_key(Role::Admin)).expect("record");
        fixture.store.record(&Act::new(Action::KeyCreate, "k", json!({})), &later).expect("record");
        fixture.store.record(&Act::new(Action::KeyRevoke, "k", json!({})), &later).expect("record");
        let of = |query| ids(&fixture.store, query);
        let all = AuditQuery::default;
        let action = |text: &str| AuditQuery { action: Some(text.parse().expect(text)), ..all() };
        let actor = |text: &str| AuditQuery { actor: Some(text.to_owned()), ..all() };
        assert_eq!(of(all()), [4, 3, 2, 1]);
        assert_eq!(of(AuditQuery { entries_max: 2, ..all() }), [4, 3]);
        assert_eq!(of(AuditQuery { entries_max: 2, after: Some(1), oldest_first: true, ..all() }), [2, 3]);
        assert_eq!(of(AuditQuery { before: Some(3), ..all() }), [2, 1]);
        assert_eq!(of(AuditQuery { after: Some(3), ..all() }), [4]);
        assert_eq!(of(AuditQuery { since: Some(later.at), ..all() }), [4, 3]);
        assert_eq!(
            (of(action("key")), of(action("key.revoke")), of(action("token"))),
            (vec![4, 3], vec![4], vec![2, 1])
        );
        assert_eq!(
            (of(actor("OPS")), of(actor("subscriber key")), of(actor("server"))),
            (vec![4, 3, 2], vec![4, 3], vec![1])
        );
        assert_eq!(of(actor("nobody%")), [0_u64; 0]);
        assert_eq!(of(AuditQuery { before: Some(u64::MAX), after: Some(u64::MAX), ..all() }), [0_u64; 0]);
    }

    /// An entry about `target` in a log that has room for five entries a side, three of an account's.
    fn write_to_a_short_log(store: &mut Store, target: u64, by: &Author) {
        let change = store.change().expect("change");
        write_bounded(&change, &act(target), by, Bounds { of_account: 3, of_side: 5 }).expect("write");
        change.commit().expect("commit");
    }

    #[test]
    fn the_oldest_go_first_and_no_customer_pushes_out_what_the_operator_did() {
        let mut fixture = Fixture::new();
        let store = &mut fixture.store;
        write_to_a_short_log(store, 1, &by_key(Role::Admin));
        for target in 2..=9 {
            write_to_a_short_log(store, target, &by_key_of(AccountId(target), Role::Subscriber));
        }
        assert_eq!(ids(store, AuditQuery::default()), [9, 8, 7, 6, 5, 1]);
        (10..=14).for_each(|target| write_to_a_short_log(store, target, &by()));
        assert_eq!(ids(store, AuditQuery::default()), [14, 13, 12, 11, 10, 9, 8, 7, 6, 5]);
        assert_eq!(store.audit_dropped().expect("dropped"), 4);
    }

    #[test]
    fn an_account_that_does_a_lot_pushes_out_its_own_entries_and_no_others() {
        let mut fixture = Fixture::new();
        let store = &mut fixture.store;
        let of = |account| by_key_of(AccountId(account), Role::Subscriber);
        write_to_a_short_log(store, 1, &of(1));
        (2..=40).for_each(|target| write_to_a_short_log(store, target, &of(2)));
        assert_eq!(ids(store, AuditQuery::default()), [40, 39, 38, 1]);
        // What the account's admin key does is the operator's, and not its own.
        (41..=45).for_each(|target| write_to_a_short_log(store, target, &by_key_of(AccountId(2), Role::Admin)));
        assert_eq!(ids(store, AuditQuery::default()), [45, 44, 43, 42, 41, 40, 39, 38, 1]);
        write_to_a_short_log(store, 46, &of(3));
        write_to_a_short_log(store, 47, &of(3));
        assert_eq!(ids(store, AuditQuery::default())[..4], [47, 46, 45, 44]);
        assert_eq!(
            ids(store, AuditQuery { before: Some(41), ..AuditQuery::default() }),
            [40, 39, 38],
            "the side is full"
        );
    }

    #[test]
    fn what_is_too_old_goes_with_the_next_entry() {
        let mut fixture = Fixture::new();
        for (target, at) in [(1, now()), (2, now() + AGE_MAX), (3, now() + AGE_MAX + Duration::from_millis(1))] {
            fixture.store.record(&act(target), &Author { at, ..by() }).expect("record");
            let oldest = ids(&fixture.store, AuditQuery::default()).last().copied();
            assert_eq!(oldest, Some(if target == 3 { 2 } else { 1 }));
        }
    }
}
