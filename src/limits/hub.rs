//! The hub: what waits for it, and what it remembers.

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
