//! The hub: the one writer. It numbers events, encodes each once, appends them to the journal and wakes every shard.
//!
//! ```text
//!   front desks ──publish()──▶ mailbox ──▶ number ▶ encode ▶ Journal::append ──▶ ring every shard's doorbell
//!        ▲                                                   │
//!        └────────────── Accepted { first_seq, … } ◀─────────┤
//!   front desks ◀── GET /alerts/latest ── LatestAlerts ◀──────┘
//! ```
//!
//! Invariants:
//! * Numbers are given out here only, in the order of the mailbox, and a batch's numbers are contiguous.
//! * A request is refused before it has numbers, never after.
//! * The hub waits for no shard: each reads from the journal at its own position.

mod batch;
pub mod envelope;
mod latest;

pub use batch::{EncodedBatch, Origin};
pub use latest::{AlertList, AlertVersion, LatestAlerts};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use latest::NewAlerts;

use crate::clock::{self, Nanos};
use crate::event::Event;
use crate::journal::{Journal, JournalError, Window};
use crate::mailbox::Mailbox;
use crate::ring::Doorbell;
use crate::watchman::Pulse;
use crate::{executor, limits};

/// What a publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub accepted: u64,
    pub first_seq: u64,
    pub last_seq: u64,
}

/// Carries the hub's answer back to whoever published; it is called on the hub's thread and must not block.
pub type Reply = Box<dyn FnOnce(Result<Accepted, JournalError>) + Send>;

struct Publish {
    events: Vec<Event>,
    bytes: usize,
    accepted_at: Nanos,
    reply: Reply,
}

/// The way to the hub, for any thread.
#[derive(Clone)]
pub struct HubHandle {
    mailbox: Arc<Mailbox<Publish>>,
    queued_bytes: Arc<AtomicUsize>,
    journal: Arc<Window>,
    latest_alerts: Arc<LatestAlerts>,
}

/// What the hub's thread owns.
pub struct Hub {
    handle: HubHandle,
    /// One for each shard.
    shards: Vec<Doorbell>,
    pulse: Arc<Pulse>,
}

impl Hub {
    pub fn new(journal: Arc<Window>, shards: Vec<Doorbell>) -> std::io::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(Doorbell::new()?));
        let latest_alerts = Arc::new(LatestAlerts::new(fastrand::u64(..)));
        let handle = HubHandle { mailbox, queued_bytes: Arc::default(), journal, latest_alerts };
        Ok(Self { handle, shards, pulse: Arc::default() })
    }

    pub fn handle(&self) -> HubHandle {
        self.handle.clone()
    }

    /// What the watchman watches.
    pub fn pulse(&self) -> Arc<Pulse> {
        self.pulse.clone()
    }

    /// Serves publishers for ever, on the executor of this thread. `started` hears whether it does.
    pub async fn run(self, started: impl FnOnce(std::io::Result<()>)) {
        let doorbell = self.handle.mailbox.doorbell();
        let listener = match doorbell.listen() {
            Ok(listener) => listener,
            Err(error) => return started(Err(error)),
        };
        let _ticker = glommio::spawn_local(executor::tick(doorbell.clone()));
        let _listening = glommio::spawn_local(self.pulse.clone().listen());
        started(Ok(()));
        let mut requests = Vec::new();
        loop {
            self.pulse.beat();
            self.handle.mailbox.collect(&mut requests);
            if requests.is_empty() {
                listener.heard().await.expect("an eventfd can be read");
                continue;
            }
            for request in requests.drain(..) {
                self.publish(request);
                self.pulse.beat();
            }
        }
    }

    fn publish(&self, request: Publish) {
        let Publish { events, bytes, accepted_at, reply } = request;
        let HubHandle { journal, latest_alerts, .. } = &self.handle;
        let answer = journal.admit(bytes).map(|()| {
            let first_seq = journal.head();
            let new_alerts = NewAlerts::among(&events, first_seq);
            let batch = EncodedBatch::encode(events, first_seq, accepted_at, Origin::default());
            let accepted = Accepted { accepted: batch.len() as u64, first_seq, last_seq: batch.next_seq() - 1 };
            journal.append(Arc::new(batch));
            journal.reveal(journal.head());
            // Before the answer, so that whoever heard that an alert was published finds it there.
            new_alerts.into_iter().for_each(|new| latest_alerts.add(new));
            accepted
        });
        self.handle.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        let published = answer.is_ok();
        // The answer first: where the hub shares a shard's CPU, the first ring may cost it that CPU for the length of a
        // pass's time slice, and by then everything has been said.
        reply(answer);
        if published {
            self.shards.iter().for_each(Doorbell::ring);
        }
    }
}

impl HubHandle {
    /// Hands events over; `reply` is called once they have numbers, or when they are refused. With too many bytes queued
    /// for the hub it is called at once.
    pub fn publish(&self, events: Vec<Event>, reply: Reply) {
        let bytes = events.iter().map(|event| event.data.len() + limits::EVENT_OVERHEAD_BYTES).sum();
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        if queued > 0 && queued + bytes > limits::HUB_QUEUE_BYTES_MAX {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return reply(Err(JournalError::QueueFull));
        }
        self.mailbox.post(Publish { events, bytes, accepted_at: clock::now(), reply });
    }

    /// The number of the newest event; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.journal.head() - 1
    }

    /// The newest alerts that have been accepted.
    pub fn latest_alerts(&self) -> Arc<AlertList> {
        self.latest_alerts.load()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::executor::{Outcome, ThreadError};

    /// Without publishers it takes turns too, or the watchman could not tell it from one that is asleep.
    #[test]
    fn an_idle_hub_takes_turns() {
        let journal = Arc::new(Window::new(1, 1, limits::WINDOW_BYTES_MAX, limits::WINDOW_KEPT_BYTES));
        let hub = Hub::new(journal, Vec::new()).expect("a doorbell");
        let pulse = hub.pulse();
        let main = |outcome: Outcome<ThreadError>| {
            hub.run(move |started| {
                started.expect("a descriptor");
                outcome.send(Ok(())).expect("awaited");
            })
        };
        executor::spawn("hub", 0, main).expect("a thread").finish().expect("it runs");
        let started = Instant::now();
        while pulse.turns() < 5 {
            assert!(started.elapsed() < Duration::from_secs(30), "{} turns", pulse.turns());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
