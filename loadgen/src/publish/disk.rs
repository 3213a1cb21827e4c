//! The floor of a durable publish: a bare loop of write and `fdatasync` on a preallocated file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};

use crate::limits::{FLOOR_FILE_BYTES, JOURNAL_RECORD_OVERHEAD_BYTES};

/// The floor could not write; its directory is to blame.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("can't make the floor's file in {dir}: {source}: is --floor-dir a directory that can be written?")]
    Make { dir: PathBuf, source: io::Error },
    #[error("can't write the floor's file {path}: {source}")]
    Write { path: PathBuf, source: io::Error },
}

/// A file of its own, removed in the end. Records are appended, and begin again from its front when it is full.
pub struct DiskFloor {
    file: File,
    path: PathBuf,
    record: Vec<u8>,
    at: u64,
}

impl DiskFloor {
    /// Writes records as long as the journal's for one event of `payload_bytes`.
    pub fn new(dir: &Path, payload_bytes: usize) -> Result<Self, DiskError> {
        let path = dir.join(format!(".loadgen-floor-{}", std::process::id()));
        let make = || {
            let file = File::create_new(&path)?;
            fallocate(&file, FallocateFlags::empty(), 0, FLOOR_FILE_BYTES)?;
            // The file's own size is not to be part of what is measured.
            file.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(|source| DiskError::Make { dir: dir.to_owned(), source })?;
        Ok(Self { file, path, record: vec![b'x'; payload_bytes + JOURNAL_RECORD_OVERHEAD_BYTES], at: 0 })
    }

    pub fn record_bytes(&self) -> usize {
        self.record.len()
    }

    /// Writes one record and waits until the disk has it.
    pub fn write_one(&mut self) -> Result<(), DiskError> {
        if self.at + self.record.len() as u64 > FLOOR_FILE_BYTES {
            self.at = 0;
        }
        let write = || {
            self.file.write_all_at(&self.record, self.at)?;
            self.file.sync_data()
        };
        write().map_err(|source| DiskError::Write { path: self.path.clone(), source })?;
        self.at += self.record.len() as u64;
        Ok(())
    }
}

impl Drop for DiskFloor {
    fn drop(&mut self) {
        // What is left behind is a hidden file that says whose it is.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_follow_each_other_in_a_file_of_a_fixed_size_that_is_removed() {
        let dir = std::env::temp_dir();
        let mut floor = DiskFloor::new(&dir, 250).unwrap();
        floor.write_one().unwrap();
        floor.write_one().unwrap();
        assert_eq!(floor.at, 2 * floor.record_bytes() as u64);
        assert_eq!(std::fs::metadata(&floor.path).unwrap().len(), FLOOR_FILE_BYTES);
        floor.at = FLOOR_FILE_BYTES - 10;
        floor.write_one().unwrap();
        assert_eq!(floor.at, floor.record_bytes() as u64, "it begins again");
        let path = floor.path.clone();
        drop(floor);
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let Err(error) = DiskFloor::new(Path::new("/nowhere/at/all"), 250) else { panic!("there is none") };
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
