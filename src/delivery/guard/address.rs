//! Which addresses are whose. Pure.

use std::net::IpAddr;

use super::GuardRefusal;
use crate::gate::Network;

/// What an address is for, where it is not for the public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    Unspecified,
    Loopback,
    Private,
    LinkLocal,
    /// 169.254.169.254, fd00:ec2::254 and the like.
    Metadata,
    UniqueLocal,
    Shared,
    Multicast,
    Broadcast,
    Documentation,
    Benchmarking,
    Reserved,
}

/// `None`: a public address. An IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo) counts as what it is itself.
pub fn kind_of(_address: IpAddr) -> Option<AddressKind> {
    todo!()
}

/// Networks that the operator lets deliveries into, whatever they are.
#[derive(Clone, Debug, Default)]
pub struct Allowed(pub Vec<Network>);

impl Allowed {
    /// Lets a public address pass, and one that is in a listed network.
    pub fn check(&self, _address: IpAddr) -> Result<(), GuardRefusal> {
        todo!()
    }
}
