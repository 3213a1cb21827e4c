//! The resolver that ureq connects by: names are looked up, every address is looked at, and only these are connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Allowed, GuardRefusal};

/// Where the addresses of a name come from.
pub trait Names: std::fmt::Debug + Send + Sync + 'static {
    fn look_up(&self, host: &str, patience: Duration) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver (getaddrinfo(3)).
#[derive(Debug, Default)]
pub struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, _host: &str, _patience: Duration) -> io::Result<Vec<IpAddr>> {
        todo!()
    }
}

/// Why a host leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error(transparent)]
    Refused(#[from] GuardRefusal),
    #[error("the name {name} has no address ({reason})")]
    NoAddress { name: String, reason: String },
    #[error("the name {name} could not be looked up in time")]
    Timeout { name: String },
}

/// Names that were looked up lately, and what of their addresses may be reached.
#[derive(Debug)]
pub struct GuardedResolver {}

impl GuardedResolver {
    pub fn new(_names: Arc<dyn Names>, _allowed: Allowed) -> Self {
        todo!()
    }

    /// The addresses to connect to, each of which may be reached; at least one. `host` is as in a URL: a name, an IPv4 address, or an
    /// IPv6 address in brackets. One address that may not be reached refuses the whole name.
    pub fn resolve(&self, _host: &str, _port: u16, _patience: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
        todo!()
    }
}
