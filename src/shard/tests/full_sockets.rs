//! Sockets that stop reading: what they cost, what they get, and when they are cut off.

use super::*;
use crate::protocol::SlowPolicy;

impl Bench {
    /// A client whose endpoint disconnects the slow.
    fn unforgiving(&mut self, account: u64, buffer_bytes: usize) -> FakeClient {
        self.enter_with(SlowPolicy::Disconnect, account, buffer_bytes)
    }

    fn enter_with(&mut self, policy: SlowPolicy, account: u64, buffer_bytes: usize) -> FakeClient {
        let client = FakeClient::new(buffer_bytes);
        let terms = Terms { since: None, policy };
        let entry = Entry::uncounted(&self.gate);
        self.plane.enter(client.link(), admission(account), terms, entry, Vec::new()).expect("a free slot");
        client
    }
}

#[test]
fn a_full_socket_that_only_owes_pongs_is_not_forgotten_when_the_log_wraps() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.unforgiving(2, 1);
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
        // The very turn in which the laggard takes bytes again must also give the others their event.
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
fn one_that_falls_off_the_log_is_closed_with_4409_at_a_frame_boundary_where_that_is_its_policy() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.unforgiving(1, 1000);
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
    assert_eq!(bench.stats.slow_consumers_closed(), 1);
}

#[test]
fn slow_sessions_are_counted_by_what_became_of_them() {
    let mut bench = Bench::new(1, 10);
    let policies = [SlowPolicy::CatchUp, SlowPolicy::Latest, SlowPolicy::Latest, SlowPolicy::Disconnect];
    let _slow = policies.map(|policy| bench.enter_with(policy, 1, 1_000));
    for _ in 0..40 {
        bench.publish(vec![event(0, 50_000)]);
        bench.settle();
    }
    let counted: Vec<_> = bench.stats.slow_consumers.iter().map(|(end, count)| (end, count.get())).collect();
    assert_eq!(counted, [("catch_up", 1), ("latest", 2), ("disconnect", 1)]);
    assert_eq!((bench.stats.fell_behind(), bench.stats.slow_consumers_closed()), (3, 1));
}

#[test]
fn one_with_too_many_scattered_ranges_is_closed_where_that_is_its_policy() {
    let mut bench = Bench::new(1, 10);
    let slow = bench.unforgiving(2, 100);
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
fn a_flood_of_pings_to_a_full_socket_holds_a_few_pongs() {
    let rules = SessionRules { messages_per_second: 0, ..SessionRules::default() };
    let mut bench = Bench::with_rules(1, 10, rules);
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
    // One is half-sent.
    assert_eq!(pongs.len(), 1 + limits::PONGS_WAITING_MAX, "{pongs:?}");
    assert_eq!(pongs.last(), Some(&Got::Pong(b"1999".to_vec())));
}
