//! WebSocket upgrades: who may have one, and as what.

use std::net::IpAddr;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;

use super::connection::ConnectionContext;
use super::error::{Reply, RestError};
use super::{Desk, cors};
use crate::accounts::{Identity, Role};
use crate::clock;
use crate::gate::{Entry, Holder};
use crate::protocol::Admission;
use crate::shard::Seat;
use crate::ws::{CloseCode, check_upgrade};

/// What is left for the connection once its 101 has been sent.
pub struct Upgrade {
    /// The shard whose ring the socket enters.
    pub shard: usize,
    pub entry: Entry,
    pub seat: Seat,
    pub admission: Admission,
}

/// `/ws/alerts`: the watchlist protocol.
pub fn alerts(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let accept = check_upgrade(request.method(), request.version(), request.headers())?;
    cors::check_origin(desk, request.headers())?;
    let client = context.client(request.headers());
    let entry = Entry::enter(&desk.gate, client, clock::now())?;
    let query = request.uri().query().unwrap_or_default();
    let key = query_value(query, "apiKey").ok_or_else(|| match query_value(query, "api_key") {
        // The parameter's name is all that tells the two protocols of this route apart.
        Some(_) => RestError::TieredNotServed,
        None => RestError::KeyMissingInQuery,
    })?;
    let identity = desk.directory.load().authenticate(&key).ok_or(RestError::KeyInvalid)?;
    super::auth::require(&identity, Role::Subscriber)?;
    entry.identify(Holder::Key(identity.key))?;
    let admission = admit_to_watchlist(desk, client, &identity)?;
    switch(desk, context, accept, entry, admission)
}

/// `/echo` of conformance builds.
#[cfg(feature = "conformance")]
pub fn echo(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let accept = check_upgrade(request.method(), request.version(), request.headers())?;
    cors::check_origin(desk, request.headers())?;
    // Conformance suites make handshakes as fast as they can.
    switch(desk, context, accept, Entry::uncounted(&desk.gate), Admission::Echo)
}

fn admit_to_watchlist(desk: &Desk, client: IpAddr, identity: &Identity) -> Result<Admission, RestError> {
    if identity.account.tier.may_watchlist() {
        return Ok(Admission::Watchlist { account: identity.account.id, key: identity.key });
    }
    let reason = format!("tier {} does not include this stream: it needs elite or enterprise", identity.account.tier);
    // The seed's clients reset their back-off as soon as they are open, so they would be back every second for ever.
    match desk.refusals.note(identity.key, client, clock::now()) {
        Some(left) => Err(RestError::Repeated { reason, retry_after_s: left.div_ceil(1_000_000_000) }),
        None => Ok(Admission::Refused { code: CloseCode::TIER, reason }),
    }
}

/// Answers 101, with a seat in this shard's ring or in another's.
fn switch(
    desk: &Desk,
    context: &ConnectionContext,
    accept: String,
    entry: Entry,
    admission: Admission,
) -> Result<Reply, RestError> {
    if desk.stopping.get() {
        return Err(RestError::Stopping);
    }
    let (shard, seat) = seat(desk).ok_or(RestError::Full)?;
    context.upgrade.replace(Some(Upgrade { shard, entry, seat, admission }));
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).expect("base64 is a header value"));
    // The watchlist protocol has no greeting, so this is where its client can learn the newest number.
    headers.insert("stentor-seq", desk.hub.last_seq().into());
    Ok(reply)
}

/// A free slot: here if there is one, else in the next shard that has one.
fn seat(desk: &Desk) -> Option<(usize, Seat)> {
    let count = desk.shards.len();
    (0..count).map(|offset| (desk.shard + offset) % count).find_map(|shard| Some((shard, desk.shards[shard].seat()?)))
}

fn query_value(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
