//! What the segments hold: where each number is to be found, or why it is not. Plain data, shared by the writer, the readers and
//! retention, which are all on the journal's one thread.
//!
//! Invariants:
//! * Segments stand in the order of their numbers, and only the last one grows.
//! * What a segment holds ends where the next one says that it does (`follows`): whatever stands behind that in its file was
//!   written again elsewhere, or cut.
//! * A segment is on the disk, up to there, before the next one is begun. So recovery need only read the last.

use std::collections::VecDeque;

use super::segment::{HEADER_BYTES, SegmentHeader};
use super::{Gap, GapReason};
use crate::limits::SEGMENT_INDEX_BYTES;

#[derive(Debug, Default)]
pub struct Catalogue {
    segments: VecDeque<Segment>,
    /// How many there have ever been.
    count: u64,
    /// Where this run goes on, as long as it has no segment that says so.
    goes_on: Option<GoesOn>,
}

/// The number that the first event of a run gets, and the number after the last one that is there before it.
#[derive(Clone, Copy, Debug)]
struct GoesOn {
    follows: u64,
    next_seq: u64,
}

/// One file.
#[derive(Clone, Debug)]
pub struct Segment {
    pub header: SegmentHeader,
    /// The number after its last event's; that of its first while it has none.
    pub next_seq: u64,
    /// The offset behind its last record. For one of an earlier run that is not the last, no more than the file's length is known.
    pub end: u64,
    /// What it takes of the disk.
    pub bytes: u64,
    /// When its newest event was published, in Unix milliseconds, or a little later.
    pub newest_unix_ms: u64,
    /// Tells it from one that had the same first number.
    nth: u64,
    /// Where some of its records begin, in order, at least [`SEGMENT_INDEX_BYTES`] apart.
    marks: Vec<Mark>,
}

/// A record begins at an offset of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number of the record's first event.
    pub seq: u64,
    pub offset: u64,
}

/// Where a number is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere yet: it is not written.
    Ahead,
    /// Nowhere any more; from it on.
    Gone(Gap),
    /// In a segment, by reading records from `mark` on up to `until`, where the segment ends.
    Inside { segment: SegmentId, mark: Mark, until: u64 },
}

/// Which segment, for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentId {
    pub first_seq: u64,
    /// After a failed write there may be a second one with the same number, under the same name.
    nth: u64,
}

impl Segment {
    /// One without a record.
    pub fn new(header: SegmentHeader) -> Self {
        Self {
            header,
            next_seq: header.first_seq,
            end: HEADER_BYTES,
            bytes: HEADER_BYTES,
            newest_unix_ms: header.created_unix_ms,
            nth: 0,
            marks: Vec::new(),
        }
    }

    /// One of an earlier run, behind which another follows: all that was on the disk when that one was begun, and no newer.
    pub fn before(next: &SegmentHeader, header: SegmentHeader, bytes: u64) -> Self {
        Self {
            next_seq: next.follows,
            end: bytes,
            bytes,
            newest_unix_ms: header.created_unix_ms.max(next.created_unix_ms),
            ..Self::new(header)
        }
    }

    pub fn first_seq(&self) -> u64 {
        self.header.first_seq
    }

    pub fn id(&self) -> SegmentId {
        SegmentId { first_seq: self.header.first_seq, nth: self.nth }
    }

    pub fn is_empty(&self) -> bool {
        self.next_seq == self.header.first_seq
    }

    /// Remembers where a record begins, unless one nearby is known.
    pub fn notice(&mut self, mark: Mark) {
        let nth = self.marks.partition_point(|known| known.offset < mark.offset);
        let before = nth.checked_sub(1).map_or(HEADER_BYTES, |before| self.marks[before].offset);
        let is_far_from_next = |next: &Mark| next.offset >= mark.offset + SEGMENT_INDEX_BYTES;
        if mark.offset >= before + SEGMENT_INDEX_BYTES && self.marks.get(nth).is_none_or(is_far_from_next) {
            self.marks.insert(nth, mark);
        }
    }

    /// The last known record that begins at a number or before it.
    fn mark(&self, seq: u64) -> Mark {
        let nth = self.marks.partition_point(|mark| mark.seq <= seq);
        let first = Mark { seq: self.header.first_seq, offset: HEADER_BYTES };
        nth.checked_sub(1).map_or(first, |before| self.marks[before])
    }
}

impl Catalogue {
    /// Of the oldest segment first.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment> {
        self.segments.iter()
    }

    pub fn last(&self) -> Option<&Segment> {
        self.segments.back()
    }

    /// The first number that is held; the next one to be written where there is none.
    pub fn oldest_seq(&self) -> u64 {
        self.segments.front().map_or(1, Segment::first_seq)
    }

    /// The number after the last event that was written.
    pub fn next_seq(&self) -> u64 {
        self.segments.back().map_or(1, |last| last.next_seq)
    }

    /// What all segments take of the disk, in bytes.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The first event of this run gets the number `next_seq`, and the last one before it is the one before `follows`. So what
    /// is gone is told even while the disk has no room for a segment of this run.
    pub fn goes_on(&mut self, follows: u64, next_seq: u64) {
        self.goes_on = Some(GoesOn { follows, next_seq });
    }

    /// Takes a segment that was found. It stands behind all others.
    pub fn found(&mut self, segment: Segment) {
        self.seal(&segment.header);
        self.count += 1;
        self.segments.push_back(Segment { nth: self.count, ..segment });
    }

    /// A new segment was begun, whose file takes so many bytes. The one before it is on the disk up to `header.follows`. Where
    /// that one has the same first number, nothing of it counts any more, and the new one takes its place.
    pub fn begin(&mut self, header: SegmentHeader, bytes: u64) {
        self.found(Segment { bytes, ..Segment::new(header) });
    }

    fn seal(&mut self, next: &SegmentHeader) {
        if self.segments.back().is_some_and(|last| last.header.first_seq >= next.first_seq) {
            self.segments.pop_back();
        }
        if let Some(last) = self.segments.back_mut() {
            assert!(last.header.first_seq <= next.follows, "{next:?} begins before {:?} does", last.header);
            last.next_seq = last.next_seq.min(next.follows);
        }
    }

    /// Records were written to the last segment, one behind the other: events from `first_seq` to before `next_seq`, at the
    /// offsets from `offset` to before `end`, the newest published at `unix_ms`.
    pub fn wrote(&mut self, first_seq: u64, next_seq: u64, offset: u64, end: u64, unix_ms: u64) {
        let last = self.segments.back_mut().expect("a segment was begun");
        assert_eq!((last.next_seq, last.end), (first_seq, offset), "records stand one behind the other");
        last.notice(Mark { seq: first_seq, offset });
        (last.next_seq, last.end) = (next_seq, end);
        last.bytes = last.bytes.max(end);
        last.newest_unix_ms = last.newest_unix_ms.max(unix_ms);
    }

    /// The last segment's file was cut or grown to this many bytes.
    pub fn resized(&mut self, bytes: u64) {
        self.segments.back_mut().expect("a segment was begun").bytes = bytes;
    }

    /// Forgets the oldest segment, unless it is the last one, which is being written. Its file can be removed then.
    pub fn drop_oldest(&mut self) -> Option<Segment> {
        if self.segments.len() > 1 { self.segments.pop_front() } else { None }
    }

    /// Somebody who read this segment found that a record begins there.
    pub fn notice(&mut self, segment: SegmentId, mark: Mark) {
        let nth = self.segments.partition_point(|known| known.header.first_seq < segment.first_seq);
        if let Some(known) = self.segments.get_mut(nth).filter(|known| known.id() == segment) {
            known.notice(mark);
        }
    }

    /// Whether a segment is still part of the journal.
    pub fn holds(&self, segment: SegmentId) -> bool {
        let nth = self.segments.partition_point(|known| known.header.first_seq < segment.first_seq);
        self.segments.get(nth).is_some_and(|known| known.id() == segment)
    }

    /// Where to find a number.
    pub fn place(&self, seq: u64) -> Place {
        let behind = self.segments.partition_point(|segment| segment.header.first_seq <= seq);
        let inside = behind.checked_sub(1).map(|before| &self.segments[before]);
        if let Some(segment) = inside.filter(|segment| seq < segment.next_seq) {
            return Place::Inside { segment: segment.id(), mark: segment.mark(seq), until: segment.next_seq };
        }
        let next = self.segments.get(behind).map(|next| (next.header.follows, next.header.first_seq));
        let goes_on = || self.goes_on.filter(|on| seq < on.next_seq).map(|on| (on.follows, on.next_seq));
        let Some((follows, first_seq)) = next.or_else(goes_on) else { return Place::Ahead };
        Place::Gone(match inside {
            None if seq < follows => Gap { from: seq, to: follows - 1, reason: GapReason::Retention },
            _ => Gap { from: seq, to: first_seq - 1, reason: GapReason::Crash },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(first_seq: u64, follows: u64) -> SegmentHeader {
        SegmentHeader { first_seq, follows, created_unix_ms: 1_000 }
    }

    fn inside(first_seq: u64, seq: u64, offset: u64, until: u64) -> Place {
        let nth = [1, 10, 15, 50].iter().position(|first| *first == first_seq).expect("known").max(1) as u64;
        Place::Inside { segment: SegmentId { first_seq, nth }, mark: Mark { seq, offset }, until }
    }

    fn gone(from: u64, to: u64, reason: GapReason) -> Place {
        Place::Gone(Gap { from, to, reason })
    }

    /// The disk may be full when a server starts again.
    #[test]
    fn what_a_crash_took_is_told_before_there_is_a_segment_behind_it() {
        let mut catalogue = catalogue();
        catalogue.goes_on(55, 90);
        assert_eq!(catalogue.place(54), inside(50, 50, 4096, 55));
        assert_eq!(catalogue.place(60), gone(60, 89, GapReason::Crash));
        assert_eq!(catalogue.place(90), Place::Ahead);
        let mut empty = Catalogue::default();
        empty.goes_on(55, 90);
        assert_eq!(empty.place(1), gone(1, 54, GapReason::Retention));
        assert_eq!(empty.place(55), gone(55, 89, GapReason::Crash));
    }

    /// 10 to 29 in two segments, and 50 to 54 after a crash.
    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::default();
        catalogue.begin(header(10, 8), 1 << 20);
        catalogue.wrote(10, 15, 4096, 5000, 1_001);
        catalogue.begin(header(15, 15), 1 << 20);
        catalogue.wrote(15, 30, 4096, 9000, 1_005);
        catalogue.begin(header(50, 30), 1 << 20);
        catalogue.wrote(50, 55, 4096, 5000, 1_009);
        catalogue
    }

    #[test]
    fn every_number_has_a_place_or_a_reason() {
        let catalogue = catalogue();
        for (seq, place) in [
            (1, gone(1, 7, GapReason::Retention)),
            (7, gone(7, 7, GapReason::Retention)),
            (8, gone(8, 9, GapReason::Crash)),
            (10, inside(10, 10, 4096, 15)),
            (14, inside(10, 10, 4096, 15)),
            (15, inside(15, 15, 4096, 30)),
            (30, gone(30, 49, GapReason::Crash)),
            (49, gone(49, 49, GapReason::Crash)),
            (54, inside(50, 50, 4096, 55)),
            (55, Place::Ahead),
            (u64::MAX, Place::Ahead),
        ] {
            assert_eq!(catalogue.place(seq), place, "{seq}");
        }
        assert_eq!((catalogue.oldest_seq(), catalogue.next_seq(), catalogue.bytes()), (10, 55, 3 << 20));
        assert_eq!(Catalogue::default().place(1), Place::Ahead);
    }

    #[test]
    fn what_is_dropped_is_retentions_and_the_last_segment_stays() {
        let mut catalogue = catalogue();
        assert_eq!(catalogue.drop_oldest().map(|segment| segment.newest_unix_ms), Some(1_001));
        assert_eq!(catalogue.place(10), gone(10, 14, GapReason::Retention));
        assert!(catalogue.drop_oldest().is_some());
        assert_eq!(catalogue.place(10), gone(10, 29, GapReason::Retention));
        assert_eq!(catalogue.place(30), gone(30, 49, GapReason::Crash));
        assert!(catalogue.drop_oldest().is_none());
    }

    #[test]
    fn what_is_written_again_is_found_in_the_newer_segment() {
        let mut catalogue = catalogue();
        catalogue.begin(header(52, 52), 1 << 20);
        assert_eq!(catalogue.place(52), Place::Ahead);
        assert_eq!(catalogue.place(51), inside(50, 50, 4096, 52));
        // Nothing of the newest one could be kept: it is begun anew.
        catalogue.wrote(52, 53, 4096, 4200, 1_010);
        catalogue.begin(header(52, 52), 1 << 20);
        assert_eq!((catalogue.next_seq(), catalogue.segments().count()), (52, 4));
    }

    #[test]
    fn reads_begin_at_the_last_known_record_before_a_number() {
        let mut catalogue = Catalogue::default();
        catalogue.begin(header(1, 1), 1 << 20);
        let mut offset = HEADER_BYTES;
        for seq in 1..=100 {
            catalogue.wrote(seq, seq + 1, offset, offset + 10_000, 1_000);
            offset += 10_000;
        }
        assert_eq!(catalogue.place(7), inside(1, 1, 4096, 101));
        assert_eq!(catalogue.place(8), inside(1, 8, 4096 + 70_000, 101), "64 KiB further on");
        assert_eq!(catalogue.place(100), inside(1, 99, 4096 + 980_000, 101));
    }

    #[test]
    fn what_readers_notice_keeps_its_distance() {
        let mut catalogue = catalogue();
        catalogue.segments[1].end = 1 << 20;
        for (seq, offset) in [(20, 70_000), (21, 70_100), (17, 69_000), (25, 200_000), (22, 140_000), (16, 4_200)] {
            let second = catalogue.segments[1].id();
            catalogue.notice(second, Mark { seq, offset });
        }
        catalogue.notice(SegmentId { first_seq: 15, nth: 9 }, Mark { seq: 16, offset: 900_000 });
        let marks: Vec<_> = catalogue.segments[1].marks.iter().map(|mark| mark.seq).collect();
        assert_eq!(marks, [20, 25]);
        assert_eq!(catalogue.place(24), inside(15, 20, 70_000, 30));
    }
}
