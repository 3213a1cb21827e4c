//! The channels protocol end to end: a key in the first message, subscriptions by kind and name, flat events.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stentor::ws::{CloseCode, Opcode};

use crate::process::Server;
use crate::socket::{Socket, text_frames};
use crate::tiered::{FEW_MESSAGES, assert_that_a_flood_ends_with_4429};

const PATH: &str = "/v1/ws";
const MINT: &str = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v";

/// A session that has not authenticated.
pub fn open(server: &Server) -> Socket {
    Socket::open(server.address, PATH).expect("an upgrade")
}

pub fn auth(key: &str) -> String {
    json!({ "type": "auth", "apiKey": key }).to_string()
}

/// A session that has.
pub fn authenticated(server: &Server, key: &str) -> Socket {
    let mut socket = open(server);
    socket.say(&auth(key));
    socket.message("authenticated");
    socket
}

/// `subscribe` or `unsubscribe` of a topic such as `bot:b`.
pub fn command(kind: &str, topic: &str) -> String {
    let (channel, name) = topic.split_once(':').expect("a topic");
    let field = match channel {
        "bot" => "botId",
        "price" => "mint",
        _ => "wallet",
    };
    json!({ "type": kind, "channel": channel, field: name }).to_string()
}

/// Subscribes, and has it acknowledged.
pub fn subscribe(socket: &mut Socket, topic: &str) {
    socket.say(&command("subscribe", topic));
    socket.message("subscribed");
}

/// An event on a topic that is told apart by a number.
pub fn event(topic: &str, number: usize) -> Value {
    json!({ "type": "price_update", "topic": topic, "data": { "number": number } })
}

#[test]
fn the_seeds_commands_in_one_breath_with_the_handshake_are_answered_in_order() {
    let server = Server::start();
    let key = server.member("bots", "free", &["bot:*"]);
    let commands = [
        auth(&key),
        command("subscribe", "bot:bot_abc123"),
        command("subscribe", &format!("price:{MINT}")),
        command("subscribe", "transactions:your_wallet_address"),
    ];
    let behind = text_frames(&commands.each_ref().map(String::as_str));
    let stream = TcpStream::connect(server.address).expect("a connection");
    let mut socket = Socket::open_on(stream, PATH, &behind).expect("an upgrade");
    assert_eq!(socket.message("authenticated"), json!({ "type": "authenticated", "seq": 0 }));
    for (channel, field, name) in
        [("bot", "botId", "bot_abc123"), ("price", "mint", MINT), ("transactions", "wallet", "your_wallet_address")]
    {
        let expected = json!({ "type": "subscribed", "channel": channel, field: name, "seq": 0 });
        assert_eq!(socket.message("subscribed"), expected);
    }
    // The protocol's events: what is published as `data` comes flat, beside type and number.
    for (kind, topic, data) in [
        (
            "bot_update",
            "bot:bot_abc123",
            json!({ "botId": "bot_abc123", "event": "trade_executed",
                "data": { "signature": "5VERv8...", "profit": 0.15, "timestamp": "2024-01-15T10:30:00Z" } }),
        ),
        (
            "price_update",
            &*format!("price:{MINT}"),
            json!({ "mint": MINT, "price": 1.0001, "volume": 1_000_000, "timestamp": "2024-01-15T10:30:00Z" }),
        ),
        (
            "transaction_confirmed",
            "transactions:your_wallet_address",
            json!({ "signature": "5VERv8...", "status": "confirmed", "slot": 250_123_456 }),
        ),
    ] {
        let (seq, _) = server.publish(&[json!({ "type": kind, "topic": topic, "data": data })]);
        let mut expected = data;
        expected["type"] = kind.into();
        expected["seq"] = seq.into();
        assert_eq!(socket.message(kind), expected);
    }
}

#[test]
fn a_repeated_command_is_acknowledged_and_changes_nothing() {
    let server = Server::start();
    let mut socket = authenticated(&server, &server.subscriber);
    subscribe(&mut socket, "price:marker");
    for _ in 0..3 {
        subscribe(&mut socket, "price:a");
    }
    let (seq, _) = server.publish(&[event("price:a", 1), event("price:b", 2), event("price:marker", 3)]);
    assert_eq!(socket.message("price_update"), json!({ "type": "price_update", "seq": seq, "number": 1 }));
    assert_eq!(socket.message("price_update")["number"], 3, "once, and nothing of what was not subscribed to");
    for _ in 0..3 {
        socket.say(&command("unsubscribe", "price:a"));
        let expected = json!({ "type": "unsubscribed", "channel": "price", "mint": "a", "seq": seq + 2 });
        assert_eq!(socket.message("unsubscribed"), expected);
    }
    // What never was subscribed to is no different.
    socket.say(&command("unsubscribe", "bot:never"));
    socket.message("unsubscribed");
    server.publish(&[event("price:a", 4), event("price:marker", 5)]);
    assert_eq!(socket.message("price_update")["number"], 5);
    subscribe(&mut socket, "price:a");
    server.publish(&[event("price:a", 6)]);
    assert_eq!(socket.message("price_update")["number"], 6, "and back again");
}

#[test]
fn a_ping_is_answered_with_the_time() {
    let server = Server::start();
    let mut socket = authenticated(&server, &server.subscriber);
    socket.say(r#"{"type":"ping"}"#);
    let pong = socket.message("pong");
    assert_eq!(pong["seq"], 0);
    let told: jiff::Timestamp = pong["timestamp"].as_str().expect("a text").parse().expect("RFC 3339");
    assert!((told.as_millisecond() - jiff::Timestamp::now().as_millisecond()).abs() < 10_000, "{pong}");
}

#[test]
fn before_auth_nothing_is_subscribed_to_and_after_it_everything_is_as_usual() {
    let server = Server::start();
    let mut socket = open(&server);
    for kind in ["subscribe", "unsubscribe"] {
        socket.say(&command(kind, "price:a"));
        assert!(socket.expect_error("AUTHENTICATION_FAILED").contains("auth"));
    }
    server.publish(&[event("price:a", 1)]);
    socket.say(&auth(&server.subscriber));
    assert_eq!(socket.message("authenticated")["seq"], 1);
    subscribe(&mut socket, "price:a");
    server.publish(&[event("price:a", 2)]);
    assert_eq!(socket.message("price_update")["number"], 2);
}

#[test]
fn a_key_that_opens_nothing_here_is_told_so_and_closed() {
    let server = Server::start();
    for (key, told) in [("stn_wrong", "does not exist"), ("", "does not exist"), (&*server.publisher, "publisher")] {
        let mut socket = open(&server);
        socket.say_at_once(&[&auth(key), &command("subscribe", "price:a")]);
        let (messages, code, reason) = socket.read_to_close();
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert_eq!(messages[0]["code"], "AUTHENTICATION_FAILED");
        assert_eq!(code, CloseCode::AUTHENTICATION.get());
        assert!(reason.contains(told) && messages[0]["message"] == reason, "{reason}");
    }
}

#[test]
fn a_second_auth_is_for_the_same_account_only() {
    let server = Server::start();
    let (other, same) = (server.member("other", "elite", &[]), server.data_dir.key("watcher", "subscriber"));
    server.await_key(&same);
    let mut socket = authenticated(&server, &server.subscriber);
    subscribe(&mut socket, "price:a");
    socket.say(&auth(&same));
    socket.message("authenticated");
    socket.say(&auth(&other));
    assert!(socket.expect_error("AUTHENTICATION_FAILED").contains("another account"));
    server.publish(&[event("price:a", 1)]);
    assert_eq!(socket.message("price_update")["number"], 1, "neither has changed its subscriptions");
}

/// A session on `path` that says nothing of who it is has this long.
pub fn assert_that_silence_ends_with_4401(path: &str, says: &str) {
    let server = Server::configured("[limits]\nauthentication_seconds = 1\n");
    let began = Instant::now();
    let mut socket = Socket::open(server.address, path).expect("an upgrade");
    // It may talk, as long as it is not heard to say who it is.
    socket.say(says);
    let (messages, code, reason) = socket.read_to_close();
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(900), "{waited:?}");
    let last = messages.last().expect("an error before the close");
    assert_eq!((last["type"].as_str(), last["code"].as_str()), (Some("error"), Some("AUTHENTICATION_FAILED")));
    assert_eq!(code, CloseCode::AUTHENTICATION.get());
    assert!(reason.contains("auth") && last["message"] == reason, "{reason}");
}

#[test]
fn an_auth_message_that_does_not_come_in_time_ends_the_session() {
    assert_that_silence_ends_with_4401(PATH, r#"{"type":"ping"}"#);
}

#[test]
fn the_time_to_authenticate_does_not_end_a_session_that_has() {
    let server = Server::configured("[limits]\nauthentication_seconds = 1\n");
    let mut socket = authenticated(&server, &server.subscriber);
    std::thread::sleep(Duration::from_millis(1500));
    socket.say(r#"{"type":"ping"}"#);
    socket.message("pong");
}

#[test]
fn grants_decide_which_topics_a_session_may_name() {
    let server = Server::start();
    let team = server.member("team", "free", &["bot:team_*", "bot:b"]);
    let ask = |socket: &mut Socket, topic: &str, allowed: bool| {
        socket.say(&command("subscribe", topic));
        match allowed {
            true => drop(socket.message("subscribed")),
            false => assert!(socket.expect_error("FORBIDDEN").contains(topic), "{topic}"),
        }
    };
    let mut plain = authenticated(&server, &server.subscriber);
    let mut granted = authenticated(&server, &team);
    for (topic, of_plain, of_team) in [
        ("price:a", true, true),
        ("transactions:w", true, true),
        ("bot:b", false, true),
        ("bot:team_1", false, true),
        ("bot:team", false, false),
        ("bot:bb", false, false),
        ("bot:*", false, false),
    ] {
        ask(&mut plain, topic, of_plain);
        ask(&mut granted, topic, of_team);
    }
    server.publish(&[event("bot:b", 1), event("bot:bb", 2), event("price:a", 3)]);
    assert_eq!(plain.message("price_update")["number"], 3);
    assert_eq!(granted.message("price_update")["number"], 1);
    assert_eq!(granted.message("price_update")["number"], 3);
}

#[test]
fn what_is_not_understood_is_told_and_the_session_goes_on() {
    let server = Server::start();
    let mut socket = authenticated(&server, &server.subscriber);
    for (text, told) in [
        ("ping", "JSON"),
        ("[]", "JSON"),
        ("{}", "`type`"),
        (r#"{"type":"hello"}"#, "subscribe"),
        (r#"{"type":"subscribe"}"#, "`channel`"),
        (r#"{"type":"subscribe","channel":"wallet","wallet":"w"}"#, "price"),
        (r#"{"type":"subscribe","channel":"price","botId":"b"}"#, "`mint`"),
        (r#"{"type":"auth"}"#, "`apiKey`"),
    ] {
        socket.say(text);
        let words = socket.expect_error("INVALID_MESSAGE");
        assert!(words.contains(told), "{text}: {words}");
    }
    // As deep as a message can be.
    socket.say(&"[".repeat(16_000));
    socket.expect_error("INVALID_MESSAGE");
    socket.send(Opcode::Binary, br#"{"type":"ping"}"#);
    socket.expect_error("INVALID_MESSAGE");
    subscribe(&mut socket, "price:a");
}

#[test]
fn a_session_has_so_many_subscriptions() {
    let server = Server::configured("[limits]\nsubscriptions_per_connection = 2\n");
    let mut socket = authenticated(&server, &server.subscriber);
    subscribe(&mut socket, "price:a");
    subscribe(&mut socket, "price:b");
    socket.say(&command("subscribe", "price:c"));
    assert!(socket.expect_error("RATE_LIMIT_EXCEEDED").contains('2'));
    subscribe(&mut socket, "price:a");
    socket.say(&command("unsubscribe", "price:b"));
    socket.message("unsubscribed");
    subscribe(&mut socket, "price:c");
    server.publish(&[event("price:b", 1), event("price:c", 2)]);
    assert_eq!(socket.message("price_update")["number"], 2);
}

#[test]
fn too_many_messages_are_refused_and_then_the_session_is_closed() {
    let server = Server::configured(FEW_MESSAGES);
    let mut socket = authenticated(&server, &server.subscriber);
    assert_that_a_flood_ends_with_4429(&mut socket, r#"{"type":"ping"}"#, "pong");
}

#[test]
fn a_message_that_is_too_large_is_told_and_ends_the_session() {
    let server = Server::configured("[limits]\nmessage_bytes = 1024\n");
    let mut socket = authenticated(&server, &server.subscriber);
    let ping = |bytes: usize| format!("{:<bytes$}", r#"{"type":"ping"}"#);
    socket.say(&ping(1024));
    socket.message("pong");
    socket.say(&ping(1025));
    assert!(socket.expect_error("MESSAGE_TOO_LARGE").contains("1024"));
    socket.expect_close(CloseCode::MESSAGE_TOO_BIG);
}

#[test]
fn a_page_of_another_origin_gets_no_socket() {
    let server = Server::configured("[server]\nallowed_origins = [\"https://app.example\"]\n");
    let open = |origin| Socket::open_with(server.address, PATH, &[("Origin", origin)]);
    let mut socket = open("https://app.example").expect("an upgrade");
    socket.say(&auth(&server.subscriber));
    socket.message("authenticated");
    assert_eq!(open("https://evil.example").expect_err("a stranger").status, 403);
}
