//! The doors at which events are had, as the configuration names them.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/ws/alerts?apiKey=`
    Watchlist,
    /// `/ws/alerts?api_key=`
    Tiered,
    /// `/v1/ws`
    Channels,
    /// `/ws`
    Rooms,
    /// `/events/stream`
    Stream,
}

impl Endpoint {
    pub const ALL: [Self; 5] = [Self::Watchlist, Self::Tiered, Self::Channels, Self::Rooms, Self::Stream];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Watchlist => "watchlist",
            Self::Tiered => "tiered",
            Self::Channels => "channels",
            Self::Rooms => "rooms",
            Self::Stream => "stream",
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no such endpoint: there are watchlist, tiered, channels, rooms and stream")]
pub struct UnknownEndpoint;

impl FromStr for Endpoint {
    type Err = UnknownEndpoint;

    fn from_str(text: &str) -> Result<Self, UnknownEndpoint> {
        Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == text).ok_or(UnknownEndpoint)
    }
}
