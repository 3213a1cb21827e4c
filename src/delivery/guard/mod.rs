//! What a delivery may reach: the guard against requests that a customer's URL would have the server make into its own network.
//!
//! ```text
//!   URL text ──▶ WebhookUrl (scheme, no credentials, port, a literal address is looked at)        at creation: 400
//!   host ──▶ Names (the resolver) ──▶ the first 16 addresses are looked at ──▶ only these are connected to   at every attempt
//! ```
//! Invariants:
//! * What was looked at is what is connected to: the stored URL has one reading, and the client connects to the addresses that the
//!   resolver hands it, and never looks up a name itself.
//! * A name is refused if any of these addresses is: a name that answers with a public and a private one is no honest one.
//! * Addresses are looked at with every use, also where they are remembered. A name that turns elsewhere is refused at the latest
//!   when it is looked up again. Where that can't be done, it leads where it did lately; one that is no more does not.
//! * What the operator denies is refused before all else, and what the server lacks itself is put down to no name.
//! * Names are looked up as they stand, below no domain of the system's search list; of one account only so many at a time.
//! * Whoever owns a name is told what kind of address it leads to, and not the address.
//! * A text that is read in more than one way, or only by a program's good will, is refused rather than mended.

mod address;
#[cfg(test)]
pub(crate) mod fake_names;
#[cfg(test)]
mod hostile;
mod lookups;
mod refusal;
mod resolver;
mod url;

pub use address::{AddressKind, Allowed, kind_of};
pub use lookups::LookUpError;
pub use refusal::GuardRefusal;
pub use resolver::{GuardedResolver, Names, ResolveError, SystemNames};
pub use url::WebhookUrl;
