//! One webhook's lane: what waits for it, what is under way to it, and what is known of its endpoint.

use std::collections::VecDeque;

use super::breaker::Breaker;
use super::bucket::Bucket;
use super::ready::{LaneOptions, Queued, Verdict};
use super::turns::{Held, Line};
use crate::accounts::AccountId;
use crate::delivery::WebhookId;
use crate::limits;

#[derive(Debug)]
pub struct Lane {
    webhook: WebhookId,
    account: AccountId,
    queue: VecDeque<Queued>,
    queue_max: usize,
    concurrency: usize,
    bucket: Bucket,
    breaker: Breaker,
    /// Until when the endpoint asked to be left alone.
    paused_until_ms: u64,
    under_way: usize,
    /// Of them, those that have been for longer than a prompt endpoint takes.
    overdue: usize,
    has_succeeded: bool,
    /// Attempts that ended well and soon, since the last one that did not.
    prompt_in_a_row: u32,
    is_retired: bool,
}

impl Lane {
    pub fn new(webhook: WebhookId, account: AccountId, options: &LaneOptions) -> Self {
        Self {
            webhook,
            account,
            queue: VecDeque::new(),
            queue_max: options.queue_max,
            // With none nothing would ever be sent.
            concurrency: options.concurrency.max(1) as usize,
            bucket: Bucket::new(options.rate_per_second, options.rate_burst),
            breaker: Breaker::new(options.breaker_failures, options.breaker_ms),
            paused_until_ms: 0,
            under_way: 0,
            overdue: 0,
            has_succeeded: false,
            prompt_in_a_row: 0,
            is_retired: false,
        }
    }

    pub fn webhook(&self) -> WebhookId {
        self.webhook
    }

    pub fn account(&self) -> AccountId {
        self.account
    }

    pub fn room(&self) -> usize {
        self.queue_max - self.queue.len()
    }

    pub fn push(&mut self, queued: Queued) {
        assert!(self.room() > 0, "the caller has looked for room");
        self.queue.push_back(queued);
    }

    /// Where it waits when it is ready, by whether its endpoint can be expected to answer soon.
    pub fn line(&self) -> Line {
        match self.overdue == 0 && self.prompt_in_a_row >= limits::PROMPT_AFTER {
            true => Line::Prompt(self.account),
            false => Line::Slow(self.account),
        }
    }

    /// A worker for each of its attempts under way.
    pub fn held(&self) -> Held {
        let slow = match self.line() {
            Line::Prompt(_) => 0,
            Line::Slow(_) => self.under_way,
        };
        Held { all: self.under_way, slow }
    }

    /// From when on its next delivery may be sent, a time that may have passed. `None` before something is pushed or ends.
    pub fn sends_at(&self) -> Option<u64> {
        let concurrency = if self.has_succeeded { self.concurrency } else { 1 };
        if self.queue.is_empty() || self.under_way >= concurrency {
            return None;
        }
        let passes_at = self.breaker.passes_at()?;
        Some(passes_at.max(self.bucket.has_token_at()).max(self.paused_until_ms))
    }

    /// Begins an attempt, at a time when it may.
    pub fn start(&mut self, attempt: u64, now_ms: u64) -> Queued {
        let queued = self.queue.pop_front().expect("only a lane with something to send is ready");
        if self.queue.is_empty() {
            // Most lanes have nothing to send, mostly: thousands of them must not keep the room of their fullest time.
            self.queue = VecDeque::new();
        }
        self.bucket.take(now_ms);
        self.breaker.start(attempt, now_ms);
        self.under_way += 1;
        queued
    }

    /// One of its attempts has become overdue.
    pub fn add_overdue(&mut self) {
        self.overdue += 1;
    }

    /// One of its attempts is under way no more.
    pub fn end(&mut self, was_overdue: bool) {
        self.under_way -= 1;
        self.overdue -= usize::from(was_overdue);
    }

    /// What came of an attempt that has ended.
    pub fn learn(&mut self, attempt: u64, verdict: Verdict, duration_ms: u64, now_ms: u64) {
        let is_prompt = verdict == Verdict::Success && duration_ms <= limits::PROMPT_MS_MAX;
        self.prompt_in_a_row = if is_prompt { self.prompt_in_a_row.saturating_add(1) } else { 0 };
        match verdict {
            Verdict::Success => {
                self.has_succeeded = true;
                self.breaker.success();
            }
            Verdict::Failure { pause_ms } => {
                self.breaker.failure(attempt, now_ms);
                self.paused_until_ms = self.paused_until_ms.max(now_ms.saturating_add(pause_ms.unwrap_or(0)));
            }
        }
    }

    /// An attempt was not made after all.
    pub fn withdraw(&mut self, attempt: u64, was_overdue: bool) {
        // What holds a worker for so long, and again and again, has no place among those that do not.
        if was_overdue {
            self.prompt_in_a_row = 0;
        }
        self.bucket.give_back();
        self.breaker.withdraw(attempt);
    }

    pub fn breaker_is_open(&self, now_ms: u64) -> bool {
        self.breaker.is_open(now_ms)
    }

    /// Nothing more is sent: it only waits for the attempts under way.
    pub fn retire(&mut self) {
        self.queue = VecDeque::new();
        self.is_retired = true;
    }

    /// Takes over what was not learnt from the endpoint: the queue and the pace.
    pub fn take_over(&mut self, other: &mut Self) {
        self.queue = std::mem::take(&mut other.queue);
        self.bucket = other.bucket.clone();
    }

    pub fn is_done(&self) -> bool {
        self.is_retired && self.under_way == 0
    }
}
