//! The command line: one file a subcommand. Values that a script wants go to stdout, words to stderr.

pub mod account;
mod console;
pub mod key;

use std::path::PathBuf;
use std::process::ExitCode;

/// Why a subcommand did not do what it was asked; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was tried and failed: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// It was asked for wrongly: exit code 2, as clap's own errors.
    #[error("{0}")]
    Usage(String),
}

impl Failure {
    pub fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Failed(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
        }
    }
}

/// Where every subcommand finds the server's data.
#[derive(Clone, Debug, clap::Args)]
pub struct DataDir {
    /// The server's data directory (accounts, keys, journal)
    #[arg(long, value_name = "DIR", default_value = "./stentor-data", global = true)]
    pub data_dir: PathBuf,
}
