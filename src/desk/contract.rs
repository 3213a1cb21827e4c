//! `GET /openapi.json` and `/asyncapi.json`: what the server takes and says, for everybody.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::alerts::is_known;
use super::error::Reply;
use crate::contract;

pub fn document(text: &'static str, headers: &HeaderMap) -> Reply {
    let tag = contract::tag(text);
    let mut reply = Response::new(Full::default());
    if is_known(headers, tag.as_bytes()) {
        *reply.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *reply.body_mut() = Full::new(Bytes::from_static(text.as_bytes()));
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let headers = reply.headers_mut();
    headers.insert(ETAG, HeaderValue::try_from(tag).expect("quoted digits are a header value"));
    // Whoever keeps it asks again: a new server may have a new one.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

#[cfg(test)]
mod tests {
    use http::header::IF_NONE_MATCH;
    use http_body_util::BodyExt;

    use super::*;

    #[test]
    fn a_document_is_sent_once_and_then_only_named() {
        let asked = |known: Option<&HeaderValue>| {
            let known = known.map(|tag| (IF_NONE_MATCH, tag.clone()));
            let reply = document("{}", &known.into_iter().collect());
            let (head, body) = reply.into_parts();
            (head, futures_lite::future::block_on(body.collect()).expect("no I/O").to_bytes())
        };
        let (first, body) = asked(None);
        assert_eq!((first.status, &*body), (StatusCode::OK, &b"{}"[..]));
        assert_eq!(first.headers[CONTENT_TYPE], "application/json");
        let (again, body) = asked(Some(&first.headers[ETAG]));
        assert_eq!((again.status, &*body), (StatusCode::NOT_MODIFIED, &b""[..]));
        assert_eq!(again.headers[ETAG], first.headers[ETAG]);
        assert_eq!(again.headers[CACHE_CONTROL], "no-cache");
        let (other, _) = asked(Some(&HeaderValue::from_static("\"0\"")));
        assert_eq!(other.status, StatusCode::OK);
    }
}
