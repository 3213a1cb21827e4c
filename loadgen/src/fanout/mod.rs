//! `loadgen fanout` and `loadgen floor`: one event, or a burst, to all sockets, timed and checked; the contenders in turns.
//!
//! ```text
//!   args ─▶ contenders: the server, the floor (a bare send loop), rivals ─▶ a Side each, with its own sockets
//!   run  ─▶ connect all ─▶ rounds in turns: A, B, …, A, B, … ─▶ harvest ─▶ report ─▶ table, JSON, page, gate
//! ```

mod args;
mod dialect;
mod doubts;
mod floor;
mod gate;
mod inbox;
mod output;
mod page;
mod report;
mod rival;
mod run;
mod side;
mod stall;
mod table;
mod watch;

pub use args::{FanoutArguments, FloorArguments};
pub use floor::FloorError;
pub use gate::{AssertionError, BaselineError, Gate};
pub use output::WriteError;
pub use report::Report;
pub use rival::RivalError;
pub use run::{Contender, Run};
pub use table::render;
pub use watch::BREATH;
