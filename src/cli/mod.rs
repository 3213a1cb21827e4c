//! The command line: one file a subcommand. Values that a script wants go to stdout, words to stderr.

mod account;
mod address;
mod audit;
mod backup;
mod completions;
mod console;
mod demo;
mod doctor;
mod health;
mod journal;
mod key;
mod plan;
mod publish;
mod restore;
mod serve;
mod stop;
mod supervisor;
mod token;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::DEFAULT_DATA_DIR;
use crate::logging::{Log, LogOptions};

/// Stentor, an alert-stream server: events in, WebSocket fan-out to hundreds of thousands of sockets
#[derive(Debug, clap::Parser)]
#[command(name = "stentor", version)]
pub struct Command {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(subcommand)]
    subcommand: Subcommand,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Run the whole server with a made-up market and demo keys, ready to paste
    Demo(demo::DemoArgs),
    /// Run the server
    Serve(serve::ServeArgs),
    /// Create, list, change and delete accounts, and their watchlists
    Account(account::AccountArgs),
    /// Create, list and revoke API keys
    Key(key::KeyArgs),
    /// Make tokens for the rooms protocol
    Token(token::TokenArgs),
    /// Print who changed what and when
    Audit(audit::AuditArgs),
    /// Check, repair and print the journal of all events
    Journal(journal::JournalArgs),
    /// Copy the data of a server that runs, or does not
    Backup(backup::BackupArgs),
    /// Make a data directory of a backup
    Restore(restore::RestoreArgs),
    Publish(publish::Arguments),
    Doctor(doctor::Arguments),
    Plan(plan::Arguments),
    Health(health::HealthArgs),
    Completions(completions::CompletionsArgs),
}

impl Command {
    pub fn run(self) -> Result<(), Failure> {
        let data_dir = &self.data_dir;
        if !matches!(self.subcommand, Subcommand::Serve(_) | Subcommand::Demo(_)) {
            // The server's has a configuration.
            Log::start(&LogOptions::default());
        }
        match self.subcommand {
            Subcommand::Demo(arguments) => arguments.run(data_dir.path()),
            Subcommand::Serve(arguments) => arguments.run(data_dir.data_dir.clone()),
            Subcommand::Account(arguments) => arguments.run(data_dir.path()),
            Subcommand::Key(arguments) => arguments.run(data_dir.path()),
            Subcommand::Token(arguments) => arguments.run(data_dir.data_dir.clone()),
            Subcommand::Audit(arguments) => arguments.run(data_dir.path()),
            Subcommand::Journal(arguments) => arguments.run(data_dir.path()),
            Subcommand::Backup(arguments) => arguments.run(data_dir.path()),
            Subcommand::Restore(arguments) => arguments.run(data_dir.path()),
            Subcommand::Publish(arguments) => publish::run(&arguments),
            Subcommand::Doctor(arguments) => doctor::run(&arguments, data_dir.path()),
            Subcommand::Plan(arguments) => plan::run(&arguments),
            Subcommand::Health(arguments) => arguments.run(),
            Subcommand::Completions(arguments) => arguments.run(),
        }
    }
}

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
    /// The server's data directory (accounts, keys, journal) [default: ./stentor-data]
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl DataDir {
    /// What was asked for, or the default. `serve` has a configuration file between the two.
    fn path(&self) -> &Path {
        self.data_dir.as_deref().unwrap_or(Path::new(DEFAULT_DATA_DIR))
    }
}
