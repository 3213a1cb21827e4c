//! The process's clocks: monotonic nanoseconds since the first call, the same on every thread, for all that is measured or due;
//! and Unix time, for what is told to others or compared with what they say.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the process's epoch. It fits 584 years.
pub type Nanos = u64;

pub fn now() -> Nanos {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed().as_nanos() as Nanos
}

/// Milliseconds since 1970-01-01 UTC; 0 where the machine believes to be before that.
pub fn unix_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64)
}
