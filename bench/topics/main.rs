//! What one publish costs among 100,000 topics, held against the same publish where there is one topic only.
//!
//! ```text
//!   compare.rs  rounds, turns and ratios
//!   crowd.rs    the real plane with 1,000 sockets, and what they receive
//!   ends.rs     the sockets' clients, which check every event: over loopback TCP, or without a kernel
//! ```
//!
//! The cost is the server's: from the parsed event through its encoding, the look-up and the sends until the kernel has it for
//! every receiver. Both sides have the same receivers; the ratio of two equal runs says what noise alone comes to.
//! Exit codes: 0 done, 1 a wrong answer, 3 a ratio was over the bar and `--assert` was given.

mod compare;
mod crowd;
mod ends;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use stentor::accounts::{ApiKey, Snapshot};
use stentor::limits;
use stentor::protocol::Protocol;

use compare::{Comparison, Costs, Crowds, median};
use crowd::{Cast, Crowd, MORE_SLOTS, SOCKETS, Spread, TOPICS};
use ends::{FarEnds, Ledger, Loopback, Wrong};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RATIO_MAX: f64 = 1.1;
/// Members of each watchlist group; a price has one subscriber, which hides the least.
const WATCHERS: usize = 10;
const SUBSCRIBERS: usize = 1;
/// Accounts with as many owners as there may be.
const LONG_LISTS: usize = 50;

/// Measures one publish among 100,000 topics against one topic alone.
#[derive(Parser)]
struct Args {
    /// How often everything is measured
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Exit with 3 where a ratio is over the bar
    #[arg(long)]
    assert: bool,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let rounds = args.rounds as usize;
    match measure(rounds) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) if !args.assert => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(3),
        Err(wrong) => {
            eprintln!("bench-topics: a wrong answer, so the figures count nothing: {wrong}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many ratios were over the bar.
fn measure(rounds: usize) -> Result<u32, Wrong> {
    pin_to_the_last_cpu();
    // The same topics each time.
    let mut random = fastrand::Rng::with_seed(3);
    let sockets = || Loopback::open(SOCKETS + MORE_SLOTS).expect("io_uring, and room for the sockets");
    println!(
        "{TOPICS} topics, {SOCKETS} sockets, {rounds} rounds; an event's cost to the server in µs (medians of the rounds)"
    );
    println!(
        "A socket that was sent to a moment ago costs the kernel less than another. So two rows of each table have the same"
    );
    println!("receivers on both sides; the third has no bar, because the many there differ in receivers too.");
    let mut misses = 0;

    println!(
        "\nwatchlists of {} owners, {WATCHERS} receivers an event, over loopback TCP",
        TOPICS / (SOCKETS / WATCHERS)
    );
    let cast = Cast::new(Protocol::Watchlist, WATCHERS, &mut random);
    let mut memory = Memory::default();
    let mut crowds = Crowds::new(cast, |cast, spread| memory.watch(cast, spread, sockets()));
    misses += print(&crowds.run(rounds)?, true);
    memory.print();
    drop(crowds);

    println!(
        "\n{} prices a socket, {SUBSCRIBERS} receiver an event, over loopback TCP",
        TOPICS / (SOCKETS / SUBSCRIBERS)
    );
    let cast = Cast::new(Protocol::Channels, SUBSCRIBERS, &mut random);
    misses += print(&Crowds::new(cast, |cast, spread| assemble(cast, spread, sockets())).run(rounds)?, true);

    println!("\nthe same without a kernel: what encoding, look-up and bookkeeping cost alone (no bar)");
    let cast = Cast::new(Protocol::Channels, SUBSCRIBERS, &mut random);
    println!("  prices, {SUBSCRIBERS} receiver");
    print(&Crowds::new(cast, |cast, spread| assemble(cast, spread, Ledger::open())).run(rounds)?, false);
    let cast = Cast::new(Protocol::Watchlist, WATCHERS, &mut random);
    println!("  watchlists, {WATCHERS} receivers");
    let mut crowds = Crowds::new(cast, |cast, spread| assemble(cast, spread, Ledger::open()));
    print(&crowds.run(rounds)?, false);

    println!("\nwatchlists of {} owners, beside those, without a kernel", limits::WATCHLIST_OWNERS_MAX);
    long_watchlists(crowds, &mut random)?;
    Ok(misses)
}

fn assemble<F: FarEnds>(cast: &Cast, spread: Spread, ends: (F::Kernel, F)) -> Crowd<F> {
    Crowd::assemble(ends, cast, spread, Arc::new(cast.accounts(spread)))
}

/// Returns how many of the ratios that have a bar were over it.
fn print(costs: &Costs, has_bar: bool) -> u32 {
    println!("  {:44}{:>17}{:>17}{:>8}{:>13}", "", "few topics", "many topics", "ratio", "equal runs");
    let mut misses = 0;
    let mut row = |name, comparison: Comparison, has_bar: bool| {
        let Comparison { few, many, ratio, ratio_of_equals } = comparison;
        let runs = |costs: [f64; 2]| format!("{:.2} {:.2}", costs[0] / 1e3, costs[1] / 1e3);
        let missed = has_bar && ratio > RATIO_MAX;
        misses += u32::from(missed);
        let verdict = match (has_bar, missed) {
            (false, _) => String::new(),
            (true, false) => format!("  within {RATIO_MAX}"),
            (true, true) => format!("  MISS: over {RATIO_MAX}"),
        };
        println!("  {name:44}{:>17}{:>17}{ratio:>8.3}{ratio_of_equals:>13.3}{verdict}", runs(few), runs(many));
    };
    row("the same receivers: 1 topic, all topics", costs.one_group(), has_bar);
    row("receivers in turn: a topic each, all topics", costs.every_group(), has_bar);
    row("the same, 1 topic; in turn, all topics", costs.one_and_every_group(), false);
    misses
}

/// What crowds of watchers took, as resident memory.
#[derive(Default)]
struct Memory {
    /// The accounts of all topics.
    accounts: i64,
    /// The planes of one topic a group, and of all.
    few: i64,
    all: i64,
}

impl Memory {
    fn watch<F: FarEnds>(&mut self, cast: &Cast, spread: Spread, ends: (F::Kernel, F)) -> Crowd<F> {
        let before = resident_bytes();
        let accounts = Arc::new(cast.accounts(spread));
        let with_accounts = resident_bytes();
        let crowd = Crowd::assemble(ends, cast, spread, accounts);
        let plane = resident_bytes() - with_accounts;
        match spread {
            Spread::One => {}
            Spread::OneEach => self.few = plane,
            Spread::All => (self.accounts, self.all) = (with_accounts - before, plane),
        }
        crowd
    }

    fn print(&self) {
        let listed = (TOPICS * WATCHERS) as i64;
        println!(
            "  memory: {listed} listed owners take {:.1} MiB in the shard's index ({} bytes each), and {:.1} MiB in the accounts ({})",
            (self.all - self.few) as f64 / f64::from(1 << 20),
            (self.all - self.few) / listed,
            self.accounts as f64 / f64::from(1 << 20),
            self.accounts / listed,
        );
    }
}

/// Lets accounts with the longest watchlists in, and changes an owner of each.
fn long_watchlists<F: FarEnds>(crowds: Crowds<F>, random: &mut fastrand::Rng) -> Result<(), Wrong> {
    let (cast, mut crowd) = crowds.into_all();
    let shared: Vec<&String> = (0..cast.groups()).flat_map(|group| cast.names(group, Spread::All)).collect();
    let keys: Vec<_> = (0..LONG_LISTS).map(|_| ApiKey::generate().expect("the kernel's random numbers")).collect();
    // Each has one owner that nobody else watches, which is the one that will be exchanged.
    let (before, after): (Vec<_>, Vec<_>) = (0..LONG_LISTS).map(|_| (crowd::name(random), crowd::name(random))).unzip();
    let lists: Vec<_> =
        keys.iter().map(|_| random.choose_multiple(shared.iter().copied(), limits::WATCHLIST_OWNERS_MAX - 1)).collect();
    let account = |number: usize, version: u64, own: &String| {
        let names: Vec<String> = lists[number].iter().copied().chain([own]).cloned().collect();
        crowd::account(SOCKETS + number, &keys[number], version, crowd::watchlist(&names))
    };
    let mut accounts: Snapshot =
        cast.accounts(Spread::All).with_changes(2, (0..LONG_LISTS).map(|number| account(number, 2, &before[number])));
    crowd.follow(Arc::new(accounts.clone()));
    let mut joins: Vec<f64> = (0..LONG_LISTS).map(|_| crowd.join(Vec::new()).1 as f64).collect();
    let mut changes = Vec::new();
    for number in 0..LONG_LISTS {
        let version = 3 + number as u64;
        accounts = accounts.with_changes(version, [account(number, version, &after[number])]);
        crowd.publish(&before[number], &[SOCKETS + number])?;
        changes.push(crowd.follow(Arc::new(accounts.clone())) as f64);
        crowd.publish(&before[number], &[])?;
        crowd.publish(&after[number], &[SOCKETS + number])?;
        crowd.expect_nothing()?;
    }
    println!(
        "  to join: {:.0} µs; to follow a change (one owner less, one more): {:.0} µs",
        median(&mut joins) / 1e3,
        median(&mut changes) / 1e3
    );
    Ok(())
}

fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: i64 =
        statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second is resident pages");
    pages * rustix::param::page_size() as i64
}

/// As a shard's thread is: wandering between processors would cost more than the topics do.
fn pin_to_the_last_cpu() {
    let mut allowed = rustix::thread::sched_getaffinity(None).expect("a thread may ask for its own processors");
    let last = (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu)).expect("it runs somewhere");
    allowed.clear();
    allowed.set(last);
    rustix::thread::sched_setaffinity(None, &allowed).expect("one of the processors that it may use");
}
