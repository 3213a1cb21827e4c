//! How long things took: a histogram that one thread writes without a lock, and that any thread reads.
//!
//! ```text
//!   up to 1 us │ 1 to 1.05 us │ 1.05 to 1.1 us │ … │ 9.95 to 10 us │ 10 to 10.5 us │ … │ 99.5 to 100 s │ longer
//!              └──────────── 180 equal steps a decade ────────────┘
//! ```
//!
//! Invariants:
//! * It is cumulative: whoever wants a stretch of time subtracts what was read before it, so that any number of readers can.
//! * A step is 5 % of its value at most, so a quantile, told as the middle of its step, is right to 2.5 %.
//! * Bounds such as 50 us and 2.5 ms lie between two steps, so that counts up to them are exact.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::Counter;
use crate::clock::Nanos;

/// 10 to this power is the first bound, in nanoseconds.
const FIRST_DECADE: u32 = 3;
const DECADES: u32 = 8;
/// Steps between 1 and 10; the first of a decade is the twentieth of its beginning.
const STEPS: u64 = 180;
const STEPS_BEFORE: u64 = 20;
const BUCKETS: usize = 1 + (DECADES as u64 * STEPS) as usize + 1;

#[derive(Debug)]
pub struct Histogram {
    counts: Box<[AtomicU64]>,
    sum_ns: Counter,
}

/// What a histogram held when it was read, or what came between two such moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistogramReading {
    counts: Box<[u64]>,
    sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), sum_ns: Counter::default() }
    }
}

impl Histogram {
    /// For the one thread that writes it.
    pub fn record(&self, took: Nanos) {
        let count = &self.counts[bucket(took)];
        count.store(count.load(Relaxed) + 1, Relaxed);
        self.sum_ns.add(took);
    }

    pub fn read(&self) -> HistogramReading {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        HistogramReading { counts, sum_ns: self.sum_ns.get() }
    }
}

impl Default for HistogramReading {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), sum_ns: 0 }
    }
}

impl HistogramReading {
    /// What has come since `before` was read.
    pub fn since(&self, before: &Self) -> Self {
        let counts = self.counts.iter().zip(&before.counts).map(|(now, then)| now.saturating_sub(*then)).collect();
        Self { counts, sum_ns: self.sum_ns.saturating_sub(before.sum_ns) }
    }

    /// Adds what another one holds.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum_ns += other.sum_ns;
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The value that a part of all, 0 to 1, were no longer than; 0 where there were none.
    pub fn quantile(&self, part: f64) -> Nanos {
        let rank = ((self.count() as f64 * part).ceil() as u64).max(1);
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        found.map_or(0, |bucket| (lower_bound(bucket) + upper_bound(bucket)) / 2)
    }

    /// What none was longer than; 0 where there were none.
    pub fn max(&self) -> Nanos {
        self.counts.iter().rposition(|count| *count > 0).map_or(0, upper_bound)
    }

    /// How many were longer than the bound before and no longer than this one, for each of some ascending bounds, and how many
    /// were longer than the last.
    pub fn between(&self, bounds: &[Nanos]) -> Vec<u64> {
        let mut between = vec![0; bounds.len() + 1];
        for (bucket, count) in self.counts.iter().enumerate() {
            between[bounds.partition_point(|bound| *bound < upper_bound(bucket))] += count;
        }
        between
    }
}

fn bucket(took: Nanos) -> usize {
    // A bucket holds its upper bound, as Prometheus's do.
    let took = took.saturating_sub(1);
    match took.checked_ilog10().and_then(|power| power.checked_sub(FIRST_DECADE)) {
        None => 0,
        Some(decade) if decade >= DECADES => BUCKETS - 1,
        Some(decade) => 1 + (u64::from(decade) * STEPS + took / step(decade) - STEPS_BEFORE) as usize,
    }
}

/// Whatever is longer than the last bound counts as being that long.
fn upper_bound(bucket: usize) -> Nanos {
    let nth = bucket.min(BUCKETS - 2) as u64;
    match nth.checked_sub(1) {
        None => step(0) * STEPS_BEFORE,
        Some(nth) => step((nth / STEPS) as u32) * (STEPS_BEFORE + nth % STEPS + 1),
    }
}

fn lower_bound(bucket: usize) -> Nanos {
    bucket.checked_sub(1).map_or(0, upper_bound)
}

fn step(decade: u32) -> Nanos {
    10_u64.pow(FIRST_DECADE + decade) / STEPS_BEFORE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = Nanos>) -> HistogramReading {
        let histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.record(value));
        histogram.read()
    }

    #[test]
    fn every_value_lies_within_the_bounds_of_its_bucket_and_buckets_follow_each_other() {
        for bucket in 1..BUCKETS - 1 {
            let (lower, upper) = (lower_bound(bucket), upper_bound(bucket));
            assert!(lower < upper && (upper - lower) * 20 <= lower, "{bucket}: {lower} to {upper}");
            for inside in [lower + 1, (lower + upper) / 2, upper] {
                assert_eq!(super::bucket(inside), bucket, "{inside}");
            }
        }
        assert_eq!((upper_bound(0), upper_bound(BUCKETS - 2)), (1_000, 100_000_000_000));
        for (value, bucket) in
            [(0, 0), (1, 0), (1_000, 0), (1_001, 1), (100_000_000_001, BUCKETS - 1), (u64::MAX, BUCKETS - 1)]
        {
            assert_eq!(super::bucket(value), bucket, "{value}");
        }
    }

    #[test]
    fn quantiles_of_a_difference_are_within_five_percent() {
        let mut random = fastrand::Rng::with_seed(7);
        let histogram = Histogram::default();
        // Another load before, which is not to be seen.
        (0..10_000).for_each(|_| histogram.record(random.u64(1..5_000_000_000)));
        let before = histogram.read();
        // From 20 us to 2 s, as many in each octave.
        let mut values: Vec<Nanos> = (0..5_000).map(|_| (20_000.0 * 10_f64.powf(5.0 * random.f64())) as u64).collect();
        values.iter().for_each(|value| histogram.record(*value));
        values.sort_unstable();
        let since = histogram.read().since(&before);
        assert_eq!((since.count(), since.sum_ns()), (5_000, values.iter().sum()));
        for part in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = values[((5_000.0 * part) as usize).max(1) - 1] as f64;
            let told = since.quantile(part) as f64;
            assert!((told / exact - 1.0).abs() <= 0.05, "{part}: {told} for {exact}");
        }
        let max = *values.last().expect("some");
        assert!((max..=max + max / 20).contains(&since.max()));
    }

    #[test]
    fn an_empty_one_has_no_quantiles() {
        let empty = HistogramReading::default();
        assert_eq!((empty.count(), empty.quantile(0.99), empty.max(), empty.sum_ns()), (0, 0, 0, 0));
    }

    #[test]
    fn counts_up_to_a_bound_are_exact() {
        let reading = of([1, 50_000, 50_001, 100_000, 2_500_000, 2_500_001, u64::MAX / 2]);
        assert_eq!(reading.between(&[50_000, 100_000, 2_500_000]), [2, 2, 1, 2]);
        assert_eq!(reading.between(&[]), [7]);
    }

    #[test]
    fn what_two_threads_recorded_adds_up() {
        let mut sum = of([10_000, 20_000]);
        sum.add(&of([20_000, 30_000_000]));
        assert_eq!((sum.count(), sum.sum_ns()), (4, 30_050_000));
        assert_eq!(sum, of([30_000_000, 20_000, 20_000, 10_000]));
    }
}
