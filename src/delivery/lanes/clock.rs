//! Time that never runs backwards, out of a clock that may be set back.
//!
//! Whatever rests rests until a time. If the clock were believed when it is set back an hour, an endpoint would be left alone an hour
//! too long. So time here stands still for that moment and goes on from there at the clock's own pace.

#[derive(Debug, Default)]
pub struct Clock {
    /// How far time here is ahead of the clock: all that it was ever set back.
    ahead_ms: u64,
    now_ms: u64,
}

impl Clock {
    /// Takes the clock's word for what time it is.
    pub fn advance(&mut self, clock_ms: u64) -> u64 {
        let now_ms = clock_ms.saturating_add(self.ahead_ms);
        self.ahead_ms = self.ahead_ms.saturating_add(self.now_ms.saturating_sub(now_ms));
        self.now_ms = self.now_ms.max(now_ms);
        self.now_ms
    }

    /// The time of the last [`Self::advance`].
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// What [`Self::advance`] would answer.
    pub fn at(&self, clock_ms: u64) -> u64 {
        clock_ms.saturating_add(self.ahead_ms).max(self.now_ms)
    }

    /// What the clock will show at a time.
    pub fn shows_at(&self, at_ms: u64) -> u64 {
        at_ms.saturating_sub(self.ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_when_the_clock_is_set_back_and_goes_on_from_there() {
        let mut clock = Clock::default();
        assert_eq!(clock.advance(10_000), 10_000);
        assert_eq!(clock.at(4_000), 10_000);
        assert_eq!(clock.advance(4_000), 10_000);
        assert_eq!(clock.advance(4_500), 10_500);
        assert_eq!(clock.shows_at(11_000), 5_000);
        assert_eq!((clock.advance(1_000), clock.advance(1_001)), (10_500, 10_501), "set back a second time");
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let mut clock = Clock::default();
        assert_eq!(clock.advance(u64::MAX), u64::MAX);
        assert_eq!(clock.advance(1), u64::MAX);
        assert_eq!(clock.advance(2), u64::MAX);
        assert_eq!(clock.shows_at(u64::MAX), 1);
    }
}
