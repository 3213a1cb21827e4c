//! What the log says of requests that were refused: by whom and why, some of each kind and then a count. Never what they said.

use std::fmt::Display;
use std::net::IpAddr;

use http::StatusCode;

use super::Desk;
use super::error::RestError;
use super::stats::ConnectionFailure;
use crate::accounts::Identity;
use crate::clock;
use crate::logging::Occasion;

/// A request that was refused for who sent it, or for how many did.
pub fn tell(client: IpAddr, error: &RestError) {
    static STRANGERS: Occasion = Occasion::new();
    static FORBIDDEN: Occasion = Occasion::new();
    static TOO_MANY: Occasion = Occasion::new();
    static OVERLOAD: Occasion = Occasion::new();
    let (occasion, why) = match error.status() {
        StatusCode::UNAUTHORIZED => (&STRANGERS, "its key or token is missing or not good"),
        StatusCode::FORBIDDEN => (&FORBIDDEN, "it asked for what is not its own"),
        StatusCode::TOO_MANY_REQUESTS => (&TOO_MANY, "a limit of its address, key or user was reached"),
        StatusCode::SERVICE_UNAVAILABLE => (&OVERLOAD, "the server can't serve it now"),
        _ => return,
    };
    if let Some(untold) = occasion.tell(clock::now()) {
        tracing::warn!(%client, code = error.code(), untold, "a request was refused: {why}");
    }
}

/// A connection that ended before its handshake was done. Strangers knock and leave all day; what the log says is what an
/// operator can mend: a certificate that clients refuse, a client or a proxy that is set up otherwise.
pub fn tell_connection(desk: &Desk, client: IpAddr, failure: ConnectionFailure, why: &dyn Display) {
    static PROXY_HEADER: Occasion = Occasion::new();
    static NOT_TLS: Occasion = Occasion::new();
    static INCOMPATIBLE: Occasion = Occasion::new();
    static REFUSED: Occasion = Occasion::new();
    static OVERLOAD: Occasion = Occasion::new();
    desk.shards[desk.shard].stats.desk.failed.of(failure).add(1);
    let occasion = match failure {
        ConnectionFailure::ProxyHeader => &PROXY_HEADER,
        ConnectionFailure::NotTls => &NOT_TLS,
        ConnectionFailure::TlsIncompatible => &INCOMPATIBLE,
        ConnectionFailure::TlsRefused => &REFUSED,
        ConnectionFailure::TlsOverload => &OVERLOAD,
        _ => return tracing::debug!(%client, "a connection ended in its handshake: {why}"),
    };
    if let Some(untold) = occasion.tell(clock::now()) {
        tracing::warn!(%client, untold, "a connection ended in its handshake: {why}");
    }
}

/// Events that were refused for their publisher's rate, or for lack of room: it is told to send them again, and something is wrong
/// where that goes on.
pub fn tell_publisher(identity: &Identity, events: u64, error: &RestError) {
    static REFUSED: Occasion = Occasion::new();
    if !matches!(error.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return;
    }
    if let Some(untold) = REFUSED.tell(clock::now()) {
        let (account, key, code) = (&identity.account.name, identity.key_id, error.code());
        tracing::warn!(%account, %key, events, code, untold, "a publisher was refused: {error}");
    }
}
