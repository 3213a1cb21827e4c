//! `stentor doctor`: examines this machine and says what is short, what it costs and how to mend it.

use std::io::{self, Write};
use std::path::Path;

use super::Failure;
use crate::doctor::{Colour, Host, Needs, Report, examine};
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
}

/// Prints the report to stdout; fails (exit code 1) where a check is bad.
pub fn run(arguments: &Arguments, data_dir: &Path) -> Result<(), Failure> {
    let host = Host::this(data_dir).map_err(Failure::failed)?;
    let needs = Needs { sockets: arguments.sockets };
    let report = Report::new(needs, examine(&host, needs));
    let text = if arguments.json { report.json() + "\n" } else { report.table(Colour::of_stdout()) };
    match io::stdout().lock().write_all(text.as_bytes()) {
        // `stentor doctor | head` has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::failed(error)),
        _ => {}
    }
    if report.bad > 0 {
        return Err(Failure::Failed("mend what is marked bad, then run `stentor doctor` again".to_owned()));
    }
    Ok(())
}
