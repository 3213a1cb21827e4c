//! What the sockets of one crowd receive: bytes in, checked deliveries and notices out. No ring, no clock.
//!
//! ```text
//!   bytes ─▶ begins with the awaited event's frame? ─ yes ─▶ delivered, next        (the common case: one comparison)
//!                     │ no
//!                     ▼
//!            carry + bytes ─▶ upgrade answer │ frame ─▶ event, ping, close, other message
//! ```
//! A socket owns memory beside its 24 bytes only while a frame or an upgrade answer is incomplete. A server that splits
//! a message into fragments is read by the first one, in which the index stands.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::HashMap;
use memchr::memmem::{Finder, find};

use super::dialect::Dialect;
use super::stall::{Stall, StallEnd, StallPlan};
use crate::carries::Carries;
use crate::catalogue::Catalogue;
use crate::event::{GAP_MARK, INDEX_MARK, index_in, number_behind};
use crate::frame::{Frame, OPCODE_BINARY, OPCODE_CONTINUATION, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, client_control};
use crate::handshake::Upgrade;
use crate::latency::Recorder;
use crate::listener::{Listener, Notice, Phase, Stream};
use crate::nats::{self, Said};
use crate::order::{Arrival, OrderCheck};
use crate::schedule::Timetable;

struct Socket {
    /// Over its timed deliveries; for the mean latency of each socket.
    latency_sum_ns: u64,
    /// The event that must come next.
    expected: u32,
    stream: Stream,
    reading: Reading,
}

/// How a socket reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Always,
    /// It stalls in mid-run, and has not been whole again yet.
    Stalls,
    /// It has stalled and is whole again.
    Stalled,
}

/// The first and the last number of a gap.
const GAP_FROM_MARK: &[u8] = br#""from":"#;
const GAP_TO_MARK: &[u8] = br#""to":"#;

/// The receiving side of a crowd of sockets.
pub struct Inbox {
    sockets: Vec<Socket>,
    carries: Carries,
    catalogue: Catalogue,
    order: OrderCheck,
    recorder: Recorder,
    /// Of the sockets that stall.
    stalled_recorder: Recorder,
    stall: Option<Stall>,
    finder: Finder<'static>,
    upgrade: Arc<Upgrade>,
    dialect: Dialect,
    /// What NATS has begun to say in frames that are read already, by socket.
    begun: HashMap<u32, Vec<u8>>,
    timetable: Arc<Timetable>,
    damaged: u64,
    gaps: Gaps,
    other_messages: u64,
}

/// What the server told of numbers that sockets will not get, over all sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    pub told: u64,
    /// The numbers in them. A gap whose bounds can't be read counts as one.
    pub numbers: u64,
}

/// What came of one crowd, in the end.
#[derive(Debug)]
pub struct Harvest {
    /// Of the sockets that read all the time.
    pub recorder: Recorder,
    /// Of those that stalled.
    pub stalled_recorder: Recorder,
    pub stall: Option<StallEnd>,
    pub gaps: Gaps,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Frames that differ from the first socket's copy of the same event.
    pub damaged: u64,
    /// Text and binary messages that carry no event: greetings, JSON pongs.
    pub other_messages: u64,
    /// Mean latency of each socket that read all the time and got every event, in nanoseconds.
    pub socket_means_ns: Vec<f64>,
}

impl Harvest {
    /// Both threads' shares of one side.
    pub fn merge(mut self, other: Self) -> Self {
        self.recorder.merge(&other.recorder);
        self.stalled_recorder.merge(&other.stalled_recorder);
        self.socket_means_ns.extend(other.socket_means_ns);
        Self {
            recorder: self.recorder,
            stalled_recorder: self.stalled_recorder,
            stall: match (self.stall, other.stall) {
                (Some(one), Some(another)) => Some(one.merge(&another)),
                (one, another) => one.or(another),
            },
            gaps: Gaps { told: self.gaps.told + other.gaps.told, numbers: self.gaps.numbers + other.gaps.numbers },
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            damaged: self.damaged + other.damaged,
            other_messages: self.other_messages + other.other_messages,
            socket_means_ns: self.socket_means_ns,
        }
    }
}

impl Listener for Inbox {
    fn upgrade(&self, _socket: u32) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.upgrade.request)
    }

    fn accept(&self, _socket: u32) -> &str {
        &self.upgrade.accept
    }

    fn phase(&self, socket: u32) -> Phase {
        self.sockets[socket as usize].stream.phase
    }

    fn stream(&mut self, socket: u32) -> &mut Stream {
        &mut self.sockets[socket as usize].stream
    }

    fn carries(&mut self) -> &mut Carries {
        &mut self.carries
    }

    fn opened(&mut self, socket: u32, _now_ns: u64, notices: &mut Vec<Notice>) {
        notices.push(match &self.dialect {
            Dialect::Events => Notice::Opened,
            // It counts as open once the server has answered.
            Dialect::Nats { subject } => Notice::Reply { socket, frame: nats::subscribe(subject) },
        });
    }

    #[inline]
    fn take_awaited(&mut self, socket: u32, bytes: &[u8], now_ns: u64) -> usize {
        match self.dialect {
            Dialect::Events => self.take_known(socket, bytes, now_ns),
            Dialect::Nats { .. } => 0,
        }
    }

    fn take_frame(&mut self, socket: u32, frame: Frame<'_>, now_ns: u64, notices: &mut Vec<Notice>) {
        match frame.opcode {
            OPCODE_PING => notices.push(Notice::Reply { socket, frame: client_control(OPCODE_PONG, frame.payload) }),
            OPCODE_PONG => {}
            _ if self.dialect != Dialect::Events => self.take_nats(socket, frame.payload, now_ns, notices),
            OPCODE_TEXT | OPCODE_BINARY => match index_in(&self.finder, frame.payload) {
                Some(event) if event < self.recorder.events() => self.take_event(socket, event, frame.whole, now_ns),
                _ if find(frame.payload, GAP_MARK).is_some() => self.take_gap(frame.payload),
                _ => self.other_messages += 1,
            },
            OPCODE_CONTINUATION => {}
            other => unreachable!("no opcode {other} is let through"),
        }
    }

    fn tell_end(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>) {
        notices.push(Notice::Ended { socket, why: why.to_owned() });
    }

    fn end_batch(&mut self, now_ns: u64, waited_ns_max: u64) -> u64 {
        self.recorder.end_batch(now_ns, waited_ns_max) + self.stalled_recorder.end_batch(now_ns, waited_ns_max)
    }

    fn tend(&mut self, now_ns: impl FnOnce() -> u64, notices: &mut Vec<Notice>) {
        if let Some(stall) = &mut self.stall {
            let begins_ns = self.timetable.intended_ns(self.timetable.schedule.first_timed());
            stall.tend(begins_ns, now_ns(), notices);
        }
    }
}

impl Inbox {
    /// With a plan to stall, all of them do.
    pub fn new(
        sockets: u32,
        upgrade: Arc<Upgrade>,
        dialect: Dialect,
        timetable: Arc<Timetable>,
        stall: Option<StallPlan>,
    ) -> Self {
        let fresh = |_| Socket {
            latency_sum_ns: 0,
            expected: 0,
            stream: Stream::FRESH,
            reading: if stall.is_some() { Reading::Stalls } else { Reading::Always },
        };
        Self {
            sockets: (0..sockets).map(fresh).collect(),
            carries: Carries::default(),
            catalogue: Catalogue::new(timetable.schedule.events()),
            order: OrderCheck::default(),
            recorder: Recorder::new(Arc::clone(&timetable)),
            stalled_recorder: Recorder::new(Arc::clone(&timetable)),
            stall: stall.map(Stall::new),
            timetable,
            finder: Finder::new(INDEX_MARK),
            upgrade,
            dialect,
            begun: HashMap::default(),
            damaged: 0,
            gaps: Gaps::default(),
            other_messages: 0,
        }
    }

    /// The books, closed after `published` events.
    pub fn harvest(self, published: u32) -> Harvest {
        let tail: u64 = self.sockets.iter().map(|socket| u64::from(published.saturating_sub(socket.expected))).sum();
        let schedule = self.recorder.total();
        let timed = schedule.len() as f64 / self.sockets.len().max(1) as f64;
        let whole = |(index, socket): &(usize, &Socket)| {
            socket.reading == Reading::Always
                && socket.expected == published
                && !self.order.has_gap(*index as u32)
                && timed > 0.0
        };
        let lost = tail + self.order.skipped();
        let means =
            self.sockets.iter().enumerate().filter(whole).map(|(_, socket)| socket.latency_sum_ns as f64 / timed);
        Harvest {
            socket_means_ns: if lost == 0 && self.order.duplicated == 0 { means.collect() } else { Vec::new() },
            recorder: self.recorder,
            stalled_recorder: self.stalled_recorder,
            stall: self.stall.map(Stall::end),
            gaps: self.gaps,
            lost,
            duplicated: self.order.duplicated,
            reordered: self.order.reordered,
            damaged: self.damaged,
            other_messages: self.other_messages,
        }
    }

    /// The common case: the bytes begin with exactly the events that the socket has to get next. Returns how many bytes those were.
    #[inline]
    fn take_known(&mut self, socket: u32, bytes: &[u8], now_ns: u64) -> usize {
        let state = &mut self.sockets[socket as usize];
        let mut rest = bytes;
        while let Some(after) = self.catalogue.frame(state.expected).and_then(|frame| rest.strip_prefix(frame)) {
            let event = state.expected;
            state.expected += 1;
            rest = after;
            if state.reading == Reading::Always {
                state.latency_sum_ns += self.recorder.delivered(event, now_ns);
            } else {
                self.stalled_recorder.delivered(event, now_ns);
                state.read_on(&mut self.stall, self.timetable.intended_ns(event), now_ns);
            }
        }
        bytes.len() - rest.len()
    }

    /// Takes some more of a socket's stream of NATS: what is whole of it.
    fn take_nats(&mut self, socket: u32, bytes: &[u8], now_ns: u64, notices: &mut Vec<Notice>) {
        let joined = self.begun.remove(&socket).map(|mut begun| {
            begun.extend_from_slice(bytes);
            begun
        });
        let bytes = joined.as_deref().unwrap_or(bytes);
        let mut used = 0;
        loop {
            used += self.take_known(socket, &bytes[used..], now_ns);
            let said = match nats::read(&bytes[used..]) {
                Ok(Some((said, length))) => {
                    used += length;
                    said
                }
                Ok(None) if bytes.len() == used => return,
                Ok(None) => {
                    self.begun.insert(socket, bytes[used..].to_vec());
                    return;
                }
                Err(what) => return notices.push(Notice::Nonsense(what)),
            };
            match said {
                Said::Message { whole, payload } => match index_in(&self.finder, payload) {
                    Some(event) if event < self.recorder.events() => self.take_event(socket, event, whole, now_ns),
                    _ => self.other_messages += 1,
                },
                Said::Ping => {
                    notices.push(Notice::Reply { socket, frame: nats::client_frame(nats::PONG.as_bytes()) });
                }
                Said::Pong => notices.push(Notice::Opened),
                Said::Error(why) => notices.push(Notice::Astray(String::from_utf8_lossy(why).into_owned())),
                Said::Other => {}
            }
        }
    }

    fn take_event(&mut self, socket: u32, event: u32, whole: &[u8], now_ns: u64) {
        match self.catalogue.frame(event) {
            Some(known) if known != whole => self.damaged += 1,
            Some(_) => {}
            None => self.catalogue.learn(event, whole),
        }
        let state = &mut self.sockets[socket as usize];
        if self.order.arrived(socket, &mut state.expected, event) != Arrival::Duplicate {
            if state.reading == Reading::Always {
                state.latency_sum_ns += self.recorder.delivered(event, now_ns);
            } else {
                self.stalled_recorder.delivered(event, now_ns);
                state.read_on(&mut self.stall, self.timetable.intended_ns(event), now_ns);
            }
        }
    }

    fn take_gap(&mut self, message: &[u8]) {
        let number = |mark: &'static [u8]| number_behind(&Finder::new(mark), message);
        let numbers = number(GAP_TO_MARK).zip(number(GAP_FROM_MARK)).and_then(|(to, from)| to.checked_sub(from));
        self.gaps.told += 1;
        self.gaps.numbers += numbers.map_or(1, |between| between.saturating_add(1));
    }
}

impl Socket {
    /// Takes a delivery of a socket that stalls.
    fn read_on(&mut self, stall: &mut Option<Stall>, published_ns: u64, now_ns: u64) {
        if self.reading == Reading::Stalls && stall.as_mut().is_some_and(|stall| stall.delivered(published_ns, now_ns))
        {
            self.reading = Reading::Stalled;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventWriter;
    use crate::frame::OPCODE_CLOSE;
    use crate::handshake::accept_upgrade;
    use crate::schedule::Schedule;

    const SCHEDULE: Schedule = Schedule { burst: 1, interval_ns: 1000, rounds: 1, warmup_steps: 0, timed_steps: 6 };
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: BwcHBwcHBwcHBwcHBwcHBw==\r\n\r\n";

    struct Bench {
        inbox: Inbox,
        notices: Vec<Notice>,
        writer: EventWriter,
    }

    impl Bench {
        fn new(sockets: u32) -> Self {
            let answer = accept_upgrade(REQUEST).unwrap();
            let target = crate::target::Target::parse("ws://127.0.0.1:1/", "ws").unwrap();
            let upgrade = Arc::new(Upgrade::new(&target, [7; 16]));
            let timetable = Arc::new(Timetable::new(SCHEDULE));
            timetable.begin_round(0, 0);
            let mut bench = Self {
                inbox: Inbox::new(sockets, upgrade, Dialect::Events, timetable, None),
                notices: Vec::new(),
                writer: EventWriter::new("wallet", 300, 100).unwrap(),
            };
            for socket in 0..sockets {
                bench.receive(socket, &answer);
            }
            assert_eq!(std::mem::take(&mut bench.notices), (0..sockets).map(|_| Notice::Opened).collect::<Vec<_>>());
            bench
        }

        fn receive(&mut self, socket: u32, bytes: &[u8]) {
            self.inbox.receive(socket, bytes, 5_000_000, &mut self.notices);
        }

        fn frames(&self, events: impl IntoIterator<Item = u32>) -> Vec<u8> {
            events.into_iter().flat_map(|event| self.writer.sent_frame(event, u64::from(event) + 100)).collect()
        }

        fn harvest(mut self) -> (u64, Harvest) {
            (self.inbox.end_batch(5_000_000, 0), self.inbox.harvest(6))
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
}
