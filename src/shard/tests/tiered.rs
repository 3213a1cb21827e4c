//! The tiered protocol: a greeting, alerts, and the client's ping.

use super::*;

#[test]
fn it_is_greeted_once_and_gets_alerts_and_nothing_else() {
    let mut bench = Bench::new(1, 4);
    bench.publish(vec![on("alerts")]);
    bench.settle();
    let client = bench.visitor(keyed(Protocol::Tiered, 1));
    bench.publish(vec![event(0, 10), on("alerts"), on("system"), on("alerts")]);
    bench.settle();
    let got = messages(&client);
    assert_eq!(kinds(&got), ["connected", "alert", "alert"]);
    assert_eq!((&got[0]["tier"], &got[0]["seq"]), (&"elite".into(), &1.into()), "its cursor is the head as it entered");
    assert_eq!((&got[1]["seq"], &got[2]["seq"]), (&3.into(), &5.into()));
    assert_eq!(got[1]["data"]["of"], "alerts");
}

#[test]
fn a_ping_is_answered_and_only_a_ping_keeps_it_alive() {
    let mut bench = Bench::new(1, 4);
    let (pings, talks) = (bench.visitor(keyed(Protocol::Tiered, 1)), bench.visitor(keyed(Protocol::Tiered, 2)));
    for _ in 0..4 {
        bench.pass_time(25_000);
        say(&pings, "ping");
        say(&talks, "hello");
        talks.send(&client_frame(Opcode::Pong, b""));
        bench.settle();
    }
    assert_eq!(kinds(&messages(&pings)), ["connected", "pong", "pong", "pong", "pong"]);
    let told = messages(&talks);
    assert_eq!(kinds(&told), ["connected", "error INVALID_MESSAGE", r#"{"close":4408}"#]);
}

#[test]
fn the_window_rolls_with_each_ping() {
    let mut bench = Bench::new(1, 4);
    let client = bench.visitor(keyed(Protocol::Tiered, 1));
    bench.pass_time(29_000);
    say(&client, "ping");
    bench.settle();
    bench.pass_time(29_900);
    assert_eq!(kinds(&messages(&client)), ["connected", "pong"]);
    bench.pass_time(200);
    assert_eq!(kinds(&messages(&client)), ["connected", "pong", r#"{"close":4408}"#]);
}

#[test]
fn a_tier_that_is_lowered_ends_it_and_one_that_still_suffices_does_not() {
    let mut bench = Bench::new(1, 4);
    let (first, second) = (bench.visitor(keyed(Protocol::Tiered, 1)), bench.visitor(keyed(Protocol::Tiered, 2)));
    bench.settle();
    bench.change(Account { tier: Tier::Pro, ..Account::clone(&account(1, 2)) });
    bench.change(Account { tier: Tier::Free, ..Account::clone(&account(2, 3)) });
    bench.publish(vec![on("alerts")]);
    bench.settle();
    assert_eq!(kinds(&messages(&first)), ["connected", "alert"]);
    assert_eq!(kinds(&messages(&second)), ["connected", r#"{"close":4403}"#]);
}
