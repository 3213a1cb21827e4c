//! Deadlines of many sockets: a hashed timing wheel with lazy rescheduling.
//!
//! A socket is in at most one bucket, so a timer costs it four bytes. Moving a deadline later is free: the entry fires at
//! its old time, the owner sees that the deadline is in the future and puts it back.
//! Pure: ticks come in as an argument. A tick is [`limits::TICK_MS`] milliseconds.

use crate::limits;

/// Time in ticks since the shard started.
pub type Tick = u32;

pub struct TimerWheel {
    buckets: Vec<Vec<u32>>,
    /// The last tick that was fired.
    now: Tick,
}

impl TimerWheel {
    pub fn new() -> Self {
        Self { buckets: vec![Vec::new(); limits::WHEEL_BUCKETS], now: 0 }
    }

    /// Puts `slot` in the bucket of `deadline` and returns the tick at which it will fire: the deadline, or, past the
    /// wheel's horizon or in the past, the nearest tick that the wheel can hold.
    pub fn schedule(&mut self, slot: u32, deadline: Tick) -> Tick {
        let horizon = self.now + self.buckets.len() as Tick - 1;
        let fires = deadline.clamp(self.now + 1, horizon);
        let bucket = fires as usize % self.buckets.len();
        self.buckets[bucket].push(slot);
        fires
    }

    /// Moves every slot whose tick has come, up to `now`, into `due`.
    pub fn advance(&mut self, now: Tick, due: &mut Vec<u32>) {
        // After a long sleep each bucket is visited once; none can hold an entry from further ahead.
        let first = self.now + 1;
        let last = now.min(self.now.saturating_add(self.buckets.len() as Tick));
        for tick in first..=last {
            let bucket = tick as usize % self.buckets.len();
            due.append(&mut self.buckets[bucket]);
            if self.buckets[bucket].capacity() > limits::WHEEL_BUCKET_KEEP {
                self.buckets[bucket].shrink_to(limits::WHEEL_BUCKET_KEEP);
            }
        }
        self.now = self.now.max(now);
    }
}

impl Default for TimerWheel {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired_at(deadline: Tick, step: Tick) -> Tick {
        let mut wheel = TimerWheel::new();
        let fires = wheel.schedule(7, deadline);
        let mut now = 0;
        let mut due = Vec::new();
        while due.is_empty() {
            now += step;
            assert!(now <= fires + step, "missed its tick {fires}");
            wheel.advance(now, &mut due);
        }
        assert_eq!(due, [7]);
        now
    }

    #[test]
    fn an_entry_fires_at_its_tick_and_once() {
        for deadline in [1, 2, 10, 500, limits::WHEEL_BUCKETS as Tick - 1] {
            assert_eq!(fired_at(deadline, 1), deadline);
        }
    }

    #[test]
    fn an_entry_past_the_horizon_fires_at_the_horizon() {
        assert_eq!(fired_at(1 << 20, 1), limits::WHEEL_BUCKETS as Tick - 1);
    }

    #[test]
    fn a_long_sleep_fires_everything_that_was_due() {
        let mut wheel = TimerWheel::new();
        for slot in 0..100 {
            wheel.schedule(slot, 1 + slot * 3);
        }
        let mut due = Vec::new();
        wheel.advance(1_000_000, &mut due);
        due.sort_unstable();
        assert_eq!(due, (0..100).collect::<Vec<_>>());
        due.clear();
        wheel.schedule(5, 1_000_001);
        wheel.advance(1_000_001, &mut due);
        assert_eq!(due, [5]);
    }

    #[test]
    fn an_entry_in_the_past_fires_at_the_next_tick() {
        let mut wheel = TimerWheel::new();
        wheel.advance(50, &mut Vec::new());
        assert_eq!(wheel.schedule(1, 10), 51);
    }
}
