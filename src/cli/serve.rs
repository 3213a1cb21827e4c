//! `stentor serve`: the server, until it is told to stop.

use std::net::SocketAddr;
use std::path::Path;

use super::Failure;
use super::stop::Stop;
use crate::plan::{CpuList, Wishes};
use crate::server::{Server, ServerOptions};

/// Where the server listens and which CPUs it uses; shared by `serve` and `demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5001")]
    pub listen: SocketAddr,
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
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        let stop = Stop::catch()?;
        let server = self.start(data_dir)?;
        stop.server_runs();
        eprintln!("stentor listens on {}, data in {}", server.address, data_dir.display());
        eprintln!("{}", server.plan);
        stop.wait(&server);
        server.shut_down();
        Ok(())
    }

    pub(super) fn start(self, data_dir: &Path) -> Result<Server, Failure> {
        let wishes = Wishes { shards: self.shards, cpus: self.cpus, delivery_cpu: self.delivery_cpu };
        let options = ServerOptions { listen: self.listen, data_dir: data_dir.to_owned(), wishes };
        Server::start(options).map_err(Failure::failed)
    }
}
