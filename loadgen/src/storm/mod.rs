//! `loadgen storm`: thousands of sockets that resume at once over the newest events, beside some that are live all the time.
//!
//! ```text
//!   Traffic ─▶ history (published first) │ live events and markers (an open loop, all the time)
//!      └▶ for each account the list of events that match it
//!
//!   publish history ─▶ live sockets ─▶ before ─▶ storm: all resume with ?since= ─▶ all live ─▶ end of publishing ─▶ books
//!                                       │         └─ client thread: Inbox, a cursor into its account's list a socket
//!                                       └─ client thread of its own, so that it measures the server and not the storm's client
//! ```
//! * Everything is known beforehand: a socket must get the list of its account, history first, once and in order, byte for
//!   byte. Its state is a position in that list, and one copy of each event is kept to compare with.
//! * Every account has a marker of its own, published every second in turns, so that no single event goes to all sockets: a
//!   storm is measured, not a fan-out to 19,000.
//! * A socket is live with the first event that was published after it had connected, and nothing missing before it.

mod args;
mod inbox;
mod report;
mod role;
mod run;
mod traffic;

pub use args::StormArguments;
pub use report::render;
pub use run::StormRun;
