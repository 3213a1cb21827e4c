//! What goes wrong at the front desk, with its status and its JSON body.

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;

use super::budget::Exhausted;
use crate::accounts::{StoreError, SubmitError};
use crate::contract::ErrorCode;
use crate::delivery::{DeliveryError, UnknownEventKind};
use crate::event::InvalidEvent;
use crate::gate::Refused;
use crate::journal::JournalError;
use crate::limits;
use crate::metrics::Label;
use crate::protocol::TopicRefusal;
use crate::tokens::TokenError;
use crate::ws::UpgradeError;

pub type Reply = Response<Full<Bytes>>;

#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error("no such route: {0}")]
    NotFound(String),
    #[error("this route takes {allow}")]
    MethodNotAllowed { allow: &'static str },
    #[error("this request needs an API key: send it as X-API-Key, or as Authorization: Bearer")]
    KeyMissing,
    /// A browser can't set headers on a WebSocket, so there the key is in the address, for everybody.
    #[error("this request needs an API key in its address: connect to /ws/alerts?apiKey=KEY or /ws/alerts?api_key=KEY")]
    KeyMissingInQuery,
    #[error("this API key does not exist or was revoked")]
    KeyInvalid,
    #[error(
        "this request needs an API key or a user's token: send it as Authorization: Bearer, or as api_key or token in the address"
    )]
    KeyOrTokenMissing,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Topic(#[from] TopicRefusal),
    #[error(
        "since={since} lies in the future, the newest event is {last_seq}: ask with since={last_seq} for what comes from now on, or with since=0 for all that is kept"
    )]
    SinceInFuture { since: u64, last_seq: u64 },
    /// They are on the disk, if anywhere.
    #[error("events that are so old can't be read at the moment: retry later, or ask for newer ones")]
    HistoryUnavailable,
    #[error("{0}")]
    Forbidden(String),
    #[error("{reason}: retry in {retry_after_s} s")]
    Repeated { reason: String, retry_after_s: u64 },
    #[error("the body is larger than the {bytes_max} bytes that this route takes: send it in several requests")]
    BodyTooLarge { bytes_max: usize },
    /// A limit of the operator's was reached: of this client (429), or of what may be under way (503).
    #[error(transparent)]
    RateLimited(#[from] Refused),
    #[error("the rest of the request did not come in time")]
    Timeout,
    #[error("the request's body ended too early: {0}")]
    BodyBroken(String),
    #[error("the body's type is not supported: send application/json or application/x-ndjson")]
    MediaType,
    #[error("{0}")]
    InvalidEvent(#[from] InvalidEvent),
    #[error("{0}")]
    InvalidRequest(String),
    /// An admin asked to delete the account of the key that it asked with.
    #[error("this is the account of the key that you use, and you would lock yourself out: use another account's key")]
    OwnAccount,
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    #[error("{0}")]
    Journal(JournalError),
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The thread that should have answered did not. No 503: that means that nothing was done, and programs try again.
    #[error("no answer came within {} s: {outcome}", waited_ms / 1000)]
    Unconfirmed { waited_ms: u64, outcome: &'static str },
    /// The server ended first. As uncertain as the above.
    #[error("the server ended before its journal kept the events: {outcome}")]
    Unkept { outcome: &'static str },
    #[error("the server is shutting down")]
    Stopping,
    #[error("the server is full: every socket slot is taken")]
    Full,
    #[error(
        "{max} streams of the server's status are open already: close one, or ask for /api/admin/status now and then"
    )]
    StatusStreams { max: u32 },
    #[error(transparent)]
    Submit(#[from] SubmitError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Delivery(DeliveryError),
    #[error("{0}")]
    WebhookEvents(#[from] UnknownEventKind),
    /// The customer's endpoint did not take a test, in words.
    #[error("{0}")]
    TestFailed(String),
}

impl From<JournalError> for RestError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Stopping => Self::Stopping,
            error => Self::Journal(error),
        }
    }
}

impl From<DeliveryError> for RestError {
    fn from(error: DeliveryError) -> Self {
        match error {
            // In the words that every route has for them.
            DeliveryError::KeyRevoked => Self::KeyInvalid,
            DeliveryError::Stopping => Self::Stopping,
            error => Self::Delivery(error),
        }
    }
}

impl RestError {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::KeyMissing
            | Self::KeyMissingInQuery
            | Self::KeyInvalid
            | Self::KeyOrTokenMissing
            | Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::Repeated { .. } => StatusCode::FORBIDDEN,
            Self::Topic(refusal) if refusal.is_forbidden() => StatusCode::FORBIDDEN,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited(refused) if refused.is_overload() => StatusCode::SERVICE_UNAVAILABLE,
            Self::RateLimited(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyBroken(_)
            | Self::InvalidEvent(_)
            | Self::InvalidRequest(_)
            | Self::WebhookEvents(_)
            | Self::Topic(_)
            | Self::SinceInFuture { .. } => StatusCode::BAD_REQUEST,
            Self::OwnAccount => StatusCode::CONFLICT,
            Self::Upgrade(error) => error.status(),
            Self::Store(error) => error.status(),
            Self::Delivery(error) => error.status(),
            Self::TestFailed(_) => StatusCode::BAD_GATEWAY,
            Self::Unconfirmed { .. } | Self::Unkept { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Journal(_)
            | Self::Exhausted(_)
            | Self::Stopping
            | Self::Full
            | Self::StatusStreams { .. }
            | Self::Submit(_)
            | Self::HistoryUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The word by which a program tells errors apart.
    pub fn code(&self) -> &'static str {
        self.kind().word()
    }

    fn kind(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::MethodNotAllowed { .. } => ErrorCode::MethodNotAllowed,
            Self::KeyMissing
            | Self::KeyMissingInQuery
            | Self::KeyInvalid
            | Self::KeyOrTokenMissing
            | Self::Token(_) => ErrorCode::AuthenticationFailed,
            Self::Forbidden(_) | Self::Repeated { .. } => ErrorCode::Forbidden,
            Self::Topic(refusal) if refusal.is_forbidden() => ErrorCode::Forbidden,
            Self::BodyTooLarge { .. } => ErrorCode::BodyTooLarge,
            Self::RateLimited(refused) if refused.is_overload() => ErrorCode::Overloaded,
            Self::RateLimited(_) => ErrorCode::RateLimitExceeded,
            Self::Timeout => ErrorCode::RequestTimeout,
            Self::MediaType => ErrorCode::UnsupportedMediaType,
            Self::InvalidEvent(_) => ErrorCode::InvalidEvent,
            Self::BodyBroken(_) | Self::InvalidRequest(_) | Self::Topic(_) => ErrorCode::InvalidRequest,
            Self::SinceInFuture { .. } => ErrorCode::SinceInFuture,
            Self::HistoryUnavailable => ErrorCode::HistoryUnavailable,
            Self::OwnAccount => ErrorCode::OwnAccount,
            Self::Upgrade(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Delivery(error) => error.code(),
            Self::WebhookEvents(_) => ErrorCode::InvalidEvents,
            Self::TestFailed(_) => ErrorCode::TestFailed,
            Self::Journal(JournalError::DiskFull) => ErrorCode::JournalFull,
            Self::Journal(JournalError::Failed { .. }) => ErrorCode::JournalFailed,
            Self::Journal(_) | Self::Exhausted(_) | Self::StatusStreams { .. } | Self::Submit(_) => {
                ErrorCode::Overloaded
            }
            Self::Unconfirmed { .. } | Self::Unkept { .. } => ErrorCode::Unconfirmed,
            Self::Stopping => ErrorCode::ShuttingDown,
            Self::Full => ErrorCode::ServerFull,
        }
    }

    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Repeated { retry_after_s, .. } => Some(*retry_after_s),
            Self::RateLimited(refused) => Some(refused.retry_after_s()),
            Self::Journal(JournalError::DiskFull | JournalError::Failed { .. }) => Some(limits::JOURNAL_RETRY_AFTER_S),
            Self::Journal(_)
            | Self::Exhausted(_)
            | Self::Stopping
            | Self::Full
            | Self::StatusStreams { .. }
            | Self::Submit(_)
            | Self::HistoryUnavailable => Some(limits::RETRY_AFTER_S),
            Self::Delivery(error) if error.status() == StatusCode::SERVICE_UNAVAILABLE => Some(limits::RETRY_AFTER_S),
            Self::Store(error) if error.status() == StatusCode::SERVICE_UNAVAILABLE => Some(limits::RETRY_AFTER_S),
            _ => None,
        }
    }

    pub fn reply(&self) -> Reply {
        let mut error = json!({ "code": self.code(), "message": self.to_string() });
        if let Self::InvalidEvent(invalid) = self {
            error["reason"] = invalid.reason.to_string().into();
            error["line"] = invalid.line.into();
            if let Some(index) = invalid.index {
                error["index"] = index.into();
            }
            if let Some(field) = &invalid.field {
                error["field"] = field.as_str().into();
            }
        }
        let mut reply = json_reply(self.status(), &json!({ "success": false, "error": error }));
        let headers = reply.headers_mut();
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        match self {
            Self::KeyMissing | Self::KeyInvalid | Self::KeyOrTokenMissing | Self::Token(_) => {
                headers.insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("Bearer"));
            }
            // HTTP wants a 401 to name a scheme, and here the registered ones don't help.
            Self::KeyMissingInQuery => {
                headers.insert(header::WWW_AUTHENTICATE, http::HeaderValue::from_static("ApiKey"));
            }
            Self::MethodNotAllowed { allow } => {
                headers.insert(header::ALLOW, http::HeaderValue::from_static(allow));
            }
            Self::Upgrade(error) => {
                for &(name, value) in error.headers() {
                    headers.insert(name, http::HeaderValue::from_static(value));
                }
            }
            _ => {}
        }
        reply
    }
}

pub fn json_reply(status: StatusCode, body: &serde_json::Value) -> Reply {
    json_text_reply(status, body.to_string())
}

/// The same with a body that is JSON text already.
pub fn json_text_reply(status: StatusCode, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_with_webhooks_is_told_as_elsewhere_and_what_passes_with_a_time_to_wait() {
        for (error, status, code, retry_after) in [
            (DeliveryError::KeyRevoked, 401, "AUTHENTICATION_FAILED", false),
            (DeliveryError::NoSuchWebhook, 404, "NO_SUCH_WEBHOOK", false),
            (DeliveryError::Inactive, 409, "WEBHOOK_DISABLED", false),
            (DeliveryError::TestUnderWay, 409, "TEST_UNDER_WAY", false),
            (DeliveryError::Busy, 503, "OVERLOADED", true),
            (DeliveryError::Stopping, 503, "SHUTTING_DOWN", true),
            (DeliveryError::Recovering, 503, "RECOVERING", true),
        ] {
            let error = RestError::from(error);
            let reply = error.reply();
            assert_eq!((reply.status().as_u16(), error.code()), (status, code), "{error}");
            assert_eq!(reply.headers().contains_key(header::RETRY_AFTER), retry_after, "{error}");
        }
    }
}
