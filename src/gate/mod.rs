//! The gate: who may come in, from where, and how much each may take. Shared by all front desks and shards.
//!
//! ```text
//!   a connection ──▶ proxy (PROXY header) ──▶ forwarded (X-Forwarded-For) ──▶ the client's address
//!                                                                                 │
//!   a handshake ──▶ Gate::enter ──▶ Entry ── into_pass ──▶ Pass, in the socket's slot ──▶ Gate::leave
//!                  rate, address      └─ identify: key or user; await_authentication: strangers
//!   a tier too low for the stream ──▶ Refusals: one upgrade a minute to be told so
//!   a publish request ──▶ Publishers: bytes while it is under way, events a second
//! ```
//!
//! Pure but for the locks around what all shards count together; time comes in as an argument.
//!
//! Invariants:
//! * What was counted is taken back exactly once: a pass cannot be copied, and at the desk an [`Entry`] gives it back.
//! * A refusal leaves every count as it was. Only the handshake rate of an address is used up by whatever passes it, also
//!   by a handshake that is refused behind it (a full address, a bad key); one that was too fast costs nothing.
//! * Nothing here grows without bound. Counts are kept for who is inside, and the sockets bound those. Rates are kept for
//!   who came lately, in two generations of bounded size; at the bound the older one is forgotten, so a flood of
//!   addresses brings no refusal to anybody, only a fresh burst to some.
//! * An address that is exempt is counted nowhere, not even under its key.

mod entry;
mod forwarded;
mod host;
mod inside;
mod policy;
mod proxy;
mod publishers;
mod rate;
mod recent;
mod refusals;
mod refused;
mod tally;

pub use entry::Entry;
pub use forwarded::Client;
pub use inside::{Gate, Holder, Pass};
pub use policy::{Network, NotANetwork, Origins, Policy};
pub use proxy::{InvalidHeader, ProxyHeader, parse_proxy_header};
pub use publishers::{BytesInFlight, Publishers};
pub use rate::{Rate, RateState};
pub use refusals::Refusals;
pub use refused::{GateRefusal, Refused};
