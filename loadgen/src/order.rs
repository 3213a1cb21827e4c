//! Whether one socket gets every event once and in order, for four bytes a socket while all goes well.
//!
//! A socket's state is the index that it must get next. Only when an event is skipped is anything else kept: the
//! skipped range, by which an event that comes late is told from one that comes twice.

use std::ops::Range;

use ahash::AHashMap;

use crate::limits::GAPS_REMEMBERED_MAX;

/// What one arrival was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The next one, or one past a gap.
    New,
    /// It had been skipped and came after a later one.
    Late,
    /// It had been there before.
    Duplicate,
}

/// The gaps and counts of one crowd of sockets.
#[derive(Debug, Default)]
pub struct OrderCheck {
    missing: AHashMap<u32, Vec<Range<u32>>>,
    gaps: usize,
    pub duplicated: u64,
    pub reordered: u64,
    skipped: u64,
}

impl OrderCheck {
    /// Takes an arrival on `socket`, whose next index is `expected`.
    pub fn arrived(&mut self, socket: u32, expected: &mut u32, event: u32) -> Arrival {
        if event >= *expected {
            if event > *expected {
                self.remember_gap(socket, *expected..event);
            }
            *expected = event + 1;
            return Arrival::New;
        }
        if self.fill_gap(socket, event) {
            self.reordered += 1;
            self.skipped -= 1;
            return Arrival::Late;
        }
        self.duplicated += 1;
        Arrival::Duplicate
    }

    /// Events that were skipped and never came. What a socket lacks at its end is not in it.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Whether a socket still lacks an event that it skipped.
    pub fn has_gap(&self, socket: u32) -> bool {
        self.missing.contains_key(&socket)
    }

    /// How many events a socket skipped and still lacks, and the first of them.
    pub fn lacking(&self, socket: u32) -> (u32, Option<u32>) {
        let gaps = self.missing.get(&socket).into_iter().flatten();
        gaps.fold((0, None), |(count, first), gap| {
            let first = first.map_or(gap.start, |first: u32| first.min(gap.start));
            (count + (gap.end - gap.start), Some(first))
        })
    }

    /// Forgets which events a socket lacks: they are not to come any more. They stay counted.
    pub fn forget(&mut self, socket: u32) {
        self.gaps -= self.missing.remove(&socket).map_or(0, |gaps| gaps.len());
    }

    fn remember_gap(&mut self, socket: u32, gap: Range<u32>) {
        self.skipped += u64::from(gap.end - gap.start);
        if self.gaps < GAPS_REMEMBERED_MAX {
            self.missing.entry(socket).or_default().push(gap);
            self.gaps += 1;
        }
    }

    fn fill_gap(&mut self, socket: u32, event: u32) -> bool {
        let Some(gaps) = self.missing.get_mut(&socket) else { return false };
        let Some(at) = gaps.iter().position(|gap| gap.contains(&event)) else { return false };
        let gap = gaps.swap_remove(at);
        let before = gaps.len();
        gaps.extend([gap.start..event, event + 1..gap.end].into_iter().filter(|part| !part.is_empty()));
        self.gaps = self.gaps + gaps.len() - before - 1;
        if gaps.is_empty() {
            self.missing.remove(&socket);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Arrival::*;

    fn run(events: &[u32]) -> (Vec<Arrival>, OrderCheck, u32) {
        let (mut check, mut expected) = (OrderCheck::default(), 0);
        let arrivals = events.iter().map(|event| check.arrived(7, &mut expected, *event)).collect();
        (arrivals, check, expected)
    }

    #[test]
    fn a_stream_in_order_keeps_nothing() {
        let (arrivals, check, expected) = run(&[0, 1, 2, 3]);
        assert_eq!(arrivals, [New; 4]);
        assert_eq!((check.skipped(), check.duplicated, check.reordered, expected), (0, 0, 0, 4));
        assert!(check.missing.is_empty());
    }

    #[test]
    fn a_skipped_event_is_lost_until_it_comes_late() {
        let (_, check, _) = run(&[0, 3]);
        assert_eq!((check.skipped(), check.has_gap(7), check.lacking(7)), (2, true, (2, Some(1))));
        let (arrivals, check, _) = run(&[0, 3, 1, 2, 4]);
        assert_eq!(arrivals, [New, New, Late, Late, New]);
        assert_eq!((check.skipped(), check.reordered, check.has_gap(7), check.gaps), (0, 2, false, 0));
    }

    #[test]
    fn a_late_event_that_comes_twice_is_a_duplicate_the_second_time() {
        let (arrivals, check, _) = run(&[0, 1, 1, 5, 3, 3, 0]);
        assert_eq!(arrivals, [New, New, Duplicate, New, Late, Duplicate, Duplicate]);
        assert_eq!((check.skipped(), check.duplicated, check.reordered, check.gaps), (2, 3, 1, 2));
    }

    #[test]
    fn what_was_forgotten_stays_lost_and_comes_twice_if_it_comes() {
        let (mut check, mut expected) = (OrderCheck::default(), 0);
        check.arrived(7, &mut expected, 2);
        check.forget(7);
        assert_eq!((check.skipped(), check.has_gap(7), check.gaps), (2, false, 0));
        assert_eq!(check.arrived(7, &mut expected, 1), Duplicate);
    }

    #[test]
    fn a_gap_is_filled_from_either_end() {
        let (_, check, _) = run(&[4, 0, 3, 1]);
        assert_eq!((check.skipped(), check.reordered, check.gaps), (1, 3, 1));
    }
}
