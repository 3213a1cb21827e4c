//! `loadgen calibrate`: what the pieces of a running Stentor's work cost on this machine, for `stentor plan`.
//!
//! ```text
//!   idle, then a few short fanout loads, in turns, some rounds ─▶ Sample each ─▶ fit: costs by differences ─▶ calibration.json
//! ```
//! * A load differs from another in one thing alone (sockets, bytes, burst), so a difference is the cost of that thing.
//! * Events are far enough apart that nothing waits: what is measured is CPU time, and the way of a single event.
//! * What disturbs a fan-out only makes it longer, so its time is that of the quickest.
//! * The machine's mood changes within seconds, so differences are taken within a round, and medians over the rounds.
//! * Costs that contradict each other are told instead of written.

mod args;
mod fit;
mod probe;
mod run;
mod table;

pub use args::CalibrateArguments;
pub use run::{CalibrateError, CalibrateRun};
pub use table::render;
