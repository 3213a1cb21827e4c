//! The file itself: where it stands, who may read it, what is in it after a crash.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::fixture::{Fixture, OTHER, W, attempt, delivery, sealer, secret, webhook};
use super::*;
use crate::database::DatabaseError;
use crate::delivery::{DisableReason, Disabled, EventKind, Webhook};

#[test]
fn the_database_is_opened_as_durable_with_a_cache_of_its_own_size_and_told_by_its_name() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let store = Store::open(&dir.path().join("data"), None).expect("open");
    let pragma = |name| store.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("pragma");
    assert_eq!((pragma("synchronous"), pragma("cache_size")), (2, -32_768));

    fs::write(dir.path().join(SCHEMA.file), [b'x'; 4096]).expect("write");
    let refused = Store::open(dir.path(), None).expect_err("not a database").to_string();
    assert!(refused.starts_with("the webhooks database is damaged (file is not a database"), "{refused}");
}

#[test]
fn a_database_has_a_salt_of_its_own_and_keeps_it() {
    let fixture = Fixture::new();
    let salt = fixture.store.salt();
    assert_eq!(fixture.reopen().store.salt(), salt);
    assert_ne!(Fixture::new().store.salt(), salt);
}

#[test]
fn the_position_begins_unknown_and_stays_where_it_was_committed() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.store.position().expect("position"), None);
    fixture.store.set_position(5).expect("set");
    assert_eq!(fixture.store.position().expect("position"), Some(5), "before the commit");
    fixture.store.commit().expect("commit");
    fixture.store.set_position(6).expect("set");
    fixture = fixture.reopen();
    assert_eq!(fixture.store.position().expect("position"), Some(5));
}

/// A change of each sort.
fn change_much(fixture: &mut Fixture) {
    let done = fixture.waits(W, 2, 2_000);
    let store = &mut fixture.store;
    store.attempted(done, &attempt(3_000, 200), Next::Delivered).expect("attempted");
    store.set_position(9).expect("position");
    store.update_webhook(&Webhook { failures: 9, ..webhook(W) }).expect("update");
    store.delete_webhook(OTHER).expect("delete");
    let to_row = store.begin_dropping(W).expect("begin");
    store.drop_waiting(W, to_row, 99, "disabled").expect("drop");
}

fn untouched(fixture: &Fixture) -> bool {
    let webhooks = fixture.store.webhooks().expect("webhooks");
    webhooks.len() == 2
        && webhooks[0].failures == 0
        && fixture.store.position().expect("position") == Some(1)
        && fixture.states(W) == [(DeliveryState::Pending, Some(1))]
}

#[test]
fn what_is_not_committed_never_was() {
    let mut fixture = Fixture::new();
    fixture.waits(W, 1, 2_000);
    fixture.store.set_position(1).expect("position");
    fixture.store.commit().expect("commit");
    fixture.store.commit().expect("nothing to do");

    change_much(&mut fixture);
    assert!(!untouched(&fixture), "reads see the change");
    fixture.store.roll_back();
    assert!(untouched(&fixture), "rolled back");
    fixture = fixture.reopen();
    assert!(untouched(&fixture), "and opened again");

    change_much(&mut fixture);
    fixture = fixture.reopen();
    assert!(untouched(&fixture), "dropped");

    change_much(&mut fixture);
    fixture.store.commit().expect("commit");
    fixture = fixture.reopen();
    assert!(!untouched(&fixture), "committed");
    assert_eq!(fixture.states(W), [(DeliveryState::Delivered, Some(2)), (DeliveryState::Dropped, Some(1))]);
}

#[test]
fn half_a_transaction_is_never_committed() {
    let mut fixture = Fixture::new();
    fixture.waits(W, 1, 2_000);
    // What SQLite does by itself after some errors.
    fixture.store.connection.execute_batch("ROLLBACK").expect("roll back");
    assert!(fixture.store.set_position(5).is_err());
    assert!(fixture.store.commit().is_err());
    fixture.store.roll_back();
    fixture.store.set_position(6).expect("a new transaction");
    fixture.store.commit().expect("commit");
    assert_eq!((fixture.store.position().expect("position"), fixture.states(W)), (Some(6), vec![]));
}

#[test]
fn a_full_disk_is_told_as_one_and_undone_by_a_roll_back() {
    let mut fixture = Fixture::new();
    fixture.store.connection.pragma_update(None, "max_page_count", 40).expect("pragma");
    let full = (1..10_000).find_map(|seq| fixture.store.insert_delivery(&delivery(W, Some(seq))).err());
    assert!(matches!(full, Some(DeliveryError::Database(DatabaseError::DiskFull))), "{full:?}");
    fixture.store.roll_back();
    fixture.store.set_position(5).expect("there is room for a number");
    fixture.store.commit().expect("commit");
    assert_eq!(fixture.reopen().states(W), []);
}

#[test]
fn a_damaged_database_is_told_as_damage() {
    let mut fixture = Fixture::new();
    for seq in 1..2_000 {
        fixture.waits(W, seq, 2_000);
    }
    fixture.store.commit().expect("commit");
    fixture.store.truncate_log().expect("checkpoint");
    let Fixture { store, .. } = &fixture;
    let path = fixture.data_dir().join(SCHEMA.file);
    let mut bytes = fs::read(&path).expect("read");
    bytes[4096..].fill(0xa5);
    // Over the file's own bytes, not through SQLite; its cache is emptied below.
    fs::write(&path, bytes).expect("write");
    store.connection.execute_batch("PRAGMA shrink_memory").expect("pragma");
    let refused = store.history(W, 10).map(|_| ()).or_else(|_| store.webhooks().map(|_| ()));
    assert!(matches!(refused, Err(DeliveryError::Database(DatabaseError::Corrupt { .. }))), "{refused:?}");
    let refused = Store::open(fixture.data_dir(), None).expect_err("damaged");
    assert!(matches!(refused, DeliveryError::Database(DatabaseError::Corrupt { .. })), "{refused}");
}

#[test]
fn two_may_have_the_database_open_and_one_at_a_time_changes_it() {
    let mut one = Fixture::new();
    let mut other = Store::open(one.data_dir(), None).expect("a second one");
    one.waits(W, 1, 2_000);
    other.connection.busy_timeout(Duration::from_millis(1)).expect("timeout");
    let refused = other.insert_delivery(&delivery(W, Some(2))).expect_err("locked");
    assert!(matches!(refused, DeliveryError::Database(DatabaseError::Busy)), "{refused}");
    other.roll_back();
    one.store.commit().expect("commit");
    other.insert_delivery(&delivery(W, Some(2))).expect("insert").expect("its row is free");
    other.commit().expect("commit");
    one.waits(W, 3, 2_000);
    one.store.commit().expect("commit");
    assert_eq!(one.waiting(W), [1, 2, 3]);
}

#[test]
fn many_may_open_a_fresh_directory_at_once() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let salts: Vec<Salt> = thread::scope(|scope| {
        let openings: Vec<_> = (0..8).map(|_| scope.spawn(|| Store::open(dir.path(), None))).collect();
        openings.into_iter().map(|opening| opening.join().expect("no panic").expect("open").salt()).collect()
    });
    assert!(salts.iter().all(|salt| *salt == salts[0]));
}

#[test]
fn a_webhook_comes_back_as_it_was_kept() {
    let mut fixture = Fixture::new();
    let full = Webhook {
        url: super::super::guard::WebhookUrl::stored("https://b.example/é'\"".into()),
        events: EventKind::ALL.into_iter().collect(),
        secrets: super::super::SigningSecrets { current: secret(2), previous: vec![(secret(3), 77), (secret(4), 66)] },
        from_seq: 5,
        disabled: Some(Disabled { reason: DisableReason::Gone, at_ms: 6, from_seq: 7 }),
        failures: 8,
        failing_since_ms: Some(9),
        replay: Some((10, 11)),
        ..webhook(W)
    };
    for wanted in [full, webhook(W)] {
        fixture.store.update_webhook(&wanted).expect("update");
        fixture.store.commit().expect("commit");
        fixture = fixture.reopen();
        let kept = fixture.store.webhooks().expect("webhooks").swap_remove(0);
        assert!(kept.secrets.current == wanted.secrets.current && kept.secrets.previous == wanted.secrets.previous);
        assert_eq!(format!("{kept:?}"), format!("{wanted:?}"));
    }
}

#[test]
fn webhooks_come_by_the_time_they_were_made() {
    let mut fixture = Fixture::new();
    for (id, created_ms) in [(1, 999), (2, 1_001)] {
        fixture.store.insert_webhook(&Webhook { created_ms, ..webhook(WebhookId(id)) }).expect("insert");
    }
    let ids: Vec<_> = fixture.store.webhooks().expect("webhooks").into_iter().map(|webhook| webhook.id.0).collect();
    assert_eq!(ids, [1, 7, 8, 2]);
}

#[test]
fn a_deleted_webhook_takes_its_deliveries_along_and_they_stay_gone() {
    let mut fixture = Fixture::new();
    fixture.waits(OTHER, 1, 2_000);
    let [finished, under_way] = [1, 2].map(|seq| fixture.waits(W, seq, 2_000));
    fixture.store.attempted(finished, &attempt(1, 200), Next::Delivered).expect("attempted");
    fixture.store.commit().expect("commit");
    fixture.store.delete_webhook(W).expect("delete");
    assert_eq!(fixture.store.forget(W, 99).expect("forget"), 2);
    fixture.store.commit().expect("commit");
    assert_eq!((fixture.states(W), fixture.states(OTHER).len()), (vec![], 1));
    let later = fixture.waits(OTHER, 2, 2_000);
    assert!(later > under_way, "a row is used once");
    assert!(!fixture.store.attempted(under_way, &attempt(2, 200), Next::Delivered).expect("attempted"));
    let refused = fixture.store.insert_delivery(&delivery(W, Some(3))).expect_err("no such webhook");
    assert!(matches!(refused, DeliveryError::NoSuchWebhook), "{refused}");
    let refused = fixture.store.insert_or_revive(&delivery(W, Some(1))).expect_err("no such webhook");
    assert!(matches!(refused, DeliveryError::NoSuchWebhook), "{refused}");
}

/// Whether any file of the database holds these bytes.
fn found(data_dir: &Path, wanted: &[u8]) -> bool {
    let files = fs::read_dir(data_dir).expect("directory").map(|file| file.expect("file").path());
    files.map(|file| fs::read(file).expect("read")).any(|bytes| bytes.windows(wanted.len()).any(|part| part == wanted))
}

#[test]
fn a_master_key_seals_what_was_in_the_clear_and_leaves_no_trace_of_it() {
    let mut fixture = Fixture::new();
    // Enough rows that pages were split and rows moved, and a secret that was overwritten before.
    for id in 100..400 {
        let mut made = webhook(WebhookId(id));
        made.secrets.current = secret(2);
        fixture.store.insert_webhook(&made).expect("insert");
        fixture.store.commit().expect("commit");
        made.secrets = super::super::SigningSecrets { current: secret(4), previous: vec![(secret(3), 77)] };
        fixture.store.update_webhook(&made).expect("update");
        fixture.store.commit().expect("commit");
    }
    let data_dir = fixture.data_dir().to_owned();
    let before = fixture.store.webhooks().expect("webhooks");
    for byte in 1..=4 {
        assert!(found(&data_dir, secret(byte).expose().as_bytes()), "{byte}: the search finds nothing");
    }
    fixture.store.connection.close().expect("close");

    let sealed = Store::open(&data_dir, sealer(1)).expect("seal");
    for byte in 1..=4 {
        assert!(!found(&data_dir, secret(byte).expose().as_bytes()), "{byte}");
        assert!(!found(&data_dir, secret(byte).key()), "{byte}");
    }
    let after = sealed.webhooks().expect("webhooks");
    assert_eq!(after.len(), before.len());
    assert!(before.iter().zip(&after).all(|(before, after)| before.secrets.current == after.secrets.current
        && before.secrets.previous == after.secrets.previous));
}

#[test]
fn a_master_key_leaves_no_trace_of_the_clear_secrets_of_webhooks_that_are_gone() {
    let mut fixture = Fixture::new();
    for id in [W, OTHER] {
        fixture.store.delete_webhook(id).expect("delete");
        fixture.store.forget(id, 99).expect("forget");
    }
    fixture.store.commit().expect("commit");
    let data_dir = fixture.data_dir().to_owned();
    fixture.store.connection.close().expect("close");
    let clear = secret(1);
    assert!(found(&data_dir, clear.expose().as_bytes()), "the search finds nothing");
    drop(Store::open(&data_dir, None).expect("open"));
    assert!(found(&data_dir, clear.expose().as_bytes()), "without a master key there is nothing to hide");
    let sealed = Store::open(&data_dir, sealer(1)).expect("seal");
    assert!(!found(&data_dir, clear.expose().as_bytes()));
    let left = "SELECT unsealed_left FROM server";
    assert!(!sealed.connection.query_row(left, (), |row| row.get::<_, bool>(0)).expect(left), "once is enough");
}

#[test]
fn sealed_secrets_need_the_master_key_that_sealed_them() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let open = |sealer| Store::open(dir.path(), sealer);
    let mut store = open(sealer(1)).expect("open");
    store.insert_webhook(&webhook(W)).expect("insert");
    store.commit().expect("commit");
    assert!(!found(dir.path(), secret(1).expose().as_bytes()));
    drop(store);
    assert!(matches!(open(None).expect_err("sealed"), DeliveryError::Sealed));
    assert!(matches!(open(sealer(2)).expect_err("another key"), DeliveryError::WrongMasterKey));
    assert_eq!(open(sealer(1)).expect("open").webhooks().expect("webhooks")[0].secrets.current, secret(1));
}

#[test]
fn sealing_that_a_crash_ended_before_the_old_pages_were_gone_is_finished_at_the_next_start() {
    let fixture = Fixture::new();
    fixture
        .store
        .connection
        .execute_batch("CREATE TABLE old AS SELECT secret FROM webhooks; DROP TABLE old")
        .expect("sql");
    drop(Store::open(fixture.data_dir(), sealer(1)).expect("seal"));
    let leave = "UPDATE server SET unsealed_left = 1; CREATE TABLE old (text); INSERT INTO old VALUES ('left over'); DROP TABLE old";
    fixture.store.connection.execute_batch(leave).expect("sql");
    assert!(found(fixture.data_dir(), b"left over"));
    drop(Store::open(fixture.data_dir(), sealer(1)).expect("open"));
    assert!(!found(fixture.data_dir(), b"left over"));
}

#[test]
fn a_secret_that_no_stentor_wrote_is_told_as_damage() {
    let fixture = Fixture::new();
    fixture.store.connection.execute("UPDATE webhooks SET secret = x'7768'", ()).expect("sql");
    for sealer in [None, sealer(1)] {
        let refused = Store::open(fixture.data_dir(), sealer).expect_err("damaged");
        assert!(matches!(refused, DeliveryError::Database(DatabaseError::Corrupt { .. })), "{refused}");
    }
}
