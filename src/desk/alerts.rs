//! `GET /alerts/latest?limit=N`: the newest alerts, for every tier and for clients that poll.
//!
//! `{"success":true,"alerts":[…],"last_seq":N}`, newest first. Each alert is the very bytes that are `data` in its WebSocket
//! message, and `last_seq` is the newest one's number, 0 before the first. The key may be in a header or, as the protocol's
//! clients have it, in the address.
//!
//! Who polls sends the `ETag` of the last answer as `If-None-Match` and gets 304 until there is a new alert. That costs the
//! server a look at two numbers, however many alerts there are.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::error::{Reply, RestError};
use super::{Desk, auth, query};
use crate::accounts::Role;
use crate::hub::AlertList;
use crate::limits::{LATEST_ALERTS_DEFAULT, LATEST_ALERTS_MAX};

pub fn latest(desk: &Desk, request: &Request<Incoming>) -> Result<Reply, RestError> {
    let identity = auth::identify_by_query_too(desk, request)?;
    auth::require(&identity, Role::Subscriber)?;
    let limit = query::limit(request.uri(), LATEST_ALERTS_DEFAULT, LATEST_ALERTS_MAX)?;
    let list = desk.hub.latest_alerts();
    let count = limit.min(list.len());
    let tag = entity_tag(&list, count);
    let mut reply = Response::new(Full::default());
    if is_known(request.headers(), tag.as_bytes()) {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *reply.body_mut() = Full::new(Bytes::from(body(list.newest().take(count), list.version().last_seq)));
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let headers = reply.headers_mut();
    headers.insert(ETAG, HeaderValue::try_from(tag).expect("quoted digits are a header value"));
    // Each poll asks, and nobody between us and the client keeps what a key has opened.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(reply)
}

/// A strong validator (RFC 9110 §8.8.3) of the newest `count` alerts of this list: they are the same as long as no newer
/// one comes and the server runs.
fn entity_tag(list: &AlertList, count: usize) -> String {
    let version = list.version();
    format!("\"{:016x}-{}-{count}\"", version.start, version.last_seq)
}

/// The whole answer, in one piece of exactly its size.
fn body<'a>(alerts: impl Iterator<Item = &'a [u8]> + Clone, last_seq: u64) -> Vec<u8> {
    const BEFORE: &[u8] = br#"{"success":true,"alerts":["#;
    const BETWEEN: &[u8] = br#"],"last_seq":"#;
    let mut digits = itoa::Buffer::new();
    let last_seq = digits.format(last_seq).as_bytes();
    let (count, alerts_bytes) = alerts.clone().fold((0, 0), |(count, bytes), alert| (count + 1, bytes + alert.len()));
    let commas = usize::saturating_sub(count, 1);
    let mut body =
        Vec::with_capacity(BEFORE.len() + alerts_bytes + commas + BETWEEN.len() + last_seq.len() + b"}".len());
    body.extend_from_slice(BEFORE);
    for (nth, alert) in alerts.enumerate() {
        if nth > 0 {
            body.push(b',');
        }
        body.extend_from_slice(alert);
    }
    body.extend_from_slice(BETWEEN);
    body.extend_from_slice(last_seq);
    body.push(b'}');
    body
}

/// Whether `If-None-Match` names this tag, quotes included, or anything at all with `*` (RFC 9110 §13.1.2).
pub(super) fn is_known(headers: &HeaderMap, tag: &[u8]) -> bool {
    let mut values = headers.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
    values.any(|value| value.trim_ascii() == b"*" || list_names(value, tag))
}

/// Whether a list of tags names this one by weak comparison (§8.8.3.2): a `W/` before it does not count. What is no list of
/// tags names nothing from there on.
fn list_names(mut list: &[u8], tag: &[u8]) -> bool {
    loop {
        list = skip_separators(list);
        list = list.strip_prefix(b"W/").unwrap_or(list);
        let [b'"', opaque @ ..] = list else { return false };
        let Some(end) = memchr::memchr(b'"', opaque) else { return false };
        let (named, rest) = list.split_at(end + 2);
        if named == tag {
            return true;
        }
        list = rest;
    }
}

/// Empty elements are allowed (§5.6.1.2).
fn skip_separators(list: &[u8]) -> &[u8] {
    let at = list.iter().position(|byte| !matches!(byte, b',' | b' ' | b'\t')).unwrap_or(list.len());
    &list[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(values: &[&'static str]) -> bool {
        let values = values.iter().map(|value| (IF_NONE_MATCH, HeaderValue::from_static(value)));
        is_known(&values.collect::<HeaderMap>(), b"\"a-1-2\"")
    }

    #[test]
    fn a_tag_is_found_alone_weak_in_a_list_in_another_line_and_behind_a_star() {
        for values in [
            &["\"a-1-2\""][..],
            &["W/\"a-1-2\""],
            &["\"x\", \"a-1-2\""],
            &["\"x,\",W/\"y\" ,\t\"a-1-2\",\"z\""],
            &[", ,\"a-1-2\","],
            &["\"x\"", "\"a-1-2\""],
            &["*"],
            &[" * "],
        ] {
            assert!(known(values), "{values:?}");
        }
    }

    #[test]
    fn an_answer_is_as_long_as_what_was_reserved_for_it() {
        let alerts: [&[u8]; 3] = [br#"{"n":1}"#, br#"{"a":"\u2028,"}"#, b"{}"];
        for count in 0..=alerts.len() {
            let body = body(alerts.iter().copied().take(count), 10_u64.pow(count as u32) - 1);
            assert_eq!(body.len(), body.capacity());
            let json: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!((json["alerts"].as_array().map(Vec::len), &json["success"]), (Some(count), &true.into()));
            assert_eq!(json["last_seq"], 10_u64.pow(count as u32) - 1);
        }
    }

    #[test]
    fn what_does_not_name_the_tag_does_not_match() {
        for values in [
            &[][..],
            &[""],
            &["a-1-2"],
            &["\"a-1-2"],
            &["\"a-1-22\""],
            &["\"A-1-2\""],
            &["w/\"a-1-2\""],
            &["W/ \"a-1-2\""],
            &["\"x\" * "],
            &["\"*\""],
            &["\"\\\"a-1-2\\\"\""],
        ] {
            assert!(!known(values), "{values:?}");
        }
    }
}
