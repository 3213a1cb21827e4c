//! Why a URL or an address is refused.

use std::net::IpAddr;

use super::AddressKind;
use crate::limits::WEBHOOK_URL_BYTES_MAX;

/// Told to whoever made the webhook: at creation with 400, later in its history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardRefusal {
    // The text:
    #[error("the URL has more than {WEBHOOK_URL_BYTES_MAX} bytes: use a shorter one")]
    TooLong,
    #[error("the URL contains a blank, a line break or a control character: leave it out, or percent-encode it")]
    Blank,
    #[error("the URL contains a backslash: write / between its parts, and %5C for a backslash")]
    Backslash,
    #[error("the URL can't be read ({0}): write it in full, such as https://hooks.example.com/path")]
    Unreadable(String),
    #[error("the URL begins with {0}: but webhooks are sent by https:// and http:// only")]
    Scheme(String),
    #[error("the URL contains a user name or a password: leave them out, deliveries are known by their signature")]
    Credentials,
    #[error("the URL contains a fragment: leave out # and what is behind it, it would not be sent")]
    Fragment,
    #[error("the URL can be read in two ways: percent-encode what is unusual in it")]
    Ambiguous,

    // Its host and port:
    #[error("the URL names no host: write one behind https://, such as https://hooks.example.com/path")]
    NoHost,
    #[error(
        "{0:?} is no host name: it takes labels of 1 to 63 letters, digits and hyphens with dots between them, 253 characters in all"
    )]
    Host(String),
    #[error(
        "{0} is a name of this machine or of a private network: use a public name, or have the operator allow the network it leads \
         to ([webhooks] allow)"
    )]
    LocalName(String),
    #[error(
        "port {port} is not open to webhooks here: use one of {allowed}, or have the operator allow it ([webhooks] ports)"
    )]
    Port { port: u16, allowed: String },

    // Where it leads:
    #[error("{address} is {kind}: {}", remedy(*.kind))]
    Address { address: IpAddr, kind: AddressKind },
    /// Where a name leads is told by its kind alone, and the address to the operator's log.
    #[error("the name {name} leads to {kind}: {}", remedy(*.kind))]
    Name { name: String, kind: AddressKind },
    #[error("the name {name} has no address ({reason}): correct it, or the name's DNS records")]
    NoAddress { name: String, reason: String },
    #[error("the name {name} could not be looked up in time: try again, or look after the servers of its DNS records")]
    LookUpTimeout { name: String },
}

fn remedy(kind: AddressKind) -> &'static str {
    match kind {
        AddressKind::Denied => "a webhook's URL has to lead elsewhere",
        _ if kind.may_be_allowed() => {
            "a webhook's URL has to lead to a public one, unless the operator allows this one ([webhooks] allow)"
        }
        _ => "a webhook's URL has to lead to a public one",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_for_networks_that_somebody_may_own_the_operator_s_remedy_is_told() {
        for (address, kind, expected) in [
            (
                "10.0.0.1",
                AddressKind::Private,
                "10.0.0.1 is a private address: a webhook's URL has to lead to a public one, unless the operator allows this one \
                 ([webhooks] allow)",
            ),
            (
                "169.254.169.254",
                AddressKind::Metadata,
                "169.254.169.254 is an address of a cloud's metadata service: a webhook's URL has to lead to a public one",
            ),
            (
                "8.8.8.8",
                AddressKind::Denied,
                "8.8.8.8 is an address that the operator denies to webhooks ([webhooks] deny): a webhook's URL has to lead \
                 elsewhere",
            ),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(GuardRefusal::Address { address, kind }.to_string(), expected);
        }
    }
}
