//! Sockets that stop reading while events keep coming: they are closed with 4409, the server's memory stays flat, and
//! nobody else notices.

use std::fs;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket as RawSocket, Type};
use stentor::ws::CloseCode;

use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::padded;

const STALLED: usize = 100;
const HEALTHY: usize = 50;

/// With its envelope an event is 40 KiB, a round of 16 is 640 KiB, and 40 rounds wrap the shard's log of 4 MiB six times.
const PAD_BYTES: usize = (40 << 10) - 300;
const ROUND_EVENTS: usize = 16;
const ROUNDS: usize = 40;

/// What the server may grow by once its log is in use: 4 MiB for the rests of half-sent frames, which are kept until the
/// stalled sockets have read them, and what the allocator holds back. Their backlogs would be 100 × 20 MiB.
const GROWTH_BYTES_MAX: u64 = 40 << 20;

/// The kernel doubles it.
const RECEIVE_BUFFER_BYTES: usize = 4 << 10;

/// A socket that takes little before the server's sends are refused.
fn stalled(server: &Server) -> Socket {
    let raw = RawSocket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    raw.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).expect("a small buffer");
    raw.connect(&server.address.into()).expect("a connection");
    Socket::open_on(raw.into(), &server.alerts_path(), b"").expect("an upgrade")
}

fn resident_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("our own child");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn round(number: usize) -> Vec<Value> {
    (0..ROUND_EVENTS).map(|event| padded(OWNER, number * ROUND_EVENTS + event, PAD_BYTES)).collect()
}

#[test]
fn stalled_sockets_are_closed_with_4409_and_nobody_else_is_disturbed() {
    let server = Server::start();
    // Each healthy reader tells when it has a round: the publisher waits for all, so that only the stalled are slow.
    let (told, tells) = channel();
    let readers: Vec<_> = (0..HEALTHY)
        .map(|_| {
            let (mut socket, told) = (server.connect(), told.clone());
            thread::spawn(move || {
                for number in 0..ROUNDS * ROUND_EVENTS {
                    let trade = socket.trade();
                    assert_eq!(trade["data"]["number"], number);
                    if (number + 1) % ROUND_EVENTS == 0 {
                        told.send(()).expect("the test waits");
                    }
                }
            })
        })
        .collect();
    drop(told);
    let publish_round = |number: usize| {
        let (first_seq, _) = server.publish(&round(number));
        for _ in 0..HEALTHY {
            tells.recv_timeout(Duration::from_secs(30)).expect("a healthy socket got its round");
        }
        first_seq
    };
    // The log's own memory comes into use with its first lap.
    const FIRST_LAP: usize = 8;
    for number in 0..FIRST_LAP {
        publish_round(number);
    }
    let mut stalled: Vec<Socket> = (0..STALLED).map(|_| stalled(&server)).collect();
    let before = resident_bytes(&server);
    let first_seq = publish_round(FIRST_LAP);
    let mut most = 0;
    for number in FIRST_LAP + 1..ROUNDS {
        publish_round(number);
        most = most.max(resident_bytes(&server));
    }
    let grown = most.saturating_sub(before);
    assert!(grown <= GROWTH_BYTES_MAX, "{before} bytes grew by {grown}");
    for reader in readers {
        reader.join().expect("a healthy socket got everything in order");
    }
    for socket in &mut stalled {
        expect_slow_consumer(socket, first_seq);
    }
}

/// Reads on where a stalled socket stopped: whole frames in order, the close frame, the end of the stream.
fn expect_slow_consumer(socket: &mut Socket, mut next_seq: u64) {
    loop {
        match socket.receive_past_pings(Duration::from_secs(10)) {
            Some(Received::Text(text)) => {
                let message: Value = serde_json::from_str(&text).expect("a whole frame");
                assert_eq!(message["seq"], next_seq, "no event is left out before the close");
                next_seq += 1;
            }
            Some(Received::Close(code, reason)) => {
                assert_eq!(code, CloseCode::SLOW_CONSUMER.get());
                assert!(reason.contains("slow"), "{reason}");
                assert_eq!(socket.receive(), Received::End);
                return;
            }
            other => panic!("expected trades and a close frame, got {other:?}"),
        }
    }
}
