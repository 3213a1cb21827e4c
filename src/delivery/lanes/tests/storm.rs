//! Everything at once, in an order that a seed decides, beside a model that looks at every lane and every attempt each time.
//! `STENTOR_SEED=n` repeats one.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use fastrand::Rng;

use super::*;

/// What is known of one life of a lane: from when it was opened or reset until it was closed or reset.
struct Life {
    webhook: WebhookId,
    queue: VecDeque<Queued>,
    is_over: bool,
    has_succeeded: bool,
    prompt_in_a_row: u32,
    failures: u32,
    /// Until when it is open, and for how long; the number of the probe, which may have ended meanwhile.
    open: Option<(u64, u64)>,
    probe: Option<u64>,
    paused_until: u64,
    /// Thousandths of tokens, and when they were counted.
    tokens: (u64, u64),
}

struct Attempt {
    number: u64,
    ticket: Ticket,
    life: usize,
    begun: u64,
}

struct Model {
    options: LaneOptions,
    lives: Vec<Life>,
    under_way: Vec<Attempt>,
    begun: u64,
    /// Steady time; the clock that the lanes are shown is behind by what it was set back.
    now: u64,
    set_back: u64,
}

impl Model {
    fn life(&self, webhook: WebhookId) -> Option<usize> {
        self.lives.iter().position(|life| life.webhook == webhook && !life.is_over)
    }

    fn open(&mut self, webhook: WebhookId) {
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

    fn close(&mut self, webhook: WebhookId) {
        if let Some(life) = self.life(webhook) {
            self.lives[life].is_over = true;
            self.lives[life].queue.clear();
        }
    }

    fn reset(&mut self, webhook: WebhookId) {
        if let Some(life) = self.life(webhook) {
            let (queue, tokens) = (std::mem::take(&mut self.lives[life].queue), self.lives[life].tokens);
            self.close(webhook);
            self.open(webhook);
            let life = self.lives.last_mut().expect("just opened");
            (life.queue, life.tokens) = (queue, tokens);
        }
    }

    fn attempts(&self, life: usize) -> impl Iterator<Item = &Attempt> {
        self.under_way.iter().filter(move |attempt| attempt.life == life)
    }

    fn is_prompt(&self, life: usize) -> bool {
        let hangs = |attempt: &Attempt| self.now - attempt.begun > limits::PROMPT_MS_MAX;
        self.lives[life].prompt_in_a_row >= limits::PROMPT_AFTER && !self.attempts(life).any(hangs)
    }

    fn slow_under_way(&self) -> usize {
        self.under_way.iter().filter(|attempt| !self.is_prompt(attempt.life)).count()
    }

    /// Thousandths of tokens at most: the burst, and what overflows within a millisecond.
    fn tokens_max(&self) -> u64 {
        u64::from(self.options.rate_burst) * 1_000 + u64::from(self.options.rate_per_second.saturating_sub(1))
    }

    fn tokens(&self, life: &Life, at: u64) -> u64 {
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
    fn sends_at(&self, index: usize) -> Option<u64> {
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

    /// Lanes that may be sent to now.
    fn usable(&self) -> BTreeSet<usize> {
        let workers = self.options.workers as usize;
        if self.under_way.len() >= workers {
            return BTreeSet::new();
        }
        let slow_may = self.slow_under_way() < (workers / 2).max(1);
        let is_usable = |life: &usize| {
            !self.lives[*life].is_over && (slow_may || self.is_prompt(*life)) && self.sends_at(*life) == Some(self.now)
        };
        (0..self.lives.len()).filter(is_usable).collect()
    }

    fn wakes_at(&self) -> Option<u64> {
        (0..self.lives.len()).filter_map(|life| self.sends_at(life)).filter(|at| *at > self.now).min()
    }

    fn start(&mut self, life: usize) -> (Ticket, Queued) {
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

    fn end(&mut self, ticket: Ticket) -> Option<Attempt> {
        let oldest = self.under_way.iter().position(|attempt| attempt.ticket == ticket)?;
        Some(self.under_way.remove(oldest))
    }

    fn finish(&mut self, ticket: Ticket, verdict: Verdict, duration_ms: u64) {
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

    fn withdraw(&mut self, ticket: Ticket) {
        let Some(attempt) = self.end(ticket) else { return };
        let full = self.tokens_max();
        let life = &mut self.lives[attempt.life];
        life.tokens.0 = (life.tokens.0 + 1_000).min(full);
        if life.probe == Some(attempt.number) {
            life.probe = None;
        }
    }
}

/// Nobody has two turns while somebody who may go waits for one.
#[derive(Default)]
struct Fairness {
    /// Of each lane that could go at every look since its last turn: who has gone meanwhile.
    gone_before: BTreeMap<usize, HashSet<usize>>,
}

impl Fairness {
    fn look(&mut self, model: &Model) {
        let usable = model.usable();
        self.gone_before.retain(|life, _| usable.contains(life));
        for life in usable {
            self.gone_before.entry(life).or_default();
        }
    }

    fn turn(&mut self, model: &Model, gone: usize) {
        self.gone_before.remove(&gone);
        for (waiting, before) in &mut self.gone_before {
            // A single worker goes by classes first.
            if model.options.workers > 1 || model.is_prompt(*waiting) == model.is_prompt(gone) {
                assert!(before.insert(gone), "lane {gone} has its second turn while lane {waiting} waits");
            }
        }
    }
}

struct Storm {
    lanes: Lanes,
    model: Model,
    fairness: Fairness,
    pushed: i64,
    rng: Rng,
    /// How often `next` had something while some other lane could have gone, too; a probe went; slow lanes were full.
    seen: [usize; 3],
}

const WEBHOOKS: u64 = 12;

impl Storm {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let options = LaneOptions {
            concurrency: rng.u32(1..5),
            rate_per_second: rng.choice([0, 0, 1, 3, 7, 200]).expect("one"),
            rate_burst: rng.u32(1..4),
            breaker_failures: rng.u32(..4),
            breaker_ms: rng.choice([1, 700, 20_000, 200_000]).expect("one"),
            workers: rng.u32(1..12),
        };
        let model = Model { options, lives: Vec::new(), under_way: Vec::new(), begun: 0, now: T, set_back: 0 };
        Self { lanes: Lanes::new(options), model, fairness: Fairness::default(), pushed: 0, rng, seen: [0; 3] }
    }

    fn clock(&self) -> u64 {
        self.model.now - self.model.set_back
    }

    fn webhook(&mut self) -> WebhookId {
        WebhookId(self.rng.u64(..WEBHOOKS))
    }

    /// The endpoints' natures: prompt, slow, failing, hanging, and mixed.
    fn finish(&mut self) {
        let Some(index) = (!self.model.under_way.is_empty()).then(|| self.rng.usize(..self.model.under_way.len()))
        else {
            return;
        };
        let attempt = &self.model.under_way[index];
        let ticket = attempt.ticket;
        let took_ms = self.model.now - attempt.begun;
        let (fails, hangs) = match ticket.webhook.0 % 5 {
            0 | 1 => (self.rng.u8(..40) == 0, self.rng.u8(..40) == 0),
            2 => (self.rng.u8(..8) != 0, false),
            3 => (self.rng.u8(..4) == 0, self.rng.u8(..4) != 0),
            _ => (self.rng.bool(), self.rng.bool()),
        };
        if hangs && took_ms < 10_000 {
            return;
        }
        let pause_ms = (self.rng.u8(..6) == 0).then(|| self.rng.u64(..5_000));
        let verdict = if fails { Verdict::Failure { pause_ms } } else { Verdict::Success };
        // The worker's own clock may have it shorter: its report waited.
        let duration_ms = if self.rng.u8(..4) == 0 { self.rng.u64(..=took_ms) } else { took_ms };
        self.lanes.finish(ticket, verdict, duration_ms, self.clock());
        self.model.finish(ticket, verdict, duration_ms);
    }

    fn next(&mut self) -> bool {
        let usable = self.model.usable();
        let Some((ticket, queued)) = self.lanes.next(self.clock()) else {
            assert_eq!(usable, BTreeSet::new(), "a worker is idle");
            let wakes_at = self.model.wakes_at().map(|at| at - self.model.set_back);
            assert_eq!(self.lanes.wake_at(), wakes_at);
            return false;
        };
        let life = self.model.life(ticket.webhook).expect("an open lane");
        assert!(usable.contains(&life), "{ticket:?} may not be sent now");
        self.fairness.look(&self.model);
        self.fairness.turn(&self.model, life);
        self.seen[0] += usize::from(usable.len() > 1);
        assert_eq!(self.model.start(life), (ticket, queued));
        self.seen[1] += usize::from(self.model.lives[life].probe.is_some());
        true
    }

    fn step(&mut self) {
        let webhook = self.webhook();
        match self.rng.u8(..100) {
            0..=2 => {
                self.lanes.open(webhook);
                self.model.open(webhook);
            }
            3 if self.rng.u8(..3) == 0 => {
                self.lanes.close(webhook);
                self.model.close(webhook);
            }
            4 if self.rng.u8(..3) == 0 => {
                self.lanes.reset(webhook);
                self.model.reset(webhook);
            }
            5..=29 => self.push(webhook),
            30..=59 => self.finish(),
            60..=61 => {
                let under_way = self.rng.usize(..=self.model.under_way.len());
                let unknown = Ticket { webhook, delivery: -1 };
                let ticket = self.model.under_way.get(under_way).map_or(unknown, |attempt| attempt.ticket);
                self.lanes.withdraw(ticket);
                self.model.withdraw(ticket);
            }
            62 => {
                let ticket = Ticket { webhook, delivery: -1 };
                self.lanes.finish(ticket, Verdict::Success, 3, self.clock());
            }
            63..=79 => self.model.now += self.rng.choice([0, 1, 1, 20, 300, 1_001, 9_000]).expect("one"),
            80 if self.rng.u8(..20) == 0 => self.model.now += 250_000,
            81 if self.rng.u8(..5) == 0 => {
                // It stands still here until the lanes have seen the clock.
                self.model.set_back += self.rng.u64(1..1_000_000_000);
                self.next();
            }
            82..=84 => while self.next() {},
            _ => {
                self.next();
            }
        }
    }

    fn push(&mut self, webhook: WebhookId) {
        let life = self.model.life(webhook);
        let room = life.map_or(0, |life| limits::LANE_QUEUE_MAX - self.model.lives[life].queue.len());
        assert_eq!(self.lanes.room(webhook), room);
        let count = if self.rng.u8(..20) == 0 { self.rng.usize(..300) } else { self.rng.usize(..5) };
        for _ in 0..count.min(room) {
            self.pushed += 1;
            // Now and then one that is under way already, of this life of its lane or another.
            let under_way = self.model.under_way.iter().find(|attempt| attempt.ticket.webhook == webhook);
            let again = under_way.map(|attempt| attempt.ticket.delivery).filter(|_| self.rng.u8(..5) == 0);
            let delivery = again.unwrap_or(self.pushed);
            self.lanes.push(webhook, queued(delivery));
            self.model.lives[life.expect("room")].queue.push_back(queued(delivery));
        }
    }

    fn check(&mut self) {
        // Time has not passed for the lanes before they were told so: a look that changes nothing of the model does it.
        self.lanes.finish(Ticket { webhook: WebhookId(0), delivery: -1 }, Verdict::Success, 0, self.clock());
        let (model, lanes) = (&self.model, &self.lanes);
        assert_eq!(lanes.under_way(), model.under_way.len());
        assert!(lanes.under_way() <= model.options.workers as usize);
        self.seen[2] += usize::from(model.slow_under_way() >= (model.options.workers as usize / 2).max(1));
        for webhook in (0..WEBHOOKS).map(WebhookId) {
            let open = model
                .life(webhook)
                .and_then(|life| model.lives[life].open.filter(|_| model.lives[life].probe.is_none()));
            assert_eq!(lanes.breaker_is_open(webhook, self.clock()), open.is_some_and(|(until, _)| model.now < until));
        }
        let lanes_needed: BTreeSet<_> = model.under_way.iter().map(|attempt| attempt.life).collect();
        let is_needed = |(index, life): &(usize, &Life)| !life.is_over || lanes_needed.contains(index);
        let needed = model.lives.iter().enumerate().filter(is_needed).count();
        assert_eq!(lanes.counts(), (model.slow_under_way(), needed));
        self.fairness.look(&self.model);
    }
}

fn storm(seed: u64) -> [usize; 3] {
    let mut storm = Storm::new(seed);
    for _ in 0..1_500 {
        storm.step();
        storm.check();
    }
    // All that is under way ends well: the lanes come to rest with no worker held.
    while let Some(attempt) = storm.model.under_way.first() {
        let ticket = attempt.ticket;
        storm.lanes.finish(ticket, Verdict::Success, 5, storm.clock());
        storm.model.finish(ticket, Verdict::Success, 5);
        storm.check();
    }
    assert_eq!((storm.lanes.under_way(), storm.lanes.counts().0), (0, 0));
    storm.seen
}

#[test]
fn lanes_agree_with_the_naive_model() {
    if let Some(seed) = std::env::var("STENTOR_SEED").ok().and_then(|seed| seed.parse().ok()) {
        storm(seed);
        return;
    }
    let mut seen = [0; 3];
    for seed in 0..200 {
        let of_one = std::panic::catch_unwind(|| storm(seed)).unwrap_or_else(|panic| {
            eprintln!("the storm of STENTOR_SEED={seed} failed");
            std::panic::resume_unwind(panic);
        });
        seen.iter_mut().zip(of_one).for_each(|(seen, of_one)| *seen += of_one);
    }
    assert!(seen.iter().all(|seen| *seen > 1_000), "the storms were too quiet: {seen:?}");
}
