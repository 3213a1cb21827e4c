//! What the delivery core counts, on its thread.

use super::attempt::{AttemptError, Outcome};
use crate::metrics::{Counters, Gauge, Gauges, Histogram, labels};

#[derive(Debug, Default)]
pub struct DeliveryStats {
    pub webhooks: Gauges<WebhookState>,
    /// Lanes of active webhooks.
    pub lanes: Gauges<LaneState>,
    /// Deliveries that wait for their time or their turn, in memory and in the database.
    pub waiting: Gauge,
    /// Attempts under way.
    pub in_flight: Gauge,
    pub deliveries: Counters<DeliveryEnd>,
    pub attempts: Counters<AttemptOutcome>,
    pub attempt: Histogram,
}

labels! {
    pub enum WebhookState {
        Active = "active",
        Disabled = "disabled",
    }
}

labels! {
    /// What can be expected of a lane's endpoint.
    pub enum LaneState {
        /// It answers well and soon.
        Prompt = "prompt",
        /// It is new, fails, or takes long.
        Slow = "slow",
        /// It is left alone for a while.
        Open = "breaker_open",
    }
}

labels! {
    pub enum DeliveryEnd {
        Delivered = "delivered",
        /// Its last attempt failed.
        Failed = "failed",
        /// Its webhook was disabled, its backlog was full, or its event is gone.
        Dropped = "dropped",
    }
}

labels! {
    /// What came of an attempt.
    pub enum AttemptOutcome {
        Success = "success",
        Status = "status",
        Refused = "refused_address",
        Name = "name",
        Connect = "connect",
        Tls = "tls",
        Sender = "sender",
        Timeout = "timeout",
        Broken = "broken",
        Answer = "bad_answer",
    }
}

impl From<&Outcome> for AttemptOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered { .. } if outcome.is_success() => Self::Success,
            Outcome::Answered { .. } => Self::Status,
            Outcome::Failed(error) => match error {
                AttemptError::Refused(_) => Self::Refused,
                AttemptError::Name(_) => Self::Name,
                AttemptError::Connect(_) => Self::Connect,
                AttemptError::Tls(_) => Self::Tls,
                AttemptError::Sender => Self::Sender,
                AttemptError::Timeout(_) => Self::Timeout,
                AttemptError::Broken(_) => Self::Broken,
                AttemptError::Protocol(_) | AttemptError::HeadTooLarge(_) => Self::Answer,
            },
        }
    }
}
