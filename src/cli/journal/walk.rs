//! From event to event through the segments' files, beside a server that writes them.

use std::io;

use crate::hub::EncodedBatch;
use crate::journal::disk::{BlockingDisk, BlockingFile, Disk, DiskFile};
use crate::journal::record::Found;
use crate::journal::segment::{self, HEADER_BYTES, InvalidHeader, SegmentHeader};
use crate::journal::{Damage, Gap, GapReason, ReadError, Scan};

pub(super) struct Walk<'a> {
    disk: &'a BlockingDisk,
    /// The number that comes next.
    seq: u64,
    /// The number that was asked for.
    asked: u64,
    /// None before the first segment.
    current: Option<Current>,
}

struct Current {
    name: String,
    header: SegmentHeader,
    /// Stands where the record of `seq` begins.
    scan: Scan<Box<BlockingFile>>,
    seq: u64,
    /// The number that the next segment takes over at; none while there is no next one.
    until: Option<u64>,
}

pub(super) enum Step {
    /// May begin before the number that was asked for.
    Events(EncodedBatch),
    Gap(Gap),
    /// There is nothing yet.
    End,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error("the journal can't be listed ({0}): check the owner and the mode of its directory")]
    Names(io::Error),
    #[error("the journal's file {file} is no sound segment: {source}; see `stentor journal verify`")]
    Header { file: String, source: InvalidHeader },
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl<'a> Walk<'a> {
    pub fn from(disk: &'a BlockingDisk, seq: u64) -> Self {
        Self { disk, seq, asked: seq, current: None }
    }

    /// The number that it began with: events before it may come with the first ones.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    pub async fn next(&mut self) -> Result<Step, WalkError> {
        loop {
            let Some(current) = &mut self.current else {
                match self.segment_of(self.seq).await? {
                    Some(first) => self.current = Some(first),
                    None => return Ok(Step::End),
                }
                continue;
            };
            let here = current.header;
            // Numbers before a segment that was begun with: gone, and why.
            if self.seq < here.first_seq {
                let (to, reason) = match self.seq < here.follows {
                    true => (here.follows - 1, GapReason::Retention),
                    false => (here.first_seq - 1, GapReason::Crash),
                };
                let gap = Gap { from: self.seq, to, reason };
                self.seq = to + 1;
                return Ok(Step::Gap(gap));
            }
            let damage = match current.record().await? {
                Ok(batch) if batch.next_seq() <= self.seq => continue,
                Ok(batch) => {
                    self.seq = batch.next_seq();
                    return Ok(Step::Events(batch));
                }
                Err(damage) => damage,
            };
            if current.until.is_some_and(|until| current.seq < until) {
                let (file, offset, seq) = (current.name.clone(), current.scan.offset(), current.seq);
                return Err(ReadError::Corrupt { file, offset, seq, flaw: damage }.into());
            }
            let known = current.until;
            let Some(next) = self.following(here.first_seq).await? else { return Ok(Step::End) };
            match (known, &mut self.current) {
                // It has one behind it now, and so is whole up to there: what was not there yet is.
                (None, Some(current)) => current.until = Some(next.header.follows),
                _ => self.current = Some(next),
            }
        }
    }

    /// The segment that a number is in, or the first one behind it.
    async fn segment_of(&self, seq: u64) -> Result<Option<Current>, WalkError> {
        let firsts = self.firsts().await?;
        let behind = firsts.partition_point(|first| *first <= seq);
        match firsts.get(behind.saturating_sub(1)) {
            Some(first) => self.open(*first).await,
            None => Ok(None),
        }
    }

    async fn following(&self, first_seq: u64) -> Result<Option<Current>, WalkError> {
        match self.firsts().await?.into_iter().find(|first| *first > first_seq) {
            Some(first) => self.open(first).await,
            None => Ok(None),
        }
    }

    async fn firsts(&self) -> Result<Vec<u64>, WalkError> {
        let names = self.disk.names().await.map_err(WalkError::Names)?;
        let mut firsts: Vec<_> = names.iter().filter_map(|name| segment::parse_name(name)).collect();
        firsts.sort_unstable();
        Ok(firsts)
    }

    /// None where retention has taken it just now: the next look at the names shows what is left.
    async fn open(&self, first_seq: u64) -> Result<Option<Current>, WalkError> {
        let Some((header, file)) = self.header(first_seq).await? else { return Ok(None) };
        let until = match self.firsts().await?.into_iter().find(|first| *first > first_seq) {
            Some(next) => self.header(next).await?.map(|(next, _)| next.follows),
            None => None,
        };
        let scan = Scan::new(Box::new(file), HEADER_BYTES, u64::MAX);
        Ok(Some(Current { name: segment::name(first_seq), header, scan, seq: first_seq, until }))
    }

    async fn header(&self, first_seq: u64) -> Result<Option<(SegmentHeader, BlockingFile)>, WalkError> {
        let name = segment::name(first_seq);
        let read = async {
            let file = self.disk.open(&name).await?;
            io::Result::Ok((file.read_at(0, HEADER_BYTES as usize).await?, file))
        };
        let (block, file) = match read.await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|source| ReadError::Io { file: name.clone(), source })?,
        };
        match segment::read_header(&block, first_seq) {
            Ok(header) => Ok(Some((header, file))),
            Err(source) => Err(WalkError::Header { file: name, source }),
        }
    }
}

impl Current {
    /// The next record, if it is there and of this segment; goes on behind it.
    async fn record(&mut self) -> Result<Result<EncodedBatch, Damage>, ReadError> {
        let until = self.until.unwrap_or(u64::MAX);
        if self.seq >= until {
            return Ok(Err(Damage::Nothing));
        }
        let found = self.scan.look().await.map_err(|source| ReadError::Io { file: self.name.clone(), source })?;
        let damage = match found {
            Found::Record(view) if view.archived.first_seq == self.seq && view.archived.next_seq() <= until => {
                self.seq = view.archived.next_seq();
                let (batch, bytes) = (view.archived.batch(), view.bytes);
                self.scan.pass(bytes);
                return Ok(Ok(batch));
            }
            Found::Record(_) => Damage::Other,
            Found::End => Damage::Nothing,
            Found::Partial(_) => Damage::CutOff,
            Found::Broken(flaw) => flaw.into(),
        };
        self.scan.refresh();
        Ok(Err(damage))
    }
}
