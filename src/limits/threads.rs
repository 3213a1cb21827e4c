//! Threads: how long they may take before somebody looks.

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
