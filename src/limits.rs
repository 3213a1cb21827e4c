//! Every bound of the server, with its unit in its name and its reason beside it.

use crate::ws::frame::SERVER_HEADER_BYTES_MAX;

// ── Time ────────────────────────────────────────────────────────────────────────────────────────────────────────────

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

// ── A shard ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The shard log: 14,000 events of 300 bytes. A socket that lags further behind is served from the journal.
pub const SHARD_LOG_BYTES: usize = 4 << 20;

/// What most frames are longer than.
pub const USUAL_FRAME_BYTES: usize = 128;

/// Sends of one `io_uring_enter`. At 7 µs each a batch takes half a millisecond, and between two batches the shard
/// reads, accepts and answers.
pub const SEND_BATCH_SOCKETS: usize = 128;

/// Pieces of one send. The kernel takes at most 1,024 slices (UIO_MAXIOV), and a piece may be two.
pub const SEND_PIECES_MAX: usize = 512;

/// Scattered ranges that a full socket may have waiting (32 bytes each); past them the journal serves it.
pub const OUTPUT_PIECES_MAX: usize = 256;

/// Scattered ranges at which a socket that the kernel takes bytes for gets its turn before more is taken in.
pub const SCATTERED_PIECES_MAX: usize = 64;

/// Ranges handed to sockets before the next batch of sends: at 10 ns each, a fifth of a millisecond. One event's audience
/// is always served whole.
pub const INGEST_PUSHES_MAX: usize = 20_000;

/// Entries of the topic index that no longer count, before it is cleaned: then, and whenever they are the greater part.
pub const DEAD_LISTINGS_MIN: usize = 4096;

/// A map of the topic index that uses less than this part of its room gives room back: a `system` event walks the map of
/// all users, and that has to cost what the users are now.
pub const INDEX_ROOM_FACTOR_MAX: usize = 8;

/// What an event has more as a server-sent event than in a WebSocket frame: `id: `, 20 digits, `data: ` and the line ends, less
/// the shortest header.
pub const STREAM_EVENT_MORE_BYTES_MAX: usize = 31;

/// Pongs that a socket may have waiting (2 KiB at most). The public conformance suite sends ten pings in one go and
/// wants them all answered; a client with more than these under way has only its newest ones answered.
pub const PONGS_WAITING_MAX: usize = 16;

/// Events from the journal in one piece of a socket's output: behind one that is half-sent, a pong or a close has to wait.
pub const REPLAY_PIECE_BYTES_MAX: usize = 16 << 10;

/// Pieces in an output at which the next one is no longer than it has to be: a client whose commands are answered between events
/// would have a piece for each event.
pub const WHOLE_PIECES_MAX: usize = 3;

/// Emptied pieces of that kind that are kept while sessions are behind: as many as may be unsent at once.
pub const SPARE_PIECES_MAX: usize = REPLAY_UNSENT_BYTES_MAX / REPLAY_PIECE_BYTES_MAX;

/// Events from the journal that a session may have unsent before it has to wait for them to leave. A socket that takes bytes
/// takes this much at once.
pub const REPLAY_SESSION_BYTES_MAX: usize = 32 << 10;

/// Events that a shard's replay passes, and sessions behind that it looks at for them, between two batches of sends: 0.2 ms.
pub const REPLAY_STEP_EVENTS_MAX: usize = 512;
pub const REPLAY_STEP_LOOKS_MAX: usize = 2_000;

/// Sessions behind that are passed over in the time that a look at one takes.
pub const REPLAY_PASSED_OVER_A_LOOK: usize = 16;

/// Sends of a batch to sessions that are behind: a live event that comes meanwhile waits for no more than half a millisecond.
pub const REPLAY_SENDS_MAX: usize = 32;

/// Riders that go live in one step: a tenth of a millisecond.
pub const REPLAY_ARRIVALS_MAX: usize = 64;

/// How far from the present is near for the replay, in events, and how far it goes for those that are not, before those that are
/// have their turn: a quarter of a second of work.
pub const REPLAY_ROUND_EVENTS: u64 = 200_000;

/// Conflation keys whose newest event a shard remembers, in each of two generations: 4 MiB each.
pub const NEWEST_KEYS_MAX: usize = 1 << 16;

/// The same of all sessions of a shard together, before those that take bytes have to be sent what they have: a hundred events
/// in each send to two thousand sessions.
pub const REPLAY_UNSENT_BYTES_MAX: usize = 64 << 20;

/// The same in sessions that have something unsent: each takes a piece for its first event.
pub const REPLAY_QUEUE_MAX: usize = 2 * REPLAY_SESSIONS as usize;

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

// ── Threads ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Registered I/O memory of one executor; glommio's least.
pub const EXECUTOR_IO_BYTES: usize = 64 << 10;

/// Entries of an executor's own rings, which serve the front desk. More than the desk can have in flight, because
/// glommio interrupts itself when that many complete between two looks (see `executor`).
pub const EXECUTOR_RING_ENTRIES: usize = 2048;

/// The least RLIMIT_MEMLOCK with which glommio makes an executor, for whoever has CAP_IPC_LOCK too (its `sys/uring.rs`).
pub const EXECUTOR_MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// The longest that a pass or a parse keeps the executor from accepting and reading, besides the step under way.
pub const BREATH_US: u64 = 5_000;

/// The same while sessions that are behind are served, or many connections knock at once: so that what is published meanwhile
/// does not wait for the former, and the latter have half of the time. A look costs 28 microseconds.
pub const BUSY_BREATH_US: u64 = 500;

/// Connections that are accepted before everything else on the executor has a turn: half a millisecond of handshakes.
pub const ACCEPTS_AT_ONCE_MAX: u32 = 6;

/// How long sessions that are behind wait for live events that keep coming, before they are served a step all the same: so many
/// times as long as the last one took, and no longer than this. A shard that is never done with its live events is theirs
/// for a sixteenth of the time: with a tenth, live events came a fifth later while a tenth of 10,000 sockets caught up.
pub const REPLAY_WAITS_STEPS: u64 = 15;
pub const REPLAY_WAITS_US: u64 = 20_000;

/// The longest that a shard waits on its doorbell alone, while sessions that are behind have a rest.
pub const NAP_US_MAX: u64 = 1_000;

/// How often the watchman looks whether every thread still takes turns. Each takes one every tick.
pub const WATCH_MS: u64 = 250;

// ── The hub ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Events that wait for the hub, over all publishers. Past it a publisher is answered 503.
pub const HUB_QUEUE_BYTES_MAX: usize = 64 << 20;

/// Events held for the slowest shard. Past it a publisher is answered 503.
pub const WINDOW_BYTES_MAX: usize = 64 << 20;

/// What a shard takes from the window at a time, at least one batch.
pub const SHARD_INBOX_BYTES: usize = 1 << 20;

/// Publishers that wait for the disk, over all desks: ten times what a sync of 10 ms lets come together. Each has a connection,
/// but one that repeats what is known already adds nothing to any queue that is counted in bytes.
pub const PENDING_ANSWERS_MAX: usize = 1 << 16;

/// How long a stop waits for the disk; then publishers are told that nothing is certain. Beyond the syncs that are under way,
/// a disk that takes longer hangs.
pub const HUB_STOP_MS: u64 = 5_000;

/// Alerts that `GET /alerts/latest` can answer with: eight a second for a client that asks once a minute.
pub const LATEST_ALERTS_MAX: usize = 500;

/// The same in bytes of `data`: 2 KiB each, ten times a usual one, and so an answer is no longer than a full watchlist's.
/// While longer ones are about, fewer are kept.
pub const LATEST_ALERTS_BYTES_MAX: usize = 1 << 20;

/// What an event takes in memory besides its `data`, near enough to bound queues.
pub const EVENT_OVERHEAD_BYTES: usize = 256;

// ── The journal ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// Numbers stay below the largest integer that JavaScript holds exactly, 2^53: a century of ten million events a second.
pub const SEQ_MAX: u64 = 1 << 53;

/// Events of one record, `data` and what is beside it: a reader takes a record at a time, so it is no more than a turn's work.
pub const RECORD_EVENTS_BYTES: usize = 256 << 10;

/// The payload of a record: no more than its events as above, and one that alone is larger.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// A segment by default, and the least: retention drops whole segments.
pub const SEGMENT_BYTES: u64 = 64 << 20;
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;

/// What a segment's sparse index skips: a read from some number finds its place within this many bytes.
pub const SEGMENT_INDEX_BYTES: u64 = 64 << 10;

/// Retention by default: as much as a small disk spares, and a long weekend.
pub const RETENTION_BYTES: u64 = 8 << 30;
pub const RETENTION_HOURS: u64 = 72;

/// Between two syncs with `sync = "interval"`, by default.
pub const SYNC_INTERVAL_MS: u64 = 100;

/// How long a publisher's `id` is remembered by default, and how many at most: the oldest go first.
pub const DEDUPE_S: u64 = 600;
pub const DEDUPE_IDS_MAX: usize = 1 << 20;

/// Numbers that are leased at a time, in a file that is synced before any of them is used. After a crash this many may be
/// passed over, and are told as a gap.
pub const LEASE_NUMBERS: u64 = 1 << 18;

/// What the journal writes at a time, as the window counts it: some ten thousand events, a few milliseconds of encoding. What
/// comes meanwhile is the next write, and shares its sync.
pub const JOURNAL_WRITE_BYTES: usize = 8 << 20;

/// How long the journal waits after a failure of its disk before it tries again: soon enough to go on by itself.
pub const JOURNAL_RETRY_MS: u64 = 1_000;

/// How often retention looks for segments that are too old; they are hours old.
pub const RETENTION_EVERY_MS: u64 = 60_000;

/// How long a stop goes on trying to bring the last events to a disk that fails.
pub const JOURNAL_STOP_MS: u64 = 5_000;

/// What the journal hands to a replaying shard at a time, at least one record: a millisecond of work.
pub const REPLAY_CHUNK_BYTES: usize = 512 << 10;

/// Events that a replay has at hand before it asks for more: while these are handed over, the next ones are read.
pub const REPLAY_AHEAD_EVENTS: u64 = 4_096;

/// A session's replay by default: a hundred times a busy market's 200 events a second, so that it catches up; the last 100,000
/// events take it five seconds.
pub const REPLAY_EVENTS_PER_SECOND: u32 = 20_000;

/// The same in bytes that it is sent: more than most lines carry.
pub const REPLAY_BYTES_PER_SECOND: u64 = 16 << 20;

/// Sessions of a shard that are replayed to at once: the others of a reconnect storm wait for their turn, and cost nothing
/// meanwhile.
pub const REPLAY_SESSIONS: u32 = 2_000;

/// What a start reads of the journal for the ids that publishers may repeat, at most, and for the newest alerts, at least: a
/// second of work, and a few milliseconds.
pub const RECALLED_BYTES_MAX: u64 = 512 << 20;
pub const RECALLED_BYTES_MIN: u64 = 16 << 20;

/// The part of a shard's time that sessions may take that are behind, in percent, by default: while thousands come back, live
/// events find the CPU idle two times in five (19,000 clients on two quiet CPUs: live within 12 to 13 s).
pub const REPLAY_SHARE_PERCENT: u32 = 60;

/// Segments that replays keep open: those who come back together read the same few.
pub const REPLAY_FILES_MAX: usize = 8;

/// Replays whose place in the segments is remembered. One that is forgotten begins at most [`SEGMENT_INDEX_BYTES`] early.
pub const REPLAY_PLACES_MAX: usize = 64;

/// The newest events, which stay in memory although every shard has them: a client that comes back after seconds is served
/// from here.
pub const WINDOW_KEPT_BYTES: usize = 32 << 20;

// ── The front desk ──────────────────────────────────────────────────────────────────────────────────────────────────

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

/// A whole watchlist: 10,000 owners of 64 bytes, with room.
pub const WATCHLIST_BODY_BYTES_MAX: usize = 1 << 20;

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

// ── The gate: what is not for the configuration ─────────────────────────────────────────────────────────────────────

/// Addresses whose handshake rate is remembered, in each of two generations: 4 MiB each. An address that comes past it
/// costs the ones that were not seen lately their memory, so they begin anew with a whole burst.
pub const RATED_ADDRESSES_MAX: usize = 1 << 16;

/// Publishers' keys whose event rate is remembered, in the same way. Only the operator makes keys.
pub const RATED_PUBLISHERS_MAX: usize = 1 << 14;

/// Keys and addresses that are remembered as refused for their tier, of each, in the same way: one that is forgotten gets a
/// fresh 4403.
pub const REFUSALS_MAX: usize = 1 << 16;

/// How long such a refusal is remembered, in seconds.
pub const REFUSAL_REMEMBERED_S: u64 = 60;

/// Addresses that it takes to use up what the server bears of sockets that have not authenticated: each may have this part
/// of them. By default that is 500, as many as its handshake rate lets it begin in the time that one may take.
pub const PENDING_ADDRESSES_MIN: u32 = 20;
const _: () =
    assert!(PENDING_AUTHENTICATIONS / PENDING_ADDRESSES_MIN == HANDSHAKES_PER_SECOND * (AUTHENTICATION_MS / 1_000));

/// What `Retry-After` says where one of a client's own connections has to end first: nobody knows when, and a client that
/// asks each second would be told the same.
pub const CROWD_RETRY_AFTER_S: u64 = 5;

/// Proxies between a client and the server that are looked at in `X-Forwarded-For`. Real ways have three: a content network,
/// a balancer, an ingress.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// A PROXY protocol header with its extensions. The usual one has 28 or 52 bytes; a client certificate's names add some
/// hundred.
pub const PROXY_HEADER_BYTES_MAX: usize = 2 << 10;

/// How long a browser may remember the answer to a preflight. No browser does for longer than two hours.
pub const PREFLIGHT_AGE_S: u64 = 7_200;

// ── The gate: defaults of `[limits]` in the configuration ───────────────────────────────────────────────────────────

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

// ── The configuration: what may be written in it ────────────────────────────────────────────────────────────────────

/// Connections, subscriptions and refusals. More than any machine's memory holds; past it 0, no limit, is what is meant.
pub const CONFIGURED_NUMBER_MAX: u32 = 10_000_000;

/// Messages, handshakes and events a second, and their bursts. More than the server gets through; past it 0 is meant.
pub const CONFIGURED_RATE_MAX: u32 = 100_000_000;

/// A client's message: below a kilobyte no token would pass, and a hundred thousand sockets can each hold the most.
pub const CONFIGURED_MESSAGE_BYTES_MIN: usize = 1 << 10;
pub const CONFIGURED_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// From one wait for a login service to a user's who types a password. Longer, and a stranger holds a socket for nothing.
pub const CONFIGURED_AUTHENTICATION_S_MIN: u32 = 1;
pub const CONFIGURED_AUTHENTICATION_S_MAX: u32 = 300;

/// A publisher's requests under way, where they are limited. Below one whole body a legal request could never pass; above
/// 64 GiB 0 is meant.
pub const CONFIGURED_BYTES_IN_FLIGHT_MIN: u64 = BODY_BYTES_MAX as u64;
pub const CONFIGURED_BYTES_IN_FLIGHT_MAX: u64 = 64 << 30;

/// Likewise a publisher's burst, which one request has to fit in.
pub const CONFIGURED_EVENT_BURST_MIN: u32 = BATCH_EVENTS_MAX as u32;

/// Between two syncs: shorter, and `sync = "always"` is what is meant; longer, and a power cut costs more than a minute.
pub const CONFIGURED_SYNC_INTERVAL_MS_MIN: u64 = 1;
pub const CONFIGURED_SYNC_INTERVAL_MS_MAX: u64 = 60_000;

/// Bytes that the journal retains, where they are limited: two of the least segments, as the newest is never dropped; a
/// petabyte is more than a machine has.
pub const CONFIGURED_RETENTION_BYTES_MIN: u64 = 2 * SEGMENT_BYTES_MIN;
pub const CONFIGURED_RETENTION_BYTES_MAX: u64 = 1 << 50;

/// Ten years; past it 0, no bound, is what is meant.
pub const CONFIGURED_RETENTION_HOURS_MAX: u64 = 10 * 366 * 24;

/// A segment is read through once at a start after a crash, and dropped as a whole.
pub const CONFIGURED_SEGMENT_BYTES_MAX: u64 = 4 << 30;

/// A day: a retry that comes later is no retry. Memory is bounded by the number of ids, whatever stands here.
pub const CONFIGURED_DEDUPE_S_MAX: u64 = 24 * 3600;

/// A session's replay, where its bytes are limited: at least a frame of the longest a second. Above 64 GiB 0 is meant.
pub const CONFIGURED_REPLAY_BYTES_MIN: u64 = 128 << 10;
pub const CONFIGURED_REPLAY_BYTES_MAX: u64 = 64 << 30;
const _: () = assert!(CONFIGURED_REPLAY_BYTES_MIN as usize >= FRAME_BYTES_MAX);

/// Clocks are further apart than five minutes only where one of them is wrong, and a token would live on that much longer.
pub const CONFIGURED_LEEWAY_S_MAX: u64 = 300;

/// Networks or origins in one list. Each is looked at with every handshake: a thousand take some microseconds.
pub const CONFIGURED_LIST_ENTRIES_MAX: usize = 1_000;

/// Further attempts of a delivery, and the longest wait before one, a day: with ten of them a delivery that fails lives for ten days.
pub const CONFIGURED_RETRIES_MAX: usize = 10;
pub const CONFIGURED_RETRY_S_MAX: u64 = 24 * 3600;

/// An attempt: an endpoint that takes longer than a minute does its work before it answers, and holds a worker for that.
pub const CONFIGURED_DELIVERY_TIMEOUT_S_MAX: u64 = 60;

/// Attempts of one webhook under way: more, and one webhook alone could hold most workers, by default.
pub const CONFIGURED_DELIVERY_CONCURRENCY_MAX: u32 = 64;

/// Threads that send: each may be in a look-up or a handshake with what that takes of memory.
pub const CONFIGURED_DELIVERY_WORKERS_MAX: u32 = 1_024;

/// Failures that go on for longer than a month are no fault that passes, and a secret that signs for longer was not replaced.
pub const CONFIGURED_DISABLE_S_MAX: u64 = 30 * 24 * 3600;
pub const CONFIGURED_SECRET_GRACE_S_MAX: u64 = 30 * 24 * 3600;

/// Finished deliveries of one webhook, at some hundred bytes each, and ten years: past it the database is no place for them.
pub const CONFIGURED_HISTORY_MAX: u32 = 1_000_000;
pub const CONFIGURED_HISTORY_HOURS_MAX: u64 = 10 * 366 * 24;

/// Ports and ranges of ports in the list of those that webhooks may name, which is told to whoever names another one.
pub const CONFIGURED_PORTS_MAX: usize = 64;

// ── Events ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// An event as it is published, and its `data` once it is canonical (`1e20` grows to 21 digits).
pub const EVENT_BYTES_MAX: usize = 64 << 10;

/// How deep an event may nest, the event's own object counted. Real ones stay under ten; the canonical writer recurses
/// this far at most.
pub const EVENT_DEPTH_MAX: usize = 64;

/// The most events in one request: at 250 bytes each, 25 MB, and every one of them is held until the last has parsed.
pub const BATCH_EVENTS_MAX: usize = 100_000;

/// A topic with its namespace. A wallet address is under 100 bytes, a user id of an identity provider under 200.
pub const TOPIC_BYTES_MAX: usize = 256;

/// An event's `type`: it is also an HTTP header's value (webhooks) and is repeated in every frame.
pub const EVENT_TYPE_BYTES_MAX: usize = 64;

/// `channel` of the rooms envelope: repeated in every frame.
pub const EVENT_CHANNEL_BYTES_MAX: usize = 64;

/// The conflation key, held for each key in the latest-only policy.
pub const EVENT_KEY_BYTES_MAX: usize = 128;

/// A publisher's own id of an event, held for the whole dedupe window. A UUID has 36.
pub const EVENT_ID_BYTES_MAX: usize = 128;

/// `owner` and `marketSymbol` of a trade, each. An address has 44 (Solana) to 66 (Ethereum) bytes.
pub const TRADE_TEXT_BYTES_MAX: usize = 128;

/// The largest integer literal taken: 2^53. Past it, JavaScript's numbers skip integers, so digits would be lost.
pub const INTEGER_MAX: u64 = 1 << 53;

/// How much of a field's path an error repeats, in characters: keys come from the publisher.
pub const FIELD_PATH_CHARS_MAX: usize = 128;

/// The longest frame: the header, the longest `data`, and what the envelope puts around it (a type and a channel of 64
/// bytes each, which are tokens and so need no escapes, an id of 128 bytes, each of which may need one, a number of 20
/// digits, and under 80 bytes of names).
pub const FRAME_BYTES_MAX: usize = SERVER_HEADER_BYTES_MAX + EVENT_BYTES_MAX + 512;

// ── Accounts ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// An account's name, in bytes: room for an e-mail address, short enough for a table.
pub const ACCOUNT_NAME_BYTES_MAX: usize = 64;

/// A grant's name or prefix, in bytes. The longest names that the protocols know are wallet addresses (44) and bot ids.
pub const GRANT_NAME_BYTES_MAX: usize = 128;

/// A subscribe looks at each grant of the account in turn; 256 short comparisons are a few microseconds.
pub const GRANTS_PER_ACCOUNT_MAX: usize = 256;

/// An owner, in bytes. Wallet addresses have 32 to 66; the rest is room for publishers with names of their own.
pub const OWNER_BYTES_MAX: usize = 128;

/// Owners in one watchlist: what a copy-trader can plausibly follow, and a reload of which takes about 5 ms.
pub const WATCHLIST_OWNERS_MAX: usize = 10_000;

/// How long a change waits for another process to finish its own, in milliseconds. A change takes about 4, a whole
/// new watchlist about 35.
pub const STORE_BUSY_TIMEOUT_MS: u64 = 5_000;

/// How often opening is tried again inside that time, in milliseconds: about what the other's opening takes.
pub const OPEN_RETRY_MS: u64 = 10;

/// Statements that a connection to a database keeps compiled: all of its store's, with room, so that each is compiled once.
pub const STATEMENTS_CACHED: usize = 48;

/// An account's keys in force: a few programs and people, each with its own.
pub const LIVE_KEYS_PER_ACCOUNT_MAX: usize = 100;

/// Revoked keys that are still listed; the oldest are forgotten first, so that rotating keys can't fill the disk.
pub const REVOKED_KEYS_LISTED_PER_ACCOUNT_MAX: usize = 100;

/// Commands that wait for the accounts thread. One takes about 4 ms, a whole new watchlist 35: a full queue is at most some
/// two seconds of work, and some 50 MB of owners.
pub const ACCOUNT_COMMANDS_QUEUED_MAX: usize = 64;

/// How often another process's change is looked for, in milliseconds: it is to be live within a second, and a look costs
/// a few microseconds.
pub const FOREIGN_CHANGE_POLL_MS: u64 = 200;

/// Changes of accounts that a snapshot tells shards which come from an earlier one. With more between two looks, a shard
/// looks at every account that has sessions.
pub const RECENT_ACCOUNT_CHANGES_MAX: usize = 256;

/// What is read from standard input, in bytes: a full watchlist of the longest owners, each on its line.
pub const OWNERS_INPUT_BYTES_MAX: u64 = (WATCHLIST_OWNERS_MAX * (OWNER_BYTES_MAX + 2)) as u64;

// ── Webhooks ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Of one account.
pub const WEBHOOKS_PER_ACCOUNT_MAX: usize = 10_000;

/// Secrets before the newest that sign still. Each makes `webhook-signature` 48 bytes longer.
pub const PREVIOUS_SECRETS_MAX: usize = 4;

/// Threads that send, by default: a thread is busy for as long as its endpoint takes, and mostly sleeps.
pub const DELIVERY_WORKERS: u32 = 128;

/// Checks of URLs and tests under way, each on a thread of its own.
pub const ASIDE_THREADS_MAX: usize = 16;
pub const ASIDE_THREADS_PER_ACCOUNT_MAX: usize = 4;

/// Commands that wait for the core. Each has a request at a desk that waits for it.
pub const DELIVERY_COMMANDS_MAX: usize = 1_024;

/// The stack of a thread that sends: four times what a debug build needs for TLS. It is address space until it is used.
pub const DELIVERY_STACK_BYTES: usize = 512 << 10;

/// What a worker holds while it sends: its stack as far as it is touched, and the buffers of its connection.
pub const DELIVERY_BYTES_PER_WORKER: usize = 96 << 10;

/// How far below the others (nice(1)) delivery threads run.
pub const DELIVERY_NICE: i32 = 10;

/// Deliveries of one webhook in memory; the others wait in the database. Enough to keep its concurrency busy.
pub const LANE_QUEUE_MAX: usize = 256;

/// Deliveries that one turn of the core records: some 50 ms of the database's time, for which everything else waits.
pub const RECORDED_PER_TURN_MAX: usize = 2_000;

/// Deliveries of one webhook that wait while a replay adds to them: two queues' worth.
pub const REPLAYED_WAITING_MAX: u64 = 2 * LANE_QUEUE_MAX as u64;

/// What is read of the journal for the bodies of deliveries that are due late: the next ones will be asked for next.
pub const BODIES_READ_BYTES: usize = 64 << 10;

/// How long a delivery waits that could not be tried for a reason of the server's own.
pub const POSTPONED_MS: u64 = 1_000;

/// Webhooks of an account that are told when another one of it is disabled.
pub const OPERATIONAL_TOLD_MAX: usize = 100;

/// A lane whose endpoint takes longer than this to answer is slow.
pub const PROMPT_MS_MAX: u64 = 1_000;

/// The file that holds the webhooks' master key: 64 digits, and what an editor may put around them.
pub const MASTER_KEY_FILE_BYTES_MAX: usize = 1_024;

/// Prompt successes in a row that make a lane prompt. One would let an endpoint that fails every other time pass for prompt.
pub const PROMPT_AFTER: u32 = 3;

/// The longest that an open circuit breaker keeps an endpoint from being tried.
pub const BREAKER_OPEN_MS_MAX: u64 = 300_000;

/// A webhook's URL. Browsers and proxies take no longer ones either.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;

/// The body of a request about a webhook: its URL, with every byte escaped, and its events.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 16 << 10;

/// What is read of an endpoint's answer. A longer body costs it its connection.
pub const ANSWER_HEAD_BYTES_MAX: usize = 16 << 10;
pub const ANSWER_BODY_BYTES_MAX: u64 = 64 << 10;

/// How long the body of an answer is read, once its status is known. It is read so that the connection can be kept; a slow one is
/// worth less than the worker that waits for it.
pub const ANSWER_BODY_MS_MAX: u64 = 1_000;

/// What a connection reads at once: the largest head, and the byte by which one is too large.
pub const ANSWER_BUFFER_BYTES: usize = ANSWER_HEAD_BYTES_MAX + 1_024;

/// What a connection gathers to be sent at once: a request with the longest URL (3 KiB) and the body of a usual trade (0.5 KiB) in one
/// packet. A longer body takes several.
pub const REQUEST_BUFFER_BYTES: usize = 8 << 10;

/// A name in the DNS, as text, and one of its labels (RFC 1035).
pub const HOST_NAME_BYTES_MAX: usize = 253;
pub const HOST_LABEL_BYTES_MAX: usize = 63;

/// Addresses of one name that are looked at, and connected to: as many as ureq takes.
pub const NAME_ADDRESSES_MAX: usize = 16;

/// Names that are being looked up, each on a thread of its own. The system's resolver can't be called off: one that gets no answer
/// keeps its thread for half a minute. As many as all workers by default may wait for.
pub const NAME_LOOKUPS_MAX: usize = 128;

/// Of one account: whoever owns names that never answer waits for them alone, and the others still find threads.
pub const NAME_LOOKUPS_PER_ACCOUNT_MAX: usize = NAME_LOOKUPS_MAX / 4;

/// The last of them, for accounts that have none under way: else four with such names would take them all.
pub const NAME_LOOKUPS_LAST: usize = NAME_LOOKUPS_MAX / 4;

/// How long an address that a name had is good: shorter than an operator takes to change it, long enough that a busy endpoint does
/// not cost a look-up each time.
pub const NAME_CACHED_MS: u64 = 10_000;
pub const NAMES_CACHED_MAX: usize = 10_000;

/// How long the addresses of a name are used that can't be looked up again: a resolver is mended by then. The guard looks at them with
/// each use all the same.
pub const NAME_KEPT_MS: u64 = 600_000;

/// How long a look-up is waited for that can be done without. A resolver that takes longer has the answer ready for the next one, and
/// with more an endpoint would no longer count as prompt.
pub const NAME_REFRESH_MS: u64 = 500;
const _: () = assert!(NAME_REFRESH_MS < PROMPT_MS_MAX);

/// Connections kept open between deliveries: in all, to one host, and for how long.
pub const IDLE_CONNECTIONS_MAX: usize = 256;
pub const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 16;
pub const IDLE_CONNECTION_MS_MAX: u64 = 15_000;

/// How often those that are too old are looked for: a look at all of them takes a few microseconds.
pub const IDLE_SWEEP_MS: u64 = 1_000;

/// How soon after a request a kept connection fails that had been closed while it was idle: its end answers the first bytes with a
/// reset, so that takes a round trip, on the slowest links less than a second. Later the endpoint may have been at work on the request.
pub const STALE_MS_MAX: u64 = 1_000;

/// A file with certificates to trust. Those of all the authorities of the web take 0.2 MiB.
pub const CA_FILE_BYTES_MAX: u64 = 4 << 20;

/// Bodies of recent events, for lanes that are near the present.
pub const PAYLOADS_CACHED_BYTES: usize = 32 << 20;

/// What SQLite keeps in memory of the webhooks database: the indexes of some hundred thousand deliveries that wait.
pub const DELIVERY_PAGES_CACHED_BYTES: usize = 32 << 20;

/// Attempts of one delivery that are remembered, the newest.
pub const ATTEMPTS_RECORDED_MAX: u32 = 20;

/// What the core reads of the journal in one step, for the present and for a replay.
pub const DELIVERY_READ_BYTES: usize = 256 << 10;

/// How long a position that moved past events that matched nothing may wait for the disk.
pub const POSITION_COMMIT_MS: u64 = 50;

/// How often finished deliveries that are too old or too many are deleted, and how many at a time.
pub const PRUNE_EVERY_MS: u64 = 1_000;
pub const PRUNE_ROWS_MAX: usize = 2_000;

/// A clock that was set back further than this makes the core begin anew with what waits; within it, deliveries wait that long.
pub const CLOCK_SET_BACK_MS: u64 = 60_000;

/// Deliveries that one answer lists, unless it is asked for another number, and at most.
pub const DELIVERIES_LISTED: usize = 50;
pub const DELIVERIES_LISTED_MAX: usize = 1_000;

/// Before the first try to go on with a database that failed; twice as long before each further one, up to the second.
pub const DELIVERY_RECOVER_MS: u64 = 500;
pub const DELIVERY_RECOVER_MS_MAX: u64 = 60_000;

/// Between two looks at what should be there in a moment: events that are kept but not shown yet, the end of the last attempts.
pub const DELIVERY_LOOK_AGAIN_MS: u64 = 10;

/// How long workers have to end that have nothing under way.
pub const DELIVERY_CREW_STOP_MS: u64 = 500;

/// The longest that the core rests: so that a clock that was set does not leave it asleep.
pub const DELIVERY_REST_MS: u64 = 1_000;

/// How long its thread may stand still before the watchman tells of it: a rest, then a wait for a lock of the database, with room for a
/// slow disk.
pub const DELIVERY_STILL_MS: u64 = STORE_BUSY_TIMEOUT_MS + 2 * DELIVERY_REST_MS;

/// Of webhooks or deliveries, those that a desk writes into an answer before the shard's sockets get their turn: some 60 KB.
pub const LISTED_STEP: usize = 128;

/// How long a request waits for a test, or for a look at a URL: the longest attempt, and some time for the threads around it.
pub const WEBHOOK_ANSWER_MS: u64 = CONFIGURED_DELIVERY_TIMEOUT_S_MAX * 1_000 + ANSWER_MS;

/// How long the end of the server waits for attempts under way: somewhat longer than an endpoint may take by default.
pub const DELIVERY_STOP_MS: u64 = 12_000;

// ── The plan ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Shards of one process. More than any machine has CPUs for; past it a typing mistake is likelier than a wish.
pub const SHARDS_MAX: usize = 256;

/// Process descriptors that a shard holds before its first connection: glommio's three rings, its event and timer
/// descriptors, our ring and its doorbell (measured: 7.5 a shard), and the listening socket.
pub const OWN_DESCRIPTORS_PER_SHARD: u32 = 9;

/// Connections that one shard's front desk serves at a time, each with a process descriptor of its own until its
/// socket moves into the ring. Handshakes take about a millisecond, so this many are a storm.
pub const DESK_CONNECTIONS_MAX: u32 = 1024;

/// Fewer than this and a handful of slow clients would keep everyone else out of a shard.
pub const DESK_CONNECTIONS_MIN: u32 = 16;

/// Process descriptors kept for everything that isn't a shard: journal segments, SQLite and its WAL, webhook
/// connections and look-ups of names (a socket each), the standard streams.
pub const DESCRIPTORS_RESERVED: u32 = 512;
const _: () = assert!(
    IDLE_CONNECTIONS_MAX + WORKERS_OR_LOOKUPS + ASIDE_THREADS_MAX + 100 <= DESCRIPTORS_RESERVED as usize,
    "more workers than the default take theirs from what is left"
);

/// A worker holds no connection while it waits for a look-up, which has a socket then. Look-ups that nobody waits for any more come on
/// top, for half a minute: where they leave none to others, that is put down to no endpoint.
const WORKERS_OR_LOOKUPS: usize =
    if DELIVERY_WORKERS as usize > NAME_LOOKUPS_MAX { DELIVERY_WORKERS as usize } else { NAME_LOOKUPS_MAX };

/// From this many CPUs the hub moves off shard 0 and shares the delivery CPU. Below it, the only CPU beside the
/// shards' is also where the machine's other work runs (webhook workers, a load generator), and each event would
/// wait there for a time slice. This constant is the whole rule: change it when a measurement says otherwise.
pub const HUB_BESIDE_DELIVERY_CPUS_MIN: usize = 3;

/// Submission and completion queues of a shard's ring, the message headers beside them, and glommio's own rings.
pub const RING_BYTES_PER_SHARD: u64 = 1 << 20;

/// One entry of the ring's table of direct descriptors: a pointer.
pub const RING_BYTES_PER_SLOT: u64 = 8;

/// The target for a connected, idle socket in user space.
pub const USER_BYTES_PER_SOCKET: u64 = 400;

/// What the kernel keeps for one end of an idle TCP connection (measured): socket, file, inode, hash entries.
pub const KERNEL_BYTES_PER_SOCKET: u64 = 3_500;

/// While an event is on its way the kernel charges `tcp_mem` a page a socket: it counts in whole pages.
pub const QUEUED_BYTES_PER_SOCKET: u64 = 4_096;

/// The highest CPU number. `sched_setaffinity` masks hold 1,024 CPUs (`CPU_SETSIZE`), which also bounds what a range
/// like `0-4000000000` can make of memory.
pub const CPU_NUMBER_MAX: usize = 1023;

/// The document of `loadgen calibrate` is 4 KiB long.
pub const CALIBRATION_BYTES_MAX: u64 = 64 << 10;

/// How busy a CPU may be planned to be. Above it what comes at random waits longer than it takes: bursts, reconnects, other work.
pub const PLANNED_BUSY_MAX: f64 = 0.7;

/// What a further shard has resident before its first socket: measured, 4 and 8 shards beside one. Its log and its buffers are not
/// touched then.
pub const SHARD_START_BYTES: u64 = 1 << 20;

/// CPUs up to which a plan counts, over all servers that it would take.
pub const PLANNED_CPUS_MAX: u64 = 16_384;

/// Events a second of a plan; one hub does not number more.
pub const PLANNED_RATE_MAX: f64 = 1e7;

/// A send to a socket whose state is in no cache costs no more than so many times one in the middle of a calibration: from there on
/// every line comes from memory.
pub const COLD_SEND_FACTOR_MAX: f64 = 2.0;

/// A connection that got nothing for so long acknowledges what comes next at once, and not with some delay (TCP's least
/// retransmission time; measured on Linux 6.18: a third more of a send).
pub const ACKNOWLEDGED_AT_ONCE_AFTER_US: f64 = 200_000.0;

/// What an envelope of the watchlist protocol and its frame add to a published event.
pub const ENVELOPE_MORE_BYTES: u32 = 30;

/// TCP's payload of one Ethernet frame of 1,500 bytes, with timestamps.
pub const SEGMENT_PAYLOAD_BYTES: u32 = 1448;

/// What a segment takes on the wire beside its payload: preamble 8, Ethernet 14, IP 20, TCP with timestamps 32, check sum 4, gap 12.
pub const SEGMENT_WIRE_OVERHEAD_BYTES: u32 = 90;

/// What the kernel holds for a byte that waits in a socket: the unused ends of pages, and what describes them.
pub const QUEUED_BYTES_A_BYTE: u64 = 2;

// ── The doctor ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Room for a few journal segments and the accounts; below it the journal would stop within minutes.
pub const DISK_AVAILABLE_BYTES_MIN: u64 = 256 << 20;

/// Room that lets retention keep a useful stretch of events.
pub const DISK_AVAILABLE_BYTES_WANTED: u64 = 2 << 30;

/// The share of the available memory, in percent, past which the server would leave the machine nothing to breathe.
pub const MEMORY_PERCENT_MAX: u64 = 80;

/// Connections that wait to be accepted. A reconnect storm brings thousands within one accept round, and one that
/// finds the queue full is told nothing: it tries again after a second.
pub const LISTEN_BACKLOG_MIN: u64 = 4096;

/// Files that the machine's other processes are left with when the sockets have theirs.
pub const SYSTEM_FILES_RESERVED: u64 = 10_000;

/// A default larger than this lets each idle-looking socket take that much before anything bounds it.
pub const SOCKET_BUFFER_DEFAULT_BYTES_MAX: u64 = 1 << 20;

/// Client ports an address of 127.0.0.0/8 should have, so that a local load test gets by with few addresses.
pub const LOCAL_PORTS_MIN: u64 = 20_000;

/// More sockets than one machine's memory could hold; past it the figures mean nothing.
pub const DOCTOR_SOCKETS_MAX: u64 = 1_000_000_000;

// ── The command line ────────────────────────────────────────────────────────────────────────────────────────────────────

/// `stentor.toml`: a thousand times what a full one has; past it --config names something else.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// Events of one request. At most as many as the server would rather parse between two rounds of its sockets.
pub const PUBLISH_BATCH_EVENTS_MAX: usize = 10_000;

/// How long a line may wait for company: `tail -f | stentor publish -` has to feel immediate.
pub const PUBLISH_BATCH_HOLD_MS_MAX: u64 = 50;

/// Body of one NDJSON request; far below what the server takes, and plenty for 500 events of any usual size.
pub const PUBLISH_BATCH_BYTES_MAX: usize = 1 << 20;

/// An event has at most 64 KiB; twice that leaves room for blanks and still says in time that a file isn't NDJSON.
pub const PUBLISH_LINE_BYTES_MAX: usize = 128 << 10;

/// A JSON document travels as one request, so this is what one request may carry.
pub const PUBLISH_DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// Lines read ahead of the sender: 32 MiB where every one is as long as allowed.
pub const PUBLISH_LINES_AHEAD_MAX: usize = 256;

/// Tries of one batch, the first included. With the waits below, a server may be away for about half a minute.
pub const PUBLISH_TRIES_MAX: u32 = 8;

/// The longest wait that a server's `Retry-After` is honoured for; one that wants longer is told to the user.
pub const PUBLISH_RETRY_AFTER_S_MAX: u64 = 30;

/// The wait after the first failure where the server names none; it doubles with each further one.
pub const PUBLISH_RETRY_FIRST_MS: u64 = 250;

/// The longest wait of our own choosing.
pub const PUBLISH_RETRY_MS_MAX: u64 = 8_000;

/// A connection to a machine that is there takes milliseconds.
pub const PUBLISH_CONNECT_TIMEOUT_S: u64 = 5;

/// A batch is answered when the journal holds it; a server that needs longer than this is not well.
pub const PUBLISH_ANSWER_TIMEOUT_S: u64 = 60;

/// A kept connection older than this may be closed by the server at the moment when it is used again.
pub const PUBLISH_IDLE_CONNECTION_S: u64 = 5;

/// An answer is a line of JSON.
pub const PUBLISH_ANSWER_BYTES_MAX: u64 = 64 << 10;

/// One event in a thousand seconds; slower is a mistake.
pub const PUBLISH_RATE_EVENTS_PER_S_MIN: f64 = 0.001;

/// How often a line is written where stderr is no terminal.
pub const PUBLISH_PROGRESS_LINE_EVERY_S: u64 = 5;

/// Past it the demo would be a load test, which `loadgen` does better.
pub const DEMO_RATE_EVENTS_PER_S_MAX: f64 = 100_000.0;

/// Events that one step of the demo's market leads to: two trades with an alert and two of the bot each, four of the ticker, about a
/// dozen of the customer, two of the operator.
pub const DEMO_STEP_EVENTS_MAX: usize = 32;

/// The demo's printed token: whoever pastes it tomorrow morning still gets in, whoever finds it in a week does not.
pub const DEMO_TOKEN_TTL_S: u64 = 24 * 3600;

/// How often `stentor journal tail` looks for new events.
pub const JOURNAL_TAIL_MS: u64 = 100;

/// What `stentor backup` copies at a time.
pub const BACKUP_STEP_BYTES: usize = 1 << 20;

/// How often, and how soon again, a backup looks at a record that seems broken: a running server may be writing it.
pub const BACKUP_LOOKS_MAX: u32 = 20;
pub const BACKUP_LOOK_AGAIN_MS: u64 = 50;

/// A backup's list of its files: a hundred bytes each, for a journal of a hundred thousand segments.
pub const BACKUP_MANIFEST_BYTES_MAX: u64 = 16 << 20;

// ── WebSocket clients of tools and tests ────────────────────────────────────────────────────────────────────────────────

/// An answer's head longer than this is not from a server that we would talk to.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Headers in an answer; servers behind proxies send about twenty.
pub const RESPONSE_HEADERS_MAX: usize = 64;
