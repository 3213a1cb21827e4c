//! The results of a publishing run: as they are written to JSON, and as a person reads them.

use std::fmt::Write;

use serde::Serialize;

use super::args::PublishLoad;
use super::run::{Batches, Round};
use crate::figures::{Machine, Quantiles, Span};
use crate::latency::latency_histogram;
use crate::wording::{megabytes, thousands, time};

/// Width of the first column and of the others.
const NAME: usize = 34;
const CELL: usize = 20;

/// What came of the single events.
pub struct Singles {
    pub rounds: Vec<Round>,
    pub record_bytes: Option<usize>,
}

#[derive(Debug, Serialize)]
pub struct PublishReport {
    pub machine: Machine,
    pub settings: Settings,
    pub batches: BatchReport,
    /// From sending one event to its answer.
    pub singles: Quantiles,
    pub floor: Option<FloorReport>,
}

#[derive(Debug, Serialize)]
pub struct Settings {
    pub address: String,
    pub payload_bytes: usize,
    pub batch: u32,
    pub rounds: u32,
    pub singles_per_round: u32,
}

#[derive(Debug, Serialize)]
pub struct BatchReport {
    pub events: u32,
    pub seconds: f64,
    pub events_per_second: f64,
    pub bytes_per_second: f64,
    /// From a request's sending (with a rate: from its time) to its answer.
    pub answered: Quantiles,
}

/// The bare write + fdatasync, and how many times as long a publish takes, round by round.
#[derive(Debug, Serialize)]
pub struct FloorReport {
    pub record_bytes: usize,
    pub took: Quantiles,
    pub p50_ratio: Option<Span>,
    pub p99_ratio: Option<Span>,
}

impl PublishReport {
    pub fn new(load: &PublishLoad, batches: Batches, singles: Singles) -> Self {
        let mut alone = latency_histogram();
        let mut floor = latency_histogram();
        for round in &singles.rounds {
            alone.add(&round.singles).expect("histograms of the same bounds");
            round.floor.iter().for_each(|took| floor.add(took).expect("histograms of the same bounds"));
        }
        let events_per_second = f64::from(load.batched) / batches.seconds.max(1e-9);
        Self {
            machine: Machine::this(),
            settings: Settings {
                address: load.target.authority(),
                payload_bytes: load.payload_bytes,
                batch: load.batch,
                rounds: load.rounds,
                singles_per_round: load.singles_per_round,
            },
            batches: BatchReport {
                events: load.batched,
                seconds: batches.seconds,
                events_per_second,
                bytes_per_second: events_per_second * load.payload_bytes as f64,
                answered: Quantiles::of(&batches.answered),
            },
            singles: Quantiles::of(&alone),
            floor: singles.record_bytes.map(|record_bytes| FloorReport {
                record_bytes,
                took: Quantiles::of(&floor),
                p50_ratio: ratio(&singles.rounds, 0.5),
                p99_ratio: ratio(&singles.rounds, 0.99),
            }),
        }
    }
}

/// Round by round, so that a slow minute of the disk counts on both sides.
fn ratio(rounds: &[Round], quantile: f64) -> Option<Span> {
    let of = |round: &Round| {
        let floor = round.floor.as_ref().filter(|took| !took.is_empty())?;
        let singles = Some(&round.singles).filter(|took| !took.is_empty())?;
        Some(singles.value_at_quantile(quantile) as f64 / floor.value_at_quantile(quantile) as f64)
    };
    Span::of(&rounds.iter().filter_map(of).collect::<Vec<_>>())
}

/// The whole report, ending with a line break.
pub fn render(report: &PublishReport) -> String {
    let PublishReport { settings, batches, .. } = report;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\none publisher to {}, events of {} bytes: batches of {}, then {} rounds of {} single events",
        settings.address,
        settings.payload_bytes,
        thousands(settings.batch.into()),
        settings.rounds,
        settings.singles_per_round
    );
    for (name, value) in [
        ("events in batches", thousands(batches.events.into())),
        ("events/s", thousands(batches.events_per_second)),
        ("published per second", megabytes(batches.bytes_per_second as u64)),
    ] {
        let _ = writeln!(text, "{name:NAME$}{value:>CELL$}");
    }
    let columns: Vec<(&str, Quantiles)> =
        [("a batch's answer", batches.answered), ("a single's answer", report.singles)]
            .into_iter()
            .chain(report.floor.as_ref().map(|floor| ("write + fdatasync", floor.took)))
            .collect();
    let line = |text: &mut String, name: &str, cell: &dyn Fn(&(&str, Quantiles)) -> String| {
        let cells: String = columns.iter().map(|column| format!("{:>CELL$}", cell(column))).collect();
        let _ = writeln!(text, "{name:NAME$}{cells}");
    };
    line(&mut text, "", &|(name, _)| (*name).to_owned());
    line(&mut text, "how many", &|(_, of)| thousands(of.count as f64));
    for (name, of) in QUANTILES {
        line(&mut text, name, &|(_, quantiles)| time(of(quantiles)));
    }
    if let Some(floor) = &report.floor {
        let _ = writeln!(
            text,
            "single ÷ write + fdatasync of {} bytes, median of {} rounds (least … most)",
            floor.record_bytes, settings.rounds
        );
        for (name, ratio) in [("  p50", floor.p50_ratio), ("  p99", floor.p99_ratio)] {
            let _ = writeln!(text, "{name:NAME$}{}", ratio.map_or("-".into(), crate::wording::ratio_text));
        }
    }
    text
}

type Figure = fn(&Quantiles) -> f64;

const QUANTILES: [(&str, Figure); 6] = [
    ("latency p50", |of| of.p50_us),
    ("        p90", |of| of.p90_us),
    ("        p99", |of| of.p99_us),
    ("        p99.9", |of| of.p999_us),
    ("        p99.99", |of| of.p9999_us),
    ("        max", |of| of.max_us),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn round(singles_us: u64, floor_us: Option<u64>) -> Round {
        let of = |us: u64| {
            let mut histogram = latency_histogram();
            histogram.record(us * 1000).unwrap();
            histogram
        };
        Round { singles: of(singles_us), floor: floor_us.map(of) }
    }

    #[test]
    fn the_ratio_is_taken_round_by_round_so_that_a_slow_minute_of_the_disk_hits_both() {
        let span = ratio(&[round(200, Some(100)), round(20_000, Some(10_000)), round(300, Some(100))], 0.5).unwrap();
        assert!((span.median - 2.0).abs() < 0.01 && (span.max - 3.0).abs() < 0.01, "{span:?}");
        assert!(ratio(&[round(200, None)], 0.5).is_none());
    }
}
