//! Latency over the time of a load: a small histogram for each stretch of it, by when an event was to be published.

use hdrhistogram::Histogram;

use crate::limits::{LATENCY_NS_MAX, WINDOW_NS_MIN, WINDOWS_MAX};
use crate::schedule::Schedule;

/// The rounds of one side on end, without the turns of the others between them.
#[derive(Debug)]
pub struct OverTime {
    schedule: Schedule,
    window_ns: u64,
    windows: Vec<Option<Histogram<u64>>>,
}

/// One stretch in which something was delivered.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// Since the first round began.
    pub from_ns: u64,
    pub latencies: &'a Histogram<u64>,
}

impl OverTime {
    pub fn new(schedule: Schedule) -> Self {
        let total_ns = round_ns(&schedule) * u64::from(schedule.rounds);
        let window_ns = total_ns.div_ceil(WINDOWS_MAX).max(WINDOW_NS_MIN);
        let windows = (0..total_ns.div_ceil(window_ns).max(1)).map(|_| None).collect();
        Self { schedule, window_ns, windows }
    }

    /// Enters deliveries of an event, all with one latency.
    pub fn record_n(&mut self, event: u32, latency_ns: u64, count: u64) {
        let (round, in_round) = (self.schedule.round_of(event), event % self.schedule.events_per_round());
        let due_ns =
            u64::from(round) * round_ns(&self.schedule) + self.schedule.offset_ns(in_round / self.schedule.burst);
        let last = self.windows.len() - 1;
        let window = &mut self.windows[((due_ns / self.window_ns) as usize).min(last)];
        window.get_or_insert_with(coarse_histogram).saturating_record_n(latency_ns, count);
    }

    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.windows.iter_mut().zip(&other.windows) {
            if let Some(theirs) = theirs {
                mine.get_or_insert_with(coarse_histogram).add(theirs).expect("histograms of the same bounds");
            }
        }
    }

    /// Those in which something was delivered.
    pub fn windows(&self) -> impl Iterator<Item = Window<'_>> {
        let numbered = self.windows.iter().zip((0..).step_by(self.window_ns as usize));
        numbered.filter_map(|(window, from_ns)| Some(Window { from_ns, latencies: window.as_ref()? }))
    }
}

fn round_ns(schedule: &Schedule) -> u64 {
    schedule.offset_ns(schedule.steps_per_round())
}

/// Two significant digits: a tenth of the memory of three, and enough for a plot.
fn coarse_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 2).expect("bounds that a histogram takes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn windows(over_time: &OverTime) -> Vec<(u64, u64)> {
        over_time.windows().map(|window| (window.from_ns / SECOND, window.latencies.len())).collect()
    }

    #[test]
    fn an_event_counts_in_the_second_in_which_it_was_due_and_rounds_follow_each_other() {
        let schedule = Schedule { burst: 2, interval_ns: SECOND / 2, rounds: 2, warmup_steps: 1, timed_steps: 3 };
        let mut over_time = OverTime::new(schedule);
        // The second step of the first round, the last of it, and the last of the second.
        for (event, count) in [(2, 5), (3, 5), (6, 7), (15, 9)] {
            over_time.record_n(event, 1_000, count);
        }
        assert_eq!(windows(&over_time), [(0, 10), (1, 7), (3, 9)]);
        let mut other = OverTime::new(schedule);
        other.record_n(6, 1_000, 1);
        other.record_n(8, 1_000, 1);
        over_time.merge(&other);
        assert_eq!(windows(&over_time), [(0, 10), (1, 8), (2, 1), (3, 9)]);
    }

    #[test]
    fn a_long_load_has_wider_windows_and_a_short_one_has_one() {
        let long = Schedule { burst: 1, interval_ns: SECOND, rounds: 1, warmup_steps: 0, timed_steps: 100_000 };
        let mut over_time = OverTime::new(long);
        over_time.record_n(99_999, 1, 1);
        assert!(over_time.windows.len() as u64 <= WINDOWS_MAX && over_time.windows.last().is_some_and(Option::is_some));
        let short = Schedule { interval_ns: 0, timed_steps: 3, ..long };
        let mut over_time = OverTime::new(short);
        over_time.record_n(2, 1, 4);
        assert_eq!(windows(&over_time), [(0, 4)]);
    }
}
