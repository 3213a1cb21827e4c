//! The `stentor` command.

use std::process::ExitCode;

use clap::Parser;
use stentor::cli::Command;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Command::parse();
    match command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("stentor: {failure}");
            failure.exit_code()
        }
    }
}
