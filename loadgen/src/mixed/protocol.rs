//! The four client protocols, and how a run's sockets are shared out among them.

use crate::heartbeat::{self, Beat};

/// One of the protocols that the server speaks on its one port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Watchlist,
    Tiered,
    Channels,
    Rooms,
}

impl Protocol {
    pub const ALL: [Self; 4] = [Self::Watchlist, Self::Tiered, Self::Channels, Self::Rooms];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Watchlist => "watchlist",
            Self::Tiered => "tiered",
            Self::Channels => "channels",
            Self::Rooms => "rooms",
        }
    }

    /// How its clients say that they are there, where it wants that from them.
    pub fn beat(self) -> Option<&'static Beat> {
        match self {
            Self::Tiered => Some(&heartbeat::TIERED),
            Self::Channels => Some(&heartbeat::CHANNELS),
            Self::Watchlist | Self::Rooms => None,
        }
    }

    /// The protocols take turns, so that neighbours in every queue speak different ones.
    pub fn of_socket(socket: u32) -> Self {
        Self::ALL[(socket % 4) as usize]
    }

    /// A socket's place among those of its protocol.
    pub const fn member_of_socket(socket: u32) -> u32 {
        socket / 4
    }
}
