//! JSON Web Tokens (RFC 7519) of the rooms protocol: which are believed, and minting them. No clock: time comes in.
//!
//! ```text
//!   [jwt] ─▶ TokenSettings ─▶ keys (secret, PEM, JWK set) ─▶ Verifier ◀── token, now
//!                                        │                      └─────▶ Claims, or why not
//!                                        └─(a secret only)──▶ Minter ──▶ token
//! ```
//!
//! Invariants:
//! * The key fixes the algorithm before any token is seen; a token that names another one is refused.
//! * A token's bytes are bounded before they are decoded, and nothing in it makes this panic.
//! * Nothing of the payload is looked at before the signature holds.
//! * Keys are read when the server starts. Only the data directory's secret is ever made here.

mod claims;
mod jwks;
mod key;
mod minter;
mod payload;
mod pem;
mod secret;
mod settings;
mod verifier;

#[cfg(test)]
mod forge;

pub use claims::{Claims, InvalidUserId, UserId};
pub use minter::{MintError, Minter, NewToken};
pub use secret::SECRET_FILE;
pub use settings::{KeySource, TokenSettings};
pub use verifier::{KeyError, TokenError, Verifier};
