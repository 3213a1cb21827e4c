//! The rooms protocol end to end: a token in the header or in a message, automatic rooms, markets by name.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use stentor::ws::{CloseCode, Opcode};

use crate::channels::assert_that_silence_ends_with_4401;
use crate::process::Server;
use crate::socket::{Socket, text_frames};
use crate::tiered::{FEW_MESSAGES, assert_that_a_flood_ends_with_4429};

const PATH: &str = "/ws";

/// The protocol's ten events, as its clients know them.
const SEED_EVENTS: &str = include_str!("../corpus/rooms/events.json");

/// A session whose token is in the header of its upgrade, before its greeting.
pub fn open_with_token(server: &Server, token: &str) -> Socket {
    let bearer = format!("Bearer {token}");
    Socket::open_with(server.address, PATH, &[("Authorization", &bearer)]).expect("an upgrade")
}

/// A session that has not authenticated.
pub fn open(server: &Server) -> Socket {
    Socket::open(server.address, PATH).expect("an upgrade")
}

/// A session of that user, greeted.
pub fn of_user(server: &Server, user: &str, more: &[&str]) -> Socket {
    let mut socket = open_with_token(server, &server.token(user, more));
    greeting(&mut socket, user);
    socket
}

/// The next message, which must greet that user. Returns the session's id.
pub fn greeting(socket: &mut Socket, user: &str) -> String {
    let greeting = socket.message("connection");
    assert_eq!((&greeting["status"], &greeting["userId"]), (&json!("connected"), &json!(user)), "{greeting}");
    let told: jiff::Timestamp = greeting["serverTime"].as_str().expect("a text").parse().expect("RFC 3339");
    assert!((told.as_millisecond() - jiff::Timestamp::now().as_millisecond()).abs() < 10_000, "{greeting}");
    assert!(greeting["seq"].is_u64(), "{greeting}");
    greeting["sessionId"].as_str().filter(|id| id.starts_with("session_")).expect("an id").to_owned()
}

pub fn auth(token: &str) -> String {
    json!({ "type": "auth", "token": token }).to_string()
}

fn command(kind: &str, channel: &str) -> String {
    json!({ "type": kind, "channel": channel }).to_string()
}

/// Asks for something, and has it answered with these rooms.
fn expect_rooms(socket: &mut Socket, kind: &str, channel: Option<&str>, status: &str, rooms: &[&str]) {
    let (mut ask, mut answer) = (json!({ "type": kind }), json!({ "type": "room_subscription", "status": status }));
    if let Some(channel) = channel {
        ask["channel"] = channel.into();
        answer["channel"] = channel.into();
    }
    answer["subscribedRooms"] = json!(rooms);
    socket.say(&ask.to_string());
    let mut got = socket.message("room_subscription");
    let seq = got.as_object_mut().expect("an object").remove("seq").expect("the newest number");
    assert!(seq.is_u64(), "{seq}");
    assert_eq!(got, answer);
}

/// An event on a topic that is told apart by a number.
pub fn event(topic: &str, number: usize) -> Value {
    json!({ "type": "in_app_notification", "topic": topic, "data": { "number": number } })
}

/// The next message, which must be that one.
pub fn expect_event(socket: &mut Socket, number: usize) {
    assert_eq!(socket.message("in_app_notification")["data"]["number"], number);
}

/// With every number as a double, which is all that a JavaScript client can tell: `1250000.00` is `1250000`.
fn as_javascript_sees_it(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(items) => items.iter().map(as_javascript_sees_it).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(name, value)| (name.clone(), as_javascript_sees_it(value))).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn the_ten_events_arrive_as_the_protocol_prints_them() {
    let server = Server::start();
    let mut socket = of_user(&server, "user_123", &[]);
    expect_rooms(&mut socket, "subscribe", Some("market:BTC_USD"), "subscribed", &["user:user_123", "market:BTC_USD"]);
    let printed: Vec<Value> = serde_json::from_str(SEED_EVENTS).expect("JSON");
    assert_eq!(printed.len(), 10);
    for event in &printed {
        let kind = event["type"].as_str().expect("a type");
        let topic = match kind {
            "market_data_update" | "historical_data_update" => "market:BTC_USD",
            "server_maintenance" | "service_status_update" => "system",
            _ => "user:user_123",
        };
        // The channel follows from the type where the publisher names none, and is the publisher's where it does.
        for channel in [None, Some("another")] {
            let mut published = json!({ "type": kind, "topic": topic, "data": event["data"] });
            let mut expected = event.clone();
            if let Some(channel) = channel {
                published["channel"] = channel.into();
                expected["channel"] = channel.into();
            }
            let (seq, _) = server.publish(&[published]);
            expected["seq"] = seq.into();
            assert_eq!(as_javascript_sees_it(&socket.message(kind)), as_javascript_sees_it(&expected));
        }
    }
}

#[test]
fn a_token_in_the_header_and_again_in_a_message_is_one_session() {
    let server = Server::start();
    let token = server.token("user_123", &[]);
    let bearer = format!("Bearer {token}");
    // As the protocol's simplest clients do it, in one breath.
    let mut socket = Socket::open_with(server.address, PATH, &[("Authorization", &bearer)]).expect("an upgrade");
    socket.say(&auth(&token));
    let sessions = [(); 2].map(|()| greeting(&mut socket, "user_123"));
    assert_eq!(sessions[0], sessions[1]);
    let mut other = open(&server);
    other.say(&auth(&token));
    assert_ne!(greeting(&mut other, "user_123"), sessions[0], "each connection is a session of its own");
    // The first one is in its rooms once.
    server.publish(&[event("user:user_123", 1), event("system", 2)]);
    for socket in [&mut socket, &mut other] {
        expect_event(socket, 1);
        expect_event(socket, 2);
    }
}

#[test]
fn auth_and_commands_in_one_breath_with_the_handshake_are_answered_in_order() {
    let server = Server::start();
    let commands =
        [auth(&server.token("u", &[])), command("subscribe", "market:BTC_USD"), command("subscribe", "positions")];
    let behind = text_frames(&commands.each_ref().map(String::as_str));
    let stream = TcpStream::connect(server.address).expect("a connection");
    let mut socket = Socket::open_on(stream, PATH, &behind).expect("an upgrade");
    greeting(&mut socket, "u");
    assert_eq!(socket.message("room_subscription")["channel"], "market:BTC_USD");
    assert_eq!(
        socket.message("room_subscription")["subscribedRooms"],
        json!(["user:u", "positions", "market:BTC_USD"])
    );
}

#[test]
fn rooms_are_listed_joined_and_left_as_often_as_asked() {
    let server = Server::start();
    let mut socket = of_user(&server, "u", &[]);
    let list = |socket: &mut Socket, rooms: &[&str]| expect_rooms(socket, "list_rooms", None, "listed", rooms);
    list(&mut socket, &["user:u"]);
    for _ in 0..3 {
        expect_rooms(&mut socket, "subscribe", Some("market:A"), "subscribed", &["user:u", "market:A"]);
    }
    server.publish(&[event("market:A", 1), event("market:B", 2), event("user:u", 3)]);
    expect_event(&mut socket, 1);
    expect_event(&mut socket, 3);
    for _ in 0..3 {
        expect_rooms(&mut socket, "unsubscribe", Some("market:A"), "unsubscribed", &["user:u"]);
    }
    expect_rooms(&mut socket, "unsubscribe", Some("market:never"), "unsubscribed", &["user:u"]);
    list(&mut socket, &["user:u"]);
    server.publish(&[event("market:A", 4), event("user:u", 5)]);
    expect_event(&mut socket, 5);
    // Its own room: joined already.
    expect_rooms(&mut socket, "subscribe", Some("user:u"), "subscribed", &["user:u"]);
    server.publish(&[event("user:u", 6), event("system", 7)]);
    expect_event(&mut socket, 6);
    expect_event(&mut socket, 7);
}

#[test]
fn channels_of_the_users_own_events_can_be_named_and_add_nothing() {
    let server = Server::start();
    let mut socket = of_user(&server, "u", &[]);
    let names = ["margin_guard", "positions", "notifications", "alerts", "system"];
    let mut rooms = vec!["user:u"];
    for name in names {
        rooms.push(name);
        expect_rooms(&mut socket, "subscribe", Some(name), "subscribed", &rooms);
    }
    server.publish(&[
        json!({ "type": "margin_guard_execution", "topic": "user:u", "data": { "n": 1 } }),
        json!({ "type": "server_maintenance", "topic": "system", "data": { "n": 2 } }),
        json!({ "type": "margin_guard_execution", "topic": "user:other", "data": { "n": 3 } }),
        event("user:u", 4),
    ]);
    assert_eq!(socket.message("margin_guard_execution")["data"]["n"], 1);
    assert_eq!(socket.message("server_maintenance")["data"]["n"], 2);
    expect_event(&mut socket, 4);
    expect_rooms(
        &mut socket,
        "unsubscribe",
        Some("margin_guard"),
        "unsubscribed",
        &[&["user:u"], &names[1..]].concat(),
    );
    server.publish(&[json!({ "type": "margin_guard_execution", "topic": "user:u", "data": { "n": 5 } })]);
    assert_eq!(socket.message("margin_guard_execution")["data"]["n"], 5, "they come by the user's room");
}

#[test]
fn rooms_that_are_none_are_told_with_what_there_is() {
    let server = Server::start();
    let mut socket = of_user(&server, "u", &[]);
    for (channel, code, told) in [
        ("market_data", "INVALID_ROOM", "market:BTC_USD"),
        ("historical_data", "INVALID_ROOM", "market:BTC_USD"),
        ("nonsense", "INVALID_ROOM", "market:{symbol}"),
        ("market:", "INVALID_ROOM", "market:{symbol}"),
        ("wallet:w", "INVALID_ROOM", "market:{symbol}"),
        ("price:a", "INVALID_ROOM", "market:{symbol}"),
        ("", "INVALID_ROOM", "market:{symbol}"),
        ("user:", "INVALID_ROOM", "market:{symbol}"),
        ("admin:x", "INVALID_ROOM", "market:{symbol}"),
        ("user:v", "FORBIDDEN", "another user"),
        ("admin:0", "FORBIDDEN", "admin_level"),
    ] {
        for kind in ["subscribe", "unsubscribe"] {
            socket.say(&command(kind, channel));
            let words = socket.expect_error(code);
            assert!(words.contains(told), "{kind} {channel}: {words}");
        }
    }
    socket.say(&command("unsubscribe", "user:u"));
    assert!(socket.expect_error("INVALID_ROOM").contains("by itself"));
    expect_rooms(&mut socket, "list_rooms", None, "listed", &["user:u"]);
}

#[test]
fn what_is_not_understood_is_told_and_the_session_goes_on() {
    let server = Server::start();
    let mut socket = of_user(&server, "u", &[]);
    for (text, told) in [
        ("list_rooms", "JSON"),
        ("{}", "`type`"),
        (r#"{"type":"hello"}"#, "list_rooms"),
        (r#"{"type":"subscribe"}"#, "`channel`"),
        (r#"{"type":"subscribe","channel":7}"#, "JSON"),
        (r#"{"type":"auth"}"#, "`token`"),
    ] {
        socket.say(text);
        let words = socket.expect_error("INVALID_MESSAGE");
        assert!(words.contains(told), "{text}: {words}");
    }
    socket.send(Opcode::Binary, br#"{"type":"list_rooms"}"#);
    socket.expect_error("INVALID_MESSAGE");
    expect_rooms(&mut socket, "list_rooms", None, "listed", &["user:u"]);
}

#[test]
fn before_auth_there_are_no_rooms() {
    let server = Server::start();
    let mut socket = open(&server);
    for text in
        [command("subscribe", "market:A"), command("unsubscribe", "market:A"), r#"{"type":"list_rooms"}"#.into()]
    {
        socket.say(&text);
        assert!(socket.expect_error("AUTHENTICATION_FAILED").contains("auth"), "{text}");
    }
    server.publish(&[event("market:A", 1), event("system", 2)]);
    socket.say(&auth(&server.token("u", &[])));
    greeting(&mut socket, "u");
    expect_rooms(&mut socket, "list_rooms", None, "listed", &["user:u"]);
}

#[test]
fn an_auth_message_that_does_not_come_in_time_ends_the_session() {
    assert_that_silence_ends_with_4401(PATH, r#"{"type":"list_rooms"}"#);
}

#[test]
fn a_newer_token_of_the_same_user_extends_the_session_past_the_first_ones_end() {
    let server = Server::start();
    let mut socket = open_with_token(&server, &server.token("u", &["--ttl", "2s"]));
    let session = greeting(&mut socket, "u");
    let warning = socket.message("expiring");
    assert!(warning["expiresInMs"].as_u64().is_some_and(|ms| ms <= 2000), "{warning}");
    expect_rooms(&mut socket, "subscribe", Some("market:A"), "subscribed", &["user:u", "market:A"]);
    socket.say(&auth(&server.token("u", &["--ttl", "1h"])));
    assert_eq!(greeting(&mut socket, "u"), session);
    // An older one that comes late takes nothing away.
    socket.say(&auth(&server.token("u", &["--ttl", "2s"])));
    assert_eq!(greeting(&mut socket, "u"), session);
    std::thread::sleep(Duration::from_secs(3));
    server.publish(&[event("market:A", 1), event("user:u", 2)]);
    expect_event(&mut socket, 1);
    expect_event(&mut socket, 2);
}

#[test]
fn a_session_that_has_a_user_keeps_it_whatever_token_comes() {
    let server = Server::start();
    let mut socket = of_user(&server, "u", &[]);
    socket.say(&auth(&server.token("v", &[])));
    assert!(socket.expect_error("AUTHENTICATION_FAILED").contains("another user"));
    socket.say(&auth("no token at all"));
    socket.expect_error("AUTHENTICATION_FAILED");
    server.publish(&[event("user:v", 1), event("user:u", 2)]);
    expect_event(&mut socket, 2);
    expect_rooms(&mut socket, "list_rooms", None, "listed", &["user:u"]);
}

#[test]
fn too_many_messages_are_refused_and_then_the_session_is_closed() {
    let server = Server::configured(FEW_MESSAGES);
    let mut socket = of_user(&server, "u", &[]);
    assert_that_a_flood_ends_with_4429(&mut socket, r#"{"type":"ping"}"#, "pong");
}

#[test]
fn a_session_has_so_many_markets() {
    let server = Server::configured("[limits]\nsubscriptions_per_connection = 1\n");
    let mut socket = of_user(&server, "u", &[]);
    let rooms = ["user:u", "market:A"];
    expect_rooms(&mut socket, "subscribe", Some("market:A"), "subscribed", &rooms);
    socket.say(&command("subscribe", "market:B"));
    socket.expect_error("RATE_LIMIT_EXCEEDED");
    expect_rooms(&mut socket, "subscribe", Some("market:A"), "subscribed", &rooms);
    // What adds nothing is not counted.
    expect_rooms(&mut socket, "subscribe", Some("alerts"), "subscribed", &["user:u", "alerts", "market:A"]);
}

#[test]
fn a_message_that_is_too_large_is_told_and_ends_the_session() {
    let server = Server::start();
    let mut socket = of_user(&server, "u", &[]);
    socket.say(&format!("{:<16384}", r#"{"type":"list_rooms"}"#));
    socket.message("room_subscription");
    socket.say(&format!("{:<16385}", r#"{"type":"list_rooms"}"#));
    assert!(socket.expect_error("MESSAGE_TOO_LARGE").contains("16384"));
    socket.expect_close(CloseCode::MESSAGE_TOO_BIG);
}

#[test]
fn a_page_of_another_origin_gets_no_socket_even_with_a_token() {
    let server = Server::configured("[server]\nallowed_origins = [\"https://app.example\"]\n");
    let bearer = format!("Bearer {}", server.token("u", &[]));
    let open = |origin| Socket::open_with(server.address, PATH, &[("Origin", origin), ("Authorization", &bearer)]);
    greeting(&mut open("https://app.example").expect("an upgrade"), "u");
    assert_eq!(open("https://evil.example").expect_err("a stranger").status, 403);
}
