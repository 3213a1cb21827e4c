//! `stentor serve`: the server, until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Failure;
use super::console::Console;
use super::stop::Stop;
use super::supervisor;
use crate::config::{Changes, Config, ConfigError, File, ServerSettings};
use crate::limits::CONFIGURED_DRAIN_S_MAX;
use crate::logging::{Log, LogFormat, LogLevel};
use crate::plan::CpuList;
use crate::server::Server;
use crate::tls::TlsFiles;

#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Configuration file, which flags override. None is read unless it is named here, not even ./stentor.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the configuration that flags and file come to, as a commented file, and end
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    tls: TlsArgs,
}

/// With what the server identifies itself.
#[derive(Clone, Debug, clap::Args)]
pub struct TlsArgs {
    /// Speak https and wss, with this certificate and its chain (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// Where the server listens and which CPUs it uses; shared by `serve` and `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// Address to listen on [default: 127.0.0.1:5001]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Shards: one a CPU by default; more hold more sockets where RLIMIT_NOFILE is low
    #[arg(long, value_name = "N")]
    pub shards: Option<usize>,
    /// CPUs to use, such as 0-3,6
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<CpuList>,
    /// CPU for everything outbound that blocks: accounts, webhooks
    #[arg(long, value_name = "N")]
    pub delivery_cpu: Option<usize>,
    /// Over how long sessions are closed at a stop, in seconds; 0: all at once [default: 10, for a demo 0]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(..=i64::from(CONFIGURED_DRAIN_S_MAX)))]
    pub drain_seconds: Option<u32>,
    /// What the log looks like: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// How much is logged: error, warn, info, debug or trace, or by part, such as info,stentor::delivery=debug.
    /// It wins over RUST_LOG, and that over the configuration file [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
}

impl ServeArgs {
    pub fn run(self, data_dir: Option<PathBuf>) -> Result<(), Failure> {
        let print_config = self.print_config;
        let tls = TlsFiles { cert: self.tls.tls_cert, key: self.tls.tls_key };
        let flags = ServerSettings { tls, ..self.server.settings(data_dir)? };
        let source = Source { file: self.config, flags };
        let mut config = source.read().map_err(|error| Failure::Usage(error.to_string()))?;
        if print_config {
            let text = config.to_toml().map_err(Failure::failed)?;
            return Console::of_process(|console| console.value(text.trim_end()));
        }
        let log = Log::start(&config.server.log);
        let stop = Stop::catch()?;
        stop.catch_reload()?;
        let data_dir = config.server.data_dir.clone();
        let mut server = Server::start(config.server.clone()).map_err(Failure::failed)?;
        stop.server_runs();
        let over_tls = if server.tls().is_some() { ", over TLS" } else { "" };
        log.announce(format_args!("stentor listens on {}, data in {}{over_tls}", server.address, data_dir.display()));
        log.announce(&server.plan);
        tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %server.address, "the server runs");
        supervisor::serves();
        stop.wait(|| reload(&source, &mut config, &mut server, &log));
        supervisor::stops(server.drain_seconds());
        shut_down(server, &log)
    }
}

/// Where the configuration comes from, each time that it is read.
struct Source {
    file: Option<PathBuf>,
    flags: ServerSettings,
}

impl Source {
    fn read(&self) -> Result<Config, ConfigError> {
        let file = self.file.as_deref().map(File::read).transpose()?;
        Ok(Config::resolve(self.flags.clone(), file.unwrap_or_default()))
    }
}

/// Reads the configuration again, puts into force what can be, and tells of the rest that it has to wait. A file that is refused changes
/// nothing.
fn reload(source: &Source, config: &mut Config, server: &mut Server, log: &Log) {
    let mut next = match source.read() {
        Ok(next) => next,
        Err(error) => return tracing::error!("nothing was reloaded: {error}"),
    };
    log.set_level(&next.server.log.level);
    let changes = Changes::between(config, &next);
    for change in changes.iter() {
        match change.is_live {
            true => tracing::info!("{change}"),
            false => tracing::warn!("{change}"),
        }
    }
    server.follow(&next.server);
    server.record_reload(&changes);
    tracing::info!(changes = changes.iter().count(), "the configuration was read again");
    // What has to wait still differs the next time.
    std::mem::swap(config, &mut next);
    config.keep_what_waits(next);
}

/// Ends the server in order. A second signal ends it at once.
pub(super) fn shut_down(server: Server, log: &Log) -> Result<(), Failure> {
    let sockets = server.watch().totals().sockets;
    let over = match server.drain_seconds() {
        0 => String::new(),
        seconds => format!(" over {seconds} s"),
    };
    log.announce(format_args!("stopping: closing {sockets} sockets{over} (once more to stop at once)"));
    server.shut_down().map_err(Failure::failed)
}

impl ServerArgs {
    /// What the flags say, and RUST_LOG where no flag says how much is logged.
    pub(super) fn settings(self, data_dir: Option<PathBuf>) -> Result<ServerSettings, Failure> {
        let Self { listen, shards, cpus, delivery_cpu, drain_seconds, log_format, log_level } = self;
        let log_level = match log_level {
            Some(level) => Some(level),
            None => of_environment()?,
        };
        let tls = TlsFiles::default();
        Ok(ServerSettings { listen, data_dir, shards, cpus, delivery_cpu, tls, drain_seconds, log_format, log_level })
    }
}

fn of_environment() -> Result<Option<LogLevel>, Failure> {
    let Some(text) = std::env::var_os("RUST_LOG").filter(|text| !text.is_empty()) else { return Ok(None) };
    let level = text.to_string_lossy().parse();
    level.map(Some).map_err(|error| Failure::Usage(format!("RUST_LOG: {error}")))
}
