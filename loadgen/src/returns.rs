//! The sockets of a crowd that ended and come back: when, and how many at a time.
//!
//! ```text
//!   ended ─▶ leaving ─ its descriptor is closed ─▶ waiting ─ its time has come ─▶ under way ─▶ open, or ended again
//!                                                     └─────────────◀ not reached ◀──────────────┘
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ahash::AHashMap;

#[derive(Debug, Default)]
pub struct Returns {
    /// Sockets whose slot is not vacant yet, and when each is to be opened anew.
    leaving: AHashMap<u32, u64>,
    /// Those with a vacant slot, soonest first.
    waiting: BinaryHeap<Reverse<(u64, u32)>>,
    /// Those whose upgrade was sent.
    under_way: Vec<u32>,
}

impl Returns {
    /// `socket` ended, and is to be opened anew at `at_ns`, once its slot is vacant.
    pub fn leave(&mut self, socket: u32, at_ns: u64) {
        self.leaving.insert(socket, at_ns);
    }

    pub fn is_leaving(&self, socket: u32) -> bool {
        self.leaving.contains_key(&socket)
    }

    /// The slot of `socket` is vacant. Whether the socket waits for its time now; others are none of ours.
    pub fn is_vacant(&mut self, socket: u32) -> bool {
        let at_ns = self.leaving.remove(&socket);
        at_ns.into_iter().for_each(|at_ns| self.wait(socket, at_ns));
        at_ns.is_some()
    }

    /// `socket`, whose slot is vacant, is to be opened anew at `at_ns`.
    pub fn wait(&mut self, socket: u32, at_ns: u64) {
        self.waiting.push(Reverse((at_ns, socket)));
    }

    pub fn are_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Forgets those under way of which `is_upgrading` is not so any more.
    pub fn retain_under_way(&mut self, is_upgrading: impl Fn(u32) -> bool) {
        self.under_way.retain(|socket| is_upgrading(*socket));
    }

    /// The next one whose time has come, which is under way from now on; none while `under_way_max` are.
    pub fn next(&mut self, now_ns: u64, under_way_max: usize) -> Option<u32> {
        if self.under_way.len() >= under_way_max {
            return None;
        }
        let Reverse((at_ns, socket)) = *self.waiting.peek()?;
        if at_ns > now_ns {
            return None;
        }
        self.waiting.pop();
        self.under_way.push(socket);
        Some(socket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_opened_at_its_time_and_not_before_its_slot_is_vacant() {
        let mut returns = Returns::default();
        returns.leave(7, 300);
        returns.leave(8, 200);
        returns.leave(9, 100);
        assert!(returns.is_leaving(9) && !returns.are_awaited());
        assert_eq!(returns.next(1_000, 9), None, "no slot is vacant");
        assert!(returns.is_vacant(7) && returns.is_vacant(8));
        assert!(!returns.is_vacant(5), "it did not say that it comes back");
        assert_eq!((returns.next(199, 9), returns.next(200, 9), returns.next(299, 9)), (None, Some(8), None));
        assert!(returns.is_vacant(9));
        assert_eq!((returns.next(300, 9), returns.next(300, 9), returns.next(300, 9)), (Some(9), Some(7), None));
        assert!(!returns.are_awaited());
    }

    #[test]
    fn only_so_many_are_under_way_at_a_time() {
        let mut returns = Returns::default();
        (0..5).for_each(|socket| returns.wait(socket, 0));
        let begun: Vec<u32> = std::iter::from_fn(|| returns.next(1, 2)).collect();
        assert_eq!(begun, [0, 1]);
        returns.retain_under_way(|socket| socket == 1);
        assert_eq!((returns.next(1, 2), returns.next(1, 2)), (Some(2), None));
        // One of them was not reached, and waits again.
        returns.retain_under_way(|socket| socket == 1);
        returns.wait(2, 50);
        assert_eq!((returns.next(1, 9), returns.next(1, 9), returns.next(1, 9)), (Some(3), Some(4), None));
        assert_eq!(returns.next(50, 9), Some(2));
    }
}
