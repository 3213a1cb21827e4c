//! What the operator allows at the door: the part of the configuration that the front desks follow.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::limits;

/// Limits and trust at the front desks. A limit of 0 is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// WebSockets at a time with one API key, or as one user of the rooms protocol.
    pub connections_per_key: u32,
    /// WebSockets at a time from one client address.
    pub connections_per_address: u32,
    /// WebSocket handshakes a second from one client address, and how many may come at once.
    pub handshakes_per_second: u32,
    pub handshake_burst: u32,
    /// WebSockets at a time, of the whole server, that have not authenticated yet. One client address may have a share:
    /// [`pending_authentications_per_address`](Self::pending_authentications_per_address).
    pub pending_authentications: u32,
    /// Client addresses that the four limits above don't count.
    pub exempt_addresses: Vec<Network>,
    /// Events a second of one publisher's key, and how many may come at once.
    pub publisher_events_per_second: u32,
    pub publisher_event_burst: u32,
    /// Bytes of one publisher's requests that are being read, parsed or numbered.
    pub publisher_bytes_in_flight: u64,
    /// Peers whose word on the client's address is taken (`X-Forwarded-For`, the PROXY protocol).
    pub trusted_proxies: Vec<Network>,
    /// Every connection from a trusted proxy begins with a PROXY protocol header, version 2.
    pub proxy_protocol: bool,
    /// Whose pages may connect and call from a browser.
    pub allowed_origins: Origins,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connections_per_key: limits::CONNECTIONS_PER_KEY,
            connections_per_address: limits::CONNECTIONS_PER_ADDRESS,
            handshakes_per_second: limits::HANDSHAKES_PER_SECOND,
            handshake_burst: limits::HANDSHAKE_BURST,
            pending_authentications: limits::PENDING_AUTHENTICATIONS,
            exempt_addresses: vec![Network::LOOPBACK_V4, Network::LOOPBACK_V6],
            publisher_events_per_second: limits::PUBLISHER_EVENTS_PER_SECOND,
            publisher_event_burst: limits::PUBLISHER_EVENT_BURST,
            publisher_bytes_in_flight: limits::PUBLISHER_BYTES_IN_FLIGHT,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            allowed_origins: Origins::Any,
        }
    }
}

impl Policy {
    /// WebSockets at a time from one client address that have not authenticated yet; 0 is no limit.
    pub fn pending_authentications_per_address(&self) -> u32 {
        match self.pending_authentications {
            0 => 0,
            max => (max / limits::PENDING_ADDRESSES_MIN).max(1),
        }
    }
}

/// A range of addresses in CIDR notation, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Never an IPv4 address in IPv6's form (`::ffff:a.b.c.d`). Its bits behind the prefix mean nothing.
    base: IpAddr,
    prefix_bits: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no network: write one such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")]
pub struct NotANetwork(pub String);

impl Network {
    pub const LOOPBACK_V4: Self = Self { base: IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), prefix_bits: 8 };
    pub const LOOPBACK_V6: Self = Self { base: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), prefix_bits: 128 };

    /// Whether `address` lies in it. An IPv4 address that came over an IPv6 socket (`::ffff:a.b.c.d`) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix_bits)).unwrap_or(0);
                (u32::from(base) ^ u32::from(address)) & mask == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix_bits)).unwrap_or(0);
                (u128::from(base) ^ u128::from(address)) & mask == 0
            }
            _ => false,
        }
    }

    /// Whether `address` lies in any of them.
    pub fn any_contains(networks: &[Self], address: IpAddr) -> bool {
        networks.iter().any(|network| network.contains(address))
    }
}

impl FromStr for Network {
    type Err = NotANetwork;

    /// An IPv4 network in IPv6's form (`::ffff:10.0.0.0/104`) is that IPv4 network (10.0.0.0/8), as its addresses are IPv4
    /// addresses. With a prefix that is too short for that form (less than 96 bits) it is refused: it names an IPv4
    /// address, and would hold none.
    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let wrong = || NotANetwork(text.chars().take(64).collect());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| wrong())?;
        let bits_max = if base.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            None => bits_max,
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= bits_max).ok_or_else(wrong)?,
        };
        let IpAddr::V6(v6) = base else { return Ok(Self { base, prefix_bits }) };
        match v6.to_ipv4_mapped() {
            Some(v4) => Ok(Self { base: v4.into(), prefix_bits: prefix_bits.checked_sub(96).ok_or_else(wrong)? }),
            None => Ok(Self { base, prefix_bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits_max = if self.base.is_ipv4() { 32 } else { 128 };
        match self.prefix_bits {
            bits if bits == bits_max => write!(f, "{}", self.base),
            bits => write!(f, "{}/{bits}", self.base),
        }
    }
}

/// Origins (RFC 6454) whose pages may use the server. A request without an `Origin` header is no browser's and is not
/// looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// `*`. Sound as a default: nothing here is authenticated by what a browser sends by itself.
    Any,
    /// Exactly these, such as `https://app.example`, in lower case.
    These(Vec<String>),
}

impl Origins {
    pub fn allow(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(origins) => origins.iter().any(|known| known.eq_ignore_ascii_case(origin)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().expect(network).contains(address.parse().expect(address))
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        assert!(contains("10.0.0.0/8", "10.255.1.2") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.7", "192.0.2.7") && !contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::5") && !contains("2001:db8::/32", "2001:db9::"));
        assert!(contains("::/0", "::1") && contains("10.1.0.0/16", "::ffff:10.1.2.3"));
        assert!(contains("10.9.9.9/8", "10.0.0.1"), "bits behind the prefix don't matter");
    }

    #[test]
    fn an_ipv4_network_in_ipv6s_form_is_an_ipv4_network() {
        for (mapped, plain) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:c000:207/128", "192.0.2.7"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(mapped.parse::<Network>(), plain.parse());
            assert_eq!(mapped.parse::<Network>().expect(mapped).to_string(), plain);
        }
        let network = "::ffff:10.0.0.0/104";
        assert!(
            contains(network, "10.1.2.3") && contains(network, "::ffff:10.1.2.3") && !contains(network, "11.0.0.1")
        );
        for wrong in ["::ffff:10.0.0.0/95", "::ffff:10.0.0.0/8", "::ffff:0:0/0", "::ffff:10.0.0.0/129"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork(wrong.to_owned())));
        }
        // What names no IPv4 address stays a network of IPv6 addresses.
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "10.0.0.1"));
        assert!(contains("::10.0.0.0/104", "::10.1.2.3") && !contains("::10.0.0.0/104", "10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_refused_and_what_is_survives_its_text() {
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "a", "10.0.0.0/", "10.0.0.0/-1", "1.2.3.4:80"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork(wrong.to_owned())));
        }
        for text in ["127.0.0.0/8", "192.0.2.7", "::1", "2001:db8::/32", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Network>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn an_origin_is_allowed_whole_or_not() {
        let origins = Origins::These(vec!["https://app.example".into()]);
        assert!(origins.allow("https://app.example") && origins.allow("HTTPS://APP.example"));
        assert!(!origins.allow("https://app.example.evil") && !origins.allow("http://app.example"));
        assert!(Origins::Any.allow("null"));
    }
}
