//! The plane against the fake kernel: each behaviour by name, then seeded storms of all of them at once.

use std::sync::Arc;

use super::fake_kernel::{FakeClient, FakeKernel};
use super::plane::{EnterError, Plane};
use super::sessions::{Sessions, ShardSizes};
use super::stats::ShardStats;
use super::wheel::Tick;
use crate::accounts::{Account, AccountId, Grants, KeyHash, KeyId, KeyNumber, LiveKey, Owner, Role, Snapshot, Tier};
use crate::event::{Event, Topic};
use crate::hub::EncodedBatch;
use crate::limits;
use crate::protocol::Admission;
use crate::ws::client::append_client_frame;
use crate::ws::{CloseCode, Opcode, frame_len_at};

const ACCOUNTS: u64 = 3;
const ROOMY: usize = 64 << 20;

/// Account `number` watches the wallets whose number shares a factor with it: w0 goes to all.
fn account(number: u64, version: u64) -> Arc<Account> {
    let owners = (0..6).filter(|wallet| wallet % number == 0).map(|wallet| format!("w{wallet}").parse::<Owner>());
    Arc::new(Account {
        id: AccountId(number),
        name: format!("account-{number}").parse().unwrap(),
        tier: Tier::Elite,
        grants: Grants::none(),
        watchlist: owners.map(Result::unwrap).collect(),
        keys: [LiveKey {
            number: KeyNumber(number),
            id: KeyId(number),
            role: Role::Subscriber,
            hash: KeyHash([number as u8; 32]),
        }]
        .into(),
        version,
    })
}

fn watches(account: u64, wallet: u64) -> bool {
    wallet.is_multiple_of(account)
}

fn snapshot() -> Snapshot {
    Snapshot::empty().with_changes(1, (1..=ACCOUNTS).map(|number| account(number, 1)))
}

fn event(wallet: u64, pad: usize) -> Event {
    Event {
        kind: "trade.open".into(),
        topic: Topic::parse(&format!("wallet:w{wallet}")).unwrap(),
        data: format!(r#"{{"owner":"w{wallet}","pad":"{}"}}"#, "x".repeat(pad)).into_bytes().into(),
        channel: None,
        key: None,
        id: None,
    }
}

struct Bench {
    plane: Plane<FakeKernel>,
    stats: Arc<ShardStats>,
    tick: Tick,
    next_seq: u64,
    accounts: Snapshot,
}

impl Bench {
    fn new(seed: u64, slots: u32) -> Self {
        let stats = Arc::new(ShardStats::default());
        let accounts = snapshot();
        let sizes = ShardSizes { slots, log_bytes: 1 << 20 };
        let sessions = Sessions::new(sizes, Arc::new(accounts.clone()), stats.clone());
        Self { plane: Plane::new(FakeKernel::new(seed), sessions), stats, tick: 0, next_seq: 1, accounts }
    }

    fn kernel(&mut self) -> &mut FakeKernel {
        self.plane.sockets()
    }

    fn enter(&mut self, account: u64, buffer_bytes: usize) -> FakeClient {
        let client = FakeClient::new(buffer_bytes);
        self.plane.enter(client.clone(), admission(account), Vec::new()).expect("a free slot");
        client
    }

    /// Publishes one batch and returns the first number.
    fn publish(&mut self, events: Vec<Event>) -> u64 {
        let first = self.next_seq;
        self.next_seq += events.len() as u64;
        self.plane.inbox().extend([Arc::new(EncodedBatch::encode(events, first, 0))]);
        first
    }

    fn turn(&mut self) -> bool {
        self.plane.turn(self.tick, || 0)
    }

    /// Turns until nothing is left to do.
    fn settle(&mut self) {
        // Late completions come in a later turn.
        let enough = if self.kernel().answers_late { 20 } else { 2 };
        let mut quiet = 0;
        for _ in 0..100_000 {
            quiet = if self.turn() { 0 } else { quiet + 1 };
            if quiet == enough {
                return;
            }
        }
        panic!("the plane never comes to rest");
    }

    fn pass_time(&mut self, ms: u32) {
        for _ in 0..ms / limits::TICK_MS {
            self.tick += 1;
            self.turn();
        }
        self.settle();
    }
}

fn admission(account: u64) -> Admission {
    Admission::Watchlist { account: AccountId(account), key: KeyNumber(account) }
}

fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_client_frame(&mut frame, opcode, payload, [7, 1, 200, 42]);
    frame
}

/// What a client got: event numbers, pongs, pings and the close code, in order.
#[derive(Debug, PartialEq, Eq)]
enum Got {
    Event(u64),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
    Cut,
}

fn got(client: &FakeClient) -> Vec<Got> {
    client.read(usize::MAX);
    let bytes = client.bytes();
    let mut rest = bytes.as_slice();
    let mut all = Vec::new();
    while !rest.is_empty() {
        let Some(len) = frame_len_at(rest).filter(|&len| len <= rest.len()) else {
            all.push(Got::Cut);
            break;
        };
        let (frame, behind) = rest.split_at(len);
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let payload = &frame[header..];
        all.push(match frame[0] {
            0x81 => {
                let text = std::str::from_utf8(payload).unwrap();
                assert!(text.ends_with(r#""tradeType":"open"}}"#), "a whole message");
                let (seq, _) = text.strip_prefix(r#"{"type":"trade","seq":"#).unwrap().split_once(',').unwrap();
                Got::Event(seq.parse().unwrap())
            }
            0x88 => Got::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            0x89 => Got::Ping,
            0x8a => Got::Pong(payload.to_vec()),
            other => panic!("a frame that nobody sends: {other:#x}"),
        });
        rest = behind;
    }
    all
}

fn events(client: &FakeClient) -> Vec<u64> {
    let event = |got| match got {
        Got::Event(seq) => Some(seq),
        _ => None,
    };
    got(client).into_iter().filter_map(event).collect()
}

#[test]
fn an_event_goes_to_those_who_watch_its_wallet_and_to_nobody_else() {
    let mut bench = Bench::new(1, 10);
    let (one, two, three) = (bench.enter(1, ROOMY), bench.enter(2, ROOMY), bench.enter(3, ROOMY));
    bench.publish((0..6).map(|wallet| event(wallet, 10)).collect());
    bench.settle();
    assert_eq!(events(&one), [1, 2, 3, 4, 5, 6]);
    assert_eq!(events(&two), [1, 3, 5]);
    assert_eq!(events(&three), [1, 4]);
}

#[test]
fn one_batch_costs_a_healthy_socket_one_send() {
    let mut bench = Bench::new(1, 10);
    let client = bench.enter(1, ROOMY);
    bench.settle();
    bench.kernel().batches.clear();
    bench.publish((0..100).map(|_| event(0, 10)).collect());
    bench.settle();
    assert_eq!(events(&client).len(), 100);
    assert_eq!(bench.kernel().batches, [[0]], "all hundred went in one send");
}

#[test]
fn events_that_arrive_during_a_pass_ride_along() {
    let mut bench = Bench::new(1, 200);
    let clients: Vec<_> = (0..200).map(|_| bench.enter(1, ROOMY)).collect();
    bench.settle();
    bench.kernel().batches.clear();
    bench.publish(vec![event(0, 10)]);
    bench.turn();
    bench.publish(vec![event(0, 10)]);
    bench.settle();
    assert!(clients.iter().all(|client| events(client) == [1, 2]));
    let sends: usize = bench.kernel().batches.iter().map(Vec::len).sum();
    assert_eq!(sends, 200 + 64, "only those visited before the second event are sent twice");
}

#[test]
fn no_socket_is_always_first_or_last() {
    let mut bench = Bench::new(1, 200);
    let _clients: Vec<_> = (0..200).map(|_| bench.enter(1, ROOMY)).collect();
    bench.settle();
    let mut firsts = std::collections::HashSet::new();
    for _ in 0..50 {
        bench.kernel().batches.clear();
        bench.publish(vec![event(0, 10)]);
        bench.settle();
        firsts.insert(bench.kernel().batches[0][0]);
    }
    assert!(firsts.len() > 40, "50 passes began at {} different sockets", firsts.len());
}

#[test]
fn no_account_is_always_first_or_last() {
    let mut bench = Bench::new(1, 200);
    let accounts =
        (1..=200).map(|number| Arc::new(Account { id: AccountId(number), ..Account::clone(&account(1, 1)) }));
    // All of them have the key of the first; only its number is looked at.
    bench.accounts = Snapshot::empty().with_changes(1, accounts);
    bench.plane.follow_accounts(Arc::new(bench.accounts.clone()));
    for number in 1..=200 {
        let admission = Admission::Watchlist { account: AccountId(number), key: KeyNumber(1) };
        bench.plane.enter(FakeClient::new(ROOMY), admission, Vec::new()).unwrap();
    }
    bench.settle();
    let mut firsts = std::collections::HashSet::new();
    for _ in 0..50 {
        bench.kernel().batches.clear();
        bench.publish(vec![event(0, 10)]);
        bench.settle();
        firsts.insert(bench.kernel().batches[0][0]);
    }
    assert!(firsts.len() > 40, "50 passes began at {} different accounts", firsts.len());
}

#[test]
fn a_slot_that_changes_hands_in_mid_pass_is_not_visited_for_its_dead() {
    let mut bench = Bench::new(1, 40);
    let mut clients: Vec<_> = (0..40).map(|_| bench.enter(1, ROOMY)).collect();
    for round in 0..40 {
        // A slow pass: somebody leaves while his turn is still to come, and a newcomer takes over his slot.
        bench.kernel().batch_max = 1;
        bench.publish(vec![event(0, 10)]);
        bench.turn();
        let leaver = &mut clients[round * 7 % 40];
        leaver.reset();
        for _ in 0..6 {
            bench.turn();
        }
        *leaver = FakeClient::new(ROOMY);
        let _ = bench.plane.enter(leaver.clone(), admission(1), Vec::new());
        // Then one in which both turns would come in the same batch.
        bench.publish(vec![event(0, 10)]);
        bench.turn();
        bench.kernel().batch_max = 64;
        bench.settle();
    }
    for client in &clients {
        let events = events(client);
        let consecutive = events.windows(2).all(|pair| pair[1] == pair[0] + 1);
        assert!(consecutive, "an event came twice or was left out: {events:?}");
    }
}

#[test]
fn a_full_socket_that_only_owes_pongs_is_not_forgotten_when_the_log_wraps() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(2, 1);
    let healthy = bench.enter(1, ROOMY);
    slow.send(&client_frame(Opcode::Ping, b"fills the socket"));
    bench.settle();
    // Events for others pass a sweep, then one comes for it, then the log wraps.
    for (wallet, count) in [(1, 8), (2, 1), (1, 60)] {
        for _ in 0..count {
            bench.publish(vec![event(wallet, 50_000)]);
            bench.settle();
        }
    }
    assert_eq!(events(&healthy).len(), 69);
    slow.widen(ROOMY);
    for _ in 0..20 {
        slow.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(got(&slow).last(), Some(&Got::Close(Some(4409))));
}

#[test]
fn a_shutdown_sends_what_was_accepted_before_it_closes() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(1, 100);
    let healthy = bench.enter(1, ROOMY);
    for _ in 0..10 {
        bench.publish(vec![event(0, 200)]);
        bench.settle();
    }
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "restarting");
    for _ in 0..100 {
        slow.read(usize::MAX);
        bench.settle();
    }
    for client in [slow, healthy] {
        let mut expected: Vec<Got> = (1..=10).map(Got::Event).collect();
        expected.push(Got::Close(Some(1012)));
        assert_eq!(got(&client), expected);
    }
}

#[test]
fn a_peer_that_finished_its_own_direction_still_gets_the_reason() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, 20);
    bench.publish(vec![event(0, 100)]);
    bench.settle();
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "restarting");
    client.finish();
    for _ in 0..50 {
        client.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(got(&client), [Got::Event(1), Got::Close(Some(1012))]);
    assert!(client.closed(), "and nothing is waited for after that");
}

#[test]
fn one_that_lags_does_not_hold_back_what_others_are_given() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(2, 1000);
    let healthy = bench.enter(1, ROOMY);
    // It lags by more than half a log, and takes bytes again and again.
    for _ in 0..13 {
        bench.publish(vec![event(0, 50_000)]);
        bench.settle();
    }
    for number in 0..5 {
        slow.read(500);
        bench.publish(vec![event(1, 50_000)]);
        bench.turn();
        bench.turn();
        assert_eq!(events(&healthy).len(), 13 + number + 1);
    }
}

#[test]
fn a_full_socket_waits_and_then_gets_everything_in_order() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(1, 300);
    let healthy = bench.enter(1, ROOMY);
    for _ in 0..20 {
        bench.publish(vec![event(0, 100)]);
        bench.settle();
    }
    assert_eq!(events(&healthy).len(), 20);
    assert!(slow.unread() <= 300);
    for _ in 0..100 {
        slow.read(77);
        bench.settle();
    }
    assert_eq!(events(&slow), (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_socket_that_falls_off_the_log_is_closed_with_4409_at_a_frame_boundary() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(1, 1000);
    let healthy = bench.enter(1, ROOMY);
    for _ in 0..40 {
        bench.publish(vec![event(0, 50_000)]);
        bench.settle();
    }
    assert_eq!(events(&healthy).len(), 40, "the others are undisturbed");
    for _ in 0..60 {
        slow.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(got(&slow), [Got::Event(1), Got::Close(Some(4409))], "the half-sent frame is whole, then the close");
    assert_eq!(ShardStats::get(&bench.stats.slow_consumers_closed), 1);
}

#[test]
fn a_batch_larger_than_the_log_reaches_every_healthy_socket() {
    let mut bench = Bench::new(1, 300);
    let clients: Vec<_> = (0..300).map(|_| bench.enter(1, ROOMY)).collect();
    bench.publish((0..60).map(|_| event(0, 50_000)).collect());
    bench.settle();
    assert!(clients.iter().all(|client| events(client) == (1..=60).collect::<Vec<_>>()));
}

#[test]
fn thousands_of_scattered_events_reach_a_healthy_socket() {
    let mut bench = Bench::new(1, 10);
    let two = bench.enter(2, ROOMY);
    let _all = bench.enter(1, ROOMY);
    bench.publish((0..4000).map(|number| event(number % 2, 10)).collect());
    bench.settle();
    assert_eq!(events(&two), (1..=4000).step_by(2).collect::<Vec<_>>());
}

#[test]
fn a_full_socket_with_too_many_scattered_ranges_is_cut_off() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.enter(2, 100);
    let healthy = bench.enter(2, ROOMY);
    let _all = bench.enter(1, ROOMY);
    bench.publish((0..4000).map(|number| event(number % 2, 10)).collect());
    bench.settle();
    assert_eq!(events(&healthy).len(), 2000);
    for _ in 0..50 {
        slow.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(got(&slow).last(), Some(&Got::Close(Some(4409))));
}

#[test]
fn a_ping_is_answered_with_its_payload() {
    let mut bench = Bench::new(1, 10);
    let client = bench.enter(1, ROOMY);
    client.send(&client_frame(Opcode::Ping, b"are you there"));
    bench.settle();
    assert_eq!(got(&client), [Got::Pong(b"are you there".to_vec())]);
}

#[test]
fn a_flood_of_pings_to_a_full_socket_holds_one_pong() {
    let mut bench = Bench::new(1, 10);
    let client = bench.enter(1, 1);
    for number in 0..2000 {
        client.send(&client_frame(Opcode::Ping, format!("{number}").as_bytes()));
        bench.settle();
    }
    for _ in 0..100 {
        client.read(usize::MAX);
        bench.settle();
    }
    let pongs = got(&client);
    assert!(pongs.len() <= 3, "{pongs:?}");
    assert_eq!(pongs.last(), Some(&Got::Pong(b"1999".to_vec())));
}

#[test]
fn the_peers_close_is_echoed_and_the_slot_becomes_vacant() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, ROOMY);
    client.send(&client_frame(Opcode::Close, &1000_u16.to_be_bytes()));
    bench.settle();
    assert_eq!(got(&client), [Got::Close(Some(1000))]);
    assert!(client.saw_end());
    client.finish();
    bench.settle();
    assert!(client.closed());
    bench.enter(2, ROOMY);
}

#[test]
fn garbage_is_answered_by_1002_and_a_peer_that_stays_is_dropped_at_the_deadline() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, ROOMY);
    client.send(b"GET / HTTP/1.1\r\n\r\n");
    bench.settle();
    assert_eq!(got(&client), [Got::Close(Some(1002))]);
    assert!(client.saw_end() && !client.closed());
    bench.pass_time(limits::CLOSE_DRAIN_MS + 2 * limits::TICK_MS);
    assert!(client.closed());
}

#[test]
fn a_socket_that_is_closed_in_mid_send_gets_the_rest_of_its_frame_first() {
    let mut bench = Bench::new(1, 1);
    let client = bench.enter(1, 100);
    bench.publish(vec![event(0, 500)]);
    bench.settle();
    bench.plane.close_all(CloseCode::SERVICE_RESTART, "restarting");
    for _ in 0..50 {
        client.read(usize::MAX);
        bench.settle();
    }
    assert_eq!(got(&client), [Got::Event(1), Got::Close(Some(1012))]);
}

#[test]
fn two_unanswered_pings_are_the_end_and_any_input_is_life() {
    let mut bench = Bench::new(1, 2);
    let (silent, alive) = (bench.enter(1, ROOMY), bench.enter(1, ROOMY));
    for _ in 0..70 {
        bench.pass_time(1000);
        alive.send(&client_frame(Opcode::Pong, b""));
    }
    let heard = got(&silent);
    assert_eq!(heard, [Got::Ping, Got::Ping, Got::Close(Some(4408))]);
    let pings = got(&alive);
    assert!(pings.len() >= 3 && pings.iter().all(|got| *got == Got::Ping), "{pings:?}");
}

#[test]
fn pings_of_a_storm_are_spread_over_the_period() {
    let mut bench = Bench::new(1, 400);
    let clients: Vec<_> = (0..400).map(|_| bench.enter(1, ROOMY)).collect();
    let mut most = 0;
    let mut before = 0;
    for _ in 0..limits::PING_PERIOD_MS / limits::TICK_MS {
        bench.pass_time(limits::TICK_MS);
        let pings = clients.iter().filter(|client| client.unread() > 0).count();
        most = most.max(pings - before);
        before = pings;
    }
    assert_eq!(before, 400, "each was pinged once");
    assert!(most <= 8, "{most} pings in one tick");
}

#[test]
fn a_change_of_the_watchlist_reaches_a_live_socket() {
    let mut bench = Bench::new(1, 2);
    let client = bench.enter(2, ROOMY);
    bench.publish(vec![event(1, 10)]);
    bench.settle();
    let mut changed = Account::clone(&account(2, 2));
    changed.watchlist = ["w1".parse::<Owner>().unwrap()].into_iter().collect();
    bench.accounts = bench.accounts.with_changes(2, [Arc::new(changed)]);
    bench.plane.follow_accounts(Arc::new(bench.accounts.clone()));
    bench.publish(vec![event(1, 10), event(2, 10)]);
    bench.settle();
    assert_eq!(events(&client), [2], "the added wallet arrives, the removed one does not");
}

#[test]
fn a_revoked_key_and_a_lowered_tier_end_their_sessions() {
    let mut bench = Bench::new(1, 3);
    let (revoked, lowered, other) = (bench.enter(1, ROOMY), bench.enter(2, ROOMY), bench.enter(3, ROOMY));
    let without_key = Account { keys: [].into(), ..Account::clone(&account(1, 2)) };
    let free = Account { tier: Tier::Free, ..Account::clone(&account(2, 2)) };
    let accounts = bench.accounts.with_changes(2, [Arc::new(without_key), Arc::new(free)]);
    bench.plane.follow_accounts(Arc::new(accounts));
    bench.publish(vec![event(0, 10)]);
    bench.settle();
    assert_eq!(got(&revoked), [Got::Close(Some(4401))]);
    assert_eq!(got(&lowered), [Got::Close(Some(4403))]);
    assert_eq!(events(&other), [1]);
}

#[test]
fn a_key_that_was_revoked_between_handshake_and_slot_opens_nothing() {
    let mut bench = Bench::new(1, 1);
    let without_key = Account { keys: [].into(), ..Account::clone(&account(1, 2)) };
    let accounts = bench.accounts.with_changes(2, [Arc::new(without_key)]);
    bench.plane.follow_accounts(Arc::new(accounts));
    let client = bench.enter(1, ROOMY);
    bench.settle();
    assert_eq!(got(&client), [Got::Close(Some(4401))]);
}

#[test]
fn a_receive_that_found_no_buffer_is_armed_again() {
    let mut bench = Bench::new(1, 50);
    let clients: Vec<_> = (0..50).map(|_| bench.enter(1, ROOMY)).collect();
    for round in 0..5_u8 {
        // Ten times as many at once as the fake kernel has buffers.
        clients.iter().for_each(|client| client.send(&client_frame(Opcode::Ping, &[round])));
        bench.settle();
    }
    let all: Vec<_> = (0..5).map(|round| Got::Pong(vec![round])).collect();
    assert!(clients.iter().all(|client| got(client) == all));
}

#[test]
fn a_full_table_says_so_and_a_freed_slot_is_used_again() {
    let mut bench = Bench::new(1, 1);
    let first = bench.enter(1, ROOMY);
    let refused = bench.plane.enter(FakeClient::new(ROOMY), admission(1), Vec::new());
    assert!(matches!(refused, Err(EnterError::Full)));
    first.reset();
    bench.settle();
    let second = bench.enter(1, ROOMY);
    bench.publish(vec![event(0, 10)]);
    bench.settle();
    assert_eq!(events(&second), [1]);
    assert!(events(&first).is_empty());
}

#[test]
fn what_came_with_the_handshake_is_the_sessions_first_input() {
    let mut bench = Bench::new(1, 1);
    let client = FakeClient::new(ROOMY);
    bench.plane.enter(client.clone(), admission(1), client_frame(Opcode::Ping, b"early")).unwrap();
    bench.settle();
    assert_eq!(got(&client), [Got::Pong(b"early".to_vec())]);
}

/// One client of a storm, and what it must get.
struct Expected {
    client: FakeClient,
    account: u64,
    /// Numbers of the matching events since it entered.
    events: Vec<u64>,
    reads: bool,
    gone: bool,
}

/// Everything at once, in an order that the seed decides; a shadow model says what each client must have got.
fn storm(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bench = Bench::new(seed, 12);
    bench.kernel().writes_short = random.bool();
    bench.kernel().answers_late = random.bool();
    bench.kernel().batch_max = *random.choice(&[1, 3, 64]).unwrap();
    let mut clients: Vec<Expected> = Vec::new();
    for _ in 0..300 {
        match random.u32(..100) {
            0..15 => {
                let account = 1 + random.u64(..ACCOUNTS);
                let client = FakeClient::new(*random.choice(&[50, 1_000, 100_000, ROOMY]).unwrap());
                if bench.plane.enter(client.clone(), admission(account), Vec::new()).is_ok() {
                    let reads = random.u8(..) > 60;
                    clients.push(Expected { client, account, events: Vec::new(), reads, gone: false });
                }
            }
            15..45 => {
                let count = *random.choice(&[1, 1, 3, 30]).unwrap();
                let wallets: Vec<u64> = (0..count).map(|_| random.u64(..6)).collect();
                let pad = *random.choice(&[0, 20, 200, 2_000, 30_000]).unwrap();
                let first = bench.publish(wallets.iter().map(|&wallet| event(wallet, pad)).collect());
                // An event counts for those who are in when the shard takes it in.
                bench.settle();
                for (wallet, seq) in wallets.into_iter().zip(first..) {
                    for expected in clients.iter_mut().filter(|expected| watches(expected.account, wallet)) {
                        expected.events.push(seq);
                    }
                }
            }
            45..75 => {
                for expected in clients.iter().filter(|expected| expected.reads) {
                    expected.client.read(random.usize(..200_000));
                }
            }
            75..80 if !clients.is_empty() => {
                let expected = random.choice(&mut clients).unwrap();
                expected.gone = true;
                match random.u8(..3) {
                    0 => expected.client.reset(),
                    1 => expected.client.finish(),
                    _ => expected.client.send(b"\xff garbage, which nobody may send"),
                }
            }
            80..90 if !clients.is_empty() => {
                let expected = random.choice(&clients).unwrap();
                expected.client.send(&client_frame(Opcode::Ping, &random.u64(..).to_be_bytes()));
            }
            90..95 => bench.tick += random.u32(..20),
            _ => {
                bench.turn();
            }
        }
    }
    // In the end everybody reads, over a good link.
    clients.iter().for_each(|expected| expected.client.widen(ROOMY));
    let mut calm = 0;
    while calm < 3 {
        bench.settle();
        calm = if clients.iter().all(|expected| expected.client.unread() == 0) { calm + 1 } else { 0 };
        clients.iter().for_each(|expected| expected.client.read(usize::MAX));
    }
    for (number, expected) in clients.iter().enumerate() {
        check(seed, number, expected);
    }
    for expected in &clients {
        expected.client.reset();
    }
    bench.settle();
    assert_eq!(bench.kernel().occupied(), 0, "seed {seed}: every slot is vacant in the end");
    assert_eq!(bench.plane.occupied(), 0, "seed {seed}");
}

fn check(seed: u64, number: usize, expected: &Expected) {
    let got = got(&expected.client);
    let events: Vec<u64> = events(&expected.client);
    let closed = got.iter().any(|got| matches!(got, Got::Close(_)));
    assert!(
        expected.events.starts_with(&events),
        "seed {seed}: client {number} got {events:?} of {:?}",
        expected.events
    );
    if !expected.gone && !closed {
        assert_eq!(events, expected.events, "seed {seed}: client {number} is whole");
    }
    if !expected.gone {
        assert!(!got.contains(&Got::Cut), "seed {seed}: client {number} has half a frame");
        let slow = Got::Close(Some(4409));
        assert!(got.iter().all(|got| !matches!(got, Got::Close(_)) || *got == slow), "seed {seed}: {got:?}");
    }
}

#[test]
fn storms_of_everything_lose_duplicate_and_reorder_nothing() {
    let first = std::env::var("STENTOR_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = first.map_or(0..120, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| storm(seed));
        if let Err(panic) = outcome {
            eprintln!("the storm of STENTOR_SEED={seed} failed");
            std::panic::resume_unwind(panic);
        }
    }
}
