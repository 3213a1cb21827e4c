//! From where a session is sent events, and what becomes of it when it is too slow.

use std::fmt;
use std::str::FromStr;

/// What a client asks of its session in the address, and what the endpoint's configuration says where it asks nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// First every matching event after this number, then the live stream; 0 for all that is retained. None: live at once.
    pub since: Option<u64>,
    pub policy: SlowPolicy,
}

/// What becomes of a session that takes bytes more slowly than events come, once the shard can't keep them for it any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It is sent what it missed from the journal, every event, as soon as it takes bytes again.
    #[default]
    CatchUp,
    /// The same, but of the events with one conflation key only the newest; what was passed over is told as a gap.
    Latest,
    /// It is closed with 4409.
    Disconnect,
}

impl SlowPolicy {
    pub const ALL: [Self; 3] = [Self::CatchUp, Self::Latest, Self::Disconnect];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CatchUp => "catch-up",
            Self::Latest => "latest",
            Self::Disconnect => "disconnect",
        }
    }
}

impl fmt::Display for SlowPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such policy: there are catch-up, latest and disconnect")]
pub struct UnknownPolicy;

impl FromStr for SlowPolicy {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or(UnknownPolicy)
    }
}
