//! The opening handshake: any request head, as the HTTP parser hands it on.
//!
//! Input: a request's head, as it comes over the wire.

#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use libfuzzer_sys::fuzz_target;
use stentor::ws::{check_upgrade, is_upgrade_request};

const HEADERS_MAX: usize = 64;
/// Without any one of these, nothing is upgraded.
const NEEDED: [&str; 4] = ["upgrade", "connection", "sec-websocket-version", "sec-websocket-key"];

fuzz_target!(|input: &[u8]| {
    let Some((method, version, headers)) = parse(input) else { return };
    match check_upgrade(&method, version, &headers) {
        Ok(accept) => {
            assert_eq!((method, version), (Method::GET, Version::HTTP_11));
            assert!(is_upgrade_request(&headers));
            // SHA-1 in base64 (RFC 6455 §4.2.2).
            assert_eq!(accept.len(), 28);
            assert!(HeaderValue::from_str(&accept).is_ok());
            for name in NEEDED {
                let mut without = headers.clone();
                without.remove(name);
                assert!(check_upgrade(&Method::GET, version, &without).is_err(), "upgraded without {name}");
            }
        }
        Err(error) => {
            assert!(error.status().is_client_error() || error.status().is_server_error());
            for (name, value) in error.headers() {
                assert!(HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok());
            }
        }
    }
});

/// What hyper would make of it; `None` where it would refuse it before the server sees it.
fn parse(input: &[u8]) -> Option<(Method, Version, HeaderMap)> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut lines);
    if !request.parse(input).ok()?.is_complete() {
        return None;
    }
    let mut headers = HeaderMap::new();
    for line in request.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    let version = if request.version? == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    Some((Method::from_bytes(request.method?.as_bytes()).ok()?, version, headers))
}
