//! All accounts at one moment, in memory: what shards authenticate against. Immutable, shared, never waits for the disk.

use std::fmt;
use std::sync::Arc;

use ahash::{HashMap, HashSet};

use super::{Account, AccountId, ApiKey, KeyHash, KeyId, KeyNumber, Role};

/// Accounts and the keys that open them. A change makes a new snapshot, which shares every unchanged account with the old.
#[derive(Clone)]
pub struct Snapshot {
    version: u64,
    accounts: HashMap<AccountId, Arc<Account>>,
    keys: HashMap<KeyHash, KeyEntry>,
    live: HashSet<KeyNumber>,
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
        Self { version: 0, accounts: HashMap::default(), keys: HashMap::default(), live: HashSet::default() }
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

    /// The next snapshot: these accounts are new, or take the place of their former selves.
    pub fn with_changes(&self, version: u64, changed: impl IntoIterator<Item = Arc<Account>>) -> Self {
        let mut next = self.clone();
        next.version = version;
        for account in changed {
            next.remove(account.id);
            next.insert(account);
        }
        next
    }

    /// Drops the accounts that are not in `existing`.
    pub fn without_others(mut self, existing: &HashSet<AccountId>) -> Self {
        let gone: Vec<AccountId> = self.accounts.keys().filter(|id| !existing.contains(id)).copied().collect();
        for id in gone {
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

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot(version {}, {} accounts, {} keys)", self.version, self.accounts.len(), self.keys.len())
    }
}
