//! Who is sent to next: one lane a webhook, with its own queue, pace and circuit breaker, and workers that are shared fairly. Pure:
//! time (Unix milliseconds) is an argument.
//!
//! ```text
//!   due deliveries ──▶ lane: queue (bounded), concurrency, token bucket, breaker ──▶ ready lanes in turn ──▶ a free worker
//! ```
//! A lane is *prompt* once its endpoint has answered with a 2xx lately and quickly, else *slow*: new, failing or slow to answer. Slow
//! lanes together hold at most a half of the workers, and a lane that has had no success since it was opened one attempt at a time.
//! So prompt lanes always find workers.

mod breaker;
mod bucket;
mod lane;
mod ready;

pub use ready::{LaneOptions, Lanes, Queued, Verdict};
