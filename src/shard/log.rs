//! The shard log: a fixed ring of ready-to-send frames, addressed by absolute byte offset.
//!
//! ```text
//!          tail                                   head
//!   ────────┴──[frame][frame][frame]…[frame]───────┴──▶ offsets only grow
//!           └─ the last `capacity` bytes are held ─┘
//! ```
//!
//! A socket's output names ranges of this log, so an event's bytes are here once, however many sockets they go to.
//! Pure: no clock, no kernel. Invariant: a range is readable as long as its start is not below the tail; the plane cuts
//! off whoever falls behind it *before* it appends.

use crate::ws::frame::SERVER_HEADER_BYTES_MAX;
use crate::ws::frame_len_at;

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
}

impl ShardLog {
    /// `capacity_bytes` is a power of two. The memory is only touched as the log fills for the first time.
    pub fn new(capacity_bytes: usize) -> Self {
        assert!(capacity_bytes.is_power_of_two(), "a log of {capacity_bytes} bytes");
        Self { bytes: vec![0; capacity_bytes].into_boxed_slice(), head: 0 }
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

    /// Copies a frame in, over the oldest bytes.
    pub fn append(&mut self, frame: &[u8]) -> LogRange {
        assert!(frame.len() <= self.bytes.len(), "a frame of {} bytes in a log of {}", frame.len(), self.bytes.len());
        let range = LogRange { start: self.head, end: self.head + frame.len() as u64 };
        let at = self.index(range.start);
        let before_the_edge = frame.len().min(self.bytes.len() - at);
        self.bytes[at..at + before_the_edge].copy_from_slice(&frame[..before_the_edge]);
        self.bytes[..frame.len() - before_the_edge].copy_from_slice(&frame[before_the_edge..]);
        self.head = range.end;
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

    /// The end of the frame that `offset` lies in, or `offset` itself where a frame ends there. `boundary` is any
    /// frame's start or end at or before `offset`.
    pub fn frame_end(&self, mut boundary: u64, offset: u64) -> u64 {
        while boundary < offset {
            boundary += self.frame_len(boundary);
        }
        boundary
    }

    fn frame_len(&self, start: u64) -> u64 {
        let mut header = [0; SERVER_HEADER_BYTES_MAX];
        let end = self.head.min(start + header.len() as u64);
        let (first, second) = self.slices(LogRange { start, end });
        header[..first.len()].copy_from_slice(first);
        header[first.len()..first.len() + second.len()].copy_from_slice(second);
        let len = frame_len_at(&header[..first.len() + second.len()]).expect("the log holds whole frames");
        len as u64
    }

    fn index(&self, offset: u64) -> usize {
        (offset & (self.bytes.len() as u64 - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{Opcode, append_frame};

    fn read(log: &ShardLog, range: LogRange) -> Vec<u8> {
        let (first, second) = log.slices(range);
        [first, second].concat()
    }

    #[test]
    fn frames_come_back_byte_for_byte_across_the_edge() {
        let mut log = ShardLog::new(64);
        for number in 0..100_u8 {
            let frame = vec![number; 1 + number as usize % 40];
            let range = log.append(&frame);
            assert_eq!(read(&log, range), frame);
        }
    }

    #[test]
    fn the_tail_follows_the_head_at_the_capacity() {
        let mut log = ShardLog::new(64);
        log.append(&[1; 60]);
        assert_eq!(log.tail_after(0), 0);
        assert_eq!(log.tail_after(10), 6);
        log.append(&[2; 60]);
        assert_eq!(log.tail_after(0), 56);
    }

    #[test]
    #[should_panic(expected = "outside the log")]
    fn overwritten_bytes_are_never_handed_out() {
        let mut log = ShardLog::new(64);
        let range = log.append(&[1; 40]);
        log.append(&[2; 40]);
        log.slices(range);
    }

    #[test]
    fn the_end_of_a_half_sent_frame_is_found_from_any_earlier_boundary() {
        let mut log = ShardLog::new(4096);
        let mut boundaries = vec![0];
        for len in [0, 5, 125, 126, 300, 0, 1000] {
            let mut frame = Vec::new();
            append_frame(&mut frame, Opcode::Text, &vec![b'x'; len]);
            boundaries.push(log.append(&frame).end);
        }
        for offset in 0..=log.head() {
            let expected = *boundaries.iter().find(|&&boundary| boundary >= offset).unwrap();
            assert_eq!(log.frame_end(0, offset), expected);
        }
    }
}
