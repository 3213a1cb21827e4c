//! `loadgen soak`: hours of load on the same sockets, and what drifts.
//!
//! ```text
//!   Publisher ─ segments on end, one schedule ─▶ server ─▶ client threads: Inbox ─▶ OrderCheck, Recent ─▶ Window
//!   every --sample: the windows, /proc/PID, the kernel ─▶ Sample ─▶ a line, the CSV
//!   in the end:     samples ─▶ Drift: first tenth, last tenth, slope per hour ─▶ verdicts ─▶ report: table, JSON
//! ```
//! * It does not grow itself, however long it lasts. An event's due time follows from its index, a socket's state is the index
//!   that it must get next, and frames are kept of the newest events only: a late one is still told from a lost one, but
//!   no longer compared byte for byte, and that is counted.
//! * The publisher's books are closed every [`SOAK_SEGMENT_S`](crate::limits::SOAK_SEGMENT_S): a segment has a connection of
//!   its own, and the next is ordered before it ends, so that the schedule goes on without a pause.
//! * Whatever ends a soak early, it tells what it knows.

mod args;
mod drift;
mod inbox;
mod recent;
mod report;
mod run;
mod sample;
mod table;
mod window;

pub use args::SoakArguments;
pub use run::SoakRun;
pub use table::render;
