//! Request bodies: bounded in bytes, each and together, and in time.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::Desk;
use super::budget::Share;
use super::error::RestError;
use crate::limits;

/// A whole body, and the part of the desk's memory that it holds.
pub struct Body {
    pub bytes: Vec<u8>,
    pub share: Share,
}

/// Reads the whole body, or says why not. A body that is too large, or for which there is no room now, is read to its end
/// (within bounds) and thrown away, because a client that is still sending would not see an answer that comes with a reset.
pub async fn read(desk: &Desk, request: Request<Incoming>, bytes_max: usize) -> Result<Body, RestError> {
    let announced = content_length(request.headers());
    let mut share = desk.bodies.share();
    let admitted = match announced {
        Some(length) if length > bytes_max as u64 => Err(RestError::BodyTooLarge { bytes_max }),
        Some(length) => share.grow(length as usize).map_err(RestError::from),
        None => Ok(()),
    };
    if let Err(error) = admitted {
        discard(desk, request).await;
        return Err(error);
    }
    let reading = collect(request.into_body(), announced.map_or(bytes_max, |length| length as usize), &mut share);
    match within(limits::BODY_MS, reading).await? {
        Collected::Whole(bytes) => Ok(Body { bytes, share }),
        Collected::Refused(error, rest, seen) => {
            drop(share);
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

enum Collected {
    Whole(Vec<u8>),
    /// Why, what is still to come, and how many bytes have been.
    Refused(RestError, Incoming, usize),
}

async fn collect(mut body: Incoming, bytes_max: usize, share: &mut Share) -> Result<Collected, RestError> {
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
            if let Err(exhausted) = share.grow(capacity) {
                return Ok(Collected::Refused(RestError::Exhausted(exhausted), body, seen));
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
