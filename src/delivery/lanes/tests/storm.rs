//! Everything at once, in an order that a seed decides, beside the model. `STENTOR_SEED=n` repeats one.

use std::collections::BTreeSet;

use fastrand::Rng;

use super::fairness::Fairness;
use super::model::{Life, Model, WEBHOOKS, account, accounts};
use super::*;

struct Storm {
    lanes: Lanes,
    model: Model,
    fairness: Fairness,
    pushed: i64,
    /// The endpoints of the account of eight are prompt, so that it can hold its part of all workers, until they hang.
    is_flood: bool,
    rng: Rng,
    /// How often `next` had something while some other lane could have gone, too; a probe went; slow lanes were full; a slow lane went
    /// only as what accounts hold beyond their parts does not count; only its account's part held a slow lane back, of those for
    /// slow lanes and of all; or a prompt one.
    seen: [usize; 7],
}

impl Storm {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let is_flood = rng.bool();
        let options = LaneOptions {
            queue_max: limits::LANE_QUEUE_MAX,
            concurrency: if is_flood { 4 } else { rng.u32(1..5) },
            rate_per_second: if is_flood { 0 } else { rng.choice([0, 0, 1, 3, 7, 200]).expect("one") },
            rate_burst: rng.u32(1..4),
            breaker_failures: rng.u32(..4),
            breaker_ms: rng.choice([1, 700, 20_000, 200_000]).expect("one"),
            workers: rng.choice([1, 2, 3, 5, 8, 8, 9, 11, 16]).expect("one"),
        };
        let model = Model { options, lives: Vec::new(), under_way: Vec::new(), begun: 0, now: T, set_back: 0 };
        Self {
            lanes: Lanes::new(options),
            model,
            fairness: Fairness::default(),
            pushed: 0,
            is_flood,
            rng,
            seen: [0; 7],
        }
    }

    fn clock(&self) -> u64 {
        self.model.now - self.model.set_back
    }

    fn webhook(&mut self) -> WebhookId {
        // The account of eight gets most of a flood: where all have much to send, none comes near its part.
        let is_its = self.is_flood && self.rng.u8(..5) != 0;
        WebhookId(self.rng.u64(if is_its { 7..15 } else { 0..WEBHOOKS }))
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
            _ if self.is_flood && (7..15).contains(&ticket.webhook.0) => (self.rng.u8(..100) == 0, false),
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
        self.fairness.turn(&self.model, &usable, life);
        self.seen[0] += usize::from(usable.len() > 1);
        let slow_held: usize = accounts().into_iter().map(|account| self.model.share(account, false)).sum();
        let goes_beyond = !self.model.is_prompt(life) && slow_held >= self.model.bounds(false).0;
        self.seen[3] += usize::from(goes_beyond);
        assert_eq!(self.model.start(life), (ticket, queued));
        self.seen[1] += usize::from(self.model.lives[life].probe.is_some());
        true
    }

    fn step(&mut self) {
        let webhook = self.webhook();
        match self.rng.u8(..100) {
            0..=2 => {
                self.lanes.open(webhook, account(webhook));
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
            30..=59 if !self.is_flood => self.finish(),
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
            30..=79 if self.is_flood => self.flood(),
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

    /// Ends much at once and begins much at once. Time passes slowly, and now and then by so much that all that is under way hangs.
    fn flood(&mut self) {
        match self.rng.u8(..20) {
            0..=12 => {
                self.finish();
                self.next();
            }
            13..=15 => while self.next() {},
            16..=18 => self.model.now += self.rng.u64(..20),
            _ => {
                self.model.now += self.rng.choice([30, 300, 1_001, 1_001]).expect("one");
                let other = WebhookId(self.rng.u64(..7));
                self.push(other);
                while self.next() {}
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
        let slow_max = model.bounds(false).0;
        let ready = model.ready();
        let is_idle = model.under_way.len() < model.options.workers as usize;
        let slow_may = is_idle && model.slow_under_way() < slow_max;
        let held_back = |prompt, by_all| {
            let is_held = |life: &&usize| {
                model.is_prompt(**life) == prompt
                    && model.has_part_left(**life, true) != by_all
                    && (prompt || model.has_part_left(**life, false) == by_all)
            };
            ready.iter().any(|life| is_held(&life))
        };
        self.seen[2] += usize::from(model.slow_under_way() >= slow_max);
        self.seen[4] += usize::from(slow_may && held_back(false, false));
        self.seen[5] += usize::from(slow_may && held_back(false, true));
        self.seen[6] += usize::from(is_idle && held_back(true, true));
        let shares = [true, false].map(|prompt| {
            let waiting = model.accounts_of(prompt, &ready);
            let shares = accounts().into_iter().map(|account| (account, model.share(account, prompt)));
            shares.filter(|(account, share)| *share > 0 || waiting.contains(account)).collect::<Vec<_>>()
        });
        assert_eq!(lanes.shares(), shares);
        for webhook in (0..WEBHOOKS).map(WebhookId) {
            let open = model
                .life(webhook)
                .and_then(|life| model.lives[life].open.filter(|_| model.lives[life].probe.is_none()));
            assert_eq!(lanes.breaker_is_open(webhook, self.clock()), open.is_some_and(|(until, _)| model.now < until));
        }
        let lanes_needed: BTreeSet<_> = model.under_way.iter().map(|attempt| attempt.life).collect();
        let is_needed = |(index, life): &(usize, &Life)| !life.is_over || lanes_needed.contains(index);
        let needed = model.lives.iter().enumerate().filter(is_needed).count();
        assert_eq!(lanes.counts(), ([model.under_way.len(), model.slow_under_way()], needed));
        self.fairness.look(&self.model);
    }
}

fn storm(seed: u64) -> [usize; 11] {
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
    assert_eq!((storm.lanes.under_way(), storm.lanes.counts().0), (0, [0, 0]));
    let passed = storm.fairness.passed.concat();
    std::array::from_fn(|index| if index < 7 { storm.seen[index] } else { passed[index - 7] })
}

#[test]
fn lanes_agree_with_the_naive_model() {
    if let Some(seed) = std::env::var("STENTOR_SEED").ok().and_then(|seed| seed.parse().ok()) {
        storm(seed);
        return;
    }
    let mut seen = [0; 11];
    for seed in 0..200 {
        let of_one = std::panic::catch_unwind(|| storm(seed)).unwrap_or_else(|panic| {
            eprintln!("the storm of STENTOR_SEED={seed} failed");
            std::panic::resume_unwind(panic);
        });
        seen.iter_mut().zip(of_one).for_each(|(seen, of_one)| *seen += of_one);
    }
    assert!(seen.iter().all(|seen| *seen > 100), "the storms were too quiet: {seen:?}");
}
