//! A shard's drain: every session is told to come back and when, and goes on until its own moment, at which it is closed with 1012.
//!
//! ```text
//!   begin                          drain                     + restart                      + drain
//!   ├─ told ── live events ── closed(place) ──┤───────────────────┤── comes back(place) ──────────┤
//!   0                                   drain_ms        drain_ms + restart_ms       2 × drain_ms + restart_ms
//! ```
//!
//! Sessions are closed evenly over the drain, and so they come back: each after `drain + restart`, counted from its close. So nobody
//! knocks before this process can be gone and another one serves, everybody is away equally long, and the new server gets its sockets
//! back at the pace at which this one gave them up. Whoever is told counts from when it is told, as it does not know its own moment;
//! a browser's `retry` counts from the end of its stream.
//!
//! Shards know nothing of each other, so each takes every nth place of the timetable: together they close evenly, too.

use std::collections::VecDeque;

use super::framing::Framing;
use super::sessions::Sessions;
use super::wheel::Tick;
use crate::limits::{self, TICK_MS};
#[cfg(feature = "conformance")]
use crate::protocol::Protocol;
use crate::protocol::Reconnect;
use crate::ring::SlotRef;
use crate::ws::CloseCode;

/// What a client reads beside 1012.
pub const SHUTTING_DOWN: &str = "the server is shutting down";

/// How the operator wants sessions to be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainRules {
    /// Over how long they are closed; 0: all at once.
    pub drain_ms: u32,
    /// From the drain's end to when another server serves.
    pub restart_ms: u32,
}

impl DrainRules {
    /// How long a session is away, in milliseconds.
    pub fn away_ms(self) -> u64 {
        u64::from(self.drain_ms) + u64::from(self.restart_ms)
    }
}

impl Default for DrainRules {
    fn default() -> Self {
        Self { drain_ms: limits::DRAIN_S * 1_000, restart_ms: limits::RESTART_S * 1_000 }
    }
}

/// When each session of a shard goes and comes back, in milliseconds since the drain began. A session's place is its number among those
/// of its shard. Pure.
#[derive(Clone, Copy, Debug)]
pub struct Timetable {
    rules: DrainRules,
    shard: u64,
    shards: u64,
    sessions: u64,
}

impl Timetable {
    /// That of `shard`, one of `shards`, with so many sessions.
    pub fn new(rules: DrainRules, shard: usize, shards: usize, sessions: u32) -> Self {
        assert!(shard < shards, "shard {shard} of {shards}");
        Self { rules, shard: shard as u64, shards: shards as u64, sessions: u64::from(sessions.max(1)) }
    }

    /// When the session at that place is closed. One past the number of sessions goes with the last.
    pub fn closes_ms(&self, place: u32) -> u64 {
        let place = u64::from(place).min(self.sessions - 1);
        u64::from(self.rules.drain_ms) * (place * self.shards + self.shard) / (self.sessions * self.shards)
    }

    /// How long after `now_ms`, when it is told, its client is to come back.
    pub fn after_ms(&self, place: u32, now_ms: u64) -> u64 {
        (self.closes_ms(place) + self.rules.away_ms()).saturating_sub(now_ms)
    }
}

/// A drain under way.
pub struct Drain {
    timetable: Timetable,
    began: Tick,
    /// Slots that are still to be looked at, for sessions to be told.
    untold: std::ops::Range<u32>,
    /// Those who were told and not closed, in the order of their places.
    told: VecDeque<SlotRef>,
    /// The place of the first of them.
    place: u32,
}

impl Drain {
    fn now_ms(&self, now: Tick) -> u64 {
        u64::from(now - self.began) * u64::from(TICK_MS)
    }

    fn is_due(&self, now: Tick) -> bool {
        !self.told.is_empty() && self.timetable.closes_ms(self.place) <= self.now_ms(now)
    }

    /// Whether there is something to do before the next tick.
    pub fn has_work(&self, now: Tick) -> bool {
        !self.untold.is_empty() || self.is_due(now)
    }

    #[cfg(test)]
    pub fn is_over(&self) -> bool {
        self.untold.is_empty() && self.told.is_empty()
    }
}

impl Sessions {
    /// From now on sessions are told and closed. Whoever enters while that lasts is told, too.
    pub fn begin_drain(&mut self, rules: DrainRules, shard: usize, shards: usize) {
        debug_assert!(self.drain.is_none(), "a shard is drained once");
        let timetable = Timetable::new(rules, shard, shards, self.occupied());
        let untold = self.slots.slots();
        self.drain = Some(Drain { timetable, began: self.now, untold, told: VecDeque::new(), place: 0 });
    }

    /// Whether every session was told and closed; its sockets may still be on their way out.
    #[cfg(test)]
    pub fn has_drained(&self) -> bool {
        self.drain.as_ref().is_some_and(Drain::is_over)
    }

    /// A bounded step: tells some, and closes those whose moment has come.
    pub(super) fn go_on_with_drain(&mut self) {
        let Some(mut drain) = self.drain.take() else { return };
        for _ in 0..limits::DRAIN_STEP_SESSIONS {
            let Some(slot) = drain.untold.next() else { break };
            if self.slots[slot].is_open() {
                let place = drain.place + drain.told.len() as u32;
                let after_ms = drain.timetable.after_ms(place, drain.now_ms(self.now));
                self.say_reconnect(slot, after_ms, drain.timetable.rules.away_ms());
                drain.told.push_back(self.slots[slot].at(slot));
            }
        }
        for _ in 0..limits::DRAIN_STEP_SESSIONS {
            if !drain.is_due(self.now) {
                break;
            }
            let at = drain.told.pop_front().expect("one is due");
            drain.place += 1;
            if self.slots.current(at).is_some() {
                self.close_drained(at.slot, drain.timetable.rules.away_ms());
            }
        }
        self.drain = Some(drain);
    }

    /// A session that has come while the others are being told: its handshake overlapped with the beginning. It goes with the last.
    pub(super) fn tell_latecomer(&mut self, at: SlotRef) {
        let Some(mut drain) = self.drain.take() else { return };
        // Else its turn to be told is still to come.
        if !drain.untold.contains(&at.slot) && self.slots[at.slot].is_open() {
            let place = drain.place + drain.told.len() as u32;
            let after_ms = drain.timetable.after_ms(place, drain.now_ms(self.now));
            self.say_reconnect(at.slot, after_ms, drain.timetable.rules.away_ms());
            drain.told.push_back(at);
        }
        self.drain = Some(drain);
    }

    fn say_reconnect(&mut self, slot: u32, after_ms: u64, away_ms: u64) {
        #[cfg(feature = "conformance")]
        if self.slots[slot].protocol == Protocol::Echo {
            return;
        }
        let told = Reconnect { after_ms, since: self.resumes_at(slot), away_ms };
        let words = Framing::of(self.slots[slot].protocol).reconnect(&told);
        self.say(slot, words);
    }

    /// Closes it behind whatever it still has to be sent. Where it was too slow for the word to reach it, that comes with the close.
    fn close_drained(&mut self, slot: u32, away_ms: u64) {
        let holds_word = self.slots[slot].behind.as_ref().is_some_and(|behind| behind.holds_answers());
        let before = match holds_word {
            true => {
                let told = Reconnect { after_ms: away_ms, since: self.handed(slot), away_ms };
                Framing::of(self.slots[slot].protocol).reconnect(&told)
            }
            false => Box::default(),
        };
        self.close_behind_all(slot, &before, CloseCode::SERVICE_RESTART, SHUTTING_DOWN);
    }

    /// The number from which on a resume brings whatever a session was not sent: its position, unless it has named an earlier one
    /// of which nothing has come yet, as it has named no topic.
    fn resumes_at(&self, slot: u32) -> u64 {
        let position = self.position(slot);
        let named = self.slots[slot].dialogue.as_ref().and_then(|dialogue| dialogue.awaits_topics_since());
        named.map_or(position, |named| named.min(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: DrainRules = DrainRules { drain_ms: 10_000, restart_ms: 2_000 };

    #[test]
    fn sessions_go_evenly_over_the_drain_and_come_back_as_evenly_after_the_restart() {
        let timetable = Timetable::new(RULES, 0, 1, 1_000);
        let closes: Vec<_> = (0..1_000).map(|place| timetable.closes_ms(place)).collect();
        assert_eq!((closes[0], closes[1], closes[500], closes[999]), (0, 10, 5_000, 9_990));
        for (place, closes_ms) in (0..).zip(closes) {
            let returns_ms = timetable.after_ms(place, 0);
            assert_eq!(returns_ms, closes_ms + 12_000, "everybody is away equally long");
            assert!(returns_ms >= 12_000, "nobody comes while this process may be here");
        }
    }

    #[test]
    fn the_moment_of_return_does_not_depend_on_when_it_was_told() {
        let timetable = Timetable::new(RULES, 1, 3, 7);
        for place in 0..7 {
            let returns = [0, 1, 50, 9_999].map(|now_ms| now_ms + timetable.after_ms(place, now_ms));
            assert!(returns.iter().all(|at| *at == returns[0]), "{returns:?}");
        }
        assert_eq!(timetable.after_ms(0, u64::MAX), 0, "one that is told too late comes at once");
    }

    #[test]
    fn shards_close_evenly_together() {
        for (shards, sessions) in [(1, 1), (2, 3), (12, 1), (5, 1_000)] {
            let tables = (0..shards).map(|shard| Timetable::new(RULES, shard, shards, sessions));
            let mut closes: Vec<_> =
                tables.flat_map(|table| (0..sessions).map(move |place| table.closes_ms(place))).collect();
            closes.sort_unstable();
            let all = shards as u64 * u64::from(sessions);
            let expected: Vec<_> = (0..all).map(|nth| 10_000 * nth / all).collect();
            assert_eq!(closes, expected, "{shards} shards of {sessions}");
        }
    }

    #[test]
    fn without_a_drain_all_go_at_once_and_come_back_after_the_restart() {
        let timetable = Timetable::new(DrainRules { drain_ms: 0, ..RULES }, 1, 2, 100);
        assert!((0..100).all(|place| timetable.closes_ms(place) == 0 && timetable.after_ms(place, 0) == 2_000));
    }

    #[test]
    fn the_longest_drain_of_the_most_sessions_overflows_nothing() {
        let rules = DrainRules {
            drain_ms: limits::CONFIGURED_DRAIN_S_MAX * 1_000,
            restart_ms: limits::CONFIGURED_RESTART_S_MAX * 1_000,
        };
        let timetable = Timetable::new(rules, limits::SHARDS_MAX - 1, limits::SHARDS_MAX, u32::MAX);
        assert!(timetable.closes_ms(u32::MAX) <= rules.drain_ms.into());
        assert_eq!(Timetable::new(rules, 0, 1, 0).closes_ms(5), 0, "nobody is there");
    }
}
