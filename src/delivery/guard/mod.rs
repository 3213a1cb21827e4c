//! What a delivery may reach: the guard against requests that a customer's URL would have the server make into its own network.
//!
//! ```text
//!   URL text ──▶ WebhookUrl (scheme, no credentials, port, a literal address is looked at)        at creation: 400
//!   host ──▶ Names (the resolver) ──▶ every address is looked at ──▶ ureq connects to these        at every attempt
//! ```
//! A name is refused if any of its addresses is: a name that answers with a public and a private one is no honest one.

mod address;
mod refusal;
mod resolver;
mod url;

pub use address::{AddressKind, Allowed, kind_of};
pub use refusal::GuardRefusal;
pub use resolver::{GuardedResolver, Names, ResolveError, SystemNames};
pub use url::WebhookUrl;
