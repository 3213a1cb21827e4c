//! What a run has to reach: `--assert` and `--baseline`. Pure: a report in, what it broke out.
//!
//! ```text
//!   report ─▶ names: `p99`, `floor.p50`, `ratio.floor.full`, … ─┬─▶ assertions: `p99<20ms`      ─┬─▶ what broke, and by how much
//!   a baseline's report ─▶ the same names ──────────────────────┴─▶ regressions past the bound ──┘
//! ```
//! What can never hold, since the run has no such figure, is refused before it begins.

mod assertion;
mod baseline;
mod names;

pub use assertion::{Assertion, AssertionError};
pub use baseline::{Baseline, BaselineError};
pub use names::Known;

use super::report::Report;

/// What a run has to reach.
#[derive(Debug, Default)]
pub struct Gate {
    pub assertions: Vec<Assertion>,
    pub baseline: Option<Baseline>,
    /// 0.1: figures may be a tenth worse than the baseline's.
    pub max_regression: f64,
}

impl Gate {
    /// What the report does not reach.
    pub fn broken(&self, report: &Report) -> Vec<String> {
        let mut broken: Vec<String> = self.assertions.iter().filter_map(|assertion| assertion.broken(report)).collect();
        if let Some(baseline) = &self.baseline {
            broken.extend(baseline.regressions(report, self.max_regression));
        }
        broken
    }

    /// What should be known of the comparison with the baseline.
    pub fn warning(&self, report: &Report) -> Option<&'static str> {
        let is_of_another = self.baseline.as_ref().is_some_and(|baseline| baseline.is_of_another_machine(report));
        is_of_another
            .then_some("the baseline is of another machine: pair both with --vs floor, so that ratios are compared")
    }
}
