//! The replay: one walk through the journal for all sessions of a shard that are behind.
//!
//! ```text
//!                  position                       inbox.seq
//!   ──────────────────┴── chunk ──▶ ─ ─ ─ ─ ─ ─ ─ ─ ─ ┴──▶ numbers
//!      riders get what matches, copied into their output      riders go live here
//! ```
//!
//! Thousands of sessions that come back after a restart want the same stretch of the journal, so they ride together: it is read
//! and matched once, whoever wants an event gets it. A round begins either with the lowest of those that are near the present,
//! or with the one of the others that has waited longest, in turn, and takes along whoever is further ahead. A round of the
//! others ends after so many events, so that nobody who asks for the whole journal keeps those waiting who missed a second.
//!
//! What bounds it: riders at once, what each may have unsent, each one's events and bytes a second, events and deliveries a
//! turn. Live events go first: the sends of sessions that are behind have a queue of their own and a share of each turn.
//!
//! Pure: the journal is asked through [`Sessions::replay_wants`] and answers through [`Sessions::replayed`].

mod allowance;
mod newest;

use std::collections::VecDeque;
use std::sync::Arc;

pub use allowance::Allowance;
pub use newest::Newest;

use super::behind::Stage;
use super::framing::Framing;
use super::index::AudienceId;
use super::sessions::Sessions;
use super::stats::ShardStats;
use super::wheel::Tick;
use crate::event::Event;
use crate::hub::EncodedBatch;
use crate::journal::{Chunk, Gap, GapReason, Part};
use crate::limits;
use crate::protocol::SlowPolicy;
use crate::ring::SlotRef;
#[cfg(test)]
use crate::simulation::sabotage::{self, Sabotage};
use crate::ws::CloseCode;

#[derive(Default)]
pub struct Replay {
    /// Sessions that wait for a round, the longest first. One that does not any more is passed over.
    pub ready: VecDeque<SlotRef>,
    /// Whether a round may begin that could not when it was tried last.
    pub stirred: bool,
    /// Sessions behind that have output, in the order in which they will be visited.
    pub queue: VecDeque<SlotRef>,
    /// The number that the round comes to next.
    pub position: u64,
    /// Those who rode along when the round began, and how many of them still do.
    riders: Vec<SlotRef>,
    pub riding: usize,
    /// A bit for each slot of those who rode along when the round began: so that the others, who may be ten times as many, cost
    /// no look at their sockets.
    aboard: Vec<u64>,
    /// A round is under way.
    rides: bool,
    /// It is one of those that are far from the present.
    is_far: bool,
    /// Events since the round began.
    passed: u64,
    /// What of the journal is at hand, from `position` on.
    parts: VecDeque<Part>,
    /// The next event of the first part.
    next: usize,
    /// The number after the last one that is at hand.
    frontier: u64,
    /// Where the newest chunk of it begins.
    newest_chunk: u64,
    /// The number from which on the journal was asked, and has not answered.
    asked: Option<u64>,
    /// Bytes handed over since the queue was empty.
    unsent_bytes: usize,
    /// Riders have as much unsent as they may, each or together, although the kernel takes it: the queue has to be visited first.
    waits_for_queue: bool,
    /// Sessions that have used up their allowance.
    paused: Vec<SlotRef>,
    /// When those were looked at last.
    looked: Tick,
    /// Scratch: audiences of the event under way.
    matched: Vec<AudienceId>,
    /// Scratch: an event as a stream gets it.
    room: Vec<u8>,
}

impl Replay {
    /// Whether anybody is or was just behind.
    pub fn is_active(&self) -> bool {
        self.rides || self.stirred || !self.queue.is_empty() || !self.paused.is_empty()
    }

    fn is_aboard(&self, slot: u32) -> bool {
        self.aboard.get(slot as usize / 64).is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// Whether it can go on without an answer or a tick.
    pub fn has_work(&self) -> bool {
        let may_go_on = self.asked.is_none() || !self.parts.is_empty();
        !self.queue.is_empty() || (self.stirred && !self.rides) || (self.rides && may_go_on)
    }
}

impl Sessions {
    /// The number from which on the journal is to be read, if it is to be read now: before the replay has come to the end of what
    /// is at hand, so that it need not wait. It is asked once.
    pub fn replay_wants(&mut self) -> Option<u64> {
        let replay = &mut self.replay;
        // No more than a chunk ahead, however long its events are.
        let is_short =
            replay.frontier < replay.position + limits::REPLAY_AHEAD_EVENTS && replay.position >= replay.newest_chunk;
        let wants = replay.rides && replay.asked.is_none() && is_short && replay.frontier <= self.inbox.seq;
        if wants {
            replay.asked = Some(replay.frontier);
        }
        wants.then_some(replay.frontier)
    }

    /// The journal's answer; none where it can't be read.
    pub fn replayed(&mut self, chunk: Option<Chunk>) {
        let asked = self.replay.asked.take();
        let is_for_this = self.replay.rides && asked == Some(self.replay.frontier);
        match chunk {
            // For a round that is over.
            _ if !is_for_this => {}
            Some(chunk) if chunk.from != self.replay.frontier => {}
            Some(chunk) if chunk.next > chunk.from => {
                self.replay.parts.extend(chunk.parts);
                (self.replay.newest_chunk, self.replay.frontier) = (chunk.from, chunk.next);
            }
            _ => self.journal_is_unreadable(),
        }
    }

    /// Goes on by a bounded step.
    pub(super) fn replay(&mut self) {
        self.wake_the_paused();
        if self.replay.waits_for_queue && self.replay.queue.is_empty() {
            self.replay.waits_for_queue = false;
            self.replay.unsent_bytes = 0;
        }
        if !self.replay.rides && self.replay.stirred {
            self.begin_round();
        }
        let mut budget = limits::REPLAY_STEP_LOOKS_MAX;
        for _ in 0..limits::REPLAY_STEP_EVENTS_MAX {
            if !self.replay.rides || self.replay.waits_for_queue || budget == 0 {
                return;
            }
            if self.replay.position > self.inbox.seq {
                return self.arrive();
            }
            let Some(part) = self.replay.parts.front().cloned() else { return };
            let looks = match part {
                Part::Gap(gap) => self.pass_gap(gap),
                Part::Events(batch) => self.pass_event(&batch),
            };
            budget = budget.saturating_sub(looks);
            // A round of those near the present may meet events that come as fast as it goes.
            let longest = limits::REPLAY_ROUND_EVENTS * if self.replay.is_far { 1 } else { 2 };
            if self.replay.riding == 0 || self.replay.passed >= longest {
                return self.end_round();
            }
        }
    }

    /// To be called after each step: whether it was the last for now.
    pub(super) fn replay_has_ended(&mut self) {
        if !self.replay.is_active() && self.replay.ready.is_empty() {
            self.pool.free_pieces();
        }
    }

    /// Whoever is ready and ahead of the round rides along, if there is room.
    fn begin_round(&mut self) {
        let head = self.inbox.seq + 1;
        self.replay.stirred = false;
        let mut ready = std::mem::take(&mut self.replay.ready);
        // Whoever is no more is dropped from the list; one that is there twice would be served twice.
        let mut next_of = |at: SlotRef| {
            let behind = self.slots.current(at)?.behind.as_mut()?;
            behind.listed = behind.stage == Stage::Ready;
            behind.listed.then_some(behind.next)
        };
        let mut near = None::<u64>;
        let mut far = None::<u64>;
        ready.retain(|at| {
            let Some(next) = next_of(*at) else { return false };
            if next + limits::REPLAY_ROUND_EVENTS >= head {
                near = Some(near.map_or(next, |lowest| lowest.min(next)));
            } else if far.is_none() {
                far = Some(next);
            }
            true
        });
        let is_far = far.is_some() && (near.is_none() || !self.replay.is_far);
        let Some(start) = (if is_far { far } else { near }) else { return };
        let riders_max = self.rules.replay.sessions.max(1) as usize;
        let mut riders = Vec::new();
        ready.retain(|at| {
            let socket = self.slots.current(*at);
            let Some(behind) = socket.and_then(|socket| socket.behind.as_mut()) else { return false };
            if behind.stage != Stage::Ready {
                return false;
            }
            let rides = behind.next >= start && behind.next <= head && riders.len() < riders_max;
            if rides {
                behind.stage = Stage::Riding;
                behind.listed = false;
                riders.push((*at, behind.next));
            }
            !rides
        });
        self.replay.ready = ready;
        // The lowest may have found no room.
        let Some(position) = riders.iter().map(|(_, next)| *next).min() else { return };
        let replay = &mut self.replay;
        replay.riders = riders.into_iter().map(|(at, _)| at).collect();
        replay.riding = replay.riders.len();
        replay.aboard.clear();
        for rider in &replay.riders {
            let word = rider.slot as usize / 64;
            if word >= replay.aboard.len() {
                replay.aboard.resize(word + 1, 0);
            }
            replay.aboard[word] |= 1 << (rider.slot % 64);
        }
        replay.position = position;
        replay.frontier = position;
        replay.newest_chunk = position;
        replay.is_far = is_far;
        replay.rides = true;
        self.pool.keep_pieces();
        replay.passed = 0;
        replay.parts.clear();
        replay.next = 0;
    }

    /// The round has reached what was published last.
    fn arrive(&mut self) {
        let position = self.replay.position;
        for _ in 0..limits::REPLAY_ARRIVALS_MAX {
            let Some(at) = self.replay.riders.pop() else {
                self.end_round();
                // Those that are left are for numbers that are still to come.
                self.replay.stirred = !self.replay.ready.is_empty() && self.some_may_ride();
                return;
            };
            let Some(behind) = self.rider(at) else { continue };
            behind.next = behind.next.max(position);
            let settled = behind.settled();
            self.replay.riding -= 1;
            // A live stream may still be handed some of what was published before.
            if settled <= position && self.present(at.slot) == self.inbox.seq {
                self.go_live(at);
            } else {
                self.await_replay(at.slot);
            }
        }
    }

    fn end_round(&mut self) {
        let position = self.replay.position;
        for at in std::mem::take(&mut self.replay.riders) {
            if let Some(behind) = self.rider(at) {
                behind.next = behind.next.max(position);
                self.await_replay(at.slot);
            }
        }
        let replay = &mut self.replay;
        replay.rides = false;
        replay.riding = 0;
        replay.parts.clear();
        replay.stirred = !replay.ready.is_empty();
    }

    /// Whether anybody who waits could ride now.
    fn some_may_ride(&mut self) -> bool {
        let head = self.inbox.seq + 1;
        let ready = std::mem::take(&mut self.replay.ready);
        let some = ready.iter().any(|at| {
            let behind = self.slots.current(*at).and_then(|socket| socket.behind.as_ref());
            behind.is_some_and(|behind| behind.stage == Stage::Ready && behind.next <= head && behind.settled() <= head)
        });
        self.replay.ready = ready;
        some
    }

    /// More was published: somebody may have waited for just that.
    pub(super) fn replay_hears_of_events(&mut self) {
        self.replay.stirred |= !self.replay.ready.is_empty();
    }

    fn rider(&mut self, at: SlotRef) -> Option<&mut super::behind::Behind> {
        let behind = self.slots.current(at)?.behind.as_mut()?;
        (behind.stage == Stage::Riding).then_some(&mut **behind)
    }

    fn pass_gap(&mut self, told: Gap) -> usize {
        self.replay.parts.pop_front();
        self.replay.next = 0;
        if told.to < self.replay.position {
            return 0;
        }
        // What the disk does not have any more may still wait in the window for this shard, and comes as live events then.
        let told = if told.to > self.inbox.seq {
            self.replay.parts.clear();
            self.replay.frontier = self.inbox.seq + 1;
            self.replay.newest_chunk = self.inbox.seq + 1;
            Gap { to: self.inbox.seq, ..told }
        } else {
            told
        };
        let riders = std::mem::take(&mut self.replay.riders);
        let mut deliveries = 0;
        for &at in &riders {
            let Some(behind) = self.rider(at) else { continue };
            if behind.next > told.to {
                continue;
            }
            let from = behind.next.max(told.from).max(self.replay.position);
            let framing = Framing::of(self.slots[at.slot].protocol);
            self.hand_over(at.slot, from, &framing.gap(&Gap { from, ..told }));
            deliveries += 1;
        }
        self.replay.riders = riders;
        self.replay.position = told.to + 1;
        deliveries
    }

    fn pass_event(&mut self, batch: &Arc<EncodedBatch>) -> usize {
        // A batch may begin before what was asked for.
        let event = self.replay.next.max(self.replay.position.saturating_sub(batch.first_seq()) as usize);
        if event >= batch.len() {
            self.replay.parts.pop_front();
            self.replay.next = 0;
            return 0;
        }
        self.replay.next = event + 1;
        let seq = batch.first_seq() + event as u64;
        let mut looks = self.pass_event_in(Framing::WebSocket, batch, event);
        if self.index.has_streams() {
            let streamed = self.pass_event_in(Framing::EventStream, batch, event);
            looks += streamed;
        }
        self.replay.position = seq + 1;
        self.replay.passed += 1;
        looks
    }

    /// Lets the riders of one framing have an event. Returns how many sessions were looked at.
    fn pass_event_in(&mut self, framing: Framing, batch: &EncodedBatch, event: usize) -> usize {
        let seq = batch.first_seq() + event as u64;
        let mut looks = 0;
        let mut matched = std::mem::take(&mut self.replay.matched);
        self.index.find(batch.topic(event), framing, &mut matched);
        matched.retain(|id| !self.index.audience(*id).behind().is_empty());
        if !matched.is_empty() {
            let mut room = std::mem::take(&mut self.replay.room);
            let frame = framing.event(batch, event, &mut room);
            for &id in &matched {
                let members = std::mem::take(&mut self.index.audience(id).members);
                let live = self.index.audience(id).live as usize;
                for &slot in &members[live..] {
                    if !self.replay.is_aboard(slot) {
                        continue;
                    }
                    looks += 1;
                    let wants = self.slots[slot].behind.as_ref().is_some_and(|behind| behind.wants(id, seq));
                    if wants {
                        self.deliver(slot, &batch.events()[event], frame, seq);
                    }
                }
                looks += (members.len() - live) / limits::REPLAY_PASSED_OVER_A_LOOK;
                self.index.audience(id).members = members;
            }
            self.replay.room = room;
        }
        matched.clear();
        self.replay.matched = matched;
        looks
    }

    /// Hands an event to a rider. One that can't take it rides no more.
    fn deliver(&mut self, slot: u32, event: &Event, frame: &[u8], seq: u64) {
        #[cfg(test)]
        if seq == self.inbox.seq && sabotage::is(Sabotage::DropLastBeforeLive) {
            return;
        }
        let rules = self.rules.replay;
        let socket = &mut self.slots[slot];
        let at = socket.at(slot);
        let behind = socket.behind.as_mut().expect("a rider");
        let is_laden = socket.output.replayed_bytes() >= limits::REPLAY_SESSION_BYTES_MAX;
        if socket.full && is_laden {
            behind.next = seq;
            behind.stage = Stage::Draining;
            self.replay.riding -= 1;
            return;
        }
        if !behind.allowance.take(&rules, frame.len(), self.now) {
            behind.next = seq;
            behind.stage = Stage::Paused;
            self.replay.paused.push(at);
            self.replay.riding -= 1;
            return;
        }
        // It is sent more as soon as the queue has come to it.
        self.replay.waits_for_queue |= is_laden;
        if socket.policy == SlowPolicy::Latest && self.newest.has_newer(event, seq) {
            self.stats.skipped.add(1);
            if seq > behind.skipped_to {
                behind.skipped_to = self.inbox.seq;
                let told = Gap { from: seq, to: self.inbox.seq, reason: GapReason::Latest };
                let framing = Framing::of(self.slots[slot].protocol);
                self.hand_over(slot, seq, &framing.gap(&told));
            }
            return;
        }
        ShardStats::add(&self.stats.replayed, 1);
        self.hand_over(slot, seq, frame);
    }

    /// Adds a frame to what a rider is sent, which belongs at the number `seq`.
    fn hand_over(&mut self, slot: u32, seq: u64, frame: &[u8]) {
        self.release_answers(slot, seq);
        self.slots[slot].output.push_replayed(frame, &mut self.pool);
        self.replay.unsent_bytes += frame.len();
        self.enqueue(slot);
        let replay = &mut self.replay;
        replay.waits_for_queue |=
            replay.unsent_bytes >= limits::REPLAY_UNSENT_BYTES_MAX || replay.queue.len() >= limits::REPLAY_QUEUE_MAX;
    }

    fn wake_the_paused(&mut self) {
        if self.replay.looked == self.now || self.replay.paused.is_empty() {
            return;
        }
        self.replay.looked = self.now;
        let (rules, now) = (self.rules.replay, self.now);
        let mut paused = std::mem::take(&mut self.replay.paused);
        paused.retain(|at| {
            let behind = self.slots.current(*at).and_then(|socket| socket.behind.as_mut());
            let Some(behind) = behind.filter(|behind| behind.stage == Stage::Paused) else { return false };
            let rested = behind.allowance.is_rested(&rules, now);
            if rested {
                self.await_replay(at.slot);
            }
            !rested
        });
        self.replay.paused = paused;
    }

    /// Whoever needs it can't be served, and must not believe that nothing was published.
    fn journal_is_unreadable(&mut self) {
        for at in std::mem::take(&mut self.replay.riders) {
            // Those who are past the place are not concerned.
            let frontier = self.replay.frontier;
            match self.rider(at).map(|behind| behind.next) {
                Some(next) if next <= frontier => {
                    self.close(at.slot, CloseCode::INTERNAL_ERROR, "the journal can't be read");
                }
                Some(_) => self.replay.riders.push(at),
                None => {}
            }
        }
        self.end_round();
    }
}
