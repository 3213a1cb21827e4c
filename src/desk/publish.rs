//! `POST /api/events`: one object, an array or NDJSON; all or nothing.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::body::{self, Body};
use super::budget::Share;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth, refusals};
use crate::accounts::{KeyNumber, Role};
use crate::event::{BatchParser, Event, Format};
use crate::gate::Publishers;
use crate::hub::Accepted;
use crate::journal::JournalError;
use crate::{clock, executor, limits};

pub async fn post(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let admitted = refuse_if_stopping(desk)
        .and_then(|()| auth::identify(desk, request.headers()))
        .and_then(|identity| auth::require(&identity, Role::Publisher).map(|()| identity))
        .and_then(|identity| Ok((identity, format(request.headers())?)));
    let (identity, format) = match admitted {
        Ok(admitted) => admitted,
        Err(error) => {
            body::discard(desk, request).await;
            return Err(error);
        }
    };
    let refused = |events| {
        let identity = &identity;
        move |error: &RestError| refusals::tell_publisher(identity, events, error)
    };
    let (key, account) = (identity.key, identity.account.id);
    let read = body::read(desk, request, limits::BODY_BYTES_MAX, Some(key)).await;
    let Body { bytes, mut room } = read.inspect_err(refused(0))?;
    let events = parse(bytes, format, &mut room.share).await.inspect_err(refused(0))?;
    // From here to the hub nothing is waited for, so no end can come between.
    refuse_if_stopping(desk)?;
    let count = events.len() as u64;
    let admitted = desk.publishers.admit_events(key, count, clock::now()).map_err(RestError::from);
    admitted.inspect_err(refused(count))?;
    let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
    desk.hub.publish(events, account.0, Box::new(answer));
    let answer = ticket.answer_within(Duration::from_millis(limits::ANSWER_MS)).await;
    // From here on the events are the hub's, which has a bound of its own.
    drop(room);
    let accepted = settle(&desk.publishers, key, count, answer).inspect_err(refused(count))?;
    let mut body = json!({
        "accepted": accepted.accepted,
        "first_seq": accepted.first_seq,
        "last_seq": accepted.last_seq,
    });
    if accepted.duplicates > 0 {
        body["duplicates"] = accepted.duplicates.into();
    }
    Ok(json_reply(StatusCode::OK, &body))
}

const PERHAPS_PUBLISHED: &str = "the events may have been published all the same, and sending them again may publish those \
    without an id twice (last_seq of /readyz tells how far the server is)";

/// Refuses events once the shard is stopping: they would be accepted, and its sessions are being closed.
fn refuse_if_stopping(desk: &Desk) -> Result<(), RestError> {
    if desk.stopping.get() { Err(RestError::Stopping) } else { Ok(()) }
}

/// What the publisher is told. Events that the hub refused cost nothing, or the retry that it asks for would be too fast.
/// Those that it did not answer for may be published.
fn settle(
    publishers: &Publishers,
    key: KeyNumber,
    count: u64,
    answer: Option<Result<Accepted, JournalError>>,
) -> Result<Accepted, RestError> {
    let outcome = answer.ok_or(RestError::Unconfirmed { waited_ms: limits::ANSWER_MS, outcome: PERHAPS_PUBLISHED })?;
    outcome.map_err(|error| match error {
        JournalError::Unkept => RestError::Unkept { outcome: PERHAPS_PUBLISHED },
        refused => {
            publishers.refund_events(key, count);
            RestError::from(refused)
        }
    })
}

/// Parses in pieces, and lets the shard serve its sockets between them. `share` is that of the body, then of the events.
async fn parse(body: Vec<u8>, format: Format, share: &mut Share) -> Result<Vec<Event>, RestError> {
    let body_bytes = body.capacity();
    let mut parser = BatchParser::new(body, format);
    while !parser.step(limits::PARSE_STEP_BYTES)? {
        share.grow(body_bytes + parser.events_bytes())?;
        executor::breathe(limits::BREATH_US).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Policy;

    #[test]
    fn events_that_the_hub_refused_cost_nothing_and_others_their_price() {
        const KEY: KeyNumber = KeyNumber(1);
        let policy = Policy { publisher_events_per_second: 1, publisher_event_burst: 100, ..Policy::default() };
        let publishers = Publishers::new(&policy);
        let admit = || publishers.admit_events(KEY, 100, 0);
        for (refusal, code, retry_after_s) in [
            (JournalError::QueueFull, "OVERLOADED", "1"),
            (JournalError::Overloaded { lag_events: 7 }, "OVERLOADED", "1"),
            (JournalError::Unleased, "OVERLOADED", "1"),
            (JournalError::DiskFull, "JOURNAL_FULL", "5"),
            (JournalError::Failed { reason: "I/O error".to_owned() }, "JOURNAL_FAILED", "5"),
            (JournalError::Stopping, "SHUTTING_DOWN", "1"),
        ] {
            assert_eq!(admit(), Ok(()));
            let told = settle(&publishers, KEY, 100, Some(Err(refusal))).expect_err("refused");
            assert_eq!((told.status(), told.code()), (StatusCode::SERVICE_UNAVAILABLE, code));
            assert_eq!(told.reply().headers()["retry-after"], retry_after_s);
        }
        assert_eq!(admit(), Ok(()), "as if they had not come");
        for uncertain in [None, Some(Err(JournalError::Unkept))] {
            let told = settle(&publishers, KEY, 100, uncertain).expect_err("no answer");
            assert_eq!((told.status(), told.code()), (StatusCode::GATEWAY_TIMEOUT, "UNCONFIRMED"));
            assert!(admit().is_err(), "they may be published");
        }
        publishers.refund_events(KEY, 100);
        assert_eq!(admit(), Ok(()));
        let accepted = Accepted { accepted: 100, first_seq: 1, last_seq: 100, duplicates: 0 };
        assert_eq!(settle(&publishers, KEY, 100, Some(Ok(accepted))).expect("accepted"), accepted);
        assert!(admit().is_err(), "they are published");
    }
}
