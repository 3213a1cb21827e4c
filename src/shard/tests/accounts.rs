//! Changes of accounts while their sessions are connected.

use super::*;

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
