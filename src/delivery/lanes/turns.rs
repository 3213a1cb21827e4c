//! Whose turn it is: lanes that are ready, in the order in which they became so, and lanes that rest, by when they become ready.
//!
//! Invariants:
//! * A lane stands in one place. One that is ready keeps its turn until it has had it, whatever becomes of its line, and then stands
//!   behind all others. So between two turns of a prompt lane every other prompt one that is ready has one. Of slow lanes that is true
//!   within an account; between accounts `slow_line.rs` decides.
//! * Of the first prompt lane and the one that `slow_line.rs` has chosen, the one with the earlier turn goes. A single worker goes to
//!   prompt and slow lanes by turns instead, where there are both.
//! * Each step costs the logarithm of the lanes that are ready or rest, and of their accounts. Those that have nothing to send cost
//!   nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::slow_line::SlowLine;
use crate::accounts::AccountId;

/// In which line a lane waits when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Prompt,
    /// New, failing or slow to answer: among the lanes of its account.
    Slow(AccountId),
}

/// Where a lane stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// It waits for something to be pushed or to end.
    #[default]
    Idle,
    Resting {
        until_ms: u64,
        line: Line,
    },
    Ready {
        turn: u64,
        line: Line,
    },
}

#[derive(Debug)]
pub struct Turns {
    /// Of each lane, by its key.
    places: Vec<Place>,
    prompt: BTreeMap<u64, usize>,
    slow: SlowLine,
    resting: BTreeSet<(u64, usize)>,
    /// Turns given out to lanes.
    turns: u64,
    /// The lines go by turns where both can. Else it is lanes that do, of whichever line.
    by_line: bool,
    last_was_slow: bool,
}

impl Turns {
    /// For so many workers. A single one can't be halved: the lines share it by turns.
    pub fn new(workers: usize) -> Self {
        Self {
            places: Vec::new(),
            prompt: BTreeMap::new(),
            slow: SlowLine::new(workers),
            resting: BTreeSet::new(),
            turns: 0,
            by_line: workers == 1,
            last_was_slow: true,
        }
    }

    /// Puts a lane where it belongs now: `sends_at_ms` as [`Lane::sends_at`](super::lane::Lane::sends_at) has it.
    pub fn put(&mut self, lane: usize, line: Line, sends_at_ms: Option<u64>, now_ms: u64) {
        if self.places.len() <= lane {
            self.places.resize(lane + 1, Place::Idle);
        }
        let place = match (sends_at_ms, self.places[lane]) {
            (None, _) => Place::Idle,
            (Some(until_ms), _) if until_ms > now_ms => Place::Resting { until_ms, line },
            (Some(_), Place::Ready { turn, .. }) => Place::Ready { turn, line },
            (Some(_), Place::Idle | Place::Resting { .. }) => self.last_in_line(line),
        };
        self.stand(lane, place);
    }

    /// Wakes the lanes whose rest is over.
    pub fn wake(&mut self, now_ms: u64) {
        while let Some(&(until_ms, lane)) = self.resting.first()
            && until_ms <= now_ms
        {
            let Place::Resting { line, .. } = self.places[lane] else {
                unreachable!("a lane stands in one place");
            };
            let place = self.last_in_line(line);
            self.stand(lane, place);
        }
    }

    /// When the next lane wakes.
    pub fn wakes_at(&self) -> Option<u64> {
        self.resting.first().map(|(until_ms, _)| *until_ms)
    }

    /// The lane whose turn it is; it stands nowhere until it is put somewhere.
    pub fn take(&mut self) -> Option<usize> {
        let prompt = self.prompt.first_key_value().map(|(turn, lane)| (*turn, *lane));
        let slow = self.slow.first();
        let (_, lane) = match (prompt, slow) {
            (Some(prompt), Some(slow)) if self.by_line => {
                if self.last_was_slow {
                    prompt
                } else {
                    slow
                }
            }
            (Some(prompt), Some(slow)) => prompt.min(slow),
            (prompt, slow) => prompt.or(slow)?,
        };
        let before = self.places[lane];
        self.stand(lane, Place::Idle);
        self.last_was_slow = false;
        if let Place::Ready { line: Line::Slow(account), .. } = before {
            self.last_was_slow = true;
            self.slow.pass(account);
        }
        Some(lane)
    }

    /// A lane of an account holds so many workers now, and held so many before, as far as it was slow.
    pub fn lend_slow(&mut self, account: AccountId, before: usize, now: usize) {
        self.slow.lend(account, before, now);
    }

    #[cfg(test)]
    pub fn slow(&self) -> &SlowLine {
        &self.slow
    }

    fn last_in_line(&mut self, line: Line) -> Place {
        self.turns += 1;
        Place::Ready { turn: self.turns, line }
    }

    fn stand(&mut self, lane: usize, place: Place) {
        let before = std::mem::replace(&mut self.places[lane], place);
        if before == place {
            return;
        }
        match before {
            Place::Idle => {}
            Place::Resting { until_ms, .. } => {
                self.resting.remove(&(until_ms, lane));
            }
            Place::Ready { turn, line: Line::Prompt } => {
                self.prompt.remove(&turn);
            }
            Place::Ready { turn, line: Line::Slow(account) } => self.slow.remove(account, turn),
        }
        match place {
            Place::Idle => {}
            Place::Resting { until_ms, .. } => {
                self.resting.insert((until_ms, lane));
            }
            Place::Ready { turn, line: Line::Prompt } => {
                self.prompt.insert(turn, lane);
            }
            Place::Ready { turn, line: Line::Slow(account) } => self.slow.insert(account, turn, lane),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Line = Line::Slow(AccountId(1));

    fn take_all(turns: &mut Turns) -> Vec<usize> {
        std::iter::from_fn(|| turns.take()).collect()
    }

    #[test]
    fn lanes_go_in_the_order_in_which_they_became_ready_whatever_their_line() {
        let mut turns = Turns::new(16);
        turns.put(0, SLOW, Some(5), 10);
        turns.put(1, Line::Prompt, Some(5), 10);
        turns.put(2, SLOW, Some(10), 10);
        turns.put(3, Line::Prompt, Some(11), 10);
        turns.put(0, Line::Prompt, Some(5), 10);
        assert_eq!(take_all(&mut turns), [0, 1, 2], "a new line costs nobody the turn");
        turns.wake(11);
        assert_eq!(take_all(&mut turns), [3]);
    }

    #[test]
    fn where_lines_go_by_turns_many_of_one_do_not_hold_up_the_other() {
        let mut turns = Turns::new(1);
        for lane in 0..4 {
            turns.put(lane, SLOW, Some(0), 0);
        }
        turns.put(4, Line::Prompt, Some(0), 0);
        turns.put(5, Line::Prompt, Some(0), 0);
        assert_eq!(take_all(&mut turns), [4, 0, 5, 1, 2, 3]);
    }

    #[test]
    fn slow_lanes_that_may_not_go_keep_their_turns() {
        let mut turns = Turns::new(2);
        turns.lend_slow(AccountId(2), 0, 1);
        turns.put(0, SLOW, Some(0), 0);
        turns.put(1, Line::Prompt, Some(0), 0);
        assert_eq!(turns.take(), Some(1));
        assert_eq!(turns.take(), None);
        turns.put(1, Line::Prompt, Some(0), 0);
        turns.lend_slow(AccountId(2), 1, 0);
        assert_eq!(take_all(&mut turns), [0, 1]);
    }

    #[test]
    fn a_lane_that_has_to_wait_after_all_leaves_its_place() {
        let mut turns = Turns::new(16);
        turns.put(0, Line::Prompt, Some(0), 0);
        turns.put(0, SLOW, Some(30), 0);
        turns.put(1, Line::Prompt, Some(20), 0);
        assert_eq!((turns.take(), turns.wakes_at()), (None, Some(20)));
        turns.put(1, Line::Prompt, None, 0);
        assert_eq!(turns.wakes_at(), Some(30));
        turns.wake(29);
        assert_eq!(turns.take(), None);
        turns.wake(30);
        assert_eq!((turns.wakes_at(), turns.take()), (None, Some(0)));
    }

    #[test]
    fn a_slow_account_that_goes_first_passes_no_prompt_lane_that_has_waited_longer() {
        let mut turns = Turns::new(16);
        turns.lend_slow(AccountId(1), 0, 1);
        turns.put(0, SLOW, Some(0), 0);
        turns.put(1, Line::Prompt, Some(0), 0);
        turns.put(2, Line::Slow(AccountId(2)), Some(0), 0);
        turns.put(3, Line::Prompt, Some(0), 0);
        assert_eq!(take_all(&mut turns), [1, 2, 0, 3]);
    }
}
