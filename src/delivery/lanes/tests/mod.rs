//! Lanes by name. `storm.rs` has everything at once, beside a naive model.

mod accounts;
mod fairness;
mod model;
mod storm;

use super::*;
use crate::accounts::AccountId;
use crate::delivery::WebhookId;
use crate::delivery::attempt::Ticket;
use crate::limits;

const FAILED: Verdict = Verdict::Failure { pause_ms: None };
const T: u64 = 1_700_000_000_000;

fn options() -> LaneOptions {
    LaneOptions {
        queue_max: limits::LANE_QUEUE_MAX,
        concurrency: 4,
        rate_per_second: 0,
        rate_burst: 1,
        breaker_failures: 5,
        breaker_ms: 30_000,
        workers: 16,
    }
}

fn queued(delivery: i64) -> Queued {
    Queued { delivery, seq: None, attempt: 1 }
}

/// Lanes with a count of deliveries, so that each is another one.
struct Fixture {
    lanes: Lanes,
    pushed: i64,
}

impl Fixture {
    fn new(options: LaneOptions) -> Self {
        Self { lanes: Lanes::new(options), pushed: 0 }
    }

    fn push(&mut self, webhook: u64, count: usize) {
        for _ in 0..count {
            self.pushed += 1;
            self.lanes.push(WebhookId(webhook), queued(self.pushed));
        }
    }

    /// Opens a lane of an account that has no other; with deliveries in its queue.
    fn open(&mut self, webhook: u64, count: usize) {
        self.open_of(1_000_000 + webhook, webhook, count);
    }

    fn open_of(&mut self, account: u64, webhook: u64, count: usize) {
        self.lanes.open(WebhookId(webhook), AccountId(account));
        self.push(webhook, count);
    }

    /// Opens lanes and makes them prompt, while nothing else is ready.
    fn open_prompt(&mut self, webhooks: std::ops::Range<u64>) {
        webhooks.for_each(|webhook| self.open_prompt_of(1_000_000 + webhook, webhook));
    }

    fn open_prompt_of(&mut self, account: u64, webhook: u64) {
        self.open_of(account, webhook, 0);
        for _ in 0..limits::PROMPT_AFTER {
            self.push(webhook, 1);
            self.one(webhook, Verdict::Success, 5, T);
        }
    }

    fn next(&mut self, now_ms: u64) -> Option<Ticket> {
        self.lanes.next(now_ms).map(|(ticket, queued)| {
            assert_eq!(ticket.delivery, queued.delivery);
            ticket
        })
    }

    /// All that `next` has, as webhooks.
    fn drain(&mut self, now_ms: u64) -> Vec<u64> {
        std::iter::from_fn(|| self.next(now_ms)).map(|ticket| ticket.webhook.0).collect()
    }

    /// Serves so many deliveries, each to its end before the next; as webhooks.
    fn serve(&mut self, count: usize, succeeds: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut one = || {
            let ticket = self.next(T).expect("always something to send");
            let verdict = if succeeds(ticket.webhook.0) { Verdict::Success } else { FAILED };
            self.lanes.finish(ticket, verdict, 5, T);
            ticket.webhook.0
        };
        (0..count).map(|_| one()).collect()
    }

    /// One attempt, from its beginning to its end at once.
    fn one(&mut self, webhook: u64, verdict: Verdict, duration_ms: u64, now_ms: u64) {
        let ticket = self.next(now_ms).expect("something to send");
        assert_eq!(ticket.webhook, WebhookId(webhook));
        self.lanes.finish(ticket, verdict, duration_ms, now_ms);
    }
}

#[test]
fn a_queue_takes_so_many_and_is_sent_in_its_order() {
    let mut fixture = Fixture::new(options());
    assert_eq!(fixture.lanes.room(WebhookId(1)), 0, "no lane");
    fixture.open(1, 0);
    assert_eq!(fixture.lanes.room(WebhookId(1)), limits::LANE_QUEUE_MAX);
    fixture.push(1, limits::LANE_QUEUE_MAX);
    assert_eq!(fixture.lanes.room(WebhookId(1)), 0);
    fixture.open(1, 0);
    assert_eq!(fixture.lanes.room(WebhookId(1)), 0, "one that is there stays as it is");
    for delivery in 1..=limits::LANE_QUEUE_MAX as i64 {
        let ticket = fixture.next(T).expect("one more");
        assert_eq!(ticket.delivery, delivery);
        fixture.lanes.finish(ticket, Verdict::Success, 5, T);
    }
    assert_eq!(fixture.next(T), None);
}

#[test]
fn one_at_a_time_until_the_first_success() {
    let mut fixture = Fixture::new(options());
    fixture.open(1, 10);
    for _ in 0..2 {
        let ticket = fixture.next(T).expect("the first");
        assert_eq!(fixture.next(T), None);
        fixture.lanes.finish(ticket, FAILED, 5, T);
    }
    fixture.one(1, Verdict::Success, 5_000, T);
    assert_eq!(fixture.drain(T), [1; 4], "its concurrency");
}

#[test]
fn a_lane_with_many_waiting_gets_no_more_turns_than_one_with_few() {
    let mut fixture = Fixture::new(options());
    fixture.open_prompt(1..4);
    for (webhook, count) in [(1, 256), (2, 2), (3, 1)] {
        fixture.push(webhook, count);
    }
    assert_eq!(fixture.drain(T), [1, 2, 3, 1, 2, 1, 1]);
}

#[test]
fn slow_lanes_hold_a_half_of_the_workers() {
    let mut fixture = Fixture::new(options());
    fixture.open_prompt(100..104);
    for webhook in 1..=20 {
        fixture.open(webhook, 5);
    }
    assert_eq!(fixture.drain(T), Vec::from_iter(1..=8));
    for webhook in 100..104 {
        fixture.push(webhook, 5);
    }
    assert_eq!(fixture.drain(T), [100, 101, 102, 103, 100, 101, 102, 103], "the other half");
    assert_eq!(fixture.lanes.under_way(), 16);
}

#[test]
fn prompt_lanes_may_have_all_workers() {
    let mut fixture = Fixture::new(options());
    fixture.open_prompt(100..110);
    (100..110).for_each(|webhook| fixture.push(webhook, 5));
    assert_eq!(fixture.drain(T).len(), 16);
}

#[test]
fn a_flood_of_prompt_deliveries_leaves_slow_lanes_their_turns() {
    let mut fixture = Fixture::new(LaneOptions { workers: 2, concurrency: 1, ..options() });
    fixture.open_prompt(100..104);
    (100..104).for_each(|webhook| fixture.push(webhook, 50));
    fixture.open(1, 4);
    assert_eq!(fixture.serve(20, |webhook| webhook != 1), [100, 101, 102, 103, 1].repeat(4));
}

#[test]
fn a_single_worker_is_shared_by_turns() {
    let mut fixture = Fixture::new(LaneOptions { workers: 1, breaker_failures: 0, ..options() });
    fixture.open_prompt(100..101);
    fixture.push(100, 6);
    (1..=3).for_each(|webhook| fixture.open(webhook, 6));
    let served = fixture.serve(8, |webhook| webhook == 100);
    assert_eq!(served, [100, 1, 100, 2, 100, 3, 100, 1]);
}

#[test]
fn attempts_that_hang_make_a_prompt_lane_slow_before_they_end() {
    // Two of four workers are for slow lanes.
    let mut fixture = Fixture::new(LaneOptions { workers: 4, concurrency: 2, ..options() });
    fixture.open_prompt(100..102);
    fixture.push(100, 2);
    assert_eq!(fixture.drain(T), [100, 100]);
    fixture.open(1, 1);
    assert_eq!(fixture.drain(T + limits::PROMPT_MS_MAX), [1], "they have not taken too long yet");
    fixture.open(2, 1);
    fixture.push(101, 1);
    assert_eq!(fixture.drain(T + limits::PROMPT_MS_MAX + 1), [101], "slow lanes have three of two workers");
}

#[test]
fn what_failed_or_took_long_is_slow_until_a_few_in_a_row_were_prompt() {
    for (verdict, duration_ms) in [(FAILED, 5), (Verdict::Success, limits::PROMPT_MS_MAX + 1)] {
        for successes in 0..=limits::PROMPT_AFTER {
            // One of two workers is for slow lanes, and an endpoint that hangs holds it.
            let mut fixture = Fixture::new(LaneOptions { workers: 2, ..options() });
            fixture.open_prompt(100..101);
            fixture.push(100, 1);
            fixture.one(100, verdict, duration_ms, T);
            for _ in 0..successes {
                fixture.push(100, 1);
                fixture.one(100, Verdict::Success, limits::PROMPT_MS_MAX, T);
            }
            fixture.open(1, 1);
            assert_eq!(fixture.drain(T), [1]);
            fixture.push(100, 1);
            assert_eq!(fixture.drain(T).len(), usize::from(successes == limits::PROMPT_AFTER));
        }
    }
}

#[test]
fn a_lane_rests_for_as_long_as_its_endpoint_asked() {
    let mut fixture = Fixture::new(options());
    fixture.open(1, 3);
    fixture.one(1, Verdict::Failure { pause_ms: Some(5_000) }, 5, T);
    fixture.open(2, 1);
    assert_eq!(fixture.drain(T + 4_999), [2], "the others go on");
    assert_eq!(fixture.lanes.wake_at(), Some(T + 5_000));
    assert_eq!(fixture.drain(T + 5_000), [1]);
}

#[test]
fn the_longest_of_several_pauses_counts() {
    let mut fixture = Fixture::new(options());
    fixture.open_prompt(1..2);
    fixture.push(1, 4);
    let tickets: Vec<_> = (0..3).map(|_| fixture.next(T).expect("its concurrency")).collect();
    for (ticket, pause_ms) in tickets.into_iter().zip([Some(5_000), Some(1_000), None]) {
        fixture.lanes.finish(ticket, Verdict::Failure { pause_ms }, 5, T);
    }
    assert_eq!(fixture.lanes.wake_at(), Some(T + 5_000));
}

#[test]
fn the_rate_is_kept_and_told() {
    let mut fixture = Fixture::new(LaneOptions { rate_per_second: 10, rate_burst: 3, ..options() });
    fixture.open_prompt(1..2);
    fixture.push(1, 4);
    assert_eq!(fixture.next(T), None);
    assert_eq!(fixture.lanes.wake_at(), Some(T + 100));
    assert_eq!(fixture.next(T + 99), None);
    assert_eq!(fixture.drain(T + 100), [1]);
    assert_eq!(fixture.drain(T + 60_000), [1; 3], "the burst");
}

#[test]
fn an_open_breaker_holds_the_lane_and_lets_one_probe_pass() {
    let mut fixture = Fixture::new(options());
    fixture.open_prompt(1..2);
    fixture.push(1, 30);
    let late: Vec<_> = (0..3).map(|_| fixture.next(T).expect("its concurrency")).collect();
    for _ in 0..5 {
        assert!(!fixture.lanes.breaker_is_open(WebhookId(1), T));
        fixture.one(1, FAILED, 5, T);
    }
    assert!(fixture.lanes.breaker_is_open(WebhookId(1), T));
    assert_eq!((fixture.next(T + 29_999), fixture.lanes.wake_at()), (None, Some(T + 30_000)));
    assert!(fixture.lanes.breaker_is_open(WebhookId(1), T + 29_999));
    let probe = fixture.next(T + 30_000).expect("the probe");
    assert!(!fixture.lanes.breaker_is_open(WebhookId(1), T + 30_000));
    assert_eq!((fixture.next(T + 90_000), fixture.lanes.wake_at()), (None, None), "one only");
    fixture.lanes.finish(late[0], FAILED, 90_000, T + 90_000);
    assert_eq!((fixture.next(T + 90_000), fixture.lanes.wake_at()), (None, None), "a late failure is no answer");
    fixture.lanes.finish(probe, FAILED, 5, T + 90_000);
    assert_eq!((fixture.next(T + 90_000), fixture.lanes.wake_at()), (None, Some(T + 150_000)), "twice as long");
    fixture.lanes.finish(late[1], Verdict::Success, 90_000, T + 91_000);
    assert!(!fixture.lanes.breaker_is_open(WebhookId(1), T + 91_000));
    assert_eq!(fixture.drain(T + 91_000), [1; 3], "a late success closes it");
}

#[test]
fn a_clock_that_is_set_back_prolongs_no_rest() {
    let mut fixture = Fixture::new(LaneOptions { breaker_failures: 1, ..options() });
    fixture.open(1, 2);
    fixture.one(1, FAILED, 5, T);
    let back = T - 3_600_000;
    assert_eq!(fixture.next(back), None);
    assert_eq!(fixture.lanes.wake_at(), Some(back + 30_000));
    assert!(fixture.lanes.breaker_is_open(WebhookId(1), back + 29_999));
    assert!(!fixture.lanes.breaker_is_open(WebhookId(1), back + 30_000));
    assert_eq!(fixture.drain(back + 30_000), [1]);
}

#[test]
fn what_ends_after_its_lane_was_closed_and_opened_again_only_gives_its_worker_back() {
    let mut fixture = Fixture::new(options());
    fixture.open_prompt(1..2);
    fixture.push(1, 6);
    let old: Vec<_> = (0..4).map(|_| fixture.next(T).expect("its concurrency")).collect();
    fixture.lanes.close(WebhookId(1));
    assert_eq!((fixture.next(T), fixture.lanes.under_way()), (None, 4), "the queue is forgotten, the workers are not");
    fixture.open(1, 6);
    let new = fixture.next(T).expect("a lane of its own");
    assert_eq!(fixture.next(T), None, "and new, so one at a time");
    fixture.lanes.finish(old[0], Verdict::Success, 5, T);
    assert_eq!(fixture.next(T), None, "what the old one learns is lost");
    for ticket in &old[1..] {
        fixture.lanes.finish(*ticket, Verdict::Failure { pause_ms: Some(60_000) }, 5, T);
    }
    assert_eq!(fixture.lanes.under_way(), 1);
    fixture.lanes.finish(new, Verdict::Success, 5, T);
    assert_eq!(fixture.drain(T), [1; 4]);
}

#[test]
fn a_delivery_that_is_sent_again_before_its_old_attempt_has_ended_is_counted_twice() {
    let mut fixture = Fixture::new(options());
    fixture.open(1, 0);
    fixture.lanes.push(WebhookId(1), queued(7));
    let ticket = fixture.next(T).expect("the first");
    fixture.lanes.close(WebhookId(1));
    fixture.open(1, 0);
    fixture.lanes.push(WebhookId(1), queued(7));
    fixture.push(1, 5);
    assert_eq!(fixture.next(T), Some(ticket));
    fixture.lanes.finish(ticket, FAILED, 5, T);
    assert_eq!((fixture.next(T), fixture.lanes.under_way()), (None, 1), "the old one has ended");
    fixture.lanes.finish(ticket, Verdict::Success, 5, T);
    assert_eq!(fixture.lanes.under_way(), 0);
    fixture.lanes.finish(ticket, FAILED, 5, T);
    assert_eq!(fixture.drain(T), [1; 4], "nobody was given it a third time");
}

#[test]
fn a_withdrawn_delivery_gives_back_what_it_took_and_teaches_nothing() {
    let mut fixture = Fixture::new(LaneOptions { rate_per_second: 1, breaker_failures: 1, ..options() });
    fixture.open(1, 10);
    fixture.one(1, FAILED, 5, T);
    let probe_at = T + 30_000;
    for _ in 0..5 {
        let probe = fixture.next(probe_at).expect("the probe");
        assert_eq!(fixture.next(probe_at), None);
        fixture.lanes.withdraw(probe);
        fixture.lanes.withdraw(probe);
        assert_eq!(fixture.lanes.under_way(), 0);
    }
    fixture.one(1, FAILED, 5, probe_at);
    assert_eq!((fixture.next(probe_at), fixture.lanes.wake_at()), (None, Some(probe_at + 60_000)));
}

#[test]
fn a_reset_forgets_what_was_learnt_and_keeps_what_waits() {
    let mut fixture = Fixture::new(LaneOptions { breaker_failures: 1, rate_per_second: 1, ..options() });
    fixture.open(1, 6);
    let old = fixture.next(T).expect("the first");
    fixture.lanes.reset(WebhookId(1));
    assert_eq!(fixture.lanes.room(WebhookId(1)), limits::LANE_QUEUE_MAX - 5);
    fixture.lanes.finish(old, FAILED, 5, T);
    assert!(!fixture.lanes.breaker_is_open(WebhookId(1), T), "of the endpoint before");
    assert_eq!((fixture.next(T), fixture.lanes.wake_at()), (None, Some(T + 1_000)), "the pace stays");
    fixture.one(1, Verdict::Failure { pause_ms: Some(90_000) }, 5, T + 1_000);
    assert_eq!((fixture.next(T + 2_000), fixture.lanes.wake_at()), (None, Some(T + 91_000)));
    fixture.lanes.reset(WebhookId(1));
    let ticket = fixture.next(T + 2_000).expect("neither breaker nor pause");
    assert_eq!(ticket.delivery, 3, "in the queue's order");
    fixture.lanes.reset(WebhookId(2));
    assert_eq!(fixture.lanes.room(WebhookId(2)), 0, "no lane is opened by it");
}

#[test]
fn lanes_without_workers_or_concurrency_have_one() {
    let mut fixture = Fixture::new(LaneOptions { workers: 0, concurrency: 0, ..options() });
    fixture.open(1, 2);
    for _ in 0..2 {
        fixture.one(1, Verdict::Success, 5, T);
    }
}
