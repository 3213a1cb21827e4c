//! Sockets of a shard that receive the same events.

use smallvec::SmallVec;

use crate::accounts::{AccountId, Grants, Watchlist};
use crate::shard::log::LogRange;
use crate::tokens::UserId;

/// What the members of an audience have in common.
#[derive(Clone, Debug)]
pub enum Bond {
    /// They are sessions of one account, in one protocol. The watchlist is empty for all but that protocol.
    Account { account: AccountId, version: u64, watchlist: Watchlist, grants: Grants },
    /// They are rooms sessions of one user.
    User(UserId),
    /// They subscribed to this topic by name.
    Topic(Box<str>),
    /// They are rooms sessions whose token has this `admin_level`.
    Admin(u32),
}

/// Slots. Most audiences have few: those lie in the audience itself, so that finding them costs no memory access more.
pub type Members = SmallVec<[u32; 4]>;

pub struct Audience {
    /// Apart, so that what every event needs of an audience fits into one cache line with its place.
    pub bond: Box<Bond>,
    pub members: Members,
    /// Frames matched in the ingest under way and not yet handed to the members.
    pub pending: LogRange,
    pub pending_events: u32,
}

impl Audience {
    pub fn new(bond: Bond) -> Self {
        Self { bond: Box::new(bond), members: Members::new(), pending: LogRange::default(), pending_events: 0 }
    }
}
