//! One socket in its slot: what it is, what it waits for, and what it still has to be sent.

use super::behind::Behind;
use super::dialogue::{Dialogue, Stage};
use super::output::Output;
use super::wheel::Tick;
use crate::accounts::KeyNumber;
use crate::gate::{Pass, RateState};
use crate::protocol::{Protocol, SlowPolicy};
use crate::ring::SlotRef;
use crate::ws::Decoder;

/// Where a socket is in its life. A slot never goes back, and is vacant again only after its last completion.
///
/// ```text
///   Vacant ─▶ Open ─▶ Closing ─▶ Draining ─▶ Terminating ─▶ Releasing ─▶ Vacant
///               └────────┴─ reset, deadline ────▲
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Waits for a socket.
    #[default]
    Vacant,
    /// Waits for events and for the peer's frames.
    Open,
    /// Waits until the close frame has left.
    Closing,
    /// Our direction is shut down; waits for the peer's end of the stream, or the deadline.
    Draining,
    /// Waits for the completions of everything that was armed.
    Terminating,
    /// Waits for the completion of the close.
    Releasing,
}

/// Operations that the kernel still owes a completion for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Armed {
    pub receive: bool,
    pub writable: bool,
    pub shutdown: bool,
    pub cancel: bool,
}

impl Armed {
    pub fn any(self) -> bool {
        self.receive || self.writable || self.shutdown || self.cancel
    }
}

/// Which audience a socket is in, and where in its list of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    pub audience: u32,
    pub position: u32,
}

#[derive(Debug, Default)]
pub struct Socket {
    pub output: Output,
    pub decoder: Decoder,
    /// The key that let it in, to be found when that key is revoked.
    pub key: Option<KeyNumber>,
    /// Its account's or its user's audience.
    pub home: Option<Membership>,
    /// What a session with commands remembers; the others have none.
    pub dialogue: Option<Box<Dialogue>>,
    /// Where it is in the journal, while it is not live.
    pub behind: Option<Box<Behind>>,
    /// Its place in the gate's counts, to be given back at its end.
    pub pass: Option<Pass>,
    /// What it may still send.
    pub rate: RateState,
    pub generation: u32,
    /// When something is to be done about it (a ping, a deadline).
    pub due: Tick,
    /// When its entry in the wheel fires; never later than `due`.
    pub fires: Tick,
    pub state: State,
    pub protocol: Protocol,
    pub policy: SlowPolicy,
    pub armed: Armed,
    /// It is in the queue of the pass.
    pub queued: bool,
    /// It is in the queue of those that are behind, or were when it was put there.
    pub queued_behind: bool,
    /// The kernel refused bytes; it waits for POLLOUT.
    pub full: bool,
    /// It is in the list that is searched when the log is about to overwrite.
    pub listed_as_full: bool,
    /// The peer's close frame has come.
    pub peer_closed: bool,
    pub unanswered_pings: u8,
    /// Messages refused as too many since it last paused.
    pub refusals: u32,
}

impl Socket {
    pub fn at(&self, slot: u32) -> SlotRef {
        SlotRef::new(slot, self.generation)
    }

    /// What it remembers. Only sessions with commands are asked.
    pub fn dialogue(&mut self) -> &mut Dialogue {
        self.dialogue.as_mut().expect("a session with commands")
    }

    /// Whether it is for a user whose token ends.
    pub fn has_token(&self) -> bool {
        self.dialogue.as_ref().is_some_and(|dialogue| matches!(dialogue.stage, Stage::Rooms(_)))
    }

    /// Another member of an audience left, and this one took its place.
    pub fn moved(&mut self, to: Membership) {
        let known = self.memberships().find(|membership| membership.audience == to.audience);
        known.expect("it is a member").position = to.position;
    }

    /// Every audience that it is in.
    pub fn memberships(&mut self) -> impl Iterator<Item = &mut Membership> {
        let dialogue = self.dialogue.as_mut().map(|dialogue| dialogue.memberships());
        self.home.iter_mut().chain(dialogue.into_iter().flatten())
    }

    /// Whether it gets events from the journal and not as they are published.
    pub fn is_behind(&self) -> bool {
        self.behind.is_some()
    }

    /// Whether events still go to it.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }
}

/// All slots of a shard, in pages, so that growing never moves or doubles what is there.
pub struct SlotTable {
    pages: Vec<Box<[Socket]>>,
    free: Vec<u32>,
    capacity: u32,
    occupied: u32,
}

const PAGE_SLOTS: u32 = 256;

impl SlotTable {
    pub fn new(capacity: u32) -> Self {
        Self { pages: Vec::new(), free: Vec::new(), capacity, occupied: 0 }
    }

    pub fn occupied(&self) -> u32 {
        self.occupied
    }

    /// Takes a vacant slot, or `None` where all are taken. Its generation is already the new socket's.
    pub fn take(&mut self) -> Option<u32> {
        if self.free.is_empty() {
            self.grow()?;
        }
        let slot = self.free.pop()?;
        self.occupied += 1;
        Some(slot)
    }

    /// Makes a slot vacant for another socket.
    pub fn release(&mut self, slot: u32) {
        let socket = &mut self[slot];
        debug_assert!(!socket.armed.any(), "slot {slot} is released with an operation in flight");
        let generation = SlotRef::next_generation(socket.generation);
        *socket = Socket { generation, ..Socket::default() };
        self.occupied -= 1;
        self.free.push(slot);
    }

    /// The slot's socket, if it is still the one that `at` means.
    pub fn current(&mut self, at: SlotRef) -> Option<&mut Socket> {
        let socket = &mut self[at.slot];
        (socket.generation == at.generation && socket.state != State::Vacant).then_some(socket)
    }

    /// Every slot that ever held a socket.
    pub fn slots(&self) -> std::ops::Range<u32> {
        0..self.pages.len() as u32 * PAGE_SLOTS
    }

    fn grow(&mut self) -> Option<()> {
        let first = self.pages.len() as u32 * PAGE_SLOTS;
        let count = PAGE_SLOTS.min(self.capacity.saturating_sub(first));
        if count == 0 {
            return None;
        }
        self.pages.push((0..PAGE_SLOTS).map(|_| Socket::default()).collect());
        self.free.extend((first..first + count).rev());
        Some(())
    }
}

impl std::ops::Index<u32> for SlotTable {
    type Output = Socket;

    fn index(&self, slot: u32) -> &Socket {
        &self.pages[(slot / PAGE_SLOTS) as usize][(slot % PAGE_SLOTS) as usize]
    }
}

impl std::ops::IndexMut<u32> for SlotTable {
    fn index_mut(&mut self, slot: u32) -> &mut Socket {
        &mut self.pages[(slot / PAGE_SLOTS) as usize][(slot % PAGE_SLOTS) as usize]
    }
}

/// A socket and its share of the lists around it must stay within the 400 bytes that the plan promises.
const _: () = assert!(size_of::<Socket>() <= 144);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_slot_comes_back_with_another_generation() {
        let mut slots = SlotTable::new(1);
        let slot = slots.take().unwrap();
        slots[slot].state = State::Open;
        let first = slots[slot].at(slot);
        assert!(slots.take().is_none(), "the table holds one");
        slots.release(slot);
        assert_eq!(slots.take(), Some(slot));
        slots[slot].state = State::Open;
        assert!(slots.current(first).is_none(), "the old socket is gone");
        assert!(slots.current(slots[slot].at(slot)).is_some());
    }

    #[test]
    fn the_table_holds_as_many_as_it_says() {
        let mut slots = SlotTable::new(1000);
        let taken: std::collections::HashSet<u32> = std::iter::from_fn(|| slots.take()).collect();
        assert_eq!(taken.len(), 1000);
        assert!(taken.iter().all(|&slot| slot < 1000));
        assert_eq!(slots.occupied(), 1000);
    }
}
