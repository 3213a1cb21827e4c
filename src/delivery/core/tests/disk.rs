//! What a turn asks of the disk, and what a disk that takes nothing more leads to.

use super::rig::Rig;
use crate::delivery::WebhookOptions;
use crate::delivery::command::ReplayWebhook;
use crate::limits;

#[test]
fn a_database_that_can_be_read_but_not_written_is_not_gone_on_with() {
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    rig.webhook(alice, "hook");
    rig.publish("trade.open", "w");
    rig.run();
    assert_eq!(rig.jobs.len(), 1);
    let raw = rig.database();
    let full = "CREATE TRIGGER full BEFORE UPDATE ON server BEGIN SELECT RAISE(ABORT, 'full'); END";
    raw.execute_batch(full).expect("it can be changed");
    for _ in 0..3 {
        // Else what is under way would be sent once more, each time.
        assert!(rig.core.recover(rig.now_ms).is_err());
    }
    rig.core.store.roll_back();
    raw.execute_batch("DROP TRIGGER full").expect("mended");
    rig.core.recover(rig.now_ms).expect("there is room again");
    rig.jobs.clear();
    rig.run();
    assert_eq!(rig.answer(200).attempt, 1);
}

/// Deliveries that were recorded in all.
fn recorded(rig: &Rig) -> usize {
    let sql = "SELECT count(*) FROM deliveries";
    rig.database().query_row(sql, (), |row| row.get::<_, i64>(0)).expect("a count") as usize
}

#[test]
fn a_turn_records_so_many_deliveries_and_the_next_goes_on_behind_them() {
    let webhooks = 7;
    let mut rig = Rig::new();
    let alice = rig.account("alice", &["w"]);
    for number in 0..webhooks {
        rig.webhook(alice, &number.to_string());
    }
    let events = limits::RECORDED_PER_TURN_MAX / 5;
    for _ in 0..events {
        rig.publish("trade.open", "w");
    }
    assert!(rig.turn());
    let first = recorded(&rig);
    // An event is matched as a whole.
    let max = limits::RECORDED_PER_TURN_MAX + webhooks;
    assert!((limits::RECORDED_PER_TURN_MAX..max).contains(&first), "{first}");
    rig.turn();
    assert_eq!(recorded(&rig), events * webhooks);
}

#[test]
fn replays_share_what_a_turn_may_record() {
    let webhooks = 3 * limits::RECORDED_PER_TURN_MAX / limits::REPLAYED_WAITING_MAX as usize;
    let mut rig = Rig::with(WebhookOptions::default());
    let alice = rig.account("alice", &["w"]);
    let events = limits::REPLAYED_WAITING_MAX;
    for _ in 0..events {
        rig.publish("trade.open", "w");
    }
    for number in 0..webhooks {
        let webhook = rig.webhook(alice, &number.to_string());
        rig.command(ReplayWebhook { asker: alice, webhook, since: 0 }).expect("a replay");
    }
    let mut before = 0;
    while rig.turn() {
        let now = recorded(&rig);
        assert!(now - before <= limits::RECORDED_PER_TURN_MAX, "{}", now - before);
        before = now;
    }
    assert_eq!(recorded(&rig), events as usize * webhooks);
}
