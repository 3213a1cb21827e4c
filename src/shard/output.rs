//! What one socket still has to be sent: ranges of the shard log, and small pieces of its own between them.
//!
//! Nothing is copied and nothing is counted per socket: an idle socket's output is [`Output::Empty`], one that is
//! served within a pass holds a single range, and only a socket that lags, or gets scattered events, owns a queue.
//!
//! Invariants:
//! * Pieces leave in order; a range that begins where the last one ends is merged into it.
//! * Bytes of a frame are never separated: what is urgent goes to the next frame boundary, and what is dropped is
//!   dropped from a frame boundary on. A half-sent piece of the socket's own counts as one frame, though it may hold
//!   several short ones.

use std::collections::VecDeque;

use super::log::{LogRange, ShardLog};
use crate::limits;
use crate::ring::SendBatch;
#[cfg(test)]
use crate::simulation::sabotage::{self, Sabotage};

#[derive(Debug, Default)]
pub enum Output {
    #[default]
    Empty,
    /// Nothing but whole frames of the log, of which no byte was sent.
    Range(LogRange),
    Queue(Box<Backlog>),
}

#[derive(Debug, Default)]
pub struct Backlog {
    pieces: VecDeque<Piece>,
    /// Where the frame ends of which the first piece holds the rest, if that piece is of the log and half-sent.
    half_sent_until: Option<u64>,
    /// Bytes of what the session said, so that a peer that makes us answer can't make us hoard.
    owned_bytes: usize,
    /// Bytes that came from the journal.
    replayed_bytes: usize,
}

#[derive(Debug)]
enum Piece {
    Log(LogRange),
    Owned { bytes: Vec<u8>, sent: usize, what: Own },
}

/// What a piece of the socket's own holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// What the session said.
    Answer,
    Pong,
    /// Events from the journal, and what is told of those that are gone.
    Replay,
    /// What has not been sent of a frame that the log does not have any more.
    Rest,
}

impl Piece {
    fn log_bytes(&self) -> u64 {
        match self {
            Self::Log(range) => range.len(),
            Self::Owned { .. } => 0,
        }
    }
}

impl Own {
    fn is_replay(self) -> bool {
        matches!(self, Self::Replay | Self::Rest)
    }
}

/// What becomes of an output whose ranges the log can't keep.
#[derive(Debug)]
pub struct Fallen {
    /// The number of the first event that was not sent and is not in the output any more.
    pub next: u64,
    /// Answers that stood behind such events, each with the number of the last one before it.
    pub held: Vec<(u64, Vec<u8>)>,
}

/// Emptied backlogs, kept so that a lagging socket does not cost an allocation each time.
#[derive(Debug, Default)]
pub struct BacklogPool {
    #[expect(clippy::vec_box, reason = "the boxes themselves are what is recycled")]
    spare: Vec<Box<Backlog>>,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// How many pieces there are.
    pub fn pieces(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::Range(_) => 1,
            Self::Queue(backlog) => backlog.pieces.len(),
        }
    }

    /// Bytes of what the session said and has not been sent.
    pub fn owned_bytes(&self) -> usize {
        match self {
            Self::Queue(backlog) => backlog.owned_bytes,
            _ => 0,
        }
    }

    /// Bytes from the journal that have not been sent.
    pub fn replayed_bytes(&self) -> usize {
        match self {
            Self::Queue(backlog) => backlog.replayed_bytes,
            _ => 0,
        }
    }

    /// Bytes of the log that have not been sent.
    pub fn log_bytes(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Range(range) => range.len(),
            Self::Queue(backlog) => backlog.pieces.iter().map(Piece::log_bytes).sum(),
        }
    }

    /// Bytes of events that have not been sent, wherever they are.
    pub fn unsent_events(&self) -> u64 {
        self.log_bytes() + self.replayed_bytes() as u64
    }

    /// The lowest log offset that is still needed.
    pub fn oldest(&self) -> Option<u64> {
        match self {
            Self::Empty => None,
            Self::Range(range) => Some(range.start),
            Self::Queue(backlog) => backlog.pieces.iter().find_map(|piece| match piece {
                Piece::Log(range) => Some(range.start),
                Piece::Owned { .. } => None,
            }),
        }
    }

    /// Adds whole frames of the log.
    pub fn push_range(&mut self, range: LogRange, pool: &mut BacklogPool) {
        #[cfg(test)]
        if sabotage::is(Sabotage::SkipMerge) && matches!(self, Self::Range(last) if last.end == range.start) {
            return;
        }
        match self {
            Self::Empty => *self = Self::Range(range),
            Self::Range(last) if last.end == range.start => last.end = range.end,
            _ => {
                let pieces = &mut self.queue(pool).pieces;
                match pieces.back_mut() {
                    Some(Piece::Log(last)) if last.end == range.start => last.end = range.end,
                    _ => pieces.push_back(Piece::Log(range)),
                }
            }
        }
    }

    /// Adds frames of the socket's own behind everything else.
    pub fn push_owned(&mut self, bytes: Box<[u8]>, pool: &mut BacklogPool) {
        let backlog = self.queue(pool);
        backlog.owned_bytes += bytes.len();
        match backlog.pieces.back_mut() {
            // Many short answers are one piece. One that is being sent is left to its end, and freed.
            Some(Piece::Owned { bytes: last, sent: 0, what: Own::Answer })
                if last.len() + bytes.len() <= limits::OWNED_PIECE_BYTES_MAX =>
            {
                last.extend_from_slice(&bytes);
            }
            _ => backlog.pieces.push_back(Piece::Owned { bytes: bytes.into(), sent: 0, what: Own::Answer }),
        }
    }

    /// Adds a frame from the journal behind everything else.
    pub fn push_replayed(&mut self, frame: &[u8], pool: &mut BacklogPool) {
        let backlog = self.queue(pool);
        backlog.replayed_bytes += frame.len();
        match backlog.pieces.back_mut() {
            Some(Piece::Owned { bytes: last, sent: 0, what: Own::Replay })
                if last.len() + frame.len() <= limits::REPLAY_PIECE_BYTES_MAX =>
            {
                last.extend_from_slice(frame);
            }
            _ => backlog.pieces.push_back(Piece::Owned { bytes: frame.into(), sent: 0, what: Own::Replay }),
        }
    }

    /// Puts a pong at the next frame boundary, behind the pongs that wait there. RFC 6455 §5.5.3 lets the newest ping
    /// alone be answered, so past a few the newest that waits is replaced: pings can't pile up pongs.
    pub fn push_pong(&mut self, bytes: Box<[u8]>, pool: &mut BacklogPool) {
        let backlog = self.queue(pool);
        backlog.owned_bytes += bytes.len();
        let boundary = backlog.next_boundary();
        let is_pong = |piece: &&Piece| matches!(piece, Piece::Owned { what: Own::Pong, .. });
        let end = boundary + backlog.pieces.range(boundary..).take_while(is_pong).count();
        if end - boundary < limits::PONGS_WAITING_MAX {
            backlog.pieces.insert(end, Piece::Owned { bytes: bytes.into(), sent: 0, what: Own::Pong });
        } else if let Piece::Owned { bytes: newest, .. } = &mut backlog.pieces[end - 1] {
            backlog.owned_bytes -= newest.len();
            *newest = bytes.into();
        }
    }

    /// A copy of the frames of its own of which no byte was sent: answers and pongs, in order.
    pub fn waiting_answers(&self) -> Vec<u8> {
        let Self::Queue(backlog) = self else { return Vec::new() };
        let mut frames = Vec::new();
        for piece in &backlog.pieces {
            if let Piece::Owned { bytes, sent: 0, what: Own::Answer | Own::Pong } = piece {
                frames.extend_from_slice(bytes);
            }
        }
        frames
    }

    /// Drops all but the rest of a half-sent frame, which is copied out of the log, and ends with `last`.
    pub fn cut_to(&mut self, last: Box<[u8]>, log: &ShardLog, pool: &mut BacklogPool) {
        let rest = match self {
            Self::Queue(backlog) => backlog.rest_of_frame(log),
            _ => None,
        };
        pool.put(std::mem::take(self));
        if let Some(rest) = rest {
            self.queue(pool).push_rest(rest);
        }
        self.push_owned(last, pool);
    }

    /// Copies out of the log what has not been sent of it, so that it stays whatever becomes of the log.
    pub fn keep(&mut self, log: &ShardLog, pool: &mut BacklogPool) {
        if self.oldest().is_none() {
            return;
        }
        let backlog = self.queue(pool);
        if let Some(end) = backlog.half_sent_until.take() {
            backlog.split_off_rest(end, log);
        }
        for piece in &mut backlog.pieces {
            if let Piece::Log(range) = piece {
                let (first, second) = log.slices(*range);
                backlog.replayed_bytes += first.len() + second.len();
                *piece = Piece::Owned { bytes: [first, second].concat(), sent: 0, what: Own::Replay };
            }
        }
    }

    /// Gives up every range of the log but the rest of a half-sent frame, which is copied out of it. What the session said
    /// before the first event that is given up stays, and pongs do. None where nothing has to be given up.
    pub fn fall_behind(&mut self, log: &ShardLog, pool: &mut BacklogPool) -> Option<Fallen> {
        let half_sent_until = match self {
            Self::Empty => return None,
            Self::Range(_) => None,
            Self::Queue(backlog) => backlog.half_sent_until.take(),
        };
        if let Some(end) = half_sent_until {
            self.queue(pool).split_off_rest(end, log);
        }
        let backlog = self.queue(pool);
        let mut fallen: Option<Fallen> = None;
        let mut after = 0;
        let mut kept = VecDeque::with_capacity(backlog.pieces.len().min(4));
        for piece in std::mem::take(&mut backlog.pieces) {
            match (piece, &mut fallen) {
                (Piece::Log(range), fallen) => {
                    after = log.seq_before(range.end);
                    fallen.get_or_insert_with(|| Fallen { next: log.seq_at(range.start), held: Vec::new() });
                }
                (Piece::Owned { bytes, sent: 0, what: Own::Answer }, Some(fallen)) => {
                    backlog.owned_bytes -= bytes.len();
                    #[cfg(test)]
                    if sabotage::is(Sabotage::DropHeldAnswer) {
                        continue;
                    }
                    fallen.held.push((after, bytes));
                }
                (piece, _) => kept.push_back(piece),
            }
        }
        backlog.pieces = kept;
        if backlog.pieces.is_empty() {
            pool.put(std::mem::take(self));
        }
        fallen
    }

    /// Lends the batch what can be sent now, up to the kernel's bound on pieces. Returns its bytes.
    pub fn gather<'a>(&'a self, log: &'a ShardLog, batch: &mut SendBatch<'a>) -> usize {
        let mut bytes = 0;
        let mut lend = |slice: &'a [u8]| {
            bytes += slice.len();
            batch.push(slice);
        };
        match self {
            Self::Empty => {}
            Self::Range(range) => {
                let (first, second) = log.slices(*range);
                lend(first);
                lend(second);
            }
            Self::Queue(backlog) => {
                for piece in backlog.pieces.iter().take(limits::SEND_PIECES_MAX) {
                    match piece {
                        Piece::Log(range) => {
                            let (first, second) = log.slices(*range);
                            lend(first);
                            lend(second);
                        }
                        Piece::Owned { bytes, sent, .. } => lend(&bytes[*sent..]),
                    }
                }
            }
        }
        bytes
    }

    /// Takes off the first `sent` bytes, which the kernel has.
    pub fn consume(&mut self, sent: usize, log: &ShardLog, pool: &mut BacklogPool) {
        if let Self::Range(range) = self {
            if sent as u64 == range.len() {
                *self = Self::Empty;
                return;
            }
            if sent == 0 {
                return;
            }
        }
        let backlog = self.queue(pool);
        backlog.consume(sent, log);
        if backlog.pieces.is_empty() {
            pool.put(std::mem::take(self));
        }
    }

    /// Gives a queue back to the pool; the socket is gone.
    pub fn clear(&mut self, pool: &mut BacklogPool) {
        pool.put(std::mem::take(self));
    }

    fn queue(&mut self, pool: &mut BacklogPool) -> &mut Backlog {
        if !matches!(self, Self::Queue(_)) {
            let mut backlog = pool.take();
            if let Self::Range(range) = self {
                backlog.pieces.push_back(Piece::Log(*range));
            }
            *self = Self::Queue(backlog);
        }
        match self {
            Self::Queue(backlog) => backlog,
            _ => unreachable!("made one above"),
        }
    }
}

impl Backlog {
    fn consume(&mut self, mut sent: usize, log: &ShardLog) {
        while sent > 0 {
            match self.pieces.front_mut().expect("no more was sent than was lent") {
                Piece::Log(range) if sent as u64 >= range.len() => {
                    sent -= range.len() as usize;
                    self.half_sent_until = None;
                    self.pieces.pop_front();
                }
                Piece::Log(range) => {
                    range.start += sent as u64;
                    let end = log.frame_end(range.start);
                    self.half_sent_until = (end != range.start).then_some(end);
                    sent = 0;
                }
                Piece::Owned { bytes, sent: before, what } => {
                    let now = sent.min(bytes.len() - *before);
                    *before += now;
                    sent -= now;
                    if *before == bytes.len() {
                        *if what.is_replay() { &mut self.replayed_bytes } else { &mut self.owned_bytes } -= bytes.len();
                        self.pieces.pop_front();
                    }
                }
            }
        }
    }

    /// The index at which a frame may be put in, as near to the front as the half-sent frame allows.
    fn next_boundary(&mut self) -> usize {
        match (self.pieces.front(), self.half_sent_until) {
            (Some(Piece::Owned { sent, what, .. }), _) if *sent > 0 || *what == Own::Rest => 1,
            (Some(Piece::Log(range)), Some(end)) => {
                let (rest, behind) = (LogRange { start: range.start, end }, LogRange { start: end, end: range.end });
                self.pieces[0] = Piece::Log(rest);
                if !behind.is_empty() {
                    self.pieces.insert(1, Piece::Log(behind));
                }
                1
            }
            _ => 0,
        }
    }

    /// Replaces the log's bytes up to `end`, where the half-sent frame ends that the first piece begins with, by a copy.
    fn split_off_rest(&mut self, end: u64, log: &ShardLog) {
        let Some(Piece::Log(range)) = self.pieces.front_mut() else { unreachable!("half of its first frame was sent") };
        let (first, second) = log.slices(LogRange { start: range.start, end });
        let rest = [first, second].concat();
        range.start = end;
        if range.is_empty() {
            self.pieces.pop_front();
        }
        #[cfg(test)]
        if sabotage::is(Sabotage::DropHalfSentFrame) {
            return;
        }
        self.replayed_bytes += rest.len();
        self.pieces.push_front(Piece::Owned { bytes: rest, sent: 0, what: Own::Rest });
    }

    fn push_rest(&mut self, rest: Box<[u8]>) {
        self.replayed_bytes += rest.len();
        self.pieces.push_back(Piece::Owned { bytes: rest.into(), sent: 0, what: Own::Rest });
    }

    fn rest_of_frame(&self, log: &ShardLog) -> Option<Box<[u8]>> {
        match (self.pieces.front()?, self.half_sent_until) {
            (Piece::Owned { bytes, sent, what }, _) if *sent > 0 || *what == Own::Rest => Some(bytes[*sent..].into()),
            (Piece::Log(range), Some(end)) => {
                let (first, second) = log.slices(LogRange { start: range.start, end });
                Some([first, second].concat().into())
            }
            _ => None,
        }
    }
}

impl BacklogPool {
    fn take(&mut self) -> Box<Backlog> {
        self.spare.pop().unwrap_or_default()
    }

    fn put(&mut self, output: Output) {
        let Output::Queue(mut backlog) = output else { return };
        if self.spare.len() < limits::SPARE_BACKLOGS_MAX
            && backlog.pieces.capacity() <= limits::SPARE_BACKLOG_PIECES_MAX
        {
            backlog.pieces.clear();
            backlog.half_sent_until = None;
            backlog.owned_bytes = 0;
            backlog.replayed_bytes = 0;
            self.spare.push(backlog);
        }
    }
}

#[cfg(test)]
mod tests {
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
            let mut bytes: Vec<u8> =
                batch.iter().flat_map(|(_, pieces)| pieces.iter().flat_map(|p| p.to_vec())).collect();
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
    fn answers_that_wait_are_the_whole_frames_of_the_sockets_own() {
        let mut bench = Bench::new();
        assert!(bench.output.waiting_answers().is_empty());
        bench.owned("half-sent");
        bench.event("event");
        bench.owned("answer");
        bench.send(3);
        bench.pong("pong");
        assert_eq!(bench.output.waiting_answers(), frames(&["pong", "answer"]));
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
}
