//! Outputs byte by byte: what is lent, sent in parts, cut and given up.

use super::*;
use crate::ws::{Opcode, append_frame};

struct Bench {
    log: ShardLog,
    pool: BacklogPool,
    output: Output,
    /// Of the newest event.
    seq: u64,
}

impl Bench {
    fn new() -> Self {
        Self { log: ShardLog::new(1 << 16), pool: BacklogPool::default(), output: Output::default(), seq: 0 }
    }

    fn frame(text: &str) -> Vec<u8> {
        let mut frame = Vec::new();
        append_frame(&mut frame, Opcode::Text, text.as_bytes());
        frame
    }

    fn event(&mut self, text: &str) {
        let seq = self.seq();
        let range = self.log.append(&Self::frame(text), seq);
        self.output.push_range(range, &mut self.pool);
    }

    fn others_event(&mut self) {
        let seq = self.seq();
        self.log.append(&Self::frame("not for this socket"), seq);
    }

    fn owned(&mut self, text: &str) {
        self.output.push_owned(Self::frame(text).into(), &mut self.pool);
    }

    fn pong(&mut self, text: &str) {
        self.output.push_pong(Self::frame(text).into(), &mut self.pool);
    }

    fn seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Sends at most `most` bytes and returns them.
    fn send(&mut self, most: usize) -> Vec<u8> {
        let mut batch = SendBatch::default();
        batch.begin(0);
        self.output.gather(&self.log, &mut batch);
        let mut bytes: Vec<u8> = batch.iter().flat_map(|(_, pieces)| pieces.iter().flat_map(|p| p.to_vec())).collect();
        bytes.truncate(most);
        drop(batch);
        self.output.consume(bytes.len(), &self.log, &mut self.pool);
        bytes
    }

    fn drain(&mut self, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !self.output.is_empty() {
            all.extend(self.send(step));
        }
        all
    }
}

fn frames(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| Bench::frame(text)).collect()
}

#[test]
fn adjacent_events_merge_into_one_range() {
    let mut bench = Bench::new();
    for text in ["a", "b", "c"] {
        bench.event(text);
    }
    assert!(matches!(bench.output, Output::Range(_)));
    assert_eq!(bench.drain(usize::MAX), frames(&["a", "b", "c"]));
}

#[test]
fn scattered_events_stay_apart_and_in_order() {
    let mut bench = Bench::new();
    for text in ["a", "b", "c"] {
        bench.event(text);
        bench.others_event();
    }
    assert_eq!(bench.output.pieces(), 3);
    assert_eq!(bench.drain(usize::MAX), frames(&["a", "b", "c"]));
}

#[test]
fn sends_of_any_length_deliver_every_byte_in_order() {
    for step in 1..60 {
        let mut bench = Bench::new();
        bench.owned("greeting");
        bench.event("one");
        bench.event("two, which is somewhat longer than the others");
        bench.others_event();
        bench.event("three");
        bench.owned("reply");
        assert_eq!(
            bench.drain(step),
            frames(&["greeting", "one", "two, which is somewhat longer than the others", "three", "reply"])
        );
    }
}

#[test]
fn a_pong_waits_for_the_frame_boundary_and_no_longer() {
    let first = Bench::frame("first event").len();
    for sent in 0..=first {
        let mut bench = Bench::new();
        bench.event("first event");
        bench.event("second event");
        let mut all = bench.send(sent);
        bench.pong("pong");
        all.extend(bench.drain(7));
        let expected = match sent {
            0 => frames(&["pong", "first event", "second event"]),
            _ => frames(&["first event", "pong", "second event"]),
        };
        assert_eq!(all, expected, "after {sent} bytes");
    }
}

#[test]
fn a_pong_waits_for_the_end_of_a_half_sent_piece_of_our_own() {
    let mut bench = Bench::new();
    bench.owned("greeting");
    bench.event("event");
    let mut all = bench.send(3);
    bench.pong("pong");
    all.extend(bench.drain(usize::MAX));
    assert_eq!(all, frames(&["greeting", "pong", "event"]));
}

#[test]
fn pongs_leave_in_the_order_of_their_pings_even_when_one_is_half_sent() {
    for sent in 0..Bench::frame("ping 1").len() {
        let mut bench = Bench::new();
        bench.event("event");
        bench.pong("ping 1");
        bench.pong("ping 2");
        let mut all = bench.send(sent);
        bench.pong("ping 3");
        all.extend(bench.drain(5));
        assert_eq!(all, frames(&["ping 1", "ping 2", "ping 3", "event"]), "after {sent} bytes");
    }
}

#[test]
fn past_a_few_pongs_the_newest_that_waits_is_replaced() {
    let mut bench = Bench::new();
    bench.event("event");
    for number in 0..1000 {
        bench.pong(&format!("pong {number}"));
    }
    let mut kept: Vec<_> = (0..limits::PONGS_WAITING_MAX - 1).map(|number| format!("pong {number}")).collect();
    kept.push("pong 999".to_owned());
    let kept = frames(&kept.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(bench.output.owned_bytes(), kept.len());
    assert_eq!(bench.drain(usize::MAX), [kept, Bench::frame("event")].concat());
}

#[test]
fn answers_that_wait_are_the_whole_frames_of_the_sockets_own_before_any_event() {
    let mut bench = Bench::new();
    assert!(bench.output.waiting_answers().is_empty());
    bench.owned("half-sent");
    bench.send(3);
    bench.owned("answer");
    bench.event("event");
    bench.owned("answer to what came after the event");
    bench.pong("pong");
    assert_eq!(bench.output.waiting_answers(), frames(&["pong", "answer"]));
}

#[test]
fn answers_behind_events_from_the_journal_do_not_wait_either() {
    let mut bench = Bench::new();
    bench.owned("answer");
    bench.output.push_replayed(&Bench::frame("from the journal"), &mut bench.pool);
    bench.owned("answer to what came after the event");
    assert_eq!(bench.output.waiting_answers(), frames(&["answer"]));
}

#[test]
fn cutting_keeps_the_rest_of_a_half_sent_frame() {
    let first = Bench::frame("first event").len();
    for sent in 0..=first + 1 {
        let mut bench = Bench::new();
        bench.event("first event");
        bench.event("second event");
        let mut all = bench.send(sent);
        bench.output.cut_to(Bench::frame("close").into(), &bench.log, &mut bench.pool);
        assert_eq!(bench.output.oldest(), None, "nothing of the log is needed any more");
        all.extend(bench.drain(4));
        let expected = match sent {
            0 => frames(&["close"]),
            _ if sent <= first => frames(&["first event", "close"]),
            _ => frames(&["first event", "second event", "close"]),
        };
        assert_eq!(all, expected, "after {sent} bytes");
    }
}

#[test]
fn whoever_falls_behind_keeps_the_rest_of_a_half_sent_frame_and_what_was_said_before() {
    let first = Bench::frame("event 1").len();
    for sent in 0..=first + 1 {
        let mut bench = Bench::new();
        bench.event("event 1");
        bench.event("event 2");
        bench.owned("answer after 2");
        bench.others_event();
        bench.event("event 4");
        bench.event("event 5");
        bench.owned("answer after 5");
        let mut all = bench.send(sent);
        bench.pong("pong");
        let fallen = bench.output.fall_behind(&bench.log, &mut bench.pool).expect("it has events");
        let held: Vec<_> = fallen.held.iter().map(|(after, bytes)| (*after, bytes.clone())).collect();
        let answers = [(2, Bench::frame("answer after 2")), (5, Bench::frame("answer after 5"))];
        assert_eq!(bench.output.oldest(), None);
        all.extend(bench.drain(3));
        assert_eq!((bench.output.owned_bytes(), bench.output.replayed_bytes()), (0, 0));
        let (next, expected, from) = match sent {
            0 => (1, frames(&["pong"]), 0),
            _ if sent <= first => (2, frames(&["event 1", "pong"]), 0),
            _ => (4, frames(&["event 1", "event 2", "pong", "answer after 2"]), 1),
        };
        assert_eq!((fallen.next, all), (next, expected), "after {sent} bytes");
        assert_eq!(held, answers[from..]);
    }
}

#[test]
fn what_is_kept_does_not_need_the_log_any_more() {
    for sent in 0..=Bench::frame("event 1").len() + 3 {
        let mut bench = Bench::new();
        bench.event("event 1");
        bench.owned("answer");
        bench.event("event 2");
        bench.others_event();
        bench.event("event 4");
        let mut all = bench.send(sent);
        bench.output.keep(&bench.log, &mut bench.pool);
        assert_eq!((bench.output.oldest(), bench.output.log_bytes()), (None, 0));
        bench.log = ShardLog::new(1 << 16);
        bench.pong("pong");
        bench.event("event 5");
        all.extend(bench.drain(3));
        let all = String::from_utf8_lossy(&all).replace("pong", "");
        let place = |text| all.find(text).unwrap_or_else(|| panic!("{text} is missing after {sent} bytes"));
        assert!(["event 1", "answer", "event 2", "event 4", "event 5"].map(place).is_sorted());
        assert_eq!(bench.output.replayed_bytes(), 0);
    }
}

#[test]
fn what_was_said_before_the_first_event_is_not_held() {
    let mut bench = Bench::new();
    bench.owned("greeting");
    bench.event("event");
    let fallen = bench.output.fall_behind(&bench.log, &mut bench.pool).expect("it has an event");
    assert!(fallen.next == 1 && fallen.held.is_empty());
    bench.output.push_replayed(&Bench::frame("event"), &mut bench.pool);
    assert_eq!(bench.output.replayed_bytes(), Bench::frame("event").len());
    assert_eq!(bench.drain(5), frames(&["greeting", "event"]));
    assert_eq!((bench.output.replayed_bytes(), bench.output.owned_bytes()), (0, 0));
    bench.owned("answer");
    assert!(bench.output.fall_behind(&bench.log, &mut bench.pool).is_none(), "nothing of the log is in it");
    assert_eq!(bench.drain(5), frames(&["answer"]));
}

#[test]
fn a_used_backlog_is_lent_again_clean() {
    let mut bench = Bench::new();
    bench.owned("one");
    bench.drain(2);
    assert_eq!(bench.pool.spare.len(), 1);
    bench.owned("two");
    assert_eq!(bench.pool.spare.len(), 0);
    assert_eq!(bench.drain(2), frames(&["two"]));
}

#[test]
fn what_a_replay_is_sent_in_is_used_again_until_nobody_is_behind() {
    let mut bench = Bench::new();
    bench.pool.keep_pieces();
    let frame = Bench::frame("from the journal");
    let mut address = None;
    for _ in 0..3 {
        for _ in 0..10 {
            bench.output.push_replayed(&frame, &mut bench.pool);
        }
        let Output::Queue(backlog) = &bench.output else { panic!("it holds pieces") };
        let Some(Piece::Owned { bytes, .. }) = backlog.pieces.front() else { panic!("one piece of its own") };
        assert_eq!(backlog.pieces.len(), 1);
        assert_eq!(*address.get_or_insert(bytes.as_ptr()), bytes.as_ptr());
        assert_eq!(bench.drain(7), frame.repeat(10));
    }
    bench.output.push_replayed(&frame, &mut bench.pool);
    bench.pool.free_pieces();
    bench.drain(usize::MAX);
    assert_eq!(bench.pool.pieces.len(), 0, "one that is emptied later is not kept, either");
    bench.pool.keep_pieces();
    // A frame that is longer than a piece does not make all that follow as long.
    bench.output.push_replayed(&vec![1; limits::REPLAY_PIECE_BYTES_MAX + 1], &mut bench.pool);
    bench.drain(usize::MAX);
    assert_eq!(bench.pool.pieces.len(), 0);
}

#[test]
fn answers_between_events_do_not_multiply_what_a_replay_takes() {
    let mut bench = Bench::new();
    let frame = Bench::frame("from the journal");
    for _ in 0..1_000 {
        bench.output.push_replayed(&frame, &mut bench.pool);
        bench.owned("an answer");
    }
    let Output::Queue(backlog) = &bench.output else { panic!("it holds pieces") };
    let taken = |piece: &Piece| match piece {
        Piece::Owned { bytes, .. } => bytes.capacity(),
        Piece::Log(_) => 0,
    };
    let taken: usize = backlog.pieces.iter().map(taken).sum();
    assert!(taken < limits::WHOLE_PIECES_MAX * limits::REPLAY_PIECE_BYTES_MAX + 2_000 * frame.len(), "{taken}");
}
