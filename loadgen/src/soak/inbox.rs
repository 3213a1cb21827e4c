//! What the sockets of one client thread receive: bytes in, checked deliveries and notices out. No ring, no clock.
//!
//! ```text
//!   bytes ─▶ begins with the awaited event's frame? ─ yes ─▶ delivered, next        (the common case: one comparison)
//!                     │ no
//!                     ▼
//!            upgrade answer │ frame ─▶ event, gap, ping, close, other message
//! ```
//! Nothing here has a length that grows with the events, except what is kept of losses, which is bounded too.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem::{Finder, find};

use super::recent::{Compared, Recent};
use super::window::{Faults, Shared};
use crate::carries::Carries;
use crate::event::{EventWriter, GAP_MARK, INDEX_MARK, index_in};
use crate::frame::{Frame, OPCODE_BINARY, OPCODE_CONTINUATION, OPCODE_PING, OPCODE_PONG, OPCODE_TEXT, client_control};
use crate::handshake::Upgrade;
use crate::listener::{Listener, Notice, Phase, Stream};
use crate::order::{Arrival, OrderCheck};
use crate::schedule::Schedule;

/// When events are due. Segments follow each other without a pause, so it is the same distance from each event to the next.
#[derive(Debug)]
pub struct Times {
    schedule: Schedule,
    start_ns: AtomicU64,
}

impl Times {
    pub fn new(schedule: Schedule) -> Self {
        Self { schedule, start_ns: AtomicU64::new(0) }
    }

    /// The first event is due at `start_ns`. To be called before it is published.
    pub fn begin(&self, start_ns: u64) {
        self.start_ns.store(start_ns, Ordering::Release);
    }

    pub fn events(&self) -> u32 {
        self.schedule.events()
    }

    pub fn due_ns(&self, event: u32) -> u64 {
        self.start_ns.load(Ordering::Acquire) + u64::from(event) * self.schedule.interval_ns
    }

    /// When a segment begins.
    pub fn segment_ns(&self, segment: u32) -> u64 {
        self.due_ns(segment * self.schedule.events_per_round())
    }
}

struct Socket {
    /// The event that must come next.
    expected: u32,
    stream: Stream,
}

/// The receiving side of a crowd.
pub struct Inbox {
    sockets: Vec<Socket>,
    upgrade: Arc<Upgrade>,
    times: Arc<Times>,
    window: Arc<Shared>,
    carries: Carries,
    recent: Recent,
    /// What is published to a server that sends it on as it is.
    published: Option<EventWriter>,
    order: OrderCheck,
    finder: Finder<'static>,
    /// Deliveries of the batch at hand: an event, and how many in a row there were of it.
    batch: Vec<(u32, u64)>,
    faults: Faults,
}

impl Inbox {
    pub fn new(
        sockets: u32,
        payload_bytes: usize,
        published: Option<EventWriter>,
        upgrade: Arc<Upgrade>,
        times: Arc<Times>,
        window: Arc<Shared>,
    ) -> Self {
        let fresh = |_| Socket { expected: 0, stream: Stream::FRESH };
        Self {
            sockets: (0..sockets).map(fresh).collect(),
            upgrade,
            times,
            window,
            carries: Carries::default(),
            recent: Recent::new(payload_bytes),
            published,
            order: OrderCheck::default(),
            finder: Finder::new(INDEX_MARK),
            batch: Vec::new(),
            faults: Faults::default(),
        }
    }

    /// One past the newest event that any socket got.
    pub fn newest(&self) -> u32 {
        self.sockets.iter().map(|socket| socket.expected).max().unwrap_or(0)
    }

    /// The books, closed after `published` events.
    pub fn harvest(self, published: u32) -> Faults {
        let tail: u64 = self.sockets.iter().map(|socket| u64::from(published.saturating_sub(socket.expected))).sum();
        let so_far = self.faults_so_far();
        Faults { lost: so_far.lost + tail, ..so_far }
    }

    fn faults_so_far(&self) -> Faults {
        let OrderCheck { duplicated, reordered, .. } = self.order;
        Faults { lost: self.order.skipped(), duplicated, reordered, ..self.faults }
    }

    #[inline]
    fn delivered(&mut self, event: u32) {
        match self.batch.last_mut() {
            Some((last, count)) if *last == event => *count += 1,
            _ => self.batch.push((event, 1)),
        }
    }

    /// Only a server that is known to send on what it gets as it is can be held to that.
    fn is_as_published(&self, event: u32, whole: &[u8]) -> bool {
        let published = self.published.as_ref();
        published.is_none_or(|events| find(whole, events.data(event).as_bytes()).is_some())
    }

    fn take_event(&mut self, socket: u32, event: u32, whole: &[u8]) {
        match self.recent.take(event, whole) {
            Compared::First => self.faults.damaged += u64::from(!self.is_as_published(event, whole)),
            Compared::Same => {}
            Compared::Different => self.faults.damaged += 1,
            Compared::Uncompared => self.faults.uncompared += 1,
        }
        let state = &mut self.sockets[socket as usize];
        if self.order.arrived(socket, &mut state.expected, event) != Arrival::Duplicate {
            self.delivered(event);
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

    fn opened(&mut self, _socket: u32, _now_ns: u64, notices: &mut Vec<Notice>) {
        notices.push(Notice::Opened);
    }

    #[inline]
    fn take_awaited(&mut self, socket: u32, bytes: &[u8], _now_ns: u64) -> usize {
        let mut rest = bytes;
        loop {
            let expected = self.sockets[socket as usize].expected;
            let Some(after) = self.recent.frame(expected).and_then(|frame| rest.strip_prefix(frame)) else {
                return bytes.len() - rest.len();
            };
            self.sockets[socket as usize].expected += 1;
            rest = after;
            self.delivered(expected);
        }
    }

    fn take_frame(&mut self, socket: u32, frame: Frame<'_>, _now_ns: u64, notices: &mut Vec<Notice>) {
        match frame.opcode {
            OPCODE_TEXT | OPCODE_BINARY => match index_in(&self.finder, frame.payload) {
                Some(event) if event < self.times.events() => self.take_event(socket, event, frame.whole),
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

    fn end_batch(&mut self, now_ns: u64, waited_ns_max: u64) -> u64 {
        let faults = self.faults_so_far();
        let mut window = self.window.write();
        let mut total = 0;
        for (event, count) in self.batch.drain(..) {
            let latency_ns = now_ns.saturating_sub(self.times.due_ns(event)).max(1);
            window.latency.saturating_record_n(latency_ns, count);
            total += count;
        }
        if total > 0 {
            window.client_late.saturating_record_n(waited_ns_max.max(1), total);
        }
        window.faults = faults;
        total
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::Window;
    use super::*;
    use crate::event::{EventSource, EventWriter};
    use crate::frame::server_text;
    use crate::handshake::accept_upgrade;
    use crate::limits::SOAK_WINDOW_EVENTS;
    use crate::target::Target;

    const WINDOW: u32 = SOAK_WINDOW_EVENTS as u32;
    const SCHEDULE: Schedule =
        Schedule { burst: 1, interval_ns: 1000, rounds: 30, warmup_steps: 0, timed_steps: WINDOW / 10 };
    const START_NS: u64 = 1_000_000;

    struct Bench {
        inbox: Inbox,
        window: Arc<Shared>,
        notices: Vec<Notice>,
        writer: EventWriter,
    }

    impl Bench {
        fn new(sockets: u32) -> Self {
            let target = Target::parse("ws://127.0.0.1:1/", "ws").unwrap();
            let upgrade = Arc::new(Upgrade::new(&target, [7; 16]));
            let answer = accept_upgrade(&upgrade.request).unwrap();
            let times = Arc::new(Times::new(SCHEDULE));
            times.begin(START_NS);
            let window = Arc::new(Shared::default());
            let writer = EventWriter::new("wallet", 300, SCHEDULE.events()).unwrap();
            let inbox = Inbox::new(sockets, 300, Some(writer.clone()), upgrade, times, Arc::clone(&window));
            let mut bench = Self { inbox, window, notices: Vec::new(), writer };
            (0..sockets).for_each(|socket| bench.inbox.receive(socket, &answer, 0, &mut bench.notices));
            assert_eq!(std::mem::take(&mut bench.notices).len(), sockets as usize);
            bench
        }

        fn receive(&mut self, socket: u32, event: u32) {
            let frame = self.writer.sent_frame(event, u64::from(event) + 100);
            self.receive_bytes(socket, &frame);
        }

        fn receive_bytes(&mut self, socket: u32, bytes: &[u8]) {
            self.inbox.receive(socket, bytes, 0, &mut self.notices);
        }

        fn faults(self, published: u32) -> Faults {
            self.inbox.harvest(published)
        }
    }

    #[test]
    fn events_go_round_the_window_many_times_and_each_is_checked() {
        let mut bench = Bench::new(2);
        for event in 0..SCHEDULE.events() {
            bench.receive(0, event);
            bench.receive(1, event);
        }
        assert!(SCHEDULE.events() > 2 * WINDOW);
        assert_eq!(bench.inbox.end_batch(0, 0), 2 * u64::from(SCHEDULE.events()));
        assert_eq!(bench.faults(SCHEDULE.events()), Faults::default());
    }

    #[test]
    fn an_event_that_the_server_has_changed_is_damaged_though_all_copies_are_alike() {
        let mut bench = Bench::new(2);
        let mut frame = bench.writer.sent_frame(0, 100);
        let at = memchr::memmem::find(&frame, b"xxxx").unwrap();
        frame[at] = b'y';
        (0..2).for_each(|socket| bench.receive_bytes(socket, &frame));
        assert_eq!(bench.faults(1), Faults { damaged: 1, ..Faults::default() });
    }

    #[test]
    fn a_socket_a_whole_window_behind_is_late_and_not_lost_and_its_copies_are_not_compared() {
        let mut bench = Bench::new(2);
        let events = WINDOW + 50;
        (0..events).for_each(|event| bench.receive(0, event));
        (0..events).for_each(|event| bench.receive(1, event));
        assert_eq!(bench.faults(events), Faults { uncompared: 50, ..Faults::default() });
    }

    #[test]
    fn an_event_is_never_taken_for_the_one_a_window_before_it() {
        // Socket 1 gets event `WINDOW` where it awaits event 0, which has the same place.
        let mut bench = Bench::new(2);
        bench.receive(0, 0);
        bench.receive(1, WINDOW);
        let faults = bench.faults(WINDOW + 1);
        assert_eq!((faults.lost, faults.damaged, faults.duplicated), (2 * u64::from(WINDOW), 0, 0));
    }

    #[test]
    fn losses_duplicates_reorderings_and_damage_are_found_in_any_segment() {
        for base in [0, WINDOW - 2, 2 * WINDOW + 7] {
            let mut bench = Bench::new(2);
            (0..base).for_each(|event| (0..2).for_each(|socket| bench.receive(socket, event)));
            (0..6).for_each(|event| bench.receive(0, base + event));
            [0, 2, 1, 3, 3, 5].iter().for_each(|event| bench.receive(1, base + event));
            let mut damaged = bench.writer.sent_frame(base + 6, 1);
            bench.receive_bytes(0, &damaged);
            let last = damaged.len() - 30;
            damaged[last] ^= 1;
            bench.receive_bytes(1, &damaged);
            let so_far = bench.inbox.faults_so_far();
            let expected = Faults { lost: 1, duplicated: 1, reordered: 1, damaged: 1, ..Faults::default() };
            assert_eq!(so_far, expected, "from {base}");
            let in_the_end = bench.faults(base + 8);
            assert_eq!(in_the_end, Faults { lost: 3, ..expected }, "neither got the last");
        }
    }

    #[test]
    fn latency_counts_from_the_time_that_follows_from_the_index() {
        let mut bench = Bench::new(1);
        let first_of_second_segment = SCHEDULE.events_per_round();
        (0..=first_of_second_segment).for_each(|event| bench.receive(0, event));
        let times = Times::new(SCHEDULE);
        times.begin(START_NS);
        assert_eq!(times.segment_ns(1), START_NS + u64::from(first_of_second_segment) * 1000);
        bench.inbox.end_batch(times.segment_ns(1) + 500, 40);
        let mut window = Window::default();
        bench.window.exchange(&mut window);
        assert_eq!((window.latency.len(), window.latency.min()), (u64::from(first_of_second_segment) + 1, 500));
        assert_eq!(window.client_late.max(), 40);
        bench.window.exchange(&mut window);
        assert_eq!(window.latency.len(), 0, "each window begins empty");
    }

    #[test]
    fn greetings_gaps_and_pings_are_no_events() {
        let mut bench = Bench::new(1);
        bench.receive_bytes(0, &server_text(br#"{"type":"connected","seq":9}"#));
        bench.receive_bytes(0, &server_text(br#"{"type":"gap","from":1,"to":9,"reason":"retention"}"#));
        bench.receive_bytes(0, &[0x89, 2, b'h', b'i']);
        assert_eq!(bench.notices, [Notice::Reply { socket: 0, frame: client_control(OPCODE_PONG, b"hi") }]);
        let mut text = Vec::new();
        bench.writer.published(SCHEDULE.events(), &mut text);
        bench.receive_bytes(0, &server_text(&text));
        assert_eq!(bench.faults(0), Faults { gaps: 1, other_messages: 2, ..Faults::default() });
    }
}
