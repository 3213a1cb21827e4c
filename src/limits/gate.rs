//! The gate: what is not for the configuration.

use super::{AUTHENTICATION_MS, HANDSHAKES_PER_SECOND, PENDING_AUTHENTICATIONS};

/// Addresses whose handshake rate is remembered, in each of two generations: 4 MiB each. An address that comes past it
/// costs the ones that were not seen lately their memory, so they begin anew with a whole burst.
pub const RATED_ADDRESSES_MAX: usize = 1 << 16;

/// Publishers' keys whose event rate is remembered, in the same way. Only the operator makes keys.
pub const RATED_PUBLISHERS_MAX: usize = 1 << 14;

/// Keys and addresses that are remembered as refused for their tier, of each, in the same way: one that is forgotten gets a
/// fresh 4403.
pub const REFUSALS_MAX: usize = 1 << 16;

/// How long such a refusal is remembered, in seconds.
pub const REFUSAL_REMEMBERED_S: u64 = 60;

/// Addresses that it takes to use up what the server bears of sockets that have not authenticated: each may have this part
/// of them. By default that is 500, as many as its handshake rate lets it begin in the time that one may take.
pub const PENDING_ADDRESSES_MIN: u32 = 20;
const _: () =
    assert!(PENDING_AUTHENTICATIONS / PENDING_ADDRESSES_MIN == HANDSHAKES_PER_SECOND * (AUTHENTICATION_MS / 1_000));

/// What `Retry-After` says where one of a client's own connections has to end first: nobody knows when, and a client that
/// asks each second would be told the same.
pub const CROWD_RETRY_AFTER_S: u64 = 5;

/// Proxies between a client and the server that are looked at in `X-Forwarded-For`. Real ways have three: a content network,
/// a balancer, an ingress.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// A PROXY protocol header with its extensions. The usual one has 28 or 52 bytes; a client certificate's names add some
/// hundred.
pub const PROXY_HEADER_BYTES_MAX: usize = 2 << 10;

/// How long a browser may remember the answer to a preflight. No browser does for longer than two hours.
pub const PREFLIGHT_AGE_S: u64 = 7_200;
