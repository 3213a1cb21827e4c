//! The gate: defaults of `[limits]` in the configuration.

use super::TOPIC_BYTES_MAX;

/// WebSockets with one key, or of one user: a firm's whole fleet of bots, and far below what a shard holds.
pub const CONNECTIONS_PER_KEY: u32 = 1_000;

/// WebSockets from one address: an office or a carrier's gateway with a thousand users behind it.
pub const CONNECTIONS_PER_ADDRESS: u32 = 1_000;

/// Handshakes of one address: a client that reconnects each second makes one, so this is fifty of them for ever, and two
/// hundred that lost their connection together.
pub const HANDSHAKES_PER_SECOND: u32 = 50;
pub const HANDSHAKE_BURST: u32 = 200;

/// Sockets that have not said who they are: at 10 s each, a thousand strangers a second.
pub const PENDING_AUTHENTICATIONS: u32 = 10_000;

/// A client's own messages: a ping every 20 s and now and then a command. The burst is a client that comes back and
/// subscribes to everything that it may in one breath.
pub const MESSAGES_PER_SECOND: u32 = 20;
pub const MESSAGE_BURST: u32 = 1_200;
const _: () = assert!(MESSAGE_BURST >= SUBSCRIPTIONS_MAX + 100, "what is subscribed to can be subscribed to again");

/// At ten times the allowed rate, a client has about this many refused within a second.
pub const MESSAGE_REFUSALS_MAX: u32 = 200;

/// Topics of one session: a dashboard's hundred, a screener's thousand.
pub const SUBSCRIPTIONS_MAX: u32 = 1_000;

/// A client's message. The longest is a token with many claims.
pub const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// The words of an error on a socket: a screenful. A JSON reader's repeat the client's text, escaped to seven times its
/// length, and an answer as long as that would count as output that is not being read.
pub const SOCKET_ERROR_BYTES_MAX: usize = 512;

/// From the handshake to a valid `auth` message.
pub const AUTHENTICATION_MS: u32 = 10_000;

/// How long before a token's end its session is warned (its client refreshes in band).
pub const EXPIRY_WARNING_MS: u32 = 30_000;

/// How far an issuer's clock may be ahead.
pub const TOKEN_LEEWAY_S: u64 = 5;

/// A token, before anything of it is decoded. Real ones have a few hundred bytes, those with a chain of roles two thousand.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// A token's user, so that `user:{id}` is a topic.
pub const USER_ID_BYTES_MAX: usize = TOPIC_BYTES_MAX - "user:".len();

/// The end of the year 9999: a token that is good for longer ends then, so that its end in milliseconds is a number too.
pub const TOKEN_DATE_S_MAX: u64 = 253_402_300_799;

/// HS256's secret: as long as its hash (RFC 7518 §3.2).
pub const TOKEN_SECRET_BYTES_MIN: usize = 32;

/// RS256's modulus: RFC 7518 §3.3 wants at least 2048, and the `rsa` crate computes with at most 4096.
pub const RSA_BITS_MIN: usize = 2048;
pub const RSA_BITS_MAX: usize = 4096;

/// RS256's exponent, which is 65537 nearly everywhere; the `rsa` crate takes up to this.
pub const RSA_EXPONENT_MAX: u64 = (1 << 33) - 1;

/// A file with the key or the keys that tokens are checked with: a set of twenty with certificate chains has 100 KB.
pub const TOKEN_KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// How long a minted token is good for. Nobody can take one back, so a year is already long.
pub const TOKEN_TTL_S_MIN: u64 = 1;
pub const TOKEN_TTL_S_MAX: u64 = 366 * 24 * 60 * 60;

/// A publisher's events: as fast as one connection brings them in, and a burst of the largest request.
pub const PUBLISHER_EVENTS_PER_SECOND: u32 = 200_000;
pub const PUBLISHER_EVENT_BURST: u32 = 200_000;

/// A publisher's requests under way: eight of the largest bodies.
pub const PUBLISHER_BYTES_IN_FLIGHT: u64 = 64 << 20;
