//! What the sockets of one crowd receive: bytes in, checked deliveries and notices out. No ring, no clock.
//!
//! ```text
//!   bytes ─▶ begins with the awaited event's frame? ─ yes ─▶ delivered, next        (the common case: one comparison)
//!                     │ no
//!                     ▼
//!            carry + bytes ─▶ answer to the request │ frame ─▶ event, ping, close, answer of the opening, other message
//! ```
//! A socket owns memory beside its 16 bytes only while a frame or an answer is incomplete, and where it has to say that it is there. A
//! server that splits a message into fragments is read by the first one, in which the index stands.

use std::borrow::Cow;
use std::sync::Arc;

use ahash::HashMap;
use memchr::memmem::{Finder, find};
use serde_json::Value;

use super::churn::ChurnEnd;
use super::conduct::{Conduct, Doing, Socket, Standing};
use super::dialect::Dialect;
use super::feed::Feed;
use super::harvest::{Gaps, Harvest};
use super::opening::Opening;
use crate::carries::Carries;
use crate::catalogue::Catalogue;
use crate::event::{GAP_MARK, INDEX_MARK, index_in, number_behind};
use crate::frame::{
    Frame, OPCODE_BINARY, OPCODE_CONTINUATION, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, client_control, client_text,
};
use crate::handshake::{Framing, Upgrade};
use crate::heartbeat::Heartbeats;
use crate::latency::Recorder;
use crate::limits::{ANSWER_BYTES_MAX, CHURN_LATE_MS_MAX};
use crate::listener::{Listener, Notice, Phase, Stream};
use crate::nats::{self, Said};
use crate::order::{Arrival, OrderCheck};
use crate::schedule::Timetable;

/// The first and the last number of a gap.
const GAP_FROM_MARK: &[u8] = br#""from":"#;
const GAP_TO_MARK: &[u8] = br#""to":"#;

/// The receiving side of a crowd of sockets, all of one kind.
pub struct Inbox {
    sockets: Vec<Socket>,
    carries: Carries,
    catalogue: Catalogue,
    order: OrderCheck,
    recorder: Recorder,
    doing: Doing,
    heartbeats: Heartbeats,
    finder: Finder<'static>,
    upgrade: Arc<Upgrade>,
    opening: Arc<Opening>,
    /// What is published.
    feed: Arc<Feed>,
    /// What NATS has begun to say in frames that are read already, by socket.
    begun: HashMap<u32, Vec<u8>>,
    timetable: Arc<Timetable>,
    damaged: u64,
    altered: u64,
    /// Events that sockets lacked when they went, long after these were due.
    left_without: u64,
    gaps: Gaps,
    other_messages: u64,
}

impl Listener for Inbox {
    fn upgrade(&self, _socket: u32) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.upgrade.request)
    }

    fn accept(&self, _socket: u32) -> &str {
        &self.upgrade.accept
    }

    fn framing(&self) -> Framing {
        self.opening.dialect.framing()
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

    fn opened(&mut self, socket: u32, now_ns: u64, notices: &mut Vec<Notice>) {
        if !self.opening.says.is_empty() {
            notices.push(Notice::Reply { socket, frame: self.opening.says.clone() });
        }
        // NATS counts as open once the server has answered.
        if self.opening.hears.is_empty() && !matches!(self.opening.dialect, Dialect::Nats { .. }) {
            self.ready(socket, now_ns, notices);
        }
    }

    /// The server took the first connection: that it does not take another is a fault of its, and told as one.
    fn not_opened(&mut self, socket: u32, notice: Notice, notices: &mut Vec<Notice>) {
        let Doing::Churns(churn) = &mut self.doing else { return notices.push(notice) };
        if !churn.is_returning(socket) {
            return notices.push(notice);
        }
        churn.failed(socket);
        self.sockets[socket as usize].stream.phase = Phase::Ended;
        let why = match notice {
            Notice::Refused(answer) => format!("HTTP {} {}: {}", answer.status, answer.reason, answer.body),
            Notice::Nonsense(what) => what.to_owned(),
            Notice::Astray(what) => what,
            other => return notices.push(other),
        };
        notices
            .push(Notice::Ended { socket, why: format!("a {} socket could not come back: {why}", self.opening.name) });
    }

    fn begin_anew(&mut self, socket: u32, now_ns: u64) {
        let Doing::Churns(churn) = &mut self.doing else { unreachable!("only who churns comes back") };
        churn.begin_anew(socket, now_ns);
        self.order.forget(socket);
        let state = &mut self.sockets[socket as usize];
        (state.stream, state.heard, state.standing) = (Stream::FRESH, 0, Standing::Fresh);
    }

    #[inline]
    fn take_awaited(&mut self, socket: u32, bytes: &[u8], now_ns: u64) -> usize {
        match self.opening.dialect {
            Dialect::Events | Dialect::EventStream => self.take_known(socket, bytes, now_ns),
            Dialect::Nats { .. } => 0,
        }
    }

    fn take_frame(&mut self, socket: u32, frame: Frame<'_>, now_ns: u64, notices: &mut Vec<Notice>) {
        match frame.opcode {
            OPCODE_PING => notices.push(Notice::Reply { socket, frame: client_control(OPCODE_PONG, frame.payload) }),
            OPCODE_PONG => {}
            _ if matches!(self.opening.dialect, Dialect::Nats { .. }) => {
                self.take_nats(socket, frame.payload, now_ns, notices);
            }
            OPCODE_TEXT | OPCODE_BINARY => match index_in(&self.finder, frame.payload) {
                Some(event) if event < self.recorder.events() => self.take_event(socket, event, frame.whole, now_ns),
                _ if find(frame.payload, GAP_MARK).is_some() => self.take_gap(frame.payload),
                _ => self.take_message(socket, frame.payload, now_ns, notices),
            },
            OPCODE_CONTINUATION => {}
            other => unreachable!("no opcode {other} is let through"),
        }
    }

    fn tell_end(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>) {
        if usize::from(self.sockets[socket as usize].heard) < self.opening.hears.len() {
            let what = format!("a {} socket ended before it was ready: {why}", self.opening.name);
            return self.not_opened(socket, Notice::Astray(what), notices);
        }
        if let Doing::Churns(_) = self.doing {
            // What it had not got by then is not lost: the socket is.
            self.sockets[socket as usize].expected = self.recorder.events();
        }
        notices.push(Notice::Ended { socket, why: why.to_owned() });
    }

    fn end_batch(&mut self, now_ns: u64, waited_ns_max: u64) -> u64 {
        let deliveries = self.recorder.end_batch(now_ns, waited_ns_max);
        match &mut self.doing {
            // Nobody can say how many deliveries they get, but that each has its last.
            Doing::Churns(churn) => churn.take_whole(),
            Doing::Nothing | Doing::Stalls(_) => deliveries,
        }
    }

    fn tend(&mut self, now_ns: impl FnOnce() -> u64, notices: &mut Vec<Notice>) {
        if self.heartbeats.is_empty() && matches!(self.doing, Doing::Nothing) {
            return;
        }
        let now_ns = now_ns();
        while let Some((socket, text)) = self.heartbeats.next_due(now_ns) {
            if self.is_ready(socket) {
                notices.push(Notice::Reply { socket, frame: client_text(text) });
            }
        }
        let begins_ns = self.timetable.intended_ns(self.timetable.schedule.first_timed());
        match &mut self.doing {
            Doing::Nothing => {}
            Doing::Stalls(stall) => stall.tend(begins_ns, now_ns, notices),
            Doing::Churns(churn) => {
                let (sockets, answers) = (&mut self.sockets, self.opening.hears.len());
                let events = self.recorder.events();
                // What was due this long ago should have come.
                let overdue = self.timetable.due_from(now_ns.saturating_sub(CHURN_LATE_MS_MAX * 1_000_000));
                let mut lost = 0;
                let may_go = |socket: u32| {
                    let state = &mut sockets[socket as usize];
                    let open = state.stream.phase == Phase::Open && usize::from(state.heard) == answers;
                    let goes =
                        open && !matches!(state.standing, Standing::Whole | Standing::Latecomer | Standing::Trailing);
                    if goes {
                        lost += u64::from(overdue.saturating_sub(state.expected));
                        // What is published while it is away is not lost.
                        (state.stream.phase, state.expected) = (Phase::Ended, events);
                    }
                    goes
                };
                churn.tend(begins_ns, now_ns, may_go, notices);
                self.left_without += lost;
            }
        }
    }
}

impl Inbox {
    pub fn new(
        sockets: u32,
        upgrade: Arc<Upgrade>,
        opening: Arc<Opening>,
        feed: Arc<Feed>,
        timetable: Arc<Timetable>,
        conduct: Conduct,
    ) -> Self {
        let fresh = |_| Socket {
            latency_sum_ns: 0,
            expected: 0,
            stream: Stream::FRESH,
            heard: 0,
            standing: Standing::Listening,
        };
        let speaks = opening.dialect.framing() == Framing::WebSocket;
        Self {
            sockets: (0..sockets).map(fresh).collect(),
            carries: Carries::default(),
            catalogue: Catalogue::new(timetable.schedule.events()),
            order: OrderCheck::default(),
            recorder: Recorder::new(Arc::clone(&timetable)),
            doing: Doing::begin(conduct, speaks),
            heartbeats: Heartbeats::default(),
            timetable,
            finder: Finder::new(INDEX_MARK),
            upgrade,
            opening,
            feed,
            begun: HashMap::default(),
            damaged: 0,
            altered: 0,
            left_without: 0,
            gaps: Gaps::default(),
            other_messages: 0,
        }
    }

    pub fn sockets(&self) -> u32 {
        self.sockets.len() as u32
    }

    /// The books, closed after `published` events.
    pub fn harvest(self, published: u32) -> Harvest {
        let due = self.sockets.iter().filter(|socket| socket.standing != Standing::Trailing);
        let tail: u64 = due.map(|socket| u64::from(published.saturating_sub(socket.expected))).sum();
        let lost = tail + self.order.skipped() + self.left_without;
        let harvest = Harvest {
            socket_means_ns: Vec::new(),
            recorder: Recorder::new(Arc::clone(&self.timetable)),
            apart: None,
            stall: None,
            churn: None,
            gaps: self.gaps,
            lost,
            duplicated: self.order.duplicated,
            reordered: self.order.reordered,
            damaged: self.damaged,
            altered: self.altered,
            other_messages: self.other_messages,
        };
        match self.doing {
            Doing::Nothing => {
                let timed = self.recorder.total().len() as f64 / self.sockets.len().max(1) as f64;
                let all_whole = lost == 0 && self.order.duplicated == 0 && timed > 0.0;
                let whole = self.sockets.iter().filter(|socket| all_whole && socket.expected == published);
                let means = whole.map(|socket| socket.latency_sum_ns as f64 / timed).collect();
                Harvest { recorder: self.recorder, socket_means_ns: means, ..harvest }
            }
            Doing::Stalls(stall) => Harvest { apart: Some(self.recorder), stall: Some(stall.end()), ..harvest },
            Doing::Churns(churn) => {
                let end = ChurnEnd {
                    lost,
                    duplicated: harvest.duplicated,
                    reordered: harvest.reordered,
                    damaged: harvest.damaged,
                    ..churn.end()
                };
                Harvest { apart: Some(self.recorder), churn: Some(end), ..harvest }
            }
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
            let latency_ns = self.recorder.delivered(event, now_ns);
            match &mut self.doing {
                Doing::Nothing => state.latency_sum_ns += latency_ns,
                doing => doing.delivered(state, event, &self.timetable, now_ns),
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
                Err(what) => return self.not_opened(socket, Notice::Nonsense(what), notices),
            };
            match said {
                Said::Message { whole, payload } => match index_in(&self.finder, payload) {
                    Some(event) if event < self.recorder.events() => self.take_event(socket, event, whole, now_ns),
                    _ => self.other_messages += 1,
                },
                Said::Ping => {
                    notices.push(Notice::Reply { socket, frame: nats::client_frame(nats::PONG.as_bytes()) });
                }
                Said::Pong => self.ready(socket, now_ns, notices),
                Said::Error(why) => {
                    let why = String::from_utf8_lossy(why).into_owned();
                    self.not_opened(socket, Notice::Astray(why), notices);
                }
                Said::Other => {}
            }
        }
    }

    fn take_event(&mut self, socket: u32, event: u32, whole: &[u8], now_ns: u64) {
        match self.catalogue.frame(event) {
            Some(known) if known != whole => self.damaged += 1,
            Some(_) => {}
            None => {
                let data = self.feed.data(self.opening.topic, event);
                if find(whole, data.as_bytes()).is_none() {
                    let count = if self.opening.is_faithful { &mut self.damaged } else { &mut self.altered };
                    *count += 1;
                }
                self.catalogue.learn(event, whole);
            }
        }
        let state = &mut self.sockets[socket as usize];
        if matches!(state.standing, Standing::Fresh | Standing::Latecomer) && event < state.expected {
            state.expected = event;
        }
        if self.order.arrived(socket, &mut state.expected, event) != Arrival::Duplicate {
            let latency_ns = self.recorder.delivered(event, now_ns);
            match &mut self.doing {
                Doing::Nothing => state.latency_sum_ns += latency_ns,
                doing => doing.delivered(state, event, &self.timetable, now_ns),
            }
        }
    }

    fn take_gap(&mut self, message: &[u8]) {
        let number = |mark: &'static [u8]| number_behind(&Finder::new(mark), message);
        let numbers = number(GAP_TO_MARK).zip(number(GAP_FROM_MARK)).and_then(|(to, from)| to.checked_sub(from));
        self.gaps.told += 1;
        self.gaps.numbers += numbers.map_or(1, |between| between.saturating_add(1));
    }

    /// A message without an event: an answer of the opening, while it lasts; else a pong, a greeting, or the reason of a stream's end.
    fn take_message(&mut self, socket: u32, payload: &[u8], now_ns: u64, notices: &mut Vec<Notice>) {
        let heard = usize::from(self.sockets[socket as usize].heard);
        let awaited = self.opening.hears.get(heard);
        if awaited.is_none() && self.opening.dialect != Dialect::EventStream {
            self.other_messages += 1;
            return;
        }
        let message: Value = serde_json::from_slice(payload).unwrap_or_default();
        let kind = message["type"].as_str().unwrap_or_default();
        let text = || String::from_utf8_lossy(&payload[..payload.len().min(ANSWER_BYTES_MAX)]);
        match awaited {
            Some(awaited) if kind == *awaited => {
                self.sockets[socket as usize].heard += 1;
                if heard + 1 == self.opening.hears.len() {
                    self.ready(socket, now_ns, notices);
                }
            }
            Some(awaited) => {
                let what = format!("a {} socket waited for `{awaited}` and was told {}", self.opening.name, text());
                self.not_opened(socket, Notice::Astray(what), notices);
            }
            // An event stream has no close frame to say why it ends.
            None if kind == "error" => {
                let why = format!("the server said {}", text());
                self.tell_end(socket, &why, notices);
                self.sockets[socket as usize].stream.phase = Phase::Ended;
            }
            None => self.other_messages += 1,
        }
    }

    /// The last answer of a socket's opening has come.
    fn ready(&mut self, socket: u32, now_ns: u64, notices: &mut Vec<Notice>) {
        if let Doing::Churns(churn) = &mut self.doing
            && churn.opened(socket, now_ns)
        {
            let state = &mut self.sockets[socket as usize];
            if state.standing == Standing::Fresh {
                state.expected = self.timetable.due_from(now_ns);
                if state.expected == self.recorder.events() {
                    state.standing = Standing::Latecomer;
                    churn.is_whole();
                }
            }
            return;
        }
        if let Some(beat) = self.opening.beat {
            self.heartbeats.begin(socket, beat, now_ns);
        }
        notices.push(Notice::Opened);
    }

    fn is_ready(&self, socket: u32) -> bool {
        let state = &self.sockets[socket as usize];
        state.stream.phase == Phase::Open && usize::from(state.heard) == self.opening.hears.len()
    }
}

#[cfg(test)]
mod tests;
