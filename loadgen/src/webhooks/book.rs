//! What every endpoint has got: which event, how often, under which id, in which order. Shared by the sink's threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};

use ahash::RandomState;

use super::endpoint::{Conduct, Endpoint, Mischief, Reaction};
use super::fault::{Delivery, Fault};

/// One run's deliveries.
#[derive(Debug)]
pub struct Book {
    pub endpoints: Box<[Endpoint]>,
    mischief: Mischief,
    /// Event 0 is the one that goes ahead.
    events: u32,
    pages: Box<[Mutex<Page>]>,
    /// A hash of each event's body, 0 before it came. Every endpoint gets the same one.
    bodies: Box<[AtomicU64]>,
    /// Deliveries to healthy endpoints that were accepted.
    accepted: AtomicU64,
    /// Of those, the first event's.
    began: AtomicU64,
    /// A request as the server sends it, for the floor.
    sample: OnceLock<Vec<u8>>,
    hasher: RandomState,
}

/// One endpoint's deliveries.
#[derive(Debug)]
struct Page {
    slots: Box<[Slot]>,
    newest: Option<u32>,
}

/// One event at one endpoint.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// A hash of the delivery's id; 0 before the first arrival.
    id: u64,
    arrivals: u16,
    /// Arrivals that were failed on purpose, or whose answer could not be written: only these may be repeated.
    failed: u16,
    last_attempt: u32,
    /// The last arrival lost its connection to a reset of ours.
    was_reset: bool,
}

impl Slot {
    fn is_accepted(self) -> bool {
        self.arrivals > self.failed
    }
}

/// What an arrival is to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub kind: ArrivalKind,
    pub reaction: Reaction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalKind {
    /// `late`: a later event was here before.
    First { late: bool },
    /// All before it were failed.
    Retry,
    /// The attempt before it once more, because its connection was reset: a server can't tell that from one that was closed while it
    /// was idle, and may send it again at once.
    SentAgain,
    /// One before it was accepted.
    Duplicate,
}

/// What is known when the run is over, of healthy endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Deliveries that came and were accepted.
    pub accepted: u64,
    pub missing: u64,
    /// Delivery ids that stand for more than one delivery, bad endpoints' included.
    pub shared_ids: u64,
}

impl Book {
    pub fn new(endpoints: Vec<Endpoint>, events: u32, mischief: Mischief) -> Self {
        let page = || Mutex::new(Page { slots: vec![Slot::default(); events as usize].into(), newest: None });
        Self {
            pages: endpoints.iter().map(|_| page()).collect(),
            endpoints: endpoints.into(),
            mischief,
            events,
            bodies: (0..events).map(|_| AtomicU64::new(0)).collect(),
            accepted: AtomicU64::new(0),
            began: AtomicU64::new(0),
            sample: OnceLock::new(),
            hasher: RandomState::new(),
        }
    }

    /// Enters a delivery, and decides what becomes of it.
    pub fn arrive(&self, endpoint: u32, delivery: &Delivery<'_>, body: &[u8]) -> Result<Arrival, Fault> {
        let event = delivery.event;
        let known = self.bodies.get(event as usize).ok_or(Fault::Unknown)?;
        let hash = self.hash(body);
        if known.compare_exchange(0, hash, Relaxed, Relaxed).is_err_and(|before| before != hash) {
            return Err(Fault::OtherBody);
        }
        let id = self.hash(delivery.delivery_id);
        let mut page = self.page(endpoint);
        let newest = page.newest;
        let slot = &mut page.slots[event as usize];
        let first = slot.arrivals == 0;
        if !first && slot.id != id {
            return Err(Fault::OtherDeliveryId);
        }
        let kind = match slot.is_accepted() {
            _ if first => ArrivalKind::First { late: newest.is_some_and(|newest| newest > event) },
            true => ArrivalKind::Duplicate,
            false if delivery.attempt > slot.last_attempt => ArrivalKind::Retry,
            false if delivery.attempt == slot.last_attempt && slot.was_reset => ArrivalKind::SentAgain,
            false => return Err(Fault::AttemptOrder),
        };
        // The event that goes ahead shows that anything arrives at all; nothing befalls it.
        let chance = first && event > 0;
        let conduct = self.endpoints[endpoint as usize].conduct;
        let reaction = self.mischief.reaction(conduct, endpoint, event, chance);
        let accepts = reaction == Reaction::Accept;
        slot.id = id;
        slot.arrivals = slot.arrivals.saturating_add(1);
        slot.failed = slot.failed.saturating_add(u16::from(!accepts));
        slot.last_attempt = slot.last_attempt.max(delivery.attempt);
        slot.was_reset = reaction == Reaction::Reset;
        page.newest = newest.max(Some(event));
        if accepts && kind != ArrivalKind::Duplicate {
            self.accepted.fetch_add(1, Relaxed);
            self.began.fetch_add(u64::from(event == 0), Relaxed);
        }
        Ok(Arrival { kind, reaction })
    }

    /// Takes back that an arrival was accepted: the server hung up before it was answered, and will come again.
    pub fn take_back(&self, endpoint: u32, event: u32) {
        let mut page = self.page(endpoint);
        let slot = &mut page.slots[event as usize];
        slot.failed = slot.failed.saturating_add(1);
        if !slot.is_accepted() {
            self.accepted.fetch_sub(1, Relaxed);
            self.began.fetch_sub(u64::from(event == 0), Relaxed);
        }
    }

    /// Deliveries that healthy endpoints have accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Those of them that were of the first event.
    pub fn began(&self) -> u64 {
        self.began.load(Relaxed)
    }

    pub fn healthy(&self) -> u64 {
        self.endpoints.iter().filter(|endpoint| endpoint.conduct == Conduct::Healthy).count() as u64
    }

    /// What healthy endpoints should get in all.
    pub fn expected(&self) -> u64 {
        self.healthy() * u64::from(self.events)
    }

    /// A request as the server sends it, once there was one.
    pub fn sample(&self) -> Option<&[u8]> {
        self.sample.get().map(Vec::as_slice)
    }

    pub fn keep_sample(&self, request: &[u8]) {
        self.sample.get_or_init(|| request.to_vec());
    }

    pub fn count(&self) -> Count {
        let (mut accepted, mut ids) = (0, Vec::new());
        for (number, endpoint) in self.endpoints.iter().enumerate() {
            let page = self.page(number as u32);
            ids.extend(page.slots.iter().filter(|slot| slot.arrivals > 0).map(|slot| slot.id));
            if endpoint.conduct == Conduct::Healthy {
                accepted += page.slots.iter().filter(|slot| slot.is_accepted()).count() as u64;
            }
        }
        ids.sort_unstable();
        let shared_ids = ids.chunk_by(|one, next| one == next).filter(|same| same.len() > 1).count() as u64;
        Count { accepted, missing: self.expected() - accepted, shared_ids }
    }

    fn page(&self, endpoint: u32) -> MutexGuard<'_, Page> {
        self.pages[endpoint as usize].lock().expect("no thread panics with a page in its hand")
    }

    /// Never 0, which stands for nothing.
    fn hash(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const CALM: Mischief = Mischief { delay: Duration::ZERO, errors: 0.0, resets: 0.0, seed: 0 };

    fn book(conducts: &[Conduct], mischief: Mischief) -> Book {
        let endpoint = |conduct: &Conduct| Endpoint::new(*conduct, "wh_1".into(), SECRET).unwrap();
        Book::new(conducts.iter().map(endpoint).collect(), 3, mischief)
    }

    fn arrive(book: &Book, endpoint: u32, event: u32, id: &str, attempt: u32) -> Result<ArrivalKind, Fault> {
        let delivery = Delivery { event, delivery_id: id.as_bytes(), attempt };
        book.arrive(endpoint, &delivery, format!("body {event}").as_bytes()).map(|arrival| arrival.kind)
    }

    const FIRST: ArrivalKind = ArrivalKind::First { late: false };
    const LATE: ArrivalKind = ArrivalKind::First { late: true };

    #[test]
    fn each_event_is_due_once_at_each_healthy_endpoint() {
        let book = book(&[Conduct::Healthy, Conduct::Hang, Conduct::Healthy], CALM);
        assert_eq!((book.expected(), book.healthy()), (6, 2));
        assert_eq!(arrive(&book, 0, 0, "a", 1), Ok(FIRST));
        assert_eq!(arrive(&book, 0, 2, "b", 1), Ok(FIRST));
        assert_eq!(arrive(&book, 0, 1, "c", 1), Ok(LATE));
        assert_eq!(arrive(&book, 1, 0, "d", 1), Ok(FIRST));
        assert_eq!((book.accepted(), book.began()), (3, 1));
        assert_eq!(book.count(), Count { accepted: 3, missing: 3, shared_ids: 0 });
    }

    #[test]
    fn a_second_delivery_is_a_duplicate_unless_the_first_was_failed_on_purpose() {
        let calm = book(&[Conduct::Healthy], CALM);
        arrive(&calm, 0, 1, "a", 1).unwrap();
        assert_eq!(arrive(&calm, 0, 1, "a", 1), Ok(ArrivalKind::Duplicate));
        assert_eq!(arrive(&calm, 0, 1, "a", 2), Ok(ArrivalKind::Duplicate));
        let failing = book(&[Conduct::Healthy], Mischief { errors: 1.0, ..CALM });
        arrive(&failing, 0, 1, "a", 1).unwrap();
        assert_eq!(failing.accepted(), 0);
        assert_eq!(arrive(&failing, 0, 1, "a", 2), Ok(ArrivalKind::Retry));
        assert_eq!(failing.accepted(), 1);
        assert_eq!(arrive(&failing, 0, 1, "a", 3), Ok(ArrivalKind::Duplicate));
        assert_eq!(failing.accepted(), 1);
    }

    #[test]
    fn a_retry_has_the_same_id_and_a_greater_attempt() {
        let book = book(&[Conduct::Fail], CALM);
        arrive(&book, 0, 1, "a", 1).unwrap();
        assert_eq!(arrive(&book, 0, 1, "b", 2), Err(Fault::OtherDeliveryId));
        assert_eq!(arrive(&book, 0, 1, "a", 1), Err(Fault::AttemptOrder));
        assert_eq!(arrive(&book, 0, 1, "a", 2), Ok(ArrivalKind::Retry));
    }

    #[test]
    fn an_attempt_whose_connection_was_reset_may_be_sent_again_once() {
        let book = book(&[Conduct::Healthy], Mischief { resets: 1.0, ..CALM });
        arrive(&book, 0, 1, "a", 2).unwrap();
        assert_eq!(arrive(&book, 0, 1, "a", 1), Err(Fault::AttemptOrder), "an earlier one may not");
        assert_eq!(arrive(&book, 0, 1, "b", 2), Err(Fault::OtherDeliveryId));
        assert_eq!(arrive(&book, 0, 1, "a", 2), Ok(ArrivalKind::SentAgain));
        assert_eq!(book.accepted(), 1);
        assert_eq!(arrive(&book, 0, 1, "a", 2), Ok(ArrivalKind::Duplicate));
        // The sink was still there when this one's sender hung up, so it takes a further attempt.
        book.take_back(0, 1);
        book.take_back(0, 1);
        assert_eq!(arrive(&book, 0, 1, "a", 2), Err(Fault::AttemptOrder));
        assert_eq!(arrive(&book, 0, 1, "a", 3), Ok(ArrivalKind::Retry));
    }

    #[test]
    fn what_was_not_answered_may_come_again() {
        let book = book(&[Conduct::Healthy], CALM);
        arrive(&book, 0, 0, "a", 1).unwrap();
        book.take_back(0, 0);
        assert_eq!((book.accepted(), book.began(), book.count().missing), (0, 0, 3));
        assert_eq!(arrive(&book, 0, 0, "a", 2), Ok(ArrivalKind::Retry));
        assert_eq!((book.accepted(), book.began(), book.count().missing), (1, 1, 2));
    }

    #[test]
    fn an_id_of_two_deliveries_an_unknown_event_and_another_body_are_found_out() {
        let book = book(&[Conduct::Healthy, Conduct::Healthy], CALM);
        arrive(&book, 0, 0, "a", 1).unwrap();
        arrive(&book, 1, 0, "a", 1).unwrap();
        assert_eq!(book.count().shared_ids, 1);
        assert_eq!(arrive(&book, 0, 3, "b", 1), Err(Fault::Unknown));
        let delivery = Delivery { event: 0, delivery_id: b"c", attempt: 1 };
        assert_eq!(book.arrive(1, &delivery, b"another body"), Err(Fault::OtherBody));
    }
}
