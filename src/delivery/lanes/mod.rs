//! Who is sent to next: one lane a webhook, with its own queue, pace and circuit breaker, and workers that are shared fairly. Pure:
//! time (Unix milliseconds) is an argument.
//!
//! ```text
//!   due deliveries ──▶ lane: queue (bounded), concurrency, token bucket, breaker ──▶ ready lanes in turn ──▶ a free worker
//! ```
//! A lane is *prompt* once its endpoint has answered with a 2xx lately and quickly, a few times in a row, else *slow*: new, failing or
//! slow to answer, be it an answer that has not come yet. Slow lanes together hold at most a half of the workers, and a lane that has
//! had no success since it was opened one attempt at a time. So prompt lanes always find workers.
//!
//! Invariants:
//! * Lanes that are ready go by turns, one delivery each, however much is queued. No worker that may be used for one is idle.
//! * A worker is held until its attempt ends, whatever becomes of its lane. The lane it was lent to bears it until then: one that was
//!   closed and opened again is another one.
//! * Nobody asks lanes that have nothing to send, or can't yet: each step costs the logarithm of the others.
//! * Only time from `clock.rs` is looked at, which does not run backwards.

mod breaker;
mod bucket;
mod clock;
mod lane;
mod ready;
#[cfg(test)]
mod tests;
mod turns;
mod under_way;

pub use ready::{LaneOptions, Lanes, Queued, Verdict};
