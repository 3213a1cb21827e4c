//! The way to the hub, for any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::{AlertList, Busiest, HubStats, LatestAlerts, TopicTraffic};
use crate::clock::{self, Nanos};
use crate::event::Event;
use crate::journal::{JournalError, Window};
use crate::limits;
use crate::mailbox::Mailbox;

/// What a publisher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Events of the request that the journal holds now: all of them.
    pub accepted: u64,
    /// The lowest number among them.
    pub first_seq: u64,
    /// The highest.
    pub last_seq: u64,
    /// How many of them were published before, as their ids tell, and have their numbers from then.
    pub duplicates: u64,
}

/// Carries the hub's answer back to whoever published; it is called on the hub's thread and must not block.
pub type Reply = Box<dyn FnOnce(Result<Accepted, JournalError>) + Send>;

/// Is told that everything published before the stop has its number; called as a [`Reply`] is.
pub type Stopped = Box<dyn FnOnce() + Send>;

pub(super) enum HubMail {
    Publish(Publish),
    /// Every number below this one is kept.
    Kept(u64),
    Stop(Stopped),
}

pub(super) struct Publish {
    pub events: Vec<Event>,
    /// The number of the publisher's account.
    pub publisher: u64,
    pub bytes: usize,
    pub accepted_at: Nanos,
    pub reply: Reply,
}

#[derive(Clone)]
pub struct HubHandle {
    pub(super) mailbox: Arc<Mailbox<HubMail>>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    /// Nobody reads the mailbox any more.
    ended: Arc<AtomicBool>,
    pub(super) journal: Arc<Window>,
    pub(super) latest_alerts: Arc<LatestAlerts>,
    pub(super) traffic: Arc<TopicTraffic>,
    pub(super) stats: Arc<HubStats>,
}

impl HubHandle {
    pub(super) fn new(mailbox: Mailbox<HubMail>, journal: Arc<Window>) -> Self {
        Self {
            mailbox: Arc::new(mailbox),
            queued_bytes: Arc::default(),
            ended: Arc::default(),
            journal,
            latest_alerts: Arc::new(LatestAlerts::new(fastrand::u64(..))),
            traffic: Arc::default(),
            stats: Arc::default(),
        }
    }

    /// Hands over the events of a publisher, who is named by the number of its account, or is [`Origin::SERVER`]. `reply` is
    /// called once they are kept, or when they are refused. With too many bytes queued for the hub it is called at once.
    ///
    /// [`Origin::SERVER`]: super::Origin::SERVER
    pub fn publish(&self, events: Vec<Event>, publisher: u64, reply: Reply) {
        let bytes = events.iter().map(|event| event.data.len() + limits::EVENT_OVERHEAD_BYTES).sum();
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        if queued > 0 && queued + bytes > limits::HUB_QUEUE_BYTES_MAX {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            self.stats.refuse(&JournalError::QueueFull);
            return reply(Err(JournalError::QueueFull));
        }
        self.post(HubMail::Publish(Publish { events, publisher, bytes, accepted_at: clock::now(), reply }));
    }

    /// Every number below `next` is kept as well as publishers were promised. To be called by the [`Keeper`](super::Keeper),
    /// from any thread.
    pub fn kept(&self, next: u64) {
        self.post(HubMail::Kept(next));
    }

    /// Refuses whatever is published from now on. `stopped` is called once everything before has its number; the hub's thread
    /// ends when that is kept, or after [`HUB_STOP_MS`](limits::HUB_STOP_MS).
    pub fn stop(&self, stopped: Stopped) {
        self.post(HubMail::Stop(stopped));
    }

    /// The number of the newest event that clients may see; 0 before the first.
    pub fn last_seq(&self) -> u64 {
        self.journal.visible() - 1
    }

    /// What it has counted.
    pub fn stats(&self) -> &HubStats {
        &self.stats
    }

    /// Bytes of events that wait to be numbered.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    /// The newest alerts that have been accepted.
    pub fn latest_alerts(&self) -> Arc<AlertList> {
        self.latest_alerts.load()
    }

    /// The topics with the most events of about a minute.
    pub fn busiest_topics(&self, topics_max: usize) -> Busiest {
        self.traffic.busiest(topics_max, clock::now())
    }

    fn post(&self, mail: HubMail) {
        self.mailbox.post(mail);
        // Looked at behind the post: mail that came too late for the hub's last look is turned away here.
        if self.ended.load(Ordering::SeqCst) {
            self.turn_away();
        }
    }

    /// The hub reads no more mail, and neither does what is in the mailbox now get lost, nor what is still to come.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.turn_away();
    }

    fn turn_away(&self) {
        let mut late = Vec::new();
        self.mailbox.collect(&mut late);
        for mail in late {
            match mail {
                HubMail::Publish(Publish { bytes, reply, .. }) => {
                    self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
                    self.stats.refuse(&JournalError::Stopping);
                    reply(Err(JournalError::Stopping));
                }
                HubMail::Kept(_) => {}
                HubMail::Stop(stopped) => stopped(),
            }
        }
    }
}
