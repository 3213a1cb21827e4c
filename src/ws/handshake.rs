//! The server's side of the opening handshake (RFC 6455 §4.2): whether a request may be upgraded.
//!
//! ```text
//!   is_upgrade_request ── no ──▶ plain HTTP
//!        │ yes
//!   check_upgrade ── Err ──▶ status(), headers(), code() and the message
//!        │ Ok(accept)
//!   101 with `Upgrade: websocket`, `Connection: Upgrade`, `Sec-WebSocket-Accept: {accept}`
//! ```
//!
//! Offered extensions (permessage-deflate) and subprotocols are declined by leaving them out of the answer.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{CONNECTION, HeaderName, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

use crate::contract::ErrorCode;

/// Bytes behind a `Sec-WebSocket-Key` (§4.1).
pub const KEY_BYTES: usize = 16;

/// Why a request can't be upgraded; all of them are the client's to mend. The HTTP answer is [`status`](Self::status),
/// [`headers`](Self::headers), and the message under the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    #[error("a WebSocket opens with GET: use a WebSocket client, or GET with the upgrade headers")]
    Method,
    #[error("a WebSocket opens over HTTP/1.1: have the client, or the proxy before this server, speak it")]
    HttpVersion,
    #[error("this is a WebSocket endpoint: send `Upgrade: websocket`")]
    NotUpgrade,
    #[error("`Connection: Upgrade` is missing: a proxy on the way may have removed it and must pass it on")]
    Connection,
    #[error("`Sec-WebSocket-Version` must be 13, once")]
    WebSocketVersion,
    #[error("`Sec-WebSocket-Key` must be 16 bytes in base64, once")]
    Key,
}

impl UpgradeError {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NotUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Connection | Self::Key => StatusCode::BAD_REQUEST,
        }
    }

    /// The machine-readable name in the JSON body.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::Method => ErrorCode::MethodNotAllowed,
            Self::HttpVersion => ErrorCode::HttpVersionNotSupported,
            Self::NotUpgrade => ErrorCode::UpgradeRequired,
            Self::Connection => ErrorCode::ConnectionUpgradeMissing,
            Self::WebSocketVersion => ErrorCode::WebSocketVersionUnsupported,
            Self::Key => ErrorCode::WebSocketKeyInvalid,
        }
    }

    /// Headers that the status asks for: 405 names the method, 426 the protocol (RFC 9110 §15.5.22) and, for a wrong
    /// version, the right one (RFC 6455 §4.4).
    pub fn headers(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("allow", "GET")],
            Self::NotUpgrade => &[("upgrade", "websocket"), ("connection", "Upgrade")],
            Self::WebSocketVersion => {
                &[("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13")]
            }
            Self::HttpVersion | Self::Connection | Self::Key => &[],
        }
    }
}

/// Whether a request wants to become a WebSocket, rightly or wrongly.
pub fn is_upgrade_request(headers: &HeaderMap) -> bool {
    lists_token(headers, UPGRADE, "websocket")
}

/// Checks a request and returns the value of the answer's `Sec-WebSocket-Accept`.
pub fn check_upgrade(method: &Method, version: Version, headers: &HeaderMap) -> Result<String, UpgradeError> {
    if method != Method::GET {
        return Err(UpgradeError::Method);
    }
    if version != Version::HTTP_11 {
        return Err(UpgradeError::HttpVersion);
    }
    if !is_upgrade_request(headers) {
        return Err(UpgradeError::NotUpgrade);
    }
    if !lists_token(headers, CONNECTION, "upgrade") {
        return Err(UpgradeError::Connection);
    }
    if only_value(headers, SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(UpgradeError::WebSocketVersion);
    }
    match only_value(headers, SEC_WEBSOCKET_KEY) {
        Some(key) if is_key(key) => Ok(derive_accept_key(key.as_bytes())),
        _ => Err(UpgradeError::Key),
    }
}

/// Whether a comma-separated list, perhaps over several lines, holds the token in any case.
fn lists_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that must not be repeated (§11.3); `None` where it is, or is missing.
fn only_value(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => Some(line.to_str().ok()?.trim()),
        _ => None,
    }
}

fn is_key(key: &str) -> bool {
    // The RFC's own example key (§4.1) has stray bits behind the last byte, so clients that copied it do, too.
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
    const BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
    // A longer key fails for want of room.
    let mut bytes = [0; KEY_BYTES + 2];
    BASE64.decode_slice(key, &mut bytes) == Ok(KEY_BYTES)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tungstenite::client::IntoClientRequest;

    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn good() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "localhost"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    fn check(change: impl FnOnce(&mut HeaderMap)) -> Result<String, UpgradeError> {
        let mut headers = good();
        change(&mut headers);
        check_upgrade(&Method::GET, Version::HTTP_11, &headers)
    }

    fn with(name: &'static str, value: &'static str) -> Result<String, UpgradeError> {
        check(|headers| _ = headers.insert(name, HeaderValue::from_static(value)))
    }

    #[test]
    fn the_request_of_the_rfc_gets_the_accept_value_of_the_rfc() {
        assert_eq!(check(|_| {}).as_deref(), Ok(ACCEPT));
    }

    #[test]
    fn a_request_of_tungstenite_is_accepted() {
        let request = "ws://localhost/ws/alerts?apiKey=k".into_client_request().unwrap();
        assert!(is_upgrade_request(request.headers()));
        let accept = check_upgrade(request.method(), request.version(), request.headers()).unwrap();
        assert_eq!(accept, derive_accept_key(request.headers()["sec-websocket-key"].as_bytes()));
    }

    #[test]
    fn tokens_are_found_in_lists_over_several_lines_in_any_case() {
        assert!(with("upgrade", "h2c, WebSocket").is_ok());
        assert!(with("connection", "keep-alive ,  uPgRaDe").is_ok());
        let second_line = |headers: &mut HeaderMap| {
            headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
            headers.append(CONNECTION, HeaderValue::from_static("upgrade"));
        };
        assert!(check(second_line).is_ok());
        assert_eq!(with("connection", "keep-alive, upgraded"), Err(UpgradeError::Connection));
        assert_eq!(with("upgrade", "websockets"), Err(UpgradeError::NotUpgrade));
    }

    #[test]
    fn extensions_and_subprotocols_that_are_offered_do_not_hinder() {
        assert!(with("sec-websocket-extensions", "permessage-deflate; client_max_window_bits").is_ok());
        assert!(with("sec-websocket-protocol", "chat").is_ok());
    }

    #[test]
    fn each_missing_or_wrong_part_has_its_own_error() {
        for (name, error) in [
            ("upgrade", UpgradeError::NotUpgrade),
            ("connection", UpgradeError::Connection),
            ("sec-websocket-version", UpgradeError::WebSocketVersion),
            ("sec-websocket-key", UpgradeError::Key),
        ] {
            assert_eq!(check(|headers| _ = headers.remove(name)), Err(error), "{name} missing");
            assert_eq!(with(name, ""), Err(error), "{name} empty");
            let not_text = HeaderValue::from_bytes(b"\xff").unwrap();
            assert_eq!(check(|headers| _ = headers.insert(name, not_text)), Err(error), "{name} not text");
        }
        assert_eq!(check_upgrade(&Method::POST, Version::HTTP_11, &good()), Err(UpgradeError::Method));
        assert_eq!(check_upgrade(&Method::GET, Version::HTTP_10, &good()), Err(UpgradeError::HttpVersion));
        assert_eq!(check_upgrade(&Method::GET, Version::HTTP_2, &good()), Err(UpgradeError::HttpVersion));
    }

    #[test]
    fn another_version_is_told_which_one_is_spoken() {
        for version in ["8", "14", "13, 8", "0x13"] {
            assert_eq!(with("sec-websocket-version", version), Err(UpgradeError::WebSocketVersion));
        }
        assert_eq!(UpgradeError::WebSocketVersion.status(), 426);
        assert!(UpgradeError::WebSocketVersion.headers().contains(&("sec-websocket-version", "13")));
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64_once() {
        for key in ["AQIDBAUGBwgJCgsMDQ4PEC==", "AQIDBAUGBwgJCgsMDQ4PEA=="] {
            assert!(with("sec-websocket-key", key).is_ok(), "{key}");
        }
        for key in [
            "AQIDBAUGBwgJCgsMDQ4P",
            "AQIDBAUGBwgJCgsMDQ4PEBE=",
            "AQIDBAUGBwgJCgsMDQ4PEBES",
            "AQIDBAUGBwgJCgsMDQ4PEA",
            "AQIDBAUGBwgJCgsMDQ4PE???",
            "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=",
        ] {
            assert_eq!(with("sec-websocket-key", key), Err(UpgradeError::Key), "{key}");
        }
        let twice = |headers: &mut HeaderMap| _ = headers.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static(KEY));
        assert_eq!(check(twice), Err(UpgradeError::Key));
    }
}
