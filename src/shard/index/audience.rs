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
    /// First those that are live, then those that are behind and get nothing of what is published now.
    pub members: Members,
    /// How many are live.
    pub live: u32,
    /// Frames matched in the ingest under way and not yet handed to the members.
    pub pending: LogRange,
    pub pending_events: u32,
}

impl Audience {
    pub fn new(bond: Bond) -> Self {
        Self { bond: Box::new(bond), members: Members::new(), live: 0, pending: LogRange::default(), pending_events: 0 }
    }

    /// The members that are behind.
    pub fn behind(&self) -> &[u32] {
        &self.members[self.live as usize..]
    }

    /// Adds a live member, and returns its position.
    pub fn join(&mut self, slot: u32, moves: &mut Moves) -> u32 {
        self.members.push(slot);
        let position = self.exchange(self.members.len() as u32 - 1, self.live, moves);
        self.live += 1;
        position
    }

    /// Takes a member out.
    pub fn leave(&mut self, position: u32, moves: &mut Moves) {
        let position = if position < self.live { self.fall_behind(position, moves) } else { position };
        let last = self.members.len() as u32 - 1;
        self.exchange(position, last, moves);
        self.members.pop();
    }

    /// Makes a live member one that is behind, and returns its position.
    pub fn fall_behind(&mut self, position: u32, moves: &mut Moves) -> u32 {
        debug_assert!(position < self.live, "it is live");
        self.live -= 1;
        self.exchange(position, self.live, moves)
    }

    /// Makes one that is behind live, and returns its position.
    pub fn go_live(&mut self, position: u32, moves: &mut Moves) -> u32 {
        debug_assert!(position >= self.live, "it is behind");
        let position = self.exchange(position, self.live, moves);
        self.live += 1;
        position
    }

    /// Moves the member at `position` to `to`, and whoever is there to `position`.
    fn exchange(&mut self, position: u32, to: u32, moves: &mut Moves) -> u32 {
        if position != to {
            self.members.swap(position as usize, to as usize);
            moves.push((self.members[position as usize], position));
        }
        to
    }
}

/// Members that were moved in making room for another, each with its new position, in the order in which it happened.
pub type Moves = SmallVec<[(u32, u32); 2]>;

#[cfg(test)]
mod tests {
    use super::*;

    /// Random comings and goings against a plain model: where each member believes it is, it is.
    #[test]
    fn everybody_is_where_they_were_told_and_live_or_behind_as_they_should() {
        let mut random = fastrand::Rng::with_seed(4);
        let mut audience = Audience::new(Bond::Admin(1));
        // Slot, position, whether it is live.
        let mut model: Vec<(u32, u32, bool)> = Vec::new();
        for slot in 0..5_000 {
            let mut moves = Moves::new();
            let (one, choice) = (random.usize(..model.len().max(1)), random.u8(..4));
            match model.get(one).copied() {
                Some((_, position, true)) if choice == 0 => {
                    model[one] = (model[one].0, audience.fall_behind(position, &mut moves), false);
                }
                Some((_, position, false)) if choice == 0 => {
                    model[one] = (model[one].0, audience.go_live(position, &mut moves), true);
                }
                Some((slot, position, _)) if choice == 1 => {
                    audience.leave(position, &mut moves);
                    model.swap_remove(one);
                    moves.retain(|moved| moved.0 != slot);
                }
                _ => model.push((slot, audience.join(slot, &mut moves), true)),
            }
            for (slot, position) in moves {
                model.iter_mut().find(|known| known.0 == slot).expect("a member").1 = position;
            }
            assert_eq!(audience.members.len(), model.len());
            assert_eq!(audience.live as usize, model.iter().filter(|(.., live)| *live).count());
            for &(slot, position, live) in &model {
                assert_eq!(audience.members[position as usize], slot);
                assert_eq!(position < audience.live, live, "slot {slot}");
            }
        }
    }
}
