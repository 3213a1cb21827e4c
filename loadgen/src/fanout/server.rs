//! Which server is loaded: where its sockets connect, and where events are published.

use std::path::PathBuf;

use clap::Args;

use super::opening::Opening;
use super::run::Server;
use crate::args::UsageError;
use crate::publisher::{BurstAs, Outlet};
use crate::target::Target;

#[derive(Clone, Debug, Args)]
pub struct ServerArguments {
    /// Where the sockets connect, such as ws://127.0.0.1:5001/ws/alerts?apiKey=KEY
    #[arg(long, visible_alias = "subscribe", conflicts_with = "host")]
    pub url: Option<String>,
    /// The server, where everything is at Stentor's usual paths
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001")]
    pub host: String,
    /// The subscribers' key, put into the URL as apiKey
    #[arg(long)]
    pub key: Option<String>,
    /// Where events are posted [default: http://HOST/api/events, or https]
    #[arg(long, value_name = "URL")]
    pub publish: Option<String>,
    /// The publisher's key, sent as X-API-Key
    #[arg(long)]
    pub publish_key: Option<String>,
    /// The authority that vouches for a server with TLS (wss://, https://), a PEM file; with it the usual paths are TLS. Without it the
    /// system's authorities count
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// The server's process, to tell its memory and CPU time
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Let the load go to another machine
    #[arg(long)]
    pub allow_remote: bool,
}

impl ServerArguments {
    /// With sockets of the watchlist protocol, or whatever listens at `--url`.
    pub fn server(&self, burst_as: BurstAs) -> Result<Server, UsageError> {
        let mut opening = Opening::plain(self.subscribe()?);
        opening.is_faithful = self.url.is_none();
        let (outlet, pid) = (self.outlet(burst_as)?, self.server_pid);
        Ok(Server { name: "server".to_owned(), openings: vec![opening], outlet, pid })
    }

    pub fn subscribe(&self) -> Result<Target, UsageError> {
        let scheme = if self.ca.is_some() { "wss" } else { "ws" };
        let default_url = format!("{scheme}://{}/ws/alerts", self.host);
        let mut subscribe = Target::parse_any(self.url.as_deref().unwrap_or(&default_url), "ws", self.ca.as_deref())?;
        if let Some(key) = &self.key {
            subscribe = subscribe.with_query("apiKey", key);
        }
        subscribe.check_local(self.allow_remote)?;
        Ok(subscribe)
    }

    fn outlet(&self, burst_as: BurstAs) -> Result<Outlet, UsageError> {
        let subscribe = self.subscribe()?;
        let scheme = if subscribe.trust.is_some() { "https" } else { "http" };
        let default_publish = format!("{scheme}://{}/api/events", subscribe.authority());
        let publish = self.publish.as_deref().unwrap_or(&default_publish);
        let target = Target::parse_any(publish, "http", self.ca.as_deref())?;
        target.check_local(self.allow_remote)?;
        Ok(Outlet::Http { target, key: self.publish_key.clone(), burst_as })
    }
}
