//! The process's clocks: monotonic nanoseconds since the first call, the same on every thread, for all that is measured or due;
//! and Unix time, for what is told to others or compared with what they say.

#[cfg(test)]
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the process's epoch. It fits 584 years.
pub type Nanos = u64;

/// What simulated Unix time begins with.
#[cfg(test)]
const SIMULATED_EPOCH_MS: u64 = 1_800_000_000_000;

#[cfg(test)]
thread_local! {
    static SIMULATED: Cell<Option<Nanos>> = const { Cell::new(None) };
}

/// From now on it is this late on this thread, until it is told otherwise; none for the real clocks.
#[cfg(test)]
pub fn simulate(now: Option<Nanos>) {
    SIMULATED.set(now);
}

pub fn now() -> Nanos {
    #[cfg(test)]
    if let Some(now) = SIMULATED.get() {
        return now;
    }
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed().as_nanos() as Nanos
}

/// Milliseconds since 1970-01-01 UTC; 0 where the machine believes to be before that.
pub fn unix_ms() -> u64 {
    #[cfg(test)]
    if let Some(now) = SIMULATED.get() {
        return SIMULATED_EPOCH_MS + now / 1_000_000;
    }
    std::time::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_millis() as u64)
}
