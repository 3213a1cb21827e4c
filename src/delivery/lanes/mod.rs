//! Who is sent to next: one lane a webhook, with its own queue, pace and circuit breaker, and workers that are shared fairly. Pure:
//! time (Unix milliseconds) is an argument.
//!
//! ```text
//!   due deliveries ──▶ lane: queue (bounded), concurrency, token bucket, breaker ──▶ ready lanes in turn ──▶ a free worker
//! ```
//! A lane is *prompt* once its endpoint has answered with a 2xx lately and quickly, a few times in a row, else *slow*: new, failing or
//! slow to answer, be it an answer that has not come yet. Slow lanes are lent a half of the workers, and a lane that has had no success
//! since it was opened one attempt at a time. So endpoints that never answered leave the other half to prompt lanes.
//!
//! Workers go by account, or the thousands of endpoints of one that hang would keep those of all others waiting. The next for a slow
//! lane goes to the account whose slow lanes hold the fewest, by turns of accounts where several do, and to none whose slow lanes hold
//! three quarters of the half already. The next for a prompt lane goes to the account that holds the fewest of all, likewise. Prompt
//! lanes need it, too: endpoints that always answered can begin to hang all at once, and that shows only once they hold workers. So no
//! account gets more than three quarters of all, for whatever lanes: what is left finds the next account at once. Of fewer than four
//! workers, or fewer than four for slow lanes, nothing is left, and several accounts together can hold all: then the next attempt that
//! ends makes room for the account with the fewest.
//!
//! Invariants:
//! * Lanes that are ready go by turns, one delivery each, however much is queued: prompt ones and slow ones each among those of their
//!   account, and accounts that hold equally many workers among each other.
//! * No worker that may be used for a ready lane is idle. One may be used for a lane while its account holds less than three quarters of
//!   all, rounded up; and for a slow one only while the slow lanes of its account hold less than three quarters of the half, rounded
//!   up, and those of all accounts less than the half. Of an account whose slow lanes hold more than their three quarters, as they were
//!   prompt when they were lent theirs, no more than these count towards the half.
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
