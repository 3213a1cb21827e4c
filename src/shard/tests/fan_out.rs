//! Who gets what, in how many sends, in which order.

use super::*;

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
    let firsts = first_sockets_of_passes(&mut bench);
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
        let (account, key) = (AccountId(number), KeyNumber(1));
        let admission = Admission::Keyed { protocol: Protocol::Watchlist, account, key };
        bench.admit(&FakeClient::new(ROOMY), admission, Vec::new()).unwrap();
    }
    bench.settle();
    let firsts = first_sockets_of_passes(&mut bench);
    assert!(firsts.len() > 40, "50 passes began at {} different accounts", firsts.len());
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

/// The sockets that 50 passes began with.
fn first_sockets_of_passes(bench: &mut Bench) -> std::collections::HashSet<u32> {
    let first_of_a_pass = |_| {
        bench.kernel().batches.clear();
        bench.publish(vec![event(0, 10)]);
        bench.settle();
        bench.kernel().batches[0][0]
    };
    (0..50).map(first_of_a_pass).collect()
}

#[test]
fn a_pass_and_a_batch_are_over_when_the_last_socket_has_been_sent_it() {
    let mut bench = Bench::new(1, 20);
    bench.kernel().batch_max = 4;
    let clients: Vec<_> = (0..10).map(|_| bench.enter(1, ROOMY)).collect();
    bench.settle();
    bench.pace = 1_000_000;
    bench.publish(vec![event(0, 20)]);
    let before = bench.stats.pass.read();
    for over in [0, 0, 1] {
        bench.turn();
        assert_eq!((passes_since(&bench, &before), bench.stats.fanout.read().count()), (over, over));
    }
    bench.settle();
    assert!(clients.iter().all(|client| events(client) == [1]));
    // Batches of four, four and two sockets: a look at the time at the beginning, and one behind each.
    assert_eq!(bench.stats.pass.read().since(&before).sum_ns(), 3_000_000);
}

fn passes_since(bench: &Bench, before: &crate::metrics::HistogramReading) -> u64 {
    bench.stats.pass.read().since(before).count()
}

#[test]
fn a_batch_that_nobody_here_is_to_have_says_nothing_of_how_long_it_takes() {
    let mut bench = Bench::new(1, 10);
    let _client = bench.enter(1, ROOMY);
    bench.publish(vec![event(99, 20)]);
    bench.settle();
    assert_eq!((bench.stats.events.get(), bench.stats.fanout.read().count()), (1, 0));
    bench.publish(vec![event(99, 20), event(0, 20)]);
    bench.settle();
    assert_eq!(bench.stats.fanout.read().count(), 1);
}
