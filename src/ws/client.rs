//! The client's side of the protocol, for the load generator and tests: the opening request, the check of the answer,
//! and masked frames. Time, randomness and sockets stay with the caller.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tungstenite::handshake::derive_accept_key;

use super::Opcode;
use super::frame::append_masked_frame;
use super::handshake::KEY_BYTES;
use crate::limits::{RESPONSE_HEAD_BYTES_MAX, RESPONSE_HEADERS_MAX};

/// Why an answer did not open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    #[error("the server refused the upgrade with HTTP {status} {reason}: check key, tier and path")]
    Refused { status: u16, reason: String },
    #[error("the answer is not HTTP ({0}): check host and port")]
    NotHttp(httparse::Error),
    #[error("the answer's head is longer than {RESPONSE_HEAD_BYTES_MAX} bytes: check host and port")]
    HeadTooLong,
    #[error("the answer has no `{name}: {expected}`: the server, or a proxy on the way, doesn't speak WebSocket")]
    Header { name: &'static str, expected: String },
}

/// An opening request (RFC 6455 §4.1). `host` goes into the `Host` header, `path` starts with a slash and holds the
/// query. All text is the caller's own: it is written as it is, so it must hold no line breaks.
pub fn client_request(host: &str, path: &str, key: [u8; KEY_BYTES], extra_headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n",
        STANDARD.encode(key)
    );
    for (name, value) in extra_headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// Checks the answer to [`client_request`] as far as it came: `None` while it is incomplete, else the length of its
/// head, behind which the first frame starts.
pub fn check_client_response(bytes: &[u8], key: [u8; KEY_BYTES]) -> Result<Option<usize>, ResponseError> {
    let mut headers = [httparse::EMPTY_HEADER; RESPONSE_HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head_len = match response.parse(bytes).map_err(ResponseError::NotHttp)? {
        httparse::Status::Complete(len) => len,
        httparse::Status::Partial if bytes.len() < RESPONSE_HEAD_BYTES_MAX => return Ok(None),
        httparse::Status::Partial => return Err(ResponseError::HeadTooLong),
    };
    let status = response.code.expect("a complete head has a status");
    if status != 101 {
        return Err(ResponseError::Refused { status, reason: response.reason.unwrap_or_default().to_owned() });
    }
    expect_header(response.headers, "Upgrade", "websocket", |value| value.eq_ignore_ascii_case("websocket"))?;
    expect_header(response.headers, "Connection", "Upgrade", |value| {
        value.split(',').any(|item| item.trim().eq_ignore_ascii_case("upgrade"))
    })?;
    let accept = derive_accept_key(STANDARD.encode(key).as_bytes());
    expect_header(response.headers, "Sec-WebSocket-Accept", &accept, |value| value == accept)?;
    Ok(Some(head_len))
}

/// Appends a whole frame, masked with `mask`, which a real client draws at random for each frame (§5.3).
pub fn append_client_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    append_masked_frame(out, opcode, true, payload, mask);
}

/// Appends one frame of a fragmented message; `fin` marks the last.
pub fn append_client_fragment(out: &mut Vec<u8>, opcode: Opcode, fin: bool, payload: &[u8], mask: [u8; 4]) {
    append_masked_frame(out, opcode, fin, payload, mask);
}

fn expect_header(
    headers: &[httparse::Header<'_>],
    name: &'static str,
    expected: &str,
    is_right: impl Fn(&str) -> bool,
) -> Result<(), ResponseError> {
    let found = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case(name))
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .any(|value| is_right(value.trim()));
    if found { Ok(()) } else { Err(ResponseError::Header { name, expected: expected.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

    use super::super::check_upgrade;
    use super::*;

    const KEY: [u8; 16] = *b"the sample nonce";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn answer(status: &str, accept: &str) -> String {
        format!(
            "HTTP/1.1 {status}\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        )
    }

    #[test]
    fn the_request_passes_the_servers_own_check() {
        let request = client_request("127.0.0.1:5001", "/ws/alerts?apiKey=k", KEY, &[("X-API-Key", "k")]);
        let mut parsed_headers = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Request::new(&mut parsed_headers);
        assert_eq!(parsed.parse(&request), Ok(httparse::Status::Complete(request.len())));
        assert_eq!((parsed.method, parsed.path), (Some("GET"), Some("/ws/alerts?apiKey=k")));
        let mut headers = HeaderMap::new();
        for header in parsed.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(header.value).unwrap());
        }
        assert_eq!(headers["host"], "127.0.0.1:5001");
        assert_eq!(headers["x-api-key"], "k");
        assert_eq!(check_upgrade(&Method::GET, Version::HTTP_11, &headers).as_deref(), Ok(ACCEPT));
    }

    #[test]
    fn an_answer_is_judged_when_its_head_is_complete_and_not_before() {
        let head = answer("101 Switching Protocols", ACCEPT);
        for cut in 0..head.len() {
            assert_eq!(check_client_response(&head.as_bytes()[..cut], KEY), Ok(None), "cut at {cut}");
        }
        let with_frame = head.clone() + "\u{1}\u{0}";
        assert_eq!(check_client_response(with_frame.as_bytes(), KEY), Ok(Some(head.len())));
    }

    #[test]
    fn an_answer_that_opens_no_websocket_says_why() {
        let refused = ResponseError::Refused { status: 401, reason: "Unauthorized".into() };
        assert_eq!(check_client_response(b"HTTP/1.1 401 Unauthorized\r\n\r\n", KEY), Err(refused));
        let accept = ResponseError::Header { name: "Sec-WebSocket-Accept", expected: ACCEPT.into() };
        assert_eq!(check_client_response(answer("101 x", "AAAA").as_bytes(), KEY), Err(accept));
        let upgrade = ResponseError::Header { name: "Upgrade", expected: "websocket".into() };
        assert_eq!(check_client_response(b"HTTP/1.1 101 x\r\n\r\n", KEY), Err(upgrade));
        assert!(matches!(check_client_response(b"SSH-2.0-x\r\n", KEY), Err(ResponseError::NotHttp(_))));
        let endless = b"HTTP/1.1 101 x\r\na: ".iter().copied().chain(std::iter::repeat(b'x'));
        let endless: Vec<u8> = endless.take(RESPONSE_HEAD_BYTES_MAX).collect();
        assert_eq!(check_client_response(&endless, KEY), Err(ResponseError::HeadTooLong));
    }
}
