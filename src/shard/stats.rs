//! What a shard counts, and the fan-out latency that it measures. Read by other threads once a second.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use crate::clock::Nanos;

/// Counters of one shard, written by it alone.
#[derive(Default)]
pub struct ShardStats {
    pub sockets: AtomicU64,
    /// Deliveries queued to sockets: one for each event and socket.
    pub deliveries: AtomicU64,
    pub events: AtomicU64,
    pub sends: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub slow_consumers_closed: AtomicU64,
    /// Sessions that the log could not keep and the journal served from then on, ever.
    pub fell_behind: AtomicU64,
    /// Sessions that went live after a replay, ever: slow ones, and those that resumed.
    pub caught_up: AtomicU64,
    /// Deliveries from the journal.
    pub replayed: AtomicU64,
    pub heartbeats_lost: AtomicU64,
    fanout: Mutex<Option<Histogram<u32>>>,
}

impl ShardStats {
    pub fn add(counter: &AtomicU64, count: u64) {
        // One writer: a load and a store are cheaper than a locked add.
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Records the time from an event's acceptance to the moment when the kernel had it for every socket.
    pub fn record_fanout(&self, latency: Nanos) {
        let mut fanout = self.fanout.lock().expect("no holder panics");
        let histogram = fanout.get_or_insert_with(new_histogram);
        histogram.saturating_record(latency);
    }

    /// Moves what was recorded since the last call into `total` (nanoseconds).
    pub fn take_fanout(&self, total: &mut Histogram<u32>) {
        let mut fanout = self.fanout.lock().expect("no holder panics");
        if let Some(histogram) = fanout.as_mut()
            && !histogram.is_empty()
        {
            total.add(&*histogram).expect("both have the same bounds");
            histogram.reset();
        }
    }
}

/// One microsecond to a minute, to two significant digits.
pub fn new_histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1_000, 60_000_000_000, 2).expect("sound bounds")
}
