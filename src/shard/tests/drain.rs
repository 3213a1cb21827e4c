//! The end of a server with sessions: each is told once, goes on until its moment, and is closed with 1012.

use super::*;
use crate::shard::DrainRules;

const RULES: DrainRules = DrainRules { drain_ms: 1_000, restart_ms: 500 };

fn reconnects(client: &FakeClient) -> Vec<(u64, u64)> {
    let all = messages(client).into_iter().filter(|message| message["type"] == "reconnect");
    all.map(|told| (told["after_ms"].as_u64().expect("a time"), told["since"].as_u64().expect("a number"))).collect()
}

fn close_of(client: &FakeClient) -> Option<u64> {
    messages(client).iter().find_map(|message| message["close"].as_u64())
}

#[test]
fn everybody_is_told_at_once_and_closed_evenly_and_gets_events_until_then() {
    let mut bench = Bench::new(1, 20);
    bench.pass_time(5_000);
    let clients: Vec<_> = (0..20).map(|_| bench.enter(1, ROOMY)).collect();
    bench.publish(vec![event(0, 10)]);
    bench.settle();
    bench.plane.begin_drain(RULES, 0, 1);
    bench.settle();
    for (place, client) in (0..).zip(&clients) {
        assert_eq!(
            reconnects(client),
            [(1_500 + 50 * place, 1)],
            "the time until it is closed, the drain's rest, the restart"
        );
    }
    // Every tick closes one, and the others get what is published meanwhile.
    for tick in 0..20 {
        let closed = clients.iter().filter(|client| close_of(client) == Some(1012)).count();
        assert_eq!(closed, tick + 1);
        assert_eq!(bench.plane.has_drained(), closed == 20);
        bench.publish(vec![event(0, 10)]);
        bench.settle();
        bench.pass_time(50);
    }
    for (place, client) in clients.iter().enumerate() {
        let seqs: Vec<_> = messages(client).iter().filter_map(|message| message["seq"].as_u64()).collect();
        assert_eq!(seqs, (1..=1 + place as u64).collect::<Vec<_>>(), "whole until its close, and nothing after it");
        assert_eq!(reconnects(client).len(), 1, "told once");
        client.finish();
    }
    bench.settle();
    assert!(bench.kernel().occupied() == 0 && bench.plane.occupied() == 0);
}

#[test]
fn without_a_drain_everybody_is_told_and_closed_in_one_step() {
    let mut bench = Bench::new(1, 3);
    let clients: Vec<_> = (0..3).map(|_| bench.enter(1, ROOMY)).collect();
    bench.publish(vec![event(0, 10), event(0, 10)]);
    bench.settle();
    bench.plane.begin_drain(DrainRules { drain_ms: 0, ..RULES }, 1, 2);
    assert!(!bench.plane.has_drained());
    bench.settle();
    assert!(bench.plane.has_drained());
    for client in &clients {
        let told = messages(client);
        assert_eq!(kinds(&told), ["trade", "trade", "reconnect", r#"{"close":1012}"#]);
        assert_eq!(reconnects(client), [(500, 2)]);
    }
}

#[test]
fn a_drain_of_nobody_is_over_after_a_turn() {
    let mut bench = Bench::new(1, 3);
    bench.enter(1, ROOMY).reset();
    bench.settle();
    bench.plane.begin_drain(RULES, 0, 1);
    bench.turn();
    assert!(bench.plane.has_drained());
}

#[test]
fn one_that_is_gone_or_replaced_is_passed_over() {
    let mut bench = Bench::new(1, 2);
    let (_first, second) = (bench.enter(1, ROOMY), bench.enter(1, ROOMY));
    bench.settle();
    bench.plane.begin_drain(RULES, 0, 1);
    bench.settle();
    second.reset();
    bench.pass_time(1_000);
    assert!(bench.plane.has_drained());
    assert_eq!(close_of(&second), None);
}

/// Its handshake had begun before the drain did.
#[test]
fn one_that_comes_while_the_others_are_told_is_told_and_goes_with_the_last() {
    let mut bench = Bench::new(1, 4);
    let early = [(); 2].map(|()| bench.enter(1, ROOMY));
    bench.publish(vec![event(0, 10)]);
    bench.settle();
    bench.plane.begin_drain(RULES, 0, 1);
    bench.settle();
    bench.pass_time(250);
    let late = bench.enter(1, ROOMY);
    bench.publish(vec![event(0, 10)]);
    bench.settle();
    assert_eq!(early.each_ref().map(reconnects), [[(1_500, 1)], [(2_000, 1)]]);
    assert_eq!(reconnects(&late), [(1_750, 1)], "with the last, counted from now");
    assert_eq!([&early[1], &late].map(close_of), [None, None]);
    bench.pass_time(250);
    assert_eq!([&early[1], &late].map(close_of), [Some(1012), Some(1012)]);
    assert!(bench.plane.has_drained());
}

#[test]
fn every_protocol_is_told_in_its_own_form() {
    let mut bench = Bench::new(1, 10);
    let tiered = bench.visitor(keyed(Protocol::Tiered, 1));
    let channels = bench.visitor(Admission::Channels);
    let rooms = bench.visitor(Admission::Rooms { claims: None });
    say(
        &channels,
        &serde_json::json!({ "type": "auth", "apiKey": api_key(1).expose(), "topics": ["price:m"] }).to_string(),
    );
    say(&rooms, &serde_json::json!({ "type": "auth", "token": token("u", None, 3_600) }).to_string());
    bench.settle();
    bench.publish(vec![on("alerts"), on("price:m"), on("system")]);
    bench.settle();
    bench.plane.begin_drain(DrainRules { drain_ms: 0, ..RULES }, 0, 1);
    bench.settle();
    for client in [&tiered, &channels, &rooms] {
        let told = messages(client);
        assert_eq!(told[told.len() - 2], serde_json::json!({ "type": "reconnect", "after_ms": 500, "since": 3 }));
    }
}

/// Where nothing has come yet of the number that a session has named, it is still the one to go on from.
#[test]
fn a_session_that_resumes_and_has_named_no_topic_is_told_its_own_number() {
    let mut bench = Bench::new(1, 10);
    bench.publish(vec![on("price:m"), on("price:m"), on("price:m")]);
    bench.settle();
    let silent = bench.resume(Admission::Channels, 1);
    let without_topics = bench.resume(Admission::Channels, 2);
    let live = bench.visitor(Admission::Channels);
    for client in [&without_topics, &live] {
        say(client, &serde_json::json!({ "type": "auth", "apiKey": api_key(1).expose() }).to_string());
    }
    bench.settle();
    bench.plane.begin_drain(RULES, 0, 1);
    bench.settle();
    let told = [&silent, &without_topics, &live].map(|client| reconnects(client)[0].1);
    assert_eq!(told, [1, 2, 3]);
}

/// A resume from the number that it is told brings exactly what it was not sent, wherever it was.
#[test]
fn a_slow_one_is_told_where_it_is_when_it_is_closed() {
    let mut bench = Bench::new(3, 4);
    let slow = bench.enter(1, 3_000);
    for _ in 0..40 {
        bench.publish(vec![event(0, 60_000)]);
        bench.settle();
    }
    assert_eq!(bench.plane.behind(), 1, "it has fallen off the log");
    say(&slow, "a message that is answered would be held behind events");
    bench.plane.begin_drain(RULES, 0, 1);
    bench.settle();
    bench.pass_time(1_000);
    for _ in 0..2_000 {
        slow.read(usize::MAX);
        bench.settle();
    }
    let told = messages(&slow);
    let last_seq = told.iter().filter_map(|message| message["seq"].as_u64()).next_back().unwrap_or(0);
    assert_eq!(reconnects(&slow).len(), 1, "{:?}", kinds(&told));
    assert_eq!(reconnects(&slow)[0].1, last_seq);
    assert_eq!(told.last().expect("a close")["close"], 1012);
}

#[test]
fn a_turn_of_a_drain_is_bounded() {
    let most = crate::limits::DRAIN_STEP_SESSIONS;
    let mut bench = Bench::new(1, 3 * most);
    let clients: Vec<_> = (0..3 * most).map(|_| bench.enter(1, ROOMY)).collect();
    bench.settle();
    bench.plane.begin_drain(DrainRules { drain_ms: 0, ..RULES }, 0, 1);
    let mut turns = 0;
    while !bench.plane.has_drained() {
        assert!(bench.turn(), "there is more to do");
        turns += 1;
    }
    assert!(turns >= 3, "{turns}");
    bench.settle();
    assert!(clients.iter().all(|client| close_of(client) == Some(1012)));
}
