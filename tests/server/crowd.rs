//! A desk with more connections than places: those that say nothing keep nobody out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::churn::small_server;
use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::trade::trade;

/// More than the small server's desk has places for.
const CROWD: usize = 200;

/// A connection that had an answer and is kept.
fn kept(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n").expect("a request");
    assert_eq!(Reply::read(&mut stream).status, 200);
    stream
}

/// How long the server takes to end it.
fn end(stream: &mut TcpStream, patience: Duration) -> Duration {
    let began = Instant::now();
    stream.set_read_timeout(Some(patience)).expect("a timeout");
    assert_eq!(stream.read(&mut [0; 64]).expect("an end, not silence"), 0, "an end without words");
    began.elapsed()
}

#[test]
fn idle_connections_at_the_bound_make_way_at_once_the_oldest_first() {
    let server = small_server();
    let began = Instant::now();
    let mut idle: Vec<TcpStream> = (0..CROWD).map(|_| kept(&server)).collect();
    let mut session = server.connect();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert!(end(&mut idle[0], Duration::from_secs(1)) < Duration::from_secs(1));
    // Then there is a place for each, and the oldest still there have a short deadline.
    assert!((2..9).contains(&end(&mut idle[CROWD - 100], Duration::from_secs(20)).as_secs()));
    // By now the desk is half empty, so the newest may stay.
    let newest = idle.last_mut().expect("a crowd");
    newest.write_all(b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n").expect("a request");
    assert_eq!(Reply::read(newest).status, 200);
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    assert_eq!(session.trade()["seq"], seq);
}

#[test]
fn silent_connections_at_the_bound_make_way_after_a_second() {
    let server = small_server();
    let silent: Vec<_> = (0..CROWD).map(|_| TcpStream::connect(server.address).expect("a connection")).collect();
    let began = Instant::now();
    server.connect();
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn half_a_second_request_is_answered_408_as_soon_as_half_a_first() {
    let server = Server::start();
    let mut stream = kept(&server);
    // By then the deadline of the first request is over, and the one that counts is that of the keep-alive.
    std::thread::sleep(Duration::from_secs(11));
    let began = Instant::now();
    stream.write_all(b"GET /healthz HT").expect("half a request");
    assert_eq!(Reply::read(&mut stream).status, 408);
    assert!((9..15).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    assert_eq!(Request::get("/healthz").send(server.address).status, 200);
}
