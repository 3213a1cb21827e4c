//! (to come)

pub mod market;
