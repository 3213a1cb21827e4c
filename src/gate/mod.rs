//! The gate: who may come in, from where, and how much each may take. Shared by all front desks and shards.
//!
//! Pure but for the locks around what all shards count together; time comes in as an argument.

mod policy;

pub use policy::{Network, NotANetwork, Origins, Policy};
