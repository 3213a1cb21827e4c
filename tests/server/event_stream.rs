//! `GET /events/stream`: who gets one, how its answer begins, and that nothing else stands in it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::trade::trade;
use crate::wait::SOON;

/// Sends a request and reads until the answer has this in it.
fn answer(server: &Server, path: &str, more: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nHost: stentor\r\n{more}\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    read_to(&mut stream, end)
}

fn read_to(stream: &mut TcpStream, end: &str) -> String {
    stream.set_read_timeout(Some(SOON)).expect("a timeout");
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while memchr::memmem::find(&bytes, end.as_bytes()).is_none() {
        let read = stream.read(&mut chunk).expect("more of an answer");
        assert!(read > 0, "the answer ended early: {}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..read]);
    }
    String::from_utf8(bytes).expect("text")
}

/// The head of a stream that begins behind `since`, in lower case.
fn opened(server: &Server, path: &str, more: &str, since: u64) -> String {
    let behind = format!("\r\n\r\nretry: 2000\nid: {since}\n\n");
    let answer = answer(server, path, more, &behind);
    let (head, _) = answer.split_once(&behind).expect("its beginning");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "the desk has said nothing: {answer}");
    head.to_lowercase()
}

fn refused(server: &Server, request: &Request) -> (u16, String) {
    let reply: Reply = request.send(server.address);
    (reply.status, reply.error()["code"].as_str().expect("a code").to_owned())
}

#[test]
fn a_streams_answer_begins_with_its_head_and_the_number_to_go_on_from() {
    let server = Server::start();
    server.publish(&[trade("trade.open", OWNER), trade("trade.close", OWNER)]);
    let (key, token) = (&server.subscriber, server.token("u1", &[]));
    let in_header = format!("X-API-Key: {key}\r\n");
    for (path, more, since) in [
        (format!("/events/stream?topic=wallet:*&topic=alerts&api_key={key}"), "", 2),
        (format!("/events/stream?topic=wallet:{OWNER}&apiKey={key}&since=0&policy=latest"), "", 0),
        (format!("/events/stream?token={token}&topic=market:X"), "", 2),
        ("/events/stream?topic=alerts&since=1".to_owned(), &*in_header, 1),
        ("/events/stream?topic=alerts&since=2".to_owned(), &format!("{in_header}Last-Event-ID: 1\r\n"), 1),
    ] {
        let head = opened(&server, &path, more, since);
        let lines: Vec<&str> = head.split("\r\n").collect();
        for line in [
            "content-type: text/event-stream",
            "cache-control: no-store",
            "x-accel-buffering: no",
            "connection: close",
            "stentor-seq: 2",
        ] {
            assert!(lines.contains(&line), "{line} in {head}");
        }
        assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
    }
}

#[test]
fn a_page_reads_a_stream_where_it_may_and_gets_none_elsewhere() {
    let server = Server::configured("[server]\nallowed_origins = [\"https://app.example\"]\n");
    let path = format!("/events/stream?topic=alerts&api_key={}", server.subscriber);
    let head = opened(&server, &path, "Origin: https://app.example\r\n", 0);
    assert!(head.contains("access-control-allow-origin: https://app.example\r\n"), "{head}");
    let foreign = Request::get(&path).header("Origin", "https://evil.example");
    assert_eq!(refused(&server, &foreign), (403, "FORBIDDEN".into()));
}

#[test]
fn a_stream_behind_other_requests_of_a_connection_begins_behind_their_answers() {
    let server = Server::start();
    let path = format!("/events/stream?topic=alerts&api_key={}", server.subscriber);
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    let ready = "GET /readyz HTTP/1.1\r\nHost: stentor\r\n\r\n";
    stream.write_all(format!("{ready}{ready}GET {path} HTTP/1.1\r\nHost: stentor\r\n\r\n").as_bytes()).expect("sent");
    let text = read_to(&mut stream, "id: 0\n\n");
    let answers: Vec<&str> = text.split("HTTP/1.1 ").collect();
    assert_eq!(answers.len(), 4, "{text}");
    assert!(answers[1].ends_with(r#""last_seq":0}"#) && answers[1] == answers[2], "{text}");
    assert!(answers[3].starts_with("200 OK\r\ncontent-type: text/event-stream\r\n"), "{text}");
}

#[test]
fn a_stream_does_not_cut_an_answer_that_is_on_its_way() {
    let server = Server::start();
    let long = json!({ "type": "alert", "data": { "pad": "x".repeat(60_000) } });
    for _ in 0..4 {
        server.publish(&vec![long.clone(); 5]);
    }
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
    socket.connect(&server.address.into()).expect("a connection");
    let mut stream = TcpStream::from(socket);
    let paths = ["/alerts/latest?", "/events/stream?topic=alerts&"];
    let requests =
        paths.map(|path| format!("GET {path}api_key={} HTTP/1.1\r\nHost: stentor\r\n\r\n", server.subscriber));
    stream.write_all(requests.concat().as_bytes()).expect("sent");
    // Nothing is read for so long that both requests could have been looked at.
    std::thread::sleep(Duration::from_millis(500));
    let text = read_to(&mut stream, "id: 20\n\n");
    let (_, second) = text.rsplit_once("HTTP/1.1 ").expect("a second answer");
    let first = Reply::parse(&text.as_bytes()[..text.len() - second.len() - "HTTP/1.1 ".len()]);
    let first = first.expect("all of the first answer");
    assert_eq!(first.json()["alerts"].as_array().map(Vec::len), Some(17), "as many as an answer holds");
    assert!(second.starts_with("200 OK\r\ncontent-type: text/event-stream\r\n"), "{second}");
}

#[test]
fn whoever_may_not_have_a_stream_is_told_so_by_an_ordinary_answer() {
    let server = Server::start();
    server.publish(&[json!({ "type": "alert", "data": {} })]);
    let pro = server.member("pro", "pro", &[]);
    let get = |query: &str| Request::get(&format!("/events/stream?{query}"));
    let key = |query: &str| get(&format!("{query}&api_key={}", server.subscriber));
    for (request, status, code) in [
        (get("topic=alerts"), 401, "AUTHENTICATION_FAILED"),
        (get("topic=alerts&api_key=stn_nobody"), 401, "AUTHENTICATION_FAILED"),
        (get("token=a.b.c"), 401, "AUTHENTICATION_FAILED"),
        (get(&format!("topic=alerts&api_key={}", server.publisher)), 403, "FORBIDDEN"),
        (get(&format!("topic=wallet:*&api_key={pro}")), 403, "FORBIDDEN"),
        (key("topic=market:X"), 403, "FORBIDDEN"),
        (key("topic=bot:b"), 403, "FORBIDDEN"),
        (key(""), 400, "INVALID_REQUEST"),
        (key("topic=nonsense"), 400, "INVALID_REQUEST"),
        (key("topic=wallet:*&topic=wallet:w"), 400, "INVALID_REQUEST"),
        (key("topic=alerts&since=x"), 400, "INVALID_REQUEST"),
        (key("topic=alerts&policy=x"), 400, "INVALID_REQUEST"),
        (key("topic=alerts&since=2"), 400, "SINCE_IN_FUTURE"),
        (key("topic=alerts&since=0").header("Last-Event-ID", "7"), 400, "SINCE_IN_FUTURE"),
        (key("topic=alerts").body("{}"), 400, "INVALID_REQUEST"),
    ] {
        assert_eq!(refused(&server, &request), (status, code.to_owned()), "{request:?}");
    }
    let post = Request::post("/events/stream").send(server.address);
    assert_eq!((post.status, post.header("allow")), (405, Some("GET")));
}

#[test]
fn older_http_is_answered_plainly() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    let path = format!("/events/stream?topic=alerts&api_key={}", server.subscriber);
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("a request");
    let reply = Reply::read(&mut stream);
    assert_eq!((reply.status, reply.error()["code"].as_str()), (400, Some("INVALID_REQUEST")));
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream
        .write_all(format!("HEAD {path} HTTP/1.1\r\nHost: stentor\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer and an end");
    assert!(text.starts_with("HTTP/1.1 405 "), "{text}");
}

#[test]
fn streams_are_counted_with_the_other_connections_of_a_key() {
    let server = Server::configured("[limits]\nconnections_per_key = 1\nexempt_addresses = []\n");
    let _socket = server.connect();
    let path = format!("/events/stream?topic=alerts&api_key={}", server.subscriber);
    assert_eq!(refused(&server, &Request::get(&path)), (429, "RATE_LIMIT_EXCEEDED".into()));
}
