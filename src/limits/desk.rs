//! The front desk: connections, requests and their deadlines.

use super::{EVENT_BYTES_MAX, OWNER_BYTES_MAX, WATCHLIST_OWNERS_MAX};

/// Connections waiting in the kernel to be accepted. The kernel cuts it to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// How long a start waits for its address: a server that was just stopped or killed lets go of it only when the kernel
/// has taken its rings apart, which takes milliseconds, or seconds with 100,000 sockets.
pub const ADDRESS_WAIT_MS: u64 = 3_000;
pub const ADDRESS_RETRY_MS: u64 = 20;

/// SO_SNDBUF of every accepted socket (the kernel doubles it). It bounds what is under way to a peer, and still carries a
/// megabyte a second to the other side of the world.
pub const SEND_BUFFER_BYTES: usize = 128 << 10;

/// Bytes that the kernel takes for a socket past its peer's window (TCP_NOTSENT_LOWAT), unless one send brings more. It bounds
/// what a socket that stopped reading holds: half as much as without it. A socket that reads has half a second to fall behind by
/// so much at 100 KB/s, and loses nothing then: it goes on from the log.
pub const UNSENT_BYTES_MAX: u32 = 64 << 10;

/// A request's head. Browsers send up to 8 KiB of cookies to a shared host.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

/// A publish request's body: some 30,000 trades.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// Bodies of all requests at one desk, with the events that are parsed from them, and what polls under way hold: eight of the
/// largest bodies coming in, or some three with their events, or forty polls. One request that is alone may be larger.
pub const DESK_BODIES_BYTES_MAX: usize = 64 << 20;

/// A body that is refused is read and thrown away up to here, so that the client sees the answer.
pub const DISCARDED_BODY_BYTES_MAX: usize = 64 << 20;

/// A whole watchlist of the longest owners, each in quotes and behind a comma, with room.
pub const WATCHLIST_BODY_BYTES_MAX: usize = 2 << 20;
const _: () = assert!(WATCHLIST_BODY_BYTES_MAX > WATCHLIST_OWNERS_MAX * (OWNER_BYTES_MAX + 8));

/// A request that makes a key: one word of JSON.
pub const KEY_BODY_BYTES_MAX: usize = 4 << 10;

/// A request that makes or changes an account: 256 grants of 141 bytes to add and as many to take away, with room.
pub const ACCOUNT_BODY_BYTES_MAX: usize = 128 << 10;

/// Accounts in one answer. One with all its grants is some 36 KB, one of the usual ones 200 bytes.
pub const ACCOUNTS_PAGE_MAX: usize = 100;

/// Alerts in one answer where the request does not say how many.
pub const LATEST_ALERTS_DEFAULT: usize = 50;

/// Events in one answer to a client that polls, where it does not say how many, and at most.
pub const EVENTS_DEFAULT: usize = 100;
pub const EVENTS_MAX: usize = 1_000;

/// The same in bytes: as long as the other long answers, and sixteen of the longest events.
pub const EVENTS_ANSWER_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(EVENTS_ANSWER_BYTES_MAX >= 16 * EVENT_BYTES_MAX);

/// What one poll looks through, whether it matches or not: some ten milliseconds of work, in steps of a tenth of one between
/// which the shard's sockets get their turn; and how often it asks the journal.
pub const EVENTS_SCANNED_MAX: usize = 100_000;
pub const EVENTS_STEP: usize = 1_000;
pub const EVENTS_READS_MAX: usize = 64;

/// From the first byte of a request's head to its last, and from a connection's start to its first request.
pub const HANDSHAKE_MS: u64 = 10_000;

/// From a request's head to the end of its body.
pub const BODY_MS: u64 = 30_000;

/// Between two requests of one connection. Longer than the 60 s after which usual proxies let go.
pub const KEEP_ALIVE_MS: u64 = 75_000;

/// The same, and from a connection's start to its first byte, while more than half of a desk's places are taken: as long as
/// `stentor publish` keeps an idle connection for its next batch.
pub const CROWDED_SILENCE_MS: u64 = 5_000;

/// What every newcomer gets for its first byte even when the desk is full: the way around the world, and once more for a
/// packet that was lost.
pub const SILENCE_MS_MIN: u64 = 1_000;

/// How often a connection's deadline is looked at again, and a full desk for somebody idle.
pub const DESK_LOOK_MS: u64 = 500;

/// How long a request waits for another thread's answer. The accounts' full queue is two seconds of work, the hub's less.
pub const ANSWER_MS: u64 = 10_000;

/// From an answer's first byte to the moment when the kernel has its last. The longest is a full watchlist, 1.3 MB.
pub const ANSWER_SENT_MS: u64 = 30_000;

/// For the last words to somebody who did not finish a request.
pub const GOODBYE_MS: u64 = 1_000;

/// What is read from a connection at the desk at a time.
pub const DESK_READ_BYTES: usize = 8 << 10;

/// After a failed accept.
pub const ACCEPT_RETRY_MS: u64 = 50;

/// What of a publish body is parsed before the shard's sockets get their turn: 0.2 ms.
pub const PARSE_STEP_BYTES: usize = 64 << 10;

/// What `Retry-After` says when the server is overloaded or full.
pub const RETRY_AFTER_S: u64 = 1;

/// The same when the journal's disk is full or broken: somebody has to do something about it.
pub const JOURNAL_RETRY_AFTER_S: u64 = 5;
