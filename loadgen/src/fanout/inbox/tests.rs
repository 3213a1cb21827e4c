//! What each kind of sockets makes of what it hears.

use super::super::churn::ChurnPlan;
use super::super::mix::Protocol;
use super::super::opening::Credentials;
use super::*;
use crate::event::EventWriter;
use crate::frame::{OPCODE_CLOSE, server_text};
use crate::handshake::accept_upgrade;
use crate::schedule::Schedule;
use crate::target::Target;

const SCHEDULE: Schedule = Schedule { burst: 1, interval_ns: 1000, rounds: 1, warmup_steps: 0, timed_steps: 6 };
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: BwcHBwcHBwcHBwcHBwcHBw==\r\n\r\n";

/// When bytes come, where a test does not say it: long after all was due.
const NOW_NS: u64 = 5_000_000;

struct Bench {
    inbox: Inbox,
    notices: Vec<Notice>,
    writer: EventWriter,
}

impl Bench {
    /// Plain sockets, which are open.
    fn new(sockets: u32) -> Self {
        let answer = accept_upgrade(REQUEST).unwrap();
        let target = Target::parse("ws://127.0.0.1:1/", "ws").unwrap();
        let mut bench = Self::of(Opening::plain(target), sockets, Conduct::Steady);
        for socket in 0..sockets {
            bench.receive(socket, &answer);
        }
        assert_eq!(std::mem::take(&mut bench.notices), (0..sockets).map(|_| Notice::Opened).collect::<Vec<_>>());
        bench
    }

    fn of(opening: Opening, sockets: u32, conduct: Conduct) -> Self {
        let upgrade = Arc::new(opening.upgrade([7; 16]));
        let timetable = Arc::new(Timetable::new(SCHEDULE));
        timetable.begin_round(0, 0);
        let writer = EventWriter::new("wallet", 300, 100).unwrap();
        let feed = Arc::new(Feed::new(writer.clone(), 300, [opening.topic]));
        let inbox = Inbox::new(sockets, upgrade, Arc::new(opening), feed, timetable, conduct);
        Self { inbox, notices: Vec::new(), writer }
    }

    fn receive(&mut self, socket: u32, bytes: &[u8]) {
        self.inbox.receive(socket, bytes, NOW_NS, &mut self.notices);
    }

    fn frames(&self, events: impl IntoIterator<Item = u32>) -> Vec<u8> {
        events.into_iter().flat_map(|event| self.writer.sent_frame(event, u64::from(event) + 100)).collect()
    }

    fn harvest(mut self) -> (u64, Harvest) {
        (self.inbox.end_batch(NOW_NS, 0), self.inbox.harvest(6))
    }
}

#[test]
fn a_stream_cut_anywhere_delivers_every_event_once() {
    for cut in 1..=400 {
        let mut bench = Bench::new(2);
        let stream = bench.frames(0..6);
        for socket in [0, 1] {
            for piece in stream.chunks(cut) {
                bench.receive(socket, piece);
            }
        }
        assert!(bench.notices.is_empty() && bench.inbox.carries.is_empty());
        let (delivered, harvest) = bench.harvest();
        assert_eq!(delivered, 12, "cut every {cut}");
        assert_eq!((harvest.lost, harvest.duplicated, harvest.reordered, harvest.damaged), (0, 0, 0, 0));
        assert_eq!(harvest.socket_means_ns.len(), 2);
    }
}

#[test]
fn frames_in_the_same_bytes_as_the_upgrade_answer_count() {
    let mut bench = Bench::new(1);
    let mut bytes = accept_upgrade(REQUEST).unwrap();
    bytes.extend(bench.frames(0..2));
    bench.inbox.sockets[0].stream.phase = Phase::Upgrading;
    bench.receive(0, &bytes);
    assert_eq!(bench.notices, [Notice::Opened]);
    assert_eq!(bench.harvest().0, 2);
}

#[test]
fn losses_duplicates_and_reorderings_are_counted_per_socket() {
    let mut bench = Bench::new(3);
    for (socket, events) in [(0, vec![0, 1, 2, 3, 4, 5]), (1, vec![0, 2, 1, 3, 3, 5]), (2, vec![0, 1])] {
        let bytes = bench.frames(events);
        bench.receive(socket, &bytes);
    }
    let (delivered, harvest) = bench.harvest();
    assert_eq!((harvest.lost, harvest.duplicated, harvest.reordered), (1 + 4, 1, 1));
    assert_eq!(delivered, 6 + 5 + 2, "a duplicate is no delivery");
}

#[test]
fn a_frame_that_differs_from_the_first_copy_is_damaged() {
    let mut bench = Bench::new(2);
    let mut bytes = bench.frames(0..1);
    bench.receive(0, &bytes);
    let last = bytes.len() - 30;
    bytes[last] ^= 1;
    bench.receive(1, &bytes);
    assert_eq!(bench.harvest().1.damaged, 1);
}

#[test]
fn an_event_that_every_socket_gets_otherwise_than_it_was_published_is_found_out() {
    for is_faithful in [true, false] {
        let mut bench = Bench::new(2);
        let opening = Arc::get_mut(&mut bench.inbox.opening).unwrap();
        opening.is_faithful = is_faithful;
        let mut bytes = bench.frames(0..2);
        let at = memchr::memmem::find(&bytes, b"xxxx").unwrap();
        bytes[at] = b'y';
        for socket in [0, 1] {
            bench.receive(socket, &bytes);
        }
        let (delivered, harvest) = bench.harvest();
        assert_eq!((delivered, harvest.damaged, harvest.altered), (4, u64::from(is_faithful), u64::from(!is_faithful)));
    }
}

#[test]
fn pings_between_events_are_answered_and_greetings_do_not_count() {
    let mut bench = Bench::new(1);
    let mut bytes = crate::frame::server_text(br#"{"type":"connected","seq":9}"#);
    bytes.extend(bench.frames(0..1));
    bytes.extend([0x89, 2, b'h', b'i']);
    bytes.extend(bench.frames(1..2));
    bench.receive(0, &bytes);
    assert_eq!(bench.notices, [Notice::Reply { socket: 0, frame: client_control(OPCODE_PONG, b"hi") }]);
    let (delivered, harvest) = bench.harvest();
    assert_eq!((delivered, harvest.other_messages), (2, 1));
}

#[test]
fn a_close_frame_is_answered_and_told_with_its_code_and_reason() {
    let mut bench = Bench::new(1);
    bench.receive(0, b"\x88\x06\x11\x39slow");
    let [Notice::Reply { frame, .. }, Notice::Ended { why, .. }] = &bench.notices[..] else { panic!() };
    assert_eq!(frame, &client_control(OPCODE_CLOSE, &[0x11, 0x39]));
    assert!(why.contains("4409") && why.contains("slow"), "{why}");
    bench.notices.clear();
    bench.inbox.ended(0, "end of stream", &mut bench.notices);
    assert!(bench.notices.is_empty(), "told once");
}

#[test]
fn a_broken_stream_ends_the_socket_and_nothing_more_is_read() {
    let mut bench = Bench::new(1);
    bench.receive(0, &[0x81, 0x80, 0, 0, 0, 0]);
    assert!(matches!(&bench.notices[..], [Notice::Ended { why, .. }] if why.contains("masked")));
    let more = bench.frames(0..1);
    bench.receive(0, &more);
    assert_eq!(bench.harvest().0, 0);
}

#[test]
fn a_refused_upgrade_is_told_with_its_body_even_when_cut_short() {
    for (bytes, ends) in [
        (&b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 7\r\n\r\nbad key"[..], false),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\nbad key", true),
    ] {
        let mut bench = Bench::new(1);
        bench.inbox.sockets[0].stream.phase = Phase::Upgrading;
        bench.receive(0, bytes);
        if ends {
            bench.inbox.ended(0, "end of stream", &mut bench.notices);
        }
        let [Notice::Refused(answer)] = &bench.notices[..] else { panic!("{:?}", bench.notices) };
        assert_eq!((answer.status, answer.body.as_str()), (401, "bad key"));
    }
}

/// A crowd of one of Stentor's protocols, whose answers are written by hand.
struct Kind {
    bench: Bench,
    protocol: Protocol,
}

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

impl Kind {
    fn new(protocol: Protocol, sockets: u32, conduct: Conduct) -> Self {
        let credentials = Credentials { key: Some("k"), jwt_secret: Some(b"secret"), now_s: 1 };
        let server = Target::parse("http://127.0.0.1:1", "http").unwrap();
        let opening = Opening::stentor(protocol, 1, &server, "wallet", &credentials).unwrap();
        Self { bench: Bench::of(opening, sockets, conduct), protocol }
    }

    /// One that is through its opening.
    fn open(protocol: Protocol, sockets: u32, conduct: Conduct) -> Self {
        let mut kind = Self::new(protocol, sockets, conduct);
        for socket in 0..sockets {
            kind.receive(socket, &kind.answers().concat());
        }
        kind.bench.notices.clear();
        kind
    }

    /// All that the server says until a socket is open, piece by piece.
    fn answers(&self) -> Vec<Vec<u8>> {
        let texts: &[&str] = match self.protocol {
            Protocol::Watchlist | Protocol::Sse => &[],
            Protocol::Tiered => &[r#"{"type":"connected","message":"hello","tier":"elite","seq":41}"#],
            Protocol::Channels => &[
                r#"{"type":"authenticated","seq":41}"#,
                r#"{"type":"subscribed","channel":"price","mint":"m","seq":41}"#,
            ],
            Protocol::Rooms => &[
                r#"{"type":"connection","status":"connected","userId":"loadgen","seq":41}"#,
                r#"{"type":"room_subscription","status":"subscribed","subscribedRooms":[],"seq":41}"#,
            ],
        };
        let head = match self.protocol {
            Protocol::Sse => HEAD.to_vec(),
            _ => accept_upgrade(REQUEST).unwrap(),
        };
        std::iter::once(head).chain(texts.iter().map(|text| server_text(text.as_bytes()))).collect()
    }

    fn events(&self, events: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let event = |event: u32| {
            let (seq, data) = (event + 100, self.bench.inbox.feed.data(self.bench.inbox.opening.topic, event));
            match self.protocol {
                Protocol::Channels => {
                    server_text(format!(r#"{{"type":"price_update","seq":{seq},{data}}}"#).as_bytes())
                }
                Protocol::Sse => {
                    format!("id: {seq}\ndata: {{\"type\":\"trade\",\"seq\":{seq},\"data\":{{{data}}}}}\n\n")
                        .into_bytes()
                }
                _ => server_text(format!(r#"{{"type":"alert","seq":{seq},"data":{{{data}}}}}"#).as_bytes()),
            }
        };
        events.into_iter().flat_map(event).collect()
    }

    /// What may stand between events and is none.
    fn aside(&self) -> Vec<u8> {
        match self.protocol {
            Protocol::Sse => b": \n\nid: 41\n\n".to_vec(),
            _ => server_text(br#"{"type":"pong","seq":41}"#),
        }
    }

    fn receive(&mut self, socket: u32, bytes: &[u8]) {
        self.bench.receive(socket, bytes);
    }
}

const KINDS: [Protocol; 5] =
    [Protocol::Watchlist, Protocol::Tiered, Protocol::Channels, Protocol::Rooms, Protocol::Sse];

#[test]
fn every_kinds_stream_cut_anywhere_opens_once_and_delivers_every_event_once() {
    for protocol in KINDS {
        for cut in 1..=300 {
            let mut kind = Kind::new(protocol, 2, Conduct::Steady);
            let stream = [kind.answers().concat(), kind.aside(), kind.events(0..3), kind.aside(), kind.events(3..6)];
            for socket in [0, 1] {
                stream.concat().chunks(cut).for_each(|piece| kind.receive(socket, piece));
            }
            let opened = kind.bench.notices.iter().filter(|notice| **notice == Notice::Opened).count();
            assert_eq!(opened, 2, "{protocol} cut every {cut}");
            assert!(kind.bench.inbox.carries.is_empty());
            let (delivered, harvest) = kind.bench.harvest();
            assert_eq!(delivered, 12, "{protocol} cut every {cut}");
            assert_eq!((harvest.lost, harvest.duplicated, harvest.reordered, harvest.damaged), (0, 0, 0, 0));
        }
    }
}

#[test]
fn every_kind_finds_losses_doubles_and_damage() {
    for protocol in KINDS {
        let mut kind = Kind::open(protocol, 3, Conduct::Steady);
        let whole = kind.events(0..6);
        kind.receive(0, &whole);
        let faulty = kind.events([0, 2, 2, 3, 4, 5]);
        kind.receive(1, &faulty);
        let mut damaged = kind.events(0..6);
        let at = damaged.len() - 20;
        damaged[at] ^= 1;
        kind.receive(2, &damaged);
        let (delivered, harvest) = kind.bench.harvest();
        assert_eq!((harvest.lost, harvest.duplicated, harvest.damaged), (1, 1, 1), "{protocol}");
        assert_eq!(delivered, 6 + 5 + 6, "{protocol}");
    }
}

#[test]
fn a_socket_is_open_with_the_last_answer_of_its_opening_and_not_before() {
    for protocol in KINDS {
        let mut kind = Kind::new(protocol, 1, Conduct::Steady);
        let answers = kind.answers();
        let (last, before) = answers.split_last().unwrap();
        before.iter().for_each(|answer| kind.receive(0, answer));
        assert!(!kind.bench.notices.contains(&Notice::Opened), "{protocol}");
        kind.receive(0, last);
        assert_eq!(kind.bench.notices.pop(), Some(Notice::Opened), "{protocol}");
        let says = kind.bench.inbox.opening.says.clone();
        let said = (!says.is_empty()).then_some(Notice::Reply { socket: 0, frame: says });
        assert_eq!(kind.bench.notices.into_iter().next(), said, "{protocol}");
    }
}

#[test]
fn a_server_that_does_not_let_a_socket_in_is_told_with_its_words() {
    let error = server_text(br#"{"type":"error","code":"AUTHENTICATION_FAILED","message":"no"}"#);
    let close = [&[0x88, 12, 0x11, 0x33][..], b"wrong tier"].concat();
    for protocol in [Protocol::Tiered, Protocol::Channels, Protocol::Rooms] {
        for (bytes, word) in [(&error, "AUTHENTICATION_FAILED"), (&close, "wrong tier")] {
            let mut kind = Kind::new(protocol, 1, Conduct::Steady);
            kind.receive(0, &[&accept_upgrade(REQUEST).unwrap(), &bytes[..]].concat());
            let Some(Notice::Astray(what)) = kind.bench.notices.pop() else { panic!("{:?}", kind.bench.notices) };
            assert!(what.contains(word) && what.contains(protocol.name()), "{what}");
        }
    }
    let mut sse = Kind::new(Protocol::Sse, 1, Conduct::Steady);
    sse.receive(0, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    assert!(matches!(&sse.bench.notices[..], [Notice::Refused(answer)] if answer.status == 403));
}

#[test]
fn an_event_stream_says_why_it_ends() {
    let mut sse = Kind::open(Protocol::Sse, 1, Conduct::Steady);
    sse.receive(0, b"data: {\"type\":\"error\",\"code\":\"SLOW_CONSUMER\",\"message\":\"too slow\"}\n\n");
    sse.bench.inbox.ended(0, "end of stream", &mut sse.bench.notices);
    assert!(matches!(&sse.bench.notices[..], [Notice::Ended { why, .. }] if why.contains("SLOW_CONSUMER")));
}

#[test]
fn who_must_say_that_it_is_there_says_it_in_time() {
    for protocol in KINDS {
        let mut kind = Kind::open(protocol, 1, Conduct::Steady);
        kind.bench.inbox.tend(|| NOW_NS + 30_000_000_000, &mut kind.bench.notices);
        let must = matches!(protocol, Protocol::Tiered | Protocol::Channels);
        assert_eq!(kind.bench.notices.is_empty(), !must, "{protocol}");
    }
}

/// One of two sockets goes each microsecond; the events are due at 0, 1, … 5 µs.
const CHURN: Conduct = Conduct::Churns(ChurnPlan { sockets: 2, life_ns: 2_000, load_ns: 5_000 });

/// Socket 0 has left after event 0, and comes back at 3 µs.
fn come_back(protocol: Protocol) -> Kind {
    let mut kind = Kind::open(protocol, 2, CHURN);
    let (first, all) = (kind.events(0..1), kind.events(0..6));
    kind.receive(0, &first);
    kind.receive(1, &all);
    kind.bench.inbox.tend(|| 1_000, &mut kind.bench.notices);
    assert_eq!(std::mem::take(&mut kind.bench.notices), [Notice::ComeBack { socket: 0 }]);
    kind.bench.inbox.leave(0);
    kind.bench.inbox.ended(0, "end of stream", &mut kind.bench.notices);
    kind.bench.inbox.begin_anew(0, 2_500);
    assert!(kind.bench.notices.is_empty());
    kind
}

fn churned(kind: Kind) -> (u64, ChurnEnd) {
    let (whole, harvest) = kind.bench.harvest();
    assert!(harvest.recorder.total().is_empty() && harvest.apart.is_some(), "not among the others' latencies");
    (whole, harvest.churn.unwrap())
}

#[test]
fn what_was_published_while_a_socket_was_away_is_not_lost() {
    for protocol in KINDS {
        for first in 1..=3 {
            let mut kind = come_back(protocol);
            let stream = [kind.answers().concat(), kind.events(first..6)].concat();
            kind.bench.inbox.receive(0, &stream, 3_000, &mut kind.bench.notices);
            assert!(!kind.bench.notices.contains(&Notice::Opened), "only the first time");
            let (whole, end) = churned(kind);
            assert_eq!((whole, end.lost, end.duplicated, end.reordered), (2, 0, 0, 0), "{protocol} from {first}");
            assert_eq!((end.reconnects(), end.never_back(), end.connect.max()), (1, 0, 500));
            assert_eq!(end.deliveries, u64::from(1 + 6 + 6 - first));
        }
    }
}

#[test]
fn what_a_socket_lacked_long_after_it_was_due_is_lost_though_it_goes() {
    for protocol in KINDS {
        let mut kind = Kind::open(protocol, 2, CHURN);
        let (some, all) = (kind.events(0..2), kind.events(0..6));
        kind.receive(0, &some);
        kind.receive(1, &all);
        kind.bench.inbox.tend(|| 3_000_000_000, &mut kind.bench.notices);
        assert!(kind.bench.notices.contains(&Notice::ComeBack { socket: 0 }), "{protocol}");
        assert_eq!(churned(kind).1.lost, 4, "{protocol}");
    }
}

#[test]
fn within_one_connection_losses_doubles_and_disorder_count() {
    // Event 3 was due when it was open again.
    for (events, lost, duplicated, reordered) in [
        (vec![4, 5], 1, 0, 0),
        (vec![2, 4, 5], 1, 0, 0),
        (vec![3, 4, 4, 5], 0, 1, 0),
        (vec![3, 2, 4, 5], 0, 1, 0),
        (vec![2, 4, 3, 5], 0, 0, 1),
        (vec![3, 4], 1, 0, 0),
        (vec![], 3, 0, 0),
    ] {
        let mut kind = come_back(Protocol::Rooms);
        let stream = [kind.answers().concat(), kind.events(events.clone())].concat();
        kind.bench.inbox.receive(0, &stream, 3_000, &mut kind.bench.notices);
        let (_, end) = churned(kind);
        assert_eq!((end.lost, end.duplicated, end.reordered), (lost, duplicated, reordered), "{events:?}");
    }
}

#[test]
fn what_an_earlier_connection_lacked_stays_lost() {
    let mut kind = Kind::open(Protocol::Watchlist, 2, CHURN);
    // Event 1 comes on the second connection, where it is out of turn.
    let (gap, rest) = (kind.events([0, 2]), kind.events([2, 3, 4, 5, 1]));
    kind.receive(0, &gap);
    kind.bench.inbox.tend(|| 1_000, &mut kind.bench.notices);
    kind.bench.inbox.leave(0);
    kind.bench.inbox.begin_anew(0, 2_500);
    let stream = [kind.answers().concat(), rest].concat();
    kind.bench.inbox.receive(0, &stream, 3_000, &mut kind.bench.notices);
    let all = kind.events(0..6);
    kind.receive(1, &all);
    let (_, end) = churned(kind);
    assert_eq!((end.lost, end.duplicated, end.reordered), (1, 1, 0));
}

#[test]
fn an_event_between_the_answers_of_an_opening_counts() {
    let mut kind = come_back(Protocol::Channels);
    let (last, before) = (kind.answers().pop().unwrap(), kind.answers()[..2].concat());
    let stream = [before, kind.events(2..4), last, kind.events(4..6)].concat();
    kind.bench.inbox.receive(0, &stream, 4_000, &mut kind.bench.notices);
    let (whole, end) = churned(kind);
    assert_eq!((whole, end.lost, end.duplicated, end.deliveries), (2, 0, 0, 1 + 6 + 4));
}

#[test]
fn who_comes_back_after_the_last_event_has_all_that_it_can_have() {
    let mut kind = come_back(Protocol::Sse);
    let answers = kind.answers().concat();
    kind.bench.inbox.receive(0, &answers, 6_000, &mut kind.bench.notices);
    let (whole, end) = churned(kind);
    assert_eq!((whole, end.lost), (2, 0));
}

/// They were due before it was back, and the server was late: it need not have got them, and may.
#[test]
fn the_last_events_that_come_late_to_one_that_is_back_are_no_duplicates() {
    for (events, duplicated, deliveries) in [
        (vec![4, 5], 0, 2),
        (vec![5], 0, 1),
        (vec![4], 0, 1),
        (vec![3, 4, 4], 1, 2),
        (vec![5, 5], 1, 1),
        (vec![5, 4], 1, 1),
        (vec![4, 5, 4, 5], 2, 2),
    ] {
        let mut kind = come_back(Protocol::Watchlist);
        let (answers, late) = (kind.answers().concat(), kind.events(events.clone()));
        kind.bench.inbox.receive(0, &answers, 6_000, &mut kind.bench.notices);
        kind.bench.inbox.receive(0, &late, 7_000, &mut kind.bench.notices);
        let (whole, end) = churned(kind);
        let counts = (end.lost, end.duplicated, end.reordered, end.deliveries);
        assert_eq!((whole, counts), (2, (0, duplicated, 0, 1 + 6 + deliveries)), "{events:?}");
    }
}

#[test]
fn a_server_that_does_not_take_a_socket_back_does_not_end_the_run() {
    for bytes in [&b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nwait"[..], b"HTTP/1.1 429 Too"] {
        let mut kind = come_back(Protocol::Watchlist);
        kind.receive(0, bytes);
        kind.bench.inbox.ended(0, "end of stream", &mut kind.bench.notices);
        assert!(matches!(&kind.bench.notices[..], [Notice::Ended { socket: 0, .. }]), "{:?}", kind.bench.notices);
        let (whole, end) = churned(kind);
        assert_eq!((whole, end.lost, end.never_back()), (1, 0, 1));
    }
}

#[test]
fn a_socket_that_the_server_ends_is_a_fault_and_its_events_are_not_lost() {
    let mut kind = Kind::open(Protocol::Tiered, 2, CHURN);
    let all = kind.events(0..6);
    kind.receive(1, &all);
    kind.receive(0, b"\x88\x02\x11\x39");
    assert!(kind.bench.notices.iter().any(|notice| matches!(notice, Notice::Ended { socket: 0, .. })));
    let (whole, end) = churned(kind);
    assert_eq!((whole, end.lost, end.never_back()), (1, 0, 0));
}
