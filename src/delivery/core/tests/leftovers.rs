//! Webhooks with many deliveries that are disabled or deleted: a piece a turn, whatever happens between.

use super::rig::Rig;
use crate::delivery::command::{Asker, DeleteWebhook, ReplayWebhook, WebhookChange};
use crate::delivery::core::MakeChange;
use crate::delivery::{DeliveryState, WebhookId, WebhookOptions};
use crate::limits;

/// Three pieces, the last of them not a full one.
const EVENTS: u64 = 2 * limits::PRUNE_ROWS_MAX as u64 + 300;

/// With so many deliveries that wait; the first is under way.
fn filled() -> (Rig, Asker, WebhookId) {
    let mut rig = Rig::with(WebhookOptions { concurrency: 1, history: 100_000, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..EVENTS {
        rig.publish("trade.open", "w");
    }
    rig.run();
    assert_eq!((rig.jobs.len(), rig.states(alice, webhook).len() as u64), (1, EVENTS));
    (rig, alice, webhook)
}

fn set_active(rig: &mut Rig, asker: Asker, webhook: WebhookId, is_active: bool) -> Option<u64> {
    let wanted = WebhookChange { asker, webhook, url: None, events: None, is_active: Some(is_active) };
    let changed = rig.command(MakeChange { wanted, url: None }).expect("changed");
    changed.disabled.map(|disabled| disabled.from_seq)
}

fn count(rig: &Rig, wanted: &str) -> u64 {
    let sql = format!("SELECT count(*) FROM {wanted}");
    rig.database().query_row(&sql, (), |row| row.get::<_, i64>(0)).expect("a count") as u64
}

const WAITING: &str = "deliveries WHERE state = 'pending'";

#[test]
fn what_waited_of_a_disabled_webhook_is_dropped_a_piece_a_turn_also_after_a_crash() {
    let (mut rig, alice, webhook) = filled();
    assert_eq!(set_active(&mut rig, alice, webhook, false), Some(1), "what it missed is told at once");
    assert_eq!(count(&rig, WAITING), EVENTS, "the command itself is short");
    assert!(rig.turn());
    assert_eq!(count(&rig, WAITING), EVENTS - limits::PRUNE_ROWS_MAX as u64);
    rig.restart();
    assert!(rig.turn());
    assert_eq!(count(&rig, WAITING), EVENTS - 2 * limits::PRUNE_ROWS_MAX as u64);
    rig.run();
    assert!(count(&rig, WAITING) == 0 && rig.jobs.is_empty());
    assert!(rig.states(alice, webhook).iter().all(|(_, state)| *state == DeliveryState::Dropped));
}

#[test]
fn a_webhook_that_is_enabled_meanwhile_sends_what_is_new_and_what_is_replayed_and_nothing_else() {
    enabled_meanwhile(|_| ());
}

#[test]
fn the_same_where_the_server_crashes_between_the_pieces() {
    enabled_meanwhile(Rig::restart);
}

fn enabled_meanwhile(between: fn(&mut Rig)) {
    let (mut rig, alice, webhook) = filled();
    set_active(&mut rig, alice, webhook, false);
    rig.turn();
    let under_way = Rig::delivered(rig.jobs.remove(0));
    rig.core.end_attempts([under_way], rig.now_ms);
    set_active(&mut rig, alice, webhook, true);
    let new = rig.publish("trade.open", "w");
    between(&mut rig);
    rig.command(ReplayWebhook { asker: alice, webhook, since: EVENTS - 10 }).expect("a replay");
    rig.turn();
    assert!(rig.core.next_job(rig.now_ms).expect("a sound disk").is_none(), "not before all is dropped");
    between(&mut rig);
    rig.run();
    let mut sent = Vec::new();
    while !rig.jobs.is_empty() {
        let body: serde_json::Value = serde_json::from_slice(&rig.answer(200).payload.body).expect("JSON");
        sent.push(body["data"]["sizeUsd"].as_u64().expect("a number"));
    }
    sent.sort_unstable();
    assert_eq!(sent, (EVENTS - 9..=new).collect::<Vec<_>>());
    let (delivered, dropped): (Vec<_>, Vec<_>) =
        rig.states(alice, webhook).into_iter().partition(|(_, state)| *state == DeliveryState::Delivered);
    assert_eq!(delivered.len(), 11);
    assert!(dropped.iter().all(|(_, state)| *state == DeliveryState::Dropped));
    assert_eq!(rig.core.webhooks[&webhook].waiting, 0);
}

#[test]
fn a_webhook_that_is_disabled_twice_loses_what_came_between_too() {
    let (mut rig, alice, webhook) = filled();
    set_active(&mut rig, alice, webhook, false);
    rig.turn();
    set_active(&mut rig, alice, webhook, true);
    rig.publish("trade.open", "w");
    rig.turn();
    set_active(&mut rig, alice, webhook, false);
    rig.jobs.clear();
    rig.run();
    assert!(count(&rig, WAITING) == 0 && rig.jobs.is_empty());
    set_active(&mut rig, alice, webhook, true);
    rig.publish("trade.open", "w");
    rig.run();
    assert_eq!(rig.states(alice, webhook).last(), Some(&(EVENTS + 2, DeliveryState::Pending)));
}

#[test]
fn a_failure_that_comes_after_the_end_of_a_webhook_does_not_hold_up_its_return() {
    let (mut rig, alice, webhook) = filled();
    set_active(&mut rig, alice, webhook, false);
    // Its delivery still waits to be dropped.
    let job = rig.jobs.remove(0);
    let report = Rig::failed(job);
    let ended = rig.core.end_attempts([report], rig.now_ms);
    rig.core.turn(ended, rig.now_ms).expect("a sound disk");
    rig.core.commit(rig.now_ms).expect("a sound disk");
    rig.pass(30_000);
    set_active(&mut rig, alice, webhook, true);
    let new = rig.publish("trade.open", "w");
    rig.run();
    rig.answer(200);
    assert_eq!(rig.states(alice, webhook).last(), Some(&(new, DeliveryState::Delivered)));
}

#[test]
fn a_deleted_webhook_is_gone_at_once_and_its_deliveries_go_a_piece_a_turn_also_after_a_crash() {
    let (mut rig, alice, webhook) = filled();
    rig.command(DeleteWebhook { asker: alice, webhook }).expect("deleted");
    rig.command(DeleteWebhook { asker: alice, webhook }).expect_err("it is none any more");
    assert_eq!(count(&rig, "deliveries"), EVENTS);
    assert!(rig.turn());
    assert_eq!(count(&rig, "deliveries"), EVENTS - limits::PRUNE_ROWS_MAX as u64);
    rig.restart();
    assert!(rig.core.webhooks.is_empty() && rig.turn());
    assert_eq!(count(&rig, "deliveries"), EVENTS - 2 * limits::PRUNE_ROWS_MAX as u64);
    rig.run();
    assert_eq!((count(&rig, "deliveries"), count(&rig, "webhooks")), (0, 0));
}

#[test]
fn histories_that_have_not_grown_are_not_looked_at() {
    let mut rig = Rig::with(WebhookOptions { history: 10, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhooks: Vec<WebhookId> = (0..20).map(|number| rig.webhook(alice, &number.to_string())).collect();
    rig.restart();
    assert_eq!(rig.core.surplus.len(), webhooks.len(), "what they kept is not known");
    rig.run();
    assert!(rig.core.surplus.is_empty());
    rig.core.count_finished(webhooks[7], 99);
    assert!(rig.core.surplus.is_empty());
    rig.core.count_finished(webhooks[7], 1);
    rig.core.count_finished(webhooks[7], 500);
    assert_eq!(rig.core.surplus, [webhooks[7]]);
    rig.pass(limits::PRUNE_EVERY_MS);
    assert!(rig.core.surplus.is_empty() && rig.core.webhooks[&webhooks[7]].finished == 0);
}

#[test]
fn many_leftovers_of_one_hold_up_no_other() {
    let (mut rig, alice, webhook) = filled();
    let bob = rig.account("bob", &["w"]);
    let other = rig.webhook(bob, "other");
    rig.publish("trade.open", "w");
    rig.run();
    set_active(&mut rig, alice, webhook, false);
    set_active(&mut rig, bob, other, false);
    rig.turn();
    assert!(rig.core.webhooks[&other].is_dropping);
    rig.turn();
    assert!(!rig.core.webhooks[&other].is_dropping && rig.core.webhooks[&webhook].is_dropping);
}

#[test]
fn what_is_left_of_deleted_webhooks_comes_last() {
    let (mut rig, alice, webhook) = filled();
    let other = rig.webhook(alice, "other");
    rig.publish("trade.open", "w");
    rig.run();
    rig.command(DeleteWebhook { asker: alice, webhook }).expect("deleted");
    set_active(&mut rig, alice, other, false);
    rig.turn();
    assert!(!rig.core.webhooks[&other].is_dropping);
    assert!(count(&rig, "deliveries") > 0);
}
