//! JSON Web Tokens (RFC 7519) of the rooms protocol: which are believed, and minting them. No clock: time comes in.

mod claims;
mod settings;

pub use claims::{Claims, UserId};
pub use settings::{KeySource, TokenSettings};
