//! Why somebody has to wait outside.

use crate::limits;
use crate::metrics::labels;

/// A limit of the [`Policy`](super::Policy) that was reached. The messages are for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(
        "too many connections were opened from your address in a short time: wait {retry_after_s} s, and longer after each failure"
    )]
    HandshakesTooFast { retry_after_s: u64 },
    #[error("{max} connections are open from your address, and no more are allowed: close one first")]
    AddressFull { max: u32 },
    #[error("{max} connections are open with this API key, and no more are allowed: close one first")]
    KeyFull { max: u32 },
    #[error("{max} connections are open as this user, and no more are allowed: close one first")]
    UserFull { max: u32 },
    #[error(
        "{max} connections from your address have not authenticated yet, and no more may wait: authenticate or close one first"
    )]
    AddressPending { max: u32 },
    #[error("the server is overloaded: too many connections have not authenticated yet")]
    AuthenticationsPending,
    #[error("too many bytes of requests with this API key are under way: wait for their answers before sending more")]
    BytesInFlight,
    #[error("events come too fast with this API key: send these again in {retry_after_s} s")]
    EventsTooFast { retry_after_s: u64 },
}

labels! {
    /// What of it was reached, in a word.
    pub enum GateRefusal {
        HandshakesTooFast = "handshake_rate",
        AddressFull = "address_full",
        KeyFull = "key_full",
        UserFull = "user_full",
        AddressPending = "address_unauthenticated",
        AuthenticationsPending = "unauthenticated",
        BytesInFlight = "publisher_bytes",
        EventsTooFast = "publisher_rate",
    }
}

impl Refused {
    pub fn kind(self) -> GateRefusal {
        match self {
            Self::HandshakesTooFast { .. } => GateRefusal::HandshakesTooFast,
            Self::AddressFull { .. } => GateRefusal::AddressFull,
            Self::KeyFull { .. } => GateRefusal::KeyFull,
            Self::UserFull { .. } => GateRefusal::UserFull,
            Self::AddressPending { .. } => GateRefusal::AddressPending,
            Self::AuthenticationsPending => GateRefusal::AuthenticationsPending,
            Self::BytesInFlight => GateRefusal::BytesInFlight,
            Self::EventsTooFast { .. } => GateRefusal::EventsTooFast,
        }
    }

    /// When to try again, in seconds; at least 1.
    pub fn retry_after_s(self) -> u64 {
        match self {
            Self::HandshakesTooFast { retry_after_s } | Self::EventsTooFast { retry_after_s } => retry_after_s,
            Self::AddressFull { .. } | Self::KeyFull { .. } | Self::UserFull { .. } | Self::AddressPending { .. } => {
                limits::CROWD_RETRY_AFTER_S
            }
            Self::AuthenticationsPending | Self::BytesInFlight => limits::RETRY_AFTER_S,
        }
    }

    /// Whether there is too much of something at the moment (503), rather than too much from this client (429).
    pub fn is_overload(self) -> bool {
        matches!(self, Self::AuthenticationsPending | Self::BytesInFlight)
    }
}

/// Whole seconds until then: a client that comes back as told must not be early.
pub fn seconds(wait: crate::clock::Nanos) -> u64 {
    wait.div_ceil(1_000_000_000).max(1)
}
