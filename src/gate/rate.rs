//! How much a second, and how much at once: the generic cell rate algorithm (ITU-T I.371), which needs one number to
//! remember what a bucket of tokens needs two for.

use crate::clock::Nanos;

/// A rate and its burst. What obeys it remembers a [`RateState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// What one costs, in nanoseconds; 0: nothing is too fast.
    interval: Nanos,
    /// How many may come at once, after a pause.
    burst: u64,
}

/// When everything that was admitted so far is paid for. New, and once that moment has passed, the whole burst is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateState(Nanos);

impl Rate {
    /// `per_second` of them, and `burst` at once (at least one). 0 a second is no limit.
    pub const fn per_second(per_second: u32, burst: u32) -> Self {
        let interval = if per_second == 0 { 0 } else { 1_000_000_000 / per_second as u64 };
        Self { interval, burst: if burst == 0 { 1 } else { burst as u64 } }
    }

    /// One in so many nanoseconds.
    pub const fn one_in(interval: Nanos) -> Self {
        Self { interval, burst: 1 }
    }

    pub const fn is_unlimited(&self) -> bool {
        self.interval == 0
    }

    /// How long so many take at this rate, in nanoseconds.
    pub const fn time_for(&self, count: u64) -> Nanos {
        self.interval.saturating_mul(count)
    }

    /// How long after its last admission of up to `count` any state is as good as new, in nanoseconds.
    pub const fn forgiven_after(&self, count: u64) -> Nanos {
        self.time_for(if count > self.burst { count } else { self.burst })
    }
}

impl RateState {
    /// Whether the whole burst is there again: nothing came for as long as that takes.
    pub fn is_rested(&self, now: Nanos) -> bool {
        self.0 <= now
    }

    /// Admits `count` at `now`, all or nothing, or says in how many nanoseconds they would be. More than the burst pass
    /// together once the whole burst is there, so that no number is too large for ever; what follows waits until they are
    /// paid for.
    pub fn admit(&mut self, rate: &Rate, count: u64, now: Nanos) -> Result<(), Nanos> {
        if let Some(wait) = self.wait(rate, count, now) {
            return Err(wait);
        }
        self.0 = self.0.max(now).saturating_add(rate.time_for(count));
        Ok(())
    }

    /// In how many nanoseconds `count` would be admitted; none: now.
    pub fn wait(&self, rate: &Rate, count: u64, now: Nanos) -> Option<Nanos> {
        // What may be owed at that moment is the burst less what is asked for.
        let fits_at = self.0.max(now).saturating_sub(rate.time_for(rate.burst.saturating_sub(count)));
        (fits_at > now).then(|| fits_at - now)
    }

    /// Gives back what `count` cost that were admitted and came to nothing. There is never more than the whole burst.
    pub fn refund(&mut self, rate: &Rate, count: u64) {
        self.0 = self.0.saturating_sub(rate.time_for(count));
    }
}

const _: () = assert!(size_of::<RateState>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;
    const SECOND: Nanos = 1_000 * MS;

    #[test]
    fn a_burst_passes_at_once_and_then_the_rate_counts() {
        let (rate, mut state) = (Rate::per_second(10, 3), RateState::default());
        for _ in 0..3 {
            assert_eq!(state.admit(&rate, 1, 0), Ok(()));
        }
        assert_eq!(state.admit(&rate, 1, 0), Err(100 * MS));
        assert_eq!(state.admit(&rate, 1, 99 * MS), Err(MS), "a refusal costs nothing");
        assert_eq!(state.admit(&rate, 1, 100 * MS), Ok(()));
        assert_eq!(state.admit(&rate, 1, 100 * MS), Err(100 * MS));
        // A pause brings the burst back, and no more than it.
        let passed = (0..10).filter(|_| state.admit(&rate, 1, 100 * SECOND).is_ok()).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn what_comes_together_fits_whole_or_not_at_all() {
        let (rate, mut state) = (Rate::per_second(1_000, 100), RateState::default());
        assert_eq!(state.admit(&rate, 60, 0), Ok(()));
        assert_eq!(state.admit(&rate, 60, 0), Err(20 * MS));
        assert_eq!(state.admit(&rate, 40, 0), Ok(()), "what was refused took nothing");
        assert_eq!(state.admit(&rate, 60, 60 * MS), Ok(()));
    }

    #[test]
    fn more_than_the_burst_passes_alone_and_is_paid_for_afterwards() {
        let (rate, mut state) = (Rate::per_second(1_000, 100), RateState::default());
        assert_eq!(state.admit(&rate, 1, 0), Ok(()));
        assert_eq!(state.admit(&rate, 500, 0), Err(MS), "the whole burst has to be there");
        assert_eq!(state.admit(&rate, 500, MS), Ok(()));
        assert_eq!(state.admit(&rate, 1, MS), Err(401 * MS));
        assert_eq!(state.admit(&rate, 500, MS), Err(500 * MS));
    }

    #[test]
    fn what_came_to_nothing_is_given_back_and_no_more_than_the_burst() {
        let (rate, mut state) = (Rate::per_second(1_000, 100), RateState::default());
        assert_eq!(state.admit(&rate, 30, SECOND), Ok(()));
        assert_eq!(state.admit(&rate, 70, SECOND), Ok(()));
        state.refund(&rate, 70);
        assert_eq!(state.admit(&rate, 71, SECOND), Err(MS), "the other thirty are still to be paid for");
        assert_eq!(state.admit(&rate, 70, SECOND), Ok(()));
        state.refund(&rate, u64::MAX);
        assert_eq!(state.admit(&rate, 100, SECOND), Ok(()));
        assert_eq!(state.admit(&rate, 1, SECOND), Err(MS));
    }

    #[test]
    fn in_the_long_run_no_more_than_the_rate_passes() {
        let mut random = fastrand::Rng::with_seed(7);
        let (rate, mut state) = (Rate::per_second(200, 50), RateState::default());
        let (mut now, mut passed) = (0, 0);
        while now < 60 * SECOND {
            let count = random.u64(1..=80);
            if state.admit(&rate, count, now).is_ok() {
                passed += count;
            }
            now += random.u64(0..10 * MS);
        }
        assert!((60 * 200 - 80..=60 * 200 + 50 + 80).contains(&passed), "{passed}");
    }

    #[test]
    fn after_the_wait_that_was_named_it_passes() {
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..10_000 {
            let rate = Rate::per_second(random.u32(1..=1_000_000), random.u32(0..=1_000));
            let (mut state, mut now) = (RateState::default(), random.u64(0..SECOND));
            for _ in 0..5 {
                let count = random.u64(0..2_000);
                if let Err(wait) = state.admit(&rate, count, now) {
                    assert!(wait > 0 && state.admit(&rate, count, now + wait - 1).is_err());
                    now += wait;
                    assert_eq!(state.admit(&rate, count, now), Ok(()));
                }
            }
        }
    }

    #[test]
    fn no_rate_is_no_limit_and_no_number_overflows() {
        let (rate, mut state) = (Rate::per_second(0, 1), RateState::default());
        assert!(rate.is_unlimited());
        assert_eq!((0..1_000).try_for_each(|_| state.admit(&rate, u64::MAX, 5)), Ok(()));
        let (rate, mut state) = (Rate::per_second(1, u32::MAX), RateState::default());
        assert_eq!(state.admit(&rate, u64::MAX, Nanos::MAX - 1), Ok(()));
        assert!(state.admit(&rate, u64::MAX, Nanos::MAX - 1).is_err());
    }
}
