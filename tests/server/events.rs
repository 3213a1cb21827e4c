//! `GET /api/events`: what a client that polls is answered, and who may ask for what.

use std::io::Write;
use std::net::TcpStream;

use serde_json::{Value, json};
use stentor::limits::{BODY_BYTES_MAX, DESK_BODIES_BYTES_MAX, EVENTS_ANSWER_BYTES_MAX, REPLAY_CHUNK_BYTES};

use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::trade::{numbered, trade};
use crate::wait::{SOON, until};

fn event(kind: &str, topic: &str, number: usize) -> Value {
    json!({ "type": kind, "topic": topic, "data": { "number": number } })
}

fn ask(server: &Server, query: &str) -> Reply {
    Request::get(&format!("/api/events?{query}")).header("X-API-Key", &server.subscriber).send(server.address)
}

/// The numbers of an answer's events, and the cursor.
fn numbers(reply: &Reply) -> (Vec<u64>, u64) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!(answer["success"], true);
    let events = answer["events"].as_array().expect("a list");
    (
        events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect(),
        answer["next_since"].as_u64().unwrap(),
    )
}

#[test]
fn a_poll_is_answered_the_very_messages_of_its_topics_in_their_order() {
    let server = Server::start();
    assert_eq!(
        ask(&server, "topic=alerts&since=0").text(),
        r#"200 {"success":true,"events":[],"gaps":[],"next_since":0,"last_seq":0}"#
    );
    let alert = r#"{"type":"alert","data":{"b":1.0,"a":"\u00e9"}}"#;
    assert_eq!(server.post_events("application/json", alert).status, 200);
    server.publish(&[
        event("price_update", "price:m", 2),
        numbered(OWNER, 3),
        numbered("someone", 4),
        event("price_update", "price:n", 5),
        event("tick", "market:X", 6),
    ]);
    let reply = ask(&server, "topic=alerts&topic=price:m&since=0");
    let events =
        [r#"{"type":"alert","seq":1,"data":{"b":1,"a":"é"}}"#, r#"{"type":"price_update","seq":2,"number":2}"#];
    let expected =
        format!(r#"200 {{"success":true,"events":[{}],"gaps":[],"next_since":6,"last_seq":6}}"#, events.join(","));
    assert_eq!(reply.text(), expected);
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(numbers(&ask(&server, "topic=wallet:*&since=0")), (vec![3], 6));
    assert_eq!(numbers(&ask(&server, "topic=wallet:someone&since=0")), (vec![4], 6));
    assert_eq!(numbers(&ask(&server, &format!("topic=wallet:{OWNER}&topic=price:n&since=2"))), (vec![3, 5], 6));
    assert_eq!(numbers(&ask(&server, "topic=alerts&since=1")), (vec![], 6), "the cursor moves on all the same");
    assert_eq!(numbers(&ask(&server, "topic=alerts")), (vec![], 6), "without since it is what to begin with");
}

#[test]
fn pages_hold_what_was_asked_for_and_follow_one_another() {
    let server = Server::start();
    let events: Vec<Value> = (1..=250)
        .map(|number| event("price_update", if number % 2 == 0 { "price:m" } else { "price:n" }, number))
        .collect();
    for part in events.chunks(40) {
        server.publish(part);
    }
    let (mut since, mut seen, mut pages) = (0, Vec::new(), 0);
    while since < 250 {
        let (page, next) = numbers(&ask(&server, &format!("topic=price:m&limit=30&since={since}")));
        assert!(page.len() <= 30 && next > since);
        seen.extend(page);
        (since, pages) = (next, pages + 1);
    }
    assert_eq!(seen, (1..=125).map(|half| half * 2).collect::<Vec<u64>>());
    assert_eq!(pages, 5);
    assert_eq!(numbers(&ask(&server, "topic=price:m&topic=price:n&since=0")).0.len(), 100, "where it does not say");
}

#[test]
fn a_user_is_answered_its_own_rooms_and_the_markets_that_it_names() {
    let server = Server::start();
    server.publish(&[
        event("note", "user:u1", 1),
        event("note", "user:u2", 2),
        event("note", "system", 3),
        event("note", "admin:1", 4),
        event("note", "admin:2", 5),
        event("market_data_update", "market:X", 6),
        json!({ "type": "alert", "data": {} }),
    ]);
    let ask = |token: &str, query: &str| {
        let in_header = Request::get(&format!("/api/events?since=0{query}"));
        let reply = in_header.header("Authorization", &format!("Bearer {token}")).send(server.address);
        let in_query = Request::get(&format!("/api/events?since=0{query}&token={token}")).send(server.address);
        assert_eq!(reply.text(), in_query.text());
        reply
    };
    let (user, admin) = (server.token("u1", &[]), server.token("u1", &["--admin-level", "1"]));
    assert_eq!(numbers(&ask(&user, "")), (vec![1, 3], 7));
    assert_eq!(numbers(&ask(&user, "&topic=market:X&topic=user:u1")), (vec![1, 3, 6], 7));
    assert_eq!(numbers(&ask(&admin, "")), (vec![1, 3, 4], 7));
    for topic in ["user:u2", "admin:2", "alerts", "wallet:*", "price:m"] {
        let reply = ask(&admin, &format!("&topic={topic}"));
        let error = reply.error();
        assert_eq!((reply.status, error["code"].as_str()), (403, Some("FORBIDDEN")), "{topic}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(topic)), "{error}");
    }
}

#[test]
fn what_an_account_may_not_have_is_refused_by_name() {
    let server = Server::start();
    let (free, pro) = (server.member("free", "free", &[]), server.member("pro", "pro", &["bot:mine"]));
    for (key, topic, status) in [
        (&free, "price:m", 200),
        (&free, "alerts", 403),
        (&free, "wallet:*", 403),
        (&pro, "alerts", 200),
        (&pro, "bot:mine", 200),
        (&pro, "bot:other", 403),
        (&pro, "wallet:w", 403),
        (&pro, "market:X", 403),
        (&pro, "system", 403),
        (&pro, "nonsense", 400),
        (&pro, "bot:", 400),
    ] {
        let reply = Request::get(&format!("/api/events?topic=price:x&topic={topic}&apiKey={key}")).send(server.address);
        assert_eq!(reply.status, status, "{topic}: {}", reply.text());
        if status != 200 {
            let error = reply.error();
            let code = if status == 403 { "FORBIDDEN" } else { "INVALID_REQUEST" };
            assert_eq!(error["code"], code);
            assert!(error["message"].as_str().is_some_and(|message| message.contains(topic)), "{error}");
        }
    }
}

#[test]
fn a_poll_that_makes_no_sense_is_told_why() {
    let server = Server::start();
    server.publish(&[trade("trade.open", OWNER)]);
    for (query, code, words) in [
        ("since=0", "INVALID_REQUEST", "topic"),
        ("topic=alerts&since=two", "INVALID_REQUEST", "since"),
        ("topic=alerts&since=2", "SINCE_IN_FUTURE", "since=2"),
        ("topic=alerts&limit=0", "INVALID_REQUEST", "1 to 1000"),
        ("topic=alerts&limit=1001", "INVALID_REQUEST", "1 to 1000"),
        ("topic=wallet:*&topic=wallet:w", "INVALID_REQUEST", "wallet:*"),
    ] {
        let reply = ask(&server, query);
        let error = reply.error();
        assert_eq!((reply.status, error["code"].as_str()), (400, Some(code)), "{query}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(words)), "{error}");
    }
    let many: String = (0..1_001).map(|number| format!("&topic=price:{number}")).collect();
    assert_eq!(ask(&server, &many).status, 400);
    for (request, status) in [
        (Request::get("/api/events?topic=alerts"), 401),
        (Request::get("/api/events?topic=alerts&api_key=stn_nobody"), 401),
        (Request::get("/api/events?token=a.b.c"), 401),
        (Request::get("/api/events?topic=alerts").header("X-API-Key", &server.publisher), 403),
    ] {
        let reply = request.send(server.address);
        assert_eq!(reply.status, status, "{request:?}: {}", reply.text());
        reply.error();
        assert_eq!(reply.header("www-authenticate"), (status == 401).then_some("Bearer"));
    }
}

#[test]
fn what_polls_may_hold_counts_with_the_bodies_of_all_requests() {
    let server = Server::start_with(&["--shards", "1"], |_| {});
    server.publish(&[json!({ "type": "alert", "data": {} })]);
    let announce = |bytes: usize| {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        let key = &server.publisher;
        let head = format!(
            "POST /api/events HTTP/1.1\r\nHost: stentor\r\nX-API-Key: {key}\r\nContent-Length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("a head");
        stream
    };
    // Together they announce as much as leaves a poll a byte too little.
    let mut rest = DESK_BODIES_BYTES_MAX - (REPLAY_CHUNK_BYTES + EVENTS_ANSWER_BYTES_MAX) + 1;
    let mut held = Vec::new();
    while rest > 0 {
        held.push(announce(rest.min(BODY_BYTES_MAX)));
        rest -= rest.min(BODY_BYTES_MAX);
    }
    let refused = until("a refusal", SOON, || Some(ask(&server, "topic=alerts&since=0")).filter(|it| it.status != 200));
    assert_eq!((refused.status, &refused.error()["code"]), (503, &json!("OVERLOADED")), "{}", refused.text());
    assert_eq!(refused.header("retry-after"), Some("1"));
    drop(held);
    let served = until("room", SOON, || Some(ask(&server, "topic=alerts&since=0")).filter(|it| it.status == 200));
    assert_eq!(numbers(&served), (vec![1], 1));
}
