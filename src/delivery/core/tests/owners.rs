//! What owners may ask for, and what they are told.

use super::rig::Rig;
use crate::delivery::attempt::{Outcome, Report};
use crate::delivery::command::{
    DeleteWebhook, GetWebhook, ListDeliveries, ListWebhooks, RegenerateSecret, ReplayWebhook, TestWebhook,
    WebhookChange,
};
use crate::delivery::core::{MakeChange, PrepareTest, RecordTest};
use crate::delivery::{DeliveryError, DeliveryState, EventKind, WebhookOptions};
use crate::limits;

#[test]
fn another_accounts_webhook_is_no_webhook_for_every_command() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.account("alice", &["w"]), rig.account("bob", &["w"]));
    let webhook = rig.webhook(alice, "hook");
    let change = WebhookChange { asker: bob, webhook, url: None, events: None, is_active: Some(false) };
    let refusals = [
        rig.command(GetWebhook { asker: bob, webhook }).err(),
        rig.command(MakeChange { wanted: change, url: None }).err(),
        rig.command(DeleteWebhook { asker: bob, webhook }).err(),
        rig.command(RegenerateSecret { asker: bob, webhook }).err(),
        rig.command(ListDeliveries { asker: bob, webhook, records_max: 1 }).err(),
        rig.command(ReplayWebhook { asker: bob, webhook, since: 0 }).err(),
        rig.command(PrepareTest(TestWebhook { asker: bob, webhook })).err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(DeliveryError::NoSuchWebhook)), "{refusal:?}");
    }
    assert!(rig.command(ListWebhooks { asker: bob }).expect("a list").is_empty());
    assert_eq!(rig.command(ListWebhooks { asker: alice }).expect("a list").len(), 1);
    assert!(rig.get(alice, webhook).is_active());
}

#[test]
fn what_a_key_asked_for_is_not_done_once_it_is_revoked() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    rig.revoke(alice.key);
    assert!(matches!(rig.make(alice, "more", &EventKind::ALL), Err(DeliveryError::KeyRevoked)));
    assert!(matches!(rig.command(DeleteWebhook { asker: alice, webhook }), Err(DeliveryError::KeyRevoked)));
    assert!(matches!(rig.command(RegenerateSecret { asker: alice, webhook }), Err(DeliveryError::KeyRevoked)));
}

#[test]
fn an_account_has_a_bounded_number_of_webhooks() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.account("alice", &["w"]), rig.account("bob", &["w"]));
    let mut last = None;
    for number in 0..limits::WEBHOOKS_PER_ACCOUNT_MAX {
        last = Some(rig.webhook(alice, &number.to_string()));
    }
    assert!(matches!(rig.make(alice, "more", &EventKind::ALL), Err(DeliveryError::TooManyWebhooks)));
    rig.webhook(bob, "his");
    rig.command(DeleteWebhook { asker: alice, webhook: last.expect("the last") }).expect("deleted");
    rig.webhook(alice, "in its place");
    assert_eq!(rig.command(ListWebhooks { asker: alice }).expect("a list").len(), limits::WEBHOOKS_PER_ACCOUNT_MAX);
}

#[test]
fn a_new_secret_signs_at_once_and_the_old_one_beside_it_for_its_grace() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let before = rig.get(alice, webhook).secrets.current;
    let after = rig.command(RegenerateSecret { asker: alice, webhook }).expect("regenerated");
    assert!(after.secrets.current != before);
    let until_ms = rig.now_ms + rig.options.secret_grace_seconds * 1_000;
    assert!(after.secrets.previous == [(before, until_ms)]);
    rig.restart();
    rig.publish("trade.open", "w");
    rig.run();
    let job = rig.answer(200);
    assert!(job.secrets.current == after.secrets.current && job.secrets.previous.len() == 1, "also after a restart");
}

#[test]
fn a_second_new_secret_ends_none_that_receivers_may_still_have() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let mut secrets = vec![rig.get(alice, webhook).secrets.current];
    for _ in 0..limits::PREVIOUS_SECRETS_MAX + 1 {
        rig.now_ms += 1;
        let regenerated = rig.command(RegenerateSecret { asker: alice, webhook }).expect("regenerated");
        secrets.insert(0, regenerated.secrets.current);
    }
    rig.restart();
    rig.publish("trade.open", "w");
    rig.run();
    let job = rig.answer(200);
    let signing: Vec<_> = job.secrets.previous.into_iter().map(|(secret, _)| secret).collect();
    assert!(job.secrets.current == secrets[0] && signing == secrets[1..=limits::PREVIOUS_SECRETS_MAX]);
}

#[test]
fn a_webhook_wants_some_event() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    assert!(matches!(rig.make(alice, "none", &[]), Err(DeliveryError::NoEvents)));
}

#[test]
fn a_test_is_one_attempt_of_its_own_one_at_a_time_and_stands_in_the_history() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let job = rig.command(PrepareTest(TestWebhook { asker: alice, webhook })).expect("a job");
    assert_eq!(job.payload.kind, "webhook.test");
    let again = rig.command(PrepareTest(TestWebhook { asker: alice, webhook })).expect_err("one is under way");
    assert!(matches!(again, DeliveryError::TestUnderWay));
    let outcome = Outcome::Answered { status: 404, retry_after: None };
    let report =
        Report { number: job.number, ticket: job.ticket, outcome, duration: std::time::Duration::from_millis(7) };
    let (ticket, event) = (job.ticket, job.payload.event);
    let record = rig.command(RecordTest { ticket, event, report: Some(report) }).expect("recorded");
    assert_eq!((record.status, record.duration_ms), (Some(404), 7));
    let history = rig.history(alice, webhook);
    assert_eq!((history.len(), history[0].state, history[0].kind.as_str()), (1, DeliveryState::Failed, "webhook.test"));
    assert_eq!(history[0].id, job.delivery_id);
    rig.pass(100_000);
    assert!(rig.jobs.is_empty(), "it is not tried again");
    assert_eq!(rig.get(alice, webhook).failures, 0, "and is nothing against the webhook");
    let second = rig.command(PrepareTest(TestWebhook { asker: alice, webhook })).expect("the next one");
    let given_up = RecordTest { ticket: second.ticket, event: second.payload.event, report: None };
    assert!(matches!(rig.command(given_up), Err(DeliveryError::Busy)));
    rig.command(PrepareTest(TestWebhook { asker: alice, webhook })).expect("and the one after it");
}

#[test]
fn tests_count_in_the_history_like_deliveries() {
    let mut rig = Rig::with(WebhookOptions { history: 10, ..WebhookOptions::default() });
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..300 {
        let job = rig.command(PrepareTest(TestWebhook { asker: alice, webhook })).expect("a job");
        let (ticket, event) = (job.ticket, job.payload.event);
        rig.command(RecordTest { ticket, event, report: Some(Rig::delivered(job)) }).expect("recorded");
    }
    rig.pass(limits::PRUNE_EVERY_MS);
    rig.pass(limits::PRUNE_EVERY_MS);
    assert!(rig.history(alice, webhook).len() <= 110);
}
