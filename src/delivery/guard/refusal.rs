//! Why a URL or an address is refused.

use std::net::IpAddr;

use super::AddressKind;

/// Told to whoever made the webhook: at creation with 400, later in its history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardRefusal {
    #[error("the URL can't be read: {0}")]
    Unreadable(String),
    #[error("{address} is a {kind:?} address: a webhook's URL must lead to a public one")]
    Address { address: IpAddr, kind: AddressKind },
}
