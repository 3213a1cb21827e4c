//! What comes on `GET /events/stream`, as `curl` and a browser read it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Request;
use crate::process::{OWNER, Server};
use crate::trade::{numbered, padded};
use crate::wait::SOON;
use crate::{channels, rooms, tiered};

/// A client that keeps what a browser's `EventSource` keeps.
struct Stream {
    tcp: TcpStream,
    text: Vec<u8>,
    /// What comes back as `Last-Event-ID`.
    last_id: Option<u64>,
}

impl Stream {
    fn open(server: &Server, query: &str, more: &str) -> Self {
        Self::open_on(TcpStream::connect(server.address).expect("a connection"), query, more)
    }

    /// The same over a connection of the caller's.
    fn open_on(mut tcp: TcpStream, query: &str, more: &str) -> Self {
        tcp.set_read_timeout(Some(SOON)).expect("a timeout");
        let request = format!("GET /events/stream?{query} HTTP/1.1\r\nHost: stentor\r\n{more}\r\n");
        tcp.write_all(request.as_bytes()).expect("a request");
        let mut stream = Self { tcp, text: Vec::new(), last_id: None };
        let head = stream.take_to(b"\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        stream
    }

    /// The same where the last one broke off.
    fn reopen(self, server: &Server, query: &str) -> Self {
        let last_id = self.last_id.expect("an id came");
        Self::open(server, query, &format!("Last-Event-ID: {last_id}\r\n"))
    }

    /// The next message, past comments and what has no data.
    fn message(&mut self) -> Option<Value> {
        loop {
            let message = self.take_to(b"\n\n")?;
            let mut data = None;
            for line in message.trim_end().lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => self.last_id = Some(id.parse().expect("a number")),
                    Some(("data", json)) => data = Some(serde_json::from_str(json).expect("JSON")),
                    Some(("retry", "2000")) | Some(("event", "reconnect")) => {}
                    _ => assert!(line.starts_with(':'), "{line:?}"),
                }
            }
            if data.is_some() {
                return data;
            }
        }
    }

    /// The next event, which has this number and is that one.
    fn expect(&mut self, seq: u64, number: usize) {
        let event = self.message().expect("an event");
        assert_eq!((event["seq"].as_u64(), &event["data"]["number"]), (Some(seq), &json!(number)), "{event}");
        assert_eq!(self.last_id, Some(seq), "a browser comes back behind it");
    }

    /// An error, and then the end, in time.
    fn expect_end(&mut self, code: &str, since: Instant) {
        let error = self.message().expect("an error before the end");
        assert_eq!((&error["type"], &error["code"]), (&json!("error"), &json!(code)), "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert_eq!(self.message(), None);
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    }

    /// What comes up to these bytes and with them; none where the stream ends there.
    fn take_to(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.text.windows(end.len()).position(|window| window == end) {
                let taken = self.text.drain(..at + end.len()).collect();
                return Some(String::from_utf8(taken).expect("text"));
            }
            let mut chunk = [0; 16 << 10];
            let read = self.tcp.read(&mut chunk).expect("more, or an end that is no reset");
            if read == 0 {
                assert!(self.text.is_empty(), "it ended inside a message: {}", String::from_utf8_lossy(&self.text));
                return None;
            }
            self.text.extend_from_slice(&chunk[..read]);
        }
    }
}

#[test]
fn a_stream_and_a_socket_of_one_account_have_the_same_events() {
    let server = Server::start();
    let mut socket = server.connect();
    let mut alerts = tiered::greeted(&server, &server.subscriber);
    let key = &server.subscriber;
    let query = format!("topic=wallet:*&topic=alerts&api_key={key}");
    let mut whole = Stream::open(&server, &query, "");
    let mut named = Stream::open(&server, &format!("topic=wallet:{OWNER}"), &format!("X-API-Key: {key}\r\n"));
    for round in 0..50 {
        let events = [numbered(OWNER, round), numbered("somebody", 0), tiered::alert(round), numbered(OWNER, round)];
        let (first, last) = server.publish(&events);
        for seq in [first, last] {
            let trade = socket.trade();
            let streamed = whole.message().expect("an event");
            if seq == first {
                assert_eq!(alerts.message("alert"), whole.message().expect("an alert"));
            }
            assert_eq!((trade["seq"].as_u64(), &trade), (Some(seq), &streamed));
            assert_eq!(named.message().expect("an event"), trade);
            assert_eq!(named.last_id, Some(seq));
        }
    }
}

#[test]
fn a_client_that_lost_its_connection_goes_on_where_it_was() {
    let server = Server::start();
    let query = format!("topic=wallet:*&api_key={}", server.subscriber);
    let mut stream = Stream::open(&server, &query, "");
    server.publish(&[numbered(OWNER, 1), numbered(OWNER, 2), numbered(OWNER, 3)]);
    stream.expect(1, 1);
    stream.expect(2, 2);
    let mut stream = stream.reopen(&server, &query);
    stream.expect(3, 3);
    server.publish(&[numbered("somebody", 0), numbered(OWNER, 5)]);
    stream.expect(5, 5);
    // Before its first event it has the number that its head told.
    let mut fresh = Stream::open(&server, &query, "");
    fresh.take_to(b"id: 5\n\n").expect("a number to go on from");
    fresh.last_id = Some(5);
    drop(stream);
    server.publish(&[numbered(OWNER, 6)]);
    fresh.reopen(&server, &query).expect(6, 6);
    for (since, numbers) in [(0, &[1, 2, 3, 5, 6][..]), (3, &[5, 6]), (6, &[])] {
        let mut stream = Stream::open(&server, &format!("{query}&since={since}"), "");
        numbers.iter().for_each(|number| stream.expect(*number as u64, *number));
    }
}

#[test]
fn a_stream_that_did_not_read_gets_everything_once_it_does() {
    let server = Server::start();
    let query = format!("topic=wallet:*&api_key={}", server.subscriber);
    let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    raw.set_recv_buffer_size(4 << 10).expect("a small buffer");
    raw.connect(&server.address.into()).expect("a connection");
    let mut slow = Stream::open_on(raw.into(), &query, "");
    let mut healthy = Stream::open(&server, &query, "");
    // Three times what the shard's log holds in both framings.
    let count = 600;
    let events: Vec<Value> = (1..=count).map(|number| padded(OWNER, number, 20_000)).collect();
    for part in events.chunks(40) {
        let (first, _) = server.publish(part);
        (first..).take(part.len()).for_each(|seq| healthy.expect(seq, seq as usize));
    }
    (1..=count).for_each(|number| slow.expect(number as u64, number));
}

#[test]
fn what_ends_an_accounts_right_to_it_is_told_and_ends_it() {
    let server = Server::start();
    let key = server.member("alice", "elite", &["bot:b", "price:*"]);
    let open = |query: &str, key: &str| {
        let mut stream = Stream::open(&server, &format!("{query}&api_key={key}"), "");
        stream.take_to(b"\n\n").expect("its beginning");
        stream
    };
    let [mut bot, mut both] = ["topic=bot:b", "topic=price:m&topic=bot:b"].map(|query| open(query, &key));
    let [mut price, mut whole, mut alerts] =
        ["topic=price:m", "topic=wallet:*", "topic=alerts"].map(|query| open(query, &key));
    let mut bystander = open("topic=alerts", &server.subscriber);
    let run = |arguments: &[&str]| {
        server.data_dir.value(arguments);
        Instant::now()
    };
    let since = run(&["account", "set", "alice", "--revoke-grant", "bot:b"]);
    bot.expect_end("FORBIDDEN", since);
    both.expect_end("FORBIDDEN", since);
    let since = run(&["account", "set", "alice", "--tier", "pro"]);
    whole.expect_end("FORBIDDEN", since);
    let (seq, _) = server.publish(&[tiered::alert(1), channels::event("price:m", 2)]);
    assert_eq!(alerts.message().expect("an alert")["seq"], seq);
    assert_eq!(price.message().expect("a price")["number"], 2);
    let since = run(&["key", "revoke", &key]);
    alerts.expect_end("AUTHENTICATION_FAILED", since);
    price.expect_end("AUTHENTICATION_FAILED", since);
    assert_eq!(bystander.message().expect("an alert")["seq"], seq);
    let refused = Request::get(&format!("/events/stream?topic=alerts&api_key={key}")).send(server.address);
    assert_eq!(refused.status, 401);
}

#[test]
fn a_user_has_the_own_rooms_until_the_token_ends() {
    let server = Server::start();
    let token = server.token("u", &["--admin-level", "1", "--ttl", "2s"]);
    let expires_at_s = crate::jwt::payload(&token)["exp"].as_u64().expect("an end");
    let mut stream = Stream::open(&server, &format!("token={token}&topic=market:X"), "");
    server.publish(
        &["user:u", "user:v", "market:X", "market:Y", "admin:1", "admin:2", "system"]
            .map(|topic| rooms::event(topic, 1)),
    );
    let mut seen = Vec::new();
    let error = loop {
        let message = stream.message().expect("an error before the end");
        match message["type"].as_str() {
            Some("error") => break message,
            Some("expiring") => {}
            _ => seen.push(message["seq"].as_u64().expect("a number")),
        }
    };
    assert_eq!((seen, &error["code"]), (vec![1, 3, 5, 7], &json!("AUTHENTICATION_FAILED")));
    assert!(crate::jwt::now_s() >= expires_at_s, "not before its end");
    assert_eq!(stream.message(), None);
}

#[test]
fn a_stop_ends_a_stream_behind_its_events() {
    let mut server = Server::start();
    let query = format!("topic=wallet:*&api_key={}", server.subscriber);
    let mut stream = Stream::open(&server, &query, "");
    server.publish(&[numbered(OWNER, 1)]);
    server.terminate();
    stream.expect(1, 1);
    assert_eq!(stream.message().expect("a word before the end")["type"], "reconnect");
    assert_eq!((stream.message(), stream.last_id), (None, Some(1)));
    drop(stream);
    assert!(server.wait_for_exit(SOON).success());
}
