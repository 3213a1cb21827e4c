//! All sockets of a shard and what happens to them, without the kernel: it is told what came, and asks for operations.
//!
//! ```text
//!   enter ──▶ Socket ──input──▶ decoder ──▶ protocol ──▶ output
//!   batch ──▶ fanout ──▶ log + index ──▶ output ──▶ queue of the pass ──▶ (plane sends)
//!   tick  ──▶ heartbeat ──▶ ping or close
//! ```
//!
//! [`Plane`](super::plane::Plane) carries out the [`Request`]s and reports completions. Pure but for the statistics.

use std::collections::VecDeque;
use std::sync::Arc;

use super::fanout::Inbox;
use super::index::TopicIndex;
use super::log::ShardLog;
use super::output::BacklogPool;
use super::socket::{SlotTable, State};
use super::stats::ShardStats;
use super::wheel::{Tick, TimerWheel};
use crate::accounts::Snapshot;
use crate::limits;
use crate::protocol::{Admission, Protocol};
use crate::ring::SlotRef;
use crate::ws::{CloseCode, close_frame};

/// What the kernel is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    ArmReceive(SlotRef),
    WatchWritable(SlotRef),
    ShutdownWrite(SlotRef),
    Cancel(SlotRef),
    Close(SlotRef),
}

const TIER_TOO_LOW: &str = "the account's tier does not include this stream any more";

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

pub struct Sessions {
    pub(super) slots: SlotTable,
    pub(super) log: ShardLog,
    pub(super) pool: BacklogPool,
    pub(super) index: TopicIndex,
    pub(super) inbox: Inbox,
    pub(super) wheel: TimerWheel,
    /// Sockets with output that the kernel may take, in the order in which they will be visited.
    pub(super) queue: VecDeque<Queued>,
    /// Sockets that the kernel refused bytes for, until they have been sent everything.
    pub(super) full: Vec<u32>,
    pub(super) requests: Vec<Request>,
    pub(super) accounts: Arc<Snapshot>,
    pub(super) stats: Arc<ShardStats>,
    pub(super) now: Tick,
}

impl Sessions {
    pub fn new(sizes: ShardSizes, accounts: Arc<Snapshot>, stats: Arc<ShardStats>) -> Self {
        assert!(sizes.log_bytes >= 16 * limits::EVENT_BYTES_MAX, "a log of {} bytes", sizes.log_bytes);
        Self {
            slots: SlotTable::new(sizes.slots),
            log: ShardLog::new(sizes.log_bytes),
            pool: BacklogPool::default(),
            index: TopicIndex::default(),
            inbox: Inbox::default(),
            wheel: TimerWheel::new(),
            queue: VecDeque::new(),
            full: Vec::new(),
            requests: Vec::new(),
            accounts,
            stats,
            now: 0,
        }
    }

    pub fn occupied(&self) -> u32 {
        self.slots.occupied()
    }

    /// Whether there is anything to do before something new happens.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty() || !self.inbox.is_empty() || !self.requests.is_empty()
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
    pub fn open(&mut self, at: SlotRef, admission: Admission, leftover: &mut [u8]) {
        let socket = &mut self.slots[at.slot];
        socket.state = State::Open;
        socket.protocol = admission.protocol();
        self.arm_receive(at.slot);
        ShardStats::add(&self.stats.sockets, 1);
        match admission {
            Admission::Watchlist { account, key } => {
                // The snapshot may be newer than the one that the desk authenticated against.
                let accounts = self.accounts.clone();
                match accounts.account(account).filter(|_| accounts.key_is_live(key)) {
                    Some(account) if !account.tier.may_watchlist() => {
                        self.close(at.slot, CloseCode::TIER, TIER_TOO_LOW);
                    }
                    Some(account) => {
                        let socket = &mut self.slots[at.slot];
                        socket.key = Some(key);
                        socket.membership = Some(self.index.join(account, at.slot));
                        self.start_heartbeat(at.slot);
                    }
                    None => self.close(at.slot, CloseCode::AUTHENTICATION, "this API key was revoked"),
                }
            }
            Admission::Refused { code, reason } => self.close(at.slot, code, &reason),
            #[cfg(feature = "conformance")]
            Admission::Echo => {}
        }
        if !leftover.is_empty() {
            self.input(at, leftover);
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
        let frame = close_frame(code, reason).into();
        self.close_with(slot, frame, drain_ms);
    }

    pub(super) fn close_with(&mut self, slot: u32, frame: Box<[u8]>, drain_ms: u32) {
        if !self.slots[slot].is_open() {
            return;
        }
        self.leave_audience(slot);
        let socket = &mut self.slots[slot];
        socket.output.cut_to(frame, &self.log, &mut self.pool);
        socket.state = State::Closing;
        self.set_due(slot, self.now + drain_ms / limits::TICK_MS);
        self.enqueue(slot);
    }

    /// Closes every open session behind whatever it still has to be sent, as a shutdown does.
    pub fn close_all(&mut self, code: CloseCode, reason: &str) {
        for slot in self.slots.slots() {
            if self.slots[slot].is_open() {
                self.leave_audience(slot);
                let socket = &mut self.slots[slot];
                socket.output.push_owned(close_frame(code, reason).into(), &mut self.pool);
                socket.state = State::Closing;
                self.set_due(slot, self.now + limits::CLOSE_DRAIN_MS / limits::TICK_MS);
                self.enqueue(slot);
            }
        }
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
        self.leave_audience(slot);
        self.release_if_quiet(slot);
    }

    /// Once nothing is armed on a terminating socket, its descriptor can go.
    pub(super) fn release_if_quiet(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        if socket.state == State::Terminating && !socket.armed.any() {
            socket.state = State::Releasing;
            self.requests.push(Request::Close(socket.at(slot)));
        }
    }

    /// The descriptor is gone: the slot is vacant.
    pub(super) fn released(&mut self, slot: u32) {
        let sockets = ShardStats::get(&self.stats.sockets);
        self.stats.sockets.store(sockets.saturating_sub(1), std::sync::atomic::Ordering::Relaxed);
        self.slots.release(slot);
    }

    /// Puts a socket with output into the queue of the pass, unless it is there or the kernel refuses its bytes.
    pub(super) fn enqueue(&mut self, slot: u32) {
        let socket = &mut self.slots[slot];
        if socket.queued || socket.full {
            return;
        }
        socket.queued = true;
        self.inbox.enqueued += 1;
        let at = socket.at(slot);
        if socket.listed_as_full {
            // It takes bytes again and lags: its turn is the next, and it holds nobody else's events back.
            let needs_from = self.queue.front().map_or(self.log.head(), |front| front.needs_from);
            self.queue.push_front(Queued { at, needs_from });
        } else {
            let needs_from = socket.output.oldest().unwrap_or(self.log.head());
            self.queue.push_back(Queued { at, needs_from });
        }
    }

    /// Follows a newer snapshot: sessions of revoked keys and deleted accounts end, watchlists change in place.
    pub fn follow_accounts(&mut self, accounts: Arc<Snapshot>) {
        self.accounts = accounts.clone();
        let audiences: Vec<_> = self.index.audience_ids().collect();
        for id in audiences {
            let audience = self.index.audience(id);
            let account = accounts.account(audience.account);
            // Whatever changes of an account, its keys included, changes its version.
            if account.is_some_and(|account| account.version == audience.version) {
                continue;
            }
            let members = self.index.audience(id).members.clone();
            let admitted = account.is_some_and(|account| account.tier.may_watchlist());
            for slot in members {
                let socket = &self.slots[slot];
                debug_assert_eq!(socket.protocol, Protocol::Watchlist);
                if socket.key.is_none_or(|key| !accounts.key_is_live(key)) {
                    self.close(slot, CloseCode::AUTHENTICATION, "this API key was revoked");
                } else if !admitted {
                    self.close(slot, CloseCode::TIER, TIER_TOO_LOW);
                }
            }
            if let Some(account) = account.filter(|account| admitted && self.index.is_open(id, account.id)) {
                self.index.follow(id, account);
            }
        }
    }

    fn leave_audience(&mut self, slot: u32) {
        let Some(membership) = self.slots[slot].membership.take() else { return };
        if let Some(moved) = self.index.leave(membership) {
            self.slots[moved].membership = Some(membership);
        }
    }
}
