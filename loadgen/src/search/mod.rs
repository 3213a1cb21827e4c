//! `loadgen search`: the highest steady rate at which what is asserted holds.
//!
//! ```text
//!   Bisection ─ rate ─▶ probe: a whole fanout run at that rate ─▶ Probe: its figures, and whether it holds ─▶ Bisection
//!       │                   └─ a probe that fails is run once more, and fails only if both did
//!       └─ answer ─▶ one probe more at that rate, to confirm it ─▶ report: table, JSON
//! ```
//! * Rates are bisected on a logarithmic scale between --min-rate and --max-rate, which are probed first.
//! * A probe holds where every assertion does, every delivery came, once, in order and whole, and the load was steady: a
//!   publisher that fell behind has not put the rate to the test.
//! * Whatever stops a search, it tells what it knows.

mod args;
mod bisection;
mod probe;
mod report;
mod run;

pub use args::SearchArguments;
pub use report::render;
pub use run::SearchRun;
