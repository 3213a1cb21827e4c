//! The one clock of a run, and exact waiting on it.

use std::time::{Duration, Instant};

use crate::limits::SPIN_BEFORE_NS;

/// Nanoseconds since the process began measuring; the same for all threads.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    pub fn now_ns(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    /// How long a waiter for `due_ns` may sleep before it should spin; `None` once it should spin.
    pub fn sleep_before(&self, due_ns: u64) -> Option<Duration> {
        let left = due_ns.saturating_sub(self.now_ns());
        (left > SPIN_BEFORE_NS).then(|| Duration::from_nanos(left - SPIN_BEFORE_NS))
    }

    /// Spins until `due_ns`, at most [`SPIN_BEFORE_NS`] where [`sleep_before`](Self::sleep_before) was heeded.
    pub fn spin_until(&self, due_ns: u64) {
        while self.now_ns() < due_ns {
            std::hint::spin_loop();
        }
    }
}
