//! All lanes, and what is sent next.

use std::collections::HashMap;

use slab::Slab;

use super::clock::Clock;
use super::lane::Lane;
use super::turns::{Line, Turns};
use super::under_way::{Attempt, UnderWay};
use crate::accounts::AccountId;
use crate::delivery::WebhookId;
use crate::delivery::attempt::Ticket;
use crate::limits;

#[derive(Clone, Copy, Debug)]
pub struct LaneOptions {
    /// Deliveries that a lane's queue holds.
    pub queue_max: usize,
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
pub struct Lanes {
    options: LaneOptions,
    clock: Clock,
    /// Those that are closed, too, until their last attempt has ended.
    lanes: Slab<Lane>,
    open: HashMap<WebhookId, usize>,
    under_way: UnderWay,
    turns: Turns,
    /// Attempts begun, ever.
    begun: u64,
}

impl Lanes {
    pub fn new(options: LaneOptions) -> Self {
        // Without a worker nothing would ever be sent.
        let options = LaneOptions { workers: options.workers.max(1), ..options };
        Self {
            options,
            clock: Clock::default(),
            lanes: Slab::new(),
            open: HashMap::new(),
            under_way: UnderWay::default(),
            turns: Turns::new(options.workers as usize),
            begun: 0,
        }
    }

    /// A lane for an active webhook of an account; one that is there stays as it is.
    pub fn open(&mut self, webhook: WebhookId, account: AccountId) {
        self.open.entry(webhook).or_insert_with(|| self.lanes.insert(Lane::new(webhook, account, &self.options)));
    }

    /// Forgets a lane and what it has queued. What is under way ends by itself: [`Self::finish`] still has to be called.
    pub fn close(&mut self, webhook: WebhookId) {
        if let Some(lane) = self.open.remove(&webhook) {
            self.change(lane, Lane::retire);
        }
    }

    /// Begins anew with an endpoint, as it is another one or was mended: what was learnt of it is forgotten, and what is under way
    /// teaches nothing more. What is queued, and the pace, stay.
    pub fn reset(&mut self, webhook: WebhookId) {
        if let Some(before) = self.open.remove(&webhook) {
            let mut lane = Lane::new(webhook, self.lanes[before].account(), &self.options);
            lane.take_over(&mut self.lanes[before]);
            self.change(before, Lane::retire);
            let lane = self.lanes.insert(lane);
            self.open.insert(webhook, lane);
            self.change(lane, |_| ());
        }
    }

    /// Room in the queue of a lane: how many more it takes. 0 of a lane that is not there.
    pub fn room(&self, webhook: WebhookId) -> usize {
        self.open.get(&webhook).map_or(0, |lane| self.lanes[*lane].room())
    }

    /// Whether half of a lane's queue is free, so that one look at the database brings many.
    pub fn is_short(&self, webhook: WebhookId) -> bool {
        2 * self.room(webhook) >= self.options.queue_max
    }

    /// Adds a delivery that is due. The caller has looked for room.
    pub fn push(&mut self, webhook: WebhookId, queued: Queued) {
        let lane = *self.open.get(&webhook).expect("the caller has looked for room");
        self.change(lane, |lane| lane.push(queued));
    }

    /// The next delivery to be sent, if a worker that may be used for it is free; it counts as under way from now on.
    pub fn next(&mut self, now_ms: u64) -> Option<(Ticket, Queued)> {
        let now_ms = self.advance(now_ms);
        if self.under_way.len() >= self.options.workers as usize {
            return None;
        }
        let key = self.turns.take()?;
        self.begun += 1;
        let number = self.begun;
        let queued = self.change(key, |lane| lane.start(number, now_ms));
        let ticket = Ticket { webhook: self.lanes[key].webhook(), delivery: queued.delivery };
        // One millisecond past the bound, it takes longer than that.
        let overdue_at_ms = now_ms.saturating_add(limits::PROMPT_MS_MAX + 1);
        self.under_way.start(ticket, Attempt { number, lane: key, overdue_at_ms, is_overdue: false });
        Some((ticket, queued))
    }

    /// An attempt has ended after `duration_ms`. Tickets that nobody was given are passed over.
    pub fn finish(&mut self, ticket: Ticket, verdict: Verdict, duration_ms: u64, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        if let Some(attempt) = self.under_way.end(ticket) {
            self.change(attempt.lane, |lane| {
                lane.end(attempt.is_overdue);
                lane.learn(attempt.number, verdict, duration_ms, now_ms);
            });
        }
    }

    /// What [`Self::next`] gave can't be sent: its worker and its token are free again, and nothing is learnt of the endpoint
    /// but that it was not prompt, where that has taken too long.
    pub fn withdraw(&mut self, ticket: Ticket) {
        if let Some(attempt) = self.under_way.end(ticket) {
            self.change(attempt.lane, |lane| {
                lane.end(attempt.is_overdue);
                lane.withdraw(attempt.number, attempt.is_overdue);
            });
        }
    }

    /// When [`Self::next`] may have something that it has not now, though nothing is pushed or finished: a bucket fills, a breaker
    /// lets a probe pass, a pause ends. Once `next` has had nothing, this is later than the time that it was asked for.
    pub fn wake_at(&self) -> Option<u64> {
        self.turns.wakes_at().map(|at_ms| self.clock.shows_at(at_ms))
    }

    /// Attempts under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Whether a webhook's endpoint is left alone for now because it kept failing.
    pub fn breaker_is_open(&self, webhook: WebhookId, now_ms: u64) -> bool {
        let now_ms = self.clock.at(now_ms);
        self.open.get(&webhook).is_some_and(|lane| self.lanes[*lane].breaker_is_open(now_ms))
    }

    /// How many lanes are prompt, how many slow, and how many of either are left alone for now and count as that.
    pub fn census(&self, now_ms: u64) -> [u64; 3] {
        let now_ms = self.clock.at(now_ms);
        let mut census = [0; 3];
        for lane in self.open.values().map(|lane| &self.lanes[*lane]) {
            let state = match lane.line() {
                _ if lane.breaker_is_open(now_ms) => 2,
                Line::Slow(_) => 1,
                Line::Prompt(_) => 0,
            };
            census[state] += 1;
        }
        census
    }

    /// Workers that count towards all, for prompt lanes and for slow ones; and lanes that are kept, closed ones among them.
    #[cfg(test)]
    pub fn counts(&self) -> ([usize; 2], usize) {
        (self.turns.lines().map(|line| line.under_way()), self.lanes.len())
    }

    /// Accounts that are known, with the workers that they hold: for prompt lanes all, for slow lanes those of slow lanes.
    #[cfg(test)]
    pub fn shares(&self) -> [Vec<(AccountId, usize)>; 2] {
        self.turns.lines().map(|line| line.shares())
    }

    /// Lets time pass.
    fn advance(&mut self, now_ms: u64) -> u64 {
        let now_ms = self.clock.advance(now_ms);
        while let Some(lane) = self.under_way.next_overdue(now_ms) {
            self.change(lane, Lane::add_overdue);
        }
        self.turns.wake(now_ms);
        now_ms
    }

    /// Changes a lane, and whatever depends on it: the workers of its account, its place, and whether it is needed at all.
    fn change<T>(&mut self, key: usize, change: impl FnOnce(&mut Lane) -> T) -> T {
        let lane = &mut self.lanes[key];
        let held = lane.held();
        let changed = change(lane);
        self.turns.lend(lane.account(), held, lane.held());
        self.turns.put(key, lane.line(), lane.sends_at(), self.clock.now_ms());
        if lane.is_done() {
            self.lanes.remove(key);
        }
        changed
    }
}
