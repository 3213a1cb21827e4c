//! The client protocols: what each expects of a session and what it says to a message. Pure.
//!
//! ```text
//!   text ──▶ channels::parse ─▶ Command ─┐
//!   text ──▶ rooms::parse ────▶ Command ─┼─▶ shard/dialogue (subscriptions, accounts, tokens) ──▶ answers from here
//!   text ──▶ tiered::is_ping ────────────┘
//!
//!   ?topic= ─▶ selection (who may have it) ──▶ stream (server-sent events), or a poll's Filter
//! ```
//!
//! Frames, pings, closes and output are the same for all and live in [`shard`](crate::shard) and [`ws`](crate::ws); a
//! protocol only names its rules and its messages. No input panics; what is not understood is told.

pub mod channels;
mod endpoint;
mod message;
pub mod rooms;
mod rules;
mod selection;
pub mod stream;
mod terms;
pub mod tiered;

pub use endpoint::{Endpoint, UnknownEndpoint};
pub use message::{
    ErrorCode, Reconnect, Since, SocketError, UnixMs, gap, gap_json, payload, pong, reconnect, rfc3339, text_frame,
};
pub use rules::{LiveRules, ReplayRules, SessionRules, SlowRules};
pub use selection::{Filter, StreamAdmission, StreamHolder, StreamTopic, TopicRefusal};
pub use terms::{SlowPolicy, Terms, UnknownPolicy};

use crate::accounts::{AccountId, KeyNumber};
use crate::limits::{self, TICK_MS};
use crate::metrics::Label;
use crate::tokens::Claims;
use crate::ws::CloseCode;

/// Which protocol a session speaks. Named after what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `/ws/alerts?apiKey=`: trades of the wallets on the account's watchlist; says nothing but pongs.
    #[default]
    Watchlist,
    /// `/ws/alerts?api_key=`: every alert, for a `ping` in every 30 seconds.
    Tiered,
    /// `/v1/ws`: a key in the first message, then channels by name.
    Channels,
    /// `/ws`: a token, the user's own rooms, and markets by name.
    Rooms,
    /// `/events/stream`: server-sent events, of the topics in the address. The client says nothing.
    Stream,
    /// `/echo`, for conformance suites: every message comes back.
    #[cfg(feature = "conformance")]
    Echo,
}

/// How a protocol finds out that a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// The server pings; `unanswered_max` pings without any sign of life are the end.
    ServerPings { period_ticks: u32, unanswered_max: u8 },
    /// The client owes a sign of life in every window.
    ClientSpeaks { window_ticks: u32, sign: SignOfLife },
    /// The server says something now and then that needs no answer; that it is taken is the sign of life.
    ServerComments { period_ticks: u32 },
    /// Nobody asks.
    #[cfg(feature = "conformance")]
    None,
}

/// What counts where the client has to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignOfLife {
    /// Whatever it sends, and that it takes bytes.
    Anything,
    /// The protocol's own ping, and nothing else.
    Ping,
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
    /// A session of the watchlist or the tiered protocol, whose key was in its address.
    Keyed { protocol: Protocol, account: AccountId, key: KeyNumber },
    /// A session of the channels protocol: its key comes in a message.
    Channels,
    /// A session of the rooms protocol, with the claims of its header's token; without one, it comes in a message.
    Rooms { claims: Option<Claims> },
    /// A stream of server-sent events, whose answer has not begun: the session sends the head itself.
    Stream(StreamAdmission),
    /// Upgraded only to be told why not, in a way that a client can show: whole frames, then the close.
    Refused { before: Box<[u8]>, code: CloseCode, reason: String },
    #[cfg(feature = "conformance")]
    Echo,
}

impl Label for Protocol {
    const ALL: &'static [Self] = &[
        Self::Watchlist,
        Self::Tiered,
        Self::Channels,
        Self::Rooms,
        Self::Stream,
        #[cfg(feature = "conformance")]
        Self::Echo,
    ];

    fn index(self) -> usize {
        self as usize
    }

    fn word(self) -> &'static str {
        match self {
            Self::Watchlist => "watchlist",
            Self::Tiered => "tiered",
            Self::Channels => "channels",
            Self::Rooms => "rooms",
            Self::Stream => "stream",
            #[cfg(feature = "conformance")]
            Self::Echo => "echo",
        }
    }
}

impl Protocol {
    /// The largest message that a peer may send, in bytes.
    pub fn message_bytes_max(self, rules: &SessionRules) -> usize {
        match self {
            // They have no messages but a ping.
            Self::Watchlist | Self::Tiered => rules.message_bytes_max.min(limits::WATCHLIST_MESSAGE_BYTES_MAX),
            Self::Channels | Self::Rooms => rules.message_bytes_max,
            // It has none: what comes is not read.
            Self::Stream => 0,
            #[cfg(feature = "conformance")]
            Self::Echo => limits::ECHO_MESSAGE_BYTES_MAX,
        }
    }

    /// Bytes of its own that a session may have waiting before it counts as a slow consumer.
    pub fn owned_bytes_max(self) -> usize {
        match self {
            Self::Watchlist | Self::Tiered | Self::Stream => limits::OWNED_OUTPUT_BYTES_MAX,
            Self::Channels | Self::Rooms => limits::DIALOGUE_OUTPUT_BYTES_MAX,
            #[cfg(feature = "conformance")]
            Self::Echo => limits::ECHO_OUTPUT_BYTES_MAX,
        }
    }

    pub fn heartbeat(self) -> Heartbeat {
        match self {
            Self::Watchlist | Self::Rooms => Heartbeat::ServerPings {
                period_ticks: limits::PING_PERIOD_MS / TICK_MS,
                unanswered_max: limits::UNANSWERED_PINGS_MAX,
            },
            Self::Tiered => Heartbeat::ClientSpeaks {
                window_ticks: limits::TIERED_PING_WINDOW_MS / TICK_MS,
                sign: SignOfLife::Ping,
            },
            Self::Channels => Heartbeat::ClientSpeaks {
                window_ticks: limits::CHANNELS_SILENCE_MS / TICK_MS,
                sign: SignOfLife::Anything,
            },
            Self::Stream => Heartbeat::ServerComments { period_ticks: limits::STREAM_COMMENT_MS / TICK_MS },
            #[cfg(feature = "conformance")]
            Self::Echo => Heartbeat::None,
        }
    }

    /// Whether its clients speak and read JSON in frames, and so are told what they did wrong before a close.
    pub fn tells_errors(self) -> bool {
        match self {
            Self::Watchlist | Self::Tiered | Self::Channels | Self::Rooms => true,
            Self::Stream => false,
            #[cfg(feature = "conformance")]
            Self::Echo => false,
        }
    }
}

impl Admission {
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Keyed { protocol, .. } => *protocol,
            Self::Channels => Protocol::Channels,
            Self::Rooms { .. } => Protocol::Rooms,
            Self::Stream(_) => Protocol::Stream,
            Self::Refused { .. } => Protocol::Watchlist,
            #[cfg(feature = "conformance")]
            Self::Echo => Protocol::Echo,
        }
    }

    /// A refusal that says nothing but its code and reason.
    pub fn refused(code: CloseCode, reason: impl Into<String>) -> Self {
        Self::Refused { before: Box::default(), code, reason: reason.into() }
    }
}
