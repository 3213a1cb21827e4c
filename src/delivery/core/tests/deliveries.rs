//! From an event to its deliveries, and again.

use super::rig::{Rig, START_MS};
use crate::accounts::{AccountChange, ChangeAccount, DeleteAccount, Tier};
use crate::delivery::attempt::{AttemptError, Outcome};
use crate::delivery::command::ReplayWebhook;
use crate::delivery::core::Events;
use crate::delivery::{DeliveryError, DeliveryState, EventKind, WebhookOptions};
use crate::limits;

#[test]
fn an_event_goes_to_those_who_watch_its_owner_and_asked_for_its_kind() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.account("alice", &["w1", "w2"]), rig.account("bob", &["w2"]));
    let all = rig.webhook(alice, "all");
    let closes = rig.webhook_for(alice, "closes", &[EventKind::TradeClose]);
    let bobs = rig.webhook(bob, "bob");
    let sent = |rig: &mut Rig, kind: &str, owner: &str| {
        rig.publish(kind, owner);
        rig.run();
        let mut sent = Vec::new();
        while !rig.jobs.is_empty() {
            let job = rig.answer(200);
            sent.push((job.ticket.webhook, job.payload.kind));
        }
        sent.sort();
        sent
    };
    let sorted = |mut expected: Vec<_>| {
        expected.sort();
        expected
    };
    assert_eq!(sent(&mut rig, "trade.open", "w1"), [(all, "trade.new")]);
    assert_eq!(sent(&mut rig, "trade.close", "w1"), sorted(vec![(all, "trade.close"), (closes, "trade.close")]));
    assert_eq!(
        sent(&mut rig, "trade.liquidation", "w2"),
        sorted(vec![(all, "trade.liquidation"), (bobs, "trade.liquidation")])
    );
    assert_eq!(sent(&mut rig, "trade.increase", "w2"), sorted(vec![(all, "trade.increase"), (bobs, "trade.increase")]));
    assert_eq!(sent(&mut rig, "trade.open", "w3"), []);
    rig.watch(bob.account, &["w3"]);
    assert_eq!(sent(&mut rig, "trade.open", "w3"), [(bobs, "trade.new")]);
    assert_eq!(sent(&mut rig, "trade.open", "w2"), [(all, "trade.new")]);
    let change = AccountChange { tier: Some(Tier::Pro), grants: None };
    rig.ask(ChangeAccount { account: bob.account, change });
    assert_eq!(sent(&mut rig, "trade.open", "w3"), [], "webhooks are not for this tier");
}

#[test]
fn a_webhook_gets_nothing_from_before_it_was_made() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let first = rig.webhook(alice, "first");
    rig.publish("trade.open", "w");
    // The core has not looked at the journal since.
    let second = rig.webhook(alice, "second");
    rig.publish("trade.open", "w");
    rig.run();
    assert_eq!(rig.states(alice, first).len(), 2);
    assert_eq!(rig.states(alice, second).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2]);
}

#[test]
fn a_failed_delivery_is_tried_again_after_30_and_60_seconds_under_the_same_ids_and_then_ends() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let seq = rig.publish("trade.open", "w");
    rig.run();
    let first = rig.answer(500);
    assert_eq!(first.attempt, 1);
    for (attempt, wait_ms) in [(2, 30_000), (3, 60_000)] {
        rig.pass(wait_ms - 1);
        assert!(rig.jobs.is_empty(), "a millisecond early");
        rig.pass(1);
        let job = rig.report(0, Rig::timeout());
        assert_eq!(
            (job.attempt, job.delivery_id, &job.payload.body),
            (attempt, first.delivery_id, &first.payload.body)
        );
    }
    rig.pass(1_000_000);
    assert!(rig.jobs.is_empty());
    assert_eq!(rig.states(alice, webhook), [(seq, DeliveryState::Failed)]);
    let record = rig.history(alice, webhook).remove(0);
    let attempts: Vec<_> = record.attempts.iter().map(|attempt| (attempt.at_ms - START_MS, attempt.status)).collect();
    assert_eq!(attempts, [(0, Some(500)), (30_000, None), (90_000, None)]);
    assert_eq!(record.id, first.delivery_id);
}

#[test]
fn what_an_endpoint_asks_for_in_retry_after_is_done_within_the_bound() {
    for (asked_s, waited_ms) in [(45, 45_000), (5, 30_000), (100_000, 600_000)] {
        let mut rig = Rig::new();
        let alice = rig.account("alice", &["w"]);
        rig.webhook(alice, "hook");
        rig.publish("trade.open", "w");
        rig.run();
        let retry_after = Some(std::time::Duration::from_secs(asked_s));
        rig.report(0, Outcome::Answered { status: 503, retry_after });
        rig.pass(waited_ms - 1);
        assert!(rig.jobs.is_empty(), "{asked_s}");
        rig.pass(1);
        assert_eq!(rig.jobs.len(), 1, "{asked_s}");
    }
}

#[test]
fn a_delivery_that_was_under_way_at_a_crash_is_made_again_under_its_id() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let seq = rig.publish("trade.open", "w");
    rig.run();
    let before = rig.jobs.remove(0);
    rig.watch(alice.account, &[]);
    rig.restart();
    rig.run();
    let again = rig.answer(200);
    assert_eq!((again.delivery_id, again.payload.body), (before.delivery_id, before.payload.body));
    rig.restart();
    rig.run();
    assert!(rig.jobs.is_empty());
    assert_eq!(rig.states(alice, webhook), [(seq, DeliveryState::Delivered)]);
}

#[test]
fn more_than_a_lane_holds_waits_in_the_database_and_comes_in_order() {
    let mut rig = Rig::with(WebhookOptions { concurrency: 1, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let events = 3 * limits::LANE_QUEUE_MAX as u64 + 17;
    for _ in 0..events {
        rig.publish("trade.open", "w");
    }
    rig.run();
    let mut seen = Vec::new();
    while !rig.jobs.is_empty() {
        // Later ones come while earlier ones wait, and the clock may be set back.
        if seen.len() % 100 == 50 {
            rig.publish("trade.open", "w");
            rig.now_ms -= 10;
        }
        let job = rig.answer(200);
        let body: serde_json::Value = serde_json::from_slice(&job.payload.body).expect("JSON");
        seen.push(body["data"]["sizeUsd"].as_u64().expect("a number"));
        rig.pass(1);
    }
    let published = rig.journal.kept();
    assert_eq!(seen, (1..published).collect::<Vec<_>>());
    assert!(rig.states(alice, webhook).iter().all(|(_, state)| *state == DeliveryState::Delivered));
}

#[test]
fn past_the_backlog_the_oldest_that_wait_are_dropped_and_it_is_told() {
    let backlog = 2 * limits::LANE_QUEUE_MAX as u32;
    let mut rig = Rig::with(WebhookOptions { backlog, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..backlog + 50 {
        rig.publish("trade.open", "w");
    }
    rig.run();
    let states = rig.states(alice, webhook);
    let dropped: Vec<u64> =
        states.iter().filter(|(_, state)| *state == DeliveryState::Dropped).map(|(seq, _)| *seq).collect();
    assert_eq!(dropped.len(), 50);
    assert!(dropped.windows(2).all(|pair| pair[0] + 1 == pair[1]), "the oldest of those in the database: {dropped:?}");
    let mut delivered = 0;
    while !rig.jobs.is_empty() {
        rig.answer(200);
        delivered += 1;
    }
    assert_eq!(delivered, backlog);
    let notes: Vec<_> = rig.history(alice, webhook).into_iter().filter_map(|record| record.note).collect();
    assert!(notes.len() == 50 && notes[0].contains("oldest"), "{notes:?}");
}

#[test]
fn an_event_that_the_journal_has_dropped_ends_its_delivery_in_words() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    rig.publish("trade.open", "w");
    rig.run();
    rig.publish("trade.open", "w");
    rig.retain_from(2);
    rig.restart();
    rig.run();
    assert_eq!(rig.jobs.len(), 1);
    rig.answer(200);
    assert_eq!(rig.states(alice, webhook), [(1, DeliveryState::Dropped), (2, DeliveryState::Delivered)]);
    let note = rig.history(alice, webhook)[1].note.clone().expect("a note");
    assert!(note.contains("does not retain"), "{note}");
}

#[test]
fn a_replay_sends_again_what_matches_now_and_goes_on_after_a_crash() {
    let mut rig = Rig::with(WebhookOptions { concurrency: 1, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let early = 4 * limits::LANE_QUEUE_MAX as u64;
    for number in 0..early {
        rig.publish("trade.open", if number % 2 == 0 { "w" } else { "other" });
    }
    let webhook = rig.webhook(alice, "hook");
    rig.run();
    let first = rig.publish("trade.open", "w");
    rig.run();
    let once = rig.answer(200);
    let replaying = rig.command(ReplayWebhook { asker: alice, webhook, since: 0 }).expect("a replay");
    assert_eq!((replaying.from, replaying.until), (1, first + 1));
    let live = rig.publish("trade.open", "w");
    rig.run();
    let (mut seen, mut twice) = (Vec::new(), None);
    while !rig.jobs.is_empty() {
        if seen.len() == 100 {
            rig.restart();
            rig.run();
        }
        let job = rig.answer(200);
        let body: serde_json::Value = serde_json::from_slice(&job.payload.body).expect("JSON");
        let seq = body["data"]["sizeUsd"].as_u64().expect("a number");
        if seq == first {
            twice = Some(job.delivery_id);
        }
        seen.push(seq);
    }
    assert_eq!(twice, Some(once.delivery_id), "a receiver can tell that it has it");
    seen.sort_unstable();
    seen.dedup();
    let expected: Vec<u64> = (1..=early).filter(|seq| seq % 2 == 1).chain([first, live]).collect();
    assert_eq!(seen, expected);
    assert_eq!(rig.get(alice, webhook).replay, None);
    let told = rig.command(ReplayWebhook { asker: alice, webhook, since: live + 1 }).expect_err("it is to come");
    assert!(matches!(told, DeliveryError::SinceInFuture { .. }), "{told}");
}

#[test]
fn a_deleted_account_takes_its_webhooks_along() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    rig.webhook(alice, "hook");
    rig.publish("trade.open", "w");
    rig.run();
    rig.ask(DeleteAccount { account: alice.account });
    rig.publish("trade.open", "w");
    rig.run();
    rig.answer(500);
    rig.pass(100_000);
    assert!(rig.jobs.is_empty());
    rig.restart();
    assert!(rig.core.webhooks.is_empty() && rig.core.watchers.of("w").is_empty());
}

#[test]
fn old_and_excess_history_goes() {
    let options = WebhookOptions { history: 10, history_hours: 1, ..WebhookOptions::default() };
    let mut rig = Rig::with(options);
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..300 {
        rig.publish("trade.open", "w");
        rig.run();
        rig.answer(200);
    }
    rig.pass(limits::PRUNE_EVERY_MS);
    rig.pass(limits::PRUNE_EVERY_MS);
    let left = rig.states(alice, webhook);
    assert!((10..=110).contains(&left.len()) && left.last().expect("the newest").0 == 300, "{} left", left.len());
    rig.pass(3_700_000);
    assert_eq!(rig.states(alice, webhook), []);
}

#[test]
fn however_many_events_are_gone_the_lane_goes_on_behind_them() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let gone = 2 * limits::LANE_QUEUE_MAX as u64 + 100;
    for _ in 0..gone {
        rig.publish("trade.open", "w");
    }
    rig.run();
    rig.jobs.clear();
    rig.retain_from(gone + 1);
    rig.restart();
    rig.publish("trade.open", "w");
    rig.run();
    assert_eq!(rig.jobs.len(), 1);
    rig.answer(200);
    let states = rig.states(alice, webhook);
    assert!(states[..gone as usize].iter().all(|(_, state)| *state == DeliveryState::Dropped));
    assert_eq!(states[gone as usize..], [(gone + 1, DeliveryState::Delivered)]);
}

#[test]
fn a_database_that_fails_costs_no_worker_and_no_delivery() {
    let mut rig = Rig::with(WebhookOptions { workers: 4, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhooks: Vec<_> = (0..4).map(|number| rig.webhook(alice, &number.to_string())).collect();
    for _ in 0..3 {
        rig.publish("trade.open", "w");
    }
    rig.run();
    let raw = rig.database();
    for _ in 0..5 {
        assert!(!rig.jobs.is_empty(), "workers are free");
        raw.execute_batch("CREATE TRIGGER fails BEFORE UPDATE ON deliveries BEGIN SELECT RAISE(ABORT, 'fails'); END")
            .expect("it can be changed");
        let reports: Vec<_> = rig.jobs.drain(..).map(Rig::delivered).collect();
        let ended = rig.core.end_attempts(reports, rig.now_ms);
        assert!(rig.core.turn(ended, rig.now_ms).is_err());
        assert_eq!(rig.core.under_way(), 0);
        // As its recovery begins; else it would lock out the mending.
        rig.core.store.roll_back();
        raw.execute_batch("DROP TRIGGER fails").expect("mended");
        rig.core.recover(rig.now_ms).expect("it can be used again");
        rig.run();
    }
    while !rig.jobs.is_empty() {
        rig.answer(200);
    }
    for webhook in webhooks {
        let states = rig.states(alice, webhook);
        assert_eq!(states, [1, 2, 3].map(|seq| (seq, DeliveryState::Delivered)));
    }
}

#[test]
fn a_shortage_of_our_own_is_no_attempt_and_no_failure_of_the_endpoint() {
    let mut rig = Rig::with(WebhookOptions { retry_seconds: vec![], ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    rig.publish("trade.open", "w");
    rig.run();
    for _ in 0..20 {
        rig.report(0, Outcome::Failed(AttemptError::Sender));
        rig.pass(limits::POSTPONED_MS);
        assert_eq!(rig.jobs.len(), 1, "after a moment, in spite of no retries and of the breaker");
    }
    assert_eq!(rig.answer(200).attempt, 1);
    assert_eq!(rig.get(alice, webhook).failures, 0);
    assert_eq!(rig.history(alice, webhook)[0].attempts.len(), 1);
}

#[test]
fn a_clock_that_is_set_back_while_a_lane_is_full_hides_no_delivery() {
    let mut rig = Rig::with(WebhookOptions { concurrency: 1, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for number in 0..3 * limits::LANE_QUEUE_MAX {
        if number == limits::LANE_QUEUE_MAX {
            rig.now_ms -= 60_000;
        }
        rig.publish("trade.open", "w");
        rig.run();
        if number > limits::LANE_QUEUE_MAX && number % 3 == 0 {
            rig.answer(200);
        }
    }
    for _ in 0..10 {
        while !rig.jobs.is_empty() {
            rig.answer(200);
        }
        rig.pass(60_000);
    }
    let states = rig.states(alice, webhook);
    assert!(states.iter().all(|(_, state)| *state == DeliveryState::Delivered), "{states:?}");
}

#[test]
fn a_retry_that_comes_due_while_its_lane_was_full_is_made_and_what_is_new_goes_on() {
    let mut rig = Rig::with(WebhookOptions { concurrency: 1, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    // As many wait in the database as fill the half of the lane that is free when they are fetched.
    let events = 3 * limits::LANE_QUEUE_MAX as u64 / 2;
    for _ in 0..events {
        rig.publish("trade.open", "w");
    }
    rig.run();
    rig.answer(500);
    while !rig.jobs.is_empty() {
        rig.answer(200);
    }
    rig.pass(30_000);
    assert_eq!(rig.jobs.len(), 1, "the retry");
    assert_eq!(rig.answer(200).attempt, 2);
    let new = rig.publish("trade.open", "w");
    rig.run();
    rig.answer(200);
    let states = rig.states(alice, webhook);
    assert_eq!(states.len() as u64, new);
    assert!(states.iter().all(|(_, state)| *state == DeliveryState::Delivered));
}

#[test]
fn what_was_due_when_its_lane_was_full_comes_also_where_the_clock_was_set_back_a_little() {
    let mut rig = Rig::with(WebhookOptions { concurrency: 1, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..2 * limits::LANE_QUEUE_MAX {
        rig.publish("trade.open", "w");
    }
    rig.run();
    rig.now_ms -= 1_000;
    while !rig.jobs.is_empty() {
        rig.answer(200);
    }
    rig.pass(1_000);
    while !rig.jobs.is_empty() {
        rig.answer(200);
    }
    assert!(rig.states(alice, webhook).iter().all(|(_, state)| *state == DeliveryState::Delivered));
}
