//! The frame of each event as the first socket got it, which every other socket's copy is compared with.
//!
//! The comparison is both the strictest check (byte for byte: a torn or overwritten frame shows) and the cheapest
//! reader: where the bytes at hand begin with the frame that the socket is waiting for, nothing need be parsed.

use crate::limits::CATALOGUE_BYTES_MAX;

/// Frames by event index.
#[derive(Debug)]
pub struct Catalogue {
    bytes: Vec<u8>,
    /// Where each event's frame lies in `bytes`; empty where it is not known.
    places: Vec<(u32, u32)>,
    bytes_max: usize,
}

impl Catalogue {
    pub fn new(events: u32) -> Self {
        Self { bytes: Vec::new(), places: vec![(0, 0); events as usize], bytes_max: CATALOGUE_BYTES_MAX }
    }

    /// The frame of an event, where one was learned.
    #[inline]
    pub fn frame(&self, event: u32) -> Option<&[u8]> {
        let &(start, end) = self.places.get(event as usize)?;
        (start < end).then(|| &self.bytes[start as usize..end as usize])
    }

    /// Keeps the frame of an event. Where there is no room, all that was learned is forgotten first: it is needed only
    /// while its event is still on its way to some socket.
    pub fn learn(&mut self, event: u32, frame: &[u8]) {
        if frame.len() > self.bytes_max {
            return;
        }
        if self.bytes.len() + frame.len() > self.bytes_max {
            self.bytes.clear();
            self.places.fill((0, 0));
        }
        if let Some(place) = self.places.get_mut(event as usize) {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(frame);
            *place = (start, self.bytes.len() as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_learned_frame_is_found_and_others_are_not() {
        let mut catalogue = Catalogue::new(3);
        catalogue.learn(1, b"one");
        catalogue.learn(9, b"past the end");
        assert_eq!(catalogue.frame(1), Some(&b"one"[..]));
        assert_eq!((catalogue.frame(0), catalogue.frame(2), catalogue.frame(9)), (None, None, None));
    }

    #[test]
    fn a_full_catalogue_starts_anew() {
        let mut catalogue = Catalogue { bytes_max: 8, ..Catalogue::new(4) };
        catalogue.learn(0, b"12345");
        catalogue.learn(1, b"6789");
        assert_eq!((catalogue.frame(0), catalogue.frame(1)), (None, Some(&b"6789"[..])));
        catalogue.learn(2, b"far too long");
        assert_eq!((catalogue.frame(1), catalogue.frame(2)), (Some(&b"6789"[..]), None));
    }
}
