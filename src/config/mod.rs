//! The configuration: what is said on the command line and in `stentor.toml`, and what holds where neither says anything.
//!
//! ```text
//!   flags ───────────────▶ ServerSettings ──┐
//!                                           ├──▶ Config::resolve ──▶ Config ──▶ the server
//!   stentor.toml ──▶ File ▶ ServerSettings ─┘    flag, file, default     └────▶ commented TOML (--print-config)
//! ```
//!
//! Invariants:
//! * Only a file that was named is read: where a server is started from changes nothing.
//! * A file is taken whole or refused, with the line and the remedy. Nothing in it is passed over.
//! * What `--print-config` prints is a file that gives the same configuration.

mod error;
mod file;
mod print;

pub use error::{ConfigError, Fault};
pub use file::File;
pub use print::NotPrintable;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::gate::Policy;
use crate::plan::{CpuList, Wishes};
use crate::protocol::SessionRules;
use crate::server::ServerOptions;
use crate::tokens::TokenSettings;

/// Where the server listens unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);

/// Where every subcommand finds the server's data unless told otherwise, from the working directory.
pub const DEFAULT_DATA_DIR: &str = "./stentor-data";

/// What one source, the flags or the file's `[server]`, says. Absent: it leaves that to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    pub listen: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
    pub shards: Option<usize>,
    pub cpus: Option<CpuList>,
    pub delivery_cpu: Option<usize>,
}

impl ServerSettings {
    /// These, and `others` where these say nothing.
    fn or(self, others: Self) -> Self {
        Self {
            listen: self.listen.or(others.listen),
            data_dir: self.data_dir.or(others.data_dir),
            shards: self.shards.or(others.shards),
            cpus: self.cpus.or(others.cpus),
            delivery_cpu: self.delivery_cpu.or(others.delivery_cpu),
        }
    }
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub server: ServerOptions,
}

impl Config {
    /// Flags override the file, and the file the defaults.
    pub fn resolve(flags: ServerSettings, file: File) -> Self {
        let ServerSettings { listen, data_dir, shards, cpus, delivery_cpu } = flags.or(file.server);
        let server = ServerOptions {
            listen: listen.unwrap_or(DEFAULT_LISTEN),
            data_dir: data_dir.unwrap_or_else(|| DEFAULT_DATA_DIR.into()),
            wishes: Wishes { shards, cpus, delivery_cpu },
            policy: Policy::default(),
            rules: SessionRules::default(),
            tokens: TokenSettings::default(),
        };
        Self { server }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(port: u16) -> ServerSettings {
        ServerSettings {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], port))),
            data_dir: Some(format!("/data/{port}").into()),
            shards: Some(port.into()),
            cpus: CpuList::of([port.into()]),
            delivery_cpu: Some(port.into()),
        }
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let resolve = |flags, server| Config::resolve(flags, File { server }).server;
        let nothing = ServerSettings::default;
        let default = resolve(nothing(), nothing());
        assert_eq!((default.listen.to_string().as_str(), default.wishes), ("127.0.0.1:5001", Wishes::default()));
        assert_eq!(default.data_dir, PathBuf::from("./stentor-data"));
        assert_eq!(resolve(nothing(), settings(2)), resolve(settings(2), nothing()));
        assert_eq!(resolve(settings(1), settings(2)), resolve(settings(1), nothing()));
        let one_flag = resolve(ServerSettings { shards: Some(1), ..nothing() }, settings(2));
        assert_eq!(
            (one_flag.wishes.shards, one_flag.wishes.delivery_cpu, one_flag.listen.port()),
            (Some(1), Some(2), 2)
        );
    }
}
