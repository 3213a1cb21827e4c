//! The demo's account and its two keys, the same after a restart.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::accounts::{AccountName, AccountRecord, Grants, InvalidOwner, NewAccount, Role, Store, StoreError, Tier};

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Owner(#[from] InvalidOwner),
    #[error("the demo's keys can't be kept in {}: {source}", path.display())]
    Keys { path: PathBuf, source: io::Error },
}

/// An account of tier elite that watches every wallet of the made-up market.
pub struct DemoAccount {
    pub subscriber_key: String,
    pub publisher_key: String,
}

/// What is kept in the data directory. The store has only hashes, and a key that changed with each start would break the
/// lines that were pasted.
#[derive(Serialize, Deserialize)]
struct KeptKeys {
    subscriber: String,
    publisher: String,
}

const ACCOUNT: &str = "demo";
const KEYS_FILE: &str = "demo-keys.json";

impl DemoAccount {
    /// Finds the account and its keys, or makes them.
    pub fn open(data_dir: &Path, wallets: &[String]) -> Result<Self, DemoError> {
        let mut store = Store::open(data_dir)?;
        let account = demo_account(&mut store)?;
        let owners = wallets.iter().map(|wallet| wallet.parse()).collect::<Result<Vec<_>, _>>()?;
        store.replace_watchlist(account.id, &owners)?;
        let path = data_dir.join(KEYS_FILE);
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<KeptKeys>(&text).ok());
        let keys = match kept {
            Some(kept) if is_live(&store, &kept.subscriber) && is_live(&store, &kept.publisher) => kept,
            _ => {
                let made = KeptKeys {
                    subscriber: new_key(&mut store, &account, Role::Subscriber)?,
                    publisher: new_key(&mut store, &account, Role::Publisher)?,
                };
                keep(&path, &made).map_err(|source| DemoError::Keys { path, source })?;
                made
            }
        };
        Ok(Self { subscriber_key: keys.subscriber, publisher_key: keys.publisher })
    }
}

fn demo_account(store: &mut Store) -> Result<AccountRecord, StoreError> {
    let name: AccountName = ACCOUNT.parse()?;
    match store.account_named(&name) {
        Err(StoreError::NoSuchAccount { .. }) => {
            let account = NewAccount { name, tier: Tier::Elite, grants: Grants::of_a_new_account() };
            store.create_account(&account, Timestamp::now())
        }
        found => found,
    }
}

fn new_key(store: &mut Store, account: &AccountRecord, role: Role) -> Result<String, StoreError> {
    Ok(store.create_key(account.id, role, Timestamp::now())?.key.expose().to_owned())
}

fn is_live(store: &Store, key: &str) -> bool {
    store.find_key(key).is_ok_and(|record| record.revoked.is_none())
}

fn keep(path: &Path, keys: &KeptKeys) -> io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec_pretty(keys)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_survive_a_restart_and_a_revoked_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let wallets = ["wallet-1".to_owned()];
        let first = DemoAccount::open(dir.path(), &wallets).unwrap();
        let second = DemoAccount::open(dir.path(), &wallets).unwrap();
        assert_eq!(first.subscriber_key, second.subscriber_key);
        assert_eq!(first.publisher_key, second.publisher_key);
        let mut store = Store::open(dir.path()).unwrap();
        let revoked = store.find_key(&first.publisher_key).unwrap();
        store.revoke_key(revoked.account, revoked.id, Timestamp::now()).unwrap();
        let third = DemoAccount::open(dir.path(), &wallets).unwrap();
        assert_ne!(first.publisher_key, third.publisher_key);
        assert!(is_live(&store, &third.publisher_key));
    }
}
