//! A shard: its log, its turns, its outputs and its ring.

use super::REPLAY_SESSIONS;

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
