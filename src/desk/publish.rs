//! `POST /api/events`: one object, an array or NDJSON; all or nothing.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::body::{self, Body};
use super::budget::Share;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth};
use crate::accounts::Role;
use crate::event::{BatchParser, Event, Format};
use crate::hub::Accepted;
use crate::{clock, executor, limits};

pub async fn post(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let admitted = auth::identify(desk, request.headers())
        .and_then(|identity| auth::require(&identity, Role::Publisher).map(|()| identity.key))
        .and_then(|key| Ok((key, format(request.headers())?)));
    let (key, format) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            body::discard(desk, request).await;
            return Err(error);
        }
    };
    let Body { bytes, mut room } = body::read(desk, request, limits::BODY_BYTES_MAX, Some(key)).await?;
    let events = parse(bytes, format, &mut room.share).await?;
    desk.publishers.admit_events(key, events.len() as u64, clock::now())?;
    let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
    desk.hub.publish(events, Box::new(answer));
    let answer = ticket.answer_within(Duration::from_millis(limits::ANSWER_MS)).await;
    // From here on the events are the hub's, which has a bound of its own.
    drop(room);
    let accepted: Accepted = answer.ok_or(RestError::Unconfirmed { outcome: PERHAPS_PUBLISHED })??;
    Ok(json_reply(
        StatusCode::OK,
        &json!({
            "accepted": accepted.accepted,
            "first_seq": accepted.first_seq,
            "last_seq": accepted.last_seq,
        }),
    ))
}

const PERHAPS_PUBLISHED: &str = "the events may have been published all the same, and sending them again may publish them \
    twice (last_seq of /readyz tells how far the server is)";

/// Parses in pieces, and lets the shard serve its sockets between them. `share` is that of the body, then of the events.
async fn parse(body: Vec<u8>, format: Format, share: &mut Share) -> Result<Vec<Event>, RestError> {
    let body_bytes = body.capacity();
    let mut parser = BatchParser::new(body, format);
    while !parser.step(limits::PARSE_STEP_BYTES)? {
        share.grow(body_bytes + parser.events_bytes())?;
        executor::breathe().await;
    }
    share.resize(parser.events_bytes())?;
    Ok(parser.finish())
}

fn format(headers: &HeaderMap) -> Result<Format, RestError> {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(Format::Json) };
    let content_type = content_type.to_str().unwrap_or_default();
    match content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        // The form type is what `curl -d` says when nobody told it otherwise.
        "application/json" | "text/json" | "application/x-www-form-urlencoded" => Ok(Format::Json),
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            Ok(Format::Ndjson)
        }
        _ => Err(RestError::MediaType),
    }
}
