//! `POST /api/events`: one object, an array or NDJSON; all or nothing.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth, body};
use crate::accounts::Role;
use crate::event::{BatchParser, Event, Format};
use crate::hub::Accepted;
use crate::{executor, limits};

pub async fn post(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let admitted = auth::identify(desk, request.headers())
        .and_then(|identity| auth::require(&identity, Role::Publisher))
        .and_then(|()| format(request.headers()));
    let format = match admitted {
        Ok(format) => format,
        Err(error) => {
            body::discard(request).await;
            return Err(error);
        }
    };
    let body = body::read(request, limits::BODY_BYTES_MAX).await?;
    let events = parse(body, format).await?;
    let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
    desk.hub.publish(events, Box::new(answer));
    let accepted: Accepted = ticket.answer().await?;
    Ok(json_reply(
        StatusCode::OK,
        &json!({
            "accepted": accepted.accepted,
            "first_seq": accepted.first_seq,
            "last_seq": accepted.last_seq,
        }),
    ))
}

/// Parses in pieces, and lets the shard serve its sockets between them.
async fn parse(body: Vec<u8>, format: Format) -> Result<Vec<Event>, RestError> {
    let mut parser = BatchParser::new(body, format);
    while !parser.step(limits::PARSE_STEP_BYTES)? {
        executor::breathe().await;
    }
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
