//! What a crowd's sockets do besides listening, and what is known of each of them.

use super::churn::{Churn, ChurnPlan};
use super::stall::{Stall, StallPlan};
use crate::listener::Stream;
use crate::schedule::Timetable;

/// One socket of a crowd.
pub struct Socket {
    /// Over its timed deliveries; for the mean latency of each socket.
    pub latency_sum_ns: u64,
    /// The event that must come next.
    pub expected: u32,
    pub stream: Stream,
    /// Answers of its opening that have come.
    pub heard: u8,
    pub standing: Standing,
}

/// There may be half a million.
const _: () = assert!(size_of::<Socket>() == 16);

/// How far one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing more is known of it.
    Listening,
    /// It came back, and no event has come since: it may begin with an earlier one than it must get.
    Fresh,
    /// It came back when the last event was due: it must get nothing more, and may get some of the last ones, which were late.
    Latecomer,
    /// It was one, and gets some of the last ones.
    Trailing,
    /// It stalled, and has everything again; or it comes and goes, and has everything to the end of the load.
    Whole,
}

/// What the sockets of a crowd do besides listening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Steady,
    /// They stop reading in mid-run.
    Stalls(StallPlan),
    /// They come and go.
    Churns(ChurnPlan),
}

/// The same, under way.
pub enum Doing {
    Nothing,
    Stalls(Stall),
    Churns(Churn),
}

impl Doing {
    /// `speaks`: whether its sockets can say something unasked.
    pub fn begin(conduct: Conduct, speaks: bool) -> Self {
        match conduct {
            Conduct::Steady => Self::Nothing,
            Conduct::Stalls(plan) => Self::Stalls(Stall::new(plan, speaks)),
            Conduct::Churns(plan) => Self::Churns(Churn::new(plan)),
        }
    }

    /// Takes the delivery of an event, behind which `socket` expects the next.
    pub fn delivered(&mut self, socket: &mut Socket, event: u32, timetable: &Timetable, now_ns: u64) {
        match self {
            Self::Nothing => {}
            Self::Stalls(stall) => {
                if socket.standing == Standing::Listening && stall.delivered(timetable.intended_ns(event), now_ns) {
                    socket.standing = Standing::Whole;
                }
            }
            Self::Churns(churn) => {
                churn.delivered();
                socket.standing = match socket.standing {
                    Standing::Fresh => Standing::Listening,
                    Standing::Latecomer => Standing::Trailing,
                    other => other,
                };
                if socket.standing == Standing::Listening && socket.expected == timetable.schedule.events() {
                    socket.standing = Standing::Whole;
                    churn.is_whole();
                }
            }
        }
    }
}
