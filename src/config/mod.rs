//! The configuration: what is said on the command line and in `stentor.toml`, and what holds where neither says anything.
//!
//! ```text
//!   defaults ──▶ stentor.toml ──▶ File ──┐
//!                    ▲                   ├──▶ Config::resolve ──▶ Config ──▶ the server
//!   sections ────────┤    flags ─────────┘    flag, file, default     │
//!   (the table of    │                                                ▼
//!    all keys)       └─────────────────────────────▶ commented TOML (--print-config)
//! ```
//!
//! Invariants:
//! * Only a file that was named is read: where a server is started from changes nothing.
//! * A file is taken whole or refused, with the line and the remedy. Nothing in it is passed over.
//! * A key is described once, in `sections`: reading, suggestions and `--print-config` go by that.
//! * What `--print-config` prints is a file that gives the same configuration, but for `jwt.secret`: a secret is not shown,
//!   and has to be put back by whoever knows it.

mod error;
mod file;
mod origin;
mod print;
mod reload;
mod sections;
mod value;

pub use error::{ConfigError, Fault};
pub use file::File;
pub use print::NotPrintable;
pub use reload::{Change, Changes, Reloads};

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::logging::{LogFormat, LogLevel};
use crate::plan::CpuList;
use crate::server::ServerOptions;
use crate::tls::TlsFiles;

/// Where the server listens unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5001);

/// Where every subcommand finds the server's data unless told otherwise, from the working directory.
pub const DEFAULT_DATA_DIR: &str = "./stentor-data";

/// What the flags say. Absent: they leave that to the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSettings {
    pub listen: Option<SocketAddr>,
    pub data_dir: Option<PathBuf>,
    pub shards: Option<usize>,
    pub cpus: Option<CpuList>,
    pub delivery_cpu: Option<usize>,
    pub tls: TlsFiles,
    pub drain_seconds: Option<u32>,
    pub log_format: Option<LogFormat>,
    pub log_level: Option<LogLevel>,
}

/// The configuration in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    pub server: ServerOptions,
}

impl Config {
    /// Flags override the file, and the file the defaults.
    pub fn resolve(flags: ServerSettings, file: File) -> Self {
        let mut server = file.server;
        let ServerSettings { listen, data_dir, shards, cpus, delivery_cpu, tls, drain_seconds, log_format, log_level } =
            flags;
        server.listen = listen.unwrap_or(server.listen);
        server.data_dir = data_dir.unwrap_or(server.data_dir);
        server.wishes.shards = shards.or(server.wishes.shards);
        server.wishes.cpus = cpus.or(server.wishes.cpus);
        server.wishes.delivery_cpu = delivery_cpu.or(server.wishes.delivery_cpu);
        server.tls.cert = tls.cert.or(server.tls.cert);
        server.tls.key = tls.key.or(server.tls.key);
        server.drain.drain_ms = drain_seconds.map_or(server.drain.drain_ms, |seconds| seconds * 1_000);
        server.log.format = log_format.unwrap_or(server.log.format);
        server.log.level = log_level.unwrap_or(server.log.level);
        Self { server }
    }

    /// Takes back what a reload did not put into force: it stays as it was `before`, and is told again when it is read again.
    pub fn keep_what_waits(&mut self, before: Self) {
        let now = &mut self.server;
        let was = before.server;
        (now.listen, now.data_dir, now.wishes) = (was.listen, was.data_dir, was.wishes);
        (now.journal, now.tokens, now.log.format) = (was.journal, was.tokens, was.log.format);
        (now.tls, now.scrapers) = (was.tls, was.scrapers);
        let webhooks = std::mem::replace(&mut now.webhooks, was.webhooks);
        now.webhooks.follow(webhooks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Wishes;

    fn flags(number: u16) -> ServerSettings {
        ServerSettings {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], number))),
            data_dir: Some(format!("/data/{number}").into()),
            shards: Some(number.into()),
            cpus: CpuList::of([number.into()]),
            delivery_cpu: Some(number.into()),
            tls: TlsFiles { cert: Some(format!("{number}.pem").into()), key: Some(format!("{number}.key").into()) },
            drain_seconds: Some(number.into()),
            log_format: Some(LogFormat::Json),
            log_level: Some(format!("info,a{number}=warn").parse().expect("a level")),
        }
    }

    /// What says the same as `flags(number)`.
    fn file(number: u16) -> File {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{number}\"\ndata_dir = \"/data/{number}\"\nshards = {number}\ncpus = \"{number}\"\n\
             delivery_cpu = {number}\ndrain_seconds = {number}\n[tls]\ncert = \"{number}.pem\"\nkey = \"{number}.key\"\n[log]\nformat = \"json\"\nlevel = \"info,a{number}=warn\""
        );
        File::parse(text.as_bytes()).expect(&text)
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let resolve = |flags, file| Config::resolve(flags, file).server;
        let (no_flags, no_file) = (ServerSettings::default, File::default);
        let default = resolve(no_flags(), no_file());
        assert_eq!((default.listen.to_string().as_str(), default.wishes), ("127.0.0.1:5001", Wishes::default()));
        assert_eq!(default.data_dir, PathBuf::from("./stentor-data"));
        assert_eq!(resolve(no_flags(), file(2)), resolve(flags(2), no_file()));
        assert_eq!(resolve(flags(1), file(2)), resolve(flags(1), no_file()));
        let one_flag = resolve(ServerSettings { shards: Some(1), ..no_flags() }, file(2));
        assert_eq!(
            (one_flag.wishes.shards, one_flag.wishes.delivery_cpu, one_flag.listen.port()),
            (Some(1), Some(2), 2)
        );
    }
}
