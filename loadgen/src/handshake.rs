//! The client's half of an upgrade (RFC 6455 §4.1), the request for a stream of events, and the reading of HTTP answers; bytes in,
//! verdicts out.
//!
//! Every socket of a run sends the same request with the same key: the key only proves that the server speaks
//! WebSocket, and one proof serves as well as ten thousand.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use crate::limits::ANSWER_BYTES_MAX;
use crate::target::Target;

/// The bytes of an upgrade request, and the answer that proves it was understood.
#[derive(Clone, Debug)]
pub struct Upgrade {
    pub request: Vec<u8>,
    pub accept: String,
}

impl Upgrade {
    /// `nonce` is the 16 random bytes of `Sec-WebSocket-Key`.
    pub fn new(target: &Target, nonce: [u8; 16]) -> Self {
        Self::with_header(target, nonce, "")
    }

    /// `header`: one more line of the head with its line break, or nothing.
    pub fn with_header(target: &Target, nonce: [u8; 16], header: &str) -> Self {
        let key = STANDARD.encode(nonce);
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
             Sec-WebSocket-Version: 13\r\nUser-Agent: loadgen/{}\r\n{header}\r\n",
            target.path,
            target.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        Self { request: request.into_bytes(), accept: derive_accept_key(key.as_bytes()) }
    }

    /// No upgrade, but the request for a stream of events.
    pub fn event_stream(target: &Target, header: &str) -> Self {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\nUser-Agent: loadgen/{}\r\n{header}\r\n",
            target.path,
            target.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        Self { request: request.into_bytes(), accept: String::new() }
    }
}

/// In what a server's messages come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Frames, after an upgrade.
    WebSocket,
    /// Server-sent events, in an HTTP answer that does not end.
    EventStream,
}

/// An HTTP answer's head; its body begins at `body_at`.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    reason: String,
    accept: Option<String>,
    is_event_stream: bool,
    /// Its body comes in another form than it is: in chunks, or compressed.
    is_encoded: bool,
    body_at: usize,
    body: BodyLength,
}

/// How long a body is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyLength {
    Known(usize),
    Chunked,
    UntilTheEnd,
}

/// A whole HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub body: String,
}

/// What the bytes read so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More bytes are needed.
    Partial,
    /// 101 with the right proof, or 200 with a stream of events; messages begin `consumed` bytes in.
    Upgraded { consumed: usize },
    /// The server said no, in HTTP.
    Refused(Answer),
    /// It was not an answer that a WebSocket server gives.
    Nonsense(&'static str),
}

/// Reads the answer to an upgrade. `ended`: no more bytes will come.
pub fn read_upgrade(bytes: &[u8], ended: bool, accept: &str) -> Verdict {
    match read_head(bytes) {
        Err(what) => Verdict::Nonsense(what),
        Ok(None) if ended => Verdict::Nonsense("the server closed the connection without an answer"),
        Ok(None) => Verdict::Partial,
        Ok(Some(head)) if head.status == 101 => match head.accept {
            Some(given) if given == accept => Verdict::Upgraded { consumed: head.body_at },
            _ => Verdict::Nonsense("the server's Sec-WebSocket-Accept is missing or wrong"),
        },
        Ok(Some(head)) => refusal(&head, bytes, ended),
    }
}

/// Reads the answer to the request for a stream of events. `ended`: no more bytes will come.
pub fn read_event_stream(bytes: &[u8], ended: bool) -> Verdict {
    match read_head(bytes) {
        Err(what) => Verdict::Nonsense(what),
        Ok(None) if ended => Verdict::Nonsense("the server closed the connection without an answer"),
        Ok(None) => Verdict::Partial,
        Ok(Some(head)) if head.status == 200 => match head {
            Head { is_event_stream: false, .. } => Verdict::Nonsense("the server's answer is no text/event-stream"),
            Head { is_encoded: true, .. } => Verdict::Nonsense(
                "the server's event stream comes in chunks or compressed, and loadgen takes it only plain",
            ),
            Head { body_at, .. } => Verdict::Upgraded { consumed: body_at },
        },
        Ok(Some(head)) => refusal(&head, bytes, ended),
    }
}

fn refusal(head: &Head, bytes: &[u8], ended: bool) -> Verdict {
    match complete(head, bytes, ended) {
        Some((answer, _)) => Verdict::Refused(answer),
        None => Verdict::Partial,
    }
}

/// Reads the answer to a plain request; with it, how many bytes it took. `None`: more bytes are needed.
pub fn read_answer(bytes: &[u8]) -> Result<Option<(Answer, usize)>, &'static str> {
    Ok(read_head(bytes)?.and_then(|head| complete(&head, bytes, false)))
}

/// The answer, and how many bytes it takes; `None` where it is not whole yet.
fn complete(head: &Head, bytes: &[u8], ended: bool) -> Option<(Answer, usize)> {
    let rest = &bytes[head.body_at..];
    let is_at_an_end = ended || bytes.len() >= ANSWER_BYTES_MAX;
    let (body, taken) = match head.body {
        BodyLength::Known(length) => (Cow::Borrowed(rest.get(..length).or(is_at_an_end.then_some(rest))?), length),
        BodyLength::Chunked => dechunk(rest).or_else(|| is_at_an_end.then_some((Cow::Borrowed(rest), rest.len())))?,
        BodyLength::UntilTheEnd => (Cow::Borrowed(is_at_an_end.then_some(rest)?), rest.len()),
    };
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    Some((
        Answer { status: head.status, reason: head.reason.clone(), body: text },
        head.body_at + taken.min(rest.len()),
    ))
}

/// A chunked body (RFC 9112 §7.1), and how many bytes it takes with its trailer; `None` where it is not whole.
fn dechunk(bytes: &[u8]) -> Option<(Cow<'_, [u8]>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Ok(httparse::Status::Complete((head, length))) = httparse::parse_chunk_size(&bytes[at..]) else {
            return None;
        };
        let begin = at + head;
        if length == 0 {
            let mut trailer = [httparse::EMPTY_HEADER; 8];
            let Ok(httparse::Status::Complete((trailer, _))) = httparse::parse_headers(&bytes[begin..], &mut trailer)
            else {
                return None;
            };
            return Some((Cow::Owned(body), begin + trailer));
        }
        let end = begin.checked_add(usize::try_from(length).ok()?)?;
        body.extend_from_slice(bytes.get(begin..end)?);
        at = end + 2;
        bytes.get(..at)?;
    }
}

fn read_head(bytes: &[u8]) -> Result<Option<Head>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let body_at = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if bytes.len() < ANSWER_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) => return Err("the server's answer has an endless head"),
        Err(_) => return Err("the server's answer is not HTTP"),
    };
    let header = |name: &str| {
        let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok().map(str::trim)
    };
    let status = response.code.unwrap_or(0);
    let is_chunked = header("transfer-encoding").is_some_and(|coding| coding.to_ascii_lowercase().ends_with("chunked"));
    let length = header("content-length").and_then(|length| length.parse().ok());
    Ok(Some(Head {
        status,
        reason: response.reason.unwrap_or("").to_owned(),
        accept: header("sec-websocket-accept").map(str::to_owned),
        is_event_stream: header("content-type")
            .and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream")),
        is_encoded: ["transfer-encoding", "content-encoding"]
            .iter()
            .any(|name| header(name).is_some_and(|how| !how.eq_ignore_ascii_case("identity"))),
        body_at,
        body: match length {
            _ if matches!(status, 100..=199 | 204 | 304) => BodyLength::Known(0),
            _ if is_chunked => BodyLength::Chunked,
            Some(length) => BodyLength::Known(length),
            None => BodyLength::UntilTheEnd,
        },
    }))
}

/// The floor server's answer to the upgrade in `request`; `None` where there is no key in it.
pub fn accept_upgrade(request: &[u8]) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut parsed = httparse::Request::new(&mut headers);
    parsed.parse(request).ok()?.is_complete().then_some(())?;
    let key = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"))?.value;
    let accept = derive_accept_key(key);
    Some(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
        .into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upgrade() -> Upgrade {
        let target = Target::parse("ws://127.0.0.1:5001/ws/alerts?apiKey=k", "ws").unwrap();
        Upgrade::new(&target, [7; 16])
    }

    #[test]
    fn the_floors_answer_is_accepted_and_what_follows_it_is_left() {
        let upgrade = upgrade();
        let mut answer = accept_upgrade(&upgrade.request).unwrap();
        let head = answer.len();
        answer.extend(b"\x81\x02hi");
        assert_eq!(read_upgrade(&answer, false, &upgrade.accept), Verdict::Upgraded { consumed: head });
        for cut in 0..head {
            assert_eq!(read_upgrade(&answer[..cut], false, &upgrade.accept), Verdict::Partial, "{cut}");
        }
    }

    #[test]
    fn the_request_names_path_and_host() {
        let text = String::from_utf8(upgrade().request).unwrap();
        assert!(text.starts_with("GET /ws/alerts?apiKey=k HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_refusal_brings_status_and_body_once_the_body_is_there() {
        let bytes = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 16\r\n\r\n{\"success\":true}";
        assert_eq!(read_upgrade(&bytes[..60], false, "x"), Verdict::Partial);
        let answer = Answer { status: 401, reason: "Unauthorized".into(), body: "{\"success\":true}".into() };
        assert_eq!(read_upgrade(bytes, false, "x"), Verdict::Refused(answer));
    }

    #[test]
    fn a_refusal_cut_short_is_still_told() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 100\r\n\r\nfull";
        let Verdict::Refused(answer) = read_upgrade(bytes, true, "x") else { panic!("not refused") };
        assert_eq!((answer.status, answer.body.as_str()), (503, "full"));
    }

    #[test]
    fn a_wrong_proof_and_other_protocols_are_nonsense() {
        let bytes = accept_upgrade(&upgrade().request).unwrap();
        assert!(matches!(read_upgrade(&bytes, false, "wrong"), Verdict::Nonsense(_)));
        assert!(matches!(read_upgrade(b"SSH-2.0-OpenSSH_9.2\r\n", false, "x"), Verdict::Nonsense(_)));
        assert!(matches!(read_upgrade(b"", true, "x"), Verdict::Nonsense(_)));
    }

    #[test]
    fn answers_without_a_length_are_whole_all_the_same() {
        let next = b"HTTP/1.1 200 OK\r\n";
        for (bytes, body) in [
            (&b"HTTP/1.1 204 No Content\r\n\r\n"[..], ""),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\n\r\n",
                "{\"a\":1}",
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nTrailer: t\r\n\r\n", "x"),
        ] {
            let all = [bytes, next].concat();
            let (answer, taken) = read_answer(&all).unwrap().unwrap();
            assert_eq!((answer.body.as_str(), taken), (body, bytes.len()));
            for cut in 0..bytes.len() {
                assert_eq!(read_answer(&bytes[..cut]), Ok(None), "{cut}");
            }
        }
        let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx";
        assert_eq!(read_answer(endless), Ok(None));
    }

    #[test]
    fn a_stream_of_events_is_a_plain_unbounded_200() {
        let plain =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n: \n\n";
        assert_eq!(read_event_stream(plain, false), Verdict::Upgraded { consumed: plain.len() - 4 });
        for cut in 0..plain.len() - 4 {
            assert_eq!(read_event_stream(&plain[..cut], false), Verdict::Partial, "{cut}");
        }
        let nonsense = |bytes: &[u8]| match read_event_stream(bytes, false) {
            Verdict::Nonsense(what) => what,
            other => panic!("{other:?}"),
        };
        assert!(nonsense(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").contains("text/event-stream"));
        let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(nonsense(chunked).contains("chunks"));
        let refused = read_event_stream(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", false);
        assert!(matches!(refused, Verdict::Refused(Answer { status: 403, .. })));
    }

    #[test]
    fn answers_in_a_row_are_taken_one_by_one() {
        let one = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let two = [&one[..], &one[..20]].concat();
        let (answer, taken) = read_answer(&two).unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_str(), taken), (200, "{}", one.len()));
        assert_eq!(read_answer(&two[taken..]), Ok(None));
    }
}
