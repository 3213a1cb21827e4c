//! All sockets of a shard and what happens to them, without the kernel: it is told what came, and asks for operations.
//!
//! ```text
//!   enter ──▶ Socket ──input──▶ decoder ──▶ dialogue ──▶ output
//!   batch ──▶ fanout ──▶ log + index ──▶ output ──▶ queue of the pass ──▶ (plane sends)
//!   tick  ──▶ heartbeat ──▶ ping or close
//! ```
//!
//! [`Plane`](super::plane::Plane) carries out the [`Request`]s and reports completions. Pure but for the statistics.

use std::collections::VecDeque;
use std::sync::Arc;

use super::accounts::{KEY_REVOKED, TIER_TOO_LOW, admits};
use super::dialogue::ANSWERS_UNREAD;
use super::drain::Drain;
use super::fanout::Inbox;
use super::framing::Framing;
use super::index::{Bond, TopicIndex};
use super::log::ShardLog;
use super::output::BacklogPool;
use super::replay::{Newest, Replay};
use super::socket::{SlotTable, State};
use super::stats::ShardStats;
use super::survey::Surveys;
use super::wheel::{Tick, TimerWheel};
use crate::accounts::{AccountId, KeyNumber, Snapshot};
use crate::gate::{Gate, Holder, Pass, Rate, Refused};
use crate::limits;
use crate::protocol::{Admission, Protocol, SessionRules, Terms, UnixMs, tiered};
use crate::ring::SlotRef;
#[cfg(test)]
use crate::simulation::sabotage::{self, Sabotage};
use crate::tokens::Verifier;
use crate::ws::CloseCode;

/// What the kernel is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    ArmReceive(SlotRef),
    WatchWritable(SlotRef),
    ShutdownWrite(SlotRef),
    Cancel(SlotRef),
    Close(SlotRef),
}

/// A socket's turn in the pass.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    /// With its generation: the socket may be gone, and another in its slot, before its turn comes.
    pub at: SlotRef,
    /// No log offset below this one is needed by it or by those behind it, but for sockets that were full: the sweep
    /// looks after those.
    pub needs_from: u64,
}

/// Sizes of one shard's parts.
#[derive(Clone, Copy, Debug)]
pub struct ShardSizes {
    pub slots: u32,
    /// A power of two, at least 16 times the largest event.
    pub log_bytes: usize,
}

/// What the sessions of a shard share with the rest of the server.
pub struct SessionParts {
    pub accounts: Arc<Snapshot>,
    pub tokens: Arc<Verifier>,
    pub gate: Arc<Gate>,
    pub rules: SessionRules,
    pub stats: Arc<ShardStats>,
    /// The number of the newest event that was published before this shard began.
    pub seq: u64,
}

pub struct Sessions {
    pub(super) slots: SlotTable,
    pub(super) log: ShardLog,
    pub(super) pool: BacklogPool,
    pub(super) index: TopicIndex,
    pub(super) inbox: Inbox,
    pub(super) wheel: TimerWheel,
    /// Sockets with output that the kernel may take, in the order in which they will be visited.
    pub(super) queue: VecDeque<Queued>,
    /// Sessions that are behind.
    pub(super) replay: Replay,
    pub(super) newest: Newest,
    /// The newest number that was given out, as far as this shard knows; it may be past what it has taken in.
    pub(super) newest_seq: u64,
    /// Sockets that the kernel refused bytes for, until they have been sent everything.
    pub(super) full: Vec<u32>,
    pub(super) requests: Vec<Request>,
    /// Since the server has begun to end.
    pub(super) drain: Option<Drain>,
    /// What operators ask.
    pub(super) surveys: Surveys,
    pub(super) accounts: Arc<Snapshot>,
    pub(super) tokens: Arc<Verifier>,
    pub(super) gate: Arc<Gate>,
    pub(super) rules: SessionRules,
    /// The rate of `rules`.
    pub(super) rate: Rate,
    pub(super) stats: Arc<ShardStats>,
    pub(super) now: Tick,
    pub(super) unix_ms: UnixMs,
    /// For the numbers of rooms sessions.
    pub(super) random: fastrand::Rng,
}

impl Sessions {
    pub fn new(sizes: ShardSizes, parts: SessionParts) -> Self {
        let SessionParts { accounts, tokens, gate, rules, stats, seq } = parts;
        // Simulations have small events and a small log, so that it wraps often.
        assert!(sizes.log_bytes >= 16 * limits::EVENT_BYTES_MAX || cfg!(test), "a log of {} bytes", sizes.log_bytes);
        Self {
            slots: SlotTable::new(sizes.slots),
            log: ShardLog::new(sizes.log_bytes),
            pool: BacklogPool::default(),
            index: TopicIndex::default(),
            inbox: Inbox::after(seq),
            wheel: TimerWheel::new(),
            queue: VecDeque::new(),
            replay: Replay::default(),
            newest: Newest::default(),
            newest_seq: seq,
            full: Vec::new(),
            requests: Vec::new(),
            drain: None,
            surveys: Surveys::default(),
            accounts,
            tokens,
            gate,
            rate: Rate::per_second(rules.messages_per_second, rules.message_burst),
            rules,
            stats,
            now: 0,
            unix_ms: 0,
            random: fastrand::Rng::new(),
        }
    }

    /// From now on these rules are in force. Rates, sizes and allowances act on every session with what it does next. What a session
    /// was given when it came stays: what becomes of it when it is too slow, and the time in which it has to authenticate.
    pub fn follow_rules(&mut self, rules: SessionRules) {
        self.rate = Rate::per_second(rules.messages_per_second, rules.message_burst);
        self.rules = rules;
    }

    pub fn occupied(&self) -> u32 {
        self.slots.occupied()
    }

    /// Whether there is anything to do before something new happens.
    pub fn has_work(&self) -> bool {
        let drains = self.drain.as_ref().is_some_and(|drain| drain.has_work(self.now));
        let waits = !self.queue.is_empty() || !self.inbox.is_empty() || !self.requests.is_empty();
        waits || !self.surveys.is_empty() || drains
    }

    /// Takes a slot for a socket that is about to be adopted.
    pub fn reserve(&mut self) -> Option<SlotRef> {
        let slot = self.slots.take()?;
        Some(self.slots[slot].at(slot))
    }

    /// Gives a reserved slot back unused.
    pub fn unreserve(&mut self, at: SlotRef) {
        self.slots.release(at.slot);
    }

    /// Opens the session of an adopted socket. `leftover` is what the desk read past the handshake.
    pub fn open(&mut self, at: SlotRef, admission: Admission, terms: Terms, pass: Pass, leftover: &mut [u8]) {
        let socket = &mut self.slots[at.slot];
        socket.state = State::Open;
        socket.protocol = admission.protocol();
        socket.policy = terms.policy;
        socket.pass = Some(pass);
        self.arm_receive(at.slot);
        self.stats.enter(admission.protocol());
        match admission {
            Admission::Keyed { protocol, account, key } => {
                self.open_keyed(at.slot, protocol, account, key, terms.since)
            }
            Admission::Channels => self.await_authentication(at.slot, terms.since),
            Admission::Rooms { claims } => {
                self.await_authentication(at.slot, terms.since);
                if let Some(claims) = claims {
                    self.welcome(at.slot, claims);
                }
            }
            Admission::Stream(stream) => self.open_stream(at.slot, stream, terms.since),
            Admission::Refused { before, code, reason } => self.close_after(at.slot, &before, code, &reason),
            #[cfg(feature = "conformance")]
            Admission::Echo => {}
        }
        if !leftover.is_empty() {
            self.input(at, leftover);
        }
        self.tell_latecomer(at);
    }

    /// The snapshot may be newer than the one that the desk authenticated against.
    fn open_keyed(&mut self, slot: u32, protocol: Protocol, account: AccountId, key: KeyNumber, since: Option<u64>) {
        let accounts = self.accounts.clone();
        match accounts.account(account).filter(|_| accounts.key_is_live(key)) {
            None => self.close(slot, CloseCode::AUTHENTICATION, KEY_REVOKED),
            Some(account) if !admits(protocol, account.tier) => self.close(slot, CloseCode::TIER, TIER_TOO_LOW),
            Some(account) => {
                let home = self.index.account_audience(Framing::of(protocol), protocol, account);
                let home = self.join(slot, home);
                let socket = &mut self.slots[slot];
                socket.key = Some(key);
                socket.home = Some(home);
                if let Some(since) = since {
                    self.resume(slot, since);
                }
                self.start_heartbeat(slot);
                if protocol == Protocol::Tiered {
                    self.say(slot, tiered::connected(account.tier, self.position(slot)));
                }
            }
        }
    }

    /// Counts a socket under the key or the user that it turned out to be.
    pub(super) fn identify(&self, slot: u32, holder: Holder) -> Result<(), Refused> {
        let Some(pass) = &self.slots[slot].pass else { return Ok(()) };
        self.gate.identify(pass, holder).inspect_err(|refused| self.stats.refused_by_gate.of(refused.kind()).add(1))
    }

    /// Whose session it is, for the log.
    pub(super) fn holder(&self, slot: u32) -> String {
        match self.slots[slot].home.map(|home| self.index.bond(home.audience)) {
            Some(Bond::Account { account, .. }) => match self.accounts.account(*account) {
                Some(known) => format!("account {}", known.name),
                None => format!("account {account}, deleted"),
            },
            Some(Bond::User(user)) => format!("user {user}"),
            _ => "nobody".to_owned(),
        }
    }

    /// Sends frames of the session's own behind everything else. A peer that makes us answer and does not read is a slow
    /// consumer.
    pub(super) fn say(&mut self, slot: u32, frames: Box<[u8]>) {
        if !self.slots[slot].is_open() {
            return;
        }
        self.push_answer(slot, frames);
        if self.unsent_answers(slot) > self.slots[slot].protocol.owned_bytes_max() {
            self.close(slot, CloseCode::SLOW_CONSUMER, ANSWERS_UNREAD);
        } else {
            self.enqueue(slot);
        }
    }

    pub(super) fn arm_receive(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        debug_assert!(!socket.armed.receive, "slot {slot} would have two receives armed");
        socket.armed.receive = true;
        self.requests.push(Request::ArmReceive(socket.at(slot)));
    }

    /// Starts the closing handshake from our side: the close frame goes out at the next frame boundary, everything else
    /// that waits is dropped.
    pub fn close(&mut self, slot: u32, code: CloseCode, reason: &str) {
        let drain_ms =
            if code == CloseCode::SLOW_CONSUMER { limits::SLOW_CONSUMER_DRAIN_MS } else { limits::CLOSE_DRAIN_MS };
        let last = self.last_words(slot, code, reason);
        self.close_with(slot, last, drain_ms);
    }

    /// What a session is sent in place of all that waits. A stream whose answer has not begun begins it yet.
    pub(super) fn last_words(&self, slot: u32, code: CloseCode, reason: &str) -> Box<[u8]> {
        let socket = &self.slots[slot];
        let framing = Framing::of(socket.protocol);
        let words = framing.last_words(code, reason);
        match framing {
            Framing::WebSocket => words,
            Framing::EventStream => [socket.output.waiting_answers(), words.into()].concat().into(),
        }
    }

    /// Closes a session for what it said, behind its answers and some last words: whole frames.
    pub(super) fn close_after(&mut self, slot: u32, before: &[u8], code: CloseCode, reason: &str) {
        let last = Framing::of(self.slots[slot].protocol).last_words(code, reason);
        self.close_behind_answers(slot, &[before, &last].concat());
    }

    pub(super) fn close_with(&mut self, slot: u32, frame: Box<[u8]>, drain_ms: u32) {
        if !self.slots[slot].is_open() {
            return;
        }
        self.leave_audiences(slot);
        let socket = &mut self.slots[slot];
        socket.output.cut_to(frame, &self.log, &mut self.pool);
        socket.state = State::Closing;
        self.set_due(slot, self.now + drain_ms / limits::TICK_MS);
        self.enqueue(slot);
    }

    /// Closes every open session at once, behind whatever it still has to be sent and without a word.
    pub fn close_all(&mut self, code: CloseCode, reason: &str) {
        for slot in self.slots.slots() {
            self.close_behind_all(slot, &[], code, reason);
        }
    }

    /// Closes a session behind whatever it still has to be sent and some last words: whole frames.
    pub(super) fn close_behind_all(&mut self, slot: u32, before: &[u8], code: CloseCode, reason: &str) {
        if !self.slots[slot].is_open() {
            return;
        }
        self.leave_audiences(slot);
        let last = Framing::of(self.slots[slot].protocol).last_words(code, reason);
        let frames = [before, &last].concat();
        let socket = &mut self.slots[slot];
        socket.output.push_owned(frames.into(), &mut self.pool);
        socket.state = State::Closing;
        self.set_due(slot, self.now + limits::CLOSE_DRAIN_MS / limits::TICK_MS);
        self.enqueue(slot);
    }

    /// The connection is over, whoever ended it: nothing more is sent or read.
    pub(super) fn terminate(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        if matches!(socket.state, State::Vacant | State::Terminating | State::Releasing) {
            return;
        }
        socket.state = State::Terminating;
        socket.output.clear(&mut self.pool);
        socket.decoder = Default::default();
        if socket.armed.any() {
            socket.armed.cancel = true;
            self.requests.push(Request::Cancel(socket.at(slot)));
        }
        self.leave_audiences(slot);
        self.release_if_quiet(slot);
    }

    /// Once nothing is armed on a terminating socket, its descriptor can go.
    pub(super) fn release_if_quiet(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        #[cfg(test)]
        if socket.state == State::Terminating && sabotage::is(Sabotage::ReuseSlotEarly) {
            socket.armed = Default::default();
        }
        if socket.state == State::Terminating && !socket.armed.any() {
            socket.state = State::Releasing;
            self.requests.push(Request::Close(socket.at(slot)));
        }
    }

    /// The descriptor is gone: the slot is vacant.
    pub(super) fn released(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        self.stats.leave(socket.protocol);
        if let Some(pass) = socket.pass.take() {
            self.gate.leave(pass);
        }
        self.slots.release(slot);
    }

    /// Puts a socket with output into the queue of the pass, unless it is there or the kernel refuses its bytes.
    pub(super) fn enqueue(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        if socket.queued || socket.full {
            return;
        }
        if socket.is_behind() {
            return self.enqueue_behind(slot);
        }
        socket.queued = true;
        let at = socket.at(slot);
        self.inbox.enqueued += 1;
        if socket.listed_as_full {
            // It takes bytes again and lags: its turn is the next, and it holds nobody else's events back.
            let needs_from = self.queue.front().map_or(self.log.head(), |front| front.needs_from);
            self.queue.push_front(Queued { at, needs_from });
        } else {
            let needs_from = socket.output.oldest().unwrap_or(self.log.head());
            self.queue.push_back(Queued { at, needs_from });
        }
    }

    /// The same for what came from the journal: it waits behind what is live.
    pub(super) fn enqueue_behind(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        if !socket.queued_behind && !socket.full {
            socket.queued_behind = true;
            self.replay.queue.push_back(socket.at(slot));
        }
    }
}
