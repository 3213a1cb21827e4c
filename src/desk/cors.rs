//! Pages in browsers: whose may open a WebSocket (RFC 6455 §10.2), and whose may read an answer (the Fetch standard's CORS
//! protocol).
//!
//! Only browsers send `Origin`, and only browsers keep these rules, so a request without one is not looked at. No
//! credentials are ever allowed: nothing here is authenticated by what a browser sends by itself.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

use super::Desk;
use super::error::{Reply, RestError};
use crate::gate::Origins;
use crate::limits;

/// Whose page asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Visitor {
    /// No page: a program.
    Program,
    /// A page that may, and the value of its `Origin`.
    Allowed(HeaderValue),
    /// A page that may not.
    Foreign,
}

/// What pages may send and read beyond what every page may.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, x-api-key, if-none-match, last-event-id");
const REPLY_HEADERS: HeaderValue = HeaderValue::from_static("retry-after, etag, stentor-seq");

pub fn visitor(desk: &Desk, headers: &HeaderMap) -> Visitor {
    Visitor::of(&desk.gate.policy().allowed_origins, headers)
}

/// Refuses a WebSocket to a page that may not have one. A browser would let it: CORS is not for WebSockets.
pub fn check_origin(desk: &Desk, headers: &HeaderMap) -> Result<(), RestError> {
    match visitor(desk, headers) {
        Visitor::Program | Visitor::Allowed(_) => Ok(()),
        Visitor::Foreign => Err(foreign()),
    }
}

/// Whether a browser asks beforehand what its page may do.
pub fn is_preflight<T>(request: &Request<T>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Answers a preflight for a route that takes these methods. [`mark`] adds whose answer it is.
pub fn preflight(desk: &Desk, headers: &HeaderMap, allow: &'static str) -> Result<Reply, RestError> {
    check_origin(desk, headers)?;
    let mut reply = Response::new(Default::default());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    let headers = reply.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allow));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    headers.insert(ACCESS_CONTROL_MAX_AGE, limits::PREFLIGHT_AGE_S.into());
    Ok(reply)
}

/// Tells the browser, on any answer, that the visitor may read it.
pub fn mark(desk: &Desk, visitor: &Visitor, reply: &mut HeaderMap) {
    visitor.mark(&desk.gate.policy().allowed_origins, reply);
}

fn foreign() -> RestError {
    RestError::Forbidden(
        "pages of this origin may not use this server: its operator can add it to allowed_origins in [server]"
            .to_owned(),
    )
}

impl Visitor {
    fn of(origins: &Origins, headers: &HeaderMap) -> Self {
        let Some(origin) = headers.get(ORIGIN) else { return Self::Program };
        // What is no text is nobody's name.
        let allowed = *origins == Origins::Any || origin.to_str().is_ok_and(|origin| origins.allow(origin));
        if allowed { Self::Allowed(origin.clone()) } else { Self::Foreign }
    }

    fn mark(&self, origins: &Origins, reply: &mut HeaderMap) {
        if *origins != Origins::Any {
            // The answer to another origin has other headers: a cache must not mix them up.
            reply.append(VARY, HeaderValue::from_name(ORIGIN));
        }
        let Self::Allowed(origin) = self else { return };
        let allowed = if *origins == Origins::Any { HeaderValue::from_static("*") } else { origin.clone() };
        reply.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        reply.insert(ACCESS_CONTROL_EXPOSE_HEADERS, REPLY_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> Origins {
        Origins::These(vec!["https://app.example".into()])
    }

    /// The headers that an answer to a request from `origin` gets.
    fn marked(origins: &Origins, origin: Option<&'static str>) -> HeaderMap {
        let mut request = HeaderMap::new();
        if let Some(origin) = origin {
            request.insert(ORIGIN, HeaderValue::from_static(origin));
        }
        let mut reply = HeaderMap::new();
        Visitor::of(origins, &request).mark(origins, &mut reply);
        reply
    }

    #[test]
    fn an_allowed_page_may_read_the_answer_and_no_other() {
        let reply = marked(&listed(), Some("https://app.example"));
        assert_eq!(reply[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
        assert_eq!(reply[ACCESS_CONTROL_EXPOSE_HEADERS], REPLY_HEADERS);
        assert_eq!(reply[VARY], "origin");
        for other in [Some("https://evil.example"), Some("null"), None] {
            let reply = marked(&listed(), other);
            assert_eq!((reply.len(), &reply[VARY]), (1, &HeaderValue::from_static("origin")), "{other:?}");
        }
    }

    #[test]
    fn where_any_page_may_the_answer_is_the_same_for_all_of_them() {
        for origin in ["https://app.example", "null"] {
            let reply = marked(&Origins::Any, Some(origin));
            assert_eq!(reply[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(!reply.contains_key(VARY));
        }
        assert!(marked(&Origins::Any, None).is_empty(), "a program is told nothing");
    }

    #[test]
    fn an_origin_that_is_no_text_is_allowed_only_where_all_are() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_bytes(b"https://\xff").expect("a header's bytes"));
        assert_eq!(Visitor::of(&listed(), &headers), Visitor::Foreign);
        assert!(matches!(Visitor::of(&Origins::Any, &headers), Visitor::Allowed(_)));
    }

    #[test]
    fn a_preflight_is_told_from_other_questions_about_options() {
        let request = |method: &str, names: &[http::HeaderName]| {
            let mut request = Request::builder().method(method).body(()).expect("a request");
            for name in names {
                request.headers_mut().insert(name, HeaderValue::from_static("x"));
            }
            request
        };
        assert!(is_preflight(&request("OPTIONS", &[ORIGIN, ACCESS_CONTROL_REQUEST_METHOD])));
        assert!(!is_preflight(&request("OPTIONS", &[ORIGIN])));
        assert!(!is_preflight(&request("OPTIONS", &[ACCESS_CONTROL_REQUEST_METHOD])));
        assert!(!is_preflight(&request("POST", &[ORIGIN, ACCESS_CONTROL_REQUEST_METHOD])));
    }
}
