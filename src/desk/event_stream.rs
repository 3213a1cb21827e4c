//! `GET /events/stream?topic=…&since=N&policy=…`: events as server-sent events, for browsers and programs without WebSockets.
//!
//! The answer never ends by itself, so it leaves the desk as a WebSocket does: hyper is given no answer, and the socket goes
//! into a ring with the head that its session sends first.
//!
//! ```text
//!   request ─▶ sound? ─▶ origin ─▶ gate (the address) ─▶ key or token ─▶ topics ─▶ terms ─▶ gate (the key or user) ─▶ seat ─▶ head
//! ```

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};

use super::accepts::accepts;
use super::connection::ConnectionContext;
use super::error::{Reply, RestError};
use super::stats::HandshakeRefusal;
use super::{Desk, body, cors, listener, terms, upgrade};
use crate::clock;
use crate::gate::Entry;
use crate::protocol::{Admission, StreamAdmission, stream};

pub async fn open(desk: &Desk, context: &ConnectionContext, request: Request<Incoming>) -> Result<Reply, RestError> {
    let opened = check(context, &request).and_then(|()| admit(desk, context, &request));
    match opened {
        // Nobody sends this one: see `Upgrade::answers_itself`.
        Ok(()) => Ok(Response::default()),
        Err(RestError::Stopping) if accepts(request.headers(), stream::MEDIA_TYPE) => Ok(come_back(desk)),
        Err(error) => {
            body::discard(desk, request).await;
            Err(error)
        }
    }
}

/// A browser's `EventSource` gives up for good on any answer but a stream, and comes back after one that ends. It is a refusal all the same.
fn come_back(desk: &Desk) -> Reply {
    desk.shards[desk.shard].stats.desk.refused.of(HandshakeRefusal::Stopping).add(1);
    let words = format!("retry: {}\n: the server is about to end\n\n", desk.door.away_ms());
    let mut reply = Response::new(Full::from(words));
    for (name, value) in [(CONTENT_TYPE, stream::MEDIA_TYPE), (CACHE_CONTROL, "no-store"), (CONNECTION, "close")] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    reply.headers_mut().insert("stentor-seq", desk.hub.last_seq().into());
    reply
}

/// Refuses what could not be answered by a stream.
fn check(context: &ConnectionContext, request: &Request<Incoming>) -> Result<(), RestError> {
    let refused = |message: &str| Err(RestError::InvalidRequest(message.to_owned()));
    if request.version() < Version::HTTP_11 {
        return refused("a stream of events needs HTTP/1.1");
    }
    if !request.body().is_end_stream() {
        return refused("a stream of events is asked for without a body");
    }
    if context.owes_an_answer() {
        return refused(
            "an answer to an earlier request is still on its way: open the stream on a connection of its own",
        );
    }
    Ok(())
}

fn admit(desk: &Desk, context: &ConnectionContext, request: &Request<Incoming>) -> Result<(), RestError> {
    let (uri, headers) = (request.uri(), request.headers());
    cors::check_origin(desk, headers)?;
    let entry = Entry::enter(&desk.gate, context.client(headers), clock::now())?;
    let listener = listener::identify(desk, request)?;
    let topics = listener.topics(uri, &desk.rules.load())?;
    let seq = desk.hub.last_seq();
    let terms = terms::of_stream(uri, headers, &desk.rules.load().slow, seq)?;
    entry.identify(listener.holder())?;
    let mut more = HeaderMap::new();
    cors::mark(desk, &cors::visitor(desk, headers), &mut more);
    let head =
        [stream::head(seq, clock::unix_ms(), &more), stream::retry(), stream::cursor(terms.since.unwrap_or(seq))]
            .concat()
            .into();
    let admission = StreamAdmission { who: listener.into_stream_holder(), topics, head };
    upgrade::leave(desk, context, entry, Admission::Stream(admission), terms)
}
