//! Metrics: how often everything is looked at.

/// Between two readings of all counters: whoever asks meanwhile waits and shares the next. So the thread that reads them is busy for
/// a small part of its time, however many scrape.
pub const OBSERVE_EVERY_MS: u64 = 100;

/// Between two readings of what each thread has used of the CPUs, which takes a file a thread.
pub const THREADS_READ_EVERY_MS: u64 = 1_000;

/// The least stretch of time that a sample's fan-out quantiles are of. A little less than the second that a page waits between
/// samples, so that a page whose timer is early is not told of two.
pub const FANOUT_SPAN_MS_MIN: u64 = 900;

/// The bounds of the histograms that are scraped, in nanoseconds: from what a fan-out to a hundred sockets takes to what nobody
/// waits for.
pub const HISTOGRAM_BOUNDS_NS: [u64; 17] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
