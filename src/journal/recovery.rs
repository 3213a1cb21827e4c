//! The start: what earlier runs have left is read, what a crash tore is cut, and what must not be is refused.
//!
//! Only the last segment can be torn, because each is on the disk before the next one is begun; so it is the only one that is read
//! as a whole. The others are known by their headers, and `stentor journal verify` reads them.
//!
//! A record of the last segment that can't be read is either the torn tail, which nobody was promised, or damage:
//!
//! ```text
//!   … record │ record │ ??? │ record, synced = 41 │ …        41 was safe when that was written. Is what ??? should begin with
//!                        └─ should be number 40              40? Then it was lost later. 42? Then it never was on the disk.
//! ```
//!
//! Nothing is ever appended to a segment of an earlier run. One that holds no record any more is removed.

use std::fmt;
use std::io;

use super::disk::{Disk, DiskFile};
use super::lease::{self, LeaseError};
use super::record::{ALIGNMENT, Found};
use super::segment::{self, HEADER_BYTES, InvalidHeader, SegmentHeader};
use super::{Catalogue, Mark, Scan, Segment};
#[cfg(test)]
use crate::simulation::sabotage::{self, Sabotage};

/// A journal that can be read and continued.
#[derive(Debug)]
pub struct Recovered {
    pub catalogue: Catalogue,
    /// The number that the next event gets.
    pub next_seq: u64,
    /// The number after the last event that is kept. Those from it to before `next_seq` are a hole.
    pub follows: u64,
    /// What was done, and what is missing; in words that an operator can follow.
    pub report: Vec<Finding>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The end of a segment was cut: `bytes` that were not zero, and as many `events` of them as could still be read.
    Cut { file: String, bytes: u64, events: u64 },
    /// A segment without a record was removed.
    Removed { file: String },
    /// Nothing says which numbers were given out after the last event.
    NoLease,
    /// Numbers from one to another may have been seen by clients, and their events are not there.
    Hole { from: u64, to: u64 },
}

/// Why a journal can't be continued.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("the journal can't be listed ({0}): check the owner and the mode of its directory")]
    Names(io::Error),
    #[error("the journal's file {file} can't be used ({source}): check its owner and mode, and the disk")]
    Io { file: String, source: io::Error },
    #[error("the journal's file {file} is no sound segment: {source}; if it is damaged, run `stentor journal repair`")]
    Header { file: String, source: InvalidHeader },
    #[error("the journal's file {file} does not continue the segment before it: run `stentor journal repair`")]
    Order { file: String },
    #[error(
        "the journal's file {file} is damaged at byte {offset}, where event {seq} should be, and that had been safely on the disk: \
         run `stentor journal repair`"
    )]
    Corrupt { file: String, offset: u64, seq: u64 },
    #[error(transparent)]
    Lease(#[from] LeaseError),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut { file, bytes, events } => {
                write!(f, "cut the journal's unfinished tail: {bytes} bytes of {file}, with {events} whole events")
            }
            Self::Removed { file } => write!(f, "removed the journal's file {file}, which held no event"),
            Self::NoLease => f.write_str(
                "the journal has no lease file: numbers that clients saw after its last event may be given out again",
            ),
            Self::Hole { from, to } => {
                write!(f, "events {from} to {to} are not in the journal: clients that resume are told of a gap")
            }
        }
    }
}

/// Brings the journal into a state in which all of it can be read, and tells where it goes on.
pub async fn recover<D: Disk>(disk: &D) -> Result<Recovered, RecoveryError> {
    let mut report = Vec::new();
    let mut files = headers(disk).await?;
    // No number below this is free: it is known to have been given out.
    let mut seen = 1;
    // The number after the last event that must be there, and that may be.
    let (mut safe, mut until) = (1, u64::MAX);
    let mut last = None;
    while let Some(file) = files.pop() {
        let tail = Tail::read(disk, &file, safe, until).await?;
        seen = seen.max(tail.seen);
        if tail.dropped_bytes > 0 {
            let (bytes, events) = (tail.dropped_bytes, tail.dropped_events);
            report.push(Finding::Cut { file: file.name.clone(), bytes, events });
        }
        if let Some(segment) = tail.segment {
            last = Some(cut(disk, &file, segment).await.map_err(|source| file.failed(source))?);
            break;
        }
        disk.remove(&file.name).await.map_err(|source| file.failed(source))?;
        if let Ok(header) = file.header {
            (safe, until) = (safe.max(header.follows), header.follows);
        }
        report.push(Finding::Removed { file: file.name });
    }
    disk.sync_names().await.map_err(RecoveryError::Names)?;
    let follows = last.as_ref().map_or(safe, |last: &Segment| last.next_seq);
    let mut catalogue = catalogue(files, last)?;
    let next_seq = match lease::read(disk).await? {
        #[cfg(test)]
        Some(_) if sabotage::is(Sabotage::ForgetLease) => 1,
        Some(lease) => lease.clean.unwrap_or(lease.through.saturating_add(1)),
        None => {
            if seen > 1 {
                report.push(Finding::NoLease);
            }
            1
        }
    };
    let next_seq = next_seq.max(seen).max(follows);
    if next_seq > follows {
        report.push(Finding::Hole { from: follows, to: next_seq - 1 });
    }
    catalogue.goes_on(follows, next_seq);
    Ok(Recovered { catalogue, next_seq, follows, report })
}

/// A segment's file, as far as its header tells.
struct SegmentFile {
    name: String,
    header: Result<SegmentHeader, InvalidHeader>,
    size: u64,
}

impl SegmentFile {
    async fn read<D: Disk>(disk: &D, name: String, first_seq: u64) -> Result<Self, RecoveryError> {
        let read = async {
            let file = disk.open(&name).await?;
            io::Result::Ok((file.read_at(0, HEADER_BYTES as usize).await?, file.size().await?))
        };
        let (block, size) = read.await.map_err(|source| RecoveryError::Io { file: name.clone(), source })?;
        match segment::read_header(&block, first_seq) {
            Err(source @ InvalidHeader::Version { .. }) => Err(RecoveryError::Header { file: name, source }),
            header => Ok(Self { name, header, size }),
        }
    }

    fn failed(&self, source: io::Error) -> RecoveryError {
        RecoveryError::Io { file: self.name.clone(), source }
    }
}

/// All segments, in order. Those whose header is damaged are among them: the last one may just have been begun.
async fn headers<D: Disk>(disk: &D) -> Result<Vec<SegmentFile>, RecoveryError> {
    let names = disk.names().await.map_err(RecoveryError::Names)?;
    let mut numbered: Vec<_> = names.into_iter().filter_map(|name| Some((segment::parse_name(&name)?, name))).collect();
    numbered.sort_unstable();
    let mut files = Vec::with_capacity(numbered.len());
    for (first_seq, name) in numbered {
        files.push(SegmentFile::read(disk, name, first_seq).await?);
    }
    Ok(files)
}

/// The segments before the last one as their headers tell, and the last one.
fn catalogue(files: Vec<SegmentFile>, last: Option<Segment>) -> Result<Catalogue, RecoveryError> {
    let mut catalogue = Catalogue::default();
    let mut headers = Vec::with_capacity(files.len() + 1);
    for file in &files {
        let header = file.header.map_err(|source| RecoveryError::Header { file: file.name.clone(), source })?;
        headers.push(header);
    }
    headers.extend(last.as_ref().map(|last| last.header));
    for pair in headers.windows(2) {
        if pair[1].follows < pair[0].first_seq {
            return Err(RecoveryError::Order { file: segment::name(pair[1].first_seq) });
        }
    }
    for (pair, file) in headers.windows(2).zip(&files) {
        catalogue.found(Segment::before(&pair[1], pair[0], file.size));
    }
    last.into_iter().for_each(|last| catalogue.found(last));
    Ok(catalogue)
}

/// What the last segment turned out to hold.
struct Tail {
    /// None, where there is no whole request in it.
    segment: Option<Segment>,
    /// The number after the highest that was found in it, whole or not.
    seen: u64,
    /// Of the bytes behind what is kept, from the first to the last that is not zero.
    dropped_bytes: u64,
    /// Events behind what is kept that could be read.
    dropped_events: u64,
}

impl Tail {
    /// Reads a segment to its end, which is where whole requests end, or `until`. Every number below `safe` must be there.
    async fn read<D: Disk>(disk: &D, file: &SegmentFile, safe: u64, until: u64) -> Result<Self, RecoveryError> {
        let opened = disk.open(&file.name).await.map_err(|source| file.failed(source))?;
        let mut scan = Scan::new(&opened, HEADER_BYTES, file.size);
        let Ok(header) = file.header else {
            let rest = Rest::read(&mut scan).await.map_err(|source| file.failed(source))?;
            return match file.header {
                // A header is on the disk before the first record is written.
                Err(source) if rest.events > 0 => Err(RecoveryError::Header { file: file.name.clone(), source }),
                _ => Ok(Self {
                    segment: None,
                    seen: 1,
                    dropped_bytes: rest.end.saturating_sub(HEADER_BYTES),
                    dropped_events: 0,
                }),
            };
        };
        let mut kept = Segment::new(header);
        // Of the request that is being read, which may lack its end.
        let (mut next_seq, mut unclosed_events) = (header.first_seq, 0);
        while next_seq < until {
            let mark = Mark { seq: next_seq, offset: scan.offset() };
            let (record, bytes) = match scan.look().await.map_err(|source| file.failed(source))? {
                Found::Record(view) if view.archived.first_seq == next_seq => (view.archived, view.bytes),
                _ => break,
            };
            unclosed_events += record.events.len() as u64;
            next_seq = record.next_seq();
            kept.newest_unix_ms = kept.newest_unix_ms.max(record.unix_ms.to_native());
            kept.notice(mark);
            if record.closes {
                (kept.next_seq, kept.end, unclosed_events) = (next_seq, mark.offset + bytes as u64, 0);
            }
            scan.pass(bytes);
        }
        let offset = scan.offset();
        let rest = Rest::read(&mut scan).await.map_err(|source| file.failed(source))?;
        if next_seq < until && rest.synced >= next_seq {
            return Err(RecoveryError::Corrupt { file: file.name.clone(), offset, seq: next_seq });
        }
        if kept.next_seq < safe {
            return Err(RecoveryError::Corrupt { file: file.name.clone(), offset: kept.end, seq: kept.next_seq });
        }
        Ok(Self {
            seen: rest.seen.max(next_seq),
            dropped_bytes: rest.end.max(offset) - kept.end,
            dropped_events: unclosed_events + rest.events,
            segment: (!kept.is_empty()).then_some(kept),
        })
    }
}

/// Cuts the file to what is kept of it, and its preallocated end with the rest. What is kept lasts from now on: of a server that was
/// killed, some of it may not be on the disk yet, and the next segment relies on it.
async fn cut<D: Disk>(disk: &D, file: &SegmentFile, mut kept: Segment) -> io::Result<Segment> {
    let opened = disk.open(&file.name).await?;
    if kept.end < file.size {
        opened.truncate(kept.end).await?;
    }
    opened.sync().await?;
    kept.bytes = kept.end;
    Ok(kept)
}

/// What stands behind a place where no record can be read.
#[derive(Default)]
struct Rest {
    /// Behind the last byte that is not zero, or a little further on; 0 where there are none.
    end: u64,
    /// Events of records that can be read.
    events: u64,
    /// The highest number that one of those says was on the disk.
    synced: u64,
    /// The number after the highest in them.
    seen: u64,
}

impl Rest {
    async fn read<F: DiskFile>(scan: &mut Scan<&F>) -> io::Result<Self> {
        let mut rest = Self::default();
        while !scan.is_at_end() {
            match scan.look().await? {
                Found::Record(view) => {
                    rest.events += view.archived.events.len() as u64;
                    rest.synced = rest.synced.max(view.synced);
                    rest.seen = rest.seen.max(view.archived.next_seq());
                    let bytes = view.bytes;
                    scan.pass(bytes);
                    rest.end = scan.offset();
                }
                Found::End => scan.pass_zeros(),
                Found::Broken(_) | Found::Partial(_) => {
                    scan.pass(ALIGNMENT);
                    rest.end = scan.offset();
                }
            }
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::fake::{FakeDisk, run};
    use crate::journal::fixture::{UNIX_MS, disk, long_batch, put, segment};
    use crate::journal::lease::Lease;
    use crate::journal::record;

    fn recovered(disk: &FakeDisk) -> Recovered {
        run(recover(disk)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refused(disk: &FakeDisk) -> String {
        run(recover(disk)).expect_err("it can't be continued").to_string()
    }

    fn lease(disk: &FakeDisk, through: u64, clean: Option<u64>) {
        run(lease::write(disk, Lease { through, clean })).expect("a lease");
    }

    fn sizes(disk: &FakeDisk) -> Vec<(String, u64)> {
        run(async {
            let mut names: Vec<_> = disk.names().await.expect("names");
            names.retain(|name| segment::parse_name(name).is_some());
            names.sort();
            let mut sizes = Vec::new();
            for name in names {
                let size = disk.open(&name).await.expect("there").size().await.expect("a size");
                sizes.push((name, size));
            }
            sizes
        })
    }

    #[test]
    fn nothing_is_a_journal_that_begins_at_1() {
        let found = recovered(&FakeDisk::new(1));
        assert_eq!((found.next_seq, found.follows, found.catalogue.next_seq()), (1, 1, 1));
        assert_eq!(found.report, []);
    }

    #[test]
    fn after_an_orderly_stop_the_next_number_is_the_next_number() {
        let (bytes, _) = segment(1, 1, &[(3, 0), (2, 3)]);
        let disk = disk(&[(1, bytes.clone())]);
        lease(&disk, 5_000, Some(6));
        let found = recovered(&disk);
        assert_eq!((found.next_seq, found.follows), (6, 6));
        assert_eq!(found.report, []);
        let last = found.catalogue.last().expect("a segment");
        assert_eq!((last.next_seq, last.end, last.bytes), (6, bytes.len() as u64, bytes.len() as u64));
        assert_eq!(last.newest_unix_ms, UNIX_MS + 4);
    }

    #[test]
    fn after_a_crash_numbers_go_on_behind_the_lease() {
        let (bytes, _) = segment(1, 1, &[(3, 0), (2, 3)]);
        let disk = disk(&[(1, bytes)]);
        lease(&disk, 5_000, None);
        let found = recovered(&disk);
        assert_eq!((found.next_seq, found.follows), (5_001, 6));
        assert_eq!(found.report, [Finding::Hole { from: 6, to: 5_000 }]);
    }

    #[test]
    fn without_a_lease_no_number_that_was_seen_is_given_out_again() {
        let (first, _) = segment(1, 1, &[(3, 0)]);
        let (hole, _) = segment(900, 4, &[]);
        let disk = disk(&[(1, first), (900, hole)]);
        let found = recovered(&disk);
        assert_eq!((found.next_seq, found.follows), (900, 4));
        assert!(found.report.contains(&Finding::NoLease));
    }

    /// A request is kept whole or not at all, and nothing that is kept is lost by a second start.
    #[test]
    fn a_tail_that_is_cut_anywhere_leaves_whole_requests() {
        let (bytes, starts) = segment(1, 1, &[(3, 0), (1, 3), (2, 3), (1, 3)]);
        let firsts = [1, 4, 5, 7, 8];
        // Where each record's payload ends; padding follows.
        let ends: Vec<_> = starts.iter().map(|start| start + record::HEADER_BYTES + len_at(&bytes, *start)).collect();
        for cut in 0..=bytes.len() {
            for zeros in [0, 5_000] {
                let mut torn = bytes[..cut].to_vec();
                torn.resize(cut + zeros, 0);
                let disk = disk(&[(1, torn.clone())]);
                lease(&disk, 100, None);
                let is_whole = |end: &&usize| torn.get(..**end) == Some(&bytes[..**end]);
                let next_seq = firsts[ends.iter().take_while(is_whole).count()];
                let found = recovered(&disk);
                assert_eq!((found.follows, found.next_seq), (next_seq, 101), "cut at {cut}, {zeros} zeros");
                assert_eq!(found.catalogue.segments().count(), usize::from(next_seq > 1));
                let before = sizes(&disk);
                let again = recovered(&disk);
                assert_eq!((again.follows, again.report.len()), (next_seq, 1), "cut at {cut}: {:?}", again.report);
                assert_eq!(sizes(&disk), before);
            }
        }
    }

    fn len_at(bytes: &[u8], start: usize) -> usize {
        u32::from_le_bytes(bytes[start..start + 4].try_into().expect("four bytes")) as usize
    }

    #[test]
    fn a_request_without_its_end_is_cut() {
        let (mut bytes, _) = segment(1, 1, &[(3, 0)]);
        let kept = bytes.len();
        record::append(&long_batch(4, 9), 3, &mut bytes);
        bytes.truncate(bytes.len() - 20_000);
        let disk = disk(&[(1, bytes)]);
        lease(&disk, 100, None);
        let found = recovered(&disk);
        assert_eq!(found.follows, 4);
        assert!(
            matches!(&found.report[0], Finding::Cut { events: 8, .. }),
            "two whole records of it were there: {:?}",
            found.report
        );
        assert_eq!(sizes(&disk), [(segment::name(1), kept as u64)]);
    }

    /// A killed server's last writes are only in the kernel's memory when the next start finds them.
    #[test]
    fn what_is_kept_lasts() {
        for seed in 0..50 {
            let (bytes, _) = segment(1, 1, &[(3, 0), (2, 0)]);
            let disk = FakeDisk::new(seed);
            put(&disk, &segment::name(1), &bytes);
            lease(&disk, 100, None);
            assert_eq!(recovered(&disk).follows, 6);
            assert_eq!(recovered(&disk.after_power_cut()).follows, 6, "seed {seed}");
        }
    }

    /// The middle of a tail that was never synced: later records may have come to the disk before it.
    #[test]
    fn a_lost_record_that_was_never_safe_is_a_torn_tail() {
        for lost in [0, 0xff] {
            let (mut bytes, starts) = segment(1, 1, &[(2, 0), (2, 2), (2, 2), (2, 2)]);
            bytes[starts[1]..starts[2]].fill(lost);
            let disk = disk(&[(1, bytes)]);
            lease(&disk, 100, None);
            let found = recovered(&disk);
            assert_eq!((found.follows, found.next_seq), (3, 101));
            assert!(matches!(found.report[0], Finding::Cut { events: 4, .. }), "{:?}", found.report);
            assert_eq!(sizes(&disk), [(segment::name(1), starts[1] as u64)]);
        }
    }

    /// Every byte of it: what the disk once had and has no more must not pass for a torn tail.
    #[test]
    fn a_lost_record_that_was_safe_is_refused() {
        let (sound, starts) = segment(1, 1, &[(2, 0), (2, 2), (2, 3)]);
        for lost in [0, 0xff] {
            let mut bytes = sound.clone();
            bytes[starts[1]..starts[2]].fill(lost);
            let disk = disk(&[(1, bytes.clone())]);
            let told = refused(&disk);
            for part in [&segment::name(1), &format!("byte {}", starts[1]), "event 3 ", "stentor journal repair"] {
                assert!(told.contains(part), "{part}: {told}");
            }
            assert_eq!(sizes(&disk), [(segment::name(1), bytes.len() as u64)], "nothing is touched");
        }
        for at in starts[1]..starts[1] + record::HEADER_BYTES + 40 {
            let mut bytes = sound.clone();
            bytes[at] ^= 1;
            refused(&disk(&[(1, bytes)]));
        }
    }

    #[test]
    fn a_preallocated_end_is_given_back_and_is_no_loss() {
        let (mut bytes, _) = segment(1, 1, &[(3, 0)]);
        let end = bytes.len() as u64;
        bytes.resize(1 << 20, 0);
        let disk = disk(&[(1, bytes)]);
        lease(&disk, 3, Some(4));
        assert_eq!(recovered(&disk).report, []);
        assert_eq!(sizes(&disk), [(segment::name(1), end)]);
    }

    #[test]
    fn segments_that_hold_nothing_go_and_what_they_said_counts() {
        let (first, _) = segment(1, 1, &[(3, 0)]);
        let (second, _) = segment(4, 4, &[(2, 3)]);
        let (third, _) = segment(900, 6, &[]);
        let (unfinished, _) = segment(5_000, 6, &[]);
        let disk = disk(&[(1, first), (4, second), (900, third), (5_000, unfinished[..30].to_vec())]);
        lease(&disk, 7_000, None);
        let found = recovered(&disk);
        assert_eq!((found.follows, found.next_seq), (6, 7_001));
        let firsts: Vec<_> =
            found.catalogue.segments().map(|segment| (segment.first_seq(), segment.next_seq)).collect();
        assert_eq!(firsts, [(1, 4), (4, 6)]);
        assert_eq!(sizes(&disk).len(), 2);
    }

    /// Retention may have taken everything before a segment that holds nothing yet.
    #[test]
    fn numbers_go_on_although_no_segment_is_left() {
        let (empty, _) = segment(50, 50, &[]);
        let disk = disk(&[(50, empty)]);
        lease(&disk, 80, None);
        let found = recovered(&disk);
        assert_eq!((found.follows, found.next_seq, found.catalogue.segments().count()), (50, 81, 0));
    }

    /// What was written again to a newer segment does not count in the older one, and what that one lacks is damage.
    #[test]
    fn a_segment_that_was_given_up_ends_where_the_next_one_begins() {
        let (first, starts) = segment(1, 1, &[(3, 0), (2, 3), (2, 3)]);
        let (empty, _) = segment(6, 6, &[]);
        let given_up = disk(&[(1, first.clone()), (6, empty.clone())]);
        lease(&given_up, 10, None);
        let found = recovered(&given_up);
        assert_eq!((found.follows, found.next_seq), (6, 11));
        assert_eq!(sizes(&given_up), [(segment::name(1), starts[2] as u64)]);

        let cut = disk(&[(1, first[..starts[1]].to_vec()), (6, empty)]);
        assert!(refused(&cut).contains("event 4 "), "it had been safe when the next one was begun");
    }

    #[test]
    fn another_format_a_damaged_header_and_a_wrong_order_are_refused_by_name() {
        let (first, _) = segment(1, 1, &[(3, 0)]);
        let (second, _) = segment(4, 4, &[(2, 3)]);
        let mut other = second.clone();
        other[8] = 9;
        let told = refused(&disk(&[(1, first.clone()), (4, other)]));
        assert!(told.contains("format 9") && told.contains(&segment::name(4)), "{told}");

        let mut damaged = first.clone();
        damaged[20] ^= 1;
        let told = refused(&disk(&[(1, damaged.clone()), (4, second.clone())]));
        assert!(told.contains("damaged") && told.contains(&segment::name(1)), "{told}");
        // Also of the last one, as long as it holds something.
        refused(&disk(&[(1, damaged)]));

        let told = refused(&disk(&[(2, segment(2, 2, &[(3, 0)]).0), (5, segment(5, 1, &[(1, 0)]).0)]));
        assert!(told.contains("does not continue"), "{told}");
        let told = refused(&disk(&[(7, first)]));
        assert!(told.contains(&segment::name(7)), "named otherwise: {told}");
    }

    #[test]
    fn a_damaged_lease_is_refused() {
        let disk = disk(&[(1, segment(1, 1, &[(3, 0)]).0)]);
        put(&disk, lease::NAME, b"no lease");
        assert!(refused(&disk).contains("journal repair"));
    }
}
