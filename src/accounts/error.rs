//! What can go wrong in the accounts database, told so that the reader knows who mends it.

use std::io;
use std::path::PathBuf;

use super::{InvalidGrant, InvalidName, InvalidOwner, KeyId};
use crate::contract::ErrorCode;
use crate::database::DatabaseError;
use crate::limits::{GRANTS_PER_ACCOUNT_MAX, LIVE_KEYS_PER_ACCOUNT_MAX, WATCHLIST_OWNERS_MAX};
use http::StatusCode;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    // The caller asked for something that can't be:
    #[error("there is already an account named {name:?}: choose another name")]
    NameTaken { name: String },
    #[error("there is no account {account:?}")]
    NoSuchAccount { account: String },
    #[error("there is no key {key:?}")]
    NoSuchKey { key: String },
    #[error("{} keys begin with {prefix:?}: name one by its id ({})", .ids.len(), list(.ids))]
    AmbiguousKey { prefix: String, ids: Vec<KeyId> },
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
    #[error(transparent)]
    InvalidGrant(#[from] InvalidGrant),
    #[error(transparent)]
    InvalidOwner(#[from] InvalidOwner),
    #[error("a watchlist holds at most {WATCHLIST_OWNERS_MAX} owners and this would be more: remove some first")]
    WatchlistFull,
    #[error(
        "an account has at most {GRANTS_PER_ACCOUNT_MAX} grants and this would be {wanted}: use a prefix such as bot:team_*"
    )]
    TooManyGrants { wanted: usize },
    #[error("an account has at most {LIVE_KEYS_PER_ACCOUNT_MAX} keys in force: revoke one that is no longer used")]
    TooManyKeys,

    // The operator mends these:
    #[error("there is no accounts database in {}: give the server's --data-dir, or make an account first", .data_dir.display())]
    NoDatabase { data_dir: PathBuf },
    #[error("the kernel gives no random numbers ({0}): let the sandbox or seccomp profile allow getrandom(2)")]
    Random(#[from] getrandom::Error),
    #[error(
        "can't start the accounts thread ({0}): allow more threads (`ulimit -u`, TasksMax= in the service's unit, the \
         container's pids limit)"
    )]
    Thread(io::Error),

    /// Most of it is the operator's to mend; a lock passes.
    #[error("the accounts database {0}")]
    Database(#[from] DatabaseError),

    // Passing:
    #[error("the change is stored, but the server can't read it back yet ({0}): it keeps trying")]
    NotYetLive(Box<StoreError>),
}

impl StoreError {
    /// The status of a REST answer that carries this error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NameTaken { .. } | Self::WatchlistFull | Self::TooManyGrants { .. } | Self::TooManyKeys => {
                StatusCode::CONFLICT
            }
            Self::NoSuchAccount { .. } | Self::NoSuchKey { .. } => StatusCode::NOT_FOUND,
            Self::AmbiguousKey { .. } | Self::InvalidName(_) | Self::InvalidGrant(_) | Self::InvalidOwner(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Database(error) => error.status(),
            Self::NotYetLive(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoDatabase { .. } | Self::Random(_) | Self::Thread(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `code` of a REST answer that carries this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NameTaken { .. } => ErrorCode::NameTaken,
            Self::NoSuchAccount { .. } => ErrorCode::NoSuchAccount,
            Self::NoSuchKey { .. } => ErrorCode::NoSuchKey,
            Self::AmbiguousKey { .. } => ErrorCode::InvalidRequest,
            Self::InvalidName(_) => ErrorCode::InvalidName,
            Self::InvalidGrant(_) => ErrorCode::InvalidGrant,
            Self::InvalidOwner(_) => ErrorCode::InvalidOwner,
            Self::WatchlistFull => ErrorCode::WatchlistFull,
            Self::TooManyGrants { .. } => ErrorCode::TooManyGrants,
            Self::TooManyKeys => ErrorCode::TooManyKeys,
            Self::Database(DatabaseError::Busy) | Self::NotYetLive(_) => ErrorCode::Busy,
            Self::Database(DatabaseError::DiskFull) => ErrorCode::DiskFull,
            Self::Database(_) | Self::NoDatabase { .. } | Self::Random(_) | Self::Thread(_) => ErrorCode::Internal,
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

fn list(ids: &[KeyId]) -> String {
    ids.iter().map(KeyId::to_string).collect::<Vec<_>>().join(", ")
}
