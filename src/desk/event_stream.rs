//! `GET /events/stream?topic=…&since=N&policy=…`: events as server-sent events, for browsers and programs without WebSockets.
//!
//! The answer never ends by itself, so it leaves the desk as a WebSocket does: hyper is given no answer, and the socket goes
//! into a ring with the head that its session sends first.
//!
//! ```text
//!   request ─▶ sound? ─▶ origin ─▶ gate (the address) ─▶ key or token ─▶ topics ─▶ terms ─▶ gate (the key or user) ─▶ seat ─▶ head
//! ```

use http::header::ACCEPT;
use http::{HeaderMap, Request, Response, Version};
use hyper::body::{Body, Incoming};

use super::connection::ConnectionContext;
use super::error::{Reply, RestError};
use super::{Desk, body, cors, listener, terms, upgrade};
use crate::clock;
use crate::gate::Entry;
use crate::protocol::{Admission, StreamAdmission, stream};

pub async fn open(desk: &Desk, context: &ConnectionContext, request: Request<Incoming>) -> Result<Reply, RestError> {
    let opened = check(context, &request).and_then(|()| admit(desk, context, &request));
    match opened {
        // Nobody sends this one: see `Upgrade::answers_itself`.
        Ok(()) => Ok(Response::default()),
        Err(error) => {
            // A browser's `EventSource` gives up for good on any answer but 200, and comes back where there is none.
            context.hangs_up.set(matches!(error, RestError::Stopping) && wants_stream(request.headers()));
            body::discard(desk, request).await;
            Err(error)
        }
    }
}

/// Whether the client says, as browsers do, that it knows what a stream of events is (HTML, server-sent events, §9.2.3).
fn wants_stream(headers: &HeaderMap) -> bool {
    let named =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    named
        .into_iter()
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(stream::MEDIA_TYPE)))
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
