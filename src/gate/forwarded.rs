//! Whose request it is that a proxy passed on.

use std::net::{IpAddr, SocketAddr};

use super::Network;
use crate::limits;

/// Whom a request counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The client's address, or of those whom it came through the last that is known.
    pub address: IpAddr,
    /// Whether that is the client's own, and not of somebody who passes a request on for one that nobody believed names.
    pub is_named: bool,
}

impl Client {
    /// The client's address is the peer's own, or, where that is a trusted proxy's, what the proxy says in `X-Forwarded-For`.
    ///
    /// Each proxy adds whom it was called by at the right end, so the list is walked from there, over all of its lines
    /// (`forwarded_for`, in the order of the message): past trusted proxies to the first address that is none. Whatever stands
    /// left of it was written by the client, who may write anything. Where the list ends, or something else than an address
    /// stands in it, or after [`FORWARDED_HOPS_MAX`](limits::FORWARDED_HOPS_MAX), it is the last trusted one.
    pub fn of<'a>(
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a [u8]>,
        trusted_proxies: &[Network],
    ) -> Self {
        let mut client = Self { address: peer.to_canonical(), is_named: false };
        let mut hops = forwarded_for.rev().flat_map(|line| line.rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let is_trusted = |client: Self| Network::any_contains(trusted_proxies, client.address);
        for _ in 0..limits::FORWARDED_HOPS_MAX {
            if !is_trusted(client) {
                break;
            }
            match hops.next() {
                // A list may have empty elements, which mean nothing (RFC 9110 §5.6.1).
                Some(b"") => continue,
                Some(hop) => match address(hop) {
                    Some(address) => client = Self { address: address.to_canonical(), is_named: true },
                    None => return Self { is_named: false, ..client },
                },
                // It speaks for itself, as far as it says.
                None => return Self { is_named: true, ..client },
            }
        }
        // A stranger is itself where it has no list. One of more hops than are looked at ends with a proxy.
        Self { is_named: !is_trusted(client) && (client.is_named || hops.next().is_none()), ..client }
    }
}

/// An address as proxies write it: bare, in brackets, in quotes, with a port or without.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: &str = "10.0.0.1";

    /// Whom a request from `peer` with these lines of the header counts as, where 10.0.0.0/8 and fd00::/8 are proxies.
    fn told(peer: &str, lines: &[&str]) -> Client {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().expect("a network"));
        let lines = lines.iter().map(|line| line.as_bytes());
        Client::of(peer.parse().expect("an address"), lines, &trusted)
    }

    fn client(peer: &str, lines: &[&str]) -> String {
        told(peer, lines).address.to_string()
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        assert_eq!(client("192.0.2.9", &["198.51.100.1"]), "192.0.2.9");
        assert_eq!(client(PROXY, &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(PROXY, &[]), PROXY);
    }

    #[test]
    fn the_first_from_the_right_that_is_no_proxy_is_the_client() {
        assert_eq!(client(PROXY, &["203.0.113.7, 198.51.100.1, 10.2.3.4, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(client(PROXY, &["203.0.113.7", "198.51.100.1", "10.2.3.4"]), "198.51.100.1", "over several lines");
        assert_eq!(client(PROXY, &["203.0.113.7,198.51.100.1", "10.2.3.4 ,\t10.3.3.3"]), "198.51.100.1");
        assert_eq!(client(PROXY, &["10.7.7.7, 10.2.3.4"]), "10.7.7.7", "where all are trusted, the outermost");
    }

    #[test]
    fn what_a_client_made_up_left_of_its_own_address_counts_for_nothing() {
        for made_up in ["10.0.0.5", "127.0.0.1", "garbage", "", "\u{fffd}", &"1.1.1.1,".repeat(10_000)] {
            assert_eq!(client(PROXY, &[&format!("{made_up}, 198.51.100.1")]), "198.51.100.1");
        }
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (written, expected) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("\"[2001:db8::1]\"", "2001:db8::1"),
            ("\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("\"1.2.3.4\"", "1.2.3.4"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
        ] {
            assert_eq!(client(PROXY, &[written]), expected, "{written}");
        }
    }

    #[test]
    fn past_what_is_no_address_the_last_proxy_is_the_client() {
        for garbage in ["unknown", "_hidden", "1.2.3", "1.2.3.4:", "[::1", "\"", "1.2.3.4:99999", "a, \u{1f37a}"] {
            assert_eq!(client(PROXY, &[&format!("198.51.100.1, {garbage}, 10.2.3.4")]), "10.2.3.4", "{garbage}");
        }
        assert_eq!(client(PROXY, &["198.51.100.1,, ,"]), "198.51.100.1", "empty elements mean nothing");
        assert_eq!(client(PROXY, &["", ",,"]), PROXY);
    }

    #[test]
    fn a_client_is_named_by_itself_or_by_somebody_who_is_believed() {
        let endless = format!("198.51.100.1{}", ", 10.0.0.2".repeat(limits::FORWARDED_HOPS_MAX));
        for (peer, lines, is_named) in [
            ("192.0.2.9", &[][..], true),
            (PROXY, &[], true),
            (PROXY, &["198.51.100.1"], true),
            (PROXY, &["unknown, 198.51.100.1, 10.2.3.4"], true),
            (PROXY, &["10.7.7.7, 10.2.3.4"], true),
            (PROXY, &["", ","], true),
            // Passed on, but not by a proxy that is trusted.
            ("192.0.2.9", &["198.51.100.1"], false),
            ("192.0.2.9", &[""], false),
            // Passed on, and nobody says for whom.
            (PROXY, &["unknown"], false),
            (PROXY, &["198.51.100.1, unknown, 10.2.3.4"], false),
            (PROXY, &[&endless], false),
        ] {
            assert_eq!(told(peer, lines).is_named, is_named, "{peer} {lines:?}");
        }
    }

    #[test]
    fn no_list_is_walked_for_ever() {
        let list = format!("198.51.100.1{}", ", 10.0.0.2".repeat(limits::FORWARDED_HOPS_MAX));
        assert_eq!(client(PROXY, &[&list]), "10.0.0.2");
        let list = format!("198.51.100.1{}", ", 10.0.0.2".repeat(limits::FORWARDED_HOPS_MAX - 1));
        assert_eq!(client(PROXY, &[&list]), "198.51.100.1");
    }
}
