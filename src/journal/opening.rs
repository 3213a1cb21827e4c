//! From a data directory to a running journal.

use std::cell::RefCell;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use futures_lite::future::block_on;

use super::disk::BlockingDisk;
use super::recovery::{Recovered, RecoveryError, recover};
use super::service::{JournalService, StartError};
use super::writer::OnKept;
use super::{Catalogue, Chunk, JournalOptions, Part, ReadError, Reader, Window};
use crate::hub::EncodedBatch;
use crate::limits;

/// A journal that was recovered and does not run yet.
pub struct Opening {
    recovered: Recovered,
    directory: PathBuf,
}

/// Why a journal can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("can't make the journal's directory {} ({source}): check the owner and mode of the data directory", .directory.display())]
    Directory { directory: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Opening {
    /// Recovers the journal of a data directory, or begins one, and tells what had to be done.
    pub fn open(data_dir: &Path) -> Result<Self, OpenError> {
        let directory = data_dir.join("journal");
        // The journal's thread opens it by an absolute path.
        let directory = std::path::absolute(&directory)
            .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(|source| OpenError::Directory { directory: directory.clone(), source })?;
        let recovered = block_on(recover(&BlockingDisk::new(directory.clone())))?;
        for finding in &recovered.report {
            tracing::warn!("{finding}");
        }
        Ok(Self { recovered, directory })
    }

    /// The number that the next event gets.
    pub fn next_seq(&self) -> u64 {
        self.recovered.next_seq
    }

    /// Hands over what was published since a time, in Unix milliseconds, and some of what was published before, as far as it is
    /// retained and not more than memory bears.
    pub fn recall(&mut self, since_unix_ms: u64, mut hear: impl FnMut(&EncodedBatch)) -> Result<(), OpenError> {
        let mut next = recalled_from(&self.recovered.catalogue, since_unix_ms);
        let catalogue = Rc::new(RefCell::new(std::mem::take(&mut self.recovered.catalogue)));
        let reader = Reader::new(Rc::new(BlockingDisk::new(self.directory.clone())), catalogue.clone());
        let outcome = loop {
            match block_on(reader.read(next, limits::REPLAY_CHUNK_BYTES)) {
                Ok(Chunk { next: after, parts, .. }) if after > next => {
                    next = after;
                    for part in parts {
                        if let Part::Events(batch) = part {
                            hear(&batch);
                        }
                    }
                }
                Ok(_) => break Ok(()),
                Err(error) => break Err(error.into()),
            }
        };
        self.recovered.catalogue = catalogue.take();
        outcome
    }

    /// Starts the journal's thread.
    pub fn start(
        self,
        options: JournalOptions,
        window: Arc<Window>,
        cpu: usize,
        on_kept: OnKept,
    ) -> Result<JournalService, StartError> {
        JournalService::start(self.recovered, self.directory, options, window, cpu, on_kept)
    }
}

/// The first number of the oldest segment that has events since a time, or is among the newest few megabytes.
fn recalled_from(catalogue: &Catalogue, since_unix_ms: u64) -> u64 {
    let mut bytes = 0;
    let wanted = catalogue.segments().rev().take_while(|segment| {
        bytes += segment.end;
        let recent = segment.newest_unix_ms >= since_unix_ms && bytes <= limits::RECALLED_BYTES_MAX;
        recent || bytes <= limits::RECALLED_BYTES_MIN
    });
    wanted.last().map_or(catalogue.next_seq(), |oldest| oldest.first_seq())
}
