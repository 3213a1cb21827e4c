//! A session: its messages, its subscriptions, its silence.

use super::{
    EVENT_BYTES_MAX, LATEST_ALERTS_BYTES_MAX, OUTPUT_PIECES_MAX, PING_PERIOD_MS, RING_SUBMISSION_ENTRIES,
    SEND_BATCH_SOCKETS, SEND_PIECES_MAX, SHARD_LOG_BYTES, SUBSCRIPTIONS_MAX, UNANSWERED_PINGS_MAX,
};

/// A client's message on the watchlist protocol, which has none: what is there to be read as a sign of life may be no more
/// than a command of another protocol. A hundred thousand sockets can hold this much each.
pub const WATCHLIST_MESSAGE_BYTES_MAX: usize = 4 << 10;

/// A rolling window in which the tiered protocol's client owes a `ping`.
pub const TIERED_PING_WINDOW_MS: u32 = 30_000;

/// Silence that ends a session of the channels protocol: its client pings every 30 s, so two of them may be lost.
pub const CHANNELS_SILENCE_MS: u32 = 75_000;

/// Between two signs that a stream of server-sent events is alive: shorter than the 60 s after which usual proxies let go, and
/// the 20 s after which the impatient do.
pub const STREAM_COMMENT_MS: u32 = 15_000;

/// Times in a row that a stream may be due for a comment and its socket be full; at the next one it is given up: as long as pings
/// may go unanswered.
pub const STREAM_STALLED_MAX: u8 = (PING_PERIOD_MS * (UNANSWERED_PINGS_MAX as u32 + 1) / STREAM_COMMENT_MS) as u8;

/// How long a browser waits before it opens its stream again.
pub const STREAM_RETRY_MS: u32 = 2_000;

/// Answers in one piece of a socket's output: few pieces for many short answers, and little behind which a pong or a close has
/// to wait.
pub const OWNED_PIECE_BYTES_MAX: usize = 4 << 10;

/// Answers that a session with commands may have unsent; past them its further messages wait. A list of rooms can have as
/// many bytes again as its names.
pub const ANSWERS_UNSENT_BYTES_MAX: usize = 64 << 10;

/// The same of events that it was handed: what it says acts after them, and may have to copy them out of the log.
pub const EVENTS_UNSENT_BYTES_MAX: u64 = 64 << 10;

/// Messages that wait for that. As many as the message burst allows, of the usual length, come in one breath after a
/// reconnect; a client that sends more does not read.
pub const MESSAGES_WAITING_BYTES_MAX: usize = 256 << 10;

/// What a message that waits takes beside its text: an empty one takes memory, too.
pub const WAITING_MESSAGE_OVERHEAD_BYTES: usize = 32;

/// Names of the topics that a session has subscribed to, together: each answer in the rooms protocol lists them.
pub const SUBSCRIPTION_NAMES_BYTES_MAX: usize = 64 << 10;

/// Topics in one `auth` message: what is subscribed to by default can be named there, where the message has room for it.
pub const AUTH_TOPICS_MAX: usize = SUBSCRIPTIONS_MAX as usize;

/// What a session with commands may have unsent in all: answers, and one more, and what it is told when grants are taken
/// away.
pub const DIALOGUE_OUTPUT_BYTES_MAX: usize = 512 << 10;

/// What an `auth` message costs beyond others on an open session, in messages: a signature takes up to 0.2 ms to check, a
/// command a hundredth of that. At the default rate that leaves one a second.
pub const AUTH_MESSAGE_COST: u64 = 19;

/// Tokens that are not believed on an open session; at the next one it is closed. A client whose refresh fails tries again a
/// few times; with more, each connection of a user could cost milliseconds.
pub const AUTH_FAILURES_MAX: u8 = 10;

/// The echo route of conformance builds takes what the public suites send.
#[cfg(feature = "conformance")]
pub const ECHO_MESSAGE_BYTES_MAX: usize = 32 << 20;
#[cfg(feature = "conformance")]
pub const ECHO_OUTPUT_BYTES_MAX: usize = 64 << 20;

// A batch of events must fit the log many times over, and a frame into the share that a sweep of full sockets leaves.
const _: () = assert!(EVENT_BYTES_MAX * 16 <= SHARD_LOG_BYTES);
// However long the alerts are, a client that asks every few seconds misses none.
const _: () = assert!(LATEST_ALERTS_BYTES_MAX >= 16 * EVENT_BYTES_MAX);
const _: () = assert!(SEND_PIECES_MAX * 2 <= 1024 && OUTPUT_PIECES_MAX < SEND_PIECES_MAX);
const _: () = assert!(SEND_BATCH_SOCKETS <= RING_SUBMISSION_ENTRIES as usize);
