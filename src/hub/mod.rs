//! The hub: the one writer. It numbers events, encodes each once, appends them to the window, wakes every shard and the
//! journal, and answers publishers when the journal keeps what they sent.
//!
//! ```text
//!   front desks ──publish()──▶ mailbox ──▶ admit ▶ dedupe ▶ number ▶ encode ▶ Window::append ──▶ ring every shard's doorbell
//!        ▲                       ▲                                              │
//!        │                       └─── kept(next) ──── Keeper (the disk) ◀─wake──┤
//!        └── Accepted { first_seq, … } ◀── Pending ◀────────────────────────────┘
//!   front desks ◀── GET /alerts/latest ── LatestAlerts
//!   front desks ◀── GET /api/admin/topics ── TopicTraffic
//! ```
//!
//! Invariants:
//! * Numbers are given out here only, in the order of the mailbox, and a batch's numbers are contiguous.
//! * A request is refused before it has numbers, never after, and leaves no id behind then.
//! * No publisher is told that its events are accepted before they are kept. Sockets wait for that only with
//!   [`Fanout::Durable`], and then nobody sees an event before.
//! * The hub waits for no shard and no disk: each reads from the window at its own position.
//! * It ends when it was told to, and nothing that was posted to it is left without an answer.

mod batch;
#[cfg(test)]
pub(crate) mod by_hand;
mod dedupe;
pub mod envelope;
mod handle;
mod keeper;
mod latest;
mod pending;
mod stats;
#[cfg(test)]
mod tests;
mod topics;

pub use batch::{EncodedBatch, Origin};
pub use handle::{Accepted, HubHandle, Reply, Stopped};
pub use keeper::Keeper;
pub use latest::{AlertList, AlertVersion, LatestAlerts};
pub use stats::{HubRefusal, HubStats};
pub use topics::{Busiest, TopicTraffic};

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dedupe::Dedupe;
use handle::{HubMail, Publish};
use latest::NewAlerts;
use pending::Pending;

use crate::clock::{self, Nanos};
use crate::event::Event;
use crate::journal::{Fanout, Journal, JournalError, JournalOptions, Window};
use crate::mailbox::Mailbox;
use crate::ring::Doorbell;
use crate::watchman::Pulse;
use crate::{executor, limits};

/// What the hub's thread owns.
pub struct Hub {
    handle: HubHandle,
    /// One for each shard.
    shards: Vec<Doorbell>,
    pulse: Arc<Pulse>,
    dedupe: Dedupe,
    /// Without one, whatever is in the window is kept.
    keeper: Option<Box<dyn Keeper>>,
    fanout: Fanout,
    /// The number below which every number is kept.
    kept: u64,
    pending: Pending<Waiting>,
    /// What the keeper still has to write, as far as it is known here.
    unwritten_bytes: u64,
    /// It was told to stop, and ends at this time at the latest.
    ends_at: Option<Nanos>,
}

/// A request whose events have numbers and are not kept yet.
struct Waiting {
    accepted: Accepted,
    /// With [`Fanout::Durable`], those that are not in the list yet.
    new_alerts: Option<NewAlerts>,
    /// What it brought to the disk.
    bytes: u64,
    reply: Reply,
}

impl Hub {
    /// A hub that keeps events in memory only, until it is given a [`Keeper`].
    pub fn new(journal: Arc<Window>, shards: Vec<Doorbell>, options: &JournalOptions) -> std::io::Result<Self> {
        let mailbox = Mailbox::new(Doorbell::new()?);
        Ok(Self {
            kept: journal.head(),
            handle: HubHandle::new(mailbox, journal),
            shards,
            pulse: Arc::default(),
            dedupe: Dedupe::new(options.dedupe_seconds.saturating_mul(1_000), limits::DEDUPE_IDS_MAX),
            keeper: None,
            fanout: options.fanout,
            pending: Pending::default(),
            unwritten_bytes: 0,
            ends_at: None,
        })
    }

    /// From the first event on, this one keeps them, and answers wait for it. Every number before the window's head is kept
    /// already.
    pub fn keep_with(&mut self, keeper: Box<dyn Keeper>) {
        self.handle.journal.await_disk();
        self.keeper = Some(keeper);
    }

    /// Learns what earlier runs have published: the ids, and the newest alerts. To be called with the oldest batch first.
    pub fn remember(&mut self, batch: &EncodedBatch, unix_ms: u64) {
        let origin = batch.origin();
        if self.dedupe.is_recent(origin.unix_ms, unix_ms) {
            for (event, seq) in batch.events().iter().zip(batch.first_seq()..) {
                let id = event.id.as_deref();
                id.and_then(|id| self.dedupe.claim(origin.publisher, id, seq, origin.unix_ms));
            }
        }
        self.show(NewAlerts::among(batch.events(), batch.first_seq()));
    }

    pub fn handle(&self) -> HubHandle {
        self.handle.clone()
    }

    /// What the watchman watches.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Serves publishers until it is told to stop, on the executor of this thread. `started` hears whether it does.
    pub async fn run(mut self, started: impl FnOnce(std::io::Result<()>)) {
        let doorbell = self.handle.mailbox.doorbell();
        let listener = match doorbell.listen() {
            Ok(listener) => listener,
            Err(error) => return started(Err(error)),
        };
        let _ticker = glommio::spawn_local(executor::tick(doorbell.clone()));
        let _listening = glommio::spawn_local(self.pulse.clone().listen());
        started(Ok(()));
        let mut letters = Vec::new();
        while !self.is_done(clock::now()) {
            self.pulse.beat();
            self.dedupe.forget(clock::unix_ms());
            self.handle.mailbox.collect(&mut letters);
            if letters.is_empty() {
                listener.heard().await.expect("an eventfd can be read");
                continue;
            }
            for mail in letters.drain(..) {
                self.receive(mail);
                self.pulse.beat();
            }
        }
        self.end();
        self.pulse.rest();
    }

    fn receive(&mut self, mail: HubMail) {
        match mail {
            HubMail::Publish(request) => self.publish(request),
            HubMail::Kept(next) => self.keep(next),
            HubMail::Stop(stopped) => {
                self.ends_at.get_or_insert_with(|| clock::now() + limits::HUB_STOP_MS * 1_000_000);
                stopped();
            }
        }
    }

    fn publish(&mut self, request: Publish) {
        let Publish { mut events, publisher, bytes, accepted_at, reply } = request;
        self.handle.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        let stats = self.handle.stats.clone();
        if let Err(refusal) = self.admit(&events, publisher, bytes) {
            stats.refuse(&refusal);
            return reply(Err(refusal));
        }
        let origin = Origin { publisher, unix_ms: clock::unix_ms() };
        let accepted = self.sort_out(&mut events, origin);
        stats.publishes.add(1);
        stats.duplicates.add(accepted.duplicates);
        stats.events.add(events.len() as u64);
        stats.event_bytes.add(events.iter().map(|event| event.data.len() as u64).sum());
        let bytes = self.keeper.as_ref().map_or(0, |_| keeper::bytes_on_disk(&events));
        let mut new_alerts = NewAlerts::among(&events, self.handle.journal.head());
        let published = !events.is_empty();
        if published {
            self.append(events, accepted_at, origin);
        }
        if published && self.goes_out_at_once() {
            self.reveal(self.handle.journal.head());
            self.show(new_alerts.take());
        }
        // The answer before the bells: where the hub shares a shard's CPU, the first ring may cost it that CPU for the length
        // of a pass's time slice, and by then everything has been said and the disk is at work.
        let waiting = Waiting { accepted, new_alerts, bytes, reply };
        if self.keeper.is_none() || accepted.last_seq < self.kept {
            self.answer(waiting);
        } else {
            self.unwritten_bytes += bytes;
            self.pending.push(accepted.last_seq, waiting);
            stats.pending.set(self.pending.len() as u64);
        }
        if published {
            self.keeper.iter().for_each(|keeper| keeper.wake());
        }
        if published && self.goes_out_at_once() {
            self.ring_shards();
        }
    }

    /// Whether events go out before they are kept, or are kept as they are.
    fn goes_out_at_once(&self) -> bool {
        self.keeper.is_none() || self.fanout == Fanout::Immediate
    }

    /// Every number below `next` is kept.
    fn keep(&mut self, next: u64) {
        assert!(next <= self.handle.journal.head(), "number {next} is kept, and nobody has got it yet");
        self.kept = self.kept.max(next);
        let revealed = self.fanout == Fanout::Durable && self.handle.journal.visible() < self.kept;
        if revealed {
            self.reveal(self.kept);
        }
        let due: Vec<_> = self.pending.due(self.kept).collect();
        self.handle.stats.pending.set(self.pending.len() as u64);
        for waiting in due {
            self.unwritten_bytes -= waiting.bytes;
            self.answer(waiting);
        }
        if revealed {
            self.ring_shards();
        }
    }

    /// Whether a request may have numbers.
    fn admit(&self, events: &[Event], publisher: u64, bytes: usize) -> Result<(), JournalError> {
        if self.ends_at.is_some() {
            return Err(JournalError::Stopping);
        }
        if self.pending.len() >= limits::PENDING_ANSWERS_MAX {
            return Err(JournalError::QueueFull);
        }
        let roomy = self.keeper_admits(events).and_then(|()| self.handle.journal.admit(bytes));
        let is_known = |event: &Event| event.id.as_deref().is_some_and(|id| self.dedupe.knows(publisher, id));
        // What does nothing but repeat needs no room.
        if roomy.is_err() && events.iter().all(is_known) { Ok(()) } else { roomy }
    }

    fn keeper_admits(&self, events: &[Event]) -> Result<(), JournalError> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        if let Some(fault) = keeper.fault() {
            return Err(fault);
        }
        // One that is alone gets as much room as it needs.
        if self.unwritten_bytes > 0 && self.unwritten_bytes + keeper::bytes_on_disk(events) > keeper.room_bytes() {
            keeper.wake();
            return Err(JournalError::Unprepared);
        }
        if self.handle.journal.head() + events.len() as u64 - 1 > keeper.leased() {
            keeper.wake();
            return Err(JournalError::Unleased);
        }
        Ok(())
    }

    /// Leaves the events that were not published before, which are to be numbered from the window's head on, and tells which
    /// numbers all of them have.
    fn sort_out(&mut self, events: &mut Vec<Event>, origin: Origin) -> Accepted {
        let mut next_seq = self.handle.journal.head();
        let mut accepted = Accepted { accepted: events.len() as u64, first_seq: u64::MAX, last_seq: 0, duplicates: 0 };
        events.retain(|event| {
            let id = event.id.as_deref();
            let known = id.and_then(|id| self.dedupe.claim(origin.publisher, id, next_seq, origin.unix_ms));
            let seq = known.unwrap_or(next_seq);
            accepted.first_seq = accepted.first_seq.min(seq);
            accepted.last_seq = accepted.last_seq.max(seq);
            match known {
                Some(_) => accepted.duplicates += 1,
                None => next_seq += 1,
            }
            known.is_none()
        });
        accepted
    }

    fn append(&self, events: Vec<Event>, accepted_at: Nanos, origin: Origin) {
        let journal = &self.handle.journal;
        self.handle.traffic.count(events.iter().map(|event| event.topic.as_str()), accepted_at);
        journal.append(Arc::new(EncodedBatch::encode(events, journal.head(), accepted_at, origin)));
    }

    /// Gives an answer, for which everything is done.
    fn answer(&self, waiting: Waiting) {
        let Waiting { accepted, new_alerts, reply, .. } = waiting;
        // Before the answer, so that whoever heard that an alert was published finds it there.
        self.show(new_alerts);
        reply(Ok(accepted));
    }

    fn show(&self, new_alerts: Option<NewAlerts>) {
        new_alerts.into_iter().for_each(|new| self.handle.latest_alerts.add(new));
    }

    fn reveal(&self, visible: u64) {
        self.handle.journal.reveal(visible);
    }

    fn ring_shards(&self) {
        self.shards.iter().for_each(Doorbell::ring);
    }

    /// Whether it was told to stop and nobody waits any more, or not long enough.
    fn is_done(&self, now: Nanos) -> bool {
        self.ends_at.is_some_and(|ends_at| self.pending.is_empty() || now >= ends_at)
    }

    fn end(&mut self) {
        for Waiting { reply, .. } in self.pending.due(u64::MAX) {
            self.handle.stats.refuse(&JournalError::Unkept);
            reply(Err(JournalError::Unkept));
        }
        self.handle.end();
    }
}
