//! The demo: a made-up market, an account that watches it, and lines to paste.
//!
//! ```text
//!   Market ─▶ Story ─▶ Generator (a thread) ─▶ the hub, as a publisher's events would come
//!   DemoAccount ─▶ welcome: what to paste      StatusLine: how it is going, each second
//! ```

mod account;
mod generator;
mod line;
mod market;
mod moment;
mod status;
mod story;
mod welcome;

pub use account::{DemoAccount, DemoError};
pub use generator::Generator;
pub use status::StatusLine;
pub use welcome::welcome;
