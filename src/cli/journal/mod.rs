//! `stentor journal …`: looks at the journal's files themselves, while the server runs or before it ever has.

mod dump;
mod repair;
mod verify;
mod walk;

pub(super) use verify::summary;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::Failure;
use super::console::Console;
use crate::journal::disk::BlockingDisk;

/// The journal's place in a data directory.
pub(super) const JOURNAL_DIR: &str = "journal";

/// Check, repair and print the journal of all events
#[derive(Debug, Args)]
pub struct JournalArgs {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Read every record and its checksum; the server may run meanwhile. Ends with 1 where something is wrong
    Verify,
    /// Make a damaged journal readable again, at the price of the events that can't be read; the server must not run
    Repair {
        /// Do it; otherwise it is only told what would be done, and which events are lost
        #[arg(long)]
        yes: bool,
    },
    /// Print events as NDJSON; the server may run meanwhile
    Dump {
        #[command(flatten)]
        selection: dump::Selection,
        /// Stop after so many events
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
    /// Print events as NDJSON as they come, from now on or after --since
    Tail {
        #[command(flatten)]
        selection: dump::Selection,
    },
}

impl JournalArgs {
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        Console::of_process(|console| self.run_on(data_dir, console))
    }

    fn run_on(self, data_dir: &Path, console: &mut Console<'_>) -> Result<(), Failure> {
        let disk = open(data_dir)?;
        match self.command {
            JournalCommand::Verify => verify::run(&disk, console),
            JournalCommand::Repair { yes } => repair::run(data_dir, &disk, yes, console),
            JournalCommand::Dump { selection, limit } => dump::dump(&disk, &selection, limit, console),
            JournalCommand::Tail { selection } => dump::tail(&disk, &selection, console),
        }
    }
}

/// The journal of a data directory that has one.
pub(super) fn open(data_dir: &Path) -> Result<BlockingDisk, Failure> {
    let path: PathBuf = data_dir.join(JOURNAL_DIR);
    match path.is_dir() {
        true => Ok(BlockingDisk::new(path)),
        false => Err(Failure::failed(format!(
            "there is no journal in {}: give the server's --data-dir, or start the server first",
            data_dir.display()
        ))),
    }
}
