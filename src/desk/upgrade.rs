//! WebSocket upgrades: who may have one, as what, and from which event on.
//!
//! ```text
//!   handshake ─▶ origin ─▶ gate (rate and number of the address) ─▶ key or token ─▶ tier ─▶ gate (number of the key) ─▶ seat ─▶ 101
//! ```
//!
//! The cheap refusals come first: a client that is refused again and again costs a hash look-up, and no upgrade.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;

use super::connection::ConnectionContext;
use super::error::{Reply, RestError};
use super::{Desk, cors, query, terms};
use crate::accounts::{Identity, Role, Tier};
use crate::clock;
use crate::gate::{Entry, Holder};
use crate::protocol::{Admission, Endpoint, Protocol, SocketError, Terms, rooms};
use crate::shard::Seat;
use crate::ws::{CloseCode, check_upgrade};

/// What is left for the connection once its 101 has been sent, or where nothing is sent.
pub struct Upgrade {
    /// The shard whose ring the socket enters.
    pub shard: usize,
    pub entry: Entry,
    pub seat: Seat,
    pub admission: Admission,
    pub terms: Terms,
}

impl Upgrade {
    /// Whether the session sends the answer's head, so that the desk must send nothing.
    pub fn answers_itself(&self) -> bool {
        matches!(self.admission, Admission::Stream(_))
    }
}

/// A handshake that is sound and that the gate has let in.
struct Caller {
    /// What `Sec-WebSocket-Accept` has to say.
    accept: String,
    entry: Entry,
}

/// `/ws/alerts`: the watchlist protocol (`?apiKey=`) or the tiered one (`?api_key=`). The parameter's name is all that tells
/// them apart.
pub fn alerts(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let caller = caller(desk, context, request)?;
    let parameter = |name| query::value(request.uri(), name);
    let (protocol, endpoint, key) = match (parameter("apiKey"), parameter("api_key")) {
        (Some(key), _) => (Protocol::Watchlist, Endpoint::Watchlist, key),
        (None, Some(key)) => (Protocol::Tiered, Endpoint::Tiered, key),
        (None, None) => return Err(RestError::KeyMissingInQuery),
    };
    let identity = desk.directory.load().authenticate(&key).ok_or(RestError::KeyInvalid)?;
    super::auth::require(&identity, Role::Subscriber)?;
    let admission = admit_by_tier(desk, context, request.headers(), protocol, &identity)?;
    if matches!(admission, Admission::Keyed { .. }) {
        caller.entry.identify(Holder::Key(identity.key))?;
    }
    switch(desk, context, request.uri(), caller, admission, endpoint)
}

/// `/v1/ws`: the channels protocol, whose key comes in a message.
pub fn channels(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let caller = caller(desk, context, request)?;
    caller.entry.await_authentication()?;
    switch(desk, context, request.uri(), caller, Admission::Channels, Endpoint::Channels)
}

/// `/ws`: the rooms protocol, whose token comes in the `Authorization` header or in a message.
pub fn rooms(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let caller = caller(desk, context, request)?;
    let admission = match request.headers().get(AUTHORIZATION) {
        None => {
            caller.entry.await_authentication()?;
            Admission::Rooms { claims: None }
        }
        Some(header) => match desk.tokens.verify(bearer(header), clock::unix_ms() / 1000) {
            Ok(claims) => Admission::Rooms { claims: Some(claims) },
            // A browser's script sees no refusal before the upgrade, and the protocol's clients wait for a message.
            Err(error) => {
                let error = SocketError::authentication(error.to_string());
                let (before, code) = (rooms::refused(&error), CloseCode::AUTHENTICATION);
                Admission::Refused { before, code, reason: error.message }
            }
        },
    };
    switch(desk, context, request.uri(), caller, admission, Endpoint::Rooms)
}

/// `/echo` of conformance builds.
#[cfg(feature = "conformance")]
pub fn echo(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let accept = check_upgrade(request.method(), request.version(), request.headers())?;
    // Conformance suites make handshakes as fast as they can.
    let caller = Caller { accept, entry: Entry::uncounted(&desk.gate) };
    // It has no events, so any endpoint's terms will do.
    switch(desk, context, request.uri(), caller, Admission::Echo, Endpoint::Channels)
}

fn caller(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<Caller, RestError> {
    let headers = request.headers();
    let accept = check_upgrade(request.method(), request.version(), headers)?;
    cors::check_origin(desk, headers)?;
    let entry = Entry::enter(&desk.gate, context.client(headers), clock::now())?;
    Ok(Caller { accept, entry })
}

fn admit_by_tier(
    desk: &Desk,
    context: &ConnectionContext,
    headers: &HeaderMap,
    protocol: Protocol,
    identity: &Identity,
) -> Result<Admission, RestError> {
    let Identity { key, ref account, .. } = *identity;
    let (admitted, needed) = match protocol {
        Protocol::Watchlist => (account.tier.may_watchlist(), "elite or enterprise"),
        _ => (account.tier.may_tiered(), "pro, elite or enterprise; GET /alerts/latest is for every tier"),
    };
    if admitted {
        return Ok(Admission::Keyed { protocol, account: account.id, key });
    }
    let reason = refusal(account.tier, needed);
    // The protocols' clients reset their back-off as soon as they are open, so they would be back every second for ever.
    match desk.refusals.note(key, context.client(headers), clock::now()) {
        Some(left) => Err(RestError::Repeated { reason, retry_after_s: left.div_ceil(1_000_000_000) }),
        None => Ok(Admission::refused(CloseCode::TIER, reason)),
    }
}

/// At most 123 bytes: it is a close frame's reason.
fn refusal(tier: Tier, needed: &str) -> String {
    format!("tier {tier} does not include this stream: it needs {needed}")
}

/// The token of an `Authorization` header. Another scheme's credentials are no token, and are refused as such.
fn bearer(header: &HeaderValue) -> &str {
    let text = header.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    }
}

/// Answers 101, with a seat in this shard's ring or in another's.
fn switch(
    desk: &Desk,
    context: &ConnectionContext,
    uri: &Uri,
    caller: Caller,
    admission: Admission,
    endpoint: Endpoint,
) -> Result<Reply, RestError> {
    let Caller { accept, entry } = caller;
    // Read once: what the client is told and what it is sent have to fit.
    let seq = desk.hub.last_seq();
    let terms = match admission {
        // It is told why not, whatever it asks for.
        Admission::Refused { .. } => Terms::default(),
        _ => terms::of_session(uri, endpoint, &desk.rules.load().slow, seq)?,
    };
    leave(desk, context, entry, admission, terms)?;
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::try_from(accept).expect("base64 is a header value"));
    headers.insert("stentor-seq", seq.into());
    Ok(reply)
}

/// Leaves everything for the connection to hand its socket over.
pub(super) fn leave(
    desk: &Desk,
    context: &ConnectionContext,
    entry: Entry,
    admission: Admission,
    terms: Terms,
) -> Result<(), RestError> {
    if desk.door.is_closing() {
        return Err(RestError::Stopping);
    }
    let (shard, seat) = seat(desk).ok_or(RestError::Full)?;
    context.upgrade.replace(Some(Upgrade { shard, entry, seat, admission, terms }));
    Ok(())
}

/// A free slot: here if there is one, else in the next shard that has one.
fn seat(desk: &Desk) -> Option<(usize, Seat)> {
    let count = desk.shards.len();
    (0..count).map(|offset| (desk.shard + offset) % count).find_map(|shard| Some((shard, desk.shards[shard].seat()?)))
}
