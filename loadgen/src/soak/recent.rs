//! The frames of the newest events as the first socket got them, which every other socket's copy is compared with.
//!
//! Events are numbered through, however long a soak lasts, and each has the place of its number modulo the window's length. A place
//! knows whose frame it has, so an event that comes when its place is a newer one's is not taken for it.

use crate::limits::{CATALOGUE_BYTES_MAX, SOAK_ENVELOPE_BYTES_MAX, SOAK_WINDOW_EVENTS};

#[derive(Debug, Default)]
struct Place {
    event: u32,
    /// Empty where the place was never taken.
    frame: Vec<u8>,
}

/// A window of frames.
#[derive(Debug)]
pub struct Recent {
    places: Vec<Place>,
    frame_bytes_max: usize,
}

/// How a frame compares with the first copy of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It is the first, and was kept.
    First,
    Same,
    Different,
    /// The first was not kept, or is not kept any more.
    Uncompared,
}

impl Recent {
    /// For published events of `payload_bytes`.
    pub fn new(payload_bytes: usize) -> Self {
        let frame_bytes_max = payload_bytes + SOAK_ENVELOPE_BYTES_MAX;
        let places = (CATALOGUE_BYTES_MAX / frame_bytes_max).clamp(1, SOAK_WINDOW_EVENTS);
        Self { places: (0..places).map(|_| Place::default()).collect(), frame_bytes_max }
    }

    /// The frame of an event, where it is kept.
    #[inline]
    pub fn frame(&self, event: u32) -> Option<&[u8]> {
        let place = &self.places[event as usize % self.places.len()];
        (place.event == event && !place.frame.is_empty()).then_some(&place.frame)
    }

    /// Takes a copy of an event's frame.
    pub fn take(&mut self, event: u32, frame: &[u8]) -> Compared {
        let count = self.places.len();
        let place = &mut self.places[event as usize % count];
        let taken = !place.frame.is_empty();
        if taken && place.event == event {
            return if place.frame == frame { Compared::Same } else { Compared::Different };
        }
        if (taken && place.event > event) || frame.len() > self.frame_bytes_max {
            return Compared::Uncompared;
        }
        place.event = event;
        place.frame.clear();
        place.frame.extend_from_slice(frame);
        Compared::First
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(places: usize) -> Recent {
        let mut recent = Recent::new(250);
        recent.places.truncate(places);
        recent
    }

    #[test]
    fn copies_are_compared_with_the_first() {
        let mut recent = recent(4);
        assert_eq!(recent.frame(0), None, "nothing is kept of event 0 before it has come");
        assert_eq!(recent.take(0, b"one"), Compared::First);
        assert_eq!((recent.take(0, b"one"), recent.take(0, b"two")), (Compared::Same, Compared::Different));
        assert_eq!(recent.frame(0), Some(&b"one"[..]));
    }

    #[test]
    fn a_newer_event_takes_the_place_of_an_older_one_and_never_the_other_way() {
        let mut recent = recent(4);
        recent.take(1, b"one");
        assert_eq!(recent.take(5, b"five"), Compared::First);
        assert_eq!((recent.frame(1), recent.frame(5)), (None, Some(&b"five"[..])));
        assert_eq!(recent.take(1, b"one"), Compared::Uncompared, "too late to be compared");
        assert_eq!(recent.frame(5), Some(&b"five"[..]));
    }

    #[test]
    fn the_window_holds_a_bounded_number_of_bytes_whatever_the_payload_and_the_server() {
        for payload in [100, 250, 65_536] {
            let recent = Recent::new(payload);
            assert!(recent.places.len() * recent.frame_bytes_max <= CATALOGUE_BYTES_MAX, "{payload}");
            assert!(recent.places.len() >= 1000, "{payload}");
        }
        let mut recent = recent(4);
        assert_eq!(recent.take(0, &[b'x'; 2000]), Compared::Uncompared, "longer than any envelope makes it");
        assert_eq!(recent.frame(0), None);
    }
}
