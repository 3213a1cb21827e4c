//! `stentor backup`: a copy of a data directory, also while a server writes it.
//!
//! Every part is copied in an order in which it can be used again: a database as of one moment, by its own means; segments from
//! the oldest on, the one that is being written as far as it goes; and last the lease, which covers every number that may have
//! been given out by then. So events of the copy keep their numbers, and a server on it goes on behind them.

pub(super) mod manifest;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use futures_lite::future::block_on;
use indicatif::HumanBytes;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use super::Failure;
use super::audit;
use super::console::Console;
use super::journal::JOURNAL_DIR;
use crate::accounts::audit::{Act, Action};
use crate::journal::disk::{BlockingDisk, Disk, DiskFile};
use crate::journal::record::Found;
use crate::journal::{Scan, lease, segment};
use crate::limits::{BACKUP_LOOK_AGAIN_MS, BACKUP_LOOKS_MAX, STORE_BUSY_TIMEOUT_MS};
use manifest::{Entry, MANIFEST_FILE, Manifest};

/// What SQLite's files are named.
pub(super) const DATABASE_EXTENSION: &str = "db";
/// A running server's own.
const LOCK_FILE: &str = "server.lock";

/// Copy the data of a server that runs, or does not
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// Where to; a directory that is new or empty
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl BackupArgs {
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        Console::of_process(|console| self.run_on(data_dir, console))
    }

    fn run_on(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        if !data_dir.is_dir() {
            let data_dir = data_dir.display();
            return Err(Failure::failed(format!(
                "there is no data directory {data_dir}: give the server's --data-dir"
            )));
        }
        make_empty(&self.directory)?;
        let mut copy = Copy { from: data_dir, to: &self.directory, entries: Vec::new() };
        let all = || {
            copy.files(console)?;
            copy.journal(console)?;
            copy.finish()
        };
        let bytes = { all }().map_err(|error: CopyError| {
            Failure::failed(format!("the backup in {} is not whole: {error}", self.directory.display()))
        })?;
        console.say(format_args!("{} in {}", HumanBytes(bytes), self.directory.display()));
        // The copy is whole, whatever becomes of its entry.
        if let Err(unwritten) = audit::record(data_dir, &made(&self.directory, bytes)) {
            console.say(unwritten);
        }
        Ok(())
    }
}

/// A backup, as the audit log of what was copied tells it.
fn made(directory: &Path, bytes: u64) -> Act {
    let directory = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    Act::new(Action::BackupCreate, directory.display(), json!({ "bytes": bytes }))
}

/// Makes a directory for its owner alone, unless there is an empty one.
pub(super) fn make_empty(directory: &Path) -> Result<(), Failure> {
    let told = |error: io::Error| Failure::failed(format!("can't use {} ({error})", directory.display()));
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(told)?;
    match fs::read_dir(directory).map_err(told)?.next() {
        None => Ok(()),
        Some(_) => Err(Failure::failed(format!("{} is not empty: name a new directory", directory.display()))),
    }
}

/// Copies a file with its mode. It lasts once its directory is synced.
pub(super) fn copy_file(from: &Path, to: &Path, path: &str) -> io::Result<Entry> {
    copy_file_to(from, to, path, u64::MAX)
}

/// The same of no more than its first `end` bytes.
fn copy_file_to(from: &Path, to: &Path, path: &str, end: u64) -> io::Result<Entry> {
    let source = File::open(from.join(path))?;
    let mode = source.metadata()?.permissions().mode() & 0o777;
    let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to.join(path))?;
    let entry = Entry::of_copy(path, &mut source.take(end), &mut target)?;
    target.sync_all()?;
    Ok(entry)
}

/// Where the whole records of a segment end that may be written meanwhile; none where it is damaged, and to be copied as it is.
/// Whoever writes it goes on during a `pause`.
fn whole_records(directory: &Path, name: &str, mut pause: impl FnMut()) -> io::Result<Option<u64>> {
    let file = block_on(BlockingDisk::new(directory.to_owned()).open(name))?;
    let mut scan = Scan::new(&file, segment::HEADER_BYTES, block_on(file.size())?);
    let mut looks = 0;
    loop {
        match block_on(scan.look())? {
            Found::Record(record) => {
                let bytes = record.bytes;
                scan.pass(bytes);
            }
            Found::End | Found::Partial(_) => return Ok(Some(scan.offset())),
            // A record that is being written looks like a broken one for a moment.
            Found::Broken(_) if looks < BACKUP_LOOKS_MAX => {
                looks += 1;
                pause();
                scan.refresh();
            }
            Found::Broken(_) => return Ok(None),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CopyError {
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    #[error("{path}: {source}")]
    Database { path: String, source: rusqlite::Error },
}

struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
    entries: Vec<Entry>,
}

impl Copy<'_> {
    /// All but the journal.
    fn files(&mut self, console: &mut Console<'_>) -> Result<(), CopyError> {
        let names = names(self.from).map_err(|source| failed(".", source))?;
        for name in &names {
            // SQLite's own side files are part of what the database copies.
            if [JOURNAL_DIR, LOCK_FILE, MANIFEST_FILE].contains(&name.as_str()) || name.contains(".db-") {
                continue;
            }
            if !fs::symlink_metadata(self.from.join(name)).is_ok_and(|metadata| metadata.is_file()) {
                console.say(format_args!("left out {name}: it is no file of the server's"));
                continue;
            }
            console.say(format_args!("copying {name}"));
            match Path::new(name).extension().is_some_and(|extension| extension == DATABASE_EXTENSION) {
                true => self.database(name)?,
                false => self.file(name)?,
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<(), CopyError> {
        let entry = copy_file(self.from, self.to, path).map_err(|source| failed(path, source))?;
        self.entries.push(entry);
        Ok(())
    }

    /// As it is at one moment, with what is only in its log yet.
    fn database(&mut self, path: &str) -> Result<(), CopyError> {
        let target = self.to.join(path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&target);
        let mut file = file.map_err(|source| failed(path, source))?;
        let vacuum = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(self.from.join(path), flags)?;
            connection.busy_timeout(Duration::from_millis(STORE_BUSY_TIMEOUT_MS))?;
            connection.execute("VACUUM INTO ?1", [target.to_string_lossy()])
        };
        vacuum().map_err(|source| CopyError::Database { path: path.to_owned(), source })?;
        let entry = file.sync_all().and_then(|()| Entry::of_copy(path, &mut file, &mut io::sink()));
        self.entries.push(entry.map_err(|source| failed(path, source))?);
        Ok(())
    }

    fn journal(&mut self, console: &mut Console<'_>) -> Result<(), CopyError> {
        let directory = self.from.join(JOURNAL_DIR);
        if !directory.is_dir() {
            return Ok(());
        }
        let made = DirBuilder::new().mode(0o700).create(self.to.join(JOURNAL_DIR));
        made.map_err(|source| failed(JOURNAL_DIR, source))?;
        let mut segments = names(&directory).map_err(|source| failed(JOURNAL_DIR, source))?;
        segments.retain(|name| segment::parse_name(name).is_some());
        // What is begun from now on is no part of this backup: the last of these is copied as far as it goes.
        segments.sort_unstable();
        let before = self.entries.len();
        for (nth, name) in segments.iter().enumerate() {
            console.say(format_args!("copying {name} ({} of {})", nth + 1, segments.len()));
            let path = format!("{JOURNAL_DIR}/{name}");
            // The newest one grows while it is copied, and what is read of it late must not rest on what was read too early.
            let pause = || thread::sleep(Duration::from_millis(BACKUP_LOOK_AGAIN_MS));
            let end = if nth + 1 == segments.len() { whole_records(&directory, name, pause) } else { Ok(None) };
            match end.and_then(|end| copy_file_to(self.from, self.to, &path, end.unwrap_or(u64::MAX))) {
                Ok(entry) => self.entries.push(entry),
                // Retention took it, and with it all that are older.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    for entry in self.entries.drain(before..) {
                        fs::remove_file(self.to.join(&entry.path)).map_err(|source| failed(&entry.path, source))?;
                    }
                }
                Err(source) => return Err(failed(&path, source)),
            }
        }
        let lease = format!("{JOURNAL_DIR}/{}", lease::NAME);
        if self.from.join(&lease).exists() {
            self.file(&lease)?;
        }
        sync_directory(&self.to.join(JOURNAL_DIR)).map_err(|source| failed(JOURNAL_DIR, source))
    }

    /// Writes down what was copied, which makes it a backup; returns how many bytes that were.
    fn finish(&mut self) -> Result<u64, CopyError> {
        let manifest = Manifest::new(std::mem::take(&mut self.entries));
        let bytes = manifest.files.iter().map(|entry| entry.bytes).sum();
        let text = serde_json::to_vec_pretty(&manifest).expect("plain data");
        let write = || {
            sync_directory(self.to)?;
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.to.join(MANIFEST_FILE))?;
            io::Write::write_all(&mut file, &text)?;
            file.sync_all()?;
            sync_directory(self.to)
        };
        write().map_err(|source| failed(MANIFEST_FILE, source))?;
        Ok(bytes)
    }
}

pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.extend(entry?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}

fn failed(path: &str, source: io::Error) -> CopyError {
    CopyError::File { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::fixture;

    /// A directory with a segment of these bytes.
    fn on_disk(bytes: &[u8]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        write(&directory, bytes);
        directory
    }

    fn write(directory: &tempfile::TempDir, bytes: &[u8]) {
        fs::write(directory.path().join(segment::name(1)), bytes).expect("written");
    }

    #[test]
    fn a_record_that_is_being_written_is_waited_for_and_what_comes_later_is_not() {
        let (whole, starts) = fixture::segment(1, 1, &[(2, 0), (2, 2), (2, 4)]);
        let (more, _) = fixture::segment(1, 1, &[(2, 0), (2, 2), (2, 4), (2, 6)]);
        let mut half = whole.clone();
        half[starts[2] + 30..].fill(0);
        let directory = on_disk(&half);
        let mut pauses = 0;
        let end = whole_records(directory.path(), &segment::name(1), || {
            pauses += 1;
            if pauses == 3 {
                write(&directory, &more);
            }
        });
        assert_eq!((end.expect("it can be read"), pauses), (Some(whole.len() as u64), 3));
    }

    #[test]
    fn a_record_that_stays_broken_is_looked_at_so_often_and_the_segment_copied_as_it_is() {
        let (mut bytes, starts) = fixture::segment(1, 1, &[(2, 0), (2, 2), (2, 4)]);
        bytes[starts[1] + 30] ^= 1;
        let mut pauses = 0;
        let end = whole_records(on_disk(&bytes).path(), &segment::name(1), || pauses += 1);
        assert_eq!((end.expect("it can be read"), pauses), (None, BACKUP_LOOKS_MAX));
    }
}
