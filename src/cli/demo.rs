//! `stentor demo`: the whole server with a made-up market.

use std::path::Path;

use super::Failure;
use super::serve::{ServerArgs, shut_down};
use super::stop::Stop;
use crate::config::{Config, File};
use crate::demo::{DemoAccount, Generator, StatusLine, welcome};
use crate::gate::Network;
use crate::limits::DEMO_RATE_EVENTS_PER_S_MAX;
use crate::logging::Log;
use crate::server::Server;

#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Made-up events a second, of all protocols together
    #[arg(long, value_name = "EVENTS", default_value_t = 5.0, value_parser = rate)]
    rate: f64,
    /// Seed of the market: the same seed makes up the same story
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl DemoArgs {
    pub fn run(self, data_dir: &Path) -> Result<(), Failure> {
        let stop = Stop::catch()?;
        let generator = Generator::new(self.seed, self.rate);
        let mut flags = self.server.settings(Some(data_dir.to_owned()))?;
        // Whoever ends a demo does not wait for those who watch it.
        flags.drain_seconds.get_or_insert(0);
        let mut config = Config::resolve(flags, File::default());
        let log = Log::start(&config.server.log);
        // The receivers that are about to be pasted run on this machine.
        config.server.webhooks.allow = vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6];
        // Before the server: its first snapshot then has the keys that are about to be pasted.
        let account =
            DemoAccount::open(data_dir, generator.wallets(), &config.server.tokens).map_err(Failure::failed)?;
        let server = Server::start(config.server).map_err(Failure::failed)?;
        stop.server_runs();
        eprintln!("{}\n", server.plan);
        print!("{}", welcome(server.address, &account, generator.bot_wallet()));
        let generating = generator.start(server.hub()).map_err(Failure::failed)?;
        let showing = StatusLine::start(server.watch()).map_err(Failure::failed)?;
        stop.wait(|| {});
        drop((generating, showing));
        shut_down(server, &log)
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= DEMO_RATE_EVENTS_PER_S_MAX => Ok(rate),
        _ => Err(format!("a rate is a number above 0 and at most {DEMO_RATE_EVENTS_PER_S_MAX}")),
    }
}
