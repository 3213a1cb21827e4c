//! Clients that come back with the last number that they have: what they missed, then what comes, on every protocol; nothing
//! twice, nothing left out, and a number to go on from in whatever they are told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::{numbered, trade};
use crate::wait::{SOON, until};
use crate::{channels, rooms};

/// What is published, one after the other: an event for each protocol, and one that goes to nobody.
const TOPICS: [&str; 8] =
    ["wallet", "alerts", "price:M", "bot:b1", "user:u1", "market:X", "system", "transactions:elsewhere"];

pub fn event(number: usize) -> Value {
    match TOPICS[number % TOPICS.len()] {
        "wallet" => numbered(OWNER, number),
        "alerts" => json!({ "type": "alert", "data": { "number": number } }),
        topic => json!({ "type": "note", "topic": topic, "data": { "number": number } }),
    }
}

/// A session of one protocol, and the topics that it is for.
pub struct Door {
    pub name: &'static str,
    pub topics: &'static [&'static str],
    /// Opens one that gets what follows a number, and has read all that it is told before.
    pub open: fn(&Server, &Keys, u64) -> Socket,
}

/// What the doors want.
pub struct Keys {
    member: String,
    token: String,
}

impl Keys {
    /// Of an account that may have all topics of [`TOPICS`], and of `u1`.
    pub fn new(server: &Server) -> Self {
        Self { member: server.member("member", "elite", &["bot:*"]), token: server.token("u1", &[]) }
    }
}

/// Has the next message, which must be of that type and carry the number `since`.
fn expect_place(socket: &mut Socket, kind: &str, since: u64) -> Value {
    let message = socket.message(kind);
    assert_eq!(message["seq"], since, "{message}");
    message
}

fn with_since(command: &str, since: u64) -> String {
    let mut command: Value = serde_json::from_str(command).expect("JSON");
    command["since"] = since.into();
    command.to_string()
}

pub const DOORS: [Door; 9] = [
    Door { name: "watchlist", topics: &["wallet"], open: |server, _, since| server.connect_since(since) },
    Door {
        name: "tiered",
        topics: &["alerts"],
        open: |server, keys, since| {
            let path = format!("/ws/alerts?api_key={}&since={since}", keys.member);
            let mut socket = Socket::open(server.address, &path).expect("an upgrade");
            expect_place(&mut socket, "connected", since);
            socket
        },
    },
    Door {
        name: "channels, by auth with topics",
        topics: &["price:M", "bot:b1"],
        open: |server, keys, since| {
            let mut socket = channels::open(server);
            let auth =
                json!({ "type": "auth", "apiKey": keys.member, "since": since, "topics": ["price:M", "bot:b1"] });
            socket.say(&auth.to_string());
            expect_place(&mut socket, "authenticated", since);
            expect_place(&mut socket, "subscribed", since);
            expect_place(&mut socket, "subscribed", since);
            socket
        },
    },
    Door {
        name: "channels, by subscribe",
        topics: &["price:M"],
        open: |server, keys, since| {
            let mut socket = channels::authenticated(server, &keys.member);
            socket.say(&with_since(&channels::command("subscribe", "price:M"), since));
            expect_place(&mut socket, "subscribed", since);
            socket
        },
    },
    Door {
        name: "channels, by address",
        topics: &["bot:b1", "price:M"],
        open: |server, keys, since| {
            let mut socket = Socket::open(server.address, &format!("/v1/ws?since={since}")).expect("an upgrade");
            let commands = ["bot:b1", "price:M"].map(|topic| channels::command("subscribe", topic));
            socket.say_at_once(&[&channels::auth(&keys.member), &commands[0], &commands[1]]);
            expect_place(&mut socket, "authenticated", since);
            expect_place(&mut socket, "subscribed", since);
            expect_place(&mut socket, "subscribed", since);
            socket
        },
    },
    Door {
        name: "rooms, by auth",
        topics: &["user:u1", "system"],
        open: |server, keys, since| {
            let mut socket = rooms::open(server);
            socket.say(&with_since(&rooms::auth(&keys.token), since));
            expect_place(&mut socket, "connection", since);
            socket
        },
    },
    Door {
        name: "rooms, by address and header",
        topics: &["user:u1", "system"],
        open: |server, keys, since| {
            let bearer = format!("Bearer {}", keys.token);
            let path = format!("/ws?since={since}");
            let mut socket =
                Socket::open_with(server.address, &path, &[("Authorization", &bearer)]).expect("an upgrade");
            expect_place(&mut socket, "connection", since);
            socket
        },
    },
    Door {
        name: "rooms, by auth, with a market in the same breath",
        topics: &["user:u1", "system", "market:X"],
        open: |server, keys, since| {
            let mut socket = rooms::open(server);
            let auth = with_since(&rooms::auth(&keys.token), since);
            let subscribe = json!({ "type": "subscribe", "channel": "market:X", "since": since }).to_string();
            socket.say_at_once(&[&auth, &subscribe]);
            expect_place(&mut socket, "connection", since);
            expect_place(&mut socket, "room_subscription", since);
            socket
        },
    },
    Door {
        name: "rooms, by address, with a market in the same breath",
        topics: &["user:u1", "system", "market:X"],
        open: |server, keys, since| {
            let mut socket = Socket::open(server.address, &format!("/ws?since={since}")).expect("an upgrade");
            let subscribe = json!({ "type": "subscribe", "channel": "market:X" }).to_string();
            socket.say_at_once(&[&rooms::auth(&keys.token), &subscribe]);
            expect_place(&mut socket, "connection", since);
            expect_place(&mut socket, "room_subscription", since);
            socket
        },
    },
];

/// Reads messages up to the number `last_seq`, and returns all numbers. Nothing but events may come.
pub fn numbers_to(socket: &mut Socket, last_seq: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    while numbers.last() != Some(&last_seq) {
        let message = socket.next_message();
        assert!(!["gap", "error"].iter().any(|kind| message["type"] == *kind), "{message} after {numbers:?}");
        numbers.push(message["seq"].as_u64().expect("a number"));
    }
    numbers
}

/// The numbers of those topics' events, where all of [`event`] were published from 1 on.
pub fn expected(topics: &[&str], since: u64, last_seq: u64) -> Vec<u64> {
    let is_of = |seq: &u64| topics.contains(&TOPICS[(*seq as usize - 1) % TOPICS.len()]);
    (since + 1..=last_seq).filter(is_of).collect()
}

#[test]
fn whoever_comes_back_gets_what_it_missed_then_what_comes_on_every_protocol() {
    let server = Server::start();
    let keys = Keys::new(&server);
    let events: Vec<Value> = (0..20_000).map(event).collect();
    let (before, meanwhile) = events.split_at(4_000);
    for part in before.chunks(1_000) {
        server.publish(part);
    }
    // Each comes back while publishing goes on, so that history and what is live meet somewhere in a stream.
    let opened = AtomicBool::new(false);
    let mut sessions = Vec::new();
    let published = thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut published = before.len();
            // A request ends with another topic each time.
            for part in meanwhile.chunks(37) {
                server.publish(part);
                published += part.len();
                if opened.load(Ordering::Relaxed) {
                    break;
                }
            }
            published
        });
        for since in [0, 1, 1_234, 3_999, 4_000] {
            for door in &DOORS {
                sessions.push((door, since, (door.open)(&server, &keys, since)));
            }
        }
        opened.store(true, Ordering::Relaxed);
        publisher.join().expect("all were accepted")
    });
    assert!(published < events.len(), "it ended before the sessions were open");
    // The last of each topic, live.
    let rest: Vec<Value> = (published..published + 2 * TOPICS.len()).map(event).collect();
    let (_, last_seq) = server.publish(&rest);
    assert_eq!(last_seq as usize, published + rest.len());
    for (door, since, mut socket) in sessions {
        let expected = expected(door.topics, since, last_seq);
        let got = numbers_to(&mut socket, *expected.last().expect("there are some"));
        assert_eq!(got, expected, "{} since {since}", door.name);
    }
}

#[test]
fn a_watchlist_session_gets_everything_after_the_number_in_its_upgrades_answer() {
    let server = Server::start();
    let opened = AtomicBool::new(false);
    let mut sockets = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !opened.load(Ordering::Relaxed) {
                server.publish(&[numbered(OWNER, 0), numbered(OWNER, 0), numbered(OWNER, 0)]);
            }
        });
        sockets.extend((0..200).map(|_| server.connect()));
        opened.store(true, Ordering::Relaxed);
    });
    let (last_seq, _) = server.publish(&[trade("trade.close", OWNER)]);
    for mut socket in sockets {
        let expected: Vec<u64> = (socket.told_seq + 1..=last_seq).collect();
        assert_eq!(numbers_to(&mut socket, last_seq), expected);
    }
}

#[test]
fn a_pong_counts_from_where_the_session_is() {
    let server = Server::start();
    let keys = Keys::new(&server);
    server.publish(&(0..800).map(event).collect::<Vec<_>>());
    for (nth, say) in [(1, "ping"), (2, r#"{"type":"ping"}"#), (5, r#"{"type":"ping"}"#)] {
        let (door, since) = (&DOORS[nth], 100);
        let mut socket = (door.open)(&server, &keys, since);
        socket.say(say);
        // Somewhere among the events, and never ahead of one.
        let expected = expected(door.topics, since, 800);
        let (mut events, mut pong) = (Vec::new(), None::<u64>);
        while pong.is_none() || events.len() < expected.len() {
            let message = socket.next_message();
            let seq = message["seq"].as_u64().expect("a number");
            if message["type"] == "pong" {
                assert!(events.last().unwrap_or(&since) <= &seq, "{}: {seq} behind {events:?}", door.name);
                assert_eq!(pong.replace(seq), None);
            } else {
                assert!(pong.is_none_or(|pong| pong < seq), "{}: {seq} after a pong with {pong:?}", door.name);
                events.push(seq);
            }
        }
        assert_eq!(events, expected, "{}", door.name);
    }
}

#[test]
fn a_number_that_was_never_given_out_is_refused_before_an_upgrade_and_in_messages() {
    let server = Server::start();
    let keys = Keys::new(&server);
    server.publish(&(0..16).map(event).collect::<Vec<_>>());
    let key = &keys.member;
    let in_header = [("X-API-Key", &**key)];
    for path in [
        format!("/ws/alerts?apiKey={key}&since=17"),
        format!("/ws/alerts?api_key={key}&since=17"),
        "/v1/ws?since=17".to_owned(),
        "/ws?since=17".to_owned(),
    ] {
        let reply = Socket::open_with(server.address, &path, &in_header).expect_err("no upgrade");
        assert_eq!((reply.status, reply.error()["code"].as_str()), (400, Some("SINCE_IN_FUTURE")), "{path}");
    }
    let in_future = |socket: &mut Socket, command: &str| {
        socket.say(&with_since(command, 17));
        let words = socket.expect_error("INVALID_MESSAGE");
        assert!(words.contains("17") && words.contains("16"), "{words}");
    };
    // The session goes on, and the same without the mistake is understood.
    let mut socket = channels::open(&server);
    in_future(&mut socket, &channels::auth(key));
    socket.say(&channels::auth(key));
    socket.message("authenticated");
    in_future(&mut socket, &channels::command("subscribe", "price:M"));
    channels::subscribe(&mut socket, "price:M");
    let mut socket = rooms::open(&server);
    in_future(&mut socket, &rooms::auth(&keys.token));
    socket.say(&rooms::auth(&keys.token));
    rooms::greeting(&mut socket, "u1");
    in_future(&mut socket, r#"{"type":"subscribe","channel":"market:X"}"#);
    let poll = Request::get("/api/events?topic=alerts&since=17").header("X-API-Key", key).send(server.address);
    assert_eq!((poll.status, poll.error()["code"].as_str()), (400, Some("SINCE_IN_FUTURE")));
}

#[test]
fn a_topic_that_is_subscribed_to_again_brings_its_history_and_the_others_nothing_twice() {
    let server = Server::start();
    let keys = Keys::new(&server);
    server.publish(&(0..80).map(event).collect::<Vec<_>>());
    let mut socket = channels::authenticated(&server, &keys.member);
    channels::subscribe(&mut socket, "bot:b1");
    socket.say(&with_since(&channels::command("subscribe", "price:M"), 40));
    expect_place(&mut socket, "subscribed", 40);
    let prices = expected(&["price:M"], 40, 80);
    assert_eq!(numbers_to(&mut socket, prices[prices.len() - 1]), prices);
    let (_, last_seq) = server.publish(&(80..96).map(event).collect::<Vec<_>>());
    let both = expected(&["price:M", "bot:b1"], 80, last_seq);
    assert_eq!(numbers_to(&mut socket, both[both.len() - 1]), both);
    // And once more, from the beginning.
    socket.say(&with_since(&channels::command("subscribe", "price:M"), 0));
    expect_place(&mut socket, "subscribed", 0);
    let prices = expected(&["price:M"], 0, last_seq);
    assert_eq!(numbers_to(&mut socket, prices[prices.len() - 1]), prices);
    assert_eq!(socket.receive_past_pings(SOON / 50), None);
}

#[test]
fn a_second_auth_is_answered_with_where_the_session_is_by_then() {
    let server = Server::start();
    let keys = Keys::new(&server);
    server.publish(&(0..80).map(event).collect::<Vec<_>>());
    let mut socket = (DOORS[2].open)(&server, &keys, 0);
    let both = expected(DOORS[2].topics, 0, 80);
    assert_eq!(numbers_to(&mut socket, both[both.len() - 1]), both);
    // Another key of its account, say. What it had before is not to come again.
    until("it is live", SOON, || {
        socket.say(&channels::auth(&keys.member));
        (socket.message("authenticated")["seq"] == 80).then_some(())
    });
}
