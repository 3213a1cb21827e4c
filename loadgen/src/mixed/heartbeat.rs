//! When which socket says that it is there, in the two protocols that want that from their clients.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::protocol::Protocol;
use super::traffic::mix;
use crate::limits::{CHANNELS_PING_MS, TIERED_PING_MS};

/// The next ping of every socket that pings.
#[derive(Debug, Default)]
pub struct Heartbeats {
    due: BinaryHeap<Reverse<(u64, u32)>>,
}

impl Heartbeats {
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// Has a socket ping from now on, where its protocol wants that: the first time at any time within a period, so that
    /// not all ping at once.
    pub fn begin(&mut self, socket: u32, now_ns: u64) {
        if let Some((period_ns, _)) = manner(socket) {
            let first_ns = fastrand::Rng::with_seed(mix(u64::from(socket), 1 << 42)).u64(0..period_ns);
            self.due.push(Reverse((now_ns + first_ns, socket)));
        }
    }

    /// A socket that must ping now, and what it says. Its next time is one period after this one.
    pub fn next_due(&mut self, now_ns: u64) -> Option<(u32, &'static [u8])> {
        let mut next = self.due.peek_mut().filter(|next| next.0.0 <= now_ns)?;
        let (due_ns, socket) = next.0;
        let (period_ns, text) = manner(socket).expect("only sockets that ping are here");
        next.0.0 = due_ns + period_ns;
        Some((socket, text))
    }
}

/// How often a socket pings, in nanoseconds, and how.
fn manner(socket: u32) -> Option<(u64, &'static [u8])> {
    match Protocol::of_socket(socket) {
        Protocol::Tiered => Some((TIERED_PING_MS * 1_000_000, b"ping")),
        Protocol::Channels => Some((CHANNELS_PING_MS * 1_000_000, br#"{"type":"ping"}"#)),
        Protocol::Watchlist | Protocol::Rooms => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_socket_that_must_pings_once_a_period_and_the_others_never() {
        let mut heartbeats = Heartbeats::default();
        (0..40).for_each(|socket| heartbeats.begin(socket, 1000));
        let mut pinged = [0; 40];
        let end_ns = 1000 + 3 * TIERED_PING_MS * 1_000_000 - 1;
        for now_ns in (0..=end_ns).step_by(100_000_000).chain([end_ns]) {
            while let Some((socket, text)) = heartbeats.next_due(now_ns) {
                assert_eq!(text == b"ping", Protocol::of_socket(socket) == Protocol::Tiered);
                pinged[socket as usize] += 1;
            }
        }
        for socket in 0..40 {
            let times = pinged[socket as usize];
            match Protocol::of_socket(socket) {
                Protocol::Tiered => assert_eq!(times, 3, "socket {socket}"),
                Protocol::Channels => assert!((2..=3).contains(&times), "socket {socket}: {times}"),
                _ => assert_eq!(times, 0, "socket {socket}"),
            }
        }
    }
}
