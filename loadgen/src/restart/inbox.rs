//! What the sockets of one client thread receive, over all of their connections: bytes in, checked deliveries and notices out. No ring,
//! no clock.
//!
//! ```text
//!   bytes ─▶ begins with the awaited event's frame? ─ yes ─▶ delivered, next        (the common case: one comparison)
//!                     │ no
//!                     ▼
//!            upgrade answer │ frame ─▶ event, gap, reconnect, greeting, pong, ping, other message
//!   close 1012, another close, a broken stream, a refusal ─▶ Standing ─▶ when to come back; the upgrade then says `since`
//! ```
//! * What a socket awaits does not change with its connection: an event that comes again is a duplicate, and one that a resume leaves
//!   out is lost.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem::Finder;

use super::comeback::Standing;
use super::event::Events;
use super::pace::Wave;
use super::said::{Said, seq_of_head};
use crate::carries::Carries;
use crate::catalogue::Catalogue;
use crate::event::{INDEX_MARK, SEQ_MARK, index_in, number_behind};
use crate::frame::{Frame, OPCODE_BINARY, OPCODE_CONTINUATION, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, client_control};
use crate::handshake::Upgrade;
use crate::limits::{ENDS_TOLD_MAX, RESTARTS_MAX};
use crate::listener::{Listener, Notice, Phase, Stream};
use crate::order::{Arrival, OrderCheck};
use crate::target::Target;

/// The close code of a server that restarts.
const SERVICE_RESTART: u16 = 1012;

/// What the inboxes, the publisher and the run know of each other.
#[derive(Debug)]
pub struct Shared {
    pub events: u32,
    pub interval_ns: u64,
    /// `u64::MAX` before.
    pub start_ns: AtomicU64,
    /// Sockets that have lost their connection and are not back.
    pub away: AtomicU64,
}

impl Shared {
    pub fn new(events: u32, interval_ns: u64) -> Self {
        Self { events, interval_ns, start_ns: AtomicU64::new(u64::MAX), away: AtomicU64::new(0) }
    }

    /// When an event is to be published.
    pub fn due_ns(&self, event: u32) -> u64 {
        self.start_ns.load(Ordering::Acquire).saturating_add(u64::from(event) * self.interval_ns)
    }
}

/// How the sockets connect, the first time and later.
#[derive(Clone, Debug)]
pub struct Doorway {
    target: Target,
    nonce: [u8; 16],
    first: Upgrade,
}

impl Doorway {
    /// `target`: without `since`.
    pub fn new(target: Target, nonce: [u8; 16]) -> Self {
        Self { first: Upgrade::new(&target, nonce), target, nonce }
    }

    fn upgrade(&self, since: Option<u64>) -> Cow<'_, [u8]> {
        match since {
            None => Cow::Borrowed(&self.first.request),
            Some(since) => {
                let target = self.target.clone().with_query("since", &since.to_string());
                Cow::Owned(Upgrade::new(&target, self.nonce).request)
            }
        }
    }
}

struct Socket {
    /// The event that must come next.
    expected: u32,
    stream: Stream,
    standing: Standing,
    /// Connections that it has lost.
    losses: u16,
    /// Whether the server ended the last one in order.
    was_in_order: bool,
    /// The newest number that it knows of besides those of its events.
    told_seq: Option<u64>,
}

/// The receiving side of a crowd.
pub struct Inbox {
    sockets: Vec<Socket>,
    doorway: Doorway,
    events: Events,
    shared: Arc<Shared>,
    carries: Carries,
    catalogue: Catalogue,
    /// The number under which each event came first; 0 where it did not come yet.
    seqs: Vec<u64>,
    order: OrderCheck,
    index_finder: Finder<'static>,
    seq_finder: Finder<'static>,
    random: fastrand::Rng,
    /// One for each loss that a socket may have had.
    waves: Vec<Wave>,
    batch: u64,
    faults: Faults,
    notes: Notes,
    /// Of the connection that is about to be told to have ended.
    close_code: Option<u16>,
    ended_why: Vec<String>,
}

/// What did not hold, over all sockets of a crowd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Other bytes than the event must become, or than the first copy had.
    pub damaged: u64,
    /// Events that came under another number than their publisher was told.
    pub renumbered: u64,
    /// Gaps with the reason `crash` that sockets were told of whose connection the server had ended in order.
    pub gaps_after_order: u64,
    /// Attempts to come back that were answered with a refusal that waiting does not mend.
    pub denied: u64,
    /// Sockets that were not connected in the end.
    pub never_back: u64,
}

/// What was said besides events, and is no fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Notes {
    pub gaps_retention: u64,
    pub gaps_crash: u64,
    pub gaps_latest: u64,
    /// Messages that loadgen does not know.
    pub other_messages: u64,
}

/// The closed books of one crowd.
#[derive(Debug, Default)]
pub struct Harvest {
    pub waves: Vec<Wave>,
    pub faults: Faults,
    pub notes: Notes,
    /// Why connections ended without 1012, and why coming back was denied: the first few.
    pub ended_why: Vec<String>,
}

impl Harvest {
    pub fn merge(mut self, other: Self) -> Self {
        if self.waves.len() < other.waves.len() {
            self.waves.resize_with(other.waves.len(), Wave::default);
        }
        for (wave, other) in self.waves.iter_mut().zip(other.waves) {
            wave.merge(other);
        }
        let (faults, notes) = (other.faults, other.notes);
        self.faults.lost += faults.lost;
        self.faults.duplicated += faults.duplicated;
        self.faults.reordered += faults.reordered;
        self.faults.damaged += faults.damaged;
        self.faults.renumbered += faults.renumbered;
        self.faults.gaps_after_order += faults.gaps_after_order;
        self.faults.denied += faults.denied;
        self.faults.never_back += faults.never_back;
        self.notes.gaps_retention += notes.gaps_retention;
        self.notes.gaps_crash += notes.gaps_crash;
        self.notes.gaps_latest += notes.gaps_latest;
        self.notes.other_messages += notes.other_messages;
        self.ended_why.extend(other.ended_why);
        self
    }
}

impl Inbox {
    pub fn new(sockets: u32, doorway: Doorway, events: Events, shared: Arc<Shared>, random: fastrand::Rng) -> Self {
        let fresh = |_| Socket {
            expected: 0,
            stream: Stream::FRESH,
            standing: Standing::Arriving,
            losses: 0,
            was_in_order: false,
            told_seq: None,
        };
        Self {
            sockets: (0..sockets).map(fresh).collect(),
            doorway,
            events,
            carries: Carries::default(),
            catalogue: Catalogue::new(shared.events),
            seqs: vec![0; shared.events as usize],
            order: OrderCheck::default(),
            index_finder: Finder::new(INDEX_MARK),
            seq_finder: Finder::new(SEQ_MARK),
            random,
            waves: Vec::new(),
            batch: 0,
            faults: Faults::default(),
            notes: Notes::default(),
            close_code: None,
            ended_why: Vec::new(),
            shared,
        }
    }

    /// The books, closed after as many events as `published_seqs` numbers.
    pub fn harvest(self, published_seqs: &[u64]) -> Harvest {
        let published = published_seqs.len() as u32;
        let tail: u64 = self.sockets.iter().map(|socket| u64::from(published.saturating_sub(socket.expected))).sum();
        let renumbered = self.seqs.iter().zip(published_seqs).filter(|(got, told)| **got != 0 && got != told);
        let is_away = |socket: &&Socket| matches!(socket.standing, Standing::Away { .. });
        let faults = Faults {
            lost: tail + self.order.skipped(),
            duplicated: self.order.duplicated,
            reordered: self.order.reordered,
            renumbered: renumbered.count() as u64,
            never_back: self.sockets.iter().filter(is_away).count() as u64,
            ..self.faults
        };
        Harvest { waves: self.waves, faults, notes: self.notes, ended_why: self.ended_why }
    }

    /// The number behind which a socket resumes: of its newest event, or what it was told since.
    fn cursor(&self, socket: u32) -> Option<u64> {
        let state = &self.sockets[socket as usize];
        let newest = state.expected.checked_sub(1).map(|event| self.seqs[event as usize]).filter(|seq| *seq > 0);
        newest.max(state.told_seq)
    }

    /// What a socket goes through from its first loss on, or its second.
    fn wave(&mut self, losses_before: u16) -> &mut Wave {
        let number = usize::from(losses_before).min(RESTARTS_MAX - 1);
        if self.waves.len() <= number {
            self.waves.resize_with(number + 1, Wave::default);
        }
        &mut self.waves[number]
    }

    fn tell_why(&mut self, why: String) {
        if self.ended_why.len() < ENDS_TOLD_MAX && !self.ended_why.contains(&why) {
            self.ended_why.push(why);
        }
    }

    #[inline]
    fn delivered(&mut self, socket: u32, event: u32, now_ns: u64) {
        self.batch += 1;
        let Standing::Resuming { ended_ns, opened_ns } = self.sockets[socket as usize].standing else { return };
        if self.shared.due_ns(event) >= opened_ns && !self.order.has_gap(socket) {
            let state = &mut self.sockets[socket as usize];
            state.standing = Standing::Live;
            let losses_before = state.losses - 1;
            self.wave(losses_before).live_again_ns.push(now_ns.saturating_sub(ended_ns));
        }
    }

    fn take_event(&mut self, socket: u32, event: u32, frame: Frame<'_>, now_ns: u64) {
        match self.catalogue.frame(event) {
            Some(known) => self.faults.damaged += u64::from(known != frame.whole),
            None => self.learn(event, frame),
        }
        let state = &mut self.sockets[socket as usize];
        if self.order.arrived(socket, &mut state.expected, event) != Arrival::Duplicate {
            self.delivered(socket, event, now_ns);
        }
    }

    /// Keeps the first copy of an event, where it is what the event must become.
    fn learn(&mut self, event: u32, frame: Frame<'_>) {
        let seq = number_behind(&self.seq_finder, frame.payload).unwrap_or(0);
        if self.events.sent_frame(event, seq) != frame.whole {
            self.faults.damaged += 1;
            return;
        }
        self.seqs[event as usize] = seq;
        self.catalogue.learn(event, frame.whole);
    }

    fn take_message(&mut self, socket: u32, message: Said, now_ns: u64) {
        let state = &mut self.sockets[socket as usize];
        match message {
            Said::Reconnect { after_ms, since } => {
                let return_ns = now_ns.saturating_add(after_ms.saturating_mul(1_000_000));
                state.told_seq = state.told_seq.max(Some(since));
                state.standing = Standing::Told { return_ns };
                let losses_before = state.losses;
                self.wave(losses_before).told_ns.push(return_ns);
            }
            Said::Connected { seq } | Said::Pong { seq } => state.told_seq = state.told_seq.max(seq),
            Said::Gap { to, reason } => {
                if reason == "latest" {
                    self.notes.gaps_latest += 1;
                    return;
                }
                state.told_seq = state.told_seq.max(Some(to));
                if reason == "crash" {
                    self.faults.gaps_after_order += u64::from(state.was_in_order);
                    self.notes.gaps_crash += 1;
                } else {
                    self.notes.gaps_retention += 1;
                }
            }
            Said::Other => self.notes.other_messages += 1,
        }
    }
}

impl Listener for Inbox {
    fn upgrade(&self, socket: u32) -> Cow<'_, [u8]> {
        self.doorway.upgrade(self.cursor(socket))
    }

    fn accept(&self, _socket: u32) -> &str {
        &self.doorway.first.accept
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

    /// A session without `since` begins there; one with it begins at its own number, whatever the newest is.
    fn head(&mut self, socket: u32, head: &[u8]) {
        if self.cursor(socket).is_none() {
            self.sockets[socket as usize].told_seq = seq_of_head(head);
        }
    }

    fn opened(&mut self, socket: u32, now_ns: u64, notices: &mut Vec<Notice>) {
        let standing = &mut self.sockets[socket as usize].standing;
        match *standing {
            Standing::Arriving => {
                *standing = Standing::Live;
                notices.push(Notice::Opened);
            }
            Standing::Away { ended_ns, .. } => {
                *standing = Standing::Resuming { ended_ns, opened_ns: now_ns };
                self.shared.away.fetch_sub(1, Ordering::Relaxed);
            }
            other => unreachable!("a socket that is {other:?} was opened"),
        }
    }

    /// The first time it ends the run. Later the server may just be on its way out, or not yet be there.
    fn not_opened(&mut self, socket: u32, notice: Notice, notices: &mut Vec<Notice>) {
        if self.sockets[socket as usize].standing == Standing::Arriving {
            notices.push(notice);
            return;
        }
        let why = match notice {
            Notice::Refused(answer) => {
                let why = format!("coming back was refused: HTTP {} {}: {}", answer.status, answer.reason, answer.body);
                if (400..500).contains(&answer.status) && !matches!(answer.status, 408 | 429) {
                    self.faults.denied += 1;
                    self.tell_why(why.clone());
                }
                why
            }
            Notice::Nonsense(what) => what.to_owned(),
            other => return notices.push(other),
        };
        notices.push(Notice::Ended { socket, why });
    }

    fn begin_anew(&mut self, socket: u32, now_ns: u64) {
        let state = &mut self.sockets[socket as usize];
        state.stream = Stream::FRESH;
        let Standing::Away { return_ns, .. } = state.standing else {
            unreachable!("only who is away comes back");
        };
        let losses_before = state.losses - 1;
        let wave = self.wave(losses_before);
        wave.tries_ns.push(now_ns);
        wave.late_ns.push(now_ns.saturating_sub(return_ns));
    }

    fn closed(&mut self, _socket: u32, code: Option<u16>) {
        self.close_code = code;
    }

    fn returns_at(&mut self, socket: u32, now_ns: u64) -> Option<u64> {
        let random = self.random.f64();
        let state = &mut self.sockets[socket as usize];
        let before = state.standing;
        state.standing = before.lost(now_ns, random);
        let Standing::Away { return_ns, .. } = state.standing else { return None };
        if let Standing::Away { .. } = before {
            let losses_before = state.losses - 1;
            self.wave(losses_before).refused += 1;
        } else {
            state.losses = state.losses.saturating_add(1);
            self.shared.away.fetch_add(1, Ordering::Relaxed);
        }
        Some(return_ns)
    }

    #[inline]
    fn take_awaited(&mut self, socket: u32, bytes: &[u8], now_ns: u64) -> usize {
        let mut rest = bytes;
        loop {
            let expected = self.sockets[socket as usize].expected;
            let Some(after) = self.catalogue.frame(expected).and_then(|frame| rest.strip_prefix(frame)) else {
                return bytes.len() - rest.len();
            };
            self.sockets[socket as usize].expected += 1;
            rest = after;
            self.delivered(socket, expected, now_ns);
        }
    }

    fn take_frame(&mut self, socket: u32, frame: Frame<'_>, now_ns: u64, notices: &mut Vec<Notice>) {
        match frame.opcode {
            OPCODE_TEXT | OPCODE_BINARY => match index_in(&self.index_finder, frame.payload) {
                Some(event) if event < self.shared.events => self.take_event(socket, event, frame, now_ns),
                _ => self.take_message(socket, Said::of(frame.payload), now_ns),
            },
            OPCODE_PING => notices.push(Notice::Reply { socket, frame: client_control(OPCODE_PONG, frame.payload) }),
            OPCODE_PONG | OPCODE_CONTINUATION => {}
            other => unreachable!("no opcode {other} is let through"),
        }
    }

    fn tell_end(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>) {
        let in_order = self.close_code.take() == Some(SERVICE_RESTART);
        let state = &mut self.sockets[socket as usize];
        state.was_in_order = in_order;
        let losses_before = state.losses;
        let wave = self.wave(losses_before);
        if in_order {
            wave.closed_1012 += 1;
        } else {
            wave.ended_otherwise += 1;
            self.tell_why(why.to_owned());
        }
        notices.push(Notice::Ended { socket, why: why.to_owned() });
    }

    fn end_batch(&mut self, _now_ns: u64, _waited_ns_max: u64) -> u64 {
        std::mem::take(&mut self.batch)
    }
}

#[cfg(test)]
mod tests;
