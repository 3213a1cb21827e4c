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
    /// Emptied pieces of events from the journal, all of one capacity.
    pieces: Vec<Vec<u8>>,
    /// Whether they are kept: sessions are behind.
    keeps_pieces: bool,
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
            _ => {
                let whole = backlog.pieces.len() < limits::WHOLE_PIECES_MAX;
                let bytes = if whole { pool.piece_of(frame) } else { frame.into() };
                backlog.pieces.push_back(Piece::Owned { bytes, sent: 0, what: Own::Replay });
            }
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

    /// A copy of the answers and pongs, in order, of which no byte was sent and before which no event waits: where the events are
    /// dropped, what stands behind them may tell a number that the client must not resume after.
    pub fn waiting_answers(&self) -> Vec<u8> {
        let Self::Queue(backlog) = self else { return Vec::new() };
        let mut frames = Vec::new();
        for piece in &backlog.pieces {
            match piece {
                Piece::Owned { bytes, sent: 0, what: Own::Answer | Own::Pong } => frames.extend_from_slice(bytes),
                Piece::Owned { what: Own::Answer | Own::Pong | Own::Rest, .. } => {}
                Piece::Log(_) | Piece::Owned { what: Own::Replay, .. } => break,
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
        backlog.consume(sent, log, pool);
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
    fn consume(&mut self, mut sent: usize, log: &ShardLog, pool: &mut BacklogPool) {
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
                        if let Some(Piece::Owned { bytes, .. }) = self.pieces.pop_front() {
                            pool.put_piece(bytes);
                        }
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

    /// A piece that begins with a frame from the journal.
    fn piece_of(&mut self, frame: &[u8]) -> Vec<u8> {
        if frame.len() > limits::REPLAY_PIECE_BYTES_MAX {
            return frame.into();
        }
        let fresh = || Vec::with_capacity(limits::REPLAY_PIECE_BYTES_MAX);
        let mut piece = self.pieces.pop().unwrap_or_else(fresh);
        piece.extend_from_slice(frame);
        piece
    }

    fn put_piece(&mut self, mut piece: Vec<u8>) {
        if self.keeps_pieces
            && piece.capacity() == limits::REPLAY_PIECE_BYTES_MAX
            && self.pieces.len() < limits::SPARE_PIECES_MAX
        {
            piece.clear();
            self.pieces.push(piece);
        }
    }

    #[cfg(test)]
    pub fn spare_pieces(&self) -> usize {
        self.pieces.len()
    }

    /// Keeps emptied pieces from now on.
    pub fn keep_pieces(&mut self) {
        self.keeps_pieces = true;
    }

    /// Gives the memory of emptied pieces back, and that of others as they are emptied.
    pub fn free_pieces(&mut self) {
        self.keeps_pieces = false;
        self.pieces = Vec::new();
    }

    fn put(&mut self, output: Output) {
        let Output::Queue(mut backlog) = output else { return };
        if self.spare.len() < limits::SPARE_BACKLOGS_MAX
            && backlog.pieces.capacity() <= limits::SPARE_BACKLOG_PIECES_MAX
        {
            for piece in backlog.pieces.drain(..) {
                if let Piece::Owned { bytes, .. } = piece {
                    self.put_piece(bytes);
                }
            }
            backlog.half_sent_until = None;
            backlog.owned_bytes = 0;
            backlog.replayed_bytes = 0;
            self.spare.push(backlog);
        }
    }
}

#[cfg(test)]
mod tests;
