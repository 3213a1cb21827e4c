//! `stentor journal repair`.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use serde_json::json;

use super::super::Failure;
use super::super::audit;
use super::super::console::Console;
use super::JOURNAL_DIR;
use crate::accounts::audit::{Act, Action, named};
use crate::journal::disk::BlockingDisk;
use crate::journal::lease;
use crate::journal::repair::{Replacement, make_lease, plan};
use crate::journal::survey::{Fault, Survey};
use crate::server;

/// Where damaged files are kept, in the journal's directory.
const DAMAGED_DIR: &str = "damaged";

pub(super) fn run(data_dir: &Path, disk: &BlockingDisk, yes: bool, console: &mut Console<'_>) -> Result<(), Failure> {
    // Held until the end.
    let _lock = server::lock(data_dir).map_err(Failure::failed)?;
    let survey = block_on(Survey::of(disk)).map_err(Failure::failed)?;
    let replacements = plan(&survey);
    survey.faults.iter().for_each(|fault| console.say(fault));
    if replacements.is_empty() && survey.faults.is_empty() {
        console.say("nothing is wrong with the journal");
        return Ok(());
    }
    tell_lost(&survey, console)?;
    if !yes {
        return Err(Failure::failed("nothing was changed: say --yes to go on, best with a copy of the data directory"));
    }
    for replacement in &replacements {
        replace(disk, replacement).map_err(|error| {
            Failure::failed(format!(
                "can't repair {} ({error}): mend that and run it again, nothing more is lost",
                replacement.file.name
            ))
        })?;
        console.say(format_args!("repaired {}; the original is in {DAMAGED_DIR}", replacement.file.name));
    }
    if survey.faults.contains(&Fault::Lease) {
        keep(disk, lease::NAME).map_err(Failure::failed)?;
    }
    if let Some(made) = block_on(make_lease(disk, &survey)).map_err(Failure::failed)? {
        console.say(format_args!("made a new lease: numbers go on behind {}", made.through));
    }
    console.say("clients that resume are told of the lost events as a gap");
    audit::record(data_dir, &repaired(&survey, &replacements))
}

/// A repair, as the audit log tells it.
fn repaired(survey: &Survey, replacements: &[Replacement<'_>]) -> Act {
    let files = replacements.iter().map(|replacement| replacement.file.name.as_str());
    let lost = lost(survey).map(|(from, to)| format!("{from} to {to}"));
    let detail = json!({ "files": named(files), "lost": named(lost), "lease": survey.faults.contains(&Fault::Lease) });
    Act::new(Action::JournalRepair, JOURNAL_DIR, detail)
}

/// The ranges of lost numbers.
fn lost(survey: &Survey) -> impl Iterator<Item = (u64, u64)> {
    survey.faults.iter().filter_map(|fault| match *fault {
        Fault::Damage { from, to, .. } if from <= to => Some((from, to)),
        _ => None,
    })
}

/// Each range of lost numbers, a line: what a script may want.
fn tell_lost(survey: &Survey, console: &mut Console<'_>) -> Result<(), Failure> {
    let mut any = false;
    for (from, to) in lost(survey) {
        any = true;
        console.value(format_args!("lost {from} {to}"))?;
    }
    if !any {
        console.say("no event is lost");
    }
    Ok(())
}

fn replace(disk: &BlockingDisk, replacement: &Replacement<'_>) -> io::Result<()> {
    keep(disk, &replacement.file.name)?;
    block_on(replacement.carry_out(disk))
}

/// Gives a file a second name among the damaged ones.
fn keep(disk: &BlockingDisk, name: &str) -> io::Result<()> {
    let directory = disk.path().join(DAMAGED_DIR);
    DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    fs::hard_link(disk.path().join(name), free_name(&directory, name))?;
    File::open(&directory)?.sync_all()?;
    File::open(disk.path())?.sync_all()
}

/// The file's own name, unless an earlier repair took it.
fn free_name(directory: &Path, name: &str) -> PathBuf {
    let later = (2..).map(|nth| directory.join(format!("{name}.{nth}")));
    let mut names = [directory.join(name)].into_iter().chain(later);
    names.find(|path| !path.exists()).expect("some number is free")
}
