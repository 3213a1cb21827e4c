//! Ranges of seeds, and bugs that they must find.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::diary::{last_steps, tell};
use super::sabotage::{self, Sabotage};
use super::simulate;
use super::tally::Tally;
use crate::clock;

/// As many take some seconds in a debug build.
const SEEDS: u64 = 300;

/// A bug that was put in has to be found by one of the first so many.
const SABOTAGE_SEEDS: u64 = 1_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What was wrong with a seed, if anything.
fn attempt(seed: u64) -> Result<Tally, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| simulate(seed)));
    clock::simulate(None);
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// `STENTOR_SEED=n` runs one, `STENTOR_SEEDS=first STENTOR_COUNT=n` a range.
#[test]
fn nobody_misses_an_event_whatever_happens() {
    let (first, count) = match number("STENTOR_SEED") {
        Some(seed) => (seed, 1),
        None => (number("STENTOR_SEEDS").unwrap_or(1), number("STENTOR_COUNT").unwrap_or(SEEDS)),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(count as usize);
    let (next, started) = (AtomicU64::new(0), Instant::now());
    let total = Mutex::new(Tally::default());
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            if nth >= count {
                return;
            }
            let seed = first + nth;
            match attempt(seed) {
                Ok(tally) => total.lock().expect("no holder panics").add(tally),
                Err(told) => {
                    tell(true);
                    assert_eq!(attempt(seed).err().as_ref(), Some(&told), "a seed repeats itself");
                    tell(false);
                    let steps = last_steps().join("\n  ");
                    eprintln!("the last steps of STENTOR_SEED={seed}:\n  {steps}\nSTENTOR_SEED={seed}: {told}");
                    failures.lock().expect("no holder panics").push((seed, told));
                }
            }
            if (nth + 1).is_multiple_of(1_000) {
                let rate = (nth + 1) as f64 / started.elapsed().as_secs_f64();
                eprintln!("{} of {count} seeds, {rate:.0} a second", nth + 1);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} seeds from {first} in {seconds:.1} s, {:.0} a second", count as f64 / seconds);
    println!("{:?}", total.into_inner().expect("no holder panics"));
    let mut failures = failures.into_inner().expect("no holder panics");
    failures.sort();
    for (seed, told) in &failures {
        println!("STENTOR_SEED={seed}: {}", told.lines().next().unwrap_or_default());
    }
    assert!(failures.is_empty(), "{} of {count} seeds failed; STENTOR_SEED=n repeats one", failures.len());
}

fn caught(bug: Sabotage) {
    sabotage::set(Some(bug));
    let found = (1..=SABOTAGE_SEEDS).find_map(|seed| attempt(seed).err().map(|told| (seed, told)));
    sabotage::set(None);
    let Some((seed, told)) = found else { panic!("{bug:?} is not found by {SABOTAGE_SEEDS} seeds") };
    println!("{bug:?} is found by seed {seed}: {}", told.lines().next().unwrap_or_default());
}

macro_rules! bugs {
    ($($name:ident: $bug:ident,)*) => {
        $(#[test]
        fn $name() {
            caught(Sabotage::$bug);
        })*
    };
}

bugs! {
    a_skipped_merge_is_found: SkipMerge,
    a_slot_that_is_reused_early_is_found: ReuseSlotEarly,
    an_answer_before_the_sync_is_found: AcknowledgeBeforeSync,
    numbers_that_are_given_out_again_are_found: ForgetLease,
    a_lost_answer_is_found: DropHeldAnswer,
    a_lost_half_of_a_frame_is_found: DropHalfSentFrame,
    an_event_lost_before_going_live_is_found: DropLastBeforeLive,
    forgotten_ids_are_found: ForgetIds,
}
