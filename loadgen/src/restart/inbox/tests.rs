use super::*;
use crate::frame::server_text;
use crate::handshake::accept_upgrade;

const EVENTS: u32 = 20;
const INTERVAL_NS: u64 = 1_000_000;
const START_NS: u64 = 10 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// Of event 0; there is room between the events of a run for those of others.
const FIRST_SEQ: u64 = 1_000;

struct Bench {
    inbox: Inbox,
    notices: Vec<Notice>,
    now_ns: u64,
}

impl Bench {
    /// So many sockets, all connected, and told that 900 is the newest number.
    fn new(sockets: u32) -> Self {
        let target = Target::parse("ws://127.0.0.1:1/ws/alerts?apiKey=k", "ws").unwrap();
        let shared = Arc::new(Shared::new(EVENTS, INTERVAL_NS));
        shared.start_ns.store(START_NS, Ordering::Release);
        let events = Events::new("wallet", 300, EVENTS, 7).unwrap();
        let random = fastrand::Rng::with_seed(1);
        let inbox = Inbox::new(sockets, Doorway::new(target, [7; 16]), events, shared, random);
        let mut bench = Self { inbox, notices: Vec::new(), now_ns: START_NS };
        (0..sockets).for_each(|socket| bench.answer(socket, "\r\nstentor-seq: 900\r\n\r\n"));
        assert_eq!(std::mem::take(&mut bench.notices).len(), sockets as usize, "each is opened");
        bench
    }

    /// The server takes the upgrade, with the end of the head as it is given.
    fn answer(&mut self, socket: u32, end: &str) {
        let answer = accept_upgrade(&self.inbox.upgrade(socket)).unwrap();
        let answer = String::from_utf8(answer).unwrap().replace("\r\n\r\n", end);
        self.inbox.receive(socket, answer.as_bytes(), self.now_ns, &mut self.notices);
    }

    fn send(&mut self, socket: u32, events: impl IntoIterator<Item = u32>) {
        for event in events {
            let frame = self.inbox.events.sent_frame(event, seq(event));
            self.inbox.receive(socket, &frame, self.now_ns, &mut self.notices);
        }
    }

    fn say(&mut self, socket: u32, text: &str) {
        self.inbox.receive(socket, &server_text(text.as_bytes()), self.now_ns, &mut self.notices);
    }

    /// The server closes the connection; when the socket comes back.
    fn close(&mut self, socket: u32, code: u16) -> u64 {
        let [high, low] = code.to_be_bytes();
        self.inbox.receive(socket, &[0x88, 2, high, low], self.now_ns, &mut self.notices);
        let notices = std::mem::take(&mut self.notices);
        assert!(matches!(&notices[..], [Notice::Reply { .. }, Notice::Ended { .. }]), "{notices:?}");
        self.lost(socket)
    }

    fn lost(&mut self, socket: u32) -> u64 {
        let at_ns = self.inbox.returns_at(socket, self.now_ns);
        self.inbox.leave(socket);
        at_ns.unwrap()
    }

    /// The socket connects again at `now_ns`; the path of its upgrade.
    fn come_back(&mut self, socket: u32, now_ns: u64) -> String {
        let path = self.knock(socket, now_ns);
        self.answer(socket, "\r\nstentor-seq: 5000\r\n\r\n");
        assert!(self.notices.is_empty(), "it was opened before");
        path
    }

    fn knock(&mut self, socket: u32, now_ns: u64) -> String {
        self.now_ns = now_ns;
        self.inbox.begin_anew(socket, now_ns);
        let request = String::from_utf8(self.inbox.upgrade(socket).into_owned()).unwrap();
        request.split(' ').nth(1).unwrap().to_owned()
    }

    fn harvest(self, published: u32) -> Harvest {
        let seqs: Vec<u64> = (0..published).map(seq).collect();
        self.inbox.harvest(&seqs)
    }

    fn away(&self) -> u64 {
        self.inbox.shared.away.load(Ordering::Relaxed)
    }
}

fn seq(event: u32) -> u64 {
    FIRST_SEQ + 10 * u64::from(event)
}

#[test]
fn a_socket_that_is_told_so_comes_back_then_behind_its_last_event_and_misses_nothing() {
    let mut bench = Bench::new(1);
    bench.send(0, 0..5);
    bench.say(0, r#"{"type":"reconnect","after_ms":3000,"since":1040}"#);
    bench.send(0, 5..8);
    bench.now_ns += SECOND;
    assert_eq!((bench.away(), bench.close(0, 1012), bench.away()), (0, START_NS + 3 * SECOND, 1));
    bench.inbox.shared.start_ns.store(START_NS + 3 * SECOND - 12 * INTERVAL_NS, Ordering::Release);
    assert_eq!(bench.come_back(0, START_NS + 3 * SECOND), "/ws/alerts?apiKey=k&since=1070");
    assert_eq!(bench.away(), 0);
    bench.now_ns += 40;
    bench.send(0, 8..12);
    assert!(bench.inbox.waves[0].live_again_ns.is_empty(), "they were due before it was back");
    bench.send(0, 12..20);
    let harvest = bench.harvest(EVENTS);
    assert_eq!((harvest.faults, harvest.notes), (Faults::default(), Notes::default()));
    let wave = &harvest.waves[0];
    assert_eq!((&wave.told_ns[..], wave.closed_1012, wave.ended_otherwise), (&[START_NS + 3 * SECOND][..], 1, 0));
    assert_eq!((&wave.tries_ns[..], &wave.late_ns[..], wave.refused), (&[START_NS + 3 * SECOND][..], &[0][..], 0));
    assert_eq!(wave.live_again_ns, [2 * SECOND + 40]);
}

#[test]
fn the_number_of_the_message_counts_where_the_socket_has_no_later_one() {
    let mut bench = Bench::new(2);
    bench.send(0, 0..2);
    bench.say(0, r#"{"type":"reconnect","after_ms":10,"since":2000}"#);
    bench.close(0, 1012);
    assert_eq!(bench.come_back(0, START_NS + SECOND), "/ws/alerts?apiKey=k&since=2000");
    // It has had no event at all: the head of its first connection told where it begins.
    bench.close(1, 1012);
    assert_eq!(bench.come_back(1, START_NS + 3 * SECOND), "/ws/alerts?apiKey=k&since=900");
    bench.close(1, 1012);
    assert_eq!(bench.knock(1, START_NS + 9 * SECOND), "/ws/alerts?apiKey=k&since=900", "not what a later head told");
}

#[test]
fn greetings_and_pongs_move_the_cursor_and_gaps_do() {
    let mut bench = Bench::new(1);
    let cursors = [
        r#"{"type":"connected","seq":1500}"#,
        r#"{"type":"pong","seq":1400}"#,
        r#"{"type":"pong","seq":1600}"#,
        r#"{"type":"gap","from":1601,"to":1700,"reason":"retention"}"#,
        r#"{"type":"gap","from":1701,"to":1800,"reason":"latest"}"#,
        r#"{"type":"hello"}"#,
    ]
    .map(|text| {
        bench.say(0, text);
        bench.inbox.cursor(0).unwrap()
    });
    assert_eq!(cursors, [1500, 1500, 1600, 1700, 1700, 1700]);
    let notes = bench.harvest(0).notes;
    assert_eq!((notes.gaps_retention, notes.gaps_latest, notes.gaps_crash, notes.other_messages), (1, 1, 0, 1));
}

#[test]
fn what_a_resume_repeats_leaves_out_or_exchanges_is_found() {
    let resumed = |events: &[u32]| {
        let mut bench = Bench::new(1);
        bench.send(0, 0..5);
        bench.close(0, 1012);
        bench.come_back(0, START_NS + 2 * SECOND);
        bench.send(0, events.iter().copied());
        bench.harvest(8).faults
    };
    assert_eq!(resumed(&[5, 6, 7]), Faults::default());
    assert_eq!(resumed(&[4, 5, 6, 7]), Faults { duplicated: 1, ..Faults::default() });
    assert_eq!(resumed(&[6, 7]), Faults { lost: 1, ..Faults::default() });
    assert_eq!(resumed(&[5, 6]), Faults { lost: 1, ..Faults::default() });
    assert_eq!(resumed(&[5, 7, 6]), Faults { reordered: 1, ..Faults::default() });
}

#[test]
fn altered_bytes_and_wrong_numbers_are_found() {
    let mut bench = Bench::new(2);
    let mut frame = bench.inbox.events.sent_frame(0, seq(0));
    let last = frame.len() - 30;
    frame[last] ^= 1;
    bench.send(0, [0]);
    bench.inbox.receive(1, &frame, START_NS, &mut bench.notices);
    let renumbered = bench.inbox.events.sent_frame(1, seq(1) + 1);
    (0..2).for_each(|socket| bench.inbox.receive(socket, &renumbered, START_NS, &mut bench.notices));
    assert_eq!(bench.harvest(2).faults, Faults { damaged: 1, renumbered: 1, ..Faults::default() });
}

#[test]
fn a_crash_is_a_fault_only_where_the_server_said_goodbye() {
    let told = |code: u16| {
        let mut bench = Bench::new(1);
        bench.close(0, code);
        bench.come_back(0, START_NS + 2 * SECOND);
        bench.say(0, r#"{"type":"gap","from":1,"to":9,"reason":"crash"}"#);
        let harvest = bench.harvest(0);
        (harvest.faults.gaps_after_order, harvest.notes.gaps_crash)
    };
    assert_eq!((told(1012), told(1011)), ((1, 1), (0, 1)));
}

#[test]
fn a_broken_stream_and_refusals_are_waited_out_longer_each_time() {
    let mut bench = Bench::new(1);
    bench.inbox.ended(0, "reset", &mut bench.notices);
    assert_eq!(bench.notices.drain(..).count(), 1);
    let first_ns = bench.lost(0);
    assert!((START_NS + SECOND..=START_NS + 2 * SECOND).contains(&first_ns), "{first_ns}");
    // Nobody listens there.
    bench.knock(0, first_ns);
    let second_ns = bench.lost(0);
    assert!((first_ns + 2 * SECOND..=first_ns + 4 * SECOND).contains(&second_ns), "{second_ns}");
    // The server is on its way out, or has no place.
    bench.knock(0, second_ns);
    let busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
    bench.inbox.receive(0, busy, second_ns, &mut bench.notices);
    assert!(matches!(&bench.notices[..], [Notice::Ended { .. }]), "{:?}", bench.notices);
    bench.notices.clear();
    let third_ns = bench.lost(0);
    assert!((second_ns + 4 * SECOND..=second_ns + 8 * SECOND).contains(&third_ns), "{third_ns}");
    assert_eq!(bench.away(), 1);
    bench.come_back(0, third_ns + 5);
    assert_eq!(bench.away(), 0);
    let harvest = bench.harvest(0);
    let wave = &harvest.waves[0];
    assert_eq!((wave.ended_otherwise, wave.refused, wave.tries_ns.len(), wave.late_ns[2]), (1, 2, 3, 5));
    assert_eq!((harvest.faults, &harvest.ended_why[..]), (Faults::default(), &["reset".to_owned()][..]));
}

#[test]
fn a_refusal_that_waiting_does_not_mend_is_a_fault_and_so_is_who_is_not_back_in_the_end() {
    let mut bench = Bench::new(2);
    let at_ns = bench.close(0, 1012);
    bench.knock(0, at_ns);
    let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\nSINCE_IN_FUTURE";
    bench.inbox.receive(0, refusal, at_ns, &mut bench.notices);
    bench.notices.clear();
    bench.lost(0);
    let harvest = bench.harvest(0);
    assert_eq!(harvest.faults, Faults { denied: 1, never_back: 1, ..Faults::default() });
    assert!(harvest.ended_why[0].contains("SINCE_IN_FUTURE"), "{:?}", harvest.ended_why);
}

#[test]
fn the_first_connection_may_not_be_refused() {
    let target = Target::parse("ws://127.0.0.1:1/", "ws").unwrap();
    let events = Events::new("wallet", 300, 1, 7).unwrap();
    let shared = Arc::new(Shared::new(1, 1));
    let mut inbox = Inbox::new(1, Doorway::new(target, [7; 16]), events, shared, fastrand::Rng::with_seed(1));
    let mut notices = Vec::new();
    inbox.receive(0, b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno", 0, &mut notices);
    assert!(matches!(&notices[..], [Notice::Refused(_)]), "{notices:?}");
    assert_eq!(inbox.returns_at(0, 0), None);
}

#[test]
fn each_restart_has_figures_of_its_own() {
    let mut bench = Bench::new(3);
    for socket in 0..3 {
        bench.say(socket, r#"{"type":"reconnect","after_ms":1000,"since":900}"#);
        let at_ns = bench.close(socket, 1012);
        bench.come_back(socket, at_ns);
    }
    bench.close(1, 1011);
    let harvest = bench.harvest(0);
    let of = |wave: &Wave| (wave.told_ns.len(), wave.closed_1012, wave.ended_otherwise, wave.ended());
    assert_eq!(harvest.waves.iter().map(of).collect::<Vec<_>>(), [(3, 3, 0, 3), (0, 0, 1, 1)]);
    let both = Harvest::default().merge(harvest);
    assert_eq!((both.waves.len(), both.faults.never_back), (2, 1));
}
