//! Endpoints that fail: breakers, the end of a webhook, and its return.

use super::rig::Rig;
use crate::delivery::attempt::Outcome;
use crate::delivery::command::{ReplayWebhook, WebhookChange};
use crate::delivery::core::MakeChange;
use crate::delivery::guard::WebhookUrl;
use crate::delivery::{DeliveryError, DeliveryState, DisableReason, EventKind, Webhook, WebhookId, WebhookOptions};

fn set_active(rig: &mut Rig, asker: crate::delivery::Asker, webhook: WebhookId, is_active: bool) -> Webhook {
    let wanted = WebhookChange { asker, webhook, url: None, events: None, is_active: Some(is_active) };
    rig.command(MakeChange { wanted, url: None }).expect("changed")
}

#[test]
fn an_endpoint_that_says_gone_is_not_tried_again_and_a_replay_brings_what_it_missed() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let (gone, watcher) = (rig.webhook(alice, "gone"), rig.webhook_for(alice, "ops", &[EventKind::Operational]));
    for _ in 0..3 {
        rig.publish("trade.open", "w");
    }
    rig.run();
    assert_eq!(rig.jobs.len(), 1, "a new endpoint is tried by one at first");
    rig.answer(410);
    let disabled = rig.get(alice, gone).disabled.expect("disabled");
    assert_eq!((disabled.reason, disabled.from_seq), (DisableReason::Gone, 1));
    let told = rig.answer(200);
    assert_eq!((told.ticket.webhook, told.payload.kind), (watcher, "operational"));
    let body = String::from_utf8(told.payload.body.to_vec()).expect("text");
    assert!(body.contains(&gone.to_string()) && body.contains("webhook.disabled"), "{body}");
    let records = rig.history(alice, gone);
    assert_eq!(records[0].state, DeliveryState::Notice);
    assert!(records[0].note.as_ref().is_some_and(|note| note.contains("410") && note.contains("since=0")));
    rig.publish("trade.open", "w");
    rig.pass(200_000);
    assert!(rig.jobs.is_empty());
    let refused = rig.command(ReplayWebhook { asker: alice, webhook: gone, since: 1 }).expect_err("disabled");
    assert!(matches!(refused, DeliveryError::Inactive), "{refused}");

    assert!(set_active(&mut rig, alice, gone, true).is_active());
    rig.run();
    assert!(rig.jobs.is_empty(), "what was missed comes on request only");
    rig.publish("trade.open", "w");
    rig.run();
    rig.answer(200);
    rig.command(ReplayWebhook { asker: alice, webhook: gone, since: disabled.from_seq - 1 }).expect("a replay");
    rig.run();
    while !rig.jobs.is_empty() {
        rig.answer(200);
    }
    let states = rig.states(alice, gone);
    assert_eq!(states.len(), 5);
    assert!(states.iter().all(|(_, state)| *state == DeliveryState::Delivered), "{states:?}");
}

#[test]
fn a_webhook_that_failed_too_often_for_too_long_is_disabled_and_not_before() {
    let options = WebhookOptions {
        retry_seconds: vec![],
        breaker_failures: 0,
        disable_failures: 5,
        disable_seconds: 100,
        ..WebhookOptions::default()
    };
    let mut rig = Rig::with(options);
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let fail = |rig: &mut Rig, status: u16, ms: u64| {
        rig.publish("trade.open", "w");
        rig.pass(ms);
        rig.answer(status);
        rig.get(alice, webhook).disabled.map(|disabled| disabled.reason)
    };
    for _ in 0..20 {
        assert_eq!(fail(&mut rig, 500, 1_000), None, "often, but not for long");
    }
    assert_eq!(fail(&mut rig, 200, 1_000), None, "and now it is well");
    for _ in 0..4 {
        assert_eq!(fail(&mut rig, 500, 60_000), None, "for long, but not often");
    }
    rig.restart();
    assert_eq!(rig.get(alice, webhook).failures, 4, "a restart forgets nothing");
    assert_eq!(fail(&mut rig, 500, 60_000), Some(DisableReason::Failures));
}

#[test]
fn a_breaker_that_opened_spares_the_endpoint_until_a_probe_succeeds_and_nothing_is_lost() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..40 {
        rig.publish("trade.open", "w");
    }
    rig.run();
    let mut attempts = 0;
    while !rig.jobs.is_empty() {
        rig.report(0, Rig::timeout());
        attempts += 1;
    }
    assert_eq!(attempts, rig.options.breaker_failures, "then it is left alone");
    rig.pass(29_999);
    assert!(rig.jobs.is_empty());
    rig.pass(1);
    assert_eq!(rig.jobs.len(), 1, "one probe");
    rig.answer(200);
    for _ in 0..10 {
        while !rig.jobs.is_empty() {
            rig.answer(200);
        }
        rig.pass(30_000);
    }
    assert!(rig.states(alice, webhook).iter().all(|(_, state)| *state == DeliveryState::Delivered));
}

#[test]
fn a_new_address_begins_without_the_old_ones_failures() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..10 {
        rig.publish("trade.open", "w");
    }
    rig.run();
    while !rig.jobs.is_empty() {
        rig.answer(500);
    }
    let url = WebhookUrl::stored("https://example.com/new".to_owned());
    let wanted = WebhookChange { asker: alice, webhook, url: Some(url.to_string()), events: None, is_active: None };
    assert_eq!(rig.command(MakeChange { wanted, url: Some(url.clone()) }).expect("changed").failures, 0);
    rig.run();
    assert!(rig.jobs.iter().all(|job| *job.url == url) && !rig.jobs.is_empty());
}

#[test]
fn an_owner_who_disables_a_webhook_gets_nothing_more_and_no_notice() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    rig.publish("trade.open", "w");
    rig.publish("trade.open", "w");
    rig.run();
    let under_way = rig.jobs.remove(0);
    let disabled = set_active(&mut rig, alice, webhook, false).disabled.expect("disabled");
    assert_eq!((disabled.reason, disabled.from_seq), (DisableReason::Owner, 1));
    rig.jobs.push(under_way);
    rig.report(0, Outcome::Answered { status: 200, retry_after: None });
    assert!(rig.jobs.is_empty());
    // The attempt that was under way has succeeded, and that is what its history says.
    assert_eq!(rig.states(alice, webhook), [(1, DeliveryState::Delivered), (2, DeliveryState::Dropped)]);
    assert!(rig.history(alice, webhook).iter().all(|record| record.state != DeliveryState::Notice));
}

#[test]
fn what_the_old_address_answers_late_says_nothing_of_the_new_one() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "old");
    rig.publish("trade.open", "w");
    rig.run();
    let url = WebhookUrl::stored("https://example.com/new".to_owned());
    let wanted = WebhookChange { asker: alice, webhook, url: Some(url.to_string()), events: None, is_active: None };
    rig.command(MakeChange { wanted, url: Some(url) }).expect("changed");
    rig.answer(410);
    let changed = rig.get(alice, webhook);
    assert!(changed.is_active() && changed.failures == 0);
    rig.pass(30_000);
    rig.answer(200);
    assert_eq!(rig.states(alice, webhook), [(1, DeliveryState::Delivered)]);
}
