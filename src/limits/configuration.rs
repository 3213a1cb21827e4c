//! The configuration: what may be written in it.

use super::{BATCH_EVENTS_MAX, BODY_BYTES_MAX, FRAME_BYTES_MAX, SEGMENT_BYTES_MIN};

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
