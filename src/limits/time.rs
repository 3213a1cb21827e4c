//! Time: ticks, pings and deadlines of sockets.

/// The resolution of every timer of a shard.
pub const TICK_MS: u32 = 50;

/// 1,024 buckets of 50 ms reach 51 s ahead; a later deadline is re-entered once on its way.
pub const WHEEL_BUCKETS: usize = 1024;

/// A bucket that a connection storm swelled gives its memory back down to this many entries.
pub const WHEEL_BUCKET_KEEP: usize = 64;

/// The server's ping period where the protocol has one.
pub const PING_PERIOD_MS: u32 = 20_000;

/// Pings that may go unanswered; at the next one the socket is closed with 4408.
pub const UNANSWERED_PINGS_MAX: u8 = 2;

/// From our close frame to the end of the connection: enough for a reply from the other side of the world, over a link
/// that drops a packet.
pub const CLOSE_DRAIN_MS: u32 = 5_000;

/// The same for a slow consumer, whose close frame waits behind what it has not read.
pub const SLOW_CONSUMER_DRAIN_MS: u32 = 30_000;

/// The longest that a shutdown waits for sockets to end. Past the closing deadline there are only slow consumers and
/// clients that came back meanwhile, which can hold it up for ever.
pub const SHUTDOWN_MS_MAX: u32 = CLOSE_DRAIN_MS + 1_000;

/// How long a connection that vanished may leave sent bytes unacknowledged (TCP_USER_TIMEOUT).
pub const UNACKNOWLEDGED_MS_MAX: u32 = 60_000;
