//! What came of crowds in the end, and how the crowds of one contender add up.

use super::churn::ChurnEnd;
use super::stall::StallEnd;
use crate::latency::Recorder;

/// What the server told of numbers that sockets will not get, over all sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    pub told: u64,
    /// The numbers in them. A gap whose bounds can't be read counts as one.
    pub numbers: u64,
}

/// What came of one crowd, in the end.
#[derive(Debug)]
pub struct Harvest {
    /// Of the sockets that listened all the time.
    pub recorder: Recorder,
    /// Of those that stalled, or came and went.
    pub apart: Option<Recorder>,
    pub stall: Option<StallEnd>,
    pub churn: Option<ChurnEnd>,
    pub gaps: Gaps,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Frames that differ from the first socket's copy of the same event, or where the server sends on what it gets as it is, from what
    /// was published.
    pub damaged: u64,
    /// Events that came otherwise than they were published, from a server that may do that.
    pub altered: u64,
    /// Text and binary messages that carry no event: greetings, JSON pongs.
    pub other_messages: u64,
    /// Mean latency of each socket that listened all the time and got every event, in nanoseconds.
    pub socket_means_ns: Vec<f64>,
}

impl Harvest {
    /// Two crowds of one side.
    pub fn merge(mut self, other: Self) -> Self {
        self.recorder.merge(&other.recorder);
        self.socket_means_ns.extend(other.socket_means_ns);
        Self {
            recorder: self.recorder,
            apart: both(self.apart, other.apart, |mut one, another| {
                one.merge(&another);
                one
            }),
            stall: both(self.stall, other.stall, |one, another| one.merge(&another)),
            churn: both(self.churn, other.churn, |one, another| one.merge(&another)),
            gaps: Gaps { told: self.gaps.told + other.gaps.told, numbers: self.gaps.numbers + other.gaps.numbers },
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            damaged: self.damaged + other.damaged,
            altered: self.altered + other.altered,
            other_messages: self.other_messages + other.other_messages,
            socket_means_ns: self.socket_means_ns,
        }
    }
}

fn both<T>(one: Option<T>, another: Option<T>, merge: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, another) {
        (Some(one), Some(another)) => Some(merge(one, another)),
        (one, another) => one.or(another),
    }
}
