//! One attempt: a request that is ready to go, and what came of it.

use std::sync::Arc;
use std::time::Duration;

use super::guard::{GuardRefusal, ResolveError, WebhookUrl};
use super::{DeliveryId, Payload, SigningSecrets, WebhookId};
use crate::accounts::AccountId;

/// What a worker is given.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its own among all attempts; the report repeats it.
    pub number: u64,
    pub ticket: Ticket,
    /// Whose webhook it is.
    pub account: AccountId,
    pub url: Arc<WebhookUrl>,
    pub secrets: SigningSecrets,
    pub delivery_id: DeliveryId,
    /// From 1.
    pub attempt: u32,
    pub payload: Payload,
}

/// Which delivery an attempt is of: the core's own key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub webhook: WebhookId,
    /// The row of the delivery.
    pub delivery: i64,
}

/// What a worker brings back.
#[derive(Debug)]
pub struct Report {
    pub number: u64,
    pub ticket: Ticket,
    pub outcome: Outcome,
    pub duration: Duration,
}

#[derive(Debug)]
pub enum Outcome {
    /// The endpoint answered, and the answer was read as far as it was looked at.
    Answered {
        status: u16,
        retry_after: Option<Duration>,
    },
    Failed(AttemptError),
}

impl Outcome {
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }
}

/// Why there was no answer; each in words for the owner of the webhook.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    #[error(transparent)]
    Refused(#[from] GuardRefusal),
    #[error(transparent)]
    Name(ResolveError),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("the certificate or the TLS handshake was not accepted: {0}")]
    Tls(String),
    /// The endpoint has no part in it.
    #[error("the sender had no socket or thread free for this attempt")]
    Sender,
    #[error("no answer within {0} s")]
    Timeout(u64),
    #[error("the connection ended before the answer was complete: {0}")]
    Broken(String),
    #[error("the answer was not understood: {0}")]
    Protocol(String),
    #[error("the answer's head is larger than {0} bytes")]
    HeadTooLarge(usize),
}
