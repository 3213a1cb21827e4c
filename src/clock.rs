//! The process's one clock: monotonic nanoseconds since the first call, the same on every thread.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the process's epoch. It fits 584 years.
pub type Nanos = u64;

pub fn now() -> Nanos {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed().as_nanos() as Nanos
}
