//! `stentor restore`: a data directory out of a backup, which is looked through before anything is made of it.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use indicatif::HumanBytes;
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use super::Failure;
use super::audit;
use super::backup::manifest::{Entry, Manifest};
use super::backup::{DATABASE_EXTENSION, copy_file, make_empty, sync_directory};
use super::console::Console;
use super::journal::{JOURNAL_DIR, summary};
use crate::accounts::audit::{Act, Action};
use crate::journal::disk::BlockingDisk;
use crate::journal::survey::Survey;

/// Make a data directory of a backup
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// What `stentor backup` made
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
}

impl RestoreArgs {
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        Console::of_process(|console| self.run_on(data_dir, console))
    }

    /// `data_dir` has to be new or empty.
    fn run_on(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        let backup = &*self.backup;
        let refused = |why: String| Failure::failed(format!("can't restore {}: {why}", backup.display()));
        let manifest = Manifest::read(backup).map_err(|error| refused(error.to_string()))?;
        for entry in &manifest.files {
            entry.check(backup).map_err(|error| refused(error.to_string()))?;
        }
        for entry in manifest.files.iter().filter(|entry| is_database(entry)) {
            check_database(&backup.join(&entry.path)).map_err(|why| refused(format!("{}: {why}", entry.path)))?;
        }
        if backup.join(JOURNAL_DIR).is_dir() {
            check_journal(&backup.join(JOURNAL_DIR), console).map_err(refused)?;
        }
        make_empty(data_dir)?;
        let bytes = copy(&manifest, backup, data_dir)
            .map_err(|error| Failure::failed(format!("{} is not whole: {error}", data_dir.display())))?;
        console.say(format_args!("restored {} of {} to {}", HumanBytes(bytes), manifest.created, data_dir.display()));
        // It is whole, whatever becomes of its entry.
        if let Err(unwritten) = audit::record(data_dir, &restored(backup, &manifest, bytes)) {
            console.say(unwritten);
        }
        Ok(())
    }
}

/// A restoration, as the audit log that came with the backup tells it.
fn restored(backup: &Path, manifest: &Manifest, bytes: u64) -> Act {
    let backup = std::path::absolute(backup).unwrap_or_else(|_| backup.to_owned());
    let detail = json!({ "created": manifest.created, "bytes": bytes });
    Act::new(Action::BackupRestore, backup.display(), detail)
}

fn is_database(entry: &Entry) -> bool {
    Path::new(&entry.path).extension().is_some_and(|extension| extension == DATABASE_EXTENSION)
}

fn check_database(path: &Path) -> Result<(), String> {
    let check = || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
    };
    match check() {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(answer),
        Err(error) => Err(error.to_string()),
    }
}

fn check_journal(directory: &Path, console: &mut Console<'_>) -> Result<(), String> {
    let survey = block_on(Survey::of(&BlockingDisk::new(directory))).map_err(|error| error.to_string())?;
    console.say(summary(&survey));
    match survey.faults.first() {
        None => Ok(()),
        Some(fault) => Err(format!("its journal is damaged: {fault}")),
    }
}

fn copy(manifest: &Manifest, backup: &Path, data_dir: &Path) -> Result<u64, String> {
    let mut bytes = 0;
    for entry in &manifest.files {
        let told = |error: std::io::Error| format!("{}: {error}", entry.path);
        if let Some(parent) = Path::new(&entry.path).parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(data_dir.join(parent)).map_err(told)?;
        }
        if copy_file(backup, data_dir, &entry.path).map_err(told)? != *entry {
            return Err(format!("{} was changed meanwhile", entry.path));
        }
        bytes += entry.bytes;
    }
    let journal = data_dir.join(JOURNAL_DIR);
    let synced = [&journal, data_dir].into_iter().filter(|path| path.is_dir()).try_for_each(sync_directory);
    synced.map_err(|error| error.to_string())?;
    Ok(bytes)
}
