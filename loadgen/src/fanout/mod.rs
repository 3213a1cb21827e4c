//! `loadgen fanout` and `loadgen floor`: one event, or a burst, to all sockets, timed and checked; the contenders in turns.
//!
//! ```text
//!   args ─▶ contenders: the server, the floor (a bare send loop), rivals ─▶ a Side each, with its own sockets
//!                             a Side's sockets are of one kind, or of several (mix): an Opening each, and a crowd each a client thread
//!   run  ─▶ connect all ─▶ rounds in turns: A, B, …, A, B, … ─▶ harvest ─▶ report ─▶ table, JSON, page, gate
//! ```

mod args;
mod churn;
mod clients;
mod conduct;
mod dialect;
mod doubts;
mod feed;
mod floor;
mod gate;
mod groups;
mod harvest;
mod inbox;
mod load;
mod mix;
mod opening;
mod output;
mod page;
mod report;
mod rival;
mod run;
mod server;
mod side;
mod stall;
mod table;
mod watch;

pub use args::{FanoutArguments, FloorArguments, parse_percent};
pub use clients::ClientArguments;
pub use doubts::{client_late, publisher_late};
pub use floor::FloorError;
pub use gate::{Assertion, AssertionError, BaselineError, Gate};
pub use load::Load;
pub use mix::MixError;
pub use output::WriteError;
pub use report::Report;
#[cfg(test)]
pub use report::example;
pub use rival::RivalError;
pub use run::{Contender, Run, Server};
pub use server::ServerArguments;
pub use table::render;
pub use watch::BREATH;
