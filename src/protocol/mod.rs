//! The client protocols: what each expects of a session and what it says to a message. Pure.
//!
//! Frames, pings, closes and output are the same for all and live in [`shard`](crate::shard) and [`ws`](crate::ws); a
//! protocol only names its rules.

mod rules;

pub use rules::SessionRules;

use crate::accounts::{AccountId, KeyNumber};
use crate::limits;
use crate::ws::CloseCode;

/// Which protocol a session speaks. Named after what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// `/ws/alerts?apiKey=`: trades of the wallets on the account's watchlist; says nothing but pongs.
    #[default]
    Watchlist,
    /// `/echo`, for conformance suites: every message comes back.
    #[cfg(feature = "conformance")]
    Echo,
}

/// How a protocol finds out that a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// The server pings; `unanswered_max` pings without any sign of life are the end.
    ServerPings { period_ticks: u32, unanswered_max: u8 },
    /// Nobody asks.
    #[cfg(feature = "conformance")]
    None,
}

/// A whole message from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// What the desk decided about an upgraded socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A session of the watchlist protocol.
    Watchlist { account: AccountId, key: KeyNumber },
    /// Upgraded only to be told why not, in a way that a client can show.
    Refused { code: CloseCode, reason: String },
    #[cfg(feature = "conformance")]
    Echo,
}

impl Protocol {
    /// The largest message that a peer may send, in bytes.
    pub fn message_bytes_max(self) -> usize {
        match self {
            Self::Watchlist => limits::WATCHLIST_MESSAGE_BYTES_MAX,
            #[cfg(feature = "conformance")]
            Self::Echo => limits::ECHO_MESSAGE_BYTES_MAX,
        }
    }

    /// Bytes of its own that a session may have waiting before it counts as a slow consumer.
    pub fn owned_bytes_max(self) -> usize {
        match self {
            Self::Watchlist => limits::OWNED_OUTPUT_BYTES_MAX,
            #[cfg(feature = "conformance")]
            Self::Echo => limits::ECHO_OUTPUT_BYTES_MAX,
        }
    }

    pub fn heartbeat(self) -> Heartbeat {
        match self {
            Self::Watchlist => Heartbeat::ServerPings {
                period_ticks: limits::PING_PERIOD_MS / limits::TICK_MS,
                unanswered_max: limits::UNANSWERED_PINGS_MAX,
            },
            #[cfg(feature = "conformance")]
            Self::Echo => Heartbeat::None,
        }
    }

    /// The frame that answers a message, if any does.
    #[cfg_attr(not(feature = "conformance"), expect(unused_variables, reason = "the watchlist has no client messages"))]
    pub fn answer(self, message: Message<'_>) -> Option<Box<[u8]>> {
        match self {
            // The seed's protocol knows no client messages. One is a sign of life and nothing else.
            Self::Watchlist => None,
            #[cfg(feature = "conformance")]
            Self::Echo => {
                let mut frame = Vec::new();
                match message {
                    Message::Text(text) => {
                        crate::ws::append_frame(&mut frame, crate::ws::Opcode::Text, text.as_bytes())
                    }
                    Message::Binary(bytes) => crate::ws::append_frame(&mut frame, crate::ws::Opcode::Binary, bytes),
                }
                Some(frame.into())
            }
        }
    }
}

impl Admission {
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Watchlist { .. } | Self::Refused { .. } => Protocol::Watchlist,
            #[cfg(feature = "conformance")]
            Self::Echo => Protocol::Echo,
        }
    }
}
