//! `loadgen mixed`: all four client protocols at once against one server, and a check per socket that it got exactly the
//! events it should, in order, and nothing else.
//!
//! ```text
//!   seed ─▶ Traffic: which event goes to which topic, and the frame that it must become
//!        └▶ Roster:  who each socket is, what it subscribes to and what it gives up again ─▶ classes of equal topics
//!                                     │
//!   Setup (watchlists) ─▶ connect: Dialogue with each socket ─▶ publish ─▶ Inbox: cursor into its class's events ─▶ Book
//! ```
//! * Everything follows from the seed and is known before the first event is published; what the server does is held
//!   against it and adds nothing to it, but for the numbers that it gives to events.
//! * A socket's expectation is a position in the list of its class: all sockets with the same topics share one list.
//! * A frame is compared byte for byte with the one that its event must become in its protocol's envelope.

mod args;
mod book;
mod dialogue;
mod inbox;
mod protocol;
mod report;
mod roster;
mod run;
mod table;
mod topic;
mod traffic;

pub use args::MixedArguments;
pub use run::MixedRun;
pub use table::render;
