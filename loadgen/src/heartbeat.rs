//! When which socket says that it is there, in the two protocols that want that from their clients.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::limits::{CHANNELS_PING_MS, TIERED_PING_MS};

/// How often a client says that it is there, and how.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Beat {
    period_ns: u64,
    says: &'static [u8],
}

pub static TIERED: Beat = Beat { period_ns: TIERED_PING_MS * 1_000_000, says: b"ping" };
pub static CHANNELS: Beat = Beat { period_ns: CHANNELS_PING_MS * 1_000_000, says: br#"{"type":"ping"}"# };

/// The next ping of every socket that pings.
#[derive(Debug, Default)]
pub struct Heartbeats {
    due: BinaryHeap<Reverse<(u64, u32, &'static Beat)>>,
}

impl Heartbeats {
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Has a socket ping from now on: the first time at any time within a period, so that not all ping at once.
    pub fn begin(&mut self, socket: u32, beat: &'static Beat, now_ns: u64) {
        // A number's own place in the period, the same in every run.
        let first_ns = fastrand::Rng::with_seed(u64::from(socket)).u64(0..beat.period_ns);
        self.due.push(Reverse((now_ns + first_ns, socket, beat)));
    }

    /// A socket that must ping now, and what it says. Its next time is one period after this one.
    pub fn next_due(&mut self, now_ns: u64) -> Option<(u32, &'static [u8])> {
        let mut next = self.due.peek_mut().filter(|next| next.0.0 <= now_ns)?;
        let (due_ns, socket, beat) = next.0;
        next.0.0 = due_ns + beat.period_ns;
        Some((socket, beat.says))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_pings_once_a_period_in_its_own_words() {
        let mut heartbeats = Heartbeats::default();
        assert!(heartbeats.is_empty());
        let beat_of = |socket: u32| if socket.is_multiple_of(2) { &TIERED } else { &CHANNELS };
        (0..40).for_each(|socket| heartbeats.begin(socket, beat_of(socket), 1000));
        let mut pinged = [0; 40];
        let end_ns = 1000 + 3 * TIERED_PING_MS * 1_000_000 - 1;
        for now_ns in (0..=end_ns).step_by(100_000_000).chain([end_ns]) {
            while let Some((socket, text)) = heartbeats.next_due(now_ns) {
                assert_eq!(text, beat_of(socket).says);
                pinged[socket as usize] += 1;
            }
        }
        for (socket, times) in (0..).zip(pinged) {
            match socket % 2 {
                0 => assert_eq!(times, 3, "socket {socket}"),
                _ => assert!((2..=3).contains(&times), "socket {socket}: {times}"),
            }
        }
    }
}
