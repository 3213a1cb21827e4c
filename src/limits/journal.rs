//! The journal: its window, its segments, its reads.

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
