//! What the server's other threads may ask of the accounts thread: one type a command, with the type of its answer.
//!
//! Each does what the method of [`Store`] that it calls says, and fails as that one does. What it changes is told to the audit log
//! as its author's.

use super::audit::{AuditEntry, AuditQuery, Author};
use super::{
    AccountChange, AccountId, AccountName, AccountRecord, CreatedKey, KeyId, KeyNumber, KeyRecord, NewAccount, Owner,
    Role, Store, StoreError, Watchlist, WatchlistEdit,
};

/// Something to be done with the database, on the thread that owns it.
pub trait Command: Send + 'static {
    type Answer: Send + 'static;

    fn execute(self, store: &mut Store, by: &Author) -> Result<Self::Answer, StoreError>;
}

/// A command that is carried out only if the key that asked for it is still in force when its turn comes; the answer is
/// `None` where it is not. A desk authenticates before the queue, and a key that was revoked meanwhile must leave nothing
/// behind: with a key that it makes, a thief would stay.
#[derive(Clone, Debug)]
pub struct InForce<C> {
    pub key: KeyNumber,
    pub command: C,
}

impl<C: Command> Command for InForce<C> {
    type Answer = Option<C::Answer>;

    fn execute(self, store: &mut Store, by: &Author) -> Result<Option<C::Answer>, StoreError> {
        if !store.key_is_live(self.key)? {
            return Ok(None);
        }
        self.command.execute(store, by).map(Some)
    }
}

#[derive(Clone, Debug)]
pub struct GetWatchlist {
    pub account: AccountId,
}

impl Command for GetWatchlist {
    type Answer = Watchlist;

    fn execute(self, store: &mut Store, _: &Author) -> Result<Watchlist, StoreError> {
        store.watchlist(self.account)
    }
}

#[derive(Clone, Debug)]
pub struct ReplaceWatchlist {
    pub account: AccountId,
    pub owners: Vec<Owner>,
}

impl Command for ReplaceWatchlist {
    type Answer = WatchlistEdit;

    fn execute(self, store: &mut Store, by: &Author) -> Result<WatchlistEdit, StoreError> {
        store.replace_watchlist(self.account, &self.owners, by)
    }
}

/// Adds owners to the watchlist.
#[derive(Clone, Debug)]
pub struct Watch {
    pub account: AccountId,
    pub owners: Vec<Owner>,
}

impl Command for Watch {
    type Answer = WatchlistEdit;

    fn execute(self, store: &mut Store, by: &Author) -> Result<WatchlistEdit, StoreError> {
        store.watch(self.account, &self.owners, by)
    }
}

/// Removes owners from the watchlist.
#[derive(Clone, Debug)]
pub struct Unwatch {
    pub account: AccountId,
    pub owners: Vec<Owner>,
}

impl Command for Unwatch {
    type Answer = WatchlistEdit;

    fn execute(self, store: &mut Store, by: &Author) -> Result<WatchlistEdit, StoreError> {
        store.unwatch(self.account, &self.owners, by)
    }
}

#[derive(Clone, Debug)]
pub struct CreateKey {
    pub account: AccountId,
    pub role: Role,
}

impl Command for CreateKey {
    type Answer = CreatedKey;

    fn execute(self, store: &mut Store, by: &Author) -> Result<CreatedKey, StoreError> {
        store.create_key(self.account, self.role, by)
    }
}

/// The account's keys, revoked ones included.
#[derive(Clone, Debug)]
pub struct ListKeys {
    pub account: AccountId,
}

impl Command for ListKeys {
    type Answer = Vec<KeyRecord>;

    fn execute(self, store: &mut Store, _: &Author) -> Result<Vec<KeyRecord>, StoreError> {
        store.keys_of(self.account)
    }
}

#[derive(Clone, Debug)]
pub struct RevokeKey {
    /// The account that the key must belong to.
    pub account: AccountId,
    pub key: KeyId,
}

impl Command for RevokeKey {
    type Answer = KeyRecord;

    fn execute(self, store: &mut Store, by: &Author) -> Result<KeyRecord, StoreError> {
        store.revoke_key(self.account, self.key, by)
    }
}

impl Command for NewAccount {
    type Answer = AccountRecord;

    fn execute(self, store: &mut Store, by: &Author) -> Result<AccountRecord, StoreError> {
        store.create_account(&self, by)
    }
}

#[derive(Clone, Debug)]
pub struct GetAccount {
    pub account: AccountId,
}

impl Command for GetAccount {
    type Answer = AccountRecord;

    fn execute(self, store: &mut Store, _: &Author) -> Result<AccountRecord, StoreError> {
        store.account(self.account)
    }
}

/// The account of that name, in any case.
#[derive(Clone, Debug)]
pub struct FindAccount {
    pub name: AccountName,
}

impl Command for FindAccount {
    type Answer = AccountRecord;

    fn execute(self, store: &mut Store, _: &Author) -> Result<AccountRecord, StoreError> {
        store.account_named(&self.name)
    }
}

/// The first accounts whose names come after `after`, by name.
#[derive(Clone, Debug)]
pub struct ListAccounts {
    pub after: Option<AccountName>,
    pub accounts_max: usize,
}

impl Command for ListAccounts {
    type Answer = Vec<AccountRecord>;

    fn execute(self, store: &mut Store, _: &Author) -> Result<Vec<AccountRecord>, StoreError> {
        store.accounts_after(self.after.as_ref(), self.accounts_max)
    }
}

#[derive(Clone, Debug)]
pub struct ChangeAccount {
    pub account: AccountId,
    pub change: AccountChange,
}

impl Command for ChangeAccount {
    type Answer = AccountRecord;

    fn execute(self, store: &mut Store, by: &Author) -> Result<AccountRecord, StoreError> {
        store.change_account(self.account, &self.change, by)
    }
}

#[derive(Clone, Debug)]
pub struct DeleteAccount {
    pub account: AccountId,
}

impl Command for DeleteAccount {
    type Answer = AccountRecord;

    fn execute(self, store: &mut Store, by: &Author) -> Result<AccountRecord, StoreError> {
        store.delete_account(self.account, by)
    }
}

/// Entries of the audit log, the newest first.
#[derive(Clone, Debug)]
pub struct ListAudit(pub AuditQuery);

impl Command for ListAudit {
    type Answer = Vec<AuditEntry>;

    fn execute(self, store: &mut Store, _: &Author) -> Result<Vec<AuditEntry>, StoreError> {
        store.audit(&self.0)
    }
}
