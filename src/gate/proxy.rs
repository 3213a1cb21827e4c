//! The PROXY protocol, version 2 (proxy-protocol.txt of HAProxy, §2.2): the binary header by which a proxy that passes bytes
//! on says whose they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// So far a header. At least so many bytes of it are missing, and none of them belongs to what follows, so whoever
    /// reads no more than these reads nothing of the request.
    NeedMore(usize),
    /// The whole header.
    Parsed {
        /// The client's address. None: the connection is the proxy's own, or the client has no internet address.
        source: Option<IpAddr>,
        /// The header's length in bytes.
        consumed: usize,
    },
}

/// The connection begins with something else; nothing more is to be read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    #[error("it does not begin with a PROXY protocol header of version 2: let the proxy send one (`send-proxy-v2`)")]
    Signature,
    #[error("version {0} of the PROXY protocol is not served, only version 2")]
    Version(u8),
    #[error("the PROXY protocol has no command {0}")]
    Command(u8),
    #[error("the PROXY protocol has no address family {0}")]
    Family(u8),
    #[error("a TCP connection cannot pass on transport {0}")]
    Transport(u8),
    #[error("its PROXY protocol header of {0} bytes is longer than {max} bytes", max = limits::PROXY_HEADER_BYTES_MAX)]
    TooLong(usize),
    #[error("its PROXY protocol header is too short for the addresses that it announces")]
    TooShort,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, and the length of the rest.
const FIXED_BYTES: usize = 16;

/// Reads the header at the start of `bytes`. Its extensions (TLVs) are skipped, unread.
pub fn parse_proxy_header(bytes: &[u8]) -> Result<ProxyHeader, InvalidHeader> {
    // What begins differently is not waited for.
    if !bytes.iter().zip(SIGNATURE).all(|(byte, expected)| byte == expected) {
        return Err(InvalidHeader::Signature);
    }
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else {
        return Ok(ProxyHeader::NeedMore(FIXED_BYTES - bytes.len()));
    };
    let [.., command, family, length_high, length_low] = *fixed;
    if command >> 4 != 2 {
        return Err(InvalidHeader::Version(command >> 4));
    }
    let consumed = FIXED_BYTES + usize::from(u16::from_be_bytes([length_high, length_low]));
    if consumed > limits::PROXY_HEADER_BYTES_MAX {
        return Err(InvalidHeader::TooLong(consumed));
    }
    let Some(rest) = bytes.get(FIXED_BYTES..consumed) else {
        return Ok(ProxyHeader::NeedMore(consumed - bytes.len()));
    };
    let source = match command & 0xf {
        // LOCAL, such as a health check: whatever addresses it has mean nothing.
        0 => None,
        1 => source(family, rest)?,
        other => return Err(InvalidHeader::Command(other)),
    };
    Ok(ProxyHeader::Parsed { source, consumed })
}

/// The first of the two addresses.
fn source(family: u8, addresses: &[u8]) -> Result<Option<IpAddr>, InvalidHeader> {
    let (family, transport) = (family >> 4, family & 0xf);
    // Unspecified, or a stream.
    if transport > 1 {
        return Err(InvalidHeader::Transport(transport));
    }
    match family {
        // Two addresses and two ports.
        1 => {
            let [source @ .., _, _, _, _, _, _, _, _] = addresses.first_chunk::<12>().ok_or(InvalidHeader::TooShort)?;
            Ok(Some(Ipv4Addr::from(*source).into()))
        }
        2 => {
            let both = addresses.first_chunk::<36>().ok_or(InvalidHeader::TooShort)?;
            let source: &[u8; 16] = both.first_chunk().expect("36 bytes begin with 16");
            Ok(Some(Ipv6Addr::from(*source).to_canonical()))
        }
        // Unspecified, or a Unix socket.
        0 | 3 => Ok(None),
        other => Err(InvalidHeader::Family(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with that command and family, and `rest` behind the fixed part.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("a length").to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    /// 192.0.2.7:1000 → 198.51.100.1:443.
    const IPV4: [u8; 12] = [192, 0, 2, 7, 198, 51, 100, 1, 3, 232, 1, 187];

    fn ipv6(source: &str) -> Vec<u8> {
        [&source.parse::<Ipv6Addr>().expect("an address").octets()[..], &[9; 20]].concat()
    }

    fn parsed(source: Option<&str>, consumed: usize) -> Result<ProxyHeader, InvalidHeader> {
        Ok(ProxyHeader::Parsed { source: source.map(|text| text.parse().expect("an address")), consumed })
    }

    #[test]
    fn the_source_is_told_and_extensions_and_what_follows_are_left() {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let extension = [4, 0, 3, 1, 2, 3];
        for (header, expected) in [
            (header(0x21, 0x11, &IPV4), parsed(Some("192.0.2.7"), 28)),
            (header(0x21, 0x11, &[&IPV4[..], &extension].concat()), parsed(Some("192.0.2.7"), 34)),
            (header(0x21, 0x21, &ipv6("2001:db8::5")), parsed(Some("2001:db8::5"), 52)),
            (header(0x21, 0x21, &ipv6("::ffff:192.0.2.7")), parsed(Some("192.0.2.7"), 52)),
            (header(0x21, 0x31, &[7; 216]), parsed(None, 232)),
            (header(0x21, 0x00, &[]), parsed(None, 16)),
            (header(0x21, 0x00, &extension), parsed(None, 22)),
            (header(0x20, 0x00, &[]), parsed(None, 16)),
            (header(0x20, 0x11, &IPV4), parsed(None, 28)),
        ] {
            assert_eq!(parse_proxy_header(&header), expected);
            assert_eq!(parse_proxy_header(&[&header[..], request].concat()), expected, "whatever follows");
        }
    }

    #[test]
    fn a_header_in_pieces_asks_for_its_own_bytes_and_no_others() {
        let header = header(0x21, 0x21, &[&ipv6("2001:db8::5")[..], &[0; 40]].concat());
        for held in 0..header.len() {
            let missing = if held < FIXED_BYTES { FIXED_BYTES - held } else { header.len() - held };
            assert_eq!(parse_proxy_header(&header[..held]), Ok(ProxyHeader::NeedMore(missing)), "{held}");
        }
        assert_eq!(parse_proxy_header(&header), parsed(Some("2001:db8::5"), header.len()));
    }

    #[test]
    fn anything_else_is_refused_as_soon_as_it_shows() {
        for other in [&b"G"[..], b"GET / HTTP/1.1", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\r"] {
            assert_eq!(parse_proxy_header(other), Err(InvalidHeader::Signature));
        }
        for (bytes, expected) in [
            (header(0x11, 0x11, &IPV4), InvalidHeader::Version(1)),
            (header(0x22, 0x11, &IPV4), InvalidHeader::Command(2)),
            (header(0x21, 0x41, &IPV4), InvalidHeader::Family(4)),
            (header(0x21, 0x12, &IPV4), InvalidHeader::Transport(2)),
            (header(0x21, 0x11, &IPV4[..11]), InvalidHeader::TooShort),
            (header(0x21, 0x21, &[0; 35]), InvalidHeader::TooShort),
        ] {
            assert_eq!(parse_proxy_header(&bytes), Err(expected));
        }
    }

    #[test]
    fn a_header_is_bounded_before_it_is_read() {
        let rest = limits::PROXY_HEADER_BYTES_MAX - FIXED_BYTES;
        let longest = header(0x21, 0x11, &[&IPV4[..], &vec![0; rest - 12]].concat());
        assert_eq!(parse_proxy_header(&longest), parsed(Some("192.0.2.7"), limits::PROXY_HEADER_BYTES_MAX));
        let longer = header(0x21, 0x11, &vec![0; rest + 1]);
        assert_eq!(
            parse_proxy_header(&longer[..FIXED_BYTES]),
            Err(InvalidHeader::TooLong(limits::PROXY_HEADER_BYTES_MAX + 1))
        );
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_more_than_there_are() {
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..100_000 {
            let mut bytes = header(random.u8(0x1f..0x24), random.u8(..), &vec![0; random.usize(0..64)]);
            let at = random.usize(12..bytes.len());
            bytes[at] = random.u8(..);
            bytes.truncate(random.usize(0..=bytes.len()));
            if let Ok(ProxyHeader::Parsed { consumed, .. }) = parse_proxy_header(&bytes) {
                assert!(consumed <= bytes.len());
            }
        }
    }
}
