//! A shard: one pinned executor with its sockets, its subscriptions and its output. Shards share nothing but immutable
//! batches and the account snapshot.
//!
//! ```text
//!   desk ─────────────▶ enter ─┐                         ┌─▶ log.rs       the bytes, once
//!   journal ── batches ────────┼─▶ plane.rs ─ sessions.rs┼─▶ index/       who gets them (membership.rs: joining, leaving)
//!   socket ring ─ completions ─┘    (turns)   (state)    ├─▶ output.rs    what each still has to get
//!                                     │                  └─▶ dialogue/    what is said, and answered
//!                                     └──▶ secured.rs (TLS) ──▶ sockets.rs: the trait to the kernel
//! ```
//!
//! Invariants worth naming:
//! * An event is in the log once; outputs are ranges of it (`output.rs`).
//! * A slot is vacant again only after its last completion (`socket.rs`).
//! * A socket that the kernel takes bytes for never loses an event to the log's wrapping (`fanout.rs`).
//! * A turn is bounded, and between turns everything else on the executor may run (`plane.rs`).

mod accounts;
mod behind;
mod dialogue;
mod drain;
mod fanout;
pub mod framing;
mod heartbeat;
pub mod index;
mod input;
pub mod log;
mod membership;
pub mod output;
mod plane;
mod replay;
mod runner;
mod secured;
mod sessions;
mod socket;
mod sockets;
mod stats;
pub mod survey;
#[cfg(test)]
pub(crate) mod tests;
mod wheel;

pub use drain::{DrainRules, SHUTTING_DOWN};
pub use plane::{EnterError, Plane};
pub use runner::{Arrival, Neighbours, Seat, Shard, ShardHandle, ShardMail};
pub use secured::{Link, Secured};
pub use sessions::{SessionParts, Sessions, ShardSizes};
pub use sockets::{Received, Sockets};
pub use stats::{ReadFrom, ShardStats};
pub use wheel::Tick;
