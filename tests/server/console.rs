//! What the operator's page stands on: its files, the status and its stream, busy topics, slow sessions, everybody's webhooks and
//! topics. All but the files are for admin keys alone.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use socket2::{Domain, Socket as RawSocket, Type};

use crate::admin::operator;
use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::{padded, trade};
use crate::wait::{SOON, until};
use crate::webhook_sink::{Answer, Sink};
use crate::webhooks::{Hook, send};

fn asked(server: &Server, key: &str, path: &str) -> Value {
    let reply = send(server, key, Request::get(path));
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

#[test]
fn the_page_may_load_from_here_alone_and_is_sent_once() {
    let server = Server::start();
    let page = Request::get("/console").send(server.address);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    for path in ["/console", "/console/app.js", "/console/theme.css", "/console/icon.svg"] {
        let reply = Request::get(path).send(server.address);
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'self';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("cache-control"), Some("no-cache"), "{path}");
        let tag = reply.header("etag").expect("a tag");
        let again = Request::get(path).header("If-None-Match", &format!("\"other\", W/{tag}")).send(server.address);
        assert_eq!((again.status, again.header("content-length")), (304, None), "{path}");
    }
    for path in ["/console/", "/console/Cargo.toml", "/console/..%2fserver.rs", "/console/app.js/more"] {
        assert_eq!(Request::get(path).send(server.address).status, 404, "{path}");
    }
}

#[test]
fn what_operators_see_is_for_admin_keys_alone() {
    let server = Server::start();
    operator(&server, "ops");
    for path in ["status", "status/stream", "topics", "slow", "webhooks", "webhooks/wh_0123456789abcdef/deliveries"] {
        let path = format!("/api/admin/{path}");
        assert_eq!(Request::get(&path).send(server.address).status, 401, "{path}");
        for key in [&server.subscriber, &server.publisher] {
            assert_eq!(send(&server, key, Request::get(&path)).status, 403, "{path}");
            // What opens a stream of events to a browser opens nothing here.
            assert_eq!(Request::get(&format!("{path}?api_key={key}")).send(server.address).status, 401, "{path}");
        }
    }
}

/// A stream of the status, as its client reads it.
struct StatusStream {
    stream: TcpStream,
    text: String,
}

impl StatusStream {
    fn open(server: &Server, key: &str) -> Self {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let head = format!("GET /api/admin/status/stream HTTP/1.1\r\nHost: stentor\r\nX-API-Key: {key}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("a request");
        let mut opened = Self { stream, text: String::new() };
        while !opened.text.contains("\r\n\r\n") {
            assert!(opened.read() > 0, "no head: {}", opened.text);
        }
        opened
    }

    fn read(&mut self) -> usize {
        let mut chunk = [0; 8192];
        let read = self.stream.read(&mut chunk).expect("more of the stream");
        self.text += std::str::from_utf8(&chunk[..read]).expect("text");
        read
    }

    /// The next sample.
    fn sample(&mut self) -> Value {
        loop {
            if let Some(start) = self.text.find("data: ")
                && let Some(len) = self.text[start..].find("\n\n")
            {
                let sample = serde_json::from_str(&self.text[start + 6..start + len]).expect("JSON");
                self.text.drain(..start + len);
                return sample;
            }
            assert!(self.read() > 0, "the stream ended: {}", self.text);
        }
    }

    fn has_ended(mut self) -> bool {
        while self.read() > 0 {}
        self.text.ends_with("0\r\n\r\n")
    }
}

#[test]
fn the_status_is_told_once_or_again_and_again_until_the_key_is_gone() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let _socket = server.connect();
    let first = asked(&server, &admin, "/api/admin/status");
    let mut stream = StatusStream::open(&server, &admin);
    let head = stream.text.to_lowercase();
    assert!(head.starts_with("http/1.1 200 ok") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store"), "{head}");
    let (_, last_seq) = server.publish(&[trade("trade.open", OWNER), trade("trade.close", OWNER)]);
    until("a sample of both events", SOON, || {
        let sample = stream.sample();
        let deliveries = |sample: &Value| {
            let shards = sample["shards"].as_array().expect("shards").iter();
            shards.map(|shard| shard["deliveries"].as_u64().expect("a number")).sum::<u64>()
        };
        let is_new = sample["at_ms"].as_u64() > first["at_ms"].as_u64();
        (is_new && sample["last_seq"] == last_seq && deliveries(&sample) == deliveries(&first) + 2).then_some(())
    });
    let keys = asked(&server, &admin, "/api/keys");
    let id = keys["keys"][0]["id"].as_str().expect("an id");
    assert_eq!(send(&server, &admin, Request::new("DELETE", &format!("/api/keys/{id}"))).status, 200);
    assert!(stream.has_ended(), "its body ends as it should");
}

#[test]
fn streams_of_the_status_are_few_and_one_that_is_left_makes_room() {
    let server = Server::start_with(&["--shards", "1"], |_| {});
    let admin = operator(&server, "ops");
    let mut streams: Vec<StatusStream> = (0..4).map(|_| StatusStream::open(&server, &admin)).collect();
    streams.iter_mut().for_each(|stream| assert!(stream.sample()["version"].is_string()));
    let refused = send(&server, &admin, Request::get("/api/admin/status/stream"));
    assert_eq!((refused.status, refused.error()["code"].as_str()), (503, Some("OVERLOADED")));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(send(&server, &admin, Request::get("/api/admin/status")).status, 200, "one sample is to be had");
    streams.pop();
    until("room for another", SOON, || {
        let stream = StatusStream::open(&server, &admin);
        stream.text.starts_with("HTTP/1.1 200").then_some(())
    });
}

#[test]
fn a_stream_of_the_status_does_not_hold_up_the_servers_end() {
    let mut server = Server::start();
    let admin = operator(&server, "ops");
    let mut stream = StatusStream::open(&server, &admin);
    stream.sample();
    server.stop();
}

#[test]
fn busy_topics_are_told_with_the_sockets_that_receive_them() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let _sockets = [server.connect(), server.connect(), server.connect()];
    let wallet = format!("wallet:{OWNER}");
    let quiet = json!({ "type": "tick", "topic": "bot:quiet", "data": {} });
    server.publish(&[vec![trade("trade.open", OWNER); 4], vec![quiet; 9]].concat());
    let told = asked(&server, &admin, "/api/admin/topics");
    let quiet = json!({ "topic": "bot:quiet", "events": 9, "receivers": 0, "deliveries": 0 });
    let watched = json!({ "topic": wallet, "events": 4, "receivers": 3, "deliveries": 12 });
    assert_eq!(told["by_events"], json!([quiet, watched]));
    assert_eq!(told["by_deliveries"], json!([watched]));
    assert_eq!((&told["complete"], &told["short_by_max"]), (&json!(true), &json!(0)));
    assert!(told["window_ms"].as_u64().is_some_and(|ms| ms <= 60_000), "{told}");
    assert_eq!(asked(&server, &admin, "/api/admin/topics?limit=1")["by_events"], json!([quiet]));
    assert_eq!(send(&server, &admin, Request::get("/api/admin/topics?limit=51")).status, 400);
}

#[test]
fn a_session_that_does_not_read_is_told_with_what_waits_for_it() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let none = asked(&server, &admin, "/api/admin/slow");
    assert_eq!(none, json!({ "success": true, "behind": 0, "full": 0, "complete": true, "sessions": [] }));

    let raw = RawSocket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    raw.set_recv_buffer_size(4 << 10).expect("a small buffer");
    raw.connect(&server.address.into()).expect("a connection");
    let _stalled = Socket::open_on(raw.into(), &(server.alerts_path() + "&policy=latest"), b"").expect("an upgrade");
    let mut last_seq = 0;
    let mut slow = |what: &str, key: &str| {
        until(what, SOON, || {
            let round: Vec<Value> = (0..16).map(|nth| padded(OWNER, nth, 40 << 10)).collect();
            (_, last_seq) = server.publish(&round);
            let told = asked(&server, &admin, "/api/admin/slow");
            (told[key] == 1).then(|| (told["sessions"][0].clone(), last_seq))
        })
    };
    // First its socket is full, then the log can't keep what it has not taken.
    let (full, newest) = slow("a full socket", "full");
    assert_eq!((&full["protocol"], &full["account"]), (&json!("watchlist"), &json!("watcher")));
    assert_eq!((&full["policy"], &full["state"], &full["topics"]), (&json!("latest"), &json!("full"), &json!(1)));
    let (next, behind) = (full["next_seq"].as_u64().expect("a number"), full["events_behind"].as_u64());
    assert!((1..=newest).contains(&next) && behind == Some(newest + 1 - next), "{full}");
    assert!(full["unsent_bytes"].as_u64() >= Some(40 << 10) && full["since"].is_string(), "{full}");
    let (fallen, _) = slow("a session that fell behind", "behind");
    assert!(
        ["draining", "waiting", "paused", "replaying"].contains(&fallen["state"].as_str().expect("a word")),
        "{fallen}"
    );
    assert!(fallen["since"].is_string() && fallen["events_behind"].as_u64() > behind, "{fallen}");
    let everything = asked(&server, &admin, "/api/admin/slow").to_string();
    assert!(!everything.contains(&server.subscriber) && !everything.contains("stn_"), "no key is told");
}

/// A stream's text up to where it holds this.
fn streamed(server: &Server, path: &str, key: &str, end: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    let head = format!("GET {path} HTTP/1.1\r\nHost: stentor\r\nX-API-Key: {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a request");
    let mut text = String::new();
    read_to(&mut stream, &mut text, end);
    (stream, text)
}

fn read_to(stream: &mut TcpStream, text: &mut String, end: &str) {
    let mut chunk = [0; 4096];
    while !text.contains(end) {
        let read = stream.read(&mut chunk).expect("more of the stream");
        assert!(read > 0, "the stream ended: {text}");
        *text += std::str::from_utf8(&chunk[..read]).expect("text");
    }
}

#[test]
fn an_operator_may_stream_and_poll_every_topic_whatever_the_account_may() {
    let server = Server::start();
    let admin = operator(&server, "ops");
    let topics = ["alerts", "bot:b", "user:u", "system", "admin:7", "market:X", &format!("wallet:{OWNER}")];
    let query: String = topics.iter().map(|topic| format!("&topic={topic}")).collect();
    let (mut stream, mut text) = streamed(&server, &format!("/events/stream?since=0{query}"), &admin, "id: 0\n\n");
    let event = |topic: &str| json!({ "type": "note", "topic": topic, "data": { "of": topic } });
    let mut events = vec![json!({ "type": "alert", "data": { "of": "alerts" } })];
    events.extend(topics[1..6].iter().map(|topic| event(topic)));
    events.extend([trade("trade.open", OWNER), event("user:other"), event("admin:8")]);
    server.publish(&events);
    server.publish(&[json!({ "type": "alert", "data": { "of": "the last" } })]);
    read_to(&mut stream, &mut text, "the last");
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4", "5", "6", "7", "10"], "each once, in order, and no other");

    // A change of its account, which is `free`, ends nothing.
    let change = Request::new("PATCH", "/api/admin/accounts/ops").body(r#"{"grants":[]}"#);
    assert_eq!(send(&server, &admin, change).status, 200);
    server.publish(&[event("user:u")]);
    read_to(&mut stream, &mut text, "id: 11\n");
    let polled = asked(&server, &admin, &format!("/api/events?since=0{query}"));
    assert_eq!(polled["events"].as_array().map(Vec::len), Some(9), "{polled}");
    let refused = send(&server, &server.subscriber, Request::get("/events/stream?topic=user:u"));
    assert_eq!(refused.status, 403, "a subscriber's key is as before");
}

fn of(id: &str, behind: &str) -> String {
    format!("/api/admin/webhooks/{id}{behind}")
}

fn error_code(reply: &Reply) -> (u16, String) {
    (reply.status, reply.error()["code"].as_str().expect("a code").to_owned())
}

#[test]
fn an_operator_sees_every_webhook_and_acts_on_it_for_its_owner() {
    let server = crate::webhooks::server("");
    let admin = operator(&server, "ops");
    let sink = Sink::answering(|nth, _| Answer::of(if nth == 0 { 503 } else { 200 }));
    let other = server.member("other", "elite", &[]);
    let hook = Hook::create(&server, &server.subscriber, &sink.url("/hook"));
    let newest = Hook::create(&server, &other, &sink.url("/other"));

    let failed = send(&server, &admin, Request::post(&of(&hook.id, "/test")));
    assert_eq!(error_code(&failed), (502, "TEST_FAILED".to_owned()));
    let passed = send(&server, &admin, Request::post(&of(&hook.id, "/test")));
    assert_eq!(passed.status, 200, "{}", passed.text());
    let told = asked(&server, &admin, "/api/admin/webhooks");
    assert_eq!(told["total"], 2);
    let listed = told["webhooks"].as_array().expect("a list");
    let ids: Vec<&Value> = listed.iter().map(|webhook| &webhook["id"]).collect();
    assert_eq!(ids, [newest.id.as_str(), hook.id.as_str()], "the newest first");
    let watched = &listed[1];
    assert_eq!((&watched["account"], &watched["waiting"]), (&json!("watcher"), &json!(0)));
    assert_eq!((&watched["recent"]["finished"], &watched["recent"]["delivered"]), (&json!(2), &json!(1)));
    assert_eq!(watched["recent"]["last_failure"]["error"], "the endpoint answered 503");
    assert!(!told.to_string().contains("whsec_"), "no secret is told");
    let of_one = asked(&server, &admin, "/api/admin/webhooks?account=Other");
    assert_eq!((&of_one["total"], &of_one["webhooks"][0]["id"]), (&json!(1), &json!(newest.id)));
    let one = asked(&server, &admin, &of(&hook.id, ""));
    assert_eq!(&one["webhook"], watched);

    let deliveries = asked(&server, &admin, &of(&hook.id, "/deliveries?limit=1"));
    assert_eq!(deliveries["deliveries"].as_array().map(Vec::len), Some(1));
    for active in [false, true] {
        let change = Request::new("PUT", &of(&hook.id, "")).body(json!({ "is_active": active }).to_string());
        let changed = send(&server, &admin, change);
        assert_eq!((changed.status, &changed.json()["webhook"]["is_active"]), (200, &json!(active)));
        assert_eq!(hook.show(&server, &server.subscriber)["is_active"], active, "its owner sees the same");
    }
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    hook.delivery(&server, &server.subscriber, seq, "delivered");
    let replay = Request::post(&of(&hook.id, "/replay")).body(json!({ "since": seq - 1 }).to_string());
    assert_eq!(send(&server, &admin, replay).status, 202);

    let moved = Request::new("PUT", &of(&hook.id, "")).body(r#"{"url":"https://a.example/","is_active":true}"#);
    assert_eq!(
        error_code(&send(&server, &admin, moved)),
        (400, "INVALID_REQUEST".to_owned()),
        "the URL is its owner's"
    );
    for unknown in [of("wh_0123456789abcdef", ""), of("wh_0123456789abcdef", "/deliveries"), of("nonsense", "")] {
        let reply = send(&server, &admin, Request::get(&unknown));
        assert_eq!(error_code(&reply), (404, "NO_SUCH_WEBHOOK".to_owned()));
    }
    assert_eq!(send(&server, &other, Request::post(&of(&hook.id, "/test"))).status, 403);
}

#[test]
fn the_list_of_webhooks_goes_on_where_a_page_ended_also_when_its_last_one_is_gone() {
    let server = crate::webhooks::server("");
    let admin = operator(&server, "ops");
    let sink = Sink::start();
    for nth in 0..5 {
        Hook::create(&server, &server.subscriber, &sink.url(&format!("/{nth}")));
    }
    let all = asked(&server, &admin, "/api/admin/webhooks");
    assert_eq!((&all["next"], &all["total"]), (&Value::Null, &json!(5)));
    let page = |more: &str| asked(&server, &admin, &format!("/api/admin/webhooks?limit=2{more}"));
    let ids = |page: &Value| -> Vec<String> {
        let listed = page["webhooks"].as_array().expect("a list").iter();
        listed.map(|webhook| webhook["id"].as_str().expect("an id").to_owned()).collect()
    };
    let after = |told: &Value| page(&format!("&before={}", told["next"].as_str().expect("there are more")));
    let first = page("");
    let ended = Request::new("DELETE", &format!("/api/webhooks/{}", ids(&first)[1]));
    let deleted = send(&server, &server.subscriber, ended);
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    let second = after(&first);
    let last = after(&second);
    assert_eq!([ids(&first), ids(&second), ids(&last)].concat(), ids(&all));
    assert_eq!((&last["next"], &last["total"]), (&Value::Null, &json!(4)));
    for wrong in ["nonsense", "1", "1.wh_x", ""] {
        let refused = send(&server, &admin, Request::get(&format!("/api/admin/webhooks?before={wrong}")));
        assert_eq!(error_code(&refused), (400, "INVALID_REQUEST".to_owned()), "{wrong}");
    }
}
