//! What the sockets of one crowd of a storm receive: bytes in, checked deliveries and notices out. No ring, no clock.
//!
//! ```text
//!   bytes ─▶ begins with the frame of the next event of the socket's class? ─ yes ─▶ delivered, next
//!                     │ no
//!                     ▼
//!            upgrade answer │ frame ─▶ event (its class's? its turn? its bytes?), gap, ping, close, other message
//! ```
//! A socket's whole expectation is a position in the list of its class, so that millions of deliveries are checked with 32
//! bytes a socket and one copy of each event.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memmem::{Finder, find};

use super::role::Role;
use super::traffic::Traffic;
use crate::carries::Carries;
use crate::catalogue::Catalogue;
use crate::event::{GAP_MARK, INDEX_MARK, SEQ_MARK, index_in, number_behind};
use crate::frame::{Frame, OPCODE_BINARY, OPCODE_CONTINUATION, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, client_control};
use crate::handshake::Upgrade;
use crate::listener::{Listener, Notice, Phase, Stream};
use crate::order::{Arrival, OrderCheck};
use crate::schedule::{Timetable, UNTIMED};

/// What all crowds of a run share.
#[derive(Debug)]
pub struct Plan {
    pub traffic: Traffic,
    /// For each class, the events that it must get, in order.
    pub matching: Vec<Vec<u32>>,
    /// Of the events behind the history.
    pub timetable: Timetable,
}

struct Socket {
    opened_ns: u64,
    /// The place in its class's list of the event that must come next.
    expected: u32,
    stream: Stream,
    /// Whether it has had an event that was published after it had opened.
    live: bool,
}

/// The receiving side of a crowd.
pub struct Inbox {
    plan: Arc<Plan>,
    /// The sockets' classes, in turns, and how each of them connects.
    classes: Vec<(u32, Upgrade)>,
    sockets: Vec<Socket>,
    carries: Carries,
    catalogue: Catalogue,
    /// The number under which each event came first; 0 where it did not come yet.
    seqs: Vec<u64>,
    order: OrderCheck,
    index_finder: Finder<'static>,
    seq_finder: Finder<'static>,
    role: Role,
    batch: u64,
    faults: Faults,
}

/// What did not hold, over all sockets of a crowd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    /// Events of another account.
    pub foreign: u64,
    /// Other bytes than the event must become, or than the first copy had.
    pub damaged: u64,
    /// Events that came under another number than their publisher was told.
    pub renumbered: u64,
    /// Gaps that the server told of: there must be none inside retention.
    pub gaps: u64,
    /// Messages that are no event of the run and no gap.
    pub other_messages: u64,
}

impl Faults {
    pub fn sum(self, other: Self) -> Self {
        Self {
            lost: self.lost + other.lost,
            duplicated: self.duplicated + other.duplicated,
            reordered: self.reordered + other.reordered,
            foreign: self.foreign + other.foreign,
            damaged: self.damaged + other.damaged,
            renumbered: self.renumbered + other.renumbered,
            gaps: self.gaps + other.gaps,
            other_messages: self.other_messages + other.other_messages,
        }
    }
}

impl Inbox {
    pub fn new(plan: Arc<Plan>, classes: Vec<(u32, Upgrade)>, sockets: u32, role: Role) -> Self {
        let fresh = |_| Socket { opened_ns: 0, expected: 0, stream: Stream::FRESH, live: false };
        let events = plan.traffic.events();
        Self {
            classes,
            sockets: (0..sockets).map(fresh).collect(),
            carries: Carries::default(),
            catalogue: Catalogue::new(events),
            seqs: vec![0; events as usize],
            order: OrderCheck::default(),
            index_finder: Finder::new(INDEX_MARK),
            seq_finder: Finder::new(SEQ_MARK),
            role,
            batch: 0,
            faults: Faults::default(),
            plan,
        }
    }

    /// The books, closed after as many events as `published_seqs` numbers.
    pub fn harvest(self, published_seqs: &[u64]) -> (Role, Faults) {
        let published = published_seqs.len() as u32;
        let behind = |socket: u32| {
            u64::from(self.due_of(socket, published).saturating_sub(self.sockets[socket as usize].expected))
        };
        let tail: u64 = (0..self.sockets.len() as u32).map(behind).sum();
        let renumbered = self.seqs.iter().zip(published_seqs).filter(|(got, told)| **got != 0 && got != told);
        let faults = Faults {
            lost: tail + self.order.skipped(),
            duplicated: self.order.duplicated,
            reordered: self.order.reordered,
            renumbered: renumbered.count() as u64,
            ..self.faults
        };
        (self.role, faults)
    }

    fn due_of(&self, socket: u32, published: u32) -> u32 {
        self.plan.matching[self.class_of(socket) as usize].partition_point(|event| *event < published) as u32
    }

    fn class_of(&self, socket: u32) -> u32 {
        self.classes[socket as usize % self.classes.len()].0
    }

    fn upgrade_of(&self, socket: u32) -> &Upgrade {
        &self.classes[socket as usize % self.classes.len()].1
    }

    fn delivered(&mut self, socket: u32, event: u32, now_ns: u64) {
        self.batch += 1;
        let Some(step) = event.checked_sub(self.plan.traffic.history()) else { return };
        let published_ns = self.plan.timetable.intended_ns(step);
        match &mut self.role {
            Role::Live(live) if published_ns != UNTIMED => live.delivered(published_ns, now_ns),
            Role::Resuming(resuming) => {
                let state = &mut self.sockets[socket as usize];
                let is_new = published_ns != UNTIMED && published_ns >= state.opened_ns;
                if !state.live && is_new && !self.order.has_gap(socket) {
                    state.live = true;
                    resuming.live(now_ns);
                }
            }
            Role::Live(_) => {}
        }
    }

    fn take_event(&mut self, socket: u32, event: u32, frame: Frame<'_>, now_ns: u64) {
        let Ok(place) = self.plan.matching[self.class_of(socket) as usize].binary_search(&event) else {
            self.faults.foreign += 1;
            return;
        };
        match self.catalogue.frame(event) {
            Some(known) => self.faults.damaged += u64::from(known != frame.whole),
            None => self.learn(event, frame),
        }
        let state = &mut self.sockets[socket as usize];
        if self.order.arrived(socket, &mut state.expected, place as u32) != Arrival::Duplicate {
            self.delivered(socket, event, now_ns);
        }
    }

    /// Keeps the first copy of an event, where it is what the event must become.
    fn learn(&mut self, event: u32, frame: Frame<'_>) {
        let seq = number_behind(&self.seq_finder, frame.payload).unwrap_or(0);
        if self.plan.traffic.sent_frame(event, seq) != frame.whole {
            self.faults.damaged += 1;
            return;
        }
        self.seqs[event as usize] = seq;
        self.catalogue.learn(event, frame.whole);
    }
}

impl Listener for Inbox {
    fn upgrade(&self, socket: u32) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.upgrade_of(socket).request)
    }

    fn accept(&self, socket: u32) -> &str {
        &self.upgrade_of(socket).accept
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
        self.sockets[socket as usize].opened_ns = now_ns;
        if let Role::Resuming(resuming) = &mut self.role {
            resuming.opened(now_ns);
        }
        notices.push(Notice::Opened);
    }

    #[inline]
    fn take_awaited(&mut self, socket: u32, bytes: &[u8], now_ns: u64) -> usize {
        let plan = Arc::clone(&self.plan);
        let list = &plan.matching[self.class_of(socket) as usize];
        let mut rest = bytes;
        while let Some(event) = list.get(self.sockets[socket as usize].expected as usize)
            && let Some(after) = self.catalogue.frame(*event).and_then(|frame| rest.strip_prefix(frame))
        {
            self.sockets[socket as usize].expected += 1;
            rest = after;
            self.delivered(socket, *event, now_ns);
        }
        bytes.len() - rest.len()
    }

    fn take_frame(&mut self, socket: u32, frame: Frame<'_>, now_ns: u64, notices: &mut Vec<Notice>) {
        match frame.opcode {
            OPCODE_TEXT | OPCODE_BINARY => match index_in(&self.index_finder, frame.payload) {
                Some(event) if event < self.plan.traffic.events() => self.take_event(socket, event, frame, now_ns),
                _ if find(frame.payload, GAP_MARK).is_some() => self.faults.gaps += 1,
                _ => self.faults.other_messages += 1,
            },
            OPCODE_PING => notices.push(Notice::Reply { socket, frame: client_control(OPCODE_PONG, frame.payload) }),
            OPCODE_PONG | OPCODE_CONTINUATION => {}
            other => unreachable!("no opcode {other} is let through"),
        }
    }

    fn tell_end(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>) {
        notices.push(Notice::Ended { socket, why: why.to_owned() });
    }

    fn end_batch(&mut self, _now_ns: u64, _waited_ns_max: u64) -> u64 {
        std::mem::take(&mut self.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::role::{Moments, Resuming};
    use super::super::traffic::Shape;
    use super::*;
    use crate::frame::server_text;
    use crate::handshake::accept_upgrade;
    use crate::schedule::Schedule;
    use crate::target::Target;

    const SHAPE: Shape = Shape {
        history: 300,
        steps: 40,
        matching: 30,
        accounts: 2,
        live_per_million: 500_000,
        payload_bytes: 250,
        seed: 3,
    };
    const FIRST_SEQ: u64 = 1001;
    const OPENED_NS: u64 = 1_000_000;

    struct Bench {
        inbox: Inbox,
        notices: Vec<Notice>,
        plan: Arc<Plan>,
        moments: Arc<Moments>,
    }

    impl Bench {
        /// Two sockets, one of each account. Both open between the second and the third event behind the history.
        fn new() -> Self {
            let schedule = Schedule { burst: 1, interval_ns: 1000, rounds: 1, warmup_steps: 0, timed_steps: 40 };
            let traffic = Traffic::new(SHAPE).unwrap();
            let plan = Arc::new(Plan { matching: traffic.matching(), traffic, timetable: Timetable::new(schedule) });
            plan.timetable.begin_round(0, OPENED_NS - 1500);
            let target = Target::parse("ws://127.0.0.1:1/", "ws").unwrap();
            let upgrade = Upgrade::new(&target, [7; 16]);
            let moments = Arc::new(Moments::default());
            let role = Role::Resuming(Resuming::new(Arc::clone(&moments), 2));
            let classes = vec![(0, upgrade.clone()), (1, upgrade.clone())];
            let mut inbox = Inbox::new(Arc::clone(&plan), classes, 2, role);
            let mut notices = Vec::new();
            let answer = accept_upgrade(&upgrade.request).unwrap();
            (0..2).for_each(|socket| inbox.receive(socket, &answer, OPENED_NS, &mut notices));
            assert_eq!(std::mem::take(&mut notices), [Notice::Opened, Notice::Opened]);
            Self { inbox, notices, plan, moments }
        }

        fn list(&self, socket: u32) -> Vec<u32> {
            self.plan.matching[socket as usize].clone()
        }

        fn frame(&self, event: u32) -> Vec<u8> {
            self.plan.traffic.sent_frame(event, FIRST_SEQ + u64::from(event))
        }

        fn send(&mut self, socket: u32, events: &[u32]) {
            let bytes: Vec<u8> = events.iter().flat_map(|event| self.frame(*event)).collect();
            self.receive(socket, &bytes);
        }

        fn receive(&mut self, socket: u32, bytes: &[u8]) {
            self.inbox.receive(socket, bytes, OPENED_NS + 500_000, &mut self.notices);
        }

        fn faults(self) -> Faults {
            let seqs: Vec<u64> = (0..self.plan.traffic.events()).map(|event| FIRST_SEQ + u64::from(event)).collect();
            self.inbox.harvest(&seqs).1
        }

        fn live(&self) -> u64 {
            self.moments.live.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    /// Socket 1 gets everything; socket 0 what `spoil` makes of its list. What does not hold then?
    fn spoilt(spoil: impl Fn(&mut Vec<u32>)) -> (Faults, u64) {
        let mut bench = Bench::new();
        let mut events = bench.list(0);
        spoil(&mut events);
        bench.send(0, &events);
        let whole = bench.list(1);
        bench.send(1, &whole);
        let live = bench.live();
        (bench.faults(), live)
    }

    #[test]
    fn history_and_then_live_cut_anywhere_is_all_that_is_due() {
        for cut in [1, 7, 300, 9000] {
            let mut bench = Bench::new();
            for socket in [0, 1] {
                let stream: Vec<u8> = bench.list(socket).iter().flat_map(|event| bench.frame(*event)).collect();
                stream.chunks(cut).for_each(|piece| bench.receive(socket, piece));
            }
            assert_eq!(bench.live(), 2);
            assert_eq!(bench.inbox.end_batch(0, 0) as usize, bench.list(0).len() + bench.list(1).len());
            assert_eq!(bench.faults(), Faults::default(), "cut every {cut}");
        }
    }

    #[test]
    fn a_lost_event_is_found_wherever_it_was() {
        let one = Faults { lost: 1, ..Faults::default() };
        let without = |place: usize| spoilt(|events| assert!(events.remove(place) < 340));
        assert_eq!(without(0), (one, 1), "a socket that lacks history is never live");
        assert_eq!(without(12), (one, 1));
        // The join of history and live is where a resume goes wrong.
        let join = Bench::new().list(0).partition_point(|event| *event < 300);
        assert_eq!((without(join - 1), without(join)), ((one, 1), (one, 1)));
        assert_eq!(without(Bench::new().list(0).len() - 1).0, one);
    }

    #[test]
    fn a_doubled_event_is_found_wherever_it_was() {
        let one = Faults { duplicated: 1, ..Faults::default() };
        assert_eq!(spoilt(|events| events.insert(1, events[0])).0, one);
        assert_eq!(spoilt(|events| events.push(events[3])).0, one);
    }

    #[test]
    fn a_reordered_event_is_found() {
        let (faults, _) = spoilt(|events| events.swap(5, 6));
        assert_eq!(faults, Faults { reordered: 1, ..Faults::default() });
        // Live before history: each of the history comes late.
        let (faults, _) = spoilt(|events| {
            let live = events.split_off(events.partition_point(|event| *event < 300));
            events.splice(0..0, live);
        });
        assert!(faults.reordered >= 25 && faults.lost == 0, "{faults:?}");
    }

    #[test]
    fn another_accounts_event_is_found() {
        let stranger = *Bench::new().list(1).last().unwrap();
        let (faults, _) = spoilt(|events| events.push(stranger));
        assert_eq!(faults, Faults { foreign: 1, ..Faults::default() });
    }

    #[test]
    fn altered_bytes_and_wrong_numbers_are_found_in_the_first_copy_and_in_later_ones() {
        let mut bench = Bench::new();
        let events = bench.list(0);
        let mut bytes = bench.frame(events[0]);
        let last = bytes.len() - 30;
        bytes[last] ^= 1;
        bench.receive(0, &bytes);
        bench.send(0, &events[1..]);
        let whole = bench.list(1);
        bench.send(1, &whole);
        assert_eq!(bench.faults(), Faults { damaged: 1, ..Faults::default() });

        let mut bench = Bench::new();
        let bytes = bench.plan.traffic.sent_frame(events[0], 5);
        bench.receive(0, &bytes);
        bench.send(0, &events[1..]);
        bench.send(1, &whole);
        assert_eq!(bench.faults(), Faults { renumbered: 1, ..Faults::default() });
    }

    #[test]
    fn a_gap_that_is_told_is_counted() {
        let mut bench = Bench::new();
        bench.receive(0, &server_text(br#"{"type":"gap","from":1,"to":9,"reason":"retention"}"#));
        bench.receive(0, &server_text(br#"{"type":"hello"}"#));
        let faults = bench.faults();
        assert_eq!((faults.gaps, faults.other_messages), (1, 1));
    }

    #[test]
    fn a_socket_that_has_only_events_from_before_it_opened_is_not_live() {
        let mut bench = Bench::new();
        let list = bench.list(0);
        let history = list.partition_point(|event| *event < 300);
        bench.send(0, &list[..history]);
        assert_eq!(bench.live(), 0);
        assert_eq!((list[history], list[history + 1]), (300, 304), "the first is published before, the second after");
        bench.send(0, &list[history..=history]);
        assert_eq!(bench.live(), 0);
        bench.send(0, &list[history + 1..history + 2]);
        assert_eq!(bench.live(), 1);
    }
}
