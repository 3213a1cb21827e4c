//! What the operator allows a session: the part of the configuration that the shards follow.

use crate::limits;

/// Limits of one session. Those of rate and number can be 0: no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Messages and pings a second from the client, and how many may come at once.
    pub messages_per_second: u32,
    pub message_burst: u32,
    /// Messages refused as too many, without a pause between them, until the session is closed with 4429.
    pub refusals_max: u32,
    /// Topics that a session may have subscribed to.
    pub subscriptions_max: u32,
    /// A client's message, in bytes. A longer one ends the session with 1009.
    pub message_bytes_max: usize,
    /// How long a session may take to authenticate, in milliseconds; then it is closed with 4401.
    pub authentication_ms: u32,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self {
            messages_per_second: limits::MESSAGES_PER_SECOND,
            message_burst: limits::MESSAGE_BURST,
            refusals_max: limits::MESSAGE_REFUSALS_MAX,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            message_bytes_max: limits::MESSAGE_BYTES_MAX,
            authentication_ms: limits::AUTHENTICATION_MS,
        }
    }
}
