//! Every bound of the server, with its unit in its name and its reason beside it.

// ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The resolution of every timer of a shard.
pub const TICK_MS: u32 = 50;

/// 1,024 buckets of 50 ms reach 51 s ahead; a later deadline is re-entered once on its way.
pub const WHEEL_BUCKETS: usize = 1024;

/// A bucket that a connection storm swelled gives its memory back down to this many entries.
pub const WHEEL_BUCKET_KEEP: usize = 64;

/// The server's ping period where the protocol has one (design §1).
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

// ── A shard ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The shard log: 14,000 events of 300 bytes. A socket that lags further behind is a slow consumer.
pub const SHARD_LOG_BYTES: usize = 4 << 20;

/// Sends of one `io_uring_enter`. At 7 µs each a batch takes half a millisecond, and between two batches the shard
/// reads, accepts and answers.
pub const SEND_BATCH_SOCKETS: usize = 64;

/// Pieces of one send. The kernel takes at most 1,024 slices (UIO_MAXIOV), and a piece may be two.
pub const SEND_PIECES_MAX: usize = 512;

/// Scattered ranges that one socket may have waiting (16 bytes each). A socket that the kernel takes bytes for is
/// served before it has more; one that it doesn't is a slow consumer.
pub const OUTPUT_PIECES_MAX: usize = 256;

/// How far into a backlog a waiting pong is looked for. It sits at the first or second frame boundary.
pub const PONG_SEARCH_PIECES_MAX: usize = 4;

/// Emptied backlogs that a shard keeps for the next socket that needs one.
pub const SPARE_BACKLOGS_MAX: usize = 1024;

/// A spare backlog that grew past this many pieces is freed instead.
pub const SPARE_BACKLOG_PIECES_MAX: usize = 32;

/// Answers of its own that a session may leave unread.
pub const OWNED_OUTPUT_BYTES_MAX: usize = 64 << 10;

/// Provided buffers of one shard: at 4 KiB a megabyte, for as many receives as one reap can bring before any of them is
/// given back.
pub const RECEIVE_BUFFERS: u16 = 256;
pub const RECEIVE_BUFFER_BYTES: u32 = 4096;

/// Submission and completion entries of a shard's ring. A completion queue of 4,096 takes a storm of receives without
/// overflowing into the kernel's slower list.
pub const RING_SUBMISSION_ENTRIES: u32 = 256;
pub const RING_COMPLETION_ENTRIES: u32 = 4096;

/// Direct descriptors of one shard, where RLIMIT_NOFILE allows more.
pub const SHARD_SLOTS_MAX: u32 = 1 << 20;

// ── A session ───────────────────────────────────────────────────────────────────────────────────────────────────────

/// A message from a client. None of the protocols needs more than a JWT and a list of topics.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The echo route of conformance builds takes what the public suites send.
#[cfg(feature = "conformance")]
pub const ECHO_MESSAGE_BYTES_MAX: usize = 32 << 20;
#[cfg(feature = "conformance")]
pub const ECHO_OUTPUT_BYTES_MAX: usize = 64 << 20;

// A batch of events must fit the log many times over, and a frame into the share that a sweep of full sockets leaves.
const _: () = assert!(EVENT_BYTES_MAX * 16 <= SHARD_LOG_BYTES);
const _: () = assert!(SEND_PIECES_MAX * 2 <= 1024 && OUTPUT_PIECES_MAX < SEND_PIECES_MAX);
const _: () = assert!(SEND_BATCH_SOCKETS <= RING_SUBMISSION_ENTRIES as usize);

// ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// An event as it is published (design §2).
pub const EVENT_BYTES_MAX: usize = 64 << 10;

// ── Threads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Registered I/O memory of one executor; glommio's least.
pub const EXECUTOR_IO_BYTES: usize = 64 << 10;

/// Entries of an executor's own rings, which serve the front desk.
pub const EXECUTOR_RING_ENTRIES: usize = 256;

/// The longest that a pass keeps the executor from accepting and reading, besides the batch under way.
pub const PREEMPT_US: u64 = 500;

// ── The hub ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Events that wait for the hub, over all publishers. Past it a publisher is answered 503.
pub const HUB_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Events held for the slowest shard. Past it a publisher is answered 503.
pub const WINDOW_BYTES_MAX: usize = 64 << 20;

/// What a shard takes from the window at a time, at least one batch.
pub const SHARD_INBOX_BYTES: usize = 1 << 20;

/// What an event takes in memory besides its `data`, near enough to bound queues.
pub const EVENT_OVERHEAD_BYTES: usize = 256;

// ── The front desk ──────────────────────────────────────────────────────────────────────────────────────────────────

/// Connections waiting in the kernel to be accepted. The kernel cuts it to `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// SO_SNDBUF of every accepted socket (the kernel doubles it). It bounds what a socket that stopped reading holds in the
/// kernel, and still carries a megabyte a second to the other side of the world.
pub const SEND_BUFFER_BYTES: usize = 128 << 10;

/// A request's head. Browsers send up to 8 KiB of cookies to a shared host.
pub const HEADER_BYTES_MAX: usize = 16 << 10;

/// A publish request's body: some 30,000 trades.
pub const BODY_BYTES_MAX: usize = 8 << 20;

/// A body that is refused is read and thrown away up to here, so that the client sees the answer.
pub const DISCARDED_BODY_BYTES_MAX: usize = 64 << 20;

/// A whole watchlist: 10,000 owners of 64 bytes, with room.
pub const WATCHLIST_BODY_BYTES_MAX: usize = 1 << 20;

/// From the first byte of a request's head to its last, and from a connection's start to its first request.
pub const HANDSHAKE_MS: u64 = 10_000;

/// From a request's head to the end of its body.
pub const BODY_MS: u64 = 30_000;

/// Between two requests of one connection. Longer than the 60 s after which usual proxies let go.
pub const KEEP_ALIVE_MS: u64 = 75_000;

/// For the last words to somebody who did not finish a request.
pub const GOODBYE_MS: u64 = 1_000;

/// What is read from a connection at the desk at a time.
pub const DESK_READ_BYTES: usize = 8 << 10;

/// After a failed accept.
pub const ACCEPT_RETRY_MS: u64 = 50;

/// What of a publish body is parsed before the shard's sockets get their turn: 0.2 ms.
pub const PARSE_STEP_BYTES: usize = 64 << 10;

/// Keys and addresses that are remembered as refused, of each; past it everybody gets a fresh 4403.
pub const REFUSALS_MAX: usize = 1 << 16;

/// What `Retry-After` says when the server is overloaded or full.
pub const RETRY_AFTER_S: u64 = 1;
