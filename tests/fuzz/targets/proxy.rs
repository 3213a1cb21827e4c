//! What a proxy says about whom it speaks for: the PROXY header, and `X-Forwarded-For`.
//!
//! Input: the first bytes of a connection; also taken as the header's lines, one a line.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use stentor::gate::{Client, Network, ProxyHeader, parse_proxy_header};
use stentor::limits::PROXY_HEADER_BYTES_MAX;

fuzz_target!(|input: &[u8]| {
    check_header(input);
    check_forwarded(input);
});

/// Read as the desk reads it, in the steps that it is told, the header is the one that it is in one piece, and no byte
/// behind it is asked for.
fn check_header(input: &[u8]) {
    let whole = parse_proxy_header(input);
    let mut read = 0;
    loop {
        match parse_proxy_header(&input[..read]) {
            Ok(ProxyHeader::NeedMore(missing)) => {
                assert!(missing > 0);
                assert!(read + missing <= PROXY_HEADER_BYTES_MAX, "{missing} more after {read}");
                if read + missing > input.len() {
                    // It may still go wrong in what came meanwhile, but it cannot be whole.
                    assert!(!matches!(whole, Ok(ProxyHeader::Parsed { .. })));
                    return;
                }
                read += missing;
            }
            Ok(ProxyHeader::Parsed { source, consumed }) => {
                assert_eq!(consumed, read, "more was asked for than the header has");
                assert_eq!(whole, Ok(ProxyHeader::Parsed { source, consumed }));
                assert!(source.is_none_or(|source| source.to_canonical() == source));
                return;
            }
            Err(error) => {
                assert_eq!(whole, Err(error));
                return;
            }
        }
    }
}

fn check_forwarded(input: &[u8]) {
    let trusted = ["10.0.0.0/8", "fd00::/8"].map(|text| text.parse::<Network>().expect("a network"));
    let client = |peer: IpAddr| Client::of(peer, input.split(|byte| *byte == b'\n'), &trusted);
    let stranger = IpAddr::from([192, 0, 2, 1]);
    assert_eq!(client(stranger), Client { address: stranger, is_named: false }, "a stranger was believed");
    let behind_proxy = client(IpAddr::from([10, 0, 0, 1])).address;
    assert_eq!(behind_proxy.to_canonical(), behind_proxy);
}
