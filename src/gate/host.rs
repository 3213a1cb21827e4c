//! What counts as one client's address.

use std::net::{IpAddr, Ipv6Addr};

/// What one client owns of the address space: an IPv4 address, or an IPv6 network of 64 bits. Every IPv6 host has one of
/// those to itself (RFC 4291 §2.5.1), so counting its addresses one by one would limit nobody.
///
/// Whoever holds a shorter prefix is as many clients as it has such networks: 65,536 with the /48 that a site may have
/// (RFC 6177), and nothing here tells them from as many neighbours. What then still bounds them is what bounds everybody
/// together: sockets that have authenticated are counted by key or user; those that have not, over the whole server and each
/// in time; what is remembered of addresses, the desks' places and the slots are finite. Twenty such networks can use up
/// the second of these. Then a client that says in a message who it is has to wait outside, while keys in the address
/// and tokens in the header go on being served; to keep such a prefix out is a firewall's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host(IpAddr);

impl Host {
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            v4 => v4,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_address_is_one_however_it_came_and_an_ipv6_network_of_64_bits_is_one() {
        let host = |text: &str| Host::of(text.parse().expect(text));
        assert_eq!(host("192.0.2.1"), host("::ffff:192.0.2.1"));
        assert_ne!(host("192.0.2.1"), host("192.0.2.2"));
        assert_eq!(host("2001:db8:0:1::5"), host("2001:db8:0:1:ffff::9"));
        assert_ne!(host("2001:db8:0:1::5"), host("2001:db8:0:2::5"));
    }
}
