//! What a desk counts. It is on its shard's thread, and written by that alone.

use super::error::{Reply, RestError};
use super::router::Route;
use super::secure_stream::Broken;
use super::source::NoHeader;
use super::upgrade::Upgrade;
use crate::metrics::{ByLabel, Counter, Counters, Gauge, labels};
use crate::protocol::{Admission, Protocol};
use crate::tls::TlsError;
use crate::ws::CloseCode;

#[derive(Debug, Default)]
pub struct DeskStats {
    /// By route, and by the class of the answer's status.
    pub requests: ByLabel<Route, Counters<StatusClass>>,
    /// Those for which there is no route.
    pub strays: Counter,
    /// Connections that are here now.
    pub connections: Gauge,
    /// Connections that ended before their TLS handshake or their PROXY protocol header was done.
    pub failed: Counters<ConnectionFailure>,
    /// Of requests, read as a whole.
    pub body_bytes: Counter,
    /// Handshakes whose session was opened, event streams included.
    pub accepted: Counters<Protocol>,
    pub refused: Counters<HandshakeRefusal>,
}

labels! {
    pub enum StatusClass {
        Informational = "1xx",
        Success = "2xx",
        Redirection = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
    }
}

labels! {
    /// Why a connection ended before its TLS handshake or its PROXY protocol header was done.
    pub enum ConnectionFailure {
        /// A trusted proxy's, without a sound PROXY protocol header.
        ProxyHeader = "proxy_header",
        /// Plain HTTP at a port that speaks TLS.
        NotTls = "not_tls",
        /// No version, suite or protocol in common.
        TlsIncompatible = "tls_incompatible",
        /// The client sent an alert: most do where they don't trust the certificate.
        TlsRefused = "tls_refused",
        TlsMisbehaved = "tls_misbehaved",
        /// More handshakes began at once than this server could compute in time.
        TlsOverload = "tls_overload",
        Ended = "ended",
        Late = "late",
    }
}

labels! {
    /// Why there was no session.
    pub enum HandshakeRefusal {
        Malformed = "malformed",
        Authentication = "authentication",
        /// A key's role, a page's origin, a topic that is not granted.
        Forbidden = "forbidden",
        Tier = "tier",
        /// What an address, a key or a user may have.
        Limit = "limit",
        Full = "full",
        Overload = "overload",
        Stopping = "stopping",
    }
}

impl DeskStats {
    /// Counts a request that is about to be answered. `upgrade` is what its connection becomes, if it does.
    pub fn note(&self, route: Option<Route>, outcome: &Result<Reply, RestError>, upgrade: Option<&Upgrade>) {
        let Some(route) = route else { return self.strays.add(1) };
        let status = outcome.as_ref().map_or_else(RestError::status, |reply| reply.status());
        let class = match status.as_u16() {
            ..200 => StatusClass::Informational,
            200..300 => StatusClass::Success,
            300..400 => StatusClass::Redirection,
            400..500 => StatusClass::ClientError,
            500.. => StatusClass::ServerError,
        };
        self.requests.of(route).of(class).add(1);
        match (outcome, upgrade) {
            (Ok(_), Some(upgrade)) => match &upgrade.admission {
                // Upgraded only to be told why not.
                Admission::Refused { code: CloseCode::TIER, .. } => self.refused.of(HandshakeRefusal::Tier).add(1),
                Admission::Refused { .. } => self.refused.of(HandshakeRefusal::Authentication).add(1),
                admitted => self.accepted.of(admitted.protocol()).add(1),
            },
            (Err(error), _) if route.opens_sessions() => self.refused.of(HandshakeRefusal::of(error)).add(1),
            _ => {}
        }
    }
}

impl From<&NoHeader> for ConnectionFailure {
    fn from(failure: &NoHeader) -> Self {
        match failure {
            NoHeader::Invalid(_) => Self::ProxyHeader,
            NoHeader::Late => Self::Late,
            NoHeader::Ended | NoHeader::Broke(_) => Self::Ended,
        }
    }
}

impl From<&Broken> for ConnectionFailure {
    fn from(failure: &Broken) -> Self {
        match failure {
            Broken::PlainHttp => Self::NotTls,
            Broken::Tls(TlsError::PeerGaveUp(_)) => Self::TlsRefused,
            Broken::Tls(TlsError::Incompatible(_)) => Self::TlsIncompatible,
            Broken::Tls(_) => Self::TlsMisbehaved,
            Broken::Ended | Broken::Io(_) => Self::Ended,
            Broken::Overload => Self::TlsOverload,
            Broken::Late => Self::Late,
        }
    }
}

impl HandshakeRefusal {
    fn of(error: &RestError) -> Self {
        match error {
            RestError::Repeated { .. } => Self::Tier,
            RestError::RateLimited(refused) if !refused.is_overload() => Self::Limit,
            RestError::Full => Self::Full,
            RestError::Stopping => Self::Stopping,
            error => match error.status().as_u16() {
                401 => Self::Authentication,
                403 => Self::Forbidden,
                500.. => Self::Overload,
                _ => Self::Malformed,
            },
        }
    }
}
