//! Whose turn it is: lanes that are ready, in the order in which they became so, and lanes that rest, by when they become ready.
//!
//! Invariants:
//! * A lane stands in one place. One that is ready keeps its turn until it has had it, whatever becomes of its line, and then stands
//!   behind all others. So between two turns of a lane every other one of its account and its line that is ready has one. Between
//!   accounts `account_line.rs` decides.
//! * For the prompt line, all workers of an account count: those of its slow lanes too, which get none either where it has its part of
//!   all. For the slow line, those of its slow lanes count.
//! * Of the lanes that the two lines have chosen, the one with the earlier turn goes. A single worker goes to prompt and slow lanes by
//!   turns instead, where there are both.
//! * Each step costs the logarithm of the lanes that are ready or rest, and of their accounts. Those that have nothing to send cost
//!   nothing.

use std::collections::BTreeSet;

use super::account_line::AccountLine;
use crate::accounts::AccountId;

/// In which line a lane waits when it is ready, among those of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Prompt(AccountId),
    /// New, failing or slow to answer.
    Slow(AccountId),
}

/// Workers that a lane holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub all: usize,
    /// The same if the lane is slow, else 0.
    pub slow: usize,
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
    prompt: AccountLine,
    slow: AccountLine,
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
        let slow_max = (workers / 2).max(1);
        // What is left finds the next account at once, however long the attempts of one take. Of fewer than four nothing is left: then
        // the next that ends is the newcomer's.
        let part = |under_way_max: usize| under_way_max - under_way_max / 4;
        Self {
            places: Vec::new(),
            prompt: AccountLine::new(workers, part(workers)),
            slow: AccountLine::new(slow_max, part(slow_max)),
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
        let prompt = self.prompt.first(|_| true);
        // No two accounts hold three quarters of all, so at most one is passed over.
        let slow = self.slow.first(|account| self.prompt.has_part_left(account));
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
        let Place::Ready { line, .. } = before else {
            unreachable!("only a lane that is ready stands in a line");
        };
        self.last_was_slow = matches!(line, Line::Slow(_));
        let (line, account) = self.line(line);
        line.pass(account);
        Some(lane)
    }

    /// What a lane of an account holds now, and what it held before.
    pub fn lend(&mut self, account: AccountId, before: Held, now: Held) {
        self.prompt.lend(account, before.all, now.all);
        self.slow.lend(account, before.slow, now.slow);
    }

    #[cfg(test)]
    pub fn lines(&self) -> [&AccountLine; 2] {
        [&self.prompt, &self.slow]
    }

    fn line(&mut self, line: Line) -> (&mut AccountLine, AccountId) {
        match line {
            Line::Prompt(account) => (&mut self.prompt, account),
            Line::Slow(account) => (&mut self.slow, account),
        }
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
            Place::Ready { turn, line } => {
                let (line, account) = self.line(line);
                line.remove(account, turn);
            }
        }
        match place {
            Place::Idle => {}
            Place::Resting { until_ms, .. } => {
                self.resting.insert((until_ms, lane));
            }
            Place::Ready { turn, line } => {
                let (line, account) = self.line(line);
                line.insert(account, turn, lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Line = Line::Slow(AccountId(1));
    const PROMPT: Line = Line::Prompt(AccountId(1));

    /// A slow lane of an account is lent so many workers.
    fn lend_slow(turns: &mut Turns, account: u64, count: usize) {
        turns.lend(AccountId(account), Held::default(), Held { all: count, slow: count });
    }

    fn take_all(turns: &mut Turns) -> Vec<usize> {
        std::iter::from_fn(|| turns.take()).collect()
    }

    #[test]
    fn lanes_go_in_the_order_in_which_they_became_ready_whatever_their_line() {
        let mut turns = Turns::new(16);
        turns.put(0, SLOW, Some(5), 10);
        turns.put(1, PROMPT, Some(5), 10);
        turns.put(2, SLOW, Some(10), 10);
        turns.put(3, PROMPT, Some(11), 10);
        turns.put(0, PROMPT, Some(5), 10);
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
        turns.put(4, PROMPT, Some(0), 0);
        turns.put(5, PROMPT, Some(0), 0);
        assert_eq!(take_all(&mut turns), [4, 0, 5, 1, 2, 3]);
    }

    #[test]
    fn slow_lanes_that_may_not_go_keep_their_turns() {
        let mut turns = Turns::new(2);
        lend_slow(&mut turns, 2, 1);
        turns.put(0, SLOW, Some(0), 0);
        turns.put(1, PROMPT, Some(0), 0);
        assert_eq!(turns.take(), Some(1));
        assert_eq!(turns.take(), None);
        turns.put(1, PROMPT, Some(0), 0);
        turns.lend(AccountId(2), Held { all: 1, slow: 1 }, Held::default());
        assert_eq!(take_all(&mut turns), [0, 1]);
    }

    #[test]
    fn a_lane_that_has_to_wait_after_all_leaves_its_place() {
        let mut turns = Turns::new(16);
        turns.put(0, PROMPT, Some(0), 0);
        turns.put(0, SLOW, Some(30), 0);
        turns.put(1, PROMPT, Some(20), 0);
        assert_eq!((turns.take(), turns.wakes_at()), (None, Some(20)));
        turns.put(1, PROMPT, None, 0);
        assert_eq!(turns.wakes_at(), Some(30));
        turns.wake(29);
        assert_eq!(turns.take(), None);
        turns.wake(30);
        assert_eq!((turns.wakes_at(), turns.take()), (None, Some(0)));
    }

    #[test]
    fn a_slow_account_that_goes_first_passes_no_prompt_lane_that_has_waited_longer() {
        let mut turns = Turns::new(16);
        lend_slow(&mut turns, 1, 1);
        turns.put(0, SLOW, Some(0), 0);
        turns.put(1, PROMPT, Some(0), 0);
        turns.put(2, Line::Slow(AccountId(2)), Some(0), 0);
        turns.put(3, PROMPT, Some(0), 0);
        assert_eq!(take_all(&mut turns), [1, 2, 0, 3]);
    }

    #[test]
    fn an_account_gets_three_quarters_rounded_up_of_all_workers_and_of_those_for_slow_lanes() {
        let parts = [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 3, 2), (6, 5, 3), (8, 6, 3), (10, 8, 4), (16, 12, 6)];
        for (workers, part, slow_part) in [&parts[..], &[(128, 96, 48)]].concat() {
            for (line, part) in [(PROMPT, part), (SLOW, slow_part)] {
                let is_slow = line == SLOW;
                let held = |all| Held { all, slow: if is_slow { all } else { 0 } };
                let mut turns = Turns::new(workers);
                turns.put(0, line, Some(0), 0);
                turns.lend(AccountId(1), held(0), held(part - 1));
                assert_eq!(turns.take(), Some(0), "{workers} workers, {line:?}");
                turns.put(0, line, Some(0), 0);
                turns.lend(AccountId(1), held(part - 1), held(part));
                assert_eq!(turns.take(), None, "{workers} workers, {line:?}");
            }
        }
    }

    #[test]
    fn an_account_that_has_its_part_of_all_workers_gets_none_for_slow_lanes_either() {
        let mut turns = Turns::new(16);
        turns.put(0, SLOW, Some(0), 0);
        turns.lend(AccountId(1), Held::default(), Held { all: 12, slow: 0 });
        assert_eq!(turns.take(), None);
        lend_slow(&mut turns, 2, 3);
        turns.put(1, Line::Slow(AccountId(2)), Some(0), 0);
        assert_eq!(turns.take(), Some(1), "it does not hold up those of others");
        turns.lend(AccountId(1), Held { all: 12, slow: 0 }, Held { all: 11, slow: 0 });
        assert_eq!(turns.take(), Some(0));
    }
}
