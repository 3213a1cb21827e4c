//! The places at a desk: how many connections it holds, what each is doing, and who has to go when there are too many.
//!
//! ```text
//!   acceptor ── vacancy() ──▶ Places ── dismiss() ──▶ the one idle longest      at the bound
//!                               ▲
//!   connection ── is_crowded() ─┘   past half of it, idle ones get a short deadline
//! ```
//!
//! Idle connections cost nobody a thing as long as there is room. Where there is none, they must not keep out those who
//! have something to say.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::phase::PhaseCell;
use crate::clock::{self, Nanos};
use crate::limits;

pub struct Places {
    max: usize,
    taken: RefCell<BTreeMap<u64, Rc<PhaseCell>>>,
    next: Cell<u64>,
    /// The acceptor, while it waits for somebody to leave.
    waiting: Cell<Option<Waker>>,
}

/// A connection's place; given back when it is dropped.
pub struct Place {
    pub phase: Rc<PhaseCell>,
    places: Rc<Places>,
    number: u64,
}

impl Places {
    /// A desk that holds `max` connections at a time.
    pub fn new(max: usize) -> Rc<Self> {
        Rc::new(Self { max, taken: RefCell::default(), next: Cell::default(), waiting: Cell::default() })
    }

    pub fn take(self: &Rc<Self>) -> Place {
        let number = self.next.replace(self.next.get() + 1);
        let phase = PhaseCell::new();
        self.taken.borrow_mut().insert(number, phase.clone());
        Place { phase, places: self.clone(), number }
    }

    /// Whether more than half of the places are taken.
    pub fn is_crowded(&self) -> bool {
        self.taken.borrow().len() * 2 > self.max
    }

    /// Whether nobody is being served, and nobody has come so lately that its request may be on its way.
    pub fn are_at_rest(&self, now: Nanos) -> bool {
        self.taken.borrow().values().all(|phase| phase.get().idle_since(now).is_some())
    }

    /// Waits until there is a place, and makes one where somebody is idle.
    pub async fn vacancy(&self) {
        while self.taken.borrow().len() >= self.max {
            self.dismiss_longest_idle(clock::now());
            // Somebody who becomes idle meanwhile tells nobody, so this looks again before long.
            let look_again = glommio::timer::sleep(Duration::from_millis(limits::DESK_LOOK_MS));
            futures_lite::future::or(self.departure(), look_again).await;
        }
    }

    fn dismiss_longest_idle(&self, now: Nanos) {
        let taken = self.taken.borrow();
        let idle = taken.values().filter_map(|phase| Some((phase.get().idle_since(now)?, phase)));
        if let Some((_, phase)) = idle.min_by_key(|(since, _)| *since) {
            phase.dismiss();
        }
    }

    async fn departure(&self) {
        poll_fn(|context| {
            if self.taken.borrow().len() < self.max {
                return Poll::Ready(());
            }
            self.waiting.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Place {
    pub fn is_in_a_crowd(&self) -> bool {
        self.places.is_crowded()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.borrow_mut().remove(&self.number);
        if let Some(waker) = self.places.waiting.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::phase::Phase;
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn is_dismissed(place: &Place) -> bool {
        futures_lite::future::block_on(futures_lite::future::poll_once(place.phase.dismissed())).is_some()
    }

    #[test]
    fn a_desk_is_crowded_past_half_of_its_places_until_somebody_leaves() {
        let places = Places::new(4);
        let mut taken = vec![places.take(), places.take()];
        assert!(!places.is_crowded());
        taken.push(places.take());
        assert!(places.is_crowded());
        taken.remove(0);
        assert!(!places.is_crowded());
    }

    #[test]
    fn the_one_idle_longest_is_dismissed_and_nobody_who_is_busy() {
        let places = Places::new(6);
        let phases = [
            Phase::Head(0),
            Phase::Serving,
            Phase::Answering(0),
            Phase::Idle(3 * SECOND),
            Phase::Idle(2 * SECOND),
            Phase::Silent(5 * SECOND / 2),
        ];
        let taken: Vec<_> = phases.iter().map(|_| places.take()).collect();
        taken.iter().zip(phases).for_each(|(place, phase)| place.phase.set(phase));
        places.dismiss_longest_idle(4 * SECOND);
        let dismissed: Vec<_> = taken.iter().map(is_dismissed).collect();
        assert_eq!(dismissed, [false, false, false, false, true, false]);
    }

    #[test]
    fn one_who_came_just_now_gets_time_to_speak() {
        let places = Places::new(1);
        let place = places.take();
        place.phase.set(Phase::Silent(0));
        places.dismiss_longest_idle(SECOND / 2);
        assert!(!is_dismissed(&place));
        places.dismiss_longest_idle(SECOND);
        assert!(is_dismissed(&place));
    }

    #[test]
    fn a_desk_is_at_rest_when_everybody_is_idle_and_nobody_has_just_come() {
        let places = Places::new(4);
        assert!(places.are_at_rest(0));
        let place = places.take();
        for (phase, at_rest) in [
            (Phase::Silent(0), false),
            (Phase::Head(0), false),
            (Phase::Serving, false),
            (Phase::Answering(0), false),
            (Phase::Idle(0), true),
        ] {
            place.phase.set(phase);
            assert_eq!(places.are_at_rest(SECOND / 2), at_rest, "{phase:?}");
        }
        place.phase.set(Phase::Silent(0));
        assert!(places.are_at_rest(SECOND), "it had time to speak");
    }

    #[test]
    fn one_who_began_a_request_after_all_is_not_dismissed_in_the_middle_of_it() {
        let places = Places::new(1);
        let place = places.take();
        place.phase.set(Phase::Idle(0));
        places.dismiss_longest_idle(SECOND);
        place.phase.set(Phase::Head(SECOND));
        assert!(!is_dismissed(&place));
        place.phase.set(Phase::Idle(2 * SECOND));
        assert!(!is_dismissed(&place), "that was another time");
    }
}
