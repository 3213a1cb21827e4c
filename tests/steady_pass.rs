//! A pass over real sockets allocates nothing: neither per delivery nor per event, once everything has its size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stentor::accounts::{Account, AccountId, Grants, KeyHash, KeyId, KeyNumber, LiveKey, Owner, Role, Snapshot, Tier};
use stentor::event::{Event, Topic};
use stentor::gate::{Entry, Gate, Policy};
use stentor::hub::{EncodedBatch, Origin};
use stentor::protocol::{Admission, Protocol, SessionRules, Terms};
use stentor::ring::{RingOptions, SocketRing};
use stentor::shard::{Plane, SessionParts, Sessions, ShardSizes, ShardStats};
use stentor::tokens::{KeySource, TokenSettings, Verifier};

/// Counts allocations while it is told to.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SOCKETS: usize = 200;
const EVENTS: usize = 30;

/// Two accounts: one watches both wallets, the other only the second, so its sockets get scattered ranges.
fn account(number: u64, wallets: &[&str]) -> Arc<Account> {
    let key = LiveKey {
        number: KeyNumber(number),
        id: KeyId(number),
        role: Role::Subscriber,
        hash: KeyHash([number as u8; 32]),
    };
    Arc::new(Account {
        id: AccountId(number),
        name: format!("account-{number}").parse().unwrap(),
        tier: Tier::Elite,
        grants: Grants::none(),
        watchlist: wallets.iter().map(|wallet| wallet.parse::<Owner>().unwrap()).collect(),
        keys: [key].into(),
        version: 1,
    })
}

fn batch(first_seq: u64) -> Arc<EncodedBatch> {
    let event = |wallet: usize| Event {
        kind: "trade.open".into(),
        topic: Topic::parse(&format!("wallet:w{wallet}")).unwrap(),
        data: br#"{"sizeUsd":15000.5}"#[..].into(),
        channel: None,
        key: None,
        id: None,
    };
    Arc::new(EncodedBatch::encode(
        (0..EVENTS).map(|number| event(number % 2)).collect(),
        first_seq,
        0,
        Origin::default(),
    ))
}

#[test]
fn a_steady_pass_allocates_nothing() {
    let accounts = Arc::new(Snapshot::empty().with_changes(1, [account(1, &["w0", "w1"]), account(2, &["w1"])]));
    let ring = SocketRing::new(RingOptions {
        slots: 1024,
        submission_entries: 256,
        completion_entries: 1024,
        receive_buffers: 16,
        receive_buffer_bytes: 1024,
    })
    .expect("the tests need a kernel with io_uring");
    let stats = Arc::new(ShardStats::default());
    let sizes = ShardSizes { slots: 1024, log_bytes: 1 << 20 };
    let gate = Arc::new(Gate::new(Policy::default()));
    let settings =
        TokenSettings { source: KeySource::Secret("no token comes in this test, ever".into()), ..Default::default() };
    let tokens = Arc::new(Verifier::open(&settings, Path::new("/nonexistent")).expect("a secret is at hand"));
    let rules = SessionRules::default();
    let parts = SessionParts { accounts, tokens, gate: gate.clone(), rules, stats: stats.clone(), seq: 0 };
    let mut plane = Plane::new(ring, Sessions::new(sizes, parts));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut clients = Vec::new();
    for number in 0..SOCKETS {
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (server, _) = listener.accept().unwrap();
        let account = 1 + number as u64 % 2;
        let (account, key) = (AccountId(account), KeyNumber(account));
        let admission = Admission::Keyed { protocol: Protocol::Watchlist, account, key };
        plane.enter(OwnedFd::from(server), admission, Terms::default(), Entry::uncounted(&gate), Vec::new()).unwrap();
        clients.push(client);
    }
    let batches: Vec<_> = (0..40).map(|number| batch(1 + (number * EVENTS) as u64)).collect();
    let mut scratch = vec![0; 1 << 16];
    let mut received = 0;
    for (number, batch) in batches.into_iter().enumerate() {
        // The first passes find their sizes: queues, pools and scratch space grow to what a pass needs.
        let steady = number >= 10;
        COUNTS.store(steady, Ordering::Relaxed);
        plane.inbox().extend([batch]);
        plane.collect();
        while plane.turn(0, || 1_000_000) {
            plane.collect();
        }
        COUNTS.store(false, Ordering::Relaxed);
        for client in &mut clients {
            while let Ok(read) = client.read(&mut scratch) {
                received += read;
            }
        }
    }
    let deliveries = ShardStats::get(&stats.deliveries);
    assert_eq!(deliveries, (40 * (SOCKETS / 2) * (EVENTS + EVENTS / 2)) as u64);
    assert_eq!(received as u64, ShardStats::get(&stats.sent_bytes), "the passes were real");
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), 0, "allocations in 30 passes of {deliveries} deliveries in all");
}
