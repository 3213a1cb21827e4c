//! The shard log: a fixed ring of ready-to-send frames, addressed by absolute byte offset.
//!
//! ```text
//!          tail                                   head
//!   ────────┴──[frame][frame][frame]…[frame]───────┴──▶ offsets only grow
//!           └─ the last `capacity` bytes are held ─┘
//! ```
//!
//! A socket's output names ranges of this log, so an event's bytes are here once, however many sockets they go to.
//! The log remembers where each frame that it holds begins, and the number of its event: so a socket's place in the log can be
//! turned into a number in the journal.
//! Pure: no clock, no kernel. Invariant: a range is readable as long as its start is not below the tail; the plane cuts
//! off whoever falls behind it *before* it appends.

use std::collections::VecDeque;

use crate::limits;

/// Bytes `[start, end)` of the shard log. Empty where both are equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    pub start: u64,
    pub end: u64,
}

impl LogRange {
    pub fn len(self) -> u64 {
        self.end - self.start
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

pub struct ShardLog {
    bytes: Box<[u8]>,
    head: u64,
    /// Of every frame that ends behind the tail, in order.
    marks: VecDeque<Mark>,
}

/// A frame's beginning.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: u64,
    /// The number of its event.
    seq: u64,
}

impl ShardLog {
    /// `capacity_bytes` is a power of two. The memory is only touched as the log fills for the first time.
    pub fn new(capacity_bytes: usize) -> Self {
        assert!(capacity_bytes.is_power_of_two(), "a log of {capacity_bytes} bytes");
        // Frames of a usual length; it grows once or twice where they are shorter.
        let marks = VecDeque::with_capacity(capacity_bytes / limits::USUAL_FRAME_BYTES);
        Self { bytes: vec![0; capacity_bytes].into_boxed_slice(), head: 0, marks }
    }

    pub fn capacity(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Where the next frame will begin.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The oldest offset still held once another `upcoming` bytes have been appended.
    pub fn tail_after(&self, upcoming: usize) -> u64 {
        (self.head + upcoming as u64).saturating_sub(self.capacity())
    }

    /// Copies the frame of event `seq` in, over the oldest bytes.
    pub fn append(&mut self, frame: &[u8], seq: u64) -> LogRange {
        assert!(frame.len() <= self.bytes.len(), "a frame of {} bytes in a log of {}", frame.len(), self.bytes.len());
        let range = LogRange { start: self.head, end: self.head + frame.len() as u64 };
        let at = self.index(range.start);
        let before_the_edge = frame.len().min(self.bytes.len() - at);
        self.bytes[at..at + before_the_edge].copy_from_slice(&frame[..before_the_edge]);
        self.bytes[..frame.len() - before_the_edge].copy_from_slice(&frame[before_the_edge..]);
        self.head = range.end;
        let tail = self.tail_after(0);
        // The first one that is kept may have lost its beginning: somebody may still need its end.
        while self.marks.get(1).is_some_and(|mark| mark.start <= tail) {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark { start: range.start, seq });
        range
    }

    /// The range's bytes: one slice, or two where it crosses the ring's edge (else the second is empty).
    pub fn slices(&self, range: LogRange) -> (&[u8], &[u8]) {
        assert!(
            range.start >= self.tail_after(0) && range.end <= self.head,
            "{range:?} is outside the log, which holds {}..{}",
            self.tail_after(0),
            self.head
        );
        let at = self.index(range.start);
        let len = range.len() as usize;
        let before_the_edge = len.min(self.bytes.len() - at);
        (&self.bytes[at..at + before_the_edge], &self.bytes[..len - before_the_edge])
    }

    /// The end of the frame that `offset` lies in, or `offset` itself where a frame ends there.
    pub fn frame_end(&self, offset: u64) -> u64 {
        self.marks.get(self.marks_before(offset)).map_or(self.head, |mark| mark.start)
    }

    /// The number of the event whose frame begins at `offset`.
    pub fn seq_at(&self, offset: u64) -> u64 {
        let mark = self.marks[self.marks_before(offset)];
        debug_assert_eq!(mark.start, offset, "a frame begins there");
        mark.seq
    }

    /// The number of the event whose frame holds the byte at `offset`, if the log still has it.
    pub fn seq_around(&self, offset: u64) -> Option<u64> {
        let begun = self.marks.partition_point(|mark| mark.start <= offset);
        self.marks.get(begun.checked_sub(1)?).map(|mark| mark.seq)
    }

    /// The number of the event whose frame ends at `offset`.
    pub fn seq_before(&self, offset: u64) -> u64 {
        self.marks[self.marks_before(offset) - 1].seq
    }

    /// How many frames that are held begin before `offset`.
    fn marks_before(&self, offset: u64) -> usize {
        self.marks.partition_point(|mark| mark.start < offset)
    }

    fn index(&self, offset: u64) -> usize {
        (offset & (self.bytes.len() as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_belongs_to_the_event_whose_frame_holds_it() {
        let mut log = ShardLog::new(64);
        assert_eq!(log.seq_around(0), None);
        for seq in [7, 9] {
            log.append(&[0; 10], seq);
        }
        assert_eq!([0, 9, 10, 19].map(|offset| log.seq_around(offset)), [Some(7), Some(7), Some(9), Some(9)]);
    }

    fn read(log: &ShardLog, range: LogRange) -> Vec<u8> {
        let (first, second) = log.slices(range);
        [first, second].concat()
    }

    #[test]
    fn frames_come_back_byte_for_byte_across_the_edge() {
        let mut log = ShardLog::new(64);
        for number in 0..100_u8 {
            let frame = vec![number; 1 + number as usize % 40];
            let range = log.append(&frame, number.into());
            assert_eq!(read(&log, range), frame);
        }
    }

    #[test]
    fn the_tail_follows_the_head_at_the_capacity() {
        let mut log = ShardLog::new(64);
        log.append(&[1; 60], 1);
        assert_eq!(log.tail_after(0), 0);
        assert_eq!(log.tail_after(10), 6);
        log.append(&[2; 60], 2);
        assert_eq!(log.tail_after(0), 56);
    }

    #[test]
    #[should_panic(expected = "outside the log")]
    fn overwritten_bytes_are_never_handed_out() {
        let mut log = ShardLog::new(64);
        let range = log.append(&[1; 40], 1);
        log.append(&[2; 40], 2);
        log.slices(range);
    }

    #[test]
    fn the_end_and_the_number_of_a_half_sent_frame_are_found() {
        let mut log = ShardLog::new(4096);
        let mut boundaries = vec![0];
        for (len, seq) in [2, 7, 127, 130, 304, 2, 1004].into_iter().zip(100..) {
            boundaries.push(log.append(&vec![b'x'; len], seq).end);
        }
        for offset in 0..=log.head() {
            let expected = *boundaries.iter().find(|&&boundary| boundary >= offset).unwrap();
            assert_eq!(log.frame_end(offset), expected);
        }
        for (number, &[start, end]) in boundaries.array_windows().enumerate() {
            assert_eq!(log.seq_at(start), 100 + number as u64);
            assert_eq!(log.seq_before(end), 100 + number as u64);
        }
    }

    #[test]
    fn frames_that_are_gone_are_not_remembered() {
        let mut log = ShardLog::new(4096);
        for seq in 0..10_000 {
            log.append(&[7; 30], seq);
        }
        assert_eq!(log.marks.len(), 4096_usize.div_ceil(30));
        assert_eq!(log.seq_before(log.head()), 9_999);
    }
}
