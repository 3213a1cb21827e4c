//! `POST /api/events`: what is accepted, what is refused by which name, and that a refusal disturbs nobody.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stentor::ws::CloseCode;

use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::{numbered, trade};
use crate::wait::{SOON, until};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// A connected session that must notice nothing of what others do wrong.
struct Bystander<'a> {
    server: &'a Server,
    socket: Socket,
    last_seq: u64,
}

impl<'a> Bystander<'a> {
    fn new(server: &'a Server) -> Self {
        let mut bystander = Self { server, socket: server.connect(), last_seq: 0 };
        bystander.last_seq = server.last_seq();
        bystander.undisturbed();
        bystander
    }

    /// Nothing was numbered and nothing has come since the last time, and the next event comes as ever.
    fn undisturbed(&mut self) {
        assert_eq!(self.server.last_seq(), self.last_seq, "a refused event was numbered");
        let (seq, _) = self.server.publish(&[trade("trade.open", OWNER)]);
        assert_eq!(seq, self.last_seq + 1);
        assert_eq!(self.socket.trade()["seq"], seq, "something came in between");
        self.last_seq = seq;
    }
}

fn assert_refused(what: &str, reply: &Reply, status: u16, code: &str) -> Value {
    let error = reply.error();
    assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{what}: {error}");
    error
}

#[test]
fn an_object_an_array_and_ndjson_are_accepted_and_numbered() {
    let server = Server::start();
    let mut socket = server.connect();
    let [a, b, c] = [1, 2, 3].map(|number| numbered(OWNER, number));
    let mut expected = server.last_seq();
    for (content_type, body, count) in [
        (JSON, a.to_string(), 1),
        (JSON, json!([a, b, c]).to_string(), 3),
        (JSON, serde_json::to_string_pretty(&json!([a, b])).expect("JSON"), 2),
        (NDJSON, format!("{a}\r\n\n{b}\n{c}"), 3),
        ("application/x-www-form-urlencoded", a.to_string(), 1),
    ] {
        let reply = server.post_events(content_type, &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let numbers = json!({ "accepted": count, "first_seq": expected + 1, "last_seq": expected + count });
        assert_eq!(reply.json(), numbers, "{content_type}: {body}");
        for number in 1..=count {
            let trade = socket.trade();
            assert_eq!((&trade["seq"], &trade["data"]["number"]), (&json!(expected + number), &json!(number)));
        }
        expected += count;
        assert_eq!(server.last_seq(), expected);
    }
}

/// A trade with a publisher's id.
fn with_id(id: &str, number: usize) -> Value {
    let mut event = numbered(OWNER, number);
    event["id"] = id.into();
    event
}

#[test]
fn an_id_that_is_published_again_is_answered_with_its_first_number_and_delivered_once() {
    let server = Server::start();
    let mut socket = server.connect();
    let post = |events: &[Value]| {
        let body: String = events.iter().map(|event| format!("{event}\n")).collect();
        let reply = server.post_events(NDJSON, &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    };
    let answer = |accepted: u64, first_seq: u64, last_seq: u64, duplicates: u64| json!({ "accepted": accepted, "first_seq": first_seq, "last_seq": last_seq, "duplicates": duplicates });
    let first = post(&[with_id("a", 1), numbered(OWNER, 2)]);
    assert_eq!(first, json!({ "accepted": 2, "first_seq": 1, "last_seq": 2 }));
    // What it says the second time doesn't matter.
    assert_eq!(post(&[with_id("a", 99)]), answer(1, 1, 1, 1));
    assert_eq!(post(&[with_id("b", 3), with_id("a", 99), with_id("b", 99), with_id("c", 4)]), answer(4, 1, 4, 2));
    assert_eq!(post(&[with_id("c", 99), with_id("b", 99)]), answer(2, 3, 4, 2));
    assert_eq!(server.last_seq(), 4);
    post(&[numbered(OWNER, 5)]);
    for (number, id) in [(1, Some("a")), (2, None), (3, Some("b")), (4, Some("c")), (5, None)] {
        let trade = socket.trade();
        assert_eq!((&trade["seq"], &trade["data"]["number"]), (&json!(number), &json!(number)));
        assert_eq!(trade.get("event_id").and_then(Value::as_str), id, "{trade}");
    }
}

#[test]
fn ids_of_different_accounts_have_nothing_to_do_with_each_other() {
    let server = Server::start();
    server.data_dir.account("rival", "free");
    let (rival, second) = (server.data_dir.key("rival", "publisher"), server.data_dir.key("feed", "publisher"));
    let post = |key: &str| {
        let request = Request::post("/api/events").header("X-API-Key", key).header("Content-Type", JSON);
        request.body(with_id("a", 1).to_string()).send(server.address)
    };
    let published = |key: &str| {
        // A key that was made just now is live within a second.
        let reply = until("the new key", SOON, || Some(post(key)).filter(|reply| reply.status != 401));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.json();
        (answer["first_seq"].as_u64().expect("a number"), answer.get("duplicates").is_some())
    };
    assert_eq!(published(&server.publisher), (1, false));
    assert_eq!(published(&rival), (2, false));
    assert_eq!(published(&rival), (2, true));
    assert_eq!(published(&second), (1, true), "another key of the first account");
    assert_eq!(server.last_seq(), 2);
}

#[test]
fn how_long_an_id_is_remembered_is_for_the_operator_to_say() {
    let server = Server::configured("[journal]\ndedupe_seconds = 0\n");
    let body = json!([with_id("a", 1), with_id("a", 2)]).to_string();
    for (first_seq, what) in [(1, "in one request it is known"), (2, "in the next it is not")] {
        let answer = json!({ "accepted": 2, "first_seq": first_seq, "last_seq": first_seq, "duplicates": 1 });
        let reply = server.post_events(JSON, &body).json();
        assert_eq!(reply, answer, "{what}");
    }
}

#[test]
fn a_bearer_token_is_as_good_as_the_key_header() {
    let server = Server::start();
    let request = Request::post("/api/events").header("Authorization", &format!("Bearer {}", server.publisher));
    let reply = request.body(trade("trade.open", OWNER).to_string()).send(server.address);
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[test]
fn a_bad_event_is_named_by_line_and_field_and_nothing_of_its_batch_is_published() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let good = trade("trade.open", OWNER);
    let mut missing = good.clone();
    missing["data"].as_object_mut().expect("an object").remove("leverage");
    let mut mistyped = good.clone();
    mistyped["data"]["sizeUsd"] = "15000.50".into();
    let mut disagreeing = good.clone();
    disagreeing["data"]["tradeType"] = "close".into();
    let topicless = json!({ "type": "price_update", "data": { "price": 1 } });
    let unsafe_integer = good.to_string().replace("15000.5", "9007199254740993");
    let cases: [(&str, &str, String, Value); 10] = [
        (
            "malformed JSON at line 3",
            NDJSON,
            format!("{good}\n{good}\n{{\"type\" 1}}\n{good}\n"),
            json!([3, null, null]),
        ),
        ("a missing field", NDJSON, format!("{good}\n\n{missing}\n"), json!([3, null, "data.leverage"])),
        ("a missing field", JSON, missing.to_string(), json!([1, null, "data.leverage"])),
        ("a number sent as text", JSON, format!("[{good},\n{mistyped}]"), json!([2, 1, "data.sizeUsd"])),
        (
            "an owner that nobody can watch",
            JSON,
            trade("trade.open", "a b").to_string(),
            json!([1, null, "data.owner"]),
        ),
        ("no type", NDJSON, "{\"data\":{}}\n".to_owned(), json!([1, null, "type"])),
        ("no topic follows and none is given", NDJSON, format!("{good}\n{topicless}"), json!([2, null, "topic"])),
        ("another tradeType", JSON, disagreeing.to_string(), json!([1, null, "data.tradeType"])),
        ("an integer past 2^53", NDJSON, unsafe_integer, json!([1, null, "data.sizeUsd"])),
        ("no event at all", NDJSON, "\n\n".to_owned(), json!([3, null, null])),
    ];
    for (what, content_type, body, place) in cases {
        let reply = server.post_events(content_type, &body);
        let error = assert_refused(what, &reply, 400, "INVALID_EVENT");
        assert_eq!(json!([error["line"], error["index"], error["field"]]), place, "{what}: {error}");
        assert!(error["reason"].is_string(), "{what}: {error}");
        bystander.undisturbed();
    }
}

#[test]
fn a_wrong_key_role_type_or_route_is_refused_by_its_name() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let event = trade("trade.open", OWNER).to_string();
    let post = |key: Option<&str>, content_type: &str| {
        let request = Request::post("/api/events").header("Content-Type", content_type);
        let request = key.into_iter().fold(request, |request, key| request.header("X-API-Key", key));
        request.body(event.clone()).send(server.address)
    };
    let none = post(None, JSON);
    assert_refused("no key", &none, 401, "AUTHENTICATION_FAILED");
    assert_eq!(none.header("www-authenticate"), Some("Bearer"));
    assert_refused("a bad key", &post(Some("stn_nobody"), JSON), 401, "AUTHENTICATION_FAILED");
    assert_refused("a subscriber's key", &post(Some(&server.subscriber), JSON), 403, "FORBIDDEN");
    assert_refused("XML", &post(Some(&server.publisher), "text/xml"), 415, "UNSUPPORTED_MEDIA_TYPE");
    let wrong_method = Request::new("PUT", "/api/events").send(server.address);
    assert_refused("PUT", &wrong_method, 405, "METHOD_NOT_ALLOWED");
    assert_eq!(wrong_method.header("allow"), Some("GET, POST"));
    let nowhere = Request::post("/api/event").body(event.clone()).send(server.address);
    assert_refused("another route", &nowhere, 404, "NOT_FOUND");
    bystander.undisturbed();
}

#[test]
fn a_load_balancer_may_probe_with_head() {
    let server = Server::start();
    for path in ["/healthz", "/readyz"] {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: stentor\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer and an end");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert_eq!(Request::post(path).send(server.address).header("allow"), Some("GET, HEAD"), "{path}");
    }
}

#[test]
fn a_body_of_ten_megabytes_is_refused_to_a_client_that_sends_all_of_it() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let event = trade("trade.open", OWNER).to_string() + "\n";
    let body = event.repeat((10 << 20) / event.len() + 1);
    assert_refused("10 MB", &server.post_events(NDJSON, &body), 413, "BODY_TOO_LARGE");
    bystander.undisturbed();

    // One who asks first is told before it has sent anything.
    assert_refused("10 MB, announced", &Reply::read(&mut server.announce_events(body.len())), 413, "BODY_TOO_LARGE");
    bystander.undisturbed();
}

#[test]
fn bodies_of_many_requests_at_once_are_bounded_and_a_refusal_is_seen() {
    let server = Server::start_with(&["--shards", "1"], |_| {});
    let mut bystander = Bystander::new(&server);
    let head = |framing: &str| {
        format!(
            "POST /api/events HTTP/1.1\r\nHost: stentor\r\nX-API-Key: {}\r\nContent-Type: {NDJSON}\r\n{framing}\r\n\r\n",
            server.publisher
        )
    };
    let hold = || {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        stream.write_all(head("Content-Length: 8388608").as_bytes()).expect("a head");
        stream
    };
    // Together they announce all that there is.
    let held: Vec<TcpStream> = (0..8).map(|_| hold()).collect();
    let event = trade("trade.open", OWNER).to_string() + "\n";
    let large = event.repeat((4 << 20) / event.len());
    let refusal = until("a refusal", SOON, || {
        let reply = server.post_events(NDJSON, &large);
        (reply.status != 200).then_some(reply)
    });
    assert_refused("one body more", &refusal, 503, "OVERLOADED");
    assert_eq!(refusal.header("retry-after"), Some("1"));
    // One that did not say how long it is.
    let mut chunked = TcpStream::connect(server.address).expect("a connection");
    let body = format!("{}{:x}\r\n{event}\r\n0\r\n\r\n", head("Transfer-Encoding: chunked"), event.len());
    chunked.write_all(body.as_bytes()).expect("a request");
    assert_refused("one body more, in chunks", &Reply::read(&mut chunked), 503, "OVERLOADED");

    drop(held);
    until("room", SOON, || (server.post_events(NDJSON, &event).status == 200).then_some(()));
    chunked.write_all(body.as_bytes()).expect("a request");
    assert_eq!(Reply::read(&mut chunked).status, 200, "the connection is as good as ever");
    let endless =
        format!("{}800001\r\n{}", head("Transfer-Encoding: chunked"), "x".repeat(0x80_0001) + "\r\n0\r\n\r\n");
    chunked.write_all(endless.as_bytes()).expect("a request");
    assert_refused("8 MiB and a byte, in chunks", &Reply::read(&mut chunked), 413, "BODY_TOO_LARGE");
    while bystander.last_seq < server.last_seq() {
        bystander.last_seq = bystander.socket.trade()["seq"].as_u64().expect("a number");
    }
    bystander.undisturbed();
}

#[test]
fn an_event_past_its_bound_is_refused_and_one_at_it_is_not() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let with_pad = |bytes: usize| {
        let bare = json!({ "type": "alert", "data": { "pad": "" } }).to_string();
        json!({ "type": "alert", "data": { "pad": "x".repeat(bytes - bare.len()) } }).to_string()
    };
    let reply = server.post_events(JSON, &with_pad((64 << 10) + 1));
    assert_eq!(assert_refused("64 KiB and a byte", &reply, 400, "INVALID_EVENT")["line"], 1);
    bystander.undisturbed();
    assert_eq!(server.post_events(JSON, &with_pad(64 << 10)).status, 200);
}

#[test]
fn half_a_handshake_is_answered_408_after_ten_seconds() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    let half = |text: &str| {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        stream.write_all(text.as_bytes()).expect("half a request");
        stream
    };
    let began = Instant::now();
    let mut hanging = [
        half("GET /ws/alerts?apiKey=x HTTP/1.1\r\nHost: stentor\r\nUpgrade: websocket\r\n"),
        half("GET /ws/al"),
        half("POST /api/events HTTP/1.1\r\nHost: st"),
    ];
    bystander.undisturbed();
    for stream in &mut hanging {
        assert_refused("half a head", &Reply::read(stream), 408, "REQUEST_TIMEOUT");
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(15)).contains(&took), "answered after {took:?}");
    bystander.undisturbed();
}

#[test]
fn garbage_behind_the_upgrade_closes_that_socket_and_no_other() {
    let server = Server::start();
    let mut bystander = Bystander::new(&server);
    // In the same segment as the request, and later.
    let stream = TcpStream::connect(server.address).expect("a connection");
    let mut early =
        Socket::open_on(stream, &server.alerts_path(), b"\xff\xfe garbage, not a frame").expect("an upgrade");
    early.expect_close(CloseCode::PROTOCOL_ERROR);
    // What looks like a second request is for the session, too.
    let stream = TcpStream::connect(server.address).expect("a connection");
    let request = b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n";
    Socket::open_on(stream, &server.alerts_path(), request)
        .expect("an upgrade")
        .expect_close(CloseCode::PROTOCOL_ERROR);
    let mut late = server.connect();
    late.send_raw(b"GET / HTTP/1.1\r\n\r\n");
    late.expect_close(CloseCode::PROTOCOL_ERROR);
    bystander.undisturbed();
}

#[test]
fn a_frame_in_the_same_segment_as_the_upgrade_is_not_lost() {
    let server = Server::start();
    let stream = TcpStream::connect(server.address).expect("a connection");
    let ping = [0x89, 0x82, 0, 0, 0, 0, b'h', b'i'];
    let mut socket = Socket::open_on(stream, &server.alerts_path(), &ping).expect("an upgrade");
    assert_eq!(socket.receive_past_pings(SOON), Some(Received::Pong(b"hi".to_vec())));
}
