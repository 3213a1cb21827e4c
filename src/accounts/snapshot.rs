//! All accounts at one moment, in memory: what shards authenticate against. Immutable, shared, never waits for the disk.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use ahash::{HashMap, HashSet};

use super::{Account, AccountId, ApiKey, KeyHash, KeyId, KeyNumber, Role};
use crate::limits::RECENT_ACCOUNT_CHANGES_MAX;

/// Accounts and the keys that open them. A change makes a new snapshot, which shares every unchanged account with the old.
#[derive(Clone)]
pub struct Snapshot {
    version: u64,
    accounts: HashMap<AccountId, Arc<Account>>,
    keys: HashMap<KeyHash, KeyEntry>,
    live: HashSet<KeyNumber>,
    recent: RecentChanges,
}

/// Which accounts changed lately, so that whoever holds an earlier snapshot need not look at all of them.
#[derive(Clone, Default)]
struct RecentChanges {
    /// Every change after this version is here.
    since: u64,
    /// In the order of their versions.
    changes: VecDeque<(u64, AccountId)>,
}

#[derive(Clone, Copy)]
struct KeyEntry {
    number: KeyNumber,
    id: KeyId,
    role: Role,
    account: AccountId,
}

/// Who presented a key, as of the snapshot that was asked.
#[derive(Clone, Debug)]
pub struct Identity {
    /// To ask a later snapshot whether the key is still in force.
    pub key: KeyNumber,
    /// For logs and answers.
    pub key_id: KeyId,
    pub role: Role,
    pub account: Arc<Account>,
}

impl Snapshot {
    /// No accounts. Its version is before that of any database.
    pub fn empty() -> Self {
        Self {
            version: 0,
            accounts: HashMap::default(),
            keys: HashMap::default(),
            live: HashSet::default(),
            recent: RecentChanges::default(),
        }
    }

    /// The number of the last change that this snapshot holds. Two snapshots with the same version hold the same.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whose key this is, if it is one and in force. A text that isn't even shaped like a key costs no hashing.
    pub fn authenticate(&self, presented_key: &str) -> Option<Identity> {
        let entry = self.keys.get(&ApiKey::parse(presented_key)?.hash())?;
        let account = Arc::clone(self.accounts.get(&entry.account)?);
        Some(Identity { key: entry.number, key_id: entry.id, role: entry.role, account })
    }

    pub fn account(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.accounts.get(&id)
    }

    /// Whether a key that once authenticated is still in force: not revoked, and its account not deleted.
    pub fn key_is_live(&self, key: KeyNumber) -> bool {
        self.live.contains(&key)
    }

    /// In no order.
    pub fn accounts(&self) -> impl ExactSizeIterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// How many keys are in force.
    pub fn live_keys(&self) -> usize {
        self.live.len()
    }

    /// The next snapshot: these accounts are new, or take the place of their former selves.
    pub fn with_changes(&self, version: u64, changed: impl IntoIterator<Item = Arc<Account>>) -> Self {
        let mut next = self.clone();
        next.version = version;
        for account in changed {
            next.recent.note(version, account.id);
            next.remove(account.id);
            next.insert(account);
        }
        next
    }

    /// The accounts that changed after `version` or are gone since, some perhaps more than once. `None` where that is too
    /// long ago to be known, or still to come (an older database was restored): any may have.
    pub fn changed_since(&self, version: u64) -> Option<impl Iterator<Item = AccountId>> {
        let known = (self.recent.since..=self.version).contains(&version);
        let recent = known.then_some(&self.recent.changes);
        recent.map(|changes| changes.iter().rev().take_while(move |(at, _)| *at > version).map(|(_, id)| *id))
    }

    /// Drops the accounts that are not in `existing`.
    pub fn without_others(mut self, existing: &HashSet<AccountId>) -> Self {
        let gone: Vec<AccountId> = self.accounts.keys().filter(|id| !existing.contains(id)).copied().collect();
        for id in gone {
            self.recent.note(self.version, id);
            self.remove(id);
        }
        self
    }

    fn insert(&mut self, account: Arc<Account>) {
        for key in &account.keys {
            let entry = KeyEntry { number: key.number, id: key.id, role: key.role, account: account.id };
            self.keys.insert(key.hash, entry);
            self.live.insert(key.number);
        }
        self.accounts.insert(account.id, account);
    }

    fn remove(&mut self, id: AccountId) {
        let Some(account) = self.accounts.remove(&id) else { return };
        for key in &account.keys {
            self.keys.remove(&key.hash);
            self.live.remove(&key.number);
        }
    }
}

impl RecentChanges {
    fn note(&mut self, version: u64, id: AccountId) {
        self.changes.push_back((version, id));
        while self.changes.len() > RECENT_ACCOUNT_CHANGES_MAX {
            // The version that it is of may have others here; those count as forgotten, too.
            if let Some((forgotten, _)) = self.changes.pop_front() {
                self.since = forgotten;
            }
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(version {}, {} accounts, {} keys)", self.version, self.accounts.len(), self.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Grants, Tier, Watchlist};

    fn account(id: u64, version: u64) -> Arc<Account> {
        Arc::new(Account {
            id: AccountId(id),
            name: "someone".parse().expect("a name"),
            tier: Tier::Pro,
            grants: Grants::none(),
            watchlist: Watchlist::empty(),
            keys: [].into(),
            version,
        })
    }

    fn changed(snapshot: &Snapshot, version: u64) -> Option<Vec<u64>> {
        snapshot.changed_since(version).map(|ids| ids.map(|id| id.0).collect())
    }

    #[test]
    fn what_changed_since_a_version_is_known_and_so_is_who_is_gone() {
        let first = Snapshot::empty().with_changes(5, [account(1, 5), account(2, 5)]);
        let second = first.with_changes(6, [account(2, 6)]);
        let third = second.with_changes(8, []).without_others(&[AccountId(2)].into_iter().collect());
        assert_eq!(changed(&third, 8), Some(vec![]));
        assert_eq!(changed(&third, 6), Some(vec![1]));
        assert_eq!(changed(&third, 5), Some(vec![1, 2]));
        assert_eq!(changed(&third, 0), Some(vec![1, 2, 2, 1]));
        assert_eq!(changed(&third, 9), None, "a later one was held: an older database was restored");
    }

    #[test]
    fn what_is_too_long_ago_is_not_known() {
        let mut snapshot = Snapshot::empty();
        let most = RECENT_ACCOUNT_CHANGES_MAX as u64;
        for version in 1..=most + 1 {
            snapshot = snapshot.with_changes(version, [account(version, version)]);
        }
        assert_eq!(changed(&snapshot, 0), None, "the change of version 1 is forgotten");
        assert_eq!(changed(&snapshot, 1).map(|ids| ids.len()), Some(RECENT_ACCOUNT_CHANGES_MAX));
        let all = (0..most).map(|id| account(id, most + 2));
        let snapshot = snapshot.with_changes(most + 2, all.chain([account(most, most + 2)]));
        assert_eq!(changed(&snapshot, most + 1), None, "one of the version's own changes is forgotten");
        assert_eq!(changed(&snapshot, most + 2), Some(vec![]));
    }
}
