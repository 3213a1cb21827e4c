//! `stentor doctor`: examines this machine and says what is short, what it costs and how to mend it.

use std::path::Path;

use super::Failure;
use super::console::Console;
use crate::doctor::{Colour, Host, Needs, Report, examine, sysctl_file};
use crate::limits::DOCTOR_SOCKETS_MAX;

/// Examine this machine: kernel, io_uring, limits and sysctls, with the remedy for what is short
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How many sockets the machine is to hold
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=DOCTOR_SOCKETS_MAX))]
    pub sockets: u64,
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,
    /// Print a file for /etc/sysctl.d instead: what such a machine has to set, and why
    #[arg(long, conflicts_with = "json")]
    pub sysctl: bool,
}

/// Prints the report, or the file, to stdout; fails (exit code 1) where a check is bad.
pub fn run(arguments: &Arguments, data_dir: &Path) -> Result<(), Failure> {
    let host = Host::this(data_dir).map_err(Failure::failed)?;
    let needs = Needs { sockets: arguments.sockets };
    if arguments.sysctl {
        return print(&sysctl_file(&host, needs));
    }
    let report = Report::new(needs, examine(&host, needs));
    print(&if arguments.json { report.json() + "\n" } else { report.table(Colour::of_stdout()) })?;
    if report.bad > 0 {
        return Err(Failure::Failed("mend what is marked bad, then run `stentor doctor` again".to_owned()));
    }
    Ok(())
}

fn print(text: &str) -> Result<(), Failure> {
    Console::of_process(|console| console.text(text))
}
