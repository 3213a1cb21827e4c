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
//! Workers go to slow lanes by account, or the thousands of endpoints of one that hang would keep the new ones of all others waiting:
//! the next goes to the account whose slow lanes hold the fewest, by turns of accounts where several do, and to none that holds three
//! quarters of the half already. Prompt lanes need no such thing: their attempts are short, so turns of lanes come round quickly, and
//! an account whose attempts begin to take long has slow lanes.
//!
//! Invariants:
//! * Lanes that are ready go by turns, one delivery each, however much is queued: prompt ones among each other, slow ones among those
//!   of their account, and accounts that hold equally many workers among each other.
//! * No worker that may be used for a ready lane is idle. One may be used for any prompt lane, and for a slow one while slow lanes hold
//!   less than their half and those of its account less than three quarters of it, rounded up.
//! * A worker is held until its attempt ends, whatever becomes of its lane. The lane it was lent to, and so its account, bears it until
//!   then: one that was closed and opened again is another one.
//! * Nobody asks lanes that have nothing to send, or can't yet: each step costs the logarithm of the others. Accounts with nothing
//!   ready and nothing under way are not known here.
//! * Only time from `clock.rs` is looked at, which does not run backwards.

mod account_line;
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
