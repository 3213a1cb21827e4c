//! Request bodies: bounded in bytes and in time.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, EXPECT};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::error::RestError;
use crate::limits;

/// Reads the whole body, or says why not. A body that is too large is read to its end (within bounds) and thrown away,
/// because a client that is still sending would not see an answer that comes with a reset.
pub async fn read(request: Request<Incoming>, bytes_max: usize) -> Result<Vec<u8>, RestError> {
    let announced = content_length(request.headers());
    if announced.is_some_and(|length| length > bytes_max as u64) && request.headers().contains_key(EXPECT) {
        return Err(RestError::BodyTooLarge);
    }
    within_deadline(async {
        let mut body = request.into_body();
        let mut bytes = Vec::new();
        let mut seen = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| RestError::BodyBroken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            seen += data.len();
            if seen > limits::DISCARDED_BODY_BYTES_MAX {
                break;
            }
            if seen <= bytes_max {
                bytes.extend_from_slice(&data);
            } else {
                bytes = Vec::new();
            }
        }
        if seen > bytes_max { Err(RestError::BodyTooLarge) } else { Ok(bytes) }
    })
    .await
}

/// Reads a body that nobody wants, so that the answer is seen; with `Expect` the client has not sent it yet.
pub async fn discard(request: Request<Incoming>) {
    if !request.headers().contains_key(EXPECT) {
        let _ = read(request, 0).await;
    }
}

async fn within_deadline<T>(reading: impl Future<Output = Result<T, RestError>>) -> Result<T, RestError> {
    let patience = async {
        glommio::timer::sleep(Duration::from_millis(limits::BODY_MS)).await;
        Err(RestError::Timeout)
    };
    futures_lite::future::or(reading, patience).await
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
