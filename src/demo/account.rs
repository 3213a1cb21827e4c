//! The demo's account and its two keys, the same after a restart.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::story::{ADMIN_LEVEL, USER_ID};
use crate::accounts::audit::Author;
use crate::accounts::{
    AccountChange, AccountName, AccountRecord, Grant, GrantChange, Grants, InvalidGrant, InvalidOwner, NewAccount,
    Role, Store, StoreError, Tier,
};
use crate::limits::DEMO_TOKEN_TTL_S;
use crate::tokens::{MintError, Minter, NewToken, TokenSettings, UserId};

#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Owner(#[from] InvalidOwner),
    #[error(transparent)]
    Grant(#[from] InvalidGrant),
    #[error(transparent)]
    Token(#[from] MintError),
    #[error("the demo's keys can't be kept in {}: {source}", path.display())]
    Keys { path: PathBuf, source: io::Error },
}

/// An account of tier elite that watches every wallet of the made-up market and may name every bot, and a user.
pub struct DemoAccount {
    pub subscriber_key: String,
    pub publisher_key: String,
    /// For the rooms protocol, good for a day.
    pub user_token: String,
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
const GRANT: &str = "bot:*";

impl DemoAccount {
    /// Finds the account and its keys, or makes them. The user's token is a new one.
    pub fn open(data_dir: &Path, wallets: &[String], tokens: &TokenSettings) -> Result<Self, DemoError> {
        let mut store = Store::open(data_dir)?;
        let by = Author::of_process();
        let account = demo_account(&mut store, &by)?;
        let grants = GrantChange::Edit { add: vec![GRANT.parse::<Grant>()?], remove: Vec::new() };
        store.change_account(account.id, &AccountChange { tier: None, grants: Some(grants) }, &by)?;
        let owners = wallets.iter().map(|wallet| wallet.parse()).collect::<Result<Vec<_>, _>>()?;
        store.replace_watchlist(account.id, &owners, &by)?;
        let path = data_dir.join(KEYS_FILE);
        let kept = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<KeptKeys>(&text).ok());
        let keys = match kept {
            Some(kept) if is_live(&store, &kept.subscriber) && is_live(&store, &kept.publisher) => kept,
            _ => {
                let made = KeptKeys {
                    subscriber: new_key(&mut store, &account, Role::Subscriber, &by)?,
                    publisher: new_key(&mut store, &account, Role::Publisher, &by)?,
                };
                keep(&path, &made).map_err(|source| DemoError::Keys { path, source })?;
                made
            }
        };
        let user = NewToken { user: UserId::new(USER_ID), admin_level: Some(ADMIN_LEVEL), ttl_s: DEMO_TOKEN_TTL_S };
        let now_s = Timestamp::now().as_second().max(0) as u64;
        let user_token = Minter::open(tokens, data_dir)?.mint(&user, now_s);
        Ok(Self { subscriber_key: keys.subscriber, publisher_key: keys.publisher, user_token })
    }
}

fn demo_account(store: &mut Store, by: &Author) -> Result<AccountRecord, StoreError> {
    let name: AccountName = ACCOUNT.parse()?;
    match store.account_named(&name) {
        Err(StoreError::NoSuchAccount { .. }) => {
            let account = NewAccount { name, tier: Tier::Elite, grants: Grants::of_a_new_account() };
            store.create_account(&account, by)
        }
        found => found,
    }
}

fn new_key(store: &mut Store, account: &AccountRecord, role: Role, by: &Author) -> Result<String, StoreError> {
    Ok(store.create_key(account.id, role, by)?.key.expose().to_owned())
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
    use crate::tokens::Verifier;

    fn open(data_dir: &Path) -> DemoAccount {
        DemoAccount::open(data_dir, &["wallet-1".to_owned()], &TokenSettings::default()).unwrap()
    }

    #[test]
    fn the_account_may_name_every_bot_even_where_it_was_made_before() {
        let dir = tempfile::tempdir().unwrap();
        demo_account(&mut Store::open(dir.path()).unwrap(), &Author::of_process()).unwrap();
        for _ in 0..2 {
            open(dir.path());
            let account = demo_account(&mut Store::open(dir.path()).unwrap(), &Author::of_process()).unwrap();
            assert_eq!(account.grants.to_string(), "bot:* price:* transactions:*");
        }
    }

    #[test]
    fn the_token_is_the_users_for_a_day() {
        let dir = tempfile::tempdir().unwrap();
        let token = open(dir.path()).user_token;
        let verifier = Verifier::open(&TokenSettings::default(), dir.path()).unwrap();
        let now_s = Timestamp::now().as_second() as u64;
        let claims = verifier.verify(&token, now_s).unwrap();
        assert_eq!((claims.user.as_str(), claims.admin_level), (USER_ID, Some(ADMIN_LEVEL)));
        assert!((now_s + 86_390..=now_s + 86_400).contains(&claims.expires_at_s));
    }

    #[test]
    fn the_keys_survive_a_restart_and_a_revoked_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path());
        let second = open(dir.path());
        assert_eq!(first.subscriber_key, second.subscriber_key);
        assert_eq!(first.publisher_key, second.publisher_key);
        let mut store = Store::open(dir.path()).unwrap();
        let revoked = store.find_key(&first.publisher_key).unwrap();
        store.revoke_key(revoked.account, revoked.id, &Author::of_process()).unwrap();
        let third = open(dir.path());
        assert_ne!(first.publisher_key, third.publisher_key);
        assert!(is_live(&store, &third.publisher_key));
    }
}
