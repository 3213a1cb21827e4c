//! The circuit breaker of a lane.
//!
//! ```text
//!   closed ── failures in a row ──▶ open ── its time is over ──▶ probing: one attempt
//!     ▲                              │ ▲                             │
//!     └───────────── success ────────┘ └── failure, twice as long ───┤
//!     └───────────── success ────────────────────────────────────────┘
//! ```
//! Attempts are told apart by their numbers. So those that were under way when it opened may fail as late as they like: only the probe
//! decides, and any success does.

use crate::limits;

#[derive(Clone, Debug)]
pub struct Breaker {
    /// Failures in a row that open it. 0: it never opens.
    failures_max: u32,
    /// How long it is open the first time.
    first_open_ms: u64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Everything passes, after so many failures in a row.
    Closed { failures: u32 },
    /// Nothing passes until then, and after that one attempt.
    Open { until_ms: u64, open_ms: u64 },
    /// Waits for what comes of one attempt.
    Probing { attempt: u64, since_ms: u64, open_ms: u64 },
}

impl Breaker {
    pub fn new(failures_max: u32, open_ms: u64) -> Self {
        let first_open_ms = open_ms.min(limits::BREAKER_OPEN_MS_MAX);
        Self { failures_max, first_open_ms, state: State::Closed { failures: 0 } }
    }

    /// From when on an attempt may begin; `None` while a probe is under way.
    pub fn passes_at(&self) -> Option<u64> {
        match self.state {
            State::Closed { .. } => Some(0),
            State::Open { until_ms, .. } => Some(until_ms),
            State::Probing { .. } => None,
        }
    }

    /// Whether it keeps attempts away for the sake of time.
    pub fn is_open(&self, now_ms: u64) -> bool {
        matches!(self.state, State::Open { until_ms, .. } if now_ms < until_ms)
    }

    /// An attempt begins, at a time when it may.
    pub fn start(&mut self, attempt: u64, now_ms: u64) {
        if let State::Open { open_ms, .. } = self.state {
            self.state = State::Probing { attempt, since_ms: now_ms, open_ms };
        }
    }

    /// An attempt was not made after all.
    pub fn withdraw(&mut self, attempt: u64) {
        if let State::Probing { attempt: probe, since_ms, open_ms } = self.state
            && probe == attempt
        {
            self.state = State::Open { until_ms: since_ms, open_ms };
        }
    }

    pub fn success(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    pub fn failure(&mut self, attempt: u64, now_ms: u64) {
        match &mut self.state {
            State::Closed { failures } => {
                *failures = failures.saturating_add(1);
                if *failures == self.failures_max {
                    self.open(self.first_open_ms, now_ms);
                }
            }
            State::Probing { attempt: probe, open_ms, .. } if *probe == attempt => {
                let open_ms = open_ms.saturating_mul(2).min(limits::BREAKER_OPEN_MS_MAX);
                self.open(open_ms, now_ms);
            }
            // It began before the breaker opened, and says nothing that is not known.
            State::Open { .. } | State::Probing { .. } => {}
        }
    }

    fn open(&mut self, open_ms: u64, now_ms: u64) {
        self.state = State::Open { until_ms: now_ms.saturating_add(open_ms), open_ms };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opened at 1,000 by attempts 1 to 3, until 1,100; attempt 0 is still under way.
    fn opened() -> Breaker {
        let mut breaker = Breaker::new(3, 100);
        for attempt in 1..=3 {
            assert_eq!(breaker.passes_at(), Some(0));
            breaker.start(attempt, 900);
            breaker.failure(attempt, 1_000);
        }
        assert_eq!(breaker.passes_at(), Some(1_100));
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_them_starts_the_count_again() {
        let mut breaker = Breaker::new(3, 100);
        for attempt in 1..=2 {
            breaker.failure(attempt, 0);
        }
        breaker.success();
        for attempt in 3..=4 {
            breaker.failure(attempt, 0);
        }
        assert_eq!(breaker.passes_at(), Some(0));
        breaker.failure(5, 0);
        assert_eq!(breaker.passes_at(), Some(100));
    }

    #[test]
    fn it_is_open_until_its_time_is_over() {
        let breaker = opened();
        assert!(breaker.is_open(1_000) && breaker.is_open(1_099) && !breaker.is_open(1_100));
    }

    #[test]
    fn one_probe_passes_and_its_success_closes() {
        let mut breaker = opened();
        breaker.start(4, 1_100);
        assert_eq!(breaker.passes_at(), None);
        assert!(!breaker.is_open(1_100));
        breaker.success();
        assert_eq!(breaker.passes_at(), Some(0));
        for attempt in 5..=6 {
            breaker.failure(attempt, 2_000);
        }
        assert_eq!(breaker.passes_at(), Some(0), "failures are counted from the start");
        breaker.failure(7, 2_000);
        assert_eq!(breaker.passes_at(), Some(2_100), "open for as long as the first time");
    }

    #[test]
    fn each_failed_probe_opens_it_for_twice_as_long_up_to_the_bound() {
        let mut breaker = opened();
        let mut opens = 200;
        for attempt in 4..40 {
            let now_ms = breaker.passes_at().expect("no probe");
            breaker.start(attempt, now_ms);
            breaker.failure(attempt, now_ms + 7);
            assert_eq!(breaker.passes_at(), Some(now_ms + 7 + opens));
            opens = (opens * 2).min(limits::BREAKER_OPEN_MS_MAX);
        }
        assert_eq!(opens, limits::BREAKER_OPEN_MS_MAX);
        assert_eq!(Breaker::new(1, u64::MAX).first_open_ms, limits::BREAKER_OPEN_MS_MAX);
    }

    #[test]
    fn a_late_failure_prolongs_nothing() {
        let mut breaker = opened();
        breaker.failure(0, 1_090);
        assert_eq!(breaker.passes_at(), Some(1_100));
        breaker.start(4, 1_100);
        breaker.failure(0, 1_150);
        assert_eq!(breaker.passes_at(), None, "the probe is still under way");
        breaker.failure(4, 1_200);
        assert_eq!(breaker.passes_at(), Some(1_400), "doubled once");
        breaker.failure(0, 1_300);
        assert_eq!(breaker.passes_at(), Some(1_400));
    }

    #[test]
    fn a_late_success_closes_it() {
        let mut breaker = opened();
        breaker.success();
        assert_eq!(breaker.passes_at(), Some(0));
        let mut breaker = opened();
        breaker.start(4, 1_100);
        breaker.success();
        assert_eq!(breaker.passes_at(), Some(0));
        breaker.failure(4, 1_200);
        assert_eq!(breaker.passes_at(), Some(0), "what was the probe is one failure like others");
    }

    #[test]
    fn an_old_probe_is_not_taken_for_the_new_one() {
        let mut breaker = opened();
        breaker.start(4, 1_100);
        breaker.success();
        for attempt in 5..=7 {
            breaker.failure(attempt, 1_200);
        }
        breaker.start(8, 1_300);
        breaker.failure(4, 1_310);
        assert_eq!(breaker.passes_at(), None);
    }

    #[test]
    fn a_probe_that_was_withdrawn_leaves_the_way_to_the_next() {
        let mut breaker = opened();
        breaker.start(4, 1_500);
        breaker.withdraw(0);
        assert_eq!(breaker.passes_at(), None, "another attempt was withdrawn");
        breaker.withdraw(4);
        assert!(breaker.passes_at().is_some_and(|at| at <= 1_500));
        breaker.start(5, 1_500);
        breaker.failure(5, 1_600);
        assert_eq!(breaker.passes_at(), Some(1_800), "and says nothing of the endpoint");
    }

    #[test]
    fn without_a_number_of_failures_it_never_opens() {
        let mut breaker = Breaker::new(0, 100);
        for attempt in 0..1_000 {
            breaker.failure(attempt, attempt);
        }
        assert_eq!(breaker.passes_at(), Some(0));
    }
}
