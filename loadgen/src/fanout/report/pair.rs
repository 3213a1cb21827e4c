//! The ratio of one side to another, round by round, so that what slows the machine slows both.

use serde::{Deserialize, Serialize};

use super::side::{RoundReport, SideReport};
use crate::figures::Span;

/// Ratios of the first side to another.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    pub versus: String,
    pub full_fanout: Option<Span>,
    pub deliveries_per_second: Option<Span>,
    pub p50: Option<Span>,
    pub p99: Option<Span>,
    /// The steadiest on a machine that does other things too.
    pub server_cpu_per_delivery: Option<Span>,
}

impl Pair {
    pub fn figures(&self) -> [(&'static str, Option<Span>); 5] {
        [
            ("full fan-out", self.full_fanout),
            ("deliveries/s", self.deliveries_per_second),
            ("latency p50", self.p50),
            ("latency p99", self.p99),
            ("server CPU per delivery", self.server_cpu_per_delivery),
        ]
    }

    pub(super) fn new(first: &SideReport, other: &SideReport) -> Self {
        Self::of_rounds(&other.name, &first.rounds, &other.rounds)
    }

    fn of_rounds(versus: &str, first: &[RoundReport], second: &[RoundReport]) -> Self {
        let ratios = |of: fn(&RoundReport) -> Option<f64>| {
            let rounds = first.iter().zip(second);
            let ratios: Vec<f64> =
                rounds.filter_map(|(a, b)| Some(of(a)? / of(b)?)).filter(|x| x.is_finite()).collect();
            Span::of(&ratios)
        };
        Self {
            versus: versus.to_owned(),
            full_fanout: ratios(|round| round.full_fanout_median_us),
            deliveries_per_second: ratios(|round| round.deliveries_per_second_median),
            // Of a round in which nothing came they are 0.
            p50: ratios(|round| Some(round.p50_us).filter(|us| *us > 0.0)),
            p99: ratios(|round| Some(round.p99_us).filter(|us| *us > 0.0)),
            server_cpu_per_delivery: ratios(|round| round.server_cpu_ns_per_delivery),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(full: f64, p50: f64) -> RoundReport {
        RoundReport {
            full_fanout_median_us: Some(full),
            deliveries_per_second_median: Some(1e9 / full),
            p50_us: p50,
            p99_us: p50,
            server_cpu_ns_per_delivery: None,
        }
    }

    #[test]
    fn a_pairs_ratio_is_taken_round_by_round_so_that_a_slow_minute_hits_both() {
        let first = [round(105.0, 50.0), round(1050.0, 500.0), round(110.0, 55.0)];
        let second = [round(100.0, 50.0), round(1000.0, 500.0), round(100.0, 50.0)];
        let pair = Pair::of_rounds("floor", &first, &second);
        let full = pair.full_fanout.unwrap();
        assert!((full.median - 1.05).abs() < 1e-9 && (full.min - 1.05).abs() < 1e-9 && (full.max - 1.1).abs() < 1e-9);
        assert_eq!(pair.p50.unwrap().median, 1.0);
        assert!(pair.deliveries_per_second.unwrap().median < 1.0);
    }

    #[test]
    fn rounds_without_a_figure_are_left_out_of_the_ratio() {
        let none = RoundReport { full_fanout_median_us: None, ..round(1.0, 0.0) };
        let pair = Pair::of_rounds("floor", &[none.clone(), round(4.0, 1.0)], &[round(2.0, 0.0), round(2.0, 1.0)]);
        assert_eq!(pair.full_fanout, Some(Span { median: 2.0, min: 2.0, max: 2.0 }));
        assert_eq!(pair.p50.unwrap().median, 1.0);
        assert!(Pair::of_rounds("floor", &[none], &[round(1.0, 1.0)]).full_fanout.is_none());
    }
}
