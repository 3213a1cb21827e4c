//! A server's end: how long its parts of it take.

use super::{
    CONFIGURED_RETRY_S_MAX, DELIVERY_STOP_MS, HUB_STOP_MS, JOURNAL_STOP_MS, SHUTDOWN_MS_MAX, STORE_BUSY_TIMEOUT_MS,
};

/// Over how long sessions are closed where nothing else is configured: ten thousand a second with 100,000 of them, which a new server
/// takes back as fast.
pub const DRAIN_S: u32 = 10;

/// From the end of a drain until a new server serves, where nothing else is configured: the farewell of those closed last, the journal's
/// end, and a start of a second or less.
pub const RESTART_S: u32 = 2;

/// An hour: whoever wants longer wants another server beside this one. Times of a drain are kept in milliseconds, of 32 bits.
pub const CONFIGURED_DRAIN_S_MAX: u32 = 3_600;
pub const CONFIGURED_RESTART_S_MAX: u32 = 3_600;
const _: () = assert!((CONFIGURED_DRAIN_S_MAX as u64) < CONFIGURED_RETRY_S_MAX);

/// From the last close of a drain until the sockets that have not answered are cut off: once around the world, and once more for a
/// packet that was lost. It has to fit in the time that clients are told for the restart.
pub const DRAIN_LINGER_MS: u32 = 1_000;
const _: () = assert!(DRAIN_LINGER_MS < RESTART_S * 1_000);

/// Slots that a drain looks at in one turn, to tell their sessions or to close them: about a millisecond.
pub const DRAIN_STEP_SESSIONS: u32 = 1_000;

/// How long handshakes of TCP that have begun may still come in while sessions are drained: a way around the world and back.
pub const DOOR_AJAR_MS: u64 = 500;

/// How long a door waits for those who have knocked to be let in, where the desk is full.
pub const DOOR_WAIT_MS: u64 = 2_000;

/// How long requests that are being answered at the desk hold up the end of a shard.
pub const FAREWELL_MS: u32 = 1_000;

/// How much longer than the drain the server waits for its shards to say that their sessions are gone: for one that is held up.
pub const DRAIN_LATE_MS: u64 = 2_000;

/// The longest that a stop takes beside the time over which sessions are closed: each of its steps at its own bound, one after the
/// other. Webhooks and the journal are waited for twice as long as they give themselves.
pub const STOP_MS_MAX: u64 = DRAIN_LINGER_MS as u64
    + DRAIN_LATE_MS
    + HUB_STOP_MS
    + SHUTDOWN_MS_MAX as u64
    + FAREWELL_MS as u64
    + 2 * DELIVERY_STOP_MS
    + STORE_BUSY_TIMEOUT_MS
    + 2 * JOURNAL_STOP_MS;

/// How long a service manager is to wait for a stop, beside the time over which sessions are closed: half a minute and more beyond the
/// longest, for a machine on which everything stops at once. The unit waits so long for the default drain.
pub const STOP_PATIENCE_MS: u64 = 90_000;
const _: () = assert!(STOP_PATIENCE_MS >= STOP_MS_MAX + 30_000);
/// It is told in microseconds, of 32 bits.
const _: () = assert!((CONFIGURED_DRAIN_S_MAX as u64 * 1_000 + STOP_PATIENCE_MS) * 1_000 <= u32::MAX as u64);
