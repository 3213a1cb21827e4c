//! Request bodies: bounded in bytes, each and together, and in time.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Desk;
use super::budget::Share;
use super::error::RestError;
use crate::accounts::KeyNumber;
use crate::gate::BytesInFlight;
use crate::limits;

/// A whole body, and the room that it takes.
pub struct Body {
    pub bytes: Vec<u8>,
    pub room: Room,
}

/// What a request holds while it is under way: a part of the desk's memory, and one of what its publisher may send.
pub struct Room {
    pub share: Share,
    /// None: the request is no publisher's.
    pub in_flight: Option<BytesInFlight>,
}

impl Room {
    /// Makes room for a body of so many bytes.
    fn grow(&mut self, bytes: usize) -> Result<(), RestError> {
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.grow(bytes as u64)?;
        }
        Ok(self.share.grow(bytes)?)
    }
}

/// Reads the whole body, or says why not; with a `publisher`, its bytes count as that key's until the room is given up. A body that is too large, or for which there is no room now, is read to its end
/// (within bounds) and thrown away, because a client that is still sending would not see an answer that comes with a reset.
pub async fn read(
    desk: &Desk,
    request: Request<Incoming>,
    bytes_max: usize,
    publisher: Option<KeyNumber>,
) -> Result<Body, RestError> {
    let announced = content_length(request.headers());
    let admitted = match announced {
        Some(length) if length > bytes_max as u64 => Err(RestError::BodyTooLarge { bytes_max }),
        // Of one that does not say how long it is, each piece is admitted as it comes.
        announced => room(desk, announced.unwrap_or(0), publisher),
    };
    let mut room = match admitted {
        Ok(room) => room,
        Err(error) => {
            discard(desk, request).await;
            return Err(error);
        }
    };
    let reading = collect(request.into_body(), announced.map_or(bytes_max, |length| length as usize), &mut room);
    match within(limits::BODY_MS, reading).await? {
        Collected::Whole(bytes) => {
            desk.shards[desk.shard].stats.desk.body_bytes.add(bytes.len() as u64);
            Ok(Body { bytes, room })
        }
        Collected::Refused(error, rest, seen) => {
            drop(room);
            let _ = within(limits::BODY_MS, throw_away(rest, seen)).await;
            Err(error)
        }
    }
}

/// Reads a body that nobody wants, so that the answer is seen; with `Expect` the client has not sent it yet. In a crowd,
/// those who wait for a place are worth more than a slow client's view of its mistake.
pub async fn discard(desk: &Desk, request: Request<Incoming>) {
    if !request.headers().contains_key(EXPECT) {
        let patience_ms = if desk.places.is_crowded() { limits::CROWDED_SILENCE_MS } else { limits::BODY_MS };
        let _ = within(patience_ms, throw_away(request.into_body(), 0)).await;
    }
}

fn room(desk: &Desk, bytes: u64, publisher: Option<KeyNumber>) -> Result<Room, RestError> {
    let in_flight = publisher.map(|key| desk.publishers.admit_bytes(key, bytes)).transpose()?;
    let mut room = Room { share: desk.bodies.share(), in_flight };
    room.grow(bytes as usize)?;
    Ok(room)
}

enum Collected {
    Whole(Vec<u8>),
    /// Why, what is still to come, and how many bytes have been.
    Refused(RestError, Incoming, usize),
}

async fn collect(mut body: Incoming, bytes_max: usize, room: &mut Room) -> Result<Collected, RestError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| RestError::BodyBroken(error.to_string()))?.into_data() else { continue };
        let seen = bytes.len() + data.len();
        if seen > bytes_max {
            return Ok(Collected::Refused(RestError::BodyTooLarge { bytes_max }, body, seen));
        }
        if seen > bytes.capacity() {
            // It doubles, as a `Vec` does by itself, but never past the bound; and what it takes is asked for first.
            let capacity = (bytes.capacity() * 2).clamp(seen, bytes_max);
            if let Err(error) = room.grow(capacity) {
                return Ok(Collected::Refused(error, body, seen));
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Collected::Whole(bytes))
}

/// Reads on until the body ends or is longer than anybody should have to send for an answer; `seen` bytes have come.
async fn throw_away(mut body: Incoming, mut seen: usize) -> Result<(), RestError> {
    while seen <= limits::DISCARDED_BODY_BYTES_MAX {
        let Some(Ok(frame)) = body.frame().await else { break };
        seen += frame.data_ref().map_or(0, |data| data.len());
    }
    Ok(())
}

async fn within<T>(patience_ms: u64, reading: impl Future<Output = Result<T, RestError>>) -> Result<T, RestError> {
    let patience = async {
        glommio::timer::sleep(Duration::from_millis(patience_ms)).await;
        Err(RestError::Timeout)
    };
    futures_lite::future::or(reading, patience).await
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
