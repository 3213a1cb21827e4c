//! Replays: the events from some number on, out of the segments.
//!
//! A reader holds nothing for whoever asks, who asks for chunk after chunk. It remembers where the last few reads ended, so that a
//! replay goes on there, and keeps a few files open.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::disk::Disk;
use super::record::{Flaw, Found};
use super::segment;
use super::{Catalogue, Chunk, Mark, Part, Place, Scan, SegmentId};
use crate::limits;

pub struct Reader<D: Disk> {
    disk: Rc<D>,
    catalogue: Rc<RefCell<Catalogue>>,
    files: RefCell<VecDeque<(SegmentId, Rc<D::File>)>>,
    /// Where reads ended lately: the newest is the last.
    ends: RefCell<VecDeque<(SegmentId, Mark)>>,
}

/// Why events that should be there can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the journal's file {file} can't be read ({source}): check the disk")]
    Io { file: String, source: io::Error },
    #[error(
        "the journal's file {file} is damaged at byte {offset}, where event {seq} should be ({flaw}): stop the server and run \
         `stentor journal repair`"
    )]
    Corrupt { file: String, offset: u64, seq: u64, flaw: Damage },
}

/// What stands where a record should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("nothing")]
    Nothing,
    #[error("a record that is cut off")]
    CutOff,
    #[error("another record")]
    Other,
    #[error(transparent)]
    Flaw(#[from] Flaw),
}

impl<D: Disk> Reader<D> {
    pub fn new(disk: Rc<D>, catalogue: Rc<RefCell<Catalogue>>) -> Self {
        Self { disk, catalogue, files: RefCell::default(), ends: RefCell::default() }
    }

    /// The written events from number `from` on, and what of them is gone: about `bytes_max` in memory, at least one record
    /// where there is one.
    pub async fn read(&self, from: u64, bytes_max: usize) -> Result<Chunk, ReadError> {
        let mut chunk = Chunk { from, next: from, parts: Vec::new() };
        let mut bytes = 0;
        loop {
            let place = self.catalogue.borrow().place(chunk.next);
            match place {
                Place::Ahead => return Ok(chunk),
                Place::Gone(gap) => {
                    chunk.parts.push(Part::Gap(gap));
                    chunk.next = gap.to + 1;
                }
                Place::Inside { .. } if bytes > 0 && bytes >= bytes_max => return Ok(chunk),
                Place::Inside { segment, mark, until } => {
                    let read = self.read_segment(segment, mark, until, bytes_max, &mut bytes, &mut chunk).await;
                    let is_dropped = || !self.catalogue.borrow().holds(segment);
                    match read {
                        // Where its numbers are now, or why they are not, shows in the next turn.
                        Err(_) if is_dropped() => {}
                        // What was read is sound; the next read tells the error.
                        Err(_) if !chunk.parts.is_empty() => return Ok(chunk),
                        outcome => outcome?,
                    }
                }
            }
        }
    }

    /// Adds a segment's events to a chunk, until that is full or the segment ends.
    async fn read_segment(
        &self,
        segment: SegmentId,
        mark: Mark,
        until: u64,
        bytes_max: usize,
        bytes: &mut usize,
        chunk: &mut Chunk,
    ) -> Result<(), ReadError> {
        let name = segment::name(segment.first_seq);
        let failed = |source| ReadError::Io { file: name.clone(), source };
        let file = self.file(segment, &name).await.map_err(failed)?;
        let mut mark = self.nearest(segment, mark, chunk.next);
        let mut noticed = mark.offset;
        let mut scan = Scan::new(&*file, mark.offset, u64::MAX);
        while mark.seq < until && (*bytes == 0 || *bytes < bytes_max) {
            let damage = match scan.look().await.map_err(failed)? {
                Found::Record(view) if view.archived.first_seq == mark.seq && view.archived.next_seq() <= until => {
                    let (next_seq, record_bytes) = (view.archived.next_seq(), view.bytes);
                    if next_seq > chunk.next {
                        let batch = view.archived.batch();
                        *bytes += batch.bytes();
                        chunk.parts.push(Part::Events(Arc::new(batch)));
                        chunk.next = next_seq;
                    }
                    if mark.offset >= noticed + limits::SEGMENT_INDEX_BYTES {
                        noticed = mark.offset;
                        self.catalogue.borrow_mut().notice(segment, mark);
                    }
                    scan.pass(record_bytes);
                    mark = Mark { seq: next_seq, offset: scan.offset() };
                    continue;
                }
                Found::Record(_) => Damage::Other,
                Found::End => Damage::Nothing,
                Found::Partial(_) => Damage::CutOff,
                Found::Broken(flaw) => flaw.into(),
            };
            return Err(ReadError::Corrupt { file: name, offset: mark.offset, seq: mark.seq, flaw: damage });
        }
        self.remember(segment, mark);
        Ok(())
    }

    /// A segment's file, open.
    async fn file(&self, segment: SegmentId, name: &str) -> io::Result<Rc<D::File>> {
        {
            let catalogue = self.catalogue.borrow();
            let mut files = self.files.borrow_mut();
            // A file that is gone takes room on the disk for as long as it is open.
            files.retain(|(known, _)| catalogue.holds(*known));
            if let Some((_, file)) = files.iter().find(|(known, _)| *known == segment) {
                return Ok(file.clone());
            }
        }
        let file = Rc::new(self.disk.open(name).await?);
        let mut files = self.files.borrow_mut();
        if files.len() >= limits::REPLAY_FILES_MAX {
            files.pop_front();
        }
        files.push_back((segment, file.clone()));
        Ok(file)
    }

    /// Where to begin for a number: at the mark, or where a read ended behind it.
    fn nearest(&self, segment: SegmentId, mark: Mark, seq: u64) -> Mark {
        let ends = self.ends.borrow();
        let nearer = |(known, end): &(SegmentId, Mark)| (*known == segment && end.seq <= seq).then_some(*end);
        ends.iter().filter_map(nearer).chain([mark]).max_by_key(|mark| mark.offset).expect("one at least")
    }

    fn remember(&self, segment: SegmentId, mark: Mark) {
        let mut ends = self.ends.borrow_mut();
        if ends.contains(&(segment, mark)) {
            return;
        }
        if ends.len() >= limits::REPLAY_PLACES_MAX {
            ends.pop_front();
        }
        ends.push_back((segment, mark));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::fake::{FakeDisk, run};
    use crate::journal::fixture::{disk, segment};
    use crate::journal::recovery::recover;
    use crate::journal::{Gap, GapReason};

    type TestReader = Reader<FakeDisk>;

    fn reader(disk: &FakeDisk) -> TestReader {
        let catalogue = run(recover(disk)).expect("a sound journal").catalogue;
        Reader::new(Rc::new(disk.clone()), Rc::new(RefCell::new(catalogue)))
    }

    /// 3 to 9 and 10 to 15 in segments, 100 to 104 after a crash.
    fn journal() -> FakeDisk {
        let (first, _) = segment(3, 3, &[(3, 0), (1, 0), (3, 0)]);
        let (second, _) = segment(10, 10, &[(1, 9), (5, 9)]);
        let (third, _) = segment(100, 16, &[(2, 15), (2, 15), (1, 15)]);
        disk(&[(3, first), (10, second), (100, third)])
    }

    /// What a replay that asks for chunk after chunk gets: the numbers, and the gaps.
    fn replay(reader: &TestReader, from: u64, bytes_max: usize) -> (Vec<u64>, Vec<Gap>) {
        let (mut numbers, mut gaps, mut next) = (Vec::new(), Vec::new(), from);
        loop {
            let chunk = run(reader.read(next, bytes_max)).expect("readable");
            assert_eq!(chunk.from, next);
            if chunk.next == next {
                assert!(chunk.parts.is_empty());
                return (numbers, gaps);
            }
            for part in chunk.parts {
                match part {
                    Part::Gap(gap) => {
                        assert_eq!(gap.from, next);
                        next = gap.to + 1;
                        gaps.push(gap);
                    }
                    Part::Events(batch) => {
                        assert!(batch.first_seq() <= next && batch.next_seq() > next);
                        numbers.extend(next..batch.next_seq());
                        for (event, seq) in batch.events().iter().zip(batch.first_seq()..) {
                            assert_eq!(&*event.data, format!(r#"{{"n":{seq}}}"#).as_bytes());
                        }
                        next = batch.next_seq();
                    }
                }
            }
            assert_eq!(chunk.next, next);
        }
    }

    fn gap(from: u64, to: u64, reason: GapReason) -> Gap {
        Gap { from, to, reason }
    }

    #[test]
    fn from_every_number_everything_comes_once_and_what_is_gone_is_told() {
        let all: Vec<u64> = (3..16).chain(100..105).collect();
        for bytes_max in [1, 2_000, usize::MAX] {
            let reader = reader(&journal());
            for from in 1..=110 {
                let (numbers, gaps) = replay(&reader, from, bytes_max);
                let expected: Vec<u64> = all.iter().copied().filter(|seq| *seq >= from).collect();
                assert_eq!(numbers, expected, "from {from}");
                let retention = (from < 3).then(|| gap(from, 2, GapReason::Retention));
                let crash = (from < 100).then(|| gap(from.max(16), 99, GapReason::Crash));
                assert_eq!(gaps, retention.into_iter().chain(crash).collect::<Vec<_>>(), "from {from}");
            }
        }
    }

    #[test]
    fn a_small_bound_still_brings_a_record_and_no_more() {
        let reader = reader(&journal());
        let chunk = run(reader.read(3, 1)).expect("readable");
        assert_eq!((chunk.next, chunk.parts.len()), (6, 1));
        let chunk = run(reader.read(7, 1)).expect("readable");
        assert_eq!((chunk.next, chunk.parts.len()), (10, 1));
    }

    #[test]
    fn a_replay_goes_on_where_it_ended() {
        let reader = reader(&journal());
        run(reader.read(3, 1)).expect("readable");
        let Place::Inside { segment, mark, .. } = reader.catalogue.borrow().place(6) else { panic!("it is there") };
        assert_eq!(mark.seq, 3, "the index knows no better");
        assert_eq!(reader.nearest(segment, mark, 6).seq, 6);
        assert_eq!(reader.nearest(segment, mark, 5).seq, 3, "that is behind it");
    }

    #[test]
    fn what_is_written_meanwhile_comes_with_the_next_read() {
        let disk = journal();
        let reader = reader(&disk);
        assert_eq!(run(reader.read(105, 1)).expect("readable").next, 105);
        let end = reader.catalogue.borrow().last().expect("a segment").end;
        let (more, starts) = segment(105, 105, &[(2, 0)]);
        run(async {
            use crate::journal::disk::DiskFile;
            let file = disk.open(&segment::name(100)).await.expect("there");
            file.write_at(more[starts[0]..].to_vec(), end).await.expect("written");
        });
        reader.catalogue.borrow_mut().wrote(105, 107, end, end + (more.len() - starts[0]) as u64, 0);
        assert_eq!(replay(&reader, 104, 1).0, [104, 105, 106]);
    }

    #[test]
    fn a_segment_that_goes_while_it_is_read_is_a_gap() {
        for (seed, at) in (0..20).flat_map(|seed| (1..12).map(move |at| (seed, at))) {
            let disk = journal();
            disk.rng(|rng| rng.seed(seed));
            let reader = reader(&disk);
            let mut polls = 0;
            let chunk = run(async {
                let mut reading = std::pin::pin!(reader.read(4, usize::MAX));
                std::future::poll_fn(|context| {
                    polls += 1;
                    if polls == at {
                        reader.catalogue.borrow_mut().drop_oldest();
                        run(disk.remove(&segment::name(3))).expect("removed");
                    }
                    reading.as_mut().poll(context)
                })
                .await
            })
            .unwrap_or_else(|error| panic!("seed {seed}, dropped at poll {at}: {error}"));
            let first = match &chunk.parts[0] {
                Part::Gap(told) => {
                    assert_eq!(*told, gap(4, 9, GapReason::Retention));
                    10
                }
                Part::Events(batch) => batch.first_seq(),
            };
            assert!(chunk.next == 105 && (first == 3 || first == 10), "seed {seed}, dropped at poll {at}: {chunk:?}");
        }
    }

    #[test]
    fn damage_is_told_by_its_place_after_all_that_is_sound() {
        let disk = journal();
        let reader = reader(&disk);
        let (bytes, starts) = segment(3, 3, &[(3, 0), (1, 0), (3, 0)]);
        run(async {
            use crate::journal::disk::DiskFile;
            let file = disk.open(&segment::name(3)).await.expect("there");
            file.write_at(vec![bytes[starts[1] + 30] ^ 1], starts[1] as u64 + 30).await.expect("written");
        });
        assert_eq!(run(reader.read(3, usize::MAX)).expect("readable so far").next, 6);
        let told = run(reader.read(6, usize::MAX)).expect_err("damaged").to_string();
        for part in [&segment::name(3), &format!("byte {}", starts[1]), "event 6 ", "checksum"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }

    #[test]
    fn few_files_stay_open() {
        let many: Vec<_> = (1..=30).map(|seq| (seq, segment(seq, seq, &[(1, 0)]).0)).collect();
        let reader = reader(&disk(&many));
        assert_eq!(replay(&reader, 1, usize::MAX).0.len(), 30);
        assert_eq!(reader.files.borrow().len(), limits::REPLAY_FILES_MAX);
        while reader.catalogue.borrow_mut().drop_oldest().is_some() {}
        assert_eq!(replay(&reader, 30, usize::MAX).0, [30]);
        assert_eq!(reader.files.borrow().len(), 1, "a file that is gone is let go");
    }
}
