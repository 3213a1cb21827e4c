//! Which addresses are whose. Pure.
//!
//! The tables follow IANA's special-purpose registries for IPv4 and IPv6. What is listed there is refused even where it is globally
//! reachable (the anycast addresses of AS112, AMT and PCP): nobody's receiver has such an address, and many networks answer for them
//! inside. What is listed nowhere is public, in IPv6 only within 2000::/3, which is all that was ever given out.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use super::GuardRefusal;
use crate::gate::Network;

/// What an address is for, where it is not for the public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// 0.0.0.0 and ::, which Linux connects to itself.
    Unspecified,
    Loopback,
    Private,
    LinkLocal,
    /// 169.254.169.254, fd00:ec2::254 and the like: they hand out a cloud machine's credentials.
    Metadata,
    UniqueLocal,
    /// A carrier's own, behind its address translation.
    Shared,
    Multicast,
    Broadcast,
    Documentation,
    Benchmarking,
    /// It leads to wherever a translator or the end of a tunnel sends it.
    Tunnel,
    Reserved,
    /// Whatever else it is, the operator wants nobody sent there.
    Denied,
}

impl AddressKind {
    /// Whether an operator may have receivers of their own there. Nobody is advised to allow the others.
    pub(super) fn may_be_allowed(self) -> bool {
        match self {
            Self::Loopback | Self::Private | Self::LinkLocal | Self::UniqueLocal | Self::Shared => true,
            Self::Benchmarking | Self::Tunnel => true,
            Self::Unspecified | Self::Metadata | Self::Multicast | Self::Broadcast => false,
            Self::Documentation | Self::Reserved | Self::Denied => false,
        }
    }
}

/// In words that follow "is" and "leads to".
impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unspecified => "the unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "an address of a cloud's metadata service",
            Self::UniqueLocal => "a unique local address",
            Self::Shared => "a carrier's shared address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Documentation => "an address for documentation",
            Self::Benchmarking => "an address for benchmarks",
            Self::Tunnel => "an address of a tunnel or translator",
            Self::Reserved => "a reserved address",
            Self::Denied => "an address that the operator denies to webhooks ([webhooks] deny)",
        })
    }
}

/// `None`: a public address. An IPv4 address inside an IPv6 one (mapped, compatible, translated, NAT64, 6to4, Teredo) counts as what
/// it is itself where it is not public. A public one inside is public
/// * mapped (`::ffff:a.b.c.d`), because the kernel connects to the IPv4 address then,
/// * in NAT64's well-known prefix (`64:ff9b::/96`), because that is how a machine with IPv6 alone reaches all of IPv4,
///
/// and in no other form: these are given up or lead through somebody's tunnel, and no receiver is there. A network's own NAT64
/// prefix looks like any public address: such a network has to keep its translator from its private addresses itself.
pub fn kind_of(address: IpAddr) -> Option<AddressKind> {
    match address.to_canonical() {
        IpAddr::V4(v4) => listed(v4.into()),
        IpAddr::V6(v6) => kind_of_v6(v6),
    }
}

fn kind_of_v6(address: Ipv6Addr) -> Option<AddressKind> {
    let inside = embedded(address).into_iter().flatten().find_map(|v4| listed(v4.into()));
    let outside = || listed(address.into()).or((!may_be_public(address)).then_some(AddressKind::Reserved));
    inside.or_else(outside)
}

fn may_be_public(address: Ipv6Addr) -> bool {
    let is_global_unicast = address.segments()[0] >> 13 == 0b001;
    is_global_unicast || matches!(address.segments(), [0x64, 0xff9b, 0, 0, 0, 0, ..])
}

/// The IPv4 addresses that stand in it, but for the mapped form.
fn embedded(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        // These two are no IPv4 addresses in the compatible form.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
        // Compatible, translated (SIIT), NAT64.
        [0, 0, 0, 0, 0, 0, a, b] | [0, 0, 0, 0, 0xffff, 0, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => [v4(a, b), None],
        // 6to4.
        [0x2002, a, b, ..] => [v4(a, b), None],
        // Teredo: the client, each bit of it turned round, and its server.
        [0x2001, 0, server_a, server_b, _, _, client_a, client_b] => [v4(!client_a, !client_b), v4(server_a, server_b)],
        _ => [None, None],
    }
}

fn listed(address: IpAddr) -> Option<AddressKind> {
    NETWORKS.iter().find(|(network, _)| network.contains(address)).map(|(_, kind)| *kind)
}

static NETWORKS: LazyLock<Vec<(Network, AddressKind)>> = LazyLock::new(|| {
    LISTED.iter().map(|(network, kind)| (network.parse().expect("only networks are listed"), *kind)).collect()
});

/// The first that holds an address counts.
const LISTED: &[(&str, AddressKind)] = &[
    // Metadata: of most clouds; containers at AWS; Tencent; Scaleway; Alibaba; Oracle's older one; Azure's, which looks public; AWS,
    // Google and Scaleway over IPv6.
    ("169.254.169.254", AddressKind::Metadata),
    ("169.254.170.2", AddressKind::Metadata),
    ("169.254.170.23", AddressKind::Metadata),
    ("169.254.0.23", AddressKind::Metadata),
    ("169.254.42.42", AddressKind::Metadata),
    ("100.100.100.200", AddressKind::Metadata),
    ("192.0.0.192", AddressKind::Metadata),
    ("168.63.129.16", AddressKind::Metadata),
    ("fd00:ec2::254", AddressKind::Metadata),
    ("fd00:ec2::23", AddressKind::Metadata),
    ("fd20:ce::254", AddressKind::Metadata),
    ("fd00:42::42", AddressKind::Metadata),
    // IPv4.
    ("0.0.0.0", AddressKind::Unspecified),
    ("0.0.0.0/8", AddressKind::Reserved),
    ("10.0.0.0/8", AddressKind::Private),
    ("100.64.0.0/10", AddressKind::Shared),
    ("127.0.0.0/8", AddressKind::Loopback),
    ("169.254.0.0/16", AddressKind::LinkLocal),
    ("172.16.0.0/12", AddressKind::Private),
    ("192.0.0.0/24", AddressKind::Reserved),
    ("192.0.2.0/24", AddressKind::Documentation),
    ("192.31.196.0/24", AddressKind::Reserved),
    ("192.52.193.0/24", AddressKind::Reserved),
    ("192.88.99.0/24", AddressKind::Tunnel),
    ("192.168.0.0/16", AddressKind::Private),
    ("192.175.48.0/24", AddressKind::Reserved),
    ("198.18.0.0/15", AddressKind::Benchmarking),
    ("198.51.100.0/24", AddressKind::Documentation),
    ("203.0.113.0/24", AddressKind::Documentation),
    ("224.0.0.0/4", AddressKind::Multicast),
    ("255.255.255.255", AddressKind::Broadcast),
    ("240.0.0.0/4", AddressKind::Reserved),
    // IPv6.
    ("::", AddressKind::Unspecified),
    ("::1", AddressKind::Loopback),
    ("64:ff9b:1::/48", AddressKind::Tunnel),
    ("2001:db8::/32", AddressKind::Documentation),
    ("2001:2::/48", AddressKind::Benchmarking),
    ("2001::/32", AddressKind::Tunnel),
    ("2001::/23", AddressKind::Reserved),
    ("2002::/16", AddressKind::Tunnel),
    ("2620:4f:8000::/48", AddressKind::Reserved),
    ("3fff::/20", AddressKind::Documentation),
    ("fc00::/7", AddressKind::UniqueLocal),
    ("fe80::/10", AddressKind::LinkLocal),
    // Site-local, as unique local addresses were called before.
    ("fec0::/10", AddressKind::Private),
    ("ff00::/8", AddressKind::Multicast),
];

/// Where the operator lets deliveries go, beside the public, and where not.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// Networks that are let pass, whatever they are.
    pub allow: Vec<Network>,
    /// Those that are not, though they be public or allowed.
    pub deny: Vec<Network>,
}

impl Allowed {
    /// Lets a public address pass, and one that is in an allowed network, unless it is denied. Where 127.0.0.0/8 is allowed, `::ffff:127.0.0.1` passes, which
    /// is the same to the kernel. An IPv4 address in another form does not: that leads through a translator or tunnel, which is
    /// another way to another place, and is listed by its own prefix if it is meant. It is denied in every form.
    pub fn check(&self, address: IpAddr) -> Result<(), GuardRefusal> {
        match self.forbids(address) {
            Some(kind) => Err(GuardRefusal::Address { address, kind }),
            None => Ok(()),
        }
    }

    /// What an address is that may not be reached.
    pub(super) fn forbids(&self, address: IpAddr) -> Option<AddressKind> {
        match self.denies(address) {
            true => Some(AddressKind::Denied),
            false => kind_of(address).filter(|_| !Network::any_contains(&self.allow, address)),
        }
    }

    fn denies(&self, address: IpAddr) -> bool {
        let inside = match address.to_canonical() {
            IpAddr::V4(_) => [None, None],
            IpAddr::V6(v6) => embedded(v6),
        };
        let forms = inside.into_iter().flatten().map(IpAddr::V4).chain([address]);
        forms.into_iter().any(|form| Network::any_contains(&self.deny, form))
    }

    /// Whether nothing but the public is let in.
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::AddressKind::*;
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    #[test]
    fn what_is_not_for_the_public_is_known() {
        for (kind, addresses) in [
            (Unspecified, "0.0.0.0 :: ::ffff:0.0.0.0 64:ff9b::"),
            (Loopback, "127.0.0.1 127.0.0.0 127.255.255.255 ::1 ::ffff:127.0.0.1 ::127.0.0.1 ::ffff:0:127.0.0.1"),
            // NAT64, 6to4, a Teredo client, a Teredo server.
            (Loopback, "64:ff9b::7f00:1 2002:7f00:1:: 2001:0:808:808:0:0:80ff:fffe 2001:0:7f00:1:0:0:f7f7:f7f7"),
            (Private, "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 fec0:: feff::1"),
            (Private, "::ffff:10.1.2.3 ::10.1.2.3 64:ff9b::10.1.2.3 2002:a01:203:: 2001:0:808:808::f5fe:fdfc"),
            (LinkLocal, "169.254.0.0 169.254.255.255 fe80:: fe80::1 febf:ffff:: ::ffff:169.254.1.1 64:ff9b::a9fe:1"),
            (Metadata, "169.254.169.254 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254"),
            (
                Metadata,
                "::ffff:169.254.169.254 ::169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1 ::ffff:a83f:8110",
            ),
            (UniqueLocal, "fc00:: fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fd12:3456::1"),
            (Shared, "100.64.0.0 100.127.255.255 64:ff9b::100.64.0.1"),
            (Multicast, "224.0.0.0 239.255.255.255 ff00:: ff02::1 ::ffff:224.0.0.1"),
            (Broadcast, "255.255.255.255 ::ffff:255.255.255.255"),
            (
                Documentation,
                "192.0.2.0 192.0.2.255 198.51.100.9 203.0.113.255 2001:db8:: 2001:db8:ffff::1 3fff:: 3fff:fff::1",
            ),
            (Benchmarking, "198.18.0.0 198.19.255.255 2001:2::1"),
            (Tunnel, "192.88.99.1 2002:808:808::1 2001:0:808:808:0:0:f7f7:f7f7 64:ff9b:1::808:808 64:ff9b:1:ffff::"),
            (
                Reserved,
                "0.0.0.1 0.255.255.255 192.0.0.0 192.0.0.255 240.0.0.0 255.255.255.254 192.31.196.1 192.175.48.1",
            ),
            (
                Reserved,
                "::2 ::8.8.8.8 ::ffff:0:8.8.8.8 100:: 100::1 2001:1::1 2001:20::1 2001:1ff:: 5f00::1 4000:: 1fff::",
            ),
            (Reserved, "fe00:: 64:ff9a:: 64:ff9b:0:1:: 2620:4f:8000::1 8000::1"),
        ] {
            for text in addresses.split(' ') {
                assert_eq!(kind_of(address(text)), Some(kind), "{text}");
            }
        }
    }

    #[test]
    fn the_public_is_let_pass() {
        for text in "1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 \
            169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 \
            223.255.255.255 168.63.129.15 2000:: 2606:4700:4700::1111 2001:200:: 2001:db7:: 2001:db9:: 2003:: 3ffe:ffff:: \
            3fff:1000:: 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8"
            .split_whitespace()
        {
            assert_eq!(kind_of(address(text)), None, "{text}");
            assert_eq!(Allowed::default().check(address(text)), Ok(()));
        }
    }

    #[test]
    fn an_allowed_network_lets_its_own_addresses_pass_and_no_disguise_of_them() {
        let allowed = Allowed { allow: vec!["127.0.0.0/8".parse().expect("a network")], deny: vec![] };
        for text in ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "8.8.8.8"] {
            assert_eq!(allowed.check(address(text)), Ok(()), "{text}");
        }
        for (text, kind) in [
            ("::1", Loopback),
            ("::127.0.0.1", Loopback),
            ("::ffff:0:127.0.0.1", Loopback),
            ("64:ff9b::7f00:1", Loopback),
            ("2002:7f00:1::", Loopback),
            ("10.0.0.1", Private),
        ] {
            let address = address(text);
            assert_eq!(allowed.check(address), Err(GuardRefusal::Address { address, kind }), "{text}");
        }
        let translator = Allowed { allow: vec!["64:ff9b::/96".parse().expect("a network")], deny: vec![] };
        assert_eq!(translator.check(address("64:ff9b::7f00:1")), Ok(()), "it was meant");
        assert!(translator.check(address("127.0.0.1")).is_err());
    }

    #[test]
    fn a_denied_network_is_refused_though_it_is_public_or_allowed_and_in_every_disguise() {
        let networks = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("a network")).collect();
        let allowed = Allowed {
            allow: networks(&["10.0.0.0/8"]),
            deny: networks(&["10.1.0.0/16", "8.8.8.0/24", "2606:4700::/32"]),
        };
        for text in [
            "10.1.2.3",
            "8.8.8.8",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "64:ff9b::10.1.2.3",
            "2002:808:808::1",
            "2606:4700:4700::1111",
        ] {
            let address = address(text);
            assert_eq!(allowed.check(address), Err(GuardRefusal::Address { address, kind: Denied }), "{text}");
        }
        for text in ["10.2.0.1", "8.8.4.4", "2606:4701::1"] {
            assert_eq!(allowed.check(address(text)), Ok(()), "{text}");
        }
        assert_eq!(allowed.check(address("127.0.0.1")).map_err(|_| ()), Err(()));
    }

    proptest! {
        #[test]
        fn no_ipv4_address_becomes_public_by_its_clothes(bits: u32) {
            let v4 = Ipv4Addr::from(bits);
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for v6 in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !high, !low),
                Ipv6Addr::new(0x2001, 0, high, low, 0, 0, 0xf7f7, 0xf7f7),
            ] {
                prop_assert!(kind_of(v6.into()).is_some() || kind_of(v4.into()).is_none(), "{v6}");
            }
        }
    }
}
