//! The whole journal, looked through: what of it can be read, and what is wrong with the rest. Nothing is changed, so it works
//! beside a running server, and for a copy.

use std::fmt;
use std::io;

use super::disk::{Disk, DiskFile};
use super::lease::{self, Lease, LeaseError};
use super::record::{ALIGNMENT, Found};
use super::segment::{self, HEADER_BYTES, InvalidHeader, SegmentHeader};
use super::{Damage, Scan};

#[derive(Debug, Default)]
pub struct Survey {
    /// In the order of their numbers.
    pub files: Vec<Surveyed>,
    pub faults: Vec<Fault>,
    pub lease: Option<Lease>,
    /// The number after the highest that any record has, whole or not.
    pub seen: u64,
    /// Bytes of the last segment that a crash has torn or a running server is still writing.
    pub tail_bytes: u64,
}

/// A segment's file.
#[derive(Debug)]
pub struct Surveyed {
    pub name: String,
    pub size: u64,
    /// None where it is damaged.
    pub header: Option<SegmentHeader>,
    /// The number after the last event before it, as far as those can be read.
    pub follows: u64,
    pub runs: Vec<Run>,
}

/// Consecutive events that can be read, and where their records stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub first_seq: u64,
    /// The number after the last one.
    pub next_seq: u64,
    pub offset: u64,
    pub end: u64,
    /// When its first event was published, in Unix milliseconds.
    pub unix_ms: u64,
}

/// Something that should not be.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    Header {
        file: String,
        why: InvalidHeader,
    },
    /// Where event `from` should be, there is no record of it. `to` is the last event that is missing, if any is.
    Damage {
        file: String,
        offset: u64,
        damage: Damage,
        from: u64,
        to: u64,
    },
    /// It says that less is before it than there is.
    Order {
        file: String,
    },
    Lease,
}

#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    #[error("the journal can't be listed ({0}): check the owner and the mode of its directory")]
    Names(io::Error),
    #[error("the journal's file {file} can't be read ({source}): check its owner and mode, and the disk")]
    Io { file: String, source: io::Error },
    #[error("the journal's file {file} is no sound segment: {source}")]
    Version { file: String, source: InvalidHeader },
    #[error(transparent)]
    Lease(LeaseError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { file, why } => write!(f, "{file}: {why}"),
            Self::Damage { file, offset, damage, from, to } if to < from => {
                write!(f, "{file}, byte {offset}: between two events there is {damage}")
            }
            Self::Damage { file, offset, damage, from, to } => {
                write!(f, "{file}, byte {offset}: where event {from} should be there is {damage}; lost: ")?;
                write_range(f, *from, *to)
            }
            Self::Order { file } => write!(f, "{file}: it does not continue the segment before it"),
            Self::Lease => write!(f, "{}: it is damaged", lease::NAME),
        }
    }
}

fn write_range(f: &mut fmt::Formatter<'_>, from: u64, to: u64) -> fmt::Result {
    match to - from {
        0 => write!(f, "event {from}"),
        _ => write!(f, "events {from} to {to}"),
    }
}

impl Survey {
    pub async fn of<D: Disk>(disk: &D) -> Result<Self, SurveyError> {
        let mut survey = Self { seen: 1, ..Self::default() };
        let mut found = headers(disk).await?.into_iter().peekable();
        let mut follows = None;
        while let Some(Headed { name, first_seq, header }) = found.next() {
            let header = match header {
                Ok(header) => Some(header),
                Err(why) => {
                    survey.faults.push(Fault::Header { file: name.clone(), why });
                    None
                }
            };
            // What it lacks at its end is only told from what the next one says.
            let until = found.peek().map(|next| match next.header {
                Ok(next) if next.follows >= first_seq => next.follows,
                _ => next.first_seq,
            });
            let before = follows.unwrap_or(header.map_or(first_seq, |header| header.follows));
            if header.is_some_and(|header| header.follows < before) {
                survey.faults.push(Fault::Order { file: name.clone() });
            }
            let Some((size, runs)) = survey.look_through(disk, &name, first_seq, until).await? else {
                // Retention took it meanwhile, and all before it.
                survey = Self { seen: survey.seen, ..Self::default() };
                follows = None;
                continue;
            };
            follows = Some(runs.last().map_or(before, |run| run.next_seq));
            survey.files.push(Surveyed { name, size, header, follows: before, runs });
        }
        survey.lease = match lease::read(disk).await {
            Ok(lease) => lease,
            Err(LeaseError::Damaged) => {
                survey.faults.push(Fault::Lease);
                None
            }
            Err(error) => return Err(SurveyError::Lease(error)),
        };
        Ok(survey)
    }

    pub fn events(&self) -> u64 {
        self.runs().map(|run| run.next_seq - run.first_seq).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Of the oldest events first.
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.files.iter().flat_map(|file| &file.runs)
    }

    /// Numbers between those of events that are there, from and to, which hold none.
    pub fn holes(&self) -> Vec<(u64, u64)> {
        let runs: Vec<_> = self.runs().collect();
        let between = runs.windows(2).map(|pair| (pair[0].next_seq, pair[1].first_seq));
        between.filter(|(from, next)| from < next).map(|(from, next)| (from, next - 1)).collect()
    }

    /// Reads all records of a file below `until`; None where the file is gone. Without `until` it is the last one, which may end
    /// anywhere.
    async fn look_through<D: Disk>(
        &mut self,
        disk: &D,
        name: &str,
        first_seq: u64,
        until: Option<u64>,
    ) -> Result<Option<(u64, Vec<Run>)>, SurveyError> {
        let failed = |source| SurveyError::Io { file: name.to_owned(), source };
        let file = match disk.open(name).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let size = file.size().await.map_err(failed)?;
        let below = until.unwrap_or(u64::MAX);
        let mut runs: Vec<Run> = Vec::new();
        let (mut seq, mut offset) = (first_seq, HEADER_BYTES);
        // Whether the server was given time to finish what was just being written.
        let mut patience = until.is_none();
        while seq < below {
            let mut scan = Scan::new(&file, offset, size);
            let from = (seq, offset);
            let damage = loop {
                let (next_seq, bytes, unix_ms) = match scan.look().await.map_err(failed)? {
                    Found::Record(view) if view.archived.first_seq == seq && view.archived.next_seq() <= below => {
                        (view.archived.next_seq(), view.bytes, view.archived.unix_ms.to_native())
                    }
                    Found::Record(_) => break Some(Damage::Other),
                    Found::End => break Some(Damage::Nothing),
                    Found::Partial(_) => break Some(Damage::CutOff),
                    Found::Broken(flaw) => break Some(flaw.into()),
                };
                let end = offset + bytes as u64;
                match runs.last_mut().filter(|run| run.end == offset) {
                    Some(run) => (run.next_seq, run.end) = (next_seq, end),
                    None => runs.push(Run { first_seq: seq, next_seq, offset, end, unix_ms }),
                }
                (seq, offset) = (next_seq, end);
                scan.pass(bytes);
                if seq >= below {
                    break None;
                }
            };
            self.seen = self.seen.max(seq);
            let Some(damage) = damage else { break };
            patience |= from != (seq, offset) && until.is_none();
            let later = Later::find(&mut scan, seq, below).await.map_err(failed)?;
            self.seen = self.seen.max(later.seen);
            // In the last segment only what had been safe must be there.
            if until.is_none() && later.synced < seq {
                self.tail_bytes = later.end.saturating_sub(offset);
                break;
            }
            if std::mem::take(&mut patience) {
                // It may have been written between the two reads.
                continue;
            }
            let (to, next) = match later.next {
                Some((next_seq, at)) => (next_seq - 1, Some((next_seq, at))),
                None => (below - 1, None),
            };
            self.faults.push(Fault::Damage { file: name.to_owned(), offset, damage, from: seq, to });
            let Some(next) = next else { break };
            (seq, offset) = next;
        }
        Ok(Some((size, runs)))
    }
}

/// What follows damage.
#[derive(Default)]
struct Later {
    /// The first record that goes on behind it: its number, and where it begins.
    next: Option<(u64, u64)>,
    /// The highest number that a later record says was on the disk.
    synced: u64,
    seen: u64,
    /// Behind the last byte that is not zero.
    end: u64,
}

impl Later {
    async fn find<F: DiskFile>(scan: &mut Scan<&F>, seq: u64, below: u64) -> io::Result<Self> {
        let mut later = Self::default();
        while !scan.is_at_end() {
            let at = scan.offset();
            match scan.look().await? {
                Found::Record(view) => {
                    let (first_seq, bytes) = (view.archived.first_seq.to_native(), view.bytes);
                    later.synced = later.synced.max(view.synced);
                    later.seen = later.seen.max(view.archived.next_seq());
                    if later.next.is_none() && first_seq >= seq && first_seq < below {
                        later.next = Some((first_seq, at));
                    }
                    scan.pass(bytes);
                    later.end = scan.offset();
                }
                Found::End => scan.pass_zeros(),
                Found::Broken(_) | Found::Partial(_) => {
                    scan.pass(ALIGNMENT);
                    later.end = scan.offset();
                }
            }
        }
        Ok(later)
    }
}

struct Headed {
    name: String,
    first_seq: u64,
    header: Result<SegmentHeader, InvalidHeader>,
}

/// The headers of all segments, in order.
async fn headers<D: Disk>(disk: &D) -> Result<Vec<Headed>, SurveyError> {
    let names = disk.names().await.map_err(SurveyError::Names)?;
    let mut numbered: Vec<_> = names.into_iter().filter_map(|name| Some((segment::parse_name(&name)?, name))).collect();
    numbered.sort_unstable();
    let mut found = Vec::with_capacity(numbered.len());
    for (first_seq, name) in numbered {
        let read = async { disk.open(&name).await?.read_at(0, HEADER_BYTES as usize).await };
        let block = match read.await {
            Ok(block) => block,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(SurveyError::Io { file: name, source }),
        };
        let header = match segment::read_header(&block, first_seq) {
            Err(source @ InvalidHeader::Version { .. }) => return Err(SurveyError::Version { file: name, source }),
            header => header,
        };
        found.push(Headed { name, first_seq, header });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::fake::{FakeDisk, run};
    use crate::journal::fixture::{disk, put, segment};
    use crate::journal::record::Flaw;

    fn survey(disk: &FakeDisk) -> Survey {
        run(Survey::of(disk)).expect("it can be read")
    }

    fn told(survey: &Survey) -> Vec<String> {
        survey.faults.iter().map(ToString::to_string).collect()
    }

    fn numbers(survey: &Survey) -> Vec<(u64, u64)> {
        survey.runs().map(|run| (run.first_seq, run.next_seq)).collect()
    }

    #[test]
    fn a_sound_journal_is_counted() {
        let (first, _) = segment(3, 2, &[(3, 0), (1, 0)]);
        let (mut second, _) = segment(50, 7, &[(2, 6)]);
        second.resize(100_000, 0);
        let found = survey(&disk(&[(3, first.clone()), (50, second)]));
        assert_eq!(told(&found), [] as [&str; 0]);
        assert_eq!((found.events(), found.bytes(), found.tail_bytes), (6, first.len() as u64 + 100_000, 0));
        assert_eq!(numbers(&found), [(3, 7), (50, 52)]);
        assert_eq!(found.holes(), [(7, 49)]);
        assert_eq!(survey(&FakeDisk::new(1)).events(), 0);
    }

    #[test]
    fn a_torn_tail_is_no_fault_and_a_lost_safe_record_is() {
        let (bytes, starts) = segment(1, 1, &[(2, 0), (2, 2), (2, 2)]);
        let mut torn = bytes.clone();
        torn[starts[1] + 20] ^= 1;
        let found = survey(&disk(&[(1, torn)]));
        assert_eq!((found.faults.len(), found.tail_bytes), (0, (bytes.len() - starts[1]) as u64));
        assert_eq!((numbers(&found), found.seen), (vec![(1, 3)], 7));

        let (mut bytes, starts) = segment(1, 1, &[(2, 0), (2, 2), (2, 4), (3, 4)]);
        bytes[starts[1] + 20] ^= 1;
        let found = survey(&disk(&[(1, bytes)]));
        let (file, offset) = (segment::name(1), starts[1] as u64);
        assert_eq!(found.faults, [Fault::Damage { file, offset, damage: Flaw::Checksum.into(), from: 3, to: 4 }]);
        assert_eq!(numbers(&found), [(1, 3), (5, 10)]);
    }

    #[test]
    fn every_fault_of_every_segment_is_named() {
        let (mut first, starts) = segment(1, 1, &[(2, 0), (2, 0), (2, 0), (2, 0), (2, 0)]);
        first[starts[1] + 20] ^= 1;
        first[starts[3]..starts[4]].fill(0);
        let (mut second, _) = segment(11, 11, &[(2, 10)]);
        second[20] ^= 1;
        let (third, _) = segment(20, 15, &[(1, 14)]);
        let disk = disk(&[(1, first), (11, second), (20, third)]);
        put(&disk, lease::NAME, b"?");
        let found = survey(&disk);
        let told = told(&found);
        for (line, parts) in told.iter().zip([
            ["events 3 to 4", "checksum"],
            ["events 7 to 8", "nothing"],
            ["header is damaged", "0011.segment"],
            ["events 13 to 14", "nothing"],
            ["lease", "damaged"],
        ]) {
            assert!(parts.iter().all(|part| line.contains(part)), "{parts:?}: {line}");
        }
        assert_eq!(told.len(), 5, "{told:?}");
        assert_eq!(numbers(&found), [(1, 3), (5, 7), (9, 11), (11, 13), (20, 21)]);
    }

    #[test]
    fn what_was_written_again_is_not_counted_twice() {
        let (first, _) = segment(1, 1, &[(2, 0), (2, 2), (2, 2)]);
        let (second, _) = segment(3, 3, &[(2, 2)]);
        let found = survey(&disk(&[(1, first), (3, second)]));
        assert_eq!((numbers(&found), found.faults.len()), (vec![(1, 3), (3, 5)], 0));
    }

    #[test]
    fn a_missing_segment_is_told_by_the_one_before_it() {
        let (first, _) = segment(1, 1, &[(2, 0)]);
        let (third, _) = segment(9, 9, &[(2, 8)]);
        let found = survey(&disk(&[(1, first), (9, third)]));
        assert!(told(&found)[0].contains("lost: events 3 to 8"), "{:?}", found.faults);
        assert_eq!(found.files[1].follows, 3);
    }
}
