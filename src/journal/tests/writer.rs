use fastrand::Rng;

use super::{FakeClock, Life, batch};
use crate::journal::disk::fake::{FakeDisk, Faults, run};
use crate::journal::disk::{Disk, DiskFile};
use crate::journal::lease::{self, Lease};
use crate::journal::recovery::recover;
use crate::journal::{Journal, JournalFault, JournalOptions, SyncPolicy};
use crate::limits;

const SEGMENT_BYTES: u64 = 20_000;

fn options(sync: SyncPolicy) -> JournalOptions {
    JournalOptions { sync, segment_bytes: SEGMENT_BYTES, retention_bytes: 0, ..JournalOptions::default() }
}

/// A journal that has just begun.
fn life(sync: SyncPolicy) -> (Life, Rng) {
    let mut life = Life::start(&FakeDisk::new(1), &FakeClock::default(), options(sync));
    life.until_well();
    (life, Rng::with_seed(2))
}

fn recovered_to(disk: &FakeDisk) -> u64 {
    run(recover(disk)).expect("sound").follows
}

#[test]
fn requests_that_come_during_a_sync_share_the_next() {
    let (mut life, mut rng) = life(SyncPolicy::Always);
    for _ in 0..1_000 {
        life.publish(1, &mut rng);
        assert!(life.poll().is_pending());
    }
    life.until_well();
    let (syncs, _) = life.status.syncs();
    println!("{syncs} syncs for 1,000 requests");
    assert!(syncs < 300, "{syncs} syncs");
}

#[test]
fn with_always_nothing_is_told_before_a_power_cut_would_leave_it() {
    let (mut life, mut rng) = life(SyncPolicy::Always);
    life.publish(3, &mut rng);
    let disk = life.disk.clone();
    life.until(|life| {
        assert!(life.kept() <= recovered_to(&disk.after_power_cut()), "told too early");
        life.kept() == 4
    });
}

#[test]
fn with_interval_it_is_told_when_it_is_written_and_synced_in_time() {
    let (mut life, mut rng) = life(SyncPolicy::Interval);
    let interval_ns = options(SyncPolicy::Interval).sync_interval_ms * 1_000_000;
    life.publish(1, &mut rng);
    life.until(|life| life.kept() == 2);
    assert_eq!((life.status.written(), life.status.synced()), (2, 1));
    let told_at = life.clock.0.get();
    life.until(|life| life.status.synced() == 2);
    let waited_ns = life.clock.0.get() - told_at;
    assert!((interval_ns / 2..2 * interval_ns).contains(&waited_ns), "{waited_ns}");
    assert_eq!(recovered_to(&life.disk.after_power_cut()), 2);
}

#[test]
fn with_never_the_window_holds_nothing_for_the_disk_that_is_written() {
    let (mut life, mut rng) = life(SyncPolicy::Never);
    life.publish(1, &mut rng);
    life.until(|life| life.kept() == 2);
    assert_eq!(life.status.syncs().0, 0);
    assert!(life.window.unwritten(1, usize::MAX).is_empty());
    assert_eq!(recovered_to(&life.disk.after_kill()), 2);
}

#[test]
fn a_failed_sync_moves_everything_that_it_meant_to_another_segment() {
    let (mut life, mut rng) = life(SyncPolicy::Always);
    life.publish(2, &mut rng);
    life.until_well();
    life.disk.set_faults(Faults { sync_errors: 1.0, ..Faults::default() });
    life.publish(3, &mut rng);
    life.until(|life| life.status.fault().is_some());
    assert_eq!(life.kept(), 3, "nothing more is told");
    assert!(matches!(life.status.fault().as_deref(), Some(JournalFault::Io(_))));
    life.disk.set_faults(Faults::default());
    life.until_well();
    assert_eq!((life.kept(), life.segments()), (6, 2));
    let names = run(life.disk.after_power_cut().names()).expect("names");
    assert!(names.contains(&"00000000000000000003.segment".to_owned()), "{names:?}");
    assert_eq!(recovered_to(&life.disk.after_power_cut()), 6);
}

#[test]
fn a_segment_of_which_nothing_was_synced_is_replaced() {
    let (mut life, mut rng) = life(SyncPolicy::Always);
    life.disk.set_faults(Faults { write_errors: 1.0, ..Faults::default() });
    life.publish(3, &mut rng);
    life.until(|life| life.status.fault().is_some());
    life.disk.set_faults(Faults::default());
    life.until_well();
    assert_eq!((life.kept(), life.segments()), (4, 1));
    assert_eq!(recovered_to(&life.disk.after_power_cut()), 4);
}

#[test]
fn a_full_disk_is_told_and_forgotten_when_there_is_room() {
    let (mut life, mut rng) = life(SyncPolicy::Always);
    // The first segment and half of another one.
    life.disk.set_faults(Faults { room: SEGMENT_BYTES * 3 / 2, ..Faults::default() });
    while life.status.fault().is_none() {
        life.publish(5, &mut rng);
        life.until(|life| life.status.synced() == life.window.head() || life.status.fault().is_some());
    }
    assert_eq!(life.status.fault().as_deref(), Some(&JournalFault::DiskFull));
    // It is told while there is still room for what was accepted.
    let head = life.window.head();
    life.until(|life| life.kept() == head);
    assert!(life.status.room() > 0 && life.status.fault().is_some());
    life.disk.set_faults(Faults::default());
    life.until_well();
    assert!(life.status.room() > SEGMENT_BYTES);
}

/// What all files of a disk take, in bytes.
fn taken(disk: &FakeDisk) -> u64 {
    run(async {
        let mut bytes = 0;
        for name in disk.names().await.expect("names") {
            bytes += disk.open(&name).await.expect("it is there").size().await.expect("a size");
        }
        bytes
    })
}

#[test]
fn a_start_on_a_full_disk_first_drops_what_is_beyond_retention() {
    let (mut life, mut rng) = life(SyncPolicy::Always);
    while life.segments() < 5 {
        life.publish(5, &mut rng);
        life.until_well();
    }
    let (disk, clock, head) = (life.disk.clone(), life.clock.clone(), life.window.head());
    life.stop();
    // Not even a lease fits in beside the segments.
    disk.set_faults(Faults { room: taken(&disk), ..Faults::default() });
    let retention = JournalOptions { retention_bytes: 3 * SEGMENT_BYTES, ..options(SyncPolicy::Always) };
    let mut next = Life::start(&disk, &clock, retention);
    next.until_well();
    assert!(next.catalogue.borrow().oldest_seq() > 1, "the oldest segment has gone");
    next.publish(1, &mut rng);
    next.until_well();
    assert_eq!(recovered_to(&disk.after_power_cut()), head + 1);
}

#[test]
fn a_full_disk_has_room_again_when_a_segment_is_too_old() {
    let retention = JournalOptions { retention_hours: 1, ..options(SyncPolicy::Always) };
    let mut life = Life::start(&FakeDisk::new(1), &FakeClock::default(), retention);
    life.until_well();
    let mut rng = Rng::with_seed(2);
    // Two segments and half of another one.
    life.disk.set_faults(Faults { room: SEGMENT_BYTES * 5 / 2, ..Faults::default() });
    while life.status.fault().is_none() {
        life.publish(5, &mut rng);
        life.until(|life| life.status.synced() == life.window.head() || life.status.fault().is_some());
    }
    let head = life.window.head();
    life.until(|life| life.kept() == head);
    assert_eq!((life.status.fault().as_deref(), life.segments()), (Some(&JournalFault::DiskFull), 2));
    life.clock.advance_ms(2 * 3_600_000);
    life.until_well();
    assert!(life.catalogue.borrow().oldest_seq() > 1 && life.status.room() > SEGMENT_BYTES);
}

#[test]
fn a_request_larger_than_a_segment_gets_one_of_its_own() {
    let (mut life, mut rng) = life(SyncPolicy::Always);
    life.publish(1, &mut rng);
    assert!(life.append(&batch(2, 10, 10_000, &mut rng)));
    life.publish(1, &mut rng);
    life.until_well();
    let bytes: Vec<_> = life.catalogue.borrow().segments().map(|segment| segment.bytes).collect();
    assert!(bytes.len() == 3 && bytes[1] > 100_000, "{bytes:?}");
    assert_eq!(recovered_to(&life.disk.after_power_cut()), 13);
}

#[test]
fn numbers_are_leased_ahead_and_again_before_they_run_out() {
    let (mut life, mut rng) = life(SyncPolicy::Never);
    let leased = life.status.leased();
    assert!(leased >= limits::LEASE_NUMBERS);
    let lease = |disk: &FakeDisk| run(lease::read(disk)).expect("sound").expect("there");
    assert_eq!(lease(&life.disk.after_power_cut()), Lease { through: leased, clean: None });
    let half = limits::LEASE_NUMBERS / 2 + 2;
    while life.window.head() < half {
        life.publish(5_000, &mut rng);
    }
    life.until_well();
    assert!(life.status.leased() > leased + limits::LEASE_NUMBERS / 2);
    assert_eq!(lease(&life.disk.after_power_cut()).through, life.status.leased());
}

#[test]
fn an_orderly_stop_leaves_nothing_open() {
    let (mut life, mut rng) = life(SyncPolicy::Interval);
    // Enough for a spare segment.
    life.publish(120, &mut rng);
    let (disk, clock) = (life.disk.clone(), life.clock.clone());
    life.until(|life| life.kept() == 121 && life.status.room() > SEGMENT_BYTES / 2);
    life.publish(1, &mut rng);
    life.stop();
    let found = disk.after_power_cut();
    let lease = run(lease::read(&found)).expect("sound").expect("there");
    assert_eq!((lease.clean, recovered_to(&found)), (Some(122), 122));
    let mut names = run(found.names()).expect("names");
    names.sort();
    assert_eq!(names, ["00000000000000000001.segment", lease::NAME]);
    // And the next run goes on without a hole.
    let mut next = Life::start(&found, &clock, options(SyncPolicy::Always));
    next.until_well();
    assert_eq!((next.first_seq, next.segments()), (122, 2));
}

#[test]
fn segments_beyond_retention_go_while_it_writes() {
    let retention = JournalOptions { retention_bytes: 3 * SEGMENT_BYTES, ..options(SyncPolicy::Always) };
    let mut life = Life::start(&FakeDisk::new(3), &FakeClock::default(), retention);
    life.until_well();
    let mut rng = Rng::with_seed(4);
    for _ in 0..300 {
        life.publish(5, &mut rng);
        life.until_well();
        assert!(life.catalogue.borrow().bytes() <= 4 * SEGMENT_BYTES);
    }
    assert!(life.catalogue.borrow().oldest_seq() > 500 && life.segments() >= 2);
}
