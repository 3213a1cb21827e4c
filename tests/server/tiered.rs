//! The tiered protocol end to end: the greeting, alerts, the `ping` that is owed every 30 s, and who gets in.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stentor::ws::{CloseCode, Opcode};

use crate::http::{Reply, Request};
use crate::process::Server;
use crate::socket::{Received, Socket};

/// An alert as the protocol's clients know it.
pub fn alert(id: usize) -> Value {
    json!({ "type": "alert", "data": {
        "id": id, "alert_type": "fresh", "side": "BUY", "outcome": "Yes", "entry_price": 0.42, "usdc_value": 2100.5,
        "signal_score": 72, "event_title": "Will ETH hit $5000 by April?", "category": "crypto",
    } })
}

/// A session of that key, or the answer that refused it.
pub fn open(server: &Server, key: &str) -> Result<Socket, Reply> {
    Socket::open(server.address, &format!("/ws/alerts?api_key={key}"))
}

/// A session that has had its greeting.
pub fn greeted(server: &Server, key: &str) -> Socket {
    let mut socket = open(server, key).expect("an upgrade");
    socket.message("connected");
    socket
}

/// The next message, which must be this alert.
fn expect_alert(socket: &mut Socket, event: &Value, seq: u64) {
    assert_eq!(socket.message("alert"), json!({ "type": "alert", "seq": seq, "data": event["data"] }));
}

#[test]
fn the_greeting_comes_once_with_the_tier_and_alerts_as_they_were_published() {
    let server = Server::start();
    let (before, _) = server.publish(&[alert(0)]);
    let keys = ["pro", "elite", "enterprise"].map(|tier| (tier, server.member(&format!("{tier}-1"), tier, &[])));
    let mut sockets = keys.each_ref().map(|(tier, key)| {
        let mut socket = open(&server, key).expect("an upgrade");
        let greeting = socket.message("connected");
        assert!(greeting["message"].as_str().is_some_and(|words| !words.is_empty()), "{greeting}");
        assert_eq!((&greeting["tier"], &greeting["seq"]), (&json!(tier), &json!(before)), "{greeting}");
        socket
    });
    // By its type, and by its topic.
    let (by_type, mut by_topic) = (alert(1), alert(2));
    by_topic["topic"] = "alerts".into();
    let (first, last) = server.publish(&[by_type.clone(), by_topic.clone()]);
    for socket in &mut sockets {
        expect_alert(socket, &by_type, first);
        expect_alert(socket, &by_topic, last);
    }
    // A client that was away finds the very same objects.
    let latest = Request::get("/alerts/latest?limit=2").header("X-API-Key", &keys[0].1).send(server.address).json();
    assert_eq!(latest["alerts"], json!([by_topic["data"], by_type["data"]]));
    assert_eq!(latest["last_seq"], last);
}

#[test]
fn alerts_are_all_that_arrives_and_watchlist_sessions_get_none() {
    let server = Server::start();
    let mut tiered = greeted(&server, &server.subscriber);
    let mut watchlist = server.connect();
    let others = [
        crate::trade::trade("trade.open", crate::process::OWNER),
        json!({ "type": "price_update", "topic": "price:a", "data": {} }),
        json!({ "type": "in_app_notification", "topic": "user:alert", "data": {} }),
        json!({ "type": "server_maintenance", "topic": "system", "data": {} }),
    ];
    server.publish(&[&others[..], &[alert(1)]].concat());
    assert_eq!(tiered.message("alert")["data"]["id"], 1);
    watchlist.trade();
    server.publish(&[crate::trade::numbered(crate::process::OWNER, 2)]);
    assert_eq!(watchlist.trade()["data"]["number"], 2, "the alert did not come in between");
}

#[test]
fn a_ping_is_answered_at_once_and_anything_else_is_told() {
    let server = Server::start();
    let mut socket = greeted(&server, &server.subscriber);
    for text in ["ping", "ping", r#"{"type":"ping"}"#] {
        socket.say(text);
        assert_eq!(socket.message("pong"), json!({ "type": "pong", "seq": 0 }));
    }
    for text in ["hello", "", r#"{"type":"auth","apiKey":"x"}"#, "PING"] {
        socket.say(text);
        assert!(socket.expect_error("INVALID_MESSAGE").contains("ping"), "{text}");
    }
    socket.send(Opcode::Binary, b"ping");
    socket.expect_error("INVALID_MESSAGE");
    let (seq, _) = server.publish(&[alert(1)]);
    expect_alert(&mut socket, &alert(1), seq);
    socket.say("ping");
    assert_eq!(socket.message("pong")["seq"], seq, "a pong carries the newest number");
}

#[test]
fn a_free_key_is_upgraded_and_dropped_with_words_that_a_client_can_show() {
    let server = Server::start();
    let free = server.member("free", "free", &[]);
    let mut socket = open(&server, &free).expect("an upgrade");
    let reason = socket.expect_close(CloseCode::TIER);
    assert!(reason.contains("free") && reason.contains("pro") && reason.contains("/alerts/latest"), "{reason}");
    let latest = Request::get(&format!("/alerts/latest?api_key={free}")).send(server.address);
    assert_eq!(latest.status, 200, "that is what a free key has instead");
}

#[test]
fn who_has_no_subscriber_key_in_the_address_is_not_upgraded() {
    let server = Server::start();
    let refused = |path: &str, headers: &[(&str, &str)], status, code| {
        let reply = Socket::open_with(server.address, path, headers).expect_err(path);
        assert_eq!((reply.status, reply.error()["code"].as_str()), (status, Some(code)), "{path}");
    };
    let key = ("X-API-Key", server.subscriber.as_str());
    refused("/ws/alerts", &[key], 401, "AUTHENTICATION_FAILED");
    refused("/ws/alerts?api_key=", &[], 401, "AUTHENTICATION_FAILED");
    refused("/ws/alerts?api_key=stn_wrong", &[key], 401, "AUTHENTICATION_FAILED");
    refused(&format!("/ws/alerts?API_KEY={}", server.subscriber), &[], 401, "AUTHENTICATION_FAILED");
    refused(&format!("/ws/alerts?api_key={}", server.publisher), &[], 403, "FORBIDDEN");
}

#[test]
fn a_message_that_is_too_large_is_told_and_ends_the_session() {
    let server = Server::start();
    let mut socket = greeted(&server, &server.subscriber);
    socket.say(&"x".repeat(4096));
    socket.expect_error("INVALID_MESSAGE");
    socket.say(&"x".repeat(4097));
    assert!(socket.expect_error("MESSAGE_TOO_LARGE").contains("4096"));
    socket.expect_close(CloseCode::MESSAGE_TOO_BIG);
}

/// So little that a test gets there in one segment.
pub const FEW_MESSAGES: &str = "[limits]\nmessages_per_second = 1\nmessage_burst = 5\nrefusals_before_close = 3\n";

/// Sends far more than [`FEW_MESSAGES`] allows, in one breath, and holds the server to what a client must get to see: the
/// answers that it may have, then an error for each one too many, then 4429. `text` is to be answered with `answer`.
pub fn assert_that_a_flood_ends_with_4429(socket: &mut Socket, text: &str, answer: &str) {
    socket.say_at_once(&[text; 50]);
    let (messages, code, reason) = socket.read_to_close();
    let answered = messages.iter().take_while(|message| message["type"] == answer).count();
    // One second or two may pass meanwhile, each of which gives one more.
    assert!((3..=8).contains(&answered), "{messages:?}");
    let refused = &messages[answered..];
    assert_eq!(refused.len(), 3, "{messages:?}");
    assert!(refused.iter().all(|message| message["code"] == "RATE_LIMIT_EXCEEDED"), "{messages:?}");
    assert_eq!(code, CloseCode::RATE_ABUSE.get(), "{reason}");
    assert!(reason.contains("too many messages"), "{reason}");
}

#[test]
fn too_many_messages_are_refused_and_then_the_session_is_closed() {
    let server = Server::configured(FEW_MESSAGES);
    assert_that_a_flood_ends_with_4429(&mut greeted(&server, &server.subscriber), "ping", "pong");
}

#[test]
fn a_page_of_another_origin_gets_no_socket() {
    let server = Server::configured("[server]\nallowed_origins = [\"https://app.example\"]\n");
    let path = format!("/ws/alerts?api_key={}", server.subscriber);
    let open = |origin| Socket::open_with(server.address, &path, &[("Origin", origin)]);
    open("https://app.example").expect("an upgrade").message("connected");
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example"] {
        let refused = open(origin).expect_err(origin);
        assert_eq!((refused.status, refused.error()["code"].as_str()), (403, Some("FORBIDDEN")), "{origin}");
    }
}

/// When a session was closed, and with which code.
fn closed(mut socket: Socket, patience: Duration) -> Option<(Duration, u16)> {
    let began = Instant::now();
    loop {
        match socket.receive_past_pings(patience.saturating_sub(began.elapsed()))? {
            Received::Close(code, _) => return Some((began.elapsed(), code)),
            Received::Text(_) | Received::Pong(_) => {}
            other => panic!("expected answers or a close, got {other:?}"),
        }
    }
}

#[test]
fn nothing_but_a_ping_in_every_thirty_seconds_keeps_a_session() {
    const WINDOW: Duration = Duration::from_secs(30);
    const SLACK: Duration = Duration::from_secs(4);
    let server = Server::start();
    let greeted = || greeted(&server, &server.subscriber);
    let silent = greeted();
    let mut pinging = greeted();
    // What is alive by every other measure, but says something else.
    let mut talking = greeted();
    let late = {
        let mut socket = greeted();
        // The window rolls: it begins again with the ping, not with every 30 s.
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(5));
            socket.say("ping");
            closed(socket, WINDOW + SLACK)
        })
    };
    let silent = thread::spawn(move || closed(silent, WINDOW + SLACK));
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(25) {
        talking.say("hello");
        talking.send(Opcode::Ping, b"");
        talking.send(Opcode::Pong, b"");
        thread::sleep(Duration::from_secs(1));
    }
    pinging.say("ping");
    let (at, code) = closed(talking, WINDOW).expect("a close");
    assert_eq!(code, CloseCode::HEARTBEAT.get());
    let at = at + Duration::from_secs(25);
    assert!(at > WINDOW - SLACK && at < WINDOW + SLACK, "{at:?}");
    for socket in [silent, late] {
        let (at, code) = socket.join().expect("no panic").expect("a close");
        assert_eq!(code, CloseCode::HEARTBEAT.get());
        assert!(at > WINDOW - SLACK && at < WINDOW + SLACK, "{at:?}");
    }
    // 35 s and more after its greeting, and it still gets what is published.
    let (seq, _) = server.publish(&[alert(1)]);
    assert_eq!(pinging.message("pong")["seq"], 0);
    expect_alert(&mut pinging, &alert(1), seq);
}
