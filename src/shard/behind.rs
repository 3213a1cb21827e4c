//! Sessions that are behind: they get events from the journal until they have caught up with what is published now.
//!
//! ```text
//!   opens with `since` ─────────┐                       ┌──── its socket is full, or has enough unsent
//!   subscribes with `since` ────┼──▶ waits ──▶ rides ───┤
//!   too slow for the log ───────┘      ▲         │      └──── its allowance is used up ─┐
//!                                      └─────────┼──────────────────────────────────────┘
//!                                                └──▶ live, where the replay has reached what was published last
//! ```
//!
//! A session that is behind lives at its own place in the journal: what it is told and what it asks for counts from there, not
//! from what is published meanwhile. So an answer never carries a number past events that are still to come, and a topic that
//! it subscribes to brings the events after the number in the acknowledgement.
//!
//! Invariants:
//! * Every event up to [`Behind::next`] that matches was handed to its output or is told as a gap; none from there on was.
//! * None of its places in audiences is live, and its output holds no range of the log.

use std::collections::VecDeque;

use super::framing::Framing;
use super::index::AudienceId;
use super::replay::Allowance;
use super::sessions::Sessions;
use super::socket::Membership;
use super::stats::ShardStats;
use crate::limits;
use crate::protocol::{ErrorCode, SocketError, UnixMs};
use crate::ring::SlotRef;

#[derive(Debug)]
pub struct Behind {
    /// The number of the first event that it was not handed. While it rides, those that the replay has passed count as handed,
    /// too.
    pub next: u64,
    pub stage: Stage,
    /// It stands among those that are ready, whatever it waits for by now.
    pub listed: bool,
    /// Audiences whose events before a number it does not get: it had them, or was not one of them yet.
    floors: Vec<(AudienceId, u64)>,
    /// Answers that follow an event which it was not handed yet, each with that event's number.
    held: VecDeque<(u64, Vec<u8>)>,
    held_bytes: usize,
    pub allowance: Allowance,
    /// It was told that events up to this number may have been passed over.
    pub skipped_to: u64,
    /// Since when it has been behind.
    pub since_ms: UnixMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits until what it has was sent.
    Draining,
    /// It waits for a replay.
    Ready,
    /// It waits for its allowance.
    Paused,
    Riding,
}

impl Behind {
    fn new(next: u64, since_ms: UnixMs) -> Box<Self> {
        Box::new(Self {
            next,
            stage: Stage::Draining,
            listed: false,
            floors: Vec::new(),
            held: VecDeque::new(),
            held_bytes: 0,
            allowance: Allowance::default(),
            skipped_to: 0,
            since_ms,
        })
    }

    /// Whether it is to get the event of that number as a member of that audience.
    pub fn wants(&self, audience: AudienceId, seq: u64) -> bool {
        let is_past = |&(floored, from): &(AudienceId, u64)| floored != audience || from <= seq;
        self.stage == Stage::Riding && self.next <= seq && self.floors.iter().all(is_past)
    }

    /// The number from which on nothing tells it from a live session.
    pub fn settled(&self) -> u64 {
        self.floors.iter().map(|(_, from)| *from).fold(self.next, u64::max)
    }

    /// Whether answers wait for events before them.
    pub fn holds_answers(&self) -> bool {
        !self.held.is_empty()
    }

    /// It is no member of that audience any more.
    pub fn forget(&mut self, audience: AudienceId) {
        self.floors.retain(|(floored, _)| *floored != audience);
    }

    /// Raises what it gets of an audience to the events from a number on.
    pub fn raise(&mut self, audience: AudienceId, from: u64) {
        match self.floors.iter_mut().find(|(floored, _)| *floored == audience) {
            Some((_, floor)) => *floor = from.max(*floor),
            None => self.floors.push((audience, from)),
        }
    }
}

impl Sessions {
    /// The number up to which a session has been handed everything: what it is told counts from here.
    pub(super) fn position(&self, slot: u32) -> u64 {
        match &self.slots[slot].behind {
            None => self.present(slot),
            Some(behind) => behind.held.back().map_or(self.next_of(behind) - 1, |(after, _)| *after),
        }
    }

    /// The same without the answers that it still holds for it.
    pub(super) fn handed(&self, slot: u32) -> u64 {
        self.slots[slot].behind.as_ref().map_or_else(|| self.present(slot), |behind| self.next_of(behind) - 1)
    }

    /// The number of the newest event that it would have been handed if it was live and received everything.
    pub(super) fn present(&self, slot: u32) -> u64 {
        self.inbox.seq_of(Framing::of(self.slots[slot].protocol))
    }

    /// Answers of a session that have not been sent, in bytes.
    pub(super) fn unsent_answers(&self, slot: u32) -> usize {
        let socket = &self.slots[slot];
        socket.output.owned_bytes() + socket.behind.as_ref().map_or(0, |behind| behind.held_bytes)
    }

    /// Adds an answer behind everything that it may follow.
    pub(super) fn push_answer(&mut self, slot: u32, frames: Box<[u8]>) {
        let socket = &mut self.slots[slot];
        match &mut socket.behind {
            Some(behind) if !behind.held.is_empty() => {
                let (after, _) = *behind.held.back().expect("it is not empty");
                behind.held_bytes += frames.len();
                behind.held.push_back((after, frames.into()));
            }
            _ => socket.output.push_owned(frames, &mut self.pool),
        }
    }

    /// Hands over the answers that follow an event before `seq`.
    pub(super) fn release_answers(&mut self, slot: u32, seq: u64) {
        let socket = &mut self.slots[slot];
        let Some(behind) = &mut socket.behind else { return };
        while behind.held.front().is_some_and(|(after, _)| *after < seq) {
            let (_, frames) = behind.held.pop_front().expect("one waits");
            behind.held_bytes -= frames.len();
            socket.output.push_owned(frames.into(), &mut self.pool);
        }
    }

    /// The log can't keep what a socket has not taken: from now on the journal serves it.
    pub(super) fn fall_behind(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        debug_assert!(!socket.is_behind(), "the log serves it");
        let Some(fallen) = socket.output.fall_behind(&self.log, &mut self.pool) else { return };
        let mut behind = Behind::new(fallen.next, self.unix_ms);
        behind.held_bytes = fallen.held.iter().map(|(_, frames)| frames.len()).sum();
        behind.held = fallen.held.into();
        // What it asked for behind those events counts from there.
        let dialogue = socket.dialogue.iter();
        for subscription in dialogue.flat_map(|dialogue| &dialogue.subscriptions) {
            if subscription.from > behind.next {
                behind.raise(subscription.membership.audience, subscription.from);
            }
        }
        self.put_behind(slot, behind);
    }

    /// Begins a session at a number: it gets what follows it, first of all from the journal.
    pub(super) fn resume(&mut self, slot: u32, since: u64) {
        if since != self.present(slot) {
            self.put_behind(slot, Behind::new(since + 1, self.unix_ms));
        }
    }

    /// Takes a session back to a number for the sake of one topic, which it has just subscribed to. Of its others it gets what
    /// it was not handed yet, and nothing twice.
    pub(super) fn rewind(&mut self, slot: u32, membership: Membership, since: u64) {
        if self.slots[slot].is_behind() || since != self.present(slot) {
            self.rewind_to(slot, membership, since);
        }
    }

    fn rewind_to(&mut self, slot: u32, membership: Membership, since: u64) {
        if !self.slots[slot].is_behind() {
            // What waits in the log for it comes from the journal, too, so that all of it is in order.
            self.fall_behind(slot);
        }
        let from = self.position(slot) + 1;
        let others: Vec<Membership> = self.slots[slot].memberships().map(|other| *other).collect();
        let mut behind = match self.slots[slot].behind.take() {
            Some(mut behind) => {
                behind.next = self.next_of(&behind);
                self.replay.riding -= usize::from(behind.stage == Stage::Riding);
                behind
            }
            None => {
                self.move_places(slot, false);
                self.stats.behind.raise();
                Behind::new(from, self.unix_ms)
            }
        };
        behind.forget(membership.audience);
        behind.raise(membership.audience, since + 1);
        if since + 1 < behind.next {
            for other in others.into_iter().filter(|other| other.audience != membership.audience) {
                behind.raise(other.audience, behind.next);
            }
            behind.next = since + 1;
            // What is passed over from there on has not been told.
            behind.skipped_to = 0;
        }
        self.slots[slot].behind = Some(behind);
        self.await_replay(slot);
    }

    /// Whether a client may ask for what follows that number; a future one is a mistake, and would be waited for in silence.
    pub(super) fn check_since(&self, since: Option<u64>) -> Result<(), SocketError> {
        let newest = self.newest_seq.max(self.inbox.seq);
        match since.filter(|since| *since > newest) {
            Some(since) => Err(SocketError::new(
                ErrorCode::InvalidMessage,
                format!("`since` is {since}, and the newest event has the number {newest}"),
            )),
            None => Ok(()),
        }
    }

    fn put_behind(&mut self, slot: u32, behind: Box<Behind>) {
        // Its places are live as long as it is not behind.
        self.move_places(slot, false);
        self.stats.behind.raise();
        self.slots[slot].behind = Some(behind);
        self.await_replay(slot);
    }

    /// Lets it wait for a replay, or for its socket to take what it has.
    pub(super) fn await_replay(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        let at = socket.at(slot);
        let Some(behind) = &mut socket.behind else { return };
        if socket.full || socket.output.replayed_bytes() >= limits::REPLAY_SESSION_BYTES_MAX {
            behind.stage = Stage::Draining;
        } else {
            behind.stage = Stage::Ready;
            if !std::mem::replace(&mut behind.listed, true) {
                self.replay.ready.push_back(at);
            }
            self.replay.stirred = true;
        }
    }

    /// Some of what it had was sent.
    pub(super) fn drained(&mut self, slot: u32) {
        let socket = &self.slots[slot];
        let waits = socket.behind.as_ref().is_some_and(|behind| behind.stage == Stage::Draining);
        if waits && !socket.full && socket.output.replayed_bytes() == 0 {
            self.await_replay(slot);
        }
    }

    /// It has everything that was published: from now on it gets events as they come.
    pub(super) fn go_live(&mut self, at: SlotRef) {
        let slot = at.slot;
        self.release_answers(slot, u64::MAX);
        self.slots[slot].behind = None;
        self.stats.behind.lower();
        self.move_places(slot, true);
        // What it still has to get from the journal waits as before, until a live event comes for it.
        if !self.slots[slot].output.is_empty() {
            self.enqueue_behind(slot);
        }
        ShardStats::add(&self.stats.caught_up, 1);
        self.hear_on(slot);
    }

    /// The number of the first event that it was not handed.
    pub(super) fn next_of(&self, behind: &Behind) -> u64 {
        match behind.stage {
            Stage::Riding => behind.next.max(self.replay.position),
            _ => behind.next,
        }
    }
}
