//! A journal that is not what the database takes it for: older, or damaged.

use super::rig::Rig;
use crate::delivery::command::ReplayWebhook;
use crate::delivery::{DeliveryRecord, DeliveryState, EventKind};

fn notices(records: &[DeliveryRecord]) -> Vec<&str> {
    let notices = records.iter().filter(|record| record.state == DeliveryState::Notice);
    notices.map(|record| record.note.as_deref().expect("words")).collect()
}

#[test]
fn a_journal_that_was_brought_back_alone_gives_its_numbers_to_other_events_and_they_are_delivered() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let mut before = Vec::new();
    for _ in 1..=4 {
        rig.publish("trade.open", "w");
        rig.run();
        before.push(rig.answer(200).delivery_id);
    }
    rig.publish("trade.open", "w");
    rig.run();
    let later = rig.webhook(alice, "later");
    rig.command(ReplayWebhook { asker: alice, webhook: later, since: 4 }).expect("a replay");

    rig.bring_back_journal(3);
    rig.restart();
    rig.run();
    assert!(rig.jobs.is_empty(), "event 5 is no more");
    for webhook in [webhook, later] {
        let records = rig.history(alice, webhook);
        assert!(notices(&records)[0].contains("events 3 to 5"), "{records:?}");
    }
    let dropped = rig.history(alice, webhook).into_iter().find(|record| record.state == DeliveryState::Dropped);
    assert!(dropped.expect("it waited").note.is_some_and(|note| note.contains("event 5")));

    assert_eq!(rig.publish("trade.open", "w"), 3);
    rig.restart();
    rig.run();
    let after = [rig.answer(200), rig.answer(200)].map(|job| (job.ticket.webhook, job.delivery_id));
    assert!(after.iter().any(|(id, _)| *id == webhook) && after.iter().any(|(id, _)| *id == later));
    assert!(after.iter().all(|(_, id)| !before.contains(id)), "another event, another id");
    assert_eq!(notices(&rig.history(alice, webhook)).len(), 1, "it is told once");

    // What both have is still the same event.
    rig.command(ReplayWebhook { asker: alice, webhook, since: 0 }).expect("a replay");
    rig.run();
    let mut again = Vec::new();
    while !rig.jobs.is_empty() {
        again.push(rig.answer(200).delivery_id);
    }
    assert_eq!((again.len(), &again[..2]), (3, &before[..2]));
    assert!(after.iter().any(|(_, id)| *id == again[2]));
}

#[test]
fn whoever_may_have_wanted_events_that_can_not_be_read_is_told_their_numbers() {
    let mut rig = Rig::new();
    let (alice, bob) = (rig.account("alice", &["w"]), rig.account("bob", &[]));
    let webhook = rig.webhook(alice, "hook");
    let operational = rig.webhook_for(alice, "ops", &[EventKind::Operational]);
    let idle = rig.webhook(bob, "watches nobody");
    rig.publish("trade.open", "w");
    rig.publish("trade.open", "other");
    rig.damage_journal(true);
    rig.run();
    rig.damage_journal(false);
    let later = rig.webhook(alice, "later");
    rig.restart();
    rig.publish("trade.open", "w");
    rig.run();
    let told = "events 1 to 2 could not be read from the journal and were not delivered";
    assert_eq!(notices(&rig.history(alice, webhook)), [told]);
    assert_eq!(rig.states(alice, webhook), [(3, DeliveryState::Pending)], "and what is new goes on");
    for (asker, id) in [(alice, operational), (alice, later), (bob, idle)] {
        assert!(notices(&rig.history(asker, id)).is_empty());
    }
}

#[test]
fn a_replay_that_comes_to_what_can_not_be_read_tells_where_it_ended() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..3 {
        rig.publish("trade.open", "other");
    }
    rig.run();
    rig.command(ReplayWebhook { asker: alice, webhook, since: 1 }).expect("a replay");
    rig.damage_journal(true);
    rig.run();
    let told = "events 2 to 3 could not be read from the journal and were not delivered";
    assert_eq!(notices(&rig.history(alice, webhook)), [told]);
    assert_eq!(rig.get(alice, webhook).replay, None);
}

#[test]
fn that_a_journal_was_brought_back_is_known_also_after_a_crash_right_after_the_start() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    let deliver = |rig: &mut Rig| {
        for _ in 0..3 {
            rig.publish("trade.open", "w");
        }
        rig.run();
        [(); 3].map(|()| rig.answer(200).delivery_id)
    };
    let before = deliver(&mut rig);
    rig.bring_back_journal(1);
    rig.restart();
    // Their numbers are given out again, and the core has not had a turn.
    for _ in 0..3 {
        rig.publish("trade.open", "w");
    }
    rig.restart();
    rig.run();
    let mut after = Vec::new();
    while !rig.jobs.is_empty() {
        after.push(rig.answer(200).delivery_id);
    }
    assert!(after.len() == 3 && after.iter().all(|id| !before.contains(id)), "{after:?}");
    assert!(notices(&rig.history(alice, webhook))[0].contains("events 1 to 3"));
}

#[test]
fn whoever_may_have_wanted_events_that_retention_took_is_told_their_numbers() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    let webhook = rig.webhook(alice, "hook");
    for _ in 0..4 {
        rig.publish("trade.open", "w");
    }
    rig.retain_from(4);
    rig.run();
    let told = "events 1 to 3 were dropped by the journal's retention before they could be delivered";
    assert_eq!(notices(&rig.history(alice, webhook)), [told]);
    assert_eq!(rig.states(alice, webhook), [(4, DeliveryState::Pending)]);
    // A replay that had begun.
    rig.retain_from(0);
    let later = rig.webhook(alice, "later");
    rig.command(ReplayWebhook { asker: alice, webhook: later, since: 0 }).expect("a replay");
    rig.retain_from(4);
    rig.run();
    assert_eq!(notices(&rig.history(alice, later)), [told]);
    assert_eq!(rig.states(alice, later), [(4, DeliveryState::Pending)]);
    assert_eq!(notices(&rig.history(alice, webhook)), [told], "it is told once");
}
