//! `stentor serve`: the server, until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::Failure;
use super::console::Console;
use super::stop::Stop;
use crate::config::{Config, File, ServerSettings};
use crate::plan::CpuList;
use crate::server::Server;

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
}

impl ServeArgs {
    pub fn run(self, data_dir: Option<PathBuf>) -> Result<(), Failure> {
        let file = match &self.config {
            Some(path) => File::read(path).map_err(|error| Failure::Usage(error.to_string()))?,
            None => File::default(),
        };
        let config = Config::resolve(self.server.settings(data_dir), file);
        if self.print_config {
            let text = config.to_toml().map_err(Failure::failed)?;
            return Console::of_process(|console| console.value(text.trim_end()));
        }
        let stop = Stop::catch()?;
        let data_dir = config.server.data_dir.clone();
        let server = Server::start(config.server).map_err(Failure::failed)?;
        stop.server_runs();
        eprintln!("stentor listens on {}, data in {}", server.address, data_dir.display());
        eprintln!("{}", server.plan);
        stop.wait(&server);
        server.shut_down().map_err(Failure::failed)
    }
}

impl ServerArgs {
    pub(super) fn settings(self, data_dir: Option<PathBuf>) -> ServerSettings {
        let Self { listen, shards, cpus, delivery_cpu } = self;
        ServerSettings { listen, data_dir, shards, cpus, delivery_cpu }
    }
}
