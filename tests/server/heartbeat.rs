//! Pings and what becomes of those who don't answer. The periods are the protocol's: 20 s, and 4408 after two pings
//! without a sign of life.

use std::thread;
use std::time::{Duration, Instant};

use stentor::ws::{CloseCode, Opcode};

use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::trade;

/// Past the moment at which the last silent socket must be gone: a first ping within 20 s, two periods, and room.
const WATCHED: Duration = Duration::from_secs(64);

/// Late by this much and the machine was merely busy.
const SLACK: Duration = Duration::from_secs(4);

/// What happened to a socket over time.
#[derive(Debug)]
struct Course {
    pings: Vec<Duration>,
    closed: Option<(Duration, u16)>,
}

/// Watches a socket until it is closed or the time is over; `life` is what it does at each ping.
fn watch(mut socket: Socket, mut life: impl FnMut(&mut Socket, &[u8])) -> (Course, Socket) {
    let began = Instant::now();
    let mut course = Course { pings: Vec::new(), closed: None };
    while let Some(left) = WATCHED.checked_sub(began.elapsed()) {
        match socket.receive_within(left) {
            Some(Received::Ping(payload)) => {
                course.pings.push(began.elapsed());
                life(&mut socket, &payload);
            }
            Some(Received::Close(code, _)) => {
                course.closed = Some((began.elapsed(), code));
                break;
            }
            Some(other) => panic!("expected pings only, got {other:?}"),
            None => {}
        }
    }
    (course, socket)
}

#[test]
fn pings_come_every_twenty_seconds_and_only_the_silent_are_closed() {
    let server = Server::start();
    let period = Duration::from_secs(20);
    let living = [
        ("pong", Opcode::Pong),
        // Any input is a sign of life, not pongs alone.
        ("text", Opcode::Text),
    ]
    .map(|(name, opcode)| {
        let socket = server.connect();
        (name, thread::spawn(move || watch(socket, |socket, payload| socket.send(opcode, payload))))
    });
    let silent: Vec<_> =
        (0..4).map(|_| server.connect()).map(|socket| thread::spawn(move || watch(socket, |_, _| {}))).collect();

    for course in silent {
        let (course, mut socket) = course.join().expect("no panic");
        let (at, code) = course.closed.unwrap_or_else(|| panic!("a silent socket is still open: {course:?}"));
        assert_eq!((code, course.pings.len()), (CloseCode::HEARTBEAT.get(), 2), "{course:?}");
        assert!(at >= period * 2 && at <= period * 3 + SLACK, "{course:?}");
        assert_eq!(socket.receive(), Received::End);
    }
    let living = living.map(|(name, course)| (name, course.join().expect("no panic")));
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    for (name, (course, mut socket)) in living {
        assert_eq!(course.closed, None, "{name}: {course:?}");
        assert!(course.pings[0] <= period + SLACK && course.pings.len() >= 3, "{name}: {course:?}");
        for pair in course.pings.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(apart >= period - SLACK && apart <= period + SLACK, "{name}: {course:?}");
        }
        assert_eq!(socket.trade()["seq"], seq, "{name}");
    }
}
