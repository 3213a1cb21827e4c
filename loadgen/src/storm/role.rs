//! What the two kinds of sockets of a storm are there for: some become live, the others tell how the server does meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;

use crate::latency::latency_histogram;

/// When the storm began and when its last socket was live; on the clock of the run, and `u64::MAX` before.
#[derive(Debug)]
pub struct Moments {
    pub began_ns: AtomicU64,
    pub over_ns: AtomicU64,
    /// Resuming sockets that are live.
    pub live: AtomicU64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { began_ns: AtomicU64::new(u64::MAX), over_ns: AtomicU64::new(u64::MAX), live: AtomicU64::new(0) }
    }
}

/// What a crowd's sockets do, and the book of it.
#[derive(Debug)]
pub enum Role {
    Resuming(Resuming),
    Live(Live),
}

/// Times of sockets that resume, from the beginning of the storm.
#[derive(Debug)]
pub struct Resuming {
    moments: Arc<Moments>,
    sockets: u32,
    /// To the answer of the upgrade.
    pub opened: Histogram<u64>,
    /// To the first event that was published after that.
    pub live: Histogram<u64>,
}

/// Latencies of sockets that are live all the time, from the intended publish time.
#[derive(Debug)]
pub struct Live {
    moments: Arc<Moments>,
    pub before: Histogram<u64>,
    pub during: Histogram<u64>,
    pub after: Histogram<u64>,
}

impl Resuming {
    pub fn new(moments: Arc<Moments>, sockets: u32) -> Self {
        Self { moments, sockets, opened: latency_histogram(), live: latency_histogram() }
    }

    pub fn opened(&mut self, now_ns: u64) {
        self.opened.saturating_record(self.since_began(now_ns));
    }

    /// One more socket is live.
    pub fn live(&mut self, now_ns: u64) {
        self.live.saturating_record(self.since_began(now_ns));
        self.moments.live.fetch_add(1, Relaxed);
        if self.live.len() == u64::from(self.sockets) {
            self.moments.over_ns.store(now_ns, Relaxed);
        }
    }

    fn since_began(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.moments.began_ns.load(Relaxed)).max(1)
    }
}

impl Live {
    pub fn new(moments: Arc<Moments>) -> Self {
        let (before, during, after) = (latency_histogram(), latency_histogram(), latency_histogram());
        Self { moments, before, during, after }
    }

    /// An event belongs to the time in which it was published.
    pub fn delivered(&mut self, published_ns: u64, now_ns: u64) {
        let book = if published_ns < self.moments.began_ns.load(Relaxed) {
            &mut self.before
        } else if published_ns < self.moments.over_ns.load(Relaxed) {
            &mut self.during
        } else {
            &mut self.after
        };
        book.saturating_record(now_ns.saturating_sub(published_ns).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_latencies_are_told_apart_by_the_time_of_publishing() {
        let moments = Arc::new(Moments::default());
        let (mut live, mut resuming) = (Live::new(Arc::clone(&moments)), Resuming::new(Arc::clone(&moments), 2));
        live.delivered(100, 200);
        moments.began_ns.store(1000, Relaxed);
        live.delivered(900, 1900);
        live.delivered(1000, 1900);
        resuming.live(2000);
        live.delivered(2100, 2200);
        resuming.live(3000);
        live.delivered(2900, 3100);
        live.delivered(3000, 3100);
        assert_eq!((live.before.len(), live.during.len(), live.after.len()), (2, 3, 1));
        assert_eq!((resuming.live.min(), resuming.live.max(), moments.over_ns.load(Relaxed)), (1000, 2000, 3000));
    }
}
