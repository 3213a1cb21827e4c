//! A clock that was years ahead and is set right.

use super::rig::{Rig, START_MS};
use crate::delivery::attempt::Outcome;
use crate::delivery::command::RegenerateSecret;
use crate::delivery::{DeliveryState, WebhookOptions};
use crate::limits;

const YEARS_MS: u64 = 5 * 365 * 86_400_000;
/// Of the default schedule, a `Retry-After` of 600 s is the longest wait.
const LONGEST_MS: u64 = 600_000;

#[test]
fn a_retry_that_was_due_in_years_is_made_after_the_longest_wait_once_the_clock_is_right() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    rig.now_ms = START_MS + YEARS_MS;
    rig.publish("trade.open", "w");
    rig.run();
    rig.answer(500);
    rig.now_ms = START_MS;
    rig.restart();
    rig.run();
    assert_eq!(rig.get(alice, webhook).failing_since_ms, Some(START_MS), "else it could fail for years");
    rig.pass(LONGEST_MS - 1);
    assert!(rig.jobs.is_empty());
    rig.pass(1);
    rig.answer(200);
    assert_eq!(rig.states(alice, webhook), [(1, DeliveryState::Delivered)]);
    assert_eq!(rig.get(alice, webhook).failures, 0);
}

#[test]
fn a_clock_that_is_set_right_while_the_core_runs_holds_nothing_up() {
    let mut rig = Rig::with(WebhookOptions { concurrency: 1, breaker_failures: 0, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    rig.now_ms = START_MS + YEARS_MS;
    let events = 3 * limits::LANE_QUEUE_MAX;
    for _ in 0..events {
        rig.publish("trade.open", "w");
    }
    rig.run();
    rig.answer(500);
    rig.now_ms = START_MS;
    rig.publish("trade.open", "w");
    rig.run();
    for _ in 0..3 {
        while !rig.jobs.is_empty() {
            rig.answer(200);
        }
        rig.pass(LONGEST_MS / 2);
    }
    let states = rig.states(alice, webhook);
    assert_eq!(states.len(), events + 1);
    assert!(states.iter().all(|(_, state)| *state == DeliveryState::Delivered));
}

#[test]
fn a_due_time_within_the_longest_wait_is_left_alone() {
    let options = WebhookOptions { retry_seconds: vec![1_000], jitter_percent: 50, ..WebhookOptions::default() };
    let mut rig = Rig::with(options);
    let alice = rig.account("alice", &["w"]);
    rig.webhook(alice, "hook");
    rig.publish("trade.open", "w");
    rig.run();
    rig.report(0, Outcome::Answered { status: 503, retry_after: None });
    let due = |rig: &Rig| {
        let sql = "SELECT due_ms FROM deliveries";
        rig.database().query_row(sql, (), |row| row.get::<_, i64>(0)).expect("one")
    };
    let before = due(&rig);
    assert!(before as u64 >= START_MS + 1_000_000);
    rig.restart();
    rig.run();
    assert_eq!(due(&rig), before);
}

#[test]
fn a_secret_that_was_to_sign_for_years_signs_for_its_grace_once_the_clock_is_right() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    rig.now_ms = START_MS + YEARS_MS;
    rig.command(RegenerateSecret { asker: alice, webhook }).expect("a new one");
    let grace_ms = rig.options.secret_grace_seconds * 1_000;
    let ends_ms = |rig: &mut Rig| rig.get(alice, webhook).secrets.previous[0].1;
    assert_eq!(ends_ms(&mut rig), START_MS + YEARS_MS + grace_ms);
    rig.now_ms = START_MS;
    rig.restart();
    rig.run();
    assert_eq!(ends_ms(&mut rig), START_MS + grace_ms);
    rig.pass(1_000);
    rig.restart();
    rig.run();
    assert_eq!(ends_ms(&mut rig), START_MS + grace_ms, "another start does not make it longer");
}
