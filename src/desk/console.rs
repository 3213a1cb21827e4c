//! `GET /console`: the operator's page. Anybody may load it, as it holds nothing; what it shows it asks for with an admin key.
//!
//! The page may load from here alone and talk to nobody else, and nobody may frame it: a key is typed into it.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::error::{Reply, RestError};
use crate::console::{File, INDEX, find};

pub fn page(headers: &HeaderMap) -> Result<Reply, RestError> {
    Ok(answer(&INDEX, headers))
}

pub fn file(name: &str, headers: &HeaderMap) -> Result<Reply, RestError> {
    match find(name) {
        Some(file) => Ok(answer(file, headers)),
        None => Err(RestError::NotFound(format!("/console/{name}"))),
    }
}

const HEADERS: [(HeaderName, &str); 6] = [
    // A browser asks each time, and is told in a line that nothing has changed: a new server never meets an old page.
    (CACHE_CONTROL, "no-cache"),
    (
        HeaderName::from_static("content-security-policy"),
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    ),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("x-frame-options"), "DENY"),
    (HeaderName::from_static("referrer-policy"), "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

fn answer(file: &File, headers: &HeaderMap) -> Reply {
    let tag = file.tag.as_str();
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known.flat_map(|value| value.split(',')).any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut reply = match is_known {
        true => Response::default(),
        false => Response::new(Full::new(Bytes::from_static(file.text.as_bytes()))),
    };
    if is_known {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let answered = reply.headers_mut();
    for (name, value) in HEADERS {
        answered.insert(name, HeaderValue::from_static(value));
    }
    answered.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
    answered.insert(ETAG, HeaderValue::from_str(tag).expect("digits in quotes"));
    reply
}
