//! Sockets that stop reading while events keep coming, far past what the kernel and the shard's log hold for them: what
//! becomes of them is their policy's, the server's memory stays flat, and nobody else notices.

use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, SockRef, Socket as RawSocket, Type};
use stentor::limits::{SEND_BUFFER_BYTES, SHARD_LOG_BYTES, WINDOW_KEPT_BYTES};
use stentor::ws::CloseCode;

use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::padded;

/// With its envelope an event is 40 KiB, and a round of 16 is 640 KiB.
const PAD_BYTES: usize = (40 << 10) - 300;
const ROUND_EVENTS: usize = 16;
const ROUND_BYTES: usize = ROUND_EVENTS * PAD_BYTES;

/// The kernel doubles it, as it does [`SEND_BUFFER_BYTES`].
const RECEIVE_BUFFER_BYTES: usize = 4 << 10;
const KERNEL_BYTES: usize = 2 * (SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES);

/// So many wrap the log twice while a socket has taken no more than the kernel holds: it must have fallen off the log.
const ROUNDS_PAST_THE_LOG: usize = 16;
const _: () = assert!(ROUNDS_PAST_THE_LOG * ROUND_BYTES > 2 * SHARD_LOG_BYTES + KERNEL_BYTES);

/// After so many, what such a socket misses is not in memory either.
const ROUNDS_PAST_THE_WINDOW: usize = 60;
const _: () = assert!(ROUNDS_PAST_THE_WINDOW * ROUND_BYTES > WINDOW_KEPT_BYTES + SHARD_LOG_BYTES + KERNEL_BYTES);

/// What the server may grow by once its log and its window are in use: the rests of half-sent frames, what the sockets that
/// catch up are handed, and what the allocator holds back. Their backlogs would be 20 × 37 MiB.
const GROWTH_BYTES_MAX: u64 = 40 << 20;

/// A socket of the account `watcher` that takes little before the server's sends are refused.
fn stalled(server: &Server, terms: &str) -> Socket {
    let raw = RawSocket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    raw.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).expect("a small buffer");
    raw.connect(&server.address.into()).expect("a connection");
    Socket::open_on(raw.into(), &(server.alerts_path() + terms), b"").expect("an upgrade")
}

/// A line of the process's status, in bytes.
fn memory(server: &Server, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("our own child");
    let value = status.lines().find_map(|found| found.strip_prefix(line)).expect("the line");
    value.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Each event of a round has a conflation key of its own, which it shares with those of the other rounds.
fn round(number: usize) -> Vec<Value> {
    let event = |nth: usize| {
        let mut event = padded(OWNER, number * ROUND_EVENTS + nth, PAD_BYTES);
        event["key"] = format!("key-{nth}").into();
        event
    };
    (0..ROUND_EVENTS).map(event).collect()
}

/// Publishes some rounds; returns the first and the last number.
fn publish_rounds(server: &Server, rounds: usize) -> (u64, u64) {
    let mut published = (0..rounds).map(|number| server.publish(&round(number)));
    let (first_seq, mut last_seq) = published.next().expect("a round");
    published.for_each(|(_, last)| last_seq = last);
    (first_seq, last_seq)
}

/// What a socket is sent next that is neither a ping nor an event: events are counted in `next_seq`, and must be those that
/// follow it.
fn read_events(socket: &mut Socket, next_seq: &mut u64, last_seq: u64) -> Option<Received> {
    while *next_seq <= last_seq {
        match socket.receive_past_pings(Duration::from_secs(30)) {
            Some(Received::Text(text)) => {
                let message: Value = serde_json::from_str(&text).expect("a whole frame");
                if message["type"] == "gap" {
                    return Some(Received::Text(text));
                }
                assert_eq!(message["seq"], *next_seq, "no event is left out, and none comes twice");
                *next_seq += 1;
            }
            other => return other,
        }
    }
    None
}

/// Sockets that read all the time. Each tells when it has a round: the publisher waits for all, so that only the stalled are
/// slow.
struct Healthy {
    readers: Vec<JoinHandle<()>>,
    tells: Receiver<()>,
}

impl Healthy {
    fn connect(server: &Server, count: usize, rounds: usize) -> Self {
        let (told, tells) = channel();
        let reader = |_| {
            let (mut socket, told) = (server.connect(), told.clone());
            let mut next_seq = socket.told_seq + 1;
            thread::spawn(move || {
                for _ in 0..rounds {
                    let last_seq = next_seq + ROUND_EVENTS as u64 - 1;
                    assert_eq!(read_events(&mut socket, &mut next_seq, last_seq), None);
                    told.send(()).expect("the test waits");
                }
            })
        };
        Self { readers: (0..count).map(reader).collect(), tells }
    }

    fn publish_round(&self, server: &Server, number: usize) {
        server.publish(&round(number));
        for _ in &self.readers {
            self.tells.recv_timeout(Duration::from_secs(30)).expect("a healthy socket got its round");
        }
    }

    fn finish(self) {
        self.readers.into_iter().for_each(|reader| reader.join().expect("it got everything in order"));
    }
}

#[test]
fn stalled_sockets_get_everything_once_they_read_and_nobody_else_is_disturbed() {
    const STALLED: usize = 20;
    const HEALTHY: usize = 20;
    /// The log's own memory comes into use with its first lap, and that of the window before.
    const FIRST_LAP: usize = 8;
    /// While the stalled catch up.
    const MORE: usize = 10;
    let server = Server::start();
    publish_rounds(&server, ROUNDS_PAST_THE_WINDOW);
    let healthy = Healthy::connect(&server, HEALTHY, FIRST_LAP + ROUNDS_PAST_THE_WINDOW + MORE);
    (0..FIRST_LAP).for_each(|number| healthy.publish_round(&server, number));
    let stalled: Vec<Socket> = (0..STALLED).map(|_| stalled(&server, "")).collect();
    let before = memory(&server, "VmRSS");
    (0..ROUNDS_PAST_THE_WINDOW).for_each(|number| healthy.publish_round(&server, number));

    let last_seq = server.last_seq() + (MORE * ROUND_EVENTS) as u64;
    let catching_up: Vec<_> = stalled
        .into_iter()
        .map(|mut socket| {
            SockRef::from(&socket.stream).set_recv_buffer_size(256 << 10).expect("a larger buffer");
            thread::spawn(move || {
                let mut next_seq = socket.told_seq + 1;
                assert_eq!(read_events(&mut socket, &mut next_seq, last_seq), None);
            })
        })
        .collect();
    (0..MORE).for_each(|number| healthy.publish_round(&server, number));
    catching_up.into_iter().for_each(|reader| reader.join().expect("a stalled socket got everything in order"));
    healthy.finish();
    let grown = memory(&server, "VmHWM").saturating_sub(before);
    assert!(grown <= GROWTH_BYTES_MAX, "{before} bytes grew by {grown}");
}

/// It also shows that what the other tests here publish is more than is kept for a socket outside the journal.
#[test]
fn stalled_sockets_are_closed_with_4409_where_the_operator_wants_that() {
    let server = Server::configured("[slow_consumers]\nwatchlist_policy = \"disconnect\"\n");
    let mut sockets: Vec<Socket> = (0..10).map(|_| stalled(&server, "")).collect();
    let mut catches_up = stalled(&server, "&policy=catch-up");
    let (first_seq, last_seq) = publish_rounds(&server, ROUNDS_PAST_THE_LOG);
    for socket in &mut sockets {
        // Reads on where it stopped: whole frames in order, the close frame, the end of the stream.
        let mut next_seq = first_seq;
        match read_events(socket, &mut next_seq, last_seq) {
            Some(Received::Close(code, reason)) => {
                assert_eq!(code, CloseCode::SLOW_CONSUMER.get());
                assert!(reason.contains("slow"), "{reason}");
                assert_eq!(socket.receive(), Received::End);
            }
            other => panic!("expected a close frame, got {other:?} before {next_seq}"),
        }
    }
    let mut next_seq = first_seq;
    assert_eq!(read_events(&mut catches_up, &mut next_seq, last_seq), None, "it has chosen otherwise");
}

#[test]
fn a_stalled_socket_that_wants_the_latest_gets_the_newest_of_each_key_and_is_told_what_it_missed() {
    let server = Server::start();
    let mut sockets: Vec<Socket> = (0..10).map(|_| stalled(&server, "&policy=latest")).collect();
    let (first_seq, last_seq) = publish_rounds(&server, ROUNDS_PAST_THE_LOG);
    let newest = last_seq - ROUND_EVENTS as u64 + 1;
    for socket in &mut sockets {
        let mut next_seq = first_seq;
        let gap = match read_events(socket, &mut next_seq, last_seq) {
            Some(Received::Text(text)) => serde_json::from_str::<Value>(&text).expect("JSON"),
            other => panic!("expected a gap, got {other:?} before {next_seq}"),
        };
        assert_eq!(gap, json!({ "type": "gap", "from": next_seq, "to": last_seq, "reason": "latest" }));
        assert!(next_seq < newest, "there was something to pass over");
        next_seq = newest;
        assert_eq!(read_events(socket, &mut next_seq, last_seq), None);
    }
    // From then on everything comes.
    let (next_seq, last_seq) = publish_rounds(&server, 1);
    for socket in &mut sockets {
        assert_eq!(read_events(socket, &mut next_seq.clone(), last_seq), None);
    }
}
