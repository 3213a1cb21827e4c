//! Sockets that stop reading for a while and then go on: which ones, when, and how soon they are whole again.
//!
//! ```text
//!   warm-up ─▶ first timed event: stop reading │ a pong every 10 s │ read on ─▶ first event published since: whole again
//! ```
//! They live, they only do not read: a pong that nobody asked for says so, as it does in clients whose library answers
//! pings while their own loop hangs.

use hdrhistogram::Histogram;

use crate::frame::{OPCODE_PONG, client_control};
use crate::latency::latency_histogram;
use crate::limits::STALLED_PONG_MS;
use crate::listener::Notice;

/// How many sockets stall, and for how long. They are a crowd of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallPlan {
    pub sockets: u32,
    pub stall_ns: u64,
}

impl StallPlan {
    /// The same for so many of its sockets.
    pub fn share(self, sockets: u32) -> Self {
        Self { sockets, ..self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// For the first timed event.
    BeforeIt,
    Stalling {
        until_ns: u64,
        pong_ns: u64,
    },
    ReadingOn {
        since_ns: u64,
    },
}

/// The stall of one crowd.
#[derive(Debug)]
pub struct Stall {
    plan: StallPlan,
    /// Whether they can say that they live: there is no pong in an event stream.
    speaks: bool,
    stage: Stage,
    whole_again: Histogram<u64>,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct StallEnd {
    pub sockets: u32,
    pub stall_ns: u64,
    /// From reading on until a socket had everything up to an event published since, over the sockets.
    pub whole_again: Histogram<u64>,
}

impl StallEnd {
    /// Sockets that never got so far.
    pub fn never_whole(&self) -> u64 {
        u64::from(self.sockets) - self.whole_again.len()
    }

    pub fn merge(mut self, other: &Self) -> Self {
        self.sockets += other.sockets;
        self.whole_again.add(&other.whole_again).expect("histograms of the same bounds");
        self
    }
}

impl Stall {
    pub fn new(plan: StallPlan, speaks: bool) -> Self {
        Self { plan, speaks, stage: Stage::BeforeIt, whole_again: latency_histogram() }
    }

    /// Has the sockets do what it is time for. `begins_ns`: when the first timed event is due.
    pub fn tend(&mut self, begins_ns: u64, now_ns: u64, notices: &mut Vec<Notice>) {
        let sockets = 0..self.plan.sockets;
        match self.stage {
            Stage::BeforeIt if now_ns >= begins_ns => {
                let until_ns = begins_ns + self.plan.stall_ns;
                self.stage = Stage::Stalling { until_ns, pong_ns: now_ns + STALLED_PONG_MS * 1_000_000 };
                notices.extend(sockets.map(|socket| Notice::StopReading { socket }));
            }
            Stage::Stalling { until_ns, .. } if now_ns >= until_ns => {
                self.stage = Stage::ReadingOn { since_ns: until_ns };
                notices.extend(sockets.map(|socket| Notice::ReadOn { socket }));
            }
            Stage::Stalling { until_ns, pong_ns } if self.speaks && now_ns >= pong_ns => {
                self.stage = Stage::Stalling { until_ns, pong_ns: now_ns + STALLED_PONG_MS * 1_000_000 };
                let pong = client_control(OPCODE_PONG, b"");
                notices.extend(sockets.map(|socket| Notice::Reply { socket, frame: pong.clone() }));
            }
            Stage::BeforeIt | Stage::Stalling { .. } | Stage::ReadingOn { .. } => {}
        }
    }

    /// Takes a delivery, at `now_ns`, of an event published at `published_ns`, by a stalled socket that has not been whole
    /// again yet; returns whether it is now.
    pub fn delivered(&mut self, published_ns: u64, now_ns: u64) -> bool {
        let Stage::ReadingOn { since_ns } = self.stage else { return false };
        let whole = (since_ns..=now_ns).contains(&published_ns);
        if whole {
            self.whole_again.saturating_record((now_ns - since_ns).max(1));
        }
        whole
    }

    pub fn end(self) -> StallEnd {
        StallEnd { sockets: self.plan.sockets, stall_ns: self.plan.stall_ns, whole_again: self.whole_again }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: StallPlan = StallPlan { sockets: 3, stall_ns: 30_000_000_000 };

    #[test]
    fn they_stop_say_that_they_live_and_read_on() {
        let (mut stall, mut notices) = (Stall::new(PLAN, true), Vec::new());
        let second = 1_000_000_000;
        stall.tend(u64::MAX, 5 * second, &mut notices);
        assert!(notices.is_empty(), "nothing is timed yet");
        stall.tend(6 * second, 6 * second, &mut notices);
        let stops: Vec<Notice> = (0..3).map(|socket| Notice::StopReading { socket }).collect();
        assert_eq!(std::mem::take(&mut notices), stops);
        stall.tend(6 * second, 15 * second, &mut notices);
        assert!(notices.is_empty());
        stall.tend(6 * second, 16 * second, &mut notices);
        assert!(matches!(&notices[..], [Notice::Reply { socket: 0, frame }, _, _] if frame[0] == 0x8A), "{notices:?}");
        notices.clear();
        stall.tend(6 * second, 36 * second, &mut notices);
        let goes_on: Vec<Notice> = (0..3).map(|socket| Notice::ReadOn { socket }).collect();
        assert_eq!(notices, goes_on);
    }

    #[test]
    fn nothing_is_said_in_an_event_stream() {
        let (mut stall, mut notices) = (Stall::new(PLAN, false), Vec::new());
        stall.tend(0, 0, &mut notices);
        notices.clear();
        stall.tend(0, 15_000_000_000, &mut notices);
        assert!(notices.is_empty(), "{notices:?}");
    }

    #[test]
    fn a_socket_is_whole_again_with_the_first_event_published_since() {
        let (mut stall, mut notices) = (Stall::new(PLAN, true), Vec::new());
        let second = 1_000_000_000;
        stall.tend(0, 0, &mut notices);
        assert!(!stall.delivered(second, 2 * second), "it still stalls");
        stall.tend(0, 30 * second, &mut notices);
        assert!(!stall.delivered(29 * second, 31 * second), "an old one");
        assert!(!stall.delivered(u64::MAX, 31 * second), "one that is not timed");
        assert!(stall.delivered(31 * second, 32 * second));
        let end = stall.end();
        assert_eq!((end.never_whole(), end.whole_again.max() / 100_000_000), (2, 20));
    }
}
