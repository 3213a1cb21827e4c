//! What a session may take from the journal, in events and in bytes a second.

use crate::limits::TICK_MS;
use crate::protocol::ReplayRules;
use crate::shard::wheel::Tick;

/// A second's worth at the start; what was used comes back with the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowance {
    used_events: u64,
    used_bytes: u64,
    since: Tick,
}

impl Allowance {
    /// Takes an event of so many bytes, unless it has taken a second's worth. So it may be exceeded by one event.
    pub fn take(&mut self, rules: &ReplayRules, bytes: usize, now: Tick) -> bool {
        self.recover(rules, now);
        if self.is_used_up(rules) {
            return false;
        }
        self.used_events += 1;
        self.used_bytes += bytes as u64;
        true
    }

    /// Whether a good part has come back, so that it is worth while to go on.
    pub fn is_rested(&mut self, rules: &ReplayRules, now: Tick) -> bool {
        self.recover(rules, now);
        let within = |used: u64, a_second: u64| a_second == 0 || used <= a_second - a_second / 4;
        within(self.used_events, rules.events_per_second.into()) && within(self.used_bytes, rules.bytes_per_second)
    }

    fn is_used_up(&self, rules: &ReplayRules) -> bool {
        let exceeds = |used: u64, a_second: u64| a_second > 0 && used >= a_second;
        exceeds(self.used_events, rules.events_per_second.into()) || exceeds(self.used_bytes, rules.bytes_per_second)
    }

    fn recover(&mut self, rules: &ReplayRules, now: Tick) {
        let ticks = u64::from(now - self.since);
        self.since = now;
        let back = |a_second: u64| (a_second * u64::from(TICK_MS) / 1000).max(1).saturating_mul(ticks);
        self.used_events = self.used_events.saturating_sub(back(rules.events_per_second.into()));
        self.used_bytes = self.used_bytes.saturating_sub(back(rules.bytes_per_second));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ReplayRules =
        ReplayRules { events_per_second: 100, bytes_per_second: 10_000, sessions: 1, share_percent: 50 };

    #[test]
    fn a_second_brings_a_second_s_worth() {
        let mut allowance = Allowance::default();
        let mut taken = |now, bytes| (0..1_000).take_while(|_| allowance.take(&RULES, bytes, now)).count();
        assert_eq!(taken(0, 1), 100);
        assert_eq!(taken(0, 1), 0);
        assert_eq!(taken(10, 1), 50);
        assert_eq!(taken(1_000, 1_000), 10);
        assert_eq!(taken(1_010, 1_000), 5);
    }

    #[test]
    fn it_is_rested_after_a_quarter_of_that() {
        let mut allowance = Allowance::default();
        while allowance.take(&RULES, 1, 0) {}
        assert!(!allowance.is_rested(&RULES, 4));
        assert!(allowance.is_rested(&RULES, 5));
    }

    #[test]
    fn nothing_is_no_bound() {
        let rules = ReplayRules { events_per_second: 0, bytes_per_second: 0, ..RULES };
        let mut allowance = Allowance::default();
        assert!((0..10_000).all(|_| allowance.take(&rules, 1_000, 0)));
    }
}
