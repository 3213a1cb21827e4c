//! Which source address and port each client socket gets.
//!
//! One source address has about 27,000 ports, so a large crowd is spread over neighbouring addresses of 127.0.0.0/8. The
//! port is chosen here and not by the kernel: its search slows down more and more past 20,000 sockets an address. Each
//! run begins at an address of its own, so that it meets neither another run's sockets nor those that the last one left
//! in TIME_WAIT.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;

use crate::limits::PORTS_LEFT;

/// The ports used where the kernel's own range can't be read; it is the stock range.
pub const STOCK_PORTS: RangeInclusive<u16> = 32_768..=60_999;

/// A first address of 127.0.0.0/8 for one run, from two random bytes; never one of 127.0.0.0/16, where servers live.
pub fn first_address(random: [u8; 2]) -> Ipv4Addr {
    Ipv4Addr::new(127, random[0] % 254 + 1, random[1], 1)
}

/// Hands out source addresses, each once: all ports of one address, then those of the next.
#[derive(Clone, Debug)]
pub struct Sources {
    first: Ipv4Addr,
    ports: RangeInclusive<u16>,
    next: u64,
    end: u64,
}

/// No source address is left; the machine's ports are to blame, not the server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "ran out of source ports after {addresses} addresses of {ports} ports: widen `sysctl net.ipv4.ip_local_port_range`, \
     or wait a minute for connections in TIME_WAIT"
)]
pub struct OutOfPorts {
    pub addresses: u64,
    pub ports: u64,
}

impl Sources {
    /// Sources for `sockets` sockets, `skip` addresses after `first`, with one address more than is needed: some ports
    /// may be in use.
    pub fn for_sockets(sockets: u32, first: Ipv4Addr, skip: u32, ports: RangeInclusive<u16>) -> Self {
        let ports_each = u64::from(*ports.end() - *ports.start()) + 1;
        let next = u64::from(skip) * ports_each;
        let end = next + u64::from(Self::addresses_for(sockets, &ports)) * ports_each;
        Self { first, ports, next, end }
    }

    /// How many addresses [`for_sockets`](Self::for_sockets) takes, so that the next crowd can begin after them.
    pub fn addresses_for(sockets: u32, ports: &RangeInclusive<u16>) -> u32 {
        sockets.div_ceil(u32::from(*ports.end() - *ports.start()) + 1) + 1
    }

    pub fn next(&mut self) -> Result<SocketAddrV4, OutOfPorts> {
        let ports = u64::from(*self.ports.end() - *self.ports.start()) + 1;
        if self.next == self.end {
            return Err(OutOfPorts { addresses: self.end / ports, ports });
        }
        let (address, port) = (self.next / ports, self.next % ports);
        self.next += 1;
        let ip = Ipv4Addr::from_bits(self.first.to_bits() + address as u32);
        Ok(SocketAddrV4::new(ip, self.ports.start() + port as u16))
    }
}

/// The ports that a run on this machine may take.
pub fn ports_here() -> RangeInclusive<u16> {
    usable_ports(&std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default())
}

/// The ports that a run may take of the kernel's own range: all but the last [`PORTS_LEFT`]. A port that is bound with
/// any source address is passed over when the kernel chooses one, so taking them all would leave every other program
/// of the machine, and our own publisher, unable to connect (`EADDRNOTAVAIL`).
fn usable_ports(port_range: &str) -> RangeInclusive<u16> {
    let ports = parse_port_range(port_range).unwrap_or(STOCK_PORTS);
    let left = PORTS_LEFT.min((*ports.end() - *ports.start()) / 2);
    *ports.start()..=*ports.end() - left
}

/// Reads `/proc/sys/net/ipv4/ip_local_port_range`: two numbers.
fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse::<u16>);
    match (numbers.next()?.ok()?, numbers.next()?.ok()?) {
        (first, last) if 0 < first && first <= last => Some(first..=last),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SOCKETS_MAX;

    const FIRST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

    #[test]
    fn every_source_is_given_once_and_addresses_follow_each_other() {
        let mut sources = Sources::for_sockets(5, FIRST, 0, 40_000..=40_002);
        let given: Vec<String> = std::iter::from_fn(|| sources.next().ok()).map(|source| source.to_string()).collect();
        assert_eq!(given.len(), 9, "five need two addresses, and one is to spare");
        assert_eq!(given[0], "127.0.0.2:40000");
        assert_eq!(given[2], "127.0.0.2:40002");
        assert_eq!(given[3], "127.0.0.3:40000");
        assert_eq!(given[8], "127.0.0.4:40002");
        assert_eq!(sources.next(), Err(OutOfPorts { addresses: 3, ports: 3 }));
    }

    #[test]
    fn two_crowds_do_not_share_a_source() {
        let ports = 40_000..=40_009;
        let mut first = Sources::for_sockets(25, FIRST, 0, ports.clone());
        let mut second = Sources::for_sockets(5, FIRST, Sources::addresses_for(25, &ports), ports);
        let last = std::iter::from_fn(|| first.next().ok()).last().unwrap();
        assert!(last < second.next().unwrap(), "{last}");
    }

    #[test]
    fn the_last_source_of_the_largest_run_is_still_inside_the_loopback_network() {
        let highest = first_address([253, 255]);
        let addresses = Sources::addresses_for(SOCKETS_MAX, &STOCK_PORTS) + 256;
        assert!(Ipv4Addr::from_bits(highest.to_bits() + addresses).is_loopback());
        for random in 0..=255 {
            assert!(first_address([random, 0]) > Ipv4Addr::new(127, 0, 255, 255));
        }
    }

    #[test]
    fn the_kernels_port_range_is_read() {
        assert_eq!(parse_port_range("32768\t60999\n"), Some(32_768..=60_999));
        assert_eq!(parse_port_range("60999 32768"), None);
        assert_eq!(parse_port_range("junk"), None);
    }

    #[test]
    fn some_ports_are_left_to_the_rest_of_the_machine() {
        assert_eq!(usable_ports("32768 60999"), 32_768..=59_975);
        assert_eq!(usable_ports("junk"), 32_768..=59_975);
        assert_eq!(usable_ports("40000 40009"), 40_000..=40_005);
        assert_eq!(usable_ports("40000 40000"), 40_000..=40_000);
    }
}
