//! The checker checked: what a faithful server sends passes, and every way of being unfaithful is found and named.

use super::*;
use crate::frame::server_text;
use crate::handshake::accept_upgrade;
use crate::limits::TIERED_PING_MS;
use crate::mixed::roster::{Identity, SubscriberKey, Wish};
use crate::schedule::Schedule;
use crate::target::Target;
use serde_json::json;

const EVENTS: u32 = 400;
const BURST: u32 = 4;
/// The number that the server gives to event 0. Later steps leave one out, as other publishers' events would.
const FIRST_SEQ: u64 = 100;

fn seq_of(event: u32) -> u64 {
    FIRST_SEQ + u64::from(event) + u64::from(event / BURST)
}

struct Bench {
    inbox: Inbox,
    plan: Arc<Plan>,
    notices: Vec<Notice>,
}

impl Bench {
    /// Sockets whose upgrade was sent.
    fn upgrading() -> Self {
        let schedule =
            Schedule { burst: BURST, interval_ns: 1000, rounds: 1, warmup_steps: 0, timed_steps: EVENTS / BURST };
        let sockets_per_protocol = 30;
        let traffic = Traffic::new(5, EVENTS, Roster::users(sockets_per_protocol));
        let keys = ["k0", "k1", "k2"].map(|key| SubscriberKey { key: key.into(), may_bots: key == "k2" });
        let roster = Roster::new(5, sockets_per_protocol, keys.into(), &traffic);
        let server = Target::parse("http://127.0.0.1:1", "http").unwrap();
        let credentials = Credentials { server, nonce: [7; 16], jwt_secret: b"secret".to_vec(), now_s: 1_700_000_000 };
        let plan = Arc::new(Plan { traffic, roster, credentials });
        let timetable = Arc::new(Timetable::new(schedule));
        timetable.begin_round(0, 0);
        Self { inbox: Inbox::new(Arc::clone(&plan), &timetable), plan, notices: Vec::new() }
    }

    /// Sockets that are ready.
    fn ready() -> Self {
        let mut bench = Self::upgrading();
        bench.inbox.sockets.iter_mut().for_each(|socket| socket.stream.phase = Phase::Open);
        bench
    }

    fn receive(&mut self, socket: u32, bytes: &[u8]) {
        self.inbox.receive(socket, bytes, 5_000_000, &mut self.notices);
    }

    fn upgrade(&mut self, socket: u32) {
        let answer = accept_upgrade(&self.inbox.upgrade(socket)).unwrap();
        self.receive(socket, &answer);
    }

    fn events_of(&self, socket: u32) -> Vec<u32> {
        self.plan.roster.classes[self.plan.roster.class_of(socket) as usize].events.clone()
    }

    fn frames(&self, events: impl IntoIterator<Item = u32>) -> Vec<u8> {
        events.into_iter().flat_map(|event| self.plan.traffic.frame(event, seq_of(event))).collect()
    }

    /// Delivers to all sockets what they should get, but to `socket` what `stream` makes of it.
    fn deliver(&mut self, socket: u32, stream: impl Fn(&Self, Vec<u32>) -> Vec<u8>) {
        for each in 0..self.plan.roster.sockets() {
            let events = self.events_of(each);
            let bytes = if each == socket { stream(self, events) } else { self.frames(events) };
            self.receive(each, &bytes);
        }
    }

    fn harvest(mut self) -> Book {
        self.inbox.end_batch(5_000_000, 0);
        let step_seqs: Vec<u64> = (0..EVENTS / BURST).map(|step| seq_of(step * BURST)).collect();
        for socket in 0..self.plan.roster.sockets() {
            self.inbox.leave(socket);
        }
        self.inbox.harvest(&step_seqs, BURST, 60_000_000_000).book
    }
}

/// The first socket of a protocol with many events.
fn socket_of(protocol: Protocol, bench: &Bench) -> u32 {
    let fits = |socket: &u32| Protocol::of_socket(*socket) == protocol && bench.events_of(*socket).len() > 5;
    (0..bench.plan.roster.sockets()).find(fits).expect("some socket has many events")
}

/// What is found when one socket of each protocol in turn is treated so; each must be found alone.
fn assert_found(fault: Fault, count: u64, stream: impl Fn(&Bench, Vec<u32>) -> Vec<u8>) {
    for protocol in Protocol::ALL {
        let mut bench = Bench::ready();
        let socket = socket_of(protocol, &bench);
        bench.deliver(socket, &stream);
        let book = bench.harvest();
        assert_eq!(book.count(protocol, fault), count, "{protocol:?}: {:?}", book.broken());
        assert_eq!(book.broken().len(), 1, "{:?}", book.broken());
        assert!(book.examples[0].contains(&format!("socket {socket} ")), "{:?}", book.examples);
    }
}

#[test]
fn a_faithful_stream_cut_anywhere_passes() {
    for cut in [1, 2, 3, 7, 100, 333, 4096] {
        let mut bench = Bench::ready();
        for socket in 0..bench.plan.roster.sockets() {
            let stream = bench.frames(bench.events_of(socket));
            stream.chunks(cut).for_each(|piece| bench.receive(socket, piece));
        }
        assert!(bench.notices.is_empty() && bench.inbox.carries.is_empty());
        assert_eq!(bench.inbox.end_batch(5_000_000, 0), bench.plan.roster.deliveries());
        assert_eq!(bench.harvest().broken(), [""; 0], "cut every {cut}");
    }
}

#[test]
fn a_missing_event_is_found_in_the_middle_and_at_the_end() {
    assert_found(Fault::Missing, 1, |bench, mut events| {
        events.remove(2);
        bench.frames(events)
    });
    assert_found(Fault::Missing, 2, |bench, mut events| {
        events.truncate(events.len() - 2);
        bench.frames(events)
    });
}

#[test]
fn a_doubled_event_is_found() {
    assert_found(Fault::Duplicated, 1, |bench, mut events| {
        events.insert(3, events[2]);
        bench.frames(events)
    });
    assert_found(Fault::Duplicated, 1, |bench, mut events| {
        events.push(events[0]);
        bench.frames(events)
    });
}

#[test]
fn a_reordered_event_is_found() {
    assert_found(Fault::Reordered, 1, |bench, mut events| {
        events.swap(2, 3);
        bench.frames(events)
    });
}

#[test]
fn an_event_of_another_topic_is_found() {
    assert_found(Fault::Foreign, 1, |bench, mut events| {
        let foreign = (0..EVENTS).find(|event| *event > events[2] && !events.contains(event)).unwrap();
        events.insert(3, foreign);
        bench.frames(events)
    });
}

#[test]
fn a_topic_that_was_given_up_again_is_foreign() {
    let mut bench = Bench::ready();
    let (socket, event) = (0..bench.plan.roster.sockets())
        .find_map(|socket| {
            let wishes = bench.plan.roster.member(socket).wishes;
            let topic = wishes.iter().find_map(|wish| match wish {
                Wish::Unsubscribe(topic) => Some(*topic),
                _ => None,
            })?;
            Some((socket, (0..EVENTS).find(|event| bench.plan.traffic.topic(*event) == topic)?))
        })
        .expect("some socket gives up a topic that has an event");
    bench.deliver(socket, |bench, mut events| {
        events.push(event);
        events.sort_unstable();
        bench.frames(events)
    });
    let book = bench.harvest();
    assert_eq!(book.count(Protocol::of_socket(socket), Fault::Foreign), 1, "{:?}", book.broken());
}

#[test]
fn one_altered_byte_is_found_anywhere_in_a_frame_that_others_got_whole() {
    for back in [1, 2, 5, 30] {
        assert_found(Fault::Altered, 1, move |bench, events| {
            let mut bytes = bench.frames(events);
            let at = bytes.len() - back;
            bytes[at] ^= 1;
            bytes
        });
    }
}

#[test]
fn a_first_copy_that_is_altered_is_found_and_not_taken_for_the_right_one() {
    let mut bench = Bench::ready();
    let socket = socket_of(Protocol::Tiered, &bench);
    assert_eq!(socket, 1, "the first one of its class");
    bench.deliver(socket, |bench, events| {
        let mut bytes = bench.frames(events);
        let at = bytes.len() - 5;
        bytes[at] ^= 1;
        bytes
    });
    let book = bench.harvest();
    assert_eq!(book.broken(), ["tiered: 1 altered"]);
}

#[test]
fn another_protocols_envelope_is_altered() {
    let mut bench = Bench::ready();
    let socket = socket_of(Protocol::Tiered, &bench);
    bench.deliver(socket, |bench, events| {
        let frame = |event: &u32| {
            let bytes = bench.plan.traffic.frame(*event, seq_of(*event));
            let text = String::from_utf8_lossy(first_frame(&bytes).unwrap().unwrap().payload).into_owned();
            server_text(text.replacen("\"alert\"", "\"trade\"", 1).as_bytes())
        };
        events.iter().flat_map(frame).collect()
    });
    let altered = bench.events_of(socket).len() as u64;
    let book = bench.harvest();
    assert_eq!(book.count(Protocol::Tiered, Fault::Altered), altered);
}

#[test]
fn a_number_that_is_not_the_publishers_is_found() {
    let mut bench = Bench::ready();
    for socket in 0..bench.plan.roster.sockets() {
        let frame = |event: u32| bench.plan.traffic.frame(event, seq_of(event) + u64::from(event == 50));
        let bytes: Vec<u8> = bench.events_of(socket).into_iter().flat_map(frame).collect();
        bench.receive(socket, &bytes);
    }
    let protocol = bench.plan.traffic.topic(50).protocol();
    let heard = bench.plan.roster.classes.iter().any(|class| class.events.contains(&50));
    assert!(heard, "event 50 has a listener");
    let book = bench.harvest();
    assert_eq!(book.count(protocol, Fault::Renumbered), 1);
    assert_eq!(book.broken().len(), 1, "{:?}", book.broken());
}

#[test]
fn any_other_message_or_frame_is_unexpected() {
    for strange in [
        &server_text(br#"{"type":"gap","from":1,"to":2,"reason":"retention"}"#)[..],
        &server_text(br#"{"type":"pong"}"#),
        &server_text(br#"{"type":"trade","seq":1,"data":{"n":99999999}}"#),
        &server_text(b"not json"),
        b"\x8a\x00",
        b"\x82\x02hi",
        b"\x80\x02hi",
    ] {
        assert_found(Fault::Unexpected, 1, |bench, events| [&bench.frames(events), strange].concat());
    }
}

#[test]
fn half_a_frame_at_the_end_is_unexpected() {
    assert_found(Fault::Unexpected, 1, |bench, events| [&bench.frames(events)[..], b"\x81\x05hal"].concat());
}

#[test]
fn a_socket_that_ends_early_is_told_once_and_lacks_the_rest() {
    let mut bench = Bench::ready();
    let socket = socket_of(Protocol::Rooms, &bench);
    bench.deliver(socket, |bench, events| [&bench.frames(events[..2].to_vec()), &b"\x88\x06\x11\x39slow"[..]].concat());
    bench.inbox.ended(socket, "end of stream", &mut bench.notices);
    let ended = bench.notices.iter().filter(|notice| matches!(notice, Notice::Ended { .. })).count();
    assert_eq!((ended, bench.notices.len()), (1, 2), "one answer to the close frame, one end");
    let missing = bench.events_of(socket).len() as u64 - 2;
    let book = bench.harvest();
    assert_eq!((book.count(Protocol::Rooms, Fault::Ended), book.count(Protocol::Rooms, Fault::Missing)), (1, missing));
    assert!(book.examples.iter().any(|example| example.contains("4409")), "{:?}", book.examples);
}

#[test]
fn pings_are_answered_where_the_server_sends_them_and_sent_where_the_client_must() {
    let mut bench = Bench::upgrading();
    let tiered = 1;
    bench.upgrade(tiered);
    bench.receive(tiered, &server_text(br#"{"type":"connected","message":"m","tier":"pro","seq":7}"#));
    assert_eq!(bench.notices, [Notice::Opened]);
    bench.notices.clear();
    bench.inbox.tend(|| 5_000_000 + TIERED_PING_MS * 1_000_000, &mut bench.notices);
    assert_eq!(bench.notices, [Notice::Reply { socket: tiered, frame: client_text(b"ping") }]);
    bench.receive(tiered, &server_text(br#"{"type":"pong","seq":9}"#));
    bench.notices.clear();
    bench.receive(tiered, b"\x89\x02hi");
    assert_eq!(bench.notices, [Notice::Reply { socket: tiered, frame: client_control(OPCODE_PONG, b"hi") }]);
    assert_eq!((bench.inbox.chatter[1].pongs, bench.inbox.chatter[1].server_pings), (1, 1));
    bench.receive(tiered, &server_text(br#"{"type":"pong","seq":9}"#));
    assert_eq!(bench.harvest().count(Protocol::Tiered, Fault::Unexpected), 1, "one pong too many");
}

#[test]
fn a_ping_without_an_answer_is_found() {
    let mut bench = Bench::ready();
    bench.inbox.heartbeats.begin(1, Protocol::Tiered.beat().unwrap(), 0);
    bench.inbox.tend(|| TIERED_PING_MS * 1_000_000, &mut bench.notices);
    assert_eq!(bench.harvest().count(Protocol::Tiered, Fault::Unanswered), 1);
}

#[test]
fn an_event_whose_number_was_told_before_it_came_is_overtaken() {
    // The second socket's copies are known already.
    for (socket, told, overtaken) in [(1, 0, 0), (1, 1, 1), (5, 0, 0), (5, 1, 1)] {
        let mut bench = Bench::ready();
        bench.inbox.sockets[socket as usize].pings_unanswered = 1;
        bench.deliver(socket, |bench, events| {
            let pong = server_text(json!({ "type": "pong", "seq": seq_of(events[told]) }).to_string().as_bytes());
            [&bench.frames(events[..1].to_vec()), &pong[..], &bench.frames(events[1..].to_vec())].concat()
        });
        let book = bench.harvest();
        assert_eq!(book.count(Protocol::Tiered, Fault::Overtaken), overtaken, "{:?}", book.broken());
    }
}

/// What a faithful server answers to the first breath of a channels or rooms socket.
fn answers(steps: &VecDeque<Step>) -> Vec<serde_json::Value> {
    let hears = steps.iter().filter_map(|step| if let Step::Hear(answer) = step { Some(answer) } else { None });
    hears.map(super::super::dialogue::example).collect()
}

#[test]
fn sockets_of_every_protocol_become_ready_when_all_is_answered_and_not_before() {
    let mut bench = Bench::upgrading();
    for socket in 0..bench.plan.roster.sockets() {
        bench.notices.clear();
        let member = bench.plan.roster.member(socket);
        let answers = answers(&bench.plan.credentials.dialogue(&bench.plan.roster, &member));
        bench.upgrade(socket);
        for answer in &answers {
            assert!(!bench.notices.contains(&Notice::Opened), "socket {socket} is not ready before {answer}");
            bench.receive(socket, &server_text(answer.to_string().as_bytes()));
        }
        assert_eq!(bench.notices.last(), Some(&Notice::Opened), "socket {socket}: {:?}", bench.notices);
        let breaths = bench.notices.len() - 1;
        let expected = match member.identity {
            Identity::Key(_) if member.protocol != Protocol::Channels => 0,
            Identity::User { by_header: false, .. } => 2,
            _ => 1,
        };
        assert_eq!(breaths, expected, "socket {socket}");
    }
    assert!(bench.inbox.dialogues.is_empty());
}

#[test]
fn a_wrong_answer_or_an_end_while_getting_ready_stops_the_run() {
    let mut bench = Bench::upgrading();
    let channels = 2;
    bench.upgrade(channels);
    bench.notices.clear();
    bench.receive(channels, &server_text(br#"{"type":"error","code":"AUTHENTICATION_FAILED","message":"no"}"#));
    assert!(matches!(&bench.notices[..], [Notice::Astray(what)] if what.contains("AUTHENTICATION_FAILED")));
    let mut bench = Bench::upgrading();
    bench.upgrade(channels);
    bench.notices.clear();
    bench.inbox.ended(channels, "reset", &mut bench.notices);
    assert!(matches!(&bench.notices[..], [Notice::Astray(what)] if what.contains("reset")));
}
