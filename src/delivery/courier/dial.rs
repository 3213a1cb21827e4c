//! How ureq gets a connection: from those that were kept, or a new one to an address that the guard let pass. TCP and rustls, and
//! nothing else: no proxy, no SOCKS.
//!
//! ureq decides whether a connection is fit for another request (framing, `Connection: close`, the whole body was read), and its way
//! of saying so is to ask whether it is open, before it would put it in its own pool. That pool has no room here, so what it drops
//! comes back: [`Carried`] goes into [`Idle`] if the question was the last thing that ureq did with it.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Uri;
use ureq::Error;
use ureq::config::Config;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration as Patience;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, RustlsConnector, Transport};

use super::idle::{Host, Idle, Parked};
use super::wire::{ConnectError, Wire};
use crate::accounts::AccountId;
use crate::clock::{self, Nanos};
use crate::delivery::guard::GuardedResolver;
use crate::limits;

const NANOS_PER_MS: Nanos = 1_000_000;

thread_local! {
    /// Whose attempt this thread makes. ureq makes an attempt on one thread, and has no place of its own in which that could be told
    /// to its resolver, which gets the URL alone.
    static ON_BEHALF_OF: Cell<Option<AccountId>> = const { Cell::new(None) };
}

/// Whatever names ureq looks up in `work`, it does for this account.
pub(super) fn on_behalf_of<T>(account: AccountId, work: impl FnOnce() -> T) -> T {
    ON_BEHALF_OF.set(Some(account));
    let done = work();
    ON_BEHALF_OF.set(None);
    done
}

/// The guard, as ureq's resolver. It asks at every attempt, whether or not a connection is there.
#[derive(Debug)]
pub(super) struct Guarded(pub(super) Arc<GuardedResolver>);

impl Resolver for Guarded {
    fn resolve(&self, uri: &Uri, _: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let patience = match timeout.after {
            Patience::Exact(after) => after,
            Patience::NotHappening => Duration::MAX,
        };
        let account = ON_BEHALF_OF.get().expect("every attempt is somebody's");
        let (host, port) = host_and_port(uri);
        let found = self.0.resolve(account, host, port, patience).map_err(|error| Error::Other(Box::new(error)))?;
        let mut addresses = self.empty();
        found.into_iter().take(limits::NAME_ADDRESSES_MAX).for_each(|address| addresses.push(address));
        Ok(addresses)
    }
}

/// Of an absolute URI, which ureq has made sure of.
pub(super) fn host_and_port(uri: &Uri) -> (&str, u16) {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(default))
}

/// A connection as ureq talks to it: in the clear or in TLS.
pub(super) type Line = <RustlsConnector as Connector<Wire>>::Out;

/// Makes connections, or finds them.
#[derive(Debug)]
pub(super) struct Dial {
    idle: Arc<Idle>,
    tls: RustlsConnector,
}

impl Dial {
    pub(super) fn new(idle: Arc<Idle>) -> Self {
        Self { idle, tls: RustlsConnector::default() }
    }
}

impl Connector for Dial {
    type Out = Carried;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Carried>, Error> {
        let host = Host::of(details.uri).ok_or_else(|| Error::BadUri(details.uri.to_string()))?;
        let found = self.idle.take(&host, &details.addrs, details.config.max_idle_age());
        let carried = |parked, reused| {
            let idle = self.idle.clone();
            Some(Carried { parked: Some(parked), host, idle, reused, begun: clock::now(), received: 0, is_fit: false })
        };
        if let Some(parked) = found {
            return Ok(carried(parked, true));
        }
        let wire = Wire::connect(&details.addrs, details.timeout).map_err(|error| match error {
            ConnectError::Timeout(reason) => Error::Timeout(reason),
            ConnectError::Io(error) => Fault::Connect(error).into(),
        })?;
        let peer = wire.peer();
        let line = self.tls.connect(details, Some(wire)).map_err(|error| match error {
            Error::Timeout(reason) => Error::Timeout(reason),
            error => Fault::Handshake(error).into(),
        })?;
        Ok(line.and_then(|line| carried(Parked { line, peer }, false)))
    }
}

/// A connection that serves one request, and goes back among the idle ones if it is fit for another.
pub(super) struct Carried {
    /// There until the end.
    parked: Option<Parked>,
    host: Host,
    idle: Arc<Idle>,
    /// It has served another request before this one.
    reused: bool,
    /// When this request began.
    begun: Nanos,
    /// Bytes of this request's answer.
    received: u64,
    /// ureq asked whether it is open, and did nothing with it since.
    is_fit: bool,
}

impl Carried {
    fn line(&mut self) -> &mut Line {
        self.is_fit = false;
        &mut self.parked.as_mut().expect("there until the end").line
    }

    /// The endpoint may close a connection at the moment in which it is used again. Nobody is to blame for that, and most likely nobody
    /// has read the request. What fails later was perhaps read, and worked on for some time.
    fn is_stale(&self) -> bool {
        let is_soon = clock::now().saturating_sub(self.begun) < limits::STALE_MS_MAX * NANOS_PER_MS;
        self.reused && self.received == 0 && is_soon
    }

    fn told(&self, error: Error) -> Error {
        match error {
            Error::Timeout(reason) => Error::Timeout(reason),
            _ if self.is_stale() => Fault::Stale.into(),
            error => error,
        }
    }
}

impl Transport for Carried {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.line().buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.line().transmit_output(amount, timeout).map_err(|error| self.told(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        if self.received > limits::ANSWER_HEAD_BYTES_MAX as u64 + limits::ANSWER_BODY_BYTES_MAX {
            return Err(Fault::TooMuch.into());
        }
        let line = self.line();
        let before = line.buffers().input().len();
        let progress = line.await_input(timeout).map_err(|error| self.told(error))?;
        let after = self.line().buffers().input().len();
        self.received += after.saturating_sub(before) as u64;
        match progress {
            false if self.is_stale() => Err(Fault::Stale.into()),
            progress => Ok(progress),
        }
    }

    fn is_open(&mut self) -> bool {
        self.is_fit = true;
        true
    }

    fn is_tls(&self) -> bool {
        self.parked.as_ref().is_some_and(|parked| parked.line.is_tls())
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if let Some(parked) = self.parked.take_if(|_| self.is_fit) {
            self.idle.keep(self.host.clone(), parked, Instant::now());
        }
    }
}

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carried").field("parked", &self.parked).finish_non_exhaustive()
    }
}

/// What goes wrong here, on its way through ureq.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no TLS: {0}")]
    Handshake(Error),
    #[error("a kept connection was closed at the moment of its use")]
    Stale,
    #[error("the answer does not end")]
    TooMuch,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Other(Box::new(fault))
    }
}

/// The endpoint closed a kept connection at the moment of its use and has said nothing about this request: it can be sent again at
/// once.
pub(super) fn is_stale(error: &Error) -> bool {
    matches!(error, Error::Other(fault) if matches!(fault.downcast_ref(), Some(Fault::Stale)))
}
