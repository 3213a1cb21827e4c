//! Rounds of writing, crashing and recovering, against a model of what was told to be kept. `STENTOR_SEED=n` repeats one.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use fastrand::Rng;

use super::{FakeClock, Life, batch};
use crate::hub::EncodedBatch;
use crate::journal::disk::fake::{FakeDisk, Faults, run};
use crate::journal::recovery::{Recovered, recover};
use crate::journal::segment::SegmentHeader;
use crate::journal::{GapReason, Journal, JournalOptions, Part, Reader, SyncPolicy};

/// As many take about five seconds in a debug build. A reader of `writer.rs` who breaks one of its invariants sees red within
/// the first ten.
const SEEDS: u64 = 200;

/// What was given to the journal in all lives, and what of it had to last.
#[derive(Default)]
struct Model {
    /// By their first numbers.
    requests: BTreeMap<u64, Arc<EncodedBatch>>,
    /// No number from here on was given out.
    next_seq: u64,
    /// For each life: its first number, and below which all has to be there.
    lasting: Vec<(u64, u64)>,
}

impl Model {
    /// Compares what a recovered journal holds: nothing but whole requests, as they were; and all that had to be kept, unless
    /// retention has taken it from the front.
    fn check(&self, disk: &FakeDisk, recovered: Recovered, retains: bool) {
        let Recovered { mut catalogue, next_seq, follows, .. } = recovered;
        // What the next run does, so that what is gone before it is told.
        catalogue.begin(SegmentHeader { first_seq: next_seq, follows, created_unix_ms: 0 }, 0);
        let reader = Reader::new(Rc::new(disk.clone()), Rc::new(RefCell::new(catalogue)));
        let (mut from, mut found) = (1, BTreeMap::new());
        loop {
            let chunk = run(reader.read(from, 4_000)).expect("what is recovered can be read");
            assert_eq!(chunk.from, from);
            for part in &chunk.parts {
                match part {
                    Part::Events(batch) => {
                        for (event, seq) in batch.events().iter().zip(batch.first_seq()..) {
                            let earlier = found.insert(seq, event.clone());
                            assert!(earlier.is_none() || seq < from, "event {seq} is there twice");
                        }
                    }
                    Part::Gap(gap) if retains && gap.reason == GapReason::Retention => {}
                    Part::Gap(gap) => {
                        let lost = self.lasting(gap.from, gap.to).next();
                        assert_eq!(lost, None, "kept, and gone by {:?}", gap.reason);
                    }
                }
            }
            if chunk.next == from {
                break;
            }
            from = chunk.next;
        }
        assert_eq!(self.lasting(from, u64::MAX).next(), None, "kept, and behind the end");
        for request in self.requests.values() {
            let there = (request.first_seq()..request.next_seq()).filter(|seq| found.contains_key(seq)).count();
            assert!(there == 0 || there == request.len(), "request {} is there in part", request.first_seq());
            for (event, seq) in request.events().iter().zip(request.first_seq()..) {
                assert!(found.remove(&seq).is_none_or(|found| &found == event), "event {seq} is another one");
            }
        }
        assert_eq!(found.keys().next(), None, "an event that nobody published");
    }

    /// The events among some numbers that had to last.
    fn lasting(&self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        let numbers = self.requests.values().flat_map(|request| request.first_seq()..request.next_seq());
        let has_to_last = |seq: &u64| self.lasting.iter().any(|(first, next)| (*first..*next).contains(seq));
        numbers.filter(move |seq| (from..=to).contains(seq)).filter(has_to_last)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    PowerCut,
    Kill,
    Stop,
}

fn storm(seed: u64) {
    use SyncPolicy::{Always, Interval, Never};
    let mut rng = Rng::with_seed(seed);
    let options = JournalOptions {
        sync: rng.choice([Always, Always, Interval, Never]).expect("one"),
        sync_interval_ms: 20,
        segment_bytes: rng.u64(8_000..60_000),
        retention_bytes: if rng.u8(..4) == 0 { rng.u64(50_000..200_000) } else { 0 },
        retention_hours: 0,
        ..JournalOptions::default()
    };
    let mut disk = FakeDisk::new(rng.u64(..));
    let clock = FakeClock::default();
    let mut model = Model { next_seq: 1, ..Model::default() };
    for _ in 0..5 {
        let mut life = Life::start(&disk, &clock, options);
        assert!(life.first_seq >= model.next_seq, "a number is given out twice");
        let end = rng.choice([End::PowerCut, End::PowerCut, End::Kill, End::Stop]).expect("one");
        live(&mut life, &mut model, options.sync, &mut rng);
        if end == End::Stop || rng.bool() {
            // Once the disk is well again everything is kept, without anybody's doing.
            disk.set_faults(Faults::default());
            life.until_well();
        }
        let (head, first_seq, kept, synced) = (life.window.head(), life.first_seq, life.kept(), life.status.synced());
        assert!(options.sync != Always || kept <= synced, "told before it was synced");
        let lasting = match end {
            End::Stop => {
                life.stop();
                head
            }
            // After a failed sync, what only the kernel had may have been under way to another segment.
            End::Kill if disk.failed_syncs() == 0 => kept,
            End::Kill | End::PowerCut => synced,
        };
        model.lasting.push((first_seq, lasting));
        disk = if end == End::Kill { disk.after_kill() } else { disk.after_power_cut() };
        let recovered = run(recover(&disk)).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert!(end != End::Stop || recovered.next_seq == head, "an orderly stop wastes no number");
        model.check(&disk, recovered, options.retention_bytes > 0);
    }
}

/// Publishes for a while, with a disk that is well or not.
fn live(life: &mut Life, model: &mut Model, sync: SyncPolicy, rng: &mut Rng) {
    let is_harsh = rng.bool();
    for _ in 0..rng.usize(..3_000) {
        life.clock.advance_ms(rng.u64(..4));
        if rng.u8(..8) == 0 {
            let (events, bytes) = if rng.u8(..30) == 0 { (rng.u64(1..40), 6_000) } else { (rng.u64(1..6), 60) };
            let batch = batch(life.window.head(), events, rng.usize(..bytes), rng);
            if life.append(&batch) {
                model.requests.insert(batch.first_seq(), batch);
                model.next_seq = life.window.head();
            }
        }
        if is_harsh && rng.u8(..50) == 0 {
            life.disk.set_faults(faults(sync, rng));
        }
        assert!(life.poll().is_pending());
    }
}

fn faults(sync: SyncPolicy, rng: &mut Rng) -> Faults {
    let mut chance = |of: f64| if rng.u8(..3) == 0 { rng.f64() * of } else { 0.0 };
    let [short_writes, write_errors, sync_errors] = [chance(0.8), chance(0.3), chance(0.3)];
    let room = if rng.u8(..4) == 0 { rng.u64(..150_000) } else { u64::MAX };
    let faults = Faults { short_writes, write_errors, sync_errors, room };
    match sync {
        SyncPolicy::Always | SyncPolicy::Interval => faults,
        // Nobody was promised that what a failed sync has lost is told.
        SyncPolicy::Never => Faults { write_errors: 0.0, sync_errors: 0.0, ..faults },
    }
}

#[test]
fn whatever_happens_to_the_disk_what_was_kept_is_there_once_and_whole() {
    let seeds = match std::env::var("STENTOR_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).expect("a number"),
        Err(_) => 0..SEEDS,
    };
    for seed in seeds {
        println!("STENTOR_SEED={seed}");
        storm(seed);
    }
}
