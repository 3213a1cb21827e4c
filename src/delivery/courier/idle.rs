//! Connections that wait for the next delivery to their host.
//!
//! The last one that was put down is taken first, so that those that are not needed grow old together. A look costs one host, however
//! many there are. They are closed once they are old: when another is put down, and by whoever looks once in a while.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::Authority;
use ureq::unversioned::transport::Transport;

use super::dial::Line;
use crate::limits;

/// What two requests must have in common to share a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Host {
    is_tls: bool,
    authority: Authority,
}

impl Host {
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        Some(Self { is_tls: uri.scheme_str() == Some("https"), authority: uri.authority()?.clone() })
    }
}

/// A connection that nobody uses.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) line: Line,
    pub(super) peer: SocketAddr,
}

#[derive(Debug, Default)]
pub(super) struct Idle(Mutex<Hosts>);

#[derive(Debug, Default)]
struct Hosts {
    /// No list is empty; each is sorted by `since`.
    of_host: HashMap<Host, Vec<Waiting>, ahash::RandomState>,
    count: usize,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    parked: Parked,
}

impl Idle {
    /// A connection to one of these addresses that waits for less than `age_max` and is still open. With no time
    /// at all, none is, and those that are kept stay.
    pub(super) fn take(&self, host: &Host, addresses: &[SocketAddr], age_max: Duration) -> Option<Parked> {
        if age_max.is_zero() {
            return None;
        }
        while let Some(Waiting { since, mut parked }) = self.pop(host) {
            // The others of this host are older, and either they are closed by and by or the next look finds them.
            if since.elapsed() >= age_max {
                return None;
            }
            // A name that moved is followed, and an address that the guard would no longer let pass is left.
            if addresses.contains(&parked.peer) && parked.line.is_open() {
                return Some(parked);
            }
        }
        None
    }

    fn pop(&self, host: &Host) -> Option<Waiting> {
        let mut hosts = self.lock();
        let waiting = hosts.of_host.get_mut(host)?;
        let newest = waiting.pop();
        let is_last = waiting.is_empty();
        hosts.count -= usize::from(newest.is_some());
        if is_last {
            hosts.of_host.remove(host);
        }
        newest
    }

    /// Keeps a connection, where there is room.
    pub(super) fn keep(&self, host: Host, parked: Parked, now: Instant) {
        self.sweep(now);
        let mut hosts = self.lock();
        if hosts.count >= limits::IDLE_CONNECTIONS_MAX {
            return;
        }
        let waiting = hosts.of_host.entry(host).or_default();
        if waiting.len() < limits::IDLE_CONNECTIONS_PER_HOST_MAX {
            waiting.push(Waiting { since: now, parked });
            hosts.count += 1;
        }
    }

    /// Closes what nobody has used for too long; at most one look at all of them in each [`limits::IDLE_SWEEP_MS`].
    pub(super) fn sweep(&self, now: Instant) {
        // Closed only after the lock is let go of.
        drop(self.aged(now));
    }

    fn aged(&self, now: Instant) -> Vec<Waiting> {
        let mut hosts = self.lock();
        let swept = *hosts.swept.get_or_insert(now);
        let mut aged = Vec::new();
        if now.saturating_duration_since(swept) >= Duration::from_millis(limits::IDLE_SWEEP_MS) {
            hosts.swept = Some(now);
            let age_max = Duration::from_millis(limits::IDLE_CONNECTION_MS_MAX);
            hosts.of_host.retain(|_, waiting| {
                let old = waiting.partition_point(|one| now.saturating_duration_since(one.since) >= age_max);
                aged.extend(waiting.drain(..old));
                !waiting.is_empty()
            });
            hosts.count -= aged.len();
        }
        aged
    }

    /// When all of them were last looked at.
    #[cfg(test)]
    pub(super) fn swept(&self) -> Option<Instant> {
        self.lock().swept
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().count
    }

    fn lock(&self) -> MutexGuard<'_, Hosts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use ureq::Timeout;
    use ureq::unversioned::transport::{Either, NextTimeout, time};

    use super::super::wire::Wire;
    use super::*;

    const AGE_MAX: Duration = Duration::from_millis(limits::IDLE_CONNECTION_MS_MAX);

    fn host(name: &str) -> Host {
        Host::of(&format!("http://{name}/").parse().expect("a URI")).expect("an authority")
    }

    fn parked(listener: &TcpListener) -> Parked {
        let peer = listener.local_addr().expect("its address");
        let after = time::Duration::from_secs(10);
        let timeout = NextTimeout { after, reason: Timeout::Global, ..NextTimeout::default() };
        Parked { line: Either::A(Wire::connect(&[peer], timeout).expect("a connection")), peer }
    }

    fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").expect("a port")
    }

    #[test]
    fn hosts_are_told_apart_by_scheme_name_and_port() {
        let of = |uri: &str| Host::of(&uri.parse().expect("a URI"));
        assert_eq!(of("http://a.example/x"), of("http://A.example/y?z"));
        for other in ["https://a.example/", "http://b.example/", "http://a.example:81/"] {
            assert_ne!(of("http://a.example/"), of(other));
        }
    }

    #[test]
    fn connections_of_one_host_and_in_all_are_bounded() {
        let idle = Idle::default();
        let now = Instant::now();
        let hosts = limits::IDLE_CONNECTIONS_MAX / limits::IDLE_CONNECTIONS_PER_HOST_MAX;
        for number in 0..hosts + 2 {
            let (listener, host) = (listener(), host(&format!("{number}.example")));
            for _ in 0..limits::IDLE_CONNECTIONS_PER_HOST_MAX + 2 {
                idle.keep(host.clone(), parked(&listener), now);
            }
            let expected = (number + 1).min(hosts) * limits::IDLE_CONNECTIONS_PER_HOST_MAX;
            assert_eq!(idle.count(), expected);
            assert_eq!(idle.lock().of_host.len(), (number + 1).min(hosts));
        }
    }

    #[test]
    fn what_is_too_old_is_closed_at_the_next_sweep_whoever_it_belongs_to() {
        let (idle, listener) = (Idle::default(), listener());
        let start = Instant::now();
        idle.keep(host("old.example"), parked(&listener), start);
        idle.keep(host("mixed.example"), parked(&listener), start);
        idle.keep(host("mixed.example"), parked(&listener), start + Duration::from_secs(5));
        assert_eq!(idle.count(), 3);
        idle.keep(host("new.example"), parked(&listener), start + AGE_MAX);
        assert_eq!(idle.count(), 2);
        assert!(!idle.lock().of_host.contains_key(&host("old.example")));
    }

    #[test]
    fn only_what_is_young_open_and_at_an_address_of_today_is_taken() {
        let (idle, listener) = (Idle::default(), listener());
        let peer = listener.local_addr().expect("its address");
        let keep = || idle.keep(host("a.example"), parked(&listener), Instant::now());
        let take = |addresses: &[SocketAddr], age_max| idle.take(&host("a.example"), addresses, age_max);

        keep();
        assert!(idle.take(&host("b.example"), &[peer], AGE_MAX).is_none());
        assert!(take(&[peer], AGE_MAX).is_some());
        assert!(take(&[peer], AGE_MAX).is_none(), "it is taken");
        keep();
        assert!(take(&[peer], Duration::ZERO).is_none());
        assert!(take(&[peer], AGE_MAX).is_some(), "whoever wants a new one costs the others none");
        keep();
        assert!(take(&[peer], Duration::from_nanos(1)).is_none(), "it is too old");
        keep();
        assert!(take(&["127.0.0.2:80".parse().expect("an address")], AGE_MAX).is_none());
        keep();
        drop(listener.accept());
        (0..4).for_each(|_| drop(listener.accept()));
        assert!(take(&[peer], AGE_MAX).is_none(), "it was closed");
        assert_eq!(idle.count(), 0);
        assert!(idle.lock().of_host.is_empty());
    }
}
