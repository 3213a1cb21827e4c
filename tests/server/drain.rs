//! A stop with sessions: newcomers are kept out, everybody is told when to come back and closed evenly, events go on meanwhile, and
//! whoever comes back from where it is told misses nothing.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stentor::ws::CloseCode;

use crate::channels;
use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::{numbered, trade};
use crate::wait::{SOON, until};

fn draining_over(seconds: &str) -> Server {
    Server::start_with(&["--shards", "2", "--drain-seconds", seconds], |_| {})
}

/// A connection that a request was answered on, and that goes on.
fn kept(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    assert_eq!(ask(&mut stream, "GET", "/readyz", "", "").status, 200);
    stream
}

fn ask(stream: &mut TcpStream, method: &str, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: stentor\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).expect("a request");
    Reply::read(stream)
}

fn number(message: &Value, name: &str) -> u64 {
    message[name].as_u64().unwrap_or_else(|| panic!("{name} of {message}"))
}

#[test]
fn everybody_is_told_closed_evenly_and_served_until_then() {
    const SESSIONS: usize = 20;
    let mut server = draining_over("2");
    let mut sockets: Vec<Socket> = (0..SESSIONS).map(|_| server.connect()).collect();
    server.publish(&[numbered(OWNER, 1)]);
    sockets.iter_mut().for_each(|socket| assert_eq!(number(&socket.trade(), "seq"), 1));
    let mut publisher = kept(&server);
    server.terminate();
    let began = Instant::now();
    let told: Vec<Value> = sockets.iter_mut().map(|socket| socket.message("reconnect")).collect();
    assert!(told.iter().all(|told| number(told, "since") == 1), "{told:?}");
    // The drain, the restart, and the place in the drain.
    let mut after_ms: Vec<u64> = told.iter().map(|told| number(told, "after_ms")).collect();
    after_ms.sort_unstable();
    assert!(after_ms.iter().all(|ms| (3_800..=6_000).contains(ms)), "{after_ms:?}");
    for quarter in 0..4_u64 {
        let range = 3_900 + 500 * quarter..4_600 + 500 * quarter;
        let within = after_ms.iter().filter(|ms| range.contains(*ms)).count();
        assert!((3..=10).contains(&within), "they come back evenly: {after_ms:?}");
    }
    // A publisher that is connected goes on, and those who are still here get what it says.
    let key = format!("X-API-Key: {}\r\n", server.publisher);
    let reply = ask(&mut publisher, "POST", "/api/events", &key, &numbered(OWNER, 2).to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut with_event = 0;
    for socket in &mut sockets {
        let (messages, code, _) = socket.read_to_close();
        assert_eq!(code, CloseCode::SERVICE_RESTART.get());
        assert!(messages.len() <= 1, "told once: {messages:?}");
        with_event += messages.len();
        socket.send_close(CloseCode::SERVICE_RESTART, "");
    }
    assert!(with_event > 0, "events go on for those who are not closed yet");
    assert_eq!(server.wait_for_exit(SOON).code(), Some(0), "{}", server.said());
    assert!(began.elapsed() >= Duration::from_millis(1_500), "the last one had its time: {:?}", began.elapsed());
    server.start_again();
    assert_eq!(server.last_seq(), 2);
}

#[test]
fn newcomers_are_kept_out_and_those_who_are_there_are_told_why() {
    let mut server = draining_over("2");
    let mut idle = [(); 5].map(|()| kept(&server));
    let mut socket = server.connect();
    server.terminate();
    socket.message("reconnect");
    let ready = ask(&mut idle[0], "GET", "/readyz", "", "");
    assert_eq!((ready.status, ready.json()["status"].as_str()), (503, Some("draining")));
    assert_eq!(ask(&mut idle[0], "GET", "/healthz", "", "").status, 200, "it lives");
    let refused = Socket::open_on(idle[1].try_clone().expect("a descriptor"), &server.alerts_path(), b"");
    let refused = refused.expect_err("a server that ends");
    assert_eq!((refused.status, refused.error()["code"].as_str()), (503, Some("SHUTTING_DOWN")));
    let refused =
        ask(&mut idle[2], "GET", &format!("/events/stream?topic=alerts&api_key={}", server.subscriber), "", "");
    assert_eq!((refused.status, refused.error()["code"].as_str()), (503, Some("SHUTTING_DOWN")));
    let path = format!("/events/stream?topic=alerts&api_key={}", server.subscriber);
    write!(idle[3], "GET {path} HTTP/1.1\r\nHost: stentor\r\nAccept: text/event-stream\r\n\r\n").expect("a request");
    let mut answer = String::new();
    idle[3].read_to_string(&mut answer).expect("an orderly end");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), "{answer}");
    assert!(answer.contains("\r\nstentor-seq: 0\r\n"), "as every stream: {answer}");
    assert!(answer.contains("\r\n\r\nretry: 4000\n"), "the drain, and the restart: {answer}");
    let metrics = ask(&mut idle[4], "GET", "/metrics", "", "");
    let refused = r#"stentor_handshakes_refused_total{reason="stopping"} 3"#;
    assert!(metrics.text().contains(refused), "all three are: {}", metrics.text());
    // Nobody listens, while sessions are still there.
    until("the listener's end", SOON, || {
        let outcome = TcpStream::connect_timeout(&server.address, Duration::from_millis(200));
        matches!(outcome, Err(error) if error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
    TcpListener::bind(server.address).expect("another server could listen here already");
    socket.send_close(CloseCode::NORMAL, "");
    assert_eq!(server.wait_for_exit(SOON).code(), Some(0));
}

#[test]
fn a_server_without_sessions_stops_at_once_however_long_the_drain() {
    let mut server = draining_over("60");
    drop(server.connect());
    until("an empty server", SOON, || {
        server.terminate();
        Some(())
    });
    let began = Instant::now();
    assert_eq!(server.wait_for_exit(SOON).code(), Some(0), "{}", server.said());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_drain_ends_as_soon_as_everybody_has_left() {
    let mut server = draining_over("60");
    let mut sockets: Vec<Socket> = (0..5).map(|_| server.connect()).collect();
    server.terminate();
    for socket in &mut sockets {
        // The first one's moment may have come already.
        if number(&socket.message("reconnect"), "after_ms") > 62_000 + 12_000 / 5 {
            socket.send_close(CloseCode::GOING_AWAY, "");
        }
        while !matches!(socket.receive_past_pings(SOON), Some(Received::Close(..)) | None) {}
    }
    drop(sockets);
    assert_eq!(server.wait_for_exit(SOON).code(), Some(0), "it does not wait for its minute");
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    let mut server = draining_over("60");
    let mut sockets = [(); 3].map(|()| server.connect());
    server.terminate();
    sockets.iter_mut().for_each(|socket| drop(socket.message("reconnect")));
    server.terminate();
    assert_eq!(server.wait_for_exit(SOON).code(), Some(128 + 15));
}

#[test]
fn a_browser_is_told_in_the_fields_that_it_knows() {
    let mut server = draining_over("1");
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    let path = format!("/events/stream?topic=wallet:*&api_key={}", server.subscriber);
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: stentor\r\n\r\n").as_bytes()).expect("a request");
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut text = String::new();
    let mut chunk = [0; 4096];
    let mut read_to = |stream: &mut TcpStream, words: &str| {
        while !text.contains(words) {
            let read = stream.read(&mut chunk).expect(words);
            text.push_str(std::str::from_utf8(&chunk[..read]).expect("UTF-8"));
        }
    };
    read_to(&mut stream, "id: 0\n\n");
    server.publish(&[trade("trade.open", OWNER)]);
    read_to(&mut stream, "id: 1\ndata: ");
    server.terminate();
    stream.read_to_string(&mut text).expect("an end");
    let (_, told) = text.split_once("event: reconnect\n").unwrap_or_else(|| panic!("{text}"));
    let fields = told.split_once("\n\n").expect("an event's end").0;
    let (retry, data) = fields.split_once("\ndata: ").expect("two fields");
    assert_eq!(retry, "retry: 3000", "counted from the end of the stream");
    let data: Value = serde_json::from_str(data).expect("JSON");
    assert_eq!((data["type"].as_str(), number(&data, "since")), (Some("reconnect"), 1));
    assert!(text.contains("id: 1\nevent: reconnect\n"), "its Last-Event-ID: {text}");
    drop(stream);
    assert_eq!(server.wait_for_exit(SOON).code(), Some(0));
}

/// One client that follows the protocol: it reads until the connection ends, then comes back when and from where it was told.
fn follow(address: SocketAddr, path: &str, events: usize, first: Socket) -> (BTreeSet<u64>, Duration) {
    let (mut socket, mut seen, mut cursor) = (first, BTreeSet::new(), 0);
    let mut comes_back = None::<Instant>;
    loop {
        match socket.receive_past_pings(Duration::from_secs(60)) {
            Some(Received::Text(text)) => {
                let message: Value = serde_json::from_str(&text).expect("JSON");
                match message["type"].as_str() {
                    Some("reconnect") => {
                        let after_ms = number(&message, "after_ms");
                        assert!(number(&message, "since") >= cursor, "{message}");
                        comes_back = Some(Instant::now() + Duration::from_millis(after_ms));
                    }
                    Some("trade") => {
                        cursor = number(&message, "seq");
                        assert!(seen.insert(number(&message["data"], "number")), "{message} came twice");
                        if seen.len() == events {
                            return (seen, Duration::ZERO);
                        }
                    }
                    other => panic!("{other:?}: {text}"),
                }
            }
            Some(Received::Close(1012, _)) => {
                socket.send_close(CloseCode::SERVICE_RESTART, "");
                drop(socket);
                let at = comes_back.take().expect("it was told before");
                thread::sleep(at.saturating_duration_since(Instant::now()));
                let path = format!("{path}&since={cursor}");
                socket = until("the new server", SOON, || {
                    let stream = TcpStream::connect(address).ok()?;
                    Socket::open_on(stream, &path, b"").ok()
                });
            }
            other => panic!("expected a message or 1012, got {other:?} after {} events", seen.len()),
        }
    }
}

#[test]
fn a_restart_under_load_loses_nothing_for_those_who_come_back_as_they_are_told() {
    const CLIENTS: usize = 300;
    const EVENTS: usize = 2_400;
    // A port that the next server gets again.
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").to_string();
    let place = tempfile::tempdir().expect("a directory");
    let config = place.path().join("stentor.toml");
    std::fs::write(&config, "[server]\nrestart_seconds = 1\n").expect("a file");
    let config = config.to_str().expect("UTF-8");
    let flags = ["--shards", "2", "--drain-seconds", "3", "--listen", &free, "--config", config];
    let mut server = Server::start_with(&flags, |_| {});
    let (address, path, key) = (server.address, server.alerts_path(), server.publisher.clone());
    let sockets: Vec<Socket> = (0..CLIENTS).map(|_| server.connect()).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let following: Vec<_> =
            sockets.into_iter().map(|first| scope.spawn(|| follow(address, &path, EVENTS, first))).collect();
        // 200 events a second, each with an id, so that one whose answer was lost is not published twice.
        let publishing = scope.spawn(|| {
            let began = Instant::now();
            for at in 0..EVENTS {
                let mut event = numbered(OWNER, at);
                event["id"] = json!(format!("event-{at}"));
                let due = began + Duration::from_millis(5 * at as u64);
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let request = Request::post("/api/events").header("X-API-Key", &key).body(event.to_string());
                while !stop.load(Ordering::Relaxed) {
                    match request.send_to_a_dying(address) {
                        Some(reply) if reply.status == 200 => break,
                        _ => thread::sleep(Duration::from_millis(50)),
                    }
                }
            }
        });
        thread::sleep(Duration::from_secs(2));
        server.terminate();
        let ended = server.wait_for_exit(Duration::from_secs(30));
        if !ended.success() {
            stop.store(true, Ordering::Relaxed);
            panic!("{ended}: {}", server.said());
        }
        server.start_again();
        publishing.join().expect("every event was published");
        let expected: BTreeSet<u64> = (0..EVENTS as u64).collect();
        for client in following {
            assert_eq!(client.join().expect("a client").0, expected);
        }
    });
    server.stop();
}

#[test]
fn a_session_that_asks_and_does_not_listen_is_told_where_a_pong_would_put_it() {
    let mut server = draining_over("1");
    let key = server.member("member", "elite", &[]);
    let mut socket = channels::open(&server);
    socket.say(&json!({ "type": "auth", "apiKey": key, "topics": ["price:M"] }).to_string());
    socket.message("authenticated");
    socket.message("subscribed");
    server
        .publish(&[json!({ "type": "note", "topic": "price:M", "data": {} }), json!({ "type": "alert", "data": {} })]);
    socket.message("note");
    socket.say(r#"{"type":"ping"}"#);
    let pong = socket.message("pong");
    server.terminate();
    assert_eq!(socket.message("reconnect")["since"], pong["seq"]);
    assert_eq!(socket.read_to_close().1, 1012);
    drop(socket);
    assert_eq!(server.wait_for_exit(SOON).code(), Some(0));
}
