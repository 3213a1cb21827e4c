//! When each event is to be published: an open loop, fixed in advance, that waits for nobody.
//!
//! ```text
//!   run   = rounds × (warm-up steps, timed steps)
//!   step  = one publish: one event, or one burst in one request
//!   event = index counted over the whole run of one side, warm-ups included
//! ```
//! Latency is counted from a step's *intended* time, so a server (or a publisher) that falls behind shows it instead
//! of slowing the load down (coordinated omission).

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shape of one side's load, the same in every round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Events of one step.
    pub burst: u32,
    pub interval_ns: u64,
    pub rounds: u32,
    /// Steps at the start of each round that are checked but not timed.
    pub warmup_steps: u32,
    pub timed_steps: u32,
}

impl Schedule {
    pub fn steps_per_round(&self) -> u32 {
        self.warmup_steps + self.timed_steps
    }

    pub fn events_per_round(&self) -> u32 {
        self.steps_per_round() * self.burst
    }

    pub fn events(&self) -> u32 {
        self.events_per_round() * self.rounds
    }

    /// The event indices of a step of a round.
    pub fn events_of(&self, round: u32, step: u32) -> Range<u32> {
        let first = round * self.events_per_round() + step * self.burst;
        first..first + self.burst
    }

    /// The first event that is timed; past the end where none is.
    pub fn first_timed(&self) -> u32 {
        self.warmup_steps * self.burst
    }

    /// The round in which an event is published.
    pub fn round_of(&self, event: u32) -> u32 {
        event / self.events_per_round()
    }

    /// How long after its round's start a step is due.
    pub fn offset_ns(&self, step: u32) -> u64 {
        u64::from(step) * self.interval_ns
    }

    /// Timed steps, as (round, step).
    pub fn timed(&self) -> impl Iterator<Item = (u32, u32)> + use<> {
        let this = *self;
        (0..this.rounds)
            .flat_map(move |round| (this.warmup_steps..this.steps_per_round()).map(move |step| (round, step)))
    }
}

/// When a warm-up event, or one whose round has not begun, is due: never, so that it adds no latency.
pub const UNTIMED: u64 = u64::MAX;

/// The intended times of one side's events, written when a round begins and read by every client thread.
#[derive(Debug)]
pub struct Timetable {
    pub schedule: Schedule,
    intended_ns: Box<[AtomicU64]>,
}

impl Timetable {
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, intended_ns: (0..schedule.events()).map(|_| AtomicU64::new(UNTIMED)).collect() }
    }

    /// Fixes the times of a round that begins at `start_ns`.
    pub fn begin_round(&self, round: u32, start_ns: u64) {
        for step in self.schedule.warmup_steps..self.schedule.steps_per_round() {
            let due = start_ns + self.schedule.offset_ns(step);
            for event in self.schedule.events_of(round, step) {
                self.intended_ns[event as usize].store(due, Ordering::Release);
            }
        }
    }

    /// The first of the first round's timed events that is due at `now_ns` or later; past them all where none is.
    pub fn due_from(&self, now_ns: u64) -> u32 {
        let timed = self.schedule.first_timed() as usize..self.schedule.events_per_round() as usize;
        let before = self.intended_ns[timed].partition_point(|due| due.load(Ordering::Acquire) < now_ns);
        self.schedule.first_timed() + before as u32
    }

    /// When an event was due, or [`UNTIMED`]. On the clock of [`Clock`](crate::clock::Clock).
    pub fn intended_ns(&self, event: u32) -> u64 {
        self.intended_ns[event as usize].load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURSTS: Schedule = Schedule { burst: 3, interval_ns: 1000, rounds: 2, warmup_steps: 1, timed_steps: 2 };

    #[test]
    fn events_are_numbered_through_rounds_and_steps() {
        assert_eq!(BURSTS.events(), 18);
        assert_eq!(BURSTS.events_of(0, 0), 0..3);
        assert_eq!(BURSTS.events_of(1, 2), 15..18);
        assert_eq!(BURSTS.timed().collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 1), (1, 2)]);
    }

    #[test]
    fn warm_ups_begin_each_round_and_are_not_timed() {
        let timed: Vec<u32> = BURSTS.timed().flat_map(|(round, step)| BURSTS.events_of(round, step)).collect();
        assert_eq!(timed, [3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16, 17]);
        assert_eq!((BURSTS.round_of(8), BURSTS.round_of(9)), (0, 1));
    }

    #[test]
    fn a_rounds_times_follow_from_its_start_alone() {
        let table = Timetable::new(BURSTS);
        table.begin_round(1, 50_000);
        assert_eq!(table.intended_ns(8), UNTIMED, "round 0 did not begin");
        assert_eq!(table.intended_ns(9), UNTIMED, "a warm-up");
        assert_eq!((table.intended_ns(12), table.intended_ns(14), table.intended_ns(15)), (51_000, 51_000, 52_000));
        table.begin_round(0, 10_000);
        let due_from = [0, 11_000, 11_001, 12_000, 12_001].map(|now_ns| table.due_from(now_ns));
        assert_eq!(due_from, [3, 3, 6, 6, 9]);
    }
}
