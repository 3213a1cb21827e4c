//! The book of one client thread: a histogram a round, and for each event how many sockets have it and since when.
//!
//! Deliveries are counted per reaped batch and entered once per event and batch, with the one clock reading that was
//! made when the batch came out of the kernel: an entry costs nanoseconds however many frames it stands for.

use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::limits::LATENCY_NS_MAX;
use crate::over_time::OverTime;
use crate::schedule::{Timetable, UNTIMED};

/// How far one event has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    pub sockets: u32,
    pub first_ns: u64,
    pub last_ns: u64,
}

const NOWHERE: Spread = Spread { sockets: 0, first_ns: u64::MAX, last_ns: 0 };

/// Latencies of one side's deliveries to one thread's sockets.
#[derive(Debug)]
pub struct Recorder {
    timetable: Arc<Timetable>,
    /// Nanoseconds from the intended publish time, one histogram a round.
    rounds: Vec<Histogram<u64>>,
    over_time: OverTime,
    /// At most how long timed deliveries had been there when they were read, in nanoseconds.
    waited: Histogram<u64>,
    events: Vec<Spread>,
    /// Deliveries of the batch at hand by event, and which events have some.
    batch: Vec<u32>,
    touched: Vec<u32>,
}

/// A histogram for latencies in nanoseconds: three significant digits up to [`LATENCY_NS_MAX`].
pub fn latency_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("bounds that a histogram takes")
}

impl Recorder {
    pub fn new(timetable: Arc<Timetable>) -> Self {
        let schedule = timetable.schedule;
        let events = schedule.events() as usize;
        Self {
            rounds: (0..schedule.rounds).map(|_| latency_histogram()).collect(),
            over_time: OverTime::new(schedule),
            waited: latency_histogram(),
            events: vec![NOWHERE; events],
            batch: vec![0; events],
            touched: Vec::new(),
            timetable,
        }
    }

    /// How many events the run has; an index at or past it is none of ours.
    pub fn events(&self) -> u32 {
        self.events.len() as u32
    }

    /// Counts a delivery of the batch at hand; returns its latency, 0 for one that is not timed.
    #[inline]
    pub fn delivered(&mut self, event: u32, now_ns: u64) -> u64 {
        let count = &mut self.batch[event as usize];
        if *count == 0 {
            self.touched.push(event);
        }
        *count += 1;
        now_ns.saturating_sub(self.timetable.intended_ns(event))
    }

    /// Enters the batch that came out of the kernel at `now_ns`, of which nothing had been there for longer than `waited_ns_max`;
    /// returns how many deliveries it had.
    pub fn end_batch(&mut self, now_ns: u64, waited_ns_max: u64) -> u64 {
        let mut total = 0;
        for event in self.touched.drain(..) {
            let count = std::mem::take(&mut self.batch[event as usize]);
            let spread = &mut self.events[event as usize];
            spread.sockets += count;
            spread.first_ns = spread.first_ns.min(now_ns);
            spread.last_ns = spread.last_ns.max(now_ns);
            total += u64::from(count);
            let due = self.timetable.intended_ns(event);
            if due != UNTIMED {
                let round = self.timetable.schedule.round_of(event) as usize;
                let latency_ns = now_ns.saturating_sub(due).max(1);
                self.rounds[round].saturating_record_n(latency_ns, u64::from(count));
                self.over_time.record_n(event, latency_ns, u64::from(count));
                // No delivery has been there for longer than there was anything to deliver.
                self.waited.saturating_record_n(waited_ns_max.clamp(1, latency_ns), u64::from(count));
            }
        }
        total
    }

    /// Adds another thread's book of the same side.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.rounds.iter_mut().zip(&other.rounds) {
            mine.add(theirs).expect("histograms of the same bounds");
        }
        self.over_time.merge(&other.over_time);
        self.waited.add(&other.waited).expect("histograms of the same bounds");
        for (mine, theirs) in self.events.iter_mut().zip(&other.events) {
            mine.sockets += theirs.sockets;
            mine.first_ns = mine.first_ns.min(theirs.first_ns);
            mine.last_ns = mine.last_ns.max(theirs.last_ns);
        }
    }

    /// One round's latencies.
    pub fn round(&self, round: u32) -> &Histogram<u64> {
        &self.rounds[round as usize]
    }

    /// All rounds, second by second.
    pub fn over_time(&self) -> &OverTime {
        &self.over_time
    }

    /// At most how long timed deliveries had been there when they were read, in nanoseconds: the client's own part.
    pub fn waited(&self) -> &Histogram<u64> {
        &self.waited
    }

    /// All rounds' latencies.
    pub fn total(&self) -> Histogram<u64> {
        let mut total = latency_histogram();
        for round in &self.rounds {
            total.add(round).expect("histograms of the same bounds");
        }
        total
    }

    /// How long a timed step took to reach its first socket, and all of them with all of its events. The second is
    /// `None` where some of the `sockets` never got some of them.
    pub fn step_ns(&self, round: u32, step: u32, sockets: u32) -> (Option<u64>, Option<u64>) {
        let events = self.timetable.schedule.events_of(round, step);
        let due = self.timetable.intended_ns(events.start);
        let spreads = &self.events[events.start as usize..events.end as usize];
        let reached = spreads.iter().any(|spread| spread.sockets > 0) && due != UNTIMED;
        let first = spreads.iter().map(|spread| spread.first_ns).min().filter(|_| reached);
        let whole = reached && spreads.iter().all(|spread| spread.sockets == sockets);
        let last = spreads.iter().map(|spread| spread.last_ns).max().filter(|_| whole);
        (first.map(|at| at.saturating_sub(due)), last.map(|at| at.saturating_sub(due)))
    }
}

/// The middle value; the mean of the two middle ones of an even number. `None` of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Schedule;

    const BURSTS: Schedule = Schedule { burst: 2, interval_ns: 1_000_000, rounds: 1, warmup_steps: 1, timed_steps: 2 };

    fn recorder() -> Recorder {
        let timetable = Arc::new(Timetable::new(BURSTS));
        timetable.begin_round(0, 1_000_000);
        Recorder::new(timetable)
    }

    #[test]
    fn latency_counts_from_the_intended_time_and_warm_ups_do_not_count() {
        let mut recorder = recorder();
        assert_eq!(recorder.delivered(0, 1_500_000), 0, "a warm-up");
        assert_eq!(recorder.delivered(2, 2_300_000), 300_000);
        assert_eq!(recorder.delivered(2, 2_300_000), 300_000);
        assert_eq!(recorder.end_batch(2_300_000, 40), 3);
        assert_eq!(recorder.total().len(), 2);
        assert_eq!((recorder.waited().len(), recorder.waited().max()), (2, 40));
        assert!((299_000..=301_000).contains(&recorder.round(0).value_at_quantile(0.5)));
    }

    #[test]
    fn a_step_is_whole_when_every_socket_has_every_event_of_it() {
        let mut recorder = recorder();
        for (event, now) in [(2, 2_100_000), (3, 2_200_000), (2, 2_400_000)] {
            recorder.delivered(event, now);
            recorder.end_batch(now, 0);
        }
        assert_eq!(recorder.step_ns(0, 1, 2), (Some(100_000), None));
        recorder.delivered(3, 2_900_000);
        recorder.end_batch(2_900_000, 0);
        assert_eq!(recorder.step_ns(0, 1, 2), (Some(100_000), Some(900_000)));
        assert_eq!(recorder.step_ns(0, 2, 2), (None, None));
    }

    #[test]
    fn two_threads_books_add_up() {
        let mut first = recorder();
        let mut second = Recorder::new(Arc::clone(&first.timetable));
        for (book, now) in [(&mut first, 2_500_000), (&mut second, 2_700_000)] {
            for event in [2, 3] {
                book.delivered(event, now);
            }
            book.end_batch(now, 0);
        }
        first.merge(&second);
        assert_eq!(first.step_ns(0, 1, 2), (Some(500_000), Some(700_000)));
        assert_eq!(first.total().len(), 4);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
