//! What the sockets of a mixed run receive: bytes in; checked deliveries, answers and faults out. No ring, no clock.
//!
//! ```text
//!   bytes ─▶ begins with the frame of the next event of the socket's class? ─ yes ─▶ delivered, next
//!                     │ no
//!                     ▼
//!     upgrade answer │ dialogue │ event (its class's? its frame? its turn?) │ pong │ ping, close │ anything else: a fault
//! ```
//! Every byte is one of these: there is nothing that a server may send without its being counted. A socket owns memory
//! beside its 32 bytes only until it is ready, and while a frame is incomplete.

mod harvest;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;
use memchr::memmem::Finder;
use serde_json::Value;

use super::book::{Book, Fault, Shown};
use super::dialogue::{Credentials, Step};
use super::protocol::Protocol;
use super::roster::Roster;
use super::traffic::Traffic;
use crate::carries::Carries;
use crate::catalogue::Catalogue;
use crate::event::{INDEX_MARK, SEQ_MARK, index_in, number_behind};
use crate::frame::{Frame, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, client_control, client_text, first_frame};
use crate::heartbeat::Heartbeats;
use crate::latency::Recorder;
use crate::listener::{Listener, Notice, Phase, Stream};
use crate::order::{Arrival, OrderCheck};
use crate::schedule::Timetable;

pub use harvest::Harvest;

/// What a run publishes, who listens, and how they get in.
pub struct Plan {
    pub traffic: Traffic,
    pub roster: Roster,
    pub credentials: Credentials,
}

struct Socket {
    /// The highest number that the server told besides events: a client who resumes there must not lose anything.
    told_seq: u64,
    pinged_ns: u64,
    class: u32,
    /// The place in its class's events of the one that must come next.
    expected: u32,
    stream: Stream,
    pings_unanswered: u8,
}

/// The receiving side of all four protocols' sockets.
pub struct Inbox {
    plan: Arc<Plan>,
    accept: String,
    sockets: Vec<Socket>,
    carries: Carries,
    /// What sockets that are not ready yet still have to say and to hear.
    dialogues: AHashMap<u32, VecDeque<Step>>,
    heartbeats: Heartbeats,
    catalogue: Catalogue,
    /// The number under which each event came; 0 where it did not come yet.
    seqs: Vec<u64>,
    orders: [OrderCheck; 4],
    recorders: [Recorder; 4],
    index_finder: Finder<'static>,
    seq_finder: Finder<'static>,
    book: Book,
    chatter: [Chatter; 4],
}

/// What one protocol's sockets exchanged besides events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chatter {
    /// The server's ping frames, each answered.
    pub server_pings: u64,
    /// The clients' `ping` messages that were answered.
    pub pongs: u64,
}

impl Inbox {
    pub fn new(plan: Arc<Plan>, timetable: &Arc<Timetable>) -> Self {
        let fresh = |socket| Socket {
            told_seq: 0,
            pinged_ns: 0,
            class: plan.roster.class_of(socket),
            expected: 0,
            stream: Stream::FRESH,
            pings_unanswered: 0,
        };
        let events = plan.traffic.events();
        let (carries, dialogues, heartbeats, orders, book, chatter) = Default::default();
        Self {
            accept: plan.credentials.upgrade(&plan.roster, &plan.roster.member(0)).accept,
            sockets: (0..plan.roster.sockets()).map(fresh).collect(),
            carries,
            dialogues,
            heartbeats,
            catalogue: Catalogue::new(events),
            seqs: vec![0; events as usize],
            orders,
            recorders: std::array::from_fn(|_| Recorder::new(Arc::clone(timetable))),
            index_finder: Finder::new(INDEX_MARK),
            seq_finder: Finder::new(SEQ_MARK),
            book,
            chatter,
            plan,
        }
    }

    fn take_event(&mut self, socket: u32, event: u32, frame: Frame<'_>, now_ns: u64) {
        let protocol = Protocol::of_socket(socket);
        let state = &mut self.sockets[socket as usize];
        let topic = self.plan.traffic.topic(event);
        let events = &self.plan.roster.classes[state.class as usize].events;
        let Ok(place) = events.binary_search(&event) else {
            self.book.enter(protocol, Fault::Foreign, || {
                format!("socket {socket} got event {event} of {}: {}", topic.text(), Shown(frame.payload))
            });
            return;
        };
        // The first copy says the number, and the rest of it must follow; every other copy must be the same.
        let known = self.seqs[event as usize];
        let claimed = number_behind(&self.seq_finder, frame.payload).unwrap_or(0);
        let seq = if known == 0 { claimed } else { known };
        let due = self.plan.traffic.frame(event, seq);
        if frame.whole == due {
            self.seqs[event as usize] = seq;
            if self.catalogue.frame(event).is_none() {
                self.catalogue.learn(event, frame.whole);
            }
        } else {
            let due = first_frame(&due).ok().flatten().map_or(&[][..], |frame| frame.payload);
            self.book.enter(protocol, Fault::Altered, || {
                format!("socket {socket} got {} where {} was due", Shown(frame.payload), Shown(due))
            });
        }
        if state.told_seq > 0 && claimed <= state.told_seq {
            let told = state.told_seq;
            self.book.enter(protocol, Fault::Overtaken, || {
                format!("socket {socket} got number {claimed} of {} after the server had told it {told}", topic.text())
            });
        }
        let expected = state.expected;
        let arrival = self.orders[protocol as usize].arrived(socket, &mut state.expected, place as u32);
        if arrival != Arrival::Duplicate {
            self.recorders[protocol as usize].delivered(event, now_ns);
        }
        let fault = match arrival {
            Arrival::New => return,
            Arrival::Late => Fault::Reordered,
            Arrival::Duplicate => Fault::Duplicated,
        };
        self.book.enter(protocol, fault, || {
            let last = events[expected as usize - 1];
            format!("socket {socket} got event {event} of {} (number {claimed}) after event {last}", topic.text())
        });
    }

    /// A text that is no event: an answer that is due, a pong, or nothing that should be.
    fn take_message(&mut self, socket: u32, payload: &[u8], now_ns: u64, notices: &mut Vec<Notice>) {
        let protocol = Protocol::of_socket(socket);
        let message: Value = serde_json::from_slice(payload).unwrap_or_default();
        if let Some(steps) = self.dialogues.get_mut(&socket) {
            let Some(Step::Hear(answer)) = steps.pop_front() else {
                unreachable!("what is to be said is said at once")
            };
            match answer.check(&message) {
                Ok(seq) => {
                    self.tell(socket, seq);
                    self.speak(socket, now_ns, notices);
                }
                Err(why) => {
                    let (name, text) = (protocol.name(), Shown(payload));
                    let what = format!("socket {socket} ({name}) waited for {answer:?} and got {text}: {why}");
                    notices.push(Notice::Astray(what));
                }
            }
            return;
        }
        let state = &mut self.sockets[socket as usize];
        let whole = match protocol {
            Protocol::Tiered => true,
            Protocol::Channels => message["seq"].is_u64() && message["timestamp"].is_string(),
            Protocol::Watchlist | Protocol::Rooms => false,
        };
        if whole && state.pings_unanswered > 0 && message["type"] == "pong" {
            state.pings_unanswered -= 1;
            self.chatter[protocol as usize].pongs += 1;
            self.tell(socket, message["seq"].as_u64());
            return;
        }
        self.book.enter(protocol, Fault::Unexpected, || format!("socket {socket} got {}", Shown(payload)));
    }

    fn tell(&mut self, socket: u32, seq: Option<u64>) {
        let told = &mut self.sockets[socket as usize].told_seq;
        *told = (*told).max(seq.unwrap_or(0));
    }

    /// Says all that can be said before the next answer; a socket with nothing left to say or to hear is ready.
    fn speak(&mut self, socket: u32, now_ns: u64, notices: &mut Vec<Notice>) {
        let Some(steps) = self.dialogues.get_mut(&socket) else { return };
        let mut breath = Vec::new();
        while let Some(Step::Say(text)) = steps.front() {
            breath.extend(client_text(text.as_bytes()));
            steps.pop_front();
        }
        if !breath.is_empty() {
            notices.push(Notice::Reply { socket, frame: breath });
        }
        if steps.is_empty() {
            self.dialogues.remove(&socket);
            notices.push(Notice::Opened);
            if let Some(beat) = Protocol::of_socket(socket).beat() {
                self.heartbeats.begin(socket, beat, now_ns);
            }
        }
    }
}

impl Listener for Inbox {
    fn upgrade(&self, socket: u32) -> Cow<'_, [u8]> {
        let Plan { roster, credentials, .. } = &*self.plan;
        Cow::Owned(credentials.upgrade(roster, &roster.member(socket)).request)
    }

    fn accept(&self, _socket: u32) -> &str {
        &self.accept
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
        let Plan { roster, credentials, .. } = &*self.plan;
        self.dialogues.insert(socket, credentials.dialogue(roster, &roster.member(socket)));
        self.speak(socket, now_ns, notices);
    }

    #[inline]
    fn take_awaited(&mut self, socket: u32, bytes: &[u8], now_ns: u64) -> usize {
        let protocol = Protocol::of_socket(socket);
        let state = &mut self.sockets[socket as usize];
        let events = &self.plan.roster.classes[state.class as usize].events;
        let mut rest = bytes;
        while let Some(&event) = events.get(state.expected as usize)
            && self.seqs[event as usize] > state.told_seq
            && let Some(after) = self.catalogue.frame(event).and_then(|frame| rest.strip_prefix(frame))
        {
            self.recorders[protocol as usize].delivered(event, now_ns);
            state.expected += 1;
            rest = after;
        }
        bytes.len() - rest.len()
    }

    fn take_frame(&mut self, socket: u32, frame: Frame<'_>, now_ns: u64, notices: &mut Vec<Notice>) {
        let protocol = Protocol::of_socket(socket);
        match frame.opcode {
            OPCODE_TEXT => match index_in(&self.index_finder, frame.payload) {
                Some(event) if event < self.plan.traffic.events() => self.take_event(socket, event, frame, now_ns),
                _ => self.take_message(socket, frame.payload, now_ns, notices),
            },
            OPCODE_PING => {
                self.chatter[protocol as usize].server_pings += 1;
                notices.push(Notice::Reply { socket, frame: client_control(OPCODE_PONG, frame.payload) });
            }
            opcode => self.book.enter(protocol, Fault::Unexpected, || {
                format!("socket {socket} got a frame of opcode {opcode:#x}: {}", Shown(frame.payload))
            }),
        }
    }

    fn tell_end(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>) {
        let protocol = Protocol::of_socket(socket);
        if self.dialogues.contains_key(&socket) {
            notices.push(Notice::Astray(format!("socket {socket} ({}) ended: {why}", protocol.name())));
        } else {
            self.book.enter(protocol, Fault::Ended, || format!("socket {socket}: {why}"));
            notices.push(Notice::Ended { socket, why: format!("{} socket {socket}: {why}", protocol.name()) });
        }
    }

    fn leave(&mut self, socket: u32) {
        let state = &mut self.sockets[socket as usize];
        if state.stream.carrying && state.stream.phase == Phase::Open {
            // Half a frame at the end is not nothing.
            let left = self.carries.of(socket);
            self.book.enter(Protocol::of_socket(socket), Fault::Unexpected, || {
                format!("socket {socket} got the beginning of a frame and not its end: {}", Shown(left))
            });
        }
        state.stream = Stream { phase: Phase::Ended, carrying: false };
        self.carries.take(socket);
    }

    fn end_batch(&mut self, now_ns: u64, waited_ns_max: u64) -> u64 {
        self.recorders.iter_mut().map(|recorder| recorder.end_batch(now_ns, waited_ns_max)).sum()
    }

    /// Pings, where it is time.
    fn tend(&mut self, now_ns: impl FnOnce() -> u64, notices: &mut Vec<Notice>) {
        if self.heartbeats.is_empty() {
            return;
        }
        let now_ns = now_ns();
        while let Some((socket, text)) = self.heartbeats.next_due(now_ns) {
            let state = &mut self.sockets[socket as usize];
            if state.stream.phase == Phase::Open {
                notices.push(Notice::Reply { socket, frame: client_text(text) });
                state.pings_unanswered = state.pings_unanswered.saturating_add(1);
                state.pinged_ns = now_ns;
            }
        }
    }
}

#[cfg(test)]
mod tests;
