//! `GET /api/admin/status` and `/api/admin/status/stream`: every counter at one moment, for an admin key.
//!
//! ```text
//!   observer's thread ── Sample ──▶ /status          one, as JSON
//!                             └──▶ /status/stream   one a second, as server-sent events, until the client leaves or the server ends
//! ```
//!
//! A stream stays at the desk: it holds a connection's place there, so only a few may be open. A client that does not read is ended as
//! one that does not take an answer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_lite::stream;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

use super::answers::Answers;
use super::connection::ConnectionContext;
use super::error::{Reply, RestError, json_text_reply};
use super::{Desk, auth};
use crate::accounts::{Directory, KeyNumber, Role};
use crate::limits;
use crate::mailbox::Mailbox;
use crate::metrics::{ObserverHandle, Sample};
use crate::protocol::stream::MEDIA_TYPE;
use crate::shard::ShardMail;

/// How many streams a desk has open.
#[derive(Default)]
pub struct StatusStreams(Cell<u32>);

pub async fn sample(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (identity, _) = auth::admit(desk, request, Role::Admin).await?;
    let sample = Feed::new(desk, identity.key, None).sample().await;
    let sample = sample.ok_or(RestError::Unconfirmed { waited_ms: limits::STATUS_ANSWER_MS, outcome: ASK_AGAIN })?;
    let mut reply = json_text_reply(StatusCode::OK, json(&sample));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

pub async fn open(desk: &Desk, context: &ConnectionContext, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (identity, _) = auth::admit(desk, request, Role::Admin).await?;
    if desk.stopping.get() {
        return Err(RestError::Stopping);
    }
    let place = Place::take(&desk.status_streams)?;
    let feed = Feed::new(desk, identity.key, Some(place));
    let pieces = stream::unfold(feed, |mut feed| async move { Some((feed.next().await?, feed)) });
    *context.streamed.borrow_mut() = Some(Box::pin(pieces));
    let mut reply = Response::default();
    for (name, value) in [
        (CONTENT_TYPE, MEDIA_TYPE),
        (CACHE_CONTROL, "no-store"),
        (CONNECTION, "close"),
        // nginx would collect events until a buffer is full.
        (http::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(reply)
}

const ASK_AGAIN: &str = "the thread that looks at the counters is late, ask again";

/// What clients pass over.
const COMMENT: &[u8] = b": \n\n";

/// Asks for sample after sample. It holds what it needs of its desk, as an answer outlives its request.
struct Feed {
    observer: ObserverHandle,
    directory: Arc<Directory>,
    key: KeyNumber,
    answers: Rc<Answers>,
    mailbox: Arc<Mailbox<ShardMail>>,
    stopping: Rc<Cell<bool>>,
    _place: Option<Place>,
    begun: bool,
}

impl Feed {
    fn new(desk: &Desk, key: KeyNumber, place: Option<Place>) -> Self {
        Self {
            observer: desk.observer.clone(),
            directory: desk.directory.clone(),
            key,
            answers: desk.answers.clone(),
            mailbox: desk.shards[desk.shard].mailbox.clone(),
            stopping: desk.stopping.clone(),
            _place: place,
            begun: false,
        }
    }

    /// The next sample, when it is time for it; none once the server stops or the key is gone.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::replace(&mut self.begun, true) {
            glommio::timer::sleep(Duration::from_millis(limits::STATUS_PERIOD_MS)).await;
        }
        if self.stopping.get() || !self.directory.load().key_is_live(self.key) {
            return None;
        }
        Some(match self.sample().await {
            Some(sample) => format!("data: {}\n\n", json(&sample)).into(),
            None => Bytes::from_static(COMMENT),
        })
    }

    async fn sample(&self) -> Option<Arc<Sample>> {
        let (ticket, answer) = self.answers.ticket(&self.mailbox);
        self.observer.sample(Box::new(answer));
        ticket.answer_within(Duration::from_millis(limits::STATUS_ANSWER_MS)).await
    }
}

fn json(sample: &Sample) -> String {
    serde_json::to_string(sample).expect("plain numbers and names")
}

/// A stream's part of what a desk may have open; given back when it is dropped.
struct Place(Rc<StatusStreams>);

impl Place {
    fn take(streams: &Rc<StatusStreams>) -> Result<Self, RestError> {
        if streams.0.get() >= limits::STATUS_STREAMS_MAX {
            return Err(RestError::StatusStreams { max: limits::STATUS_STREAMS_MAX });
        }
        streams.0.set(streams.0.get() + 1);
        Ok(Self(streams.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.set(self.0.0.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_streams_are_open_at_a_time_and_one_that_ends_makes_room() {
        let streams = Rc::new(StatusStreams::default());
        let mut places: Vec<Place> =
            (0..limits::STATUS_STREAMS_MAX).map(|_| Place::take(&streams).expect("room")).collect();
        let refused = Place::take(&streams).map(drop).expect_err("one too many");
        assert_eq!(refused.reply().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.reply().headers().contains_key(http::header::RETRY_AFTER));
        places.pop();
        assert!(Place::take(&streams).is_ok());
    }
}
