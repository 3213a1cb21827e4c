//! All lanes, and whose turn it is.

use crate::delivery::WebhookId;
use crate::delivery::attempt::Ticket;

#[derive(Clone, Copy, Debug)]
pub struct LaneOptions {
    pub concurrency: u32,
    /// 0: no limit.
    pub rate_per_second: u32,
    pub rate_burst: u32,
    pub breaker_failures: u32,
    pub breaker_ms: u64,
    /// Workers in all.
    pub workers: u32,
}

/// A delivery that is due, in a lane's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its row.
    pub delivery: i64,
    /// The number of its event; `None` of a test or an operational event, whose body is in its row.
    pub seq: Option<u64>,
    /// The attempt that comes, from 1.
    pub attempt: u32,
}

/// What came of an attempt, as far as the lane cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Success,
    /// `pause_ms`: how long the endpoint asked to be left alone (`Retry-After`, bounded).
    Failure {
        pause_ms: Option<u64>,
    },
}

/// Every lane.
#[derive(Debug)]
pub struct Lanes {}

impl Lanes {
    pub fn new(_options: LaneOptions) -> Self {
        todo!()
    }

    /// A lane for an active webhook; one that is there stays as it is.
    pub fn open(&mut self, _webhook: WebhookId) {
        todo!()
    }

    /// Forgets a lane and what it has queued. What is under way ends by itself: [`Self::finish`] still has to be called.
    pub fn close(&mut self, _webhook: WebhookId) {
        todo!()
    }

    /// Room in the queue of a lane: how many more it takes. 0 of a lane that is not there.
    pub fn room(&self, _webhook: WebhookId) -> usize {
        todo!()
    }

    /// Adds a delivery that is due. The caller has looked for room.
    pub fn push(&mut self, _webhook: WebhookId, _queued: Queued) {
        todo!()
    }

    /// The next delivery to be sent, if a worker that may be used for it is free; it counts as under way from now on.
    pub fn next(&mut self, _now_ms: u64) -> Option<(Ticket, Queued)> {
        todo!()
    }

    /// An attempt has ended after `duration_ms`.
    pub fn finish(&mut self, _ticket: Ticket, _verdict: Verdict, _duration_ms: u64, _now_ms: u64) {
        todo!()
    }

    /// A delivery is not sent after all: gives worker and token back.
    pub fn withdraw(&mut self, _ticket: Ticket) {
        todo!()
    }

    /// Forgets failures, breaker, pause and class of a lane.
    pub fn reset(&mut self, _webhook: WebhookId) {
        todo!()
    }

    /// When [`Self::next`] may have something that it has not now, though nothing is pushed or finished: a bucket fills, a breaker
    /// lets a probe pass, a pause ends.
    pub fn wake_at(&self) -> Option<u64> {
        todo!()
    }

    /// Attempts under way.
    pub fn under_way(&self) -> usize {
        todo!()
    }
}
