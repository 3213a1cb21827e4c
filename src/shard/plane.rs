//! The shard's loop over its sockets, in bounded turns.
//!
//! ```text
//!   collect: reap completions     (then the caller takes what the journal has)
//!   turn:    ingest events ─▶ feed input ─▶ timers, drain ─▶ send one batch ─▶ submit requests
//! ```
//!
//! What came from a client is acted on after the events that were published before the client sent it: a publisher that was
//! answered and then subscribes, or a session that is greeted, is told no number from before that event, as long as the
//! flow control lets events in. Input comes before
//! the timers, so that pongs are seen before a deadline is judged. A turn sends to at most
//! [`SEND_BATCH_SOCKETS`](crate::limits::SEND_BATCH_SOCKETS) sockets (half a millisecond); then the caller lets others
//! run. Each socket is sent whatever it has at that moment, so events that arrive during a pass ride along.

use std::collections::VecDeque;
use std::sync::Arc;

use super::drain::DrainRules;
use super::sessions::{Queued, Request, Sessions};
use super::socket::State;
use super::sockets::Sockets;
use super::stats::ShardStats;
use super::survey::Survey;
use super::wheel::Tick;
use crate::accounts::Snapshot;
use crate::clock::Nanos;
use crate::gate::Entry;
use crate::hub::EncodedBatch;
use crate::journal::Chunk;
use crate::limits;
use crate::protocol::{Admission, SessionRules, Terms, UnixMs};
use crate::ring::{Completion, Operation, SendBatch, SlotRef};
use crate::ws::CloseCode;

/// Why a socket could not enter.
#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error("every slot of the shard is taken")]
    Full,
    #[error("the socket could not be registered: {0}")]
    Register(#[from] std::io::Error),
}

pub struct Plane<S: Sockets> {
    sockets: S,
    sessions: Sessions,
    completions: Vec<Completion>,
    batch: SendBatch<'static>,
    /// Slots of the batch under way, and the bytes that each was lent for.
    visited: Vec<(u32, usize)>,
    results: Vec<i32>,
    due: Vec<u32>,
    /// Sockets whose receive found no buffer, to be armed again.
    deaf: VecDeque<SlotRef>,
    /// The pass under way: what `visited` comes to when it is over, and when it began.
    pass: Option<(u64, Nanos)>,
    /// Sessions that are behind are not served before this time.
    rests_until: Nanos,
    /// Nor before this one, as long as live events are on their way.
    waits_until: Nanos,
}

impl<S: Sockets> Plane<S> {
    pub fn new(sockets: S, sessions: Sessions) -> Self {
        Self {
            sockets,
            sessions,
            completions: Vec::new(),
            batch: SendBatch::default(),
            visited: Vec::new(),
            results: Vec::new(),
            due: Vec::new(),
            deaf: VecDeque::new(),
            pass: None,
            rests_until: 0,
            waits_until: 0,
        }
    }

    pub fn sockets(&mut self) -> &mut S {
        &mut self.sockets
    }

    /// Slots that are not vacant.
    pub fn occupied(&self) -> u32 {
        self.sessions.occupied()
    }

    /// Brings an upgraded socket in. `leftover` is what was read past its handshake.
    /// `entry` is its count at the gate, which it holds until its slot is vacant again.
    pub fn enter(
        &mut self,
        socket: S::Socket,
        admission: Admission,
        terms: Terms,
        entry: Entry,
        mut leftover: Vec<u8>,
    ) -> Result<(), EnterError> {
        let at = self.sessions.reserve().ok_or(EnterError::Full)?;
        if let Err(error) = self.sockets.adopt(at, socket) {
            self.sessions.unreserve(at);
            return Err(error.into());
        }
        self.sessions.open(at, admission, terms, entry.into_pass(), &mut leftover);
        Ok(())
    }

    /// Bytes that are kept for sockets that have not taken them.
    #[cfg(test)]
    pub fn held_for_the_slow(&self) -> usize {
        let slots = &self.sessions.slots;
        slots.slots().map(|slot| slots[slot].output.replayed_bytes() + slots[slot].output.owned_bytes()).sum()
    }

    /// The number of the newest event that was taken in.
    #[cfg(test)]
    pub fn taken_in(&self) -> u64 {
        self.sessions.inbox.seq
    }

    /// Sessions that are not live.
    #[cfg(test)]
    pub fn behind(&self) -> usize {
        let slots = &self.sessions.slots;
        slots.slots().filter(|slot| slots[*slot].is_behind()).count()
    }

    /// Sessions behind that have something unsent and are to be visited.
    #[cfg(test)]
    pub fn replay_queue(&self) -> usize {
        self.sessions.replay.queue.len()
    }

    /// Emptied pieces of events from the journal that are kept.
    #[cfg(test)]
    pub fn spare_pieces(&self) -> usize {
        self.sessions.pool.spare_pieces()
    }

    #[cfg(test)]
    pub fn replay_position(&self) -> u64 {
        self.sessions.replay.position
    }

    /// What time it is, for what comes in before the next turn.
    pub fn tell_time(&mut self, unix_ms: UnixMs) {
        self.sessions.unix_ms = unix_ms;
    }

    /// Whether the batches taken so far have all gone into the log.
    pub fn wants_events(&self) -> bool {
        self.sessions.inbox.is_empty()
    }

    /// The number of the event that is to come next.
    pub fn next_seq(&self) -> u64 {
        self.sessions.inbox.seq + 1
    }

    /// Where the next batches go, in the order of their numbers.
    pub fn inbox(&mut self) -> &mut impl Extend<Arc<EncodedBatch>> {
        &mut self.sessions.inbox.batches
    }

    /// The number from which on the journal is to be read for sessions that are behind, if it is to be read now. It is asked
    /// for once.
    pub fn replay_wants(&mut self) -> Option<u64> {
        self.sessions.replay_wants()
    }

    /// What the journal holds from the number on that was asked for; none where it can't be read.
    pub fn replayed(&mut self, chunk: Option<Chunk>) {
        self.sessions.replayed(chunk);
    }

    /// The newest number that was given out, for what comes in before the next turn.
    pub fn tell_newest(&mut self, seq: u64) {
        self.sessions.newest_seq = seq;
    }

    pub fn follow_accounts(&mut self, accounts: Arc<Snapshot>) {
        self.sessions.follow_accounts(accounts);
    }

    /// Puts changed rules into force.
    pub fn follow_rules(&mut self, rules: SessionRules) {
        self.sessions.follow_rules(rules);
    }

    /// Asks something that is answered within the next turns.
    pub fn survey(&mut self, survey: Survey) {
        self.sessions.surveys.add(survey);
    }

    pub fn close_all(&mut self, code: CloseCode, reason: &str) {
        self.sessions.close_all(code, reason);
    }

    /// Begins to tell every session that it is to come back, and to close them, as the rules say. `shard` is one of `shards`.
    pub fn begin_drain(&mut self, rules: DrainRules, shard: usize, shards: usize) {
        self.sessions.begin_drain(rules, shard, shards);
    }

    /// Whether a drain has come to its end: every session was told and closed.
    #[cfg(test)]
    pub fn has_drained(&self) -> bool {
        self.sessions.has_drained()
    }

    /// One bounded turn. Returns whether there is more to do at once; else nothing will happen before a completion, a
    /// call from outside, or the next tick.
    pub fn turn(&mut self, tick: Tick, now: impl Fn() -> Nanos) -> bool {
        self.sessions.ingest();
        self.act();
        self.listen_again();
        self.sessions.advance(tick, &mut self.due);
        self.sessions.go_on_with_drain();
        self.begin_pass(&now);
        self.send_batch(false);
        let sent_at = now();
        self.sessions.record_finished(sent_at);
        self.end_pass(sent_at);
        if self.sessions.replay.is_active() {
            self.serve_those_behind(&now);
        }
        self.sessions.go_on_with_surveys();
        self.submit();
        self.sessions.has_work()
            || (self.sessions.replay.has_work() && self.rests_until == 0)
            || !self.completions.is_empty()
            || !self.deaf.is_empty()
    }

    /// Those who have output now are a pass, if the one before is over.
    fn begin_pass(&mut self, now: impl Fn() -> Nanos) {
        if self.pass.is_none() && !self.sessions.queue.is_empty() {
            self.pass = Some((self.sessions.inbox.enqueued, now()));
        }
    }

    fn end_pass(&mut self, now: Nanos) {
        if let Some((_, began)) = self.pass.take_if(|(visited, _)| self.sessions.inbox.visited >= *visited) {
            self.sessions.stats.pass.record(now.saturating_sub(began));
        }
    }

    /// Whether there is something to do for a session that is behind.
    pub fn serves_those_behind(&self) -> bool {
        self.sessions.replay.has_work()
    }

    /// When sessions that are behind are served again, while they are not.
    pub fn rests_until(&self) -> Option<Nanos> {
        (self.rests_until > 0 && self.sessions.replay.has_work()).then_some(self.rests_until)
    }

    /// A step for the sessions that are behind, and then a rest that leaves the rest of the CPU to everybody else: the desk,
    /// clients on this machine. While live events are on their way they wait, but not for ever.
    fn serve_those_behind(&mut self, now: &impl Fn() -> Nanos) {
        let began = now();
        let waits = !self.sessions.queue.is_empty() && began < self.waits_until;
        if waits || began < self.rests_until {
            return;
        }
        self.sessions.replay();
        self.send_batch(true);
        self.sessions.replay_has_ended();
        let ended = now();
        let share = u64::from(self.sessions.rules.replay.share_percent.clamp(1, 100));
        let took = ended - began;
        let rest = took * (100 - share) / share;
        self.waits_until = ended + (took * limits::REPLAY_WAITS_STEPS).min(limits::REPLAY_WAITS_US * 1_000);
        self.rests_until = if rest > 0 { ended + rest } else { 0 };
    }

    /// Takes what the kernel has. To be called before the journal is asked for the events of a turn.
    pub fn collect(&mut self) {
        self.sockets.reap(&mut self.completions);
    }

    fn act(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        for completion in completions.drain(..) {
            self.complete(completion);
        }
        self.completions = completions;
    }

    fn complete(&mut self, completion: Completion) {
        let Completion { operation, at, result, buffer, more } = completion;
        let mut ended = false;
        if let Some(buffer) = buffer {
            if result > 0 {
                let received = self.sockets.received(at, buffer, result as usize);
                ended = received.ended;
                self.sessions.input(at, received.bytes);
            }
            self.sockets.recycle(buffer);
        }
        let Some(socket) = self.sessions.slots.current(at) else {
            debug_assert!(false, "a completion came for a socket that is gone: {completion:?}");
            return;
        };
        match operation {
            Operation::Receive => {
                socket.armed.receive = more;
                if ended || !more {
                    self.receive_ended(at.slot, if ended { 0 } else { result });
                }
            }
            Operation::Writable => {
                socket.armed.writable = false;
                socket.full = false;
                let has_output = !socket.output.is_empty();
                self.sessions.sign_of_life(at.slot);
                if has_output {
                    self.sessions.enqueue(at.slot);
                }
                self.sessions.drained(at.slot);
                self.sessions.hear_on(at.slot);
            }
            Operation::ShutdownWrite => {
                socket.armed.shutdown = false;
                if result < 0 || (socket.peer_closed && socket.state == State::Draining) {
                    self.sessions.terminate(at.slot);
                }
            }
            Operation::Cancel => socket.armed.cancel = false,
            Operation::Close => {
                self.sessions.released(at.slot);
                return;
            }
            Operation::Send => unreachable!("sends are reaped inside their call"),
        }
        self.sessions.release_if_quiet(at.slot);
    }

    /// A multishot receive is over, or what it brings: end of stream, an error, or buffers ran out. A deaf socket is a bug, so it is armed
    /// again wherever the stream goes on.
    fn receive_ended(&mut self, slot: u32, result: i32) {
        let socket = &mut self.sessions.slots[slot];
        if matches!(socket.state, State::Terminating | State::Releasing) {
            return;
        }
        match -result {
            // The close frame that waits, here or below, is still worth sending: the peer may only have finished its own direction.
            0 if socket.state == State::Closing || socket.armed.shutdown => socket.peer_closed = true,
            ..0 | libc::EINTR | libc::EAGAIN => self.sessions.arm_receive(slot),
            libc::ENOBUFS => self.deaf.push_back(socket.at(slot)),
            _ => self.sessions.terminate(slot),
        }
    }

    /// Arms receives again that found no buffer, no more at a time than there are buffers: if thousands were armed at
    /// once, all but a few would only fail again.
    fn listen_again(&mut self) {
        for _ in 0..self.deaf.len().min(limits::RECEIVE_BUFFERS.into()) {
            let at = self.deaf.pop_front().expect("as many as were counted");
            let listens = |state| matches!(state, State::Open | State::Closing | State::Draining);
            if self.sessions.slots.current(at).is_some_and(|socket| listens(socket.state)) {
                self.sessions.arm_receive(at.slot);
            }
        }
    }

    /// Sends to those whose turn it is: of the live, or of those that are behind.
    fn send_batch(&mut self, behind: bool) {
        let sessions = &mut self.sessions;
        let mut batch = std::mem::take(&mut self.batch).recycle();
        let most = limits::SEND_BATCH_SOCKETS.min(self.sockets.send_batch_max());
        self.visited.clear();
        let most = if behind { most.min(limits::REPLAY_SENDS_MAX) } else { most };
        while self.visited.len() < most {
            let next = match behind {
                true => sessions.replay.queue.pop_front(),
                false => sessions.queue.pop_front().map(|Queued { at, .. }| {
                    sessions.inbox.visited += 1;
                    at
                }),
            };
            let Some(at) = next else { break };
            let Some(socket) = sessions.slots.current(at) else { continue };
            let queued = if behind { &mut socket.queued_behind } else { &mut socket.queued };
            *queued = false;
            if !socket.output.is_empty() && !socket.full {
                self.visited.push((at.slot, 0));
            }
        }
        for (slot, bytes) in &mut self.visited {
            batch.begin(*slot);
            *bytes = sessions.slots[*slot].output.gather(&sessions.log, &mut batch);
        }
        if !batch.is_empty() {
            self.sockets.send(&batch, &mut self.results);
        }
        self.batch = batch.recycle();
        let mut sent_bytes = 0;
        for (&(slot, lent), &result) in self.visited.iter().zip(&self.results) {
            sent_bytes += result.max(0) as u64;
            sent(sessions, slot, lent, result);
        }
        ShardStats::add(&sessions.stats.sends, self.visited.len() as u64);
        ShardStats::add(&sessions.stats.sent_bytes, sent_bytes);
    }

    fn submit(&mut self) {
        for request in self.sessions.requests.drain(..) {
            match request {
                Request::ArmReceive(at) => self.sockets.arm_receive(at),
                Request::WatchWritable(at) => self.sockets.watch_writable(at),
                Request::ShutdownWrite(at) => self.sockets.shutdown_write(at),
                Request::Cancel(at) => self.sockets.cancel(at),
                Request::Close(at) => self.sockets.close(at),
            }
        }
        // To be collected before the next turn would submit them too, but that may be a sleep away.
        self.collect();
    }
}

/// What one send came to.
fn sent(sessions: &mut Sessions, slot: u32, lent: usize, result: i32) {
    let socket = &mut sessions.slots[slot];
    let taken = match result {
        taken if taken >= 0 => taken as usize,
        refused if refused == -libc::EAGAIN || refused == -libc::ENOBUFS || refused == -libc::EINTR => 0,
        _ => return sessions.terminate(slot),
    };
    socket.output.consume(taken, &sessions.log, &mut sessions.pool);
    if taken < lent {
        socket.full = true;
        socket.armed.writable = true;
        sessions.requests.push(Request::WatchWritable(socket.at(slot)));
        if !std::mem::replace(&mut socket.listed_as_full, true) {
            sessions.full.push(slot);
        }
    } else if !socket.output.is_empty() {
        sessions.enqueue(slot);
    } else if socket.state == State::Closing {
        socket.state = State::Draining;
        socket.armed.shutdown = true;
        sessions.requests.push(Request::ShutdownWrite(socket.at(slot)));
    }
    if taken > 0 {
        sessions.hear_on(slot);
        sessions.drained(slot);
    }
}
