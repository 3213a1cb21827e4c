//! Events on their way to the sockets: inbox → log → audiences → outputs.
//!
//! Flow control: an event is only taken in while every socket that the kernel takes bytes for can still be served from
//! the log. If the queue of the pass lags half a log behind, or a socket's scattered ranges reach their bound, the inbox
//! waits for the pass. So a batch of any size reaches the healthy, and only a socket that the kernel refused bytes for,
//! and that has not caught up since, can fall off the log.
//!
//! Streams of server-sent events get other bytes. Those go into the log behind the WebSocket frames of as many events as were
//! taken in, so that a burst stays one range for either. The same flow control holds for both, so streams may be some events of
//! a batch behind the others; they come first then.

use std::collections::VecDeque;
use std::sync::Arc;

use super::framing::Framing;
use super::index::AudienceId;
use super::log::LogRange;
use super::sessions::{Queued, Sessions};
use super::stats::{ShardStats, SlowEnd};
use crate::clock::{self, Nanos};
use crate::hub::EncodedBatch;
use crate::limits;
use crate::logging::Occasion;
use crate::protocol::SlowPolicy;
use crate::ws::CloseCode;

/// Batches that were pushed by the hub, and how far they are.
#[derive(Default)]
pub struct Inbox {
    pub batches: VecDeque<Arc<EncodedBatch>>,
    /// The next event of the front batch.
    next: usize,
    /// The same for streams; never past that.
    next_streamed: usize,
    /// Sockets ever put into the queue of the pass, and ever visited.
    pub enqueued: u64,
    pub visited: u64,
    /// The pass must have visited this many before the next event is taken in.
    gate: u64,
    /// Batches whose fan-out is not over: it is when `visited` reaches the count.
    marks: VecDeque<(u64, Nanos)>,
    /// What the shard had delivered when the batch before was handed out.
    delivered: u64,
    /// The log's head at which the full sockets are searched next.
    next_sweep: u64,
    /// Rotates the order in which audiences and their members are queued; a fraction of them, of 2^32.
    rotation: u32,
    /// Ranges handed to sockets in the ingest under way.
    pushes: usize,
    /// Scratch: audiences of the event under way.
    matched: Vec<AudienceId>,
    /// Scratch: audiences with matched frames that their members don't have yet, in the order of those frames.
    touched: Vec<AudienceId>,
    /// Scratch: an event as a stream gets it.
    room: Vec<u8>,
    /// The number of the newest event taken in.
    pub seq: u64,
}

impl Inbox {
    /// An inbox whose first event is the one after `seq`.
    pub fn after(seq: u64) -> Self {
        Self { seq, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The number of the newest event that has gone to the live sessions of a framing.
    pub fn seq_of(&self, framing: Framing) -> u64 {
        match framing {
            Framing::WebSocket => self.seq,
            Framing::EventStream => self.seq - (self.next - self.next_streamed) as u64,
        }
    }

    /// Where of `count` to begin. Steps of the golden ratio: successive passes begin as far apart as can be, whatever the
    /// count.
    fn rotate(&mut self, count: usize) -> usize {
        self.rotation = self.rotation.wrapping_add(0x9e37_79b9);
        ((u64::from(self.rotation) * count as u64) >> 32) as usize
    }
}

impl Sessions {
    /// Takes in as many events as the flow control lets through.
    pub(super) fn ingest(&mut self) {
        let began_at = self.log.head();
        self.inbox.pushes = 0;
        while let Some(batch) = self.inbox.batches.front().cloned() {
            if self.inbox.next_streamed == self.inbox.next {
                while self.inbox.next < batch.len() && self.may_ingest(began_at, batch.frame(self.inbox.next).len()) {
                    self.take_in(&batch, self.inbox.next);
                    self.inbox.next += 1;
                }
                self.hand_to_members();
            }
            self.take_in_for_streams(&batch, began_at);
            self.replay_hears_of_events();
            if self.inbox.next_streamed < batch.len() {
                return;
            }
            (self.inbox.next, self.inbox.next_streamed) = (0, 0);
            self.inbox.batches.pop_front();
            // One that nobody here is to have says nothing of how long it takes to be sent.
            let delivered = self.stats.deliveries.get();
            if std::mem::replace(&mut self.inbox.delivered, delivered) != delivered {
                self.inbox.marks.push_back((self.inbox.enqueued, batch.accepted_at()));
            }
        }
    }

    /// Records the fan-out time of every batch that the pass has finished.
    pub(super) fn record_finished(&mut self, now: Nanos) {
        while let Some(&(enqueued, accepted_at)) = self.inbox.marks.front() {
            if self.inbox.visited < enqueued {
                return;
            }
            self.stats.record_fanout(now.saturating_sub(accepted_at));
            self.inbox.marks.pop_front();
        }
    }

    /// Frames since `began_at` may still wait to be handed to their audiences; older ones that are needed are those of
    /// the queue, whose front has waited longest.
    fn may_ingest(&self, began_at: u64, frame_bytes: usize) -> bool {
        let needed_from = self.queue.front().map_or(began_at, |queued| queued.needs_from.min(began_at));
        self.inbox.visited >= self.inbox.gate
            && self.inbox.pushes < limits::INGEST_PUSHES_MAX
            && self.log.head() + frame_bytes as u64 - needed_from <= self.log.capacity() / 2
    }

    fn take_in(&mut self, batch: &EncodedBatch, event: usize) {
        let frame = batch.frame(event);
        self.cut_off_before_overwriting(frame.len());
        ShardStats::add(&self.stats.events, 1);
        self.newest.note(&batch.events()[event], batch.first_seq() + event as u64);
        self.inbox.seq = batch.first_seq() + event as u64;
        let range = self.log.append(frame, self.inbox.seq);
        let mut matched = std::mem::take(&mut self.inbox.matched);
        self.index.find(batch.topic(event), Framing::WebSocket, &mut matched);
        self.note_matched(&mut matched, range);
        self.inbox.matched = matched;
    }

    /// Lets streams have the events of a batch that the others have, as far as the flow control lets them through.
    fn take_in_for_streams(&mut self, batch: &EncodedBatch, began_at: u64) {
        if !self.index.has_streams() {
            self.inbox.next_streamed = self.inbox.next;
            return;
        }
        while self.inbox.next_streamed < self.inbox.next {
            let event = self.inbox.next_streamed;
            let bytes_max = batch.frame(event).len() + limits::STREAM_EVENT_MORE_BYTES_MAX;
            if !self.may_ingest(began_at, bytes_max) {
                break;
            }
            self.take_in_for_streams_of(batch, event, bytes_max);
            self.inbox.next_streamed += 1;
        }
        self.hand_to_members();
    }

    fn take_in_for_streams_of(&mut self, batch: &EncodedBatch, event: usize, bytes_max: usize) {
        // First of all, as it may end sessions.
        self.cut_off_before_overwriting(bytes_max);
        let mut matched = std::mem::take(&mut self.inbox.matched);
        self.index.find(batch.topic(event), Framing::EventStream, &mut matched);
        if matched.iter().any(|id| self.index.audience(*id).live > 0) {
            let mut room = std::mem::take(&mut self.inbox.room);
            let seq = batch.first_seq() + event as u64;
            let range = self.log.append(Framing::EventStream.event(batch, event, &mut room), seq);
            self.inbox.room = room;
            self.note_matched(&mut matched, range);
        }
        matched.clear();
        self.inbox.matched = matched;
    }

    /// Notes which audiences a frame is for, until it is handed to their members.
    fn note_matched(&mut self, matched: &mut Vec<AudienceId>, range: LogRange) {
        for id in matched.drain(..) {
            let audience = self.index.audience(id);
            if audience.live == 0 {
                continue;
            }
            if audience.pending_events > 0 && audience.pending.end == range.start {
                audience.pending.end = range.end;
                audience.pending_events += 1;
                continue;
            }
            if audience.pending_events > 0 {
                self.hand_to_members();
            }
            let audience = self.index.audience(id);
            audience.pending = range;
            audience.pending_events = 1;
            self.inbox.touched.push(id);
        }
    }

    /// Frames that follow one another in the log are handed to an audience's members as one range.
    ///
    /// A socket may be in several audiences, and gets their frames in the order of the log: `touched` is in that order, and
    /// whatever is handed over is handed over with everything before it. Among audiences that begin with the same event
    /// nobody is always first.
    fn hand_to_members(&mut self) {
        let mut touched = std::mem::take(&mut self.inbox.touched);
        let mut rest = touched.as_mut_slice();
        while let Some(&first) = rest.first() {
            let start = self.index.audience(first).pending.start;
            let count = rest.iter().take_while(|id| self.index.audience(**id).pending.start == start).count();
            let (beside, behind) = rest.split_at_mut(count);
            beside.rotate_left(self.inbox.rotate(count));
            for &mut id in beside {
                self.hand_to_members_of(id);
            }
            rest = behind;
        }
        touched.clear();
        self.inbox.touched = touched;
    }

    fn hand_to_members_of(&mut self, id: AudienceId) {
        let audience = self.index.audience(id);
        let (range, events) = (audience.pending, std::mem::take(&mut audience.pending_events));
        let live = audience.live as usize;
        let members = std::mem::take(&mut audience.members);
        self.push_to_members(&members[..live], range, events);
        self.index.audience(id).members = members;
    }

    fn push_to_members(&mut self, members: &[u32], range: LogRange, events: u32) {
        let (before, from_here) = members.split_at(self.inbox.rotate(members.len()));
        self.inbox.pushes += members.len();
        for &slot in from_here.iter().chain(before) {
            let socket = &mut self.slots[slot];
            socket.output.push_range(range, &mut self.pool);
            let pieces = socket.output.pieces();
            if socket.full {
                if pieces >= limits::OUTPUT_PIECES_MAX {
                    self.inbox.next_sweep = 0;
                }
                continue;
            }
            if !socket.queued {
                socket.queued = true;
                self.queue.push_back(Queued { at: socket.at(slot), needs_from: range.start });
                self.inbox.enqueued += 1;
            }
            if pieces >= limits::SCATTERED_PIECES_MAX {
                self.inbox.gate = self.inbox.enqueued;
            }
        }
        ShardStats::add(&self.stats.deliveries, u64::from(events) * members.len() as u64);
    }

    /// Hands every socket to the journal that was full and whose oldest range the log is about to overwrite, or whose ranges
    /// are too many; or closes it, where that is its policy. One that takes bytes again stays in the list until it has been sent
    /// everything.
    ///
    /// The list is searched once per sixteenth of the log. What the search leaves lies within the newest 14 sixteenths;
    /// until the next one the head moves by a sixteenth and at most one frame, which is no longer than another.
    fn cut_off_before_overwriting(&mut self, upcoming: usize) {
        let head = self.log.head() + upcoming as u64;
        if head < self.inbox.next_sweep {
            return;
        }
        self.hand_to_members();
        let sixteenth = self.log.capacity() / 16;
        self.inbox.next_sweep = head + sixteenth;
        let keep_from = head.saturating_sub(14 * sixteenth);
        let mut full = std::mem::take(&mut self.full);
        full.retain(|&slot| {
            let socket = &mut self.slots[slot];
            let Some(oldest) = socket.output.oldest() else {
                // A full one may need the log again with the next event.
                socket.listed_as_full = socket.full;
                return socket.full;
            };
            let scattered = socket.full && socket.output.pieces() >= limits::OUTPUT_PIECES_MAX;
            if oldest < keep_from || scattered {
                self.cut_off(slot);
            }
            true
        });
        self.full = full;
    }

    /// Acts on a slow consumer, also on one that is being closed behind events that it has not read.
    fn cut_off(&mut self, slot: u32) {
        const REASON: &str = "too slow: events were about to be lost";
        static FELL_BEHIND: Occasion = Occasion::new();
        static CLOSED: Occasion = Occasion::new();
        let (protocol, policy, is_open) =
            (self.slots[slot].protocol, self.slots[slot].policy, self.slots[slot].is_open());
        let end = match policy {
            SlowPolicy::CatchUp if is_open => SlowEnd::CatchUp,
            SlowPolicy::Latest if is_open => SlowEnd::Latest,
            _ => SlowEnd::Disconnect,
        };
        let falls_behind = end != SlowEnd::Disconnect;
        let occasion = if falls_behind { &FELL_BEHIND } else { &CLOSED };
        if let Some(untold) = occasion.tell(clock::now()) {
            let what =
                if falls_behind { "falls behind, and is served from the journal" } else { "is closed with 4409" };
            let (who, from) = (self.holder(slot), self.present(slot));
            tracing::warn!(?protocol, who, %policy, from, untold, "a slow consumer {what}: it takes bytes more slowly than events come");
        }
        self.stats.slow_consumers.of(end).add(1);
        if falls_behind {
            return self.fall_behind(slot);
        }
        if is_open {
            return self.close(slot, CloseCode::SLOW_CONSUMER, REASON);
        }
        let last = self.last_words(slot, CloseCode::SLOW_CONSUMER, REASON);
        self.slots[slot].output.cut_to(last, &self.log, &mut self.pool);
    }
}
