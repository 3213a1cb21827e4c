//! Server-sent events (the HTML standard, §9.2): the same messages as on a WebSocket, one line of JSON each, under the event's
//! number as `id`.
//!
//! ```text
//!   HTTP/1.1 200 OK …            head()
//!   retry: 2000                  retry()
//!   id: 41                       cursor(): a client that loses the connection before its first event asks from here on
//!
//!   id: 42                       append_event()
//!   data: {"type":"alert","seq":42,"data":{…}}
//!
//!   :                            comment(), where nothing else came for a while
//!
//!   event: reconnect             reconnect(), before the server ends
//! ```
//!
//! A browser remembers the last `id` and sends it as `Last-Event-ID` when it comes back.

use std::fmt::Write;

use http::HeaderMap;

use super::message::{Reconnect, SocketError, UnixMs, reconnect_json};
use super::rooms;
use crate::limits::STREAM_RETRY_MS;

/// By which clients ask for a stream, and servers say that it is one.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// Appends an event. `payload` is what its WebSocket frame carries: one line of JSON.
pub fn append_event(payload: &[u8], seq: u64, out: &mut Vec<u8>) {
    append(payload, Some(seq), out);
}

/// What the server says beside events. With an `id`, a client that comes back goes on after that number.
pub fn message(json: &str, id: Option<u64>) -> Box<[u8]> {
    let mut message = Vec::new();
    append(json.as_bytes(), id, &mut message);
    message.into()
}

/// Tells a client to come back. A browser does so by itself: so long after the end of the stream as `retry` says, with the number as its
/// `Last-Event-ID`.
pub fn reconnect(told: &Reconnect) -> Box<[u8]> {
    let json = reconnect_json(told);
    format!("id: {}\nevent: reconnect\nretry: {}\ndata: {json}\n\n", told.since, told.away_ms).into_bytes().into()
}

/// Why the stream ends.
pub fn error(error: &SocketError) -> Box<[u8]> {
    message(&error.json().to_string(), None)
}

/// The warning before a token's end, which is the stream's.
pub fn expiring(expires_at: UnixMs, now: UnixMs) -> Box<[u8]> {
    let words = "the token ends soon, and this stream with it: open another with a new one";
    message(&rooms::expiry(expires_at, now, words).to_string(), None)
}

/// What clients pass over. It keeps proxies from thinking that nobody is there, and tells the server whether somebody is.
pub fn comment() -> Box<[u8]> {
    (*b": \n\n").into()
}

/// Tells a client where to go on from, without an event.
pub fn cursor(seq: u64) -> Box<[u8]> {
    format!("id: {seq}\n\n").into_bytes().into()
}

/// How long a client is to wait before it connects again.
pub fn retry() -> Box<[u8]> {
    format!("retry: {STREAM_RETRY_MS}\n").into_bytes().into()
}

/// The answer's head. Events after `seq` follow, at least; `more` are headers that depend on who asks.
pub fn head(seq: u64, now: UnixMs, more: &HeaderMap) -> Box<[u8]> {
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    for (name, value) in [
        ("content-type", MEDIA_TYPE),
        // Nobody between us and the client keeps what a key has opened.
        ("cache-control", "no-store"),
        // nginx would collect events until a buffer is full.
        ("x-accel-buffering", "no"),
        ("connection", "close"),
        ("date", &date(now)),
    ] {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    let _ = write!(head, "stentor-seq: {seq}\r\n");
    let mut head = head.into_bytes();
    for (name, value) in more {
        head.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"\r\n");
    head.into()
}

fn append(json: &[u8], id: Option<u64>, out: &mut Vec<u8>) {
    assert!(memchr::memchr2(b'\n', b'\r', json).is_none(), "a message of two lines would be two fields");
    out.reserve(json.len() + 40);
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(json);
    out.extend_from_slice(b"\n\n");
}

/// As an HTTP header has it (RFC 9110 §5.6.7): `Mon, 06 Jan 2025 10:30:00 GMT`.
fn date(now: UnixMs) -> String {
    let timestamp = i64::try_from(now).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    printer.timestamp_to_rfc9110_string(&timestamp.unwrap_or_default()).expect("a year of four digits")
}

#[cfg(test)]
mod tests {
    use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, VARY};
    use http::{HeaderValue, header};

    use super::*;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn an_event_is_its_number_and_one_line_of_data() {
        let mut out = b"before".to_vec();
        append_event(br#"{"type":"alert","seq":42,"data":{"a":"\n"}}"#, 42, &mut out);
        append_event("{\"a\":\"\u{2028}\u{85}\"}".as_bytes(), u64::MAX, &mut out);
        assert_eq!(
            text(&out),
            "beforeid: 42\ndata: {\"type\":\"alert\",\"seq\":42,\"data\":{\"a\":\"\\n\"}}\n\n\
             id: 18446744073709551615\ndata: {\"a\":\"\u{2028}\u{85}\"}\n\n"
        );
    }

    #[test]
    fn a_message_has_a_number_only_where_it_moves_the_cursor() {
        assert_eq!(text(&message(r#"{"type":"gap"}"#, Some(9))), "id: 9\ndata: {\"type\":\"gap\"}\n\n");
        assert_eq!(text(&message(r#"{"type":"error"}"#, None)), "data: {\"type\":\"error\"}\n\n");
        assert_eq!(text(&[cursor(0), comment()].concat()), "id: 0\n\n: \n\n");
        assert_eq!(text(&retry()), format!("retry: {STREAM_RETRY_MS}\n"));
    }

    #[test]
    fn a_browser_is_told_to_come_back_by_its_own_fields() {
        let told = Reconnect { after_ms: 17_000, since: 41, away_ms: 12_000 };
        assert_eq!(
            text(&reconnect(&told)),
            "id: 41\nevent: reconnect\nretry: 12000\ndata: {\"type\":\"reconnect\",\"after_ms\":17000,\"since\":41}\n\n"
        );
    }

    #[test]
    fn a_line_break_in_a_message_is_our_own_mistake() {
        for json in ["{\n}", "{}\n", "\r{}"] {
            assert!(std::panic::catch_unwind(|| message(json, None)).is_err(), "{json:?}");
        }
    }

    #[test]
    fn the_head_says_what_follows_and_to_whom() {
        let mut more = HeaderMap::new();
        more.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://app.example"));
        more.insert(VARY, HeaderValue::from_name(header::ORIGIN));
        let head = head(41, 1_736_159_400_000, &more);
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut headers);
        assert_eq!(response.parse(&head), Ok(httparse::Status::Complete(head.len())));
        assert_eq!((response.version, response.code), (Some(1), Some(200)));
        let found: Vec<_> = response.headers.iter().map(|header| (header.name, text(header.value))).collect();
        let expected = [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
            ("connection", "close"),
            ("date", "Mon, 06 Jan 2025 10:30:00 GMT"),
            ("stentor-seq", "41"),
            ("access-control-allow-origin", "https://app.example"),
            ("vary", "origin"),
        ];
        assert_eq!(found, expected);
    }
}
