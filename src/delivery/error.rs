//! What can go wrong with webhooks, told so that the reader knows who mends it.

use std::io;
use std::path::PathBuf;

use http::StatusCode;

use super::guard::GuardRefusal;
use crate::contract::ErrorCode;
use crate::database::DatabaseError;
use crate::limits::WEBHOOKS_PER_ACCOUNT_MAX;

#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    // The caller asked for something that can't be:
    #[error("there is no such webhook")]
    NoSuchWebhook,
    #[error(transparent)]
    Url(#[from] GuardRefusal),
    #[error("a webhook needs at least one event")]
    NoEvents,
    #[error("an account has at most {WEBHOOKS_PER_ACCOUNT_MAX} webhooks: delete one that is no longer used")]
    TooManyWebhooks,
    #[error("since={since} lies in the future, the newest event is {last_seq}")]
    SinceInFuture { since: u64, last_seq: u64 },
    #[error("the webhook is disabled: enable it first, with PUT and {{\"is_active\":true}}")]
    Inactive,
    #[error("a test of this webhook is under way: wait for its end")]
    TestUnderWay,
    #[error("the API key was revoked")]
    KeyRevoked,

    // Passing:
    #[error("too many requests about webhooks are under way: try again in a second")]
    Busy,
    #[error("the server is shutting down")]
    Stopping,
    #[error("the webhooks' database could not be written: the change was not made")]
    NotStored,
    #[error(
        "the test was made, but what came of it could not be recorded: its endpoint knows, or test it again in a while"
    )]
    TestNotRecorded,
    #[error("the webhooks' database failed and is not back yet: nothing was done, try again in a while")]
    Recovering,

    // The operator mends these:
    #[error("can't use {} ({source}): check its owner and mode", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{}: {reason}", .path.display())]
    Invalid { path: PathBuf, reason: String },
    #[error("the webhooks' secrets are sealed: name the master key that sealed them ([webhooks] master_key_file)")]
    Sealed,
    #[error("the webhooks' secrets can't be opened with this master key: name the one that sealed them")]
    WrongMasterKey,
    /// A lock passes.
    #[error("the webhooks database {0}")]
    Database(#[from] DatabaseError),
    #[error("the kernel gives no random numbers ({0}): let the sandbox or seccomp profile allow getrandom(2)")]
    Random(#[from] getrandom::Error),
    #[error("can't start a delivery thread ({0}): allow more threads (`ulimit -u`, TasksMax= in the service's unit)")]
    Thread(io::Error),
}

impl DeliveryError {
    /// The status of a REST answer that carries this error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchWebhook => StatusCode::NOT_FOUND,
            Self::Url(_) | Self::NoEvents | Self::SinceInFuture { .. } => StatusCode::BAD_REQUEST,
            Self::TooManyWebhooks | Self::Inactive | Self::TestUnderWay => StatusCode::CONFLICT,
            Self::KeyRevoked => StatusCode::UNAUTHORIZED,
            Self::Busy | Self::Stopping | Self::NotStored | Self::TestNotRecorded | Self::Recovering => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Database(error) => error.status(),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `code` of a REST answer that carries this error.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoSuchWebhook => ErrorCode::NoSuchWebhook,
            Self::Url(_) => ErrorCode::InvalidUrl,
            Self::NoEvents => ErrorCode::InvalidEvents,
            Self::TooManyWebhooks => ErrorCode::TooManyWebhooks,
            Self::SinceInFuture { .. } => ErrorCode::SinceInFuture,
            Self::Inactive => ErrorCode::WebhookDisabled,
            Self::TestUnderWay => ErrorCode::TestUnderWay,
            Self::KeyRevoked => ErrorCode::AuthenticationFailed,
            Self::Busy => ErrorCode::Overloaded,
            Self::Stopping => ErrorCode::ShuttingDown,
            Self::NotStored => ErrorCode::NotStored,
            Self::TestNotRecorded => ErrorCode::TestNotRecorded,
            Self::Recovering => ErrorCode::Recovering,
            Self::Database(DatabaseError::Busy) => ErrorCode::Busy,
            Self::Database(DatabaseError::DiskFull) => ErrorCode::DiskFull,
            _ => ErrorCode::InternalError,
        }
    }

    /// Whether the database may be left in the middle of something.
    pub fn is_of_the_database(&self) -> bool {
        matches!(self, Self::Database(_)) || self.status() == StatusCode::INTERNAL_SERVER_ERROR
    }
}

impl From<rusqlite::Error> for DeliveryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}
