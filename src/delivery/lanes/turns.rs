//! Whose turn it is: lanes that are ready, in the order in which they became so, and lanes that rest, by when they become ready.
//!
//! Invariants:
//! * A lane stands in one place. One that is ready keeps its turn until it has had it, whatever becomes of its class, and then stands
//!   behind all others. So between two turns of a lane every other that is ready, and may go, has one.
//! * Each step costs the logarithm of the lanes that are ready or rest. Those that have nothing to send cost nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::lane::Class;

/// Where a lane stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// It waits for something to be pushed or to end.
    #[default]
    Idle,
    Resting {
        until_ms: u64,
        class: Class,
    },
    Ready {
        turn: u64,
        class: Class,
    },
}

#[derive(Debug)]
pub struct Turns {
    /// Of each lane, by its key.
    places: Vec<Place>,
    prompt: BTreeMap<u64, usize>,
    slow: BTreeMap<u64, usize>,
    resting: BTreeSet<(u64, usize)>,
    /// Turns given out.
    turns: u64,
    /// Both classes go by turns where both can. Else it is lanes that do, of whatever class.
    by_class: bool,
    last: Class,
}

impl Turns {
    pub fn new(by_class: bool) -> Self {
        Self {
            places: Vec::new(),
            prompt: BTreeMap::new(),
            slow: BTreeMap::new(),
            resting: BTreeSet::new(),
            turns: 0,
            by_class,
            last: Class::Slow,
        }
    }

    /// Puts a lane where it belongs now: `sends_at_ms` as [`Lane::sends_at`](super::lane::Lane::sends_at) has it.
    pub fn put(&mut self, lane: usize, class: Class, sends_at_ms: Option<u64>, now_ms: u64) {
        if self.places.len() <= lane {
            self.places.resize(lane + 1, Place::Idle);
        }
        let place = match (sends_at_ms, self.places[lane]) {
            (None, _) => Place::Idle,
            (Some(until_ms), _) if until_ms > now_ms => Place::Resting { until_ms, class },
            (Some(_), Place::Ready { turn, .. }) => Place::Ready { turn, class },
            (Some(_), Place::Idle | Place::Resting { .. }) => self.last_in_line(class),
        };
        self.stand(lane, place);
    }

    /// Wakes the lanes whose rest is over.
    pub fn wake(&mut self, now_ms: u64) {
        while let Some(&(until_ms, lane)) = self.resting.first()
            && until_ms <= now_ms
        {
            let Place::Resting { class, .. } = self.places[lane] else {
                unreachable!("a lane stands in one place");
            };
            let place = self.last_in_line(class);
            self.stand(lane, place);
        }
    }

    /// When the next lane wakes.
    pub fn wakes_at(&self) -> Option<u64> {
        self.resting.first().map(|(until_ms, _)| *until_ms)
    }

    /// The lane whose turn it is; it stands nowhere until it is put somewhere.
    pub fn take(&mut self, slow_may_go: bool) -> Option<usize> {
        let prompt = self.prompt.first_key_value();
        let slow = self.slow.first_key_value().filter(|_| slow_may_go);
        let (_, &lane) = match (prompt, slow) {
            (Some(prompt), Some(slow)) if self.by_class => {
                if self.last == Class::Slow {
                    prompt
                } else {
                    slow
                }
            }
            (Some(prompt), Some(slow)) => prompt.min(slow),
            (prompt, slow) => prompt.or(slow)?,
        };
        if let Place::Ready { class, .. } = self.places[lane] {
            self.last = class;
        }
        self.stand(lane, Place::Idle);
        Some(lane)
    }

    fn last_in_line(&mut self, class: Class) -> Place {
        self.turns += 1;
        Place::Ready { turn: self.turns, class }
    }

    fn stand(&mut self, lane: usize, place: Place) {
        let before = std::mem::replace(&mut self.places[lane], place);
        match before {
            Place::Idle => {}
            Place::Resting { until_ms, .. } => {
                self.resting.remove(&(until_ms, lane));
            }
            Place::Ready { turn, class } => {
                self.line(class).remove(&turn);
            }
        }
        match place {
            Place::Idle => {}
            Place::Resting { until_ms, .. } => {
                self.resting.insert((until_ms, lane));
            }
            Place::Ready { turn, class } => {
                self.line(class).insert(turn, lane);
            }
        }
    }

    fn line(&mut self, class: Class) -> &mut BTreeMap<u64, usize> {
        match class {
            Class::Prompt => &mut self.prompt,
            Class::Slow => &mut self.slow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(turns: &mut Turns) -> Vec<usize> {
        std::iter::from_fn(|| turns.take(true)).collect()
    }

    #[test]
    fn lanes_go_in_the_order_in_which_they_became_ready_whatever_their_class() {
        let mut turns = Turns::new(false);
        turns.put(0, Class::Slow, Some(5), 10);
        turns.put(1, Class::Prompt, Some(5), 10);
        turns.put(2, Class::Slow, Some(10), 10);
        turns.put(3, Class::Prompt, Some(11), 10);
        turns.put(0, Class::Prompt, Some(5), 10);
        assert_eq!(take_all(&mut turns), [0, 1, 2], "a new class costs nobody the turn");
        turns.wake(11);
        assert_eq!(take_all(&mut turns), [3]);
    }

    #[test]
    fn where_classes_go_by_turns_many_of_one_do_not_hold_up_the_other() {
        let mut turns = Turns::new(true);
        for lane in 0..4 {
            turns.put(lane, Class::Slow, Some(0), 0);
        }
        turns.put(4, Class::Prompt, Some(0), 0);
        turns.put(5, Class::Prompt, Some(0), 0);
        assert_eq!(take_all(&mut turns), [4, 0, 5, 1, 2, 3]);
    }

    #[test]
    fn slow_lanes_that_may_not_go_keep_their_turns() {
        let mut turns = Turns::new(false);
        turns.put(0, Class::Slow, Some(0), 0);
        turns.put(1, Class::Prompt, Some(0), 0);
        assert_eq!(turns.take(false), Some(1));
        assert_eq!(turns.take(false), None);
        turns.put(1, Class::Prompt, Some(0), 0);
        assert_eq!(take_all(&mut turns), [0, 1]);
    }

    #[test]
    fn a_lane_that_has_to_wait_after_all_leaves_its_place() {
        let mut turns = Turns::new(false);
        turns.put(0, Class::Prompt, Some(0), 0);
        turns.put(0, Class::Slow, Some(30), 0);
        turns.put(1, Class::Prompt, Some(20), 0);
        assert_eq!((turns.take(true), turns.wakes_at()), (None, Some(20)));
        turns.put(1, Class::Prompt, None, 0);
        assert_eq!(turns.wakes_at(), Some(30));
        turns.wake(29);
        assert_eq!(turns.take(true), None);
        turns.wake(30);
        assert_eq!((turns.wakes_at(), turns.take(true)), (None, Some(0)));
    }
}
