//! A line that strangers can cause: told some times, then counted, so that no flood of theirs becomes one of lines.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Nanos;
use crate::limits::{LINES_PER_WINDOW_MAX, LINES_WINDOW_MS};

/// What one kind of line has been said of lately: one for each place that says one, shared by all threads. Pure but for its atomics.
///
/// In a window so many are told, and the others counted; the first one of a later window tells how many those were.
#[derive(Debug, Default)]
pub struct Occasion {
    /// When the window under way began, and never 0 once there was one.
    began: AtomicU64,
    told: AtomicU64,
    untold: AtomicU64,
}

impl Occasion {
    pub const fn new() -> Self {
        Self { began: AtomicU64::new(0), told: AtomicU64::new(0), untold: AtomicU64::new(0) }
    }

    /// Whether this one is to be told: then with how many others that were not.
    pub fn tell(&self, now: Nanos) -> Option<u64> {
        let began = self.began.load(Ordering::Relaxed);
        let is_over = began == 0 || now.saturating_sub(began) >= LINES_WINDOW_MS * 1_000_000;
        // Of several threads that find it over, one begins the next.
        if is_over && self.began.compare_exchange(began, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.told.store(0, Ordering::Relaxed);
        }
        if self.told.fetch_add(1, Ordering::Relaxed) < LINES_PER_WINDOW_MAX {
            return Some(self.untold.swap(0, Ordering::Relaxed));
        }
        self.untold.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Nanos = LINES_WINDOW_MS * 1_000_000;

    #[test]
    fn the_first_ones_are_told_and_the_others_counted_until_the_next_window() {
        let occasion = Occasion::new();
        let told: Vec<_> = (0..1_000).map(|nth| occasion.tell(nth)).collect();
        let first = LINES_PER_WINDOW_MAX as usize;
        assert!(told[..first].iter().all(|told| *told == Some(0)));
        assert!(told[first..].iter().all(Option::is_none));
        assert_eq!(occasion.tell(WINDOW - 1), None);
        assert_eq!(occasion.tell(WINDOW + 1), Some(1_001 - LINES_PER_WINDOW_MAX));
        assert_eq!(occasion.tell(WINDOW + 2), Some(0), "they are told once");
    }

    #[test]
    fn a_flood_for_an_hour_is_so_many_lines_a_window() {
        let occasion = Occasion::new();
        let hour = 3_600 * 1_000_000_000;
        let lines = (0..hour).step_by(10_000_000).filter(|now| occasion.tell(*now).is_some()).count() as u64;
        assert!(lines <= (hour / WINDOW + 1) * LINES_PER_WINDOW_MAX, "{lines}");
    }

    #[test]
    fn threads_that_flood_together_count_each_line_once() {
        let occasion = Occasion::new();
        let tell = |_| (0..10_000).filter_map(|_| occasion.tell(5)).count() as u64;
        let told: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || tell(number))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        // A window that two find begun at the same moment may be counted from nought once more.
        assert!((LINES_PER_WINDOW_MAX..=4 * LINES_PER_WINDOW_MAX).contains(&told), "{told}");
        assert_eq!(occasion.tell(5 + WINDOW), Some(40_000 - told));
    }
}
