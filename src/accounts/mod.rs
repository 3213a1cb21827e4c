//! Accounts: who may connect, with which key, and what they want to see.
//!
//! ```text
//!   stentor account|key (another process) ──▶ Store ──▶ accounts.db ◀── Store ◀── AccountsService ◀── commands of shards
//!                                                                                       │ reload what changed
//!                                                                                       ▼
//!   shards ◀── authenticate, watchlist, key_is_live ◀── Directory ◀── Snapshot (immutable, whole, in memory)
//! ```
//!
//! Invariants:
//! * Shards never wait for the disk: they read a [`Snapshot`], which never changes while it is held.
//! * A key is stored as its SHA-256 and shown once; it is found by that hash, so no comparison tells anything by its time.
//! * What is in a [`Snapshot`] was committed to the disk first, and is whole: tier, grants, keys and watchlist of one moment.
//! * A change shows as a new `version` of the snapshot and of its account; what did not change is shared, not copied.
//! * Names, grants and owners exist only as types that have checked their text.
//! * Whatever changes here is written into the audit log, with the change or not at all (`audit`).

mod account;
pub mod audit;
mod command;
mod directory;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod grant;
mod inbox;
mod key;
mod role;
mod service;
mod snapshot;
mod store;
mod tier;
mod watchlist;

pub use account::{Account, AccountId, AccountName, InvalidName, LiveKey};
pub use command::{
    ChangeAccount, Command, CreateKey, DeleteAccount, FindAccount, GetAccount, GetWatchlist, InForce, ListAccounts,
    ListAudit, ListKeys, ReplaceWatchlist, RevokeKey, Unwatch, Watch,
};
pub use directory::Directory;
pub use error::StoreError;
pub use grant::{Grant, GrantNamespace, Grants, InvalidGrant};
pub use inbox::SubmitError;
pub use key::{ApiKey, KeyHash, KeyId, KeyNumber, KeyPrefix, NotAKeyId};
pub use role::{Role, UnknownRole};
pub use service::{AccountsClient, AccountsService, Hooks, OnChange};
pub use snapshot::{Identity, Snapshot};
pub use store::{AccountChange, AccountRecord, CreatedKey, GrantChange, KeyRecord, NewAccount, Store, WatchlistEdit};
pub use tier::{Tier, UnknownTier};
pub use watchlist::{InvalidOwner, Owner, Watchlist, WatchlistDiff};
