//! Lanes as they should be: every lane and every attempt is looked at each time.

use std::collections::{BTreeSet, VecDeque};

use super::*;

pub const WEBHOOKS: u64 = 16;

/// Accounts of one, two, four, eight and one.
pub fn account(webhook: WebhookId) -> AccountId {
    AccountId(u64::from((webhook.0 + 1).ilog2()))
}

pub fn accounts() -> BTreeSet<AccountId> {
    (0..WEBHOOKS).map(|webhook| account(WebhookId(webhook))).collect()
}

/// What is known of one life of a lane: from when it was opened or reset until it was closed or reset.
pub struct Life {
    pub webhook: WebhookId,
    pub queue: VecDeque<Queued>,
    pub is_over: bool,
    pub has_succeeded: bool,
    pub prompt_in_a_row: u32,
    pub failures: u32,
    /// Until when it is open, and for how long; the number of the probe, which may have ended meanwhile.
    pub open: Option<(u64, u64)>,
    pub probe: Option<u64>,
    pub paused_until: u64,
    /// Thousandths of tokens, and when they were counted.
    pub tokens: (u64, u64),
}

pub struct Attempt {
    pub number: u64,
    pub ticket: Ticket,
    pub life: usize,
    pub begun: u64,
}

pub struct Model {
    pub options: LaneOptions,
    pub lives: Vec<Life>,
    pub under_way: Vec<Attempt>,
    pub begun: u64,
    /// Steady time; the clock that the lanes are shown is behind by what it was set back.
    pub now: u64,
    pub set_back: u64,
}

impl Model {
    pub fn life(&self, webhook: WebhookId) -> Option<usize> {
        self.lives.iter().position(|life| life.webhook == webhook && !life.is_over)
    }

    pub fn open(&mut self, webhook: WebhookId) {
        if self.life(webhook).is_none() {
            self.lives.push(Life {
                webhook,
                queue: VecDeque::new(),
                is_over: false,
                has_succeeded: false,
                prompt_in_a_row: 0,
                failures: 0,
                open: None,
                probe: None,
                paused_until: 0,
                tokens: (u64::from(self.options.rate_burst) * 1_000, 0),
            });
        }
    }

    pub fn close(&mut self, webhook: WebhookId) {
        if let Some(life) = self.life(webhook) {
            self.lives[life].is_over = true;
            self.lives[life].queue.clear();
        }
    }

    pub fn reset(&mut self, webhook: WebhookId) {
        if let Some(life) = self.life(webhook) {
            let (queue, tokens) = (std::mem::take(&mut self.lives[life].queue), self.lives[life].tokens);
            self.close(webhook);
            self.open(webhook);
            let life = self.lives.last_mut().expect("just opened");
            (life.queue, life.tokens) = (queue, tokens);
        }
    }

    pub fn attempts(&self, life: usize) -> impl Iterator<Item = &Attempt> {
        self.under_way.iter().filter(move |attempt| attempt.life == life)
    }

    pub fn is_prompt(&self, life: usize) -> bool {
        let hangs = |attempt: &Attempt| self.now - attempt.begun > limits::PROMPT_MS_MAX;
        self.lives[life].prompt_in_a_row >= limits::PROMPT_AFTER && !self.attempts(life).any(hangs)
    }

    pub fn account(&self, life: usize) -> AccountId {
        account(self.lives[life].webhook)
    }

    /// Workers that slow lanes hold, of each account no more than its part.
    pub fn slow_under_way(&self) -> usize {
        let part = self.bounds(false).1;
        accounts().into_iter().map(|account| self.share(account, false).min(part)).sum()
    }

    /// Workers that an account holds: for prompt lanes all, for slow ones those of slow ones.
    pub fn share(&self, account: AccountId, prompt: bool) -> usize {
        let counts =
            |attempt: &&Attempt| (prompt || !self.is_prompt(attempt.life)) && self.account(attempt.life) == account;
        self.under_way.iter().filter(counts).count()
    }

    /// Workers that may be held, for prompt lanes and for slow ones; and an account's part of them, three
    /// quarters, rounded up.
    pub fn bounds(&self, prompt: bool) -> (usize, usize) {
        let workers = self.options.workers as usize;
        let max = if prompt { workers } else { (workers / 2).max(1) };
        (max, (max * 3).div_ceil(4))
    }

    /// Thousandths of tokens at most: the burst, and what overflows within a millisecond.
    pub fn tokens_max(&self) -> u64 {
        u64::from(self.options.rate_burst) * 1_000 + u64::from(self.options.rate_per_second.saturating_sub(1))
    }

    pub fn tokens(&self, life: &Life, at: u64) -> u64 {
        let (mut held, since) = life.tokens;
        for _ in since..at {
            if held >= self.tokens_max() || self.options.rate_per_second == 0 {
                break;
            }
            held += u64::from(self.options.rate_per_second);
        }
        held.min(self.tokens_max())
    }

    /// When a lane could send, if there were a worker for it.
    pub fn sends_at(&self, index: usize) -> Option<u64> {
        let life = &self.lives[index];
        let concurrency = if life.has_succeeded { self.options.concurrency as usize } else { 1 };
        let is_probed = life.open.is_some() && life.probe.is_some();
        if life.queue.is_empty() || self.attempts(index).count() >= concurrency || is_probed {
            return None;
        }
        let mut at = life.paused_until.max(life.open.map_or(0, |(until, _)| until)).max(self.now);
        let mut tokens = self.tokens(life, at);
        while self.options.rate_per_second > 0 && tokens < 1_000 {
            tokens += u64::from(self.options.rate_per_second);
            at += 1;
        }
        Some(at)
    }

    /// Lanes that could send now, if there were a worker for them.
    pub fn ready(&self) -> BTreeSet<usize> {
        let is_ready = |life: &usize| !self.lives[*life].is_over && self.sends_at(*life) == Some(self.now);
        (0..self.lives.len()).filter(is_ready).collect()
    }

    /// Lanes that may be sent to now.
    pub fn usable(&self) -> BTreeSet<usize> {
        if self.under_way.len() >= self.options.workers as usize {
            return BTreeSet::new();
        }
        let slow_may = self.slow_under_way() < self.bounds(false).0;
        let may = |life: &usize| {
            self.has_part_left(*life, true) && (self.is_prompt(*life) || (slow_may && self.has_part_left(*life, false)))
        };
        self.ready().into_iter().filter(may).collect()
    }

    /// Whether the account of a lane holds less than its part of all workers, or of those for slow lanes.
    pub fn has_part_left(&self, life: usize, prompt: bool) -> bool {
        self.share(self.account(life), prompt) < self.bounds(prompt).1
    }

    /// Accounts of prompt lanes among some, or of slow ones.
    pub fn accounts_of(&self, prompt: bool, lives: &BTreeSet<usize>) -> BTreeSet<AccountId> {
        lives.iter().filter(|life| self.is_prompt(**life) == prompt).map(|life| self.account(*life)).collect()
    }

    /// Prompt lanes of an account among some, or slow ones.
    pub fn lanes_of(&self, prompt: bool, account: AccountId, lives: &BTreeSet<usize>) -> BTreeSet<usize> {
        let is_one = |life: &usize| self.is_prompt(*life) == prompt && self.account(*life) == account;
        lives.iter().copied().filter(is_one).collect()
    }

    pub fn wakes_at(&self) -> Option<u64> {
        (0..self.lives.len()).filter_map(|life| self.sends_at(life)).filter(|at| *at > self.now).min()
    }

    pub fn start(&mut self, life: usize) -> (Ticket, Queued) {
        self.begun += 1;
        self.lives[life].tokens = (self.tokens(&self.lives[life], self.now).saturating_sub(1_000), self.now);
        let queued = self.lives[life].queue.pop_front().expect("usable");
        if self.lives[life].open.is_some() {
            self.lives[life].probe = Some(self.begun);
        }
        let ticket = Ticket { webhook: self.lives[life].webhook, delivery: queued.delivery };
        self.under_way.push(Attempt { number: self.begun, ticket, life, begun: self.now });
        (ticket, queued)
    }

    pub fn end(&mut self, ticket: Ticket) -> Option<Attempt> {
        let oldest = self.under_way.iter().position(|attempt| attempt.ticket == ticket)?;
        Some(self.under_way.remove(oldest))
    }

    pub fn finish(&mut self, ticket: Ticket, verdict: Verdict, duration_ms: u64) {
        let Some(attempt) = self.end(ticket) else { return };
        let (now, options) = (self.now, self.options);
        let life = &mut self.lives[attempt.life];
        let Verdict::Failure { pause_ms } = verdict else {
            life.has_succeeded = true;
            life.prompt_in_a_row = if duration_ms <= limits::PROMPT_MS_MAX { life.prompt_in_a_row + 1 } else { 0 };
            (life.failures, life.open, life.probe) = (0, None, None);
            return;
        };
        life.prompt_in_a_row = 0;
        life.paused_until = life.paused_until.max(now + pause_ms.unwrap_or(0));
        match life.open {
            None => {
                life.failures += 1;
                if life.failures == options.breaker_failures {
                    life.open = Some((now + options.breaker_ms, options.breaker_ms));
                }
            }
            Some((_, before)) if life.probe == Some(attempt.number) => {
                let twice = (2 * before).min(limits::BREAKER_OPEN_MS_MAX);
                (life.open, life.probe) = (Some((now + twice, twice)), None);
            }
            Some(_) => {}
        }
    }

    pub fn withdraw(&mut self, ticket: Ticket) {
        let Some(attempt) = self.end(ticket) else { return };
        let (full, now) = (self.tokens_max(), self.now);
        let life = &mut self.lives[attempt.life];
        if now - attempt.begun > limits::PROMPT_MS_MAX {
            life.prompt_in_a_row = 0;
        }
        life.tokens.0 = (life.tokens.0 + 1_000).min(full);
        if life.probe == Some(attempt.number) {
            life.probe = None;
        }
    }
}
