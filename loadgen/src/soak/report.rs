//! The results of a soak, as they are written to JSON. Units are in the names.

use serde::Serialize;

use super::args::{Bounds, SoakLoad};
use super::drift::{Bound, Drift};
use super::run::Books;
use super::sample::{Sample, ServerSample};
use super::window::Faults;
use crate::error::RunError;
use crate::fanout::{client_late, publisher_late};
use crate::figures::{Machine, Quantiles, Span};
use crate::wording::{megabytes, thousands, time};

#[derive(Debug, Serialize)]
pub struct SoakReport {
    pub machine: Machine,
    pub settings: Settings,
    pub connect_seconds: f64,
    pub server_before: Option<ServerSample>,
    pub events: u64,
    /// Of every delivery, from the intended publish time.
    pub latency: Quantiles,
    pub publish_late_us: Option<Span>,
    pub publish_answered_us: Option<Span>,
    /// At most how long deliveries had been there when the client read them: its own part in their latency.
    pub client_late_us: Quantiles,
    pub faults: Faults,
    /// Sockets that ended before they were told to.
    pub ended: u64,
    pub drifts: Vec<DriftReport>,
    /// What did not hold; empty where every delivery came, once, in order and whole, and nothing grew past its bound.
    pub broken: Vec<String>,
    /// What makes figures tell of something else than the server.
    pub doubts: Vec<String>,
    pub ended_why: Vec<String>,
    /// What ended the soak before its time.
    pub stopped_by: Option<String>,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
pub struct Settings {
    pub sockets: u32,
    pub payload_bytes: usize,
    pub events_per_second: f64,
    pub asked_seconds: f64,
    pub sample_seconds: f64,
    pub segments: u32,
}

#[derive(Debug, Serialize)]
pub struct DriftReport {
    /// The name of the samples' field.
    pub figure: &'static str,
    #[serde(flatten)]
    pub drift: Drift,
    /// What was asked of it, in words; `None` where nothing was.
    pub bound: Option<String>,
    pub holds: bool,
    /// What a person calls it, and how one reads it.
    #[serde(skip)]
    pub name: &'static str,
    #[serde(skip)]
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Bytes,
    Count,
    Microseconds,
}

impl Unit {
    pub fn write(self, value: f64) -> String {
        let sign = if value < 0.0 { "-" } else { "" };
        let size = value.abs();
        let text = match self {
            Self::Bytes => megabytes(size as u64),
            Self::Count if size.fract() == 0.0 => thousands(size),
            Self::Count => format!("{size:.2}"),
            Self::Microseconds => time(size),
        };
        format!("{sign}{text}")
    }
}

impl SoakReport {
    pub fn new(load: &SoakLoad, books: Books, stopped_by: Option<&RunError>) -> Self {
        let schedule = load.load.schedule;
        let drifts = drifts(&books.samples, &load.bounds);
        let (latency, client) = (Quantiles::of(&books.latency), Quantiles::of(&books.client_late));
        let publish_late_us = Span::of_histogram(&books.publish_late);
        let doubts = [
            client_late("server", latency.p99_us, client.p99_us),
            publish_late_us.and_then(|late| publisher_late("server", latency.p50_us, late.median)),
        ];
        let mut broken = faults_told(&books.faults, books.ended);
        broken.extend(drifts.iter().filter_map(DriftReport::broken));
        Self {
            machine: Machine::this(),
            settings: Settings {
                sockets: load.load.sockets,
                payload_bytes: load.load.payload_bytes,
                events_per_second: 1e9 / schedule.interval_ns as f64,
                asked_seconds: schedule.offset_ns(schedule.events()) as f64 / 1e9,
                sample_seconds: load.sample.as_secs_f64(),
                segments: schedule.rounds,
            },
            connect_seconds: books.connect_seconds,
            server_before: books.server_before,
            events: books.published,
            latency,
            publish_late_us,
            publish_answered_us: Span::of_histogram(&books.publish_answered),
            client_late_us: client,
            faults: books.faults,
            ended: books.ended,
            drifts,
            broken,
            doubts: doubts.into_iter().flatten().collect(),
            ended_why: books.ended_why,
            stopped_by: stopped_by.map(ToString::to_string),
            samples: books.samples,
        }
    }
}

fn faults_told(faults: &Faults, ended: u64) -> Vec<String> {
    let counts = [
        ("deliveries lost", faults.lost),
        ("duplicated", faults.duplicated),
        ("reordered", faults.reordered),
        ("damaged", faults.damaged),
        ("sockets ended early", ended),
    ];
    let told = counts.into_iter().filter(|(_, count)| *count > 0);
    told.map(|(what, count)| format!("{count} {what}")).collect()
}

type Figure = fn(&Sample) -> Option<f64>;

/// What is followed: as the samples call it, as people do, and where it is.
const FIGURES: &[(&str, &str, Unit, Figure)] = &[
    ("rss_bytes", "server memory", Unit::Bytes, |sample| Some(sample.server?.rss_bytes as f64)),
    ("anonymous_bytes", "  of it anonymous", Unit::Bytes, |sample| Some(sample.server?.anonymous_bytes as f64)),
    ("descriptors", "server descriptors", Unit::Count, |sample| Some(sample.server?.descriptors as f64)),
    ("p50_us", "latency p50", Unit::Microseconds, |sample| sample.p50_us),
    ("p99_us", "latency p99", Unit::Microseconds, |sample| sample.p99_us),
    ("tcp_buffer_bytes", "kernel TCP buffers", Unit::Bytes, |sample| Some(sample.tcp_buffer_bytes? as f64)),
    ("loadgen_rss_bytes", "loadgen's own memory", Unit::Bytes, |sample| Some(sample.loadgen_rss_bytes? as f64)),
];

fn drifts(samples: &[Sample], bounds: &Bounds) -> Vec<DriftReport> {
    let followed = FIGURES.iter().filter_map(|(figure, name, unit, of)| {
        let points: Vec<(f64, f64)> = samples.iter().filter_map(|sample| Some((sample.seconds, of(sample)?))).collect();
        let drift = Drift::of(&points)?;
        let bound = match *figure {
            "rss_bytes" => Some(Bound::Share(bounds.rss_growth)),
            "descriptors" => Some(Bound::Count(f64::from(bounds.descriptor_growth))),
            "p99_us" => Some(Bound::Share(bounds.p99_growth)),
            _ => None,
        };
        let told = bound.map(|bound| match bound {
            Bound::Share(share) => format!("at most {:.1} % more", share * 100.0),
            Bound::Count(count) => format!("at most {count} more"),
        });
        let holds = bound.is_none_or(|bound| drift.is_within(bound));
        Some(DriftReport { figure, drift, bound: told, holds, name, unit: *unit })
    });
    followed.collect()
}

impl DriftReport {
    /// The growth as a person reads it.
    pub fn growth(&self) -> String {
        match (self.unit, self.drift.growth_share()) {
            (Unit::Bytes | Unit::Microseconds, Some(share)) => format!("{:+.1} %", share * 100.0),
            _ => format!("{:+.1}", self.drift.growth()),
        }
    }

    fn broken(&self) -> Option<String> {
        let asked = self.bound.as_ref().filter(|_| !self.holds)?;
        let (first, last) = (self.unit.write(self.drift.first), self.unit.write(self.drift.last));
        Some(format!("{} went from {first} to {last} ({}): {asked} was asked", self.name.trim(), self.growth()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::example;
    use super::*;

    const BOUNDS: Bounds = Bounds { rss_growth: 0.05, descriptor_growth: 0, p99_growth: 0.5 };

    /// What is broken where the last tenth of the samples is spoilt.
    fn broken(spoil: impl Fn(&mut Sample), bounds: Bounds) -> Vec<String> {
        let mut samples: Vec<Sample> = (1..=100).map(|sample| example(f64::from(sample) * 10.0)).collect();
        samples[90..].iter_mut().for_each(spoil);
        drifts(&samples, &bounds).iter().filter_map(DriftReport::broken).collect()
    }

    fn server(sample: &mut Sample) -> &mut ServerSample {
        sample.server.as_mut().unwrap()
    }

    #[test]
    fn what_stays_as_it_was_breaks_nothing() {
        assert_eq!(broken(|_| {}, BOUNDS), Vec::<String>::new());
        let unbounded = |sample: &mut Sample| {
            sample.p50_us = Some(1e6);
            sample.loadgen_rss_bytes = Some(1 << 40);
            server(sample).anonymous_bytes *= 2;
        };
        assert!(broken(unbounded, BOUNDS).is_empty(), "nothing was asked of those");
    }

    #[test]
    fn memory_descriptors_and_p99_have_bounds_of_their_own() {
        let told = broken(|sample| server(sample).rss_bytes += 4 << 20, BOUNDS);
        assert_eq!(told, ["server memory went from 64.0 MiB to 68.0 MiB (+6.2 %): at most 5.0 % more was asked"]);
        assert!(broken(|sample| server(sample).rss_bytes += 3 << 20, BOUNDS).is_empty());
        let told = broken(|sample| server(sample).descriptors += 1, BOUNDS);
        assert_eq!(told, ["server descriptors went from 42 to 43 (+1.0): at most 0 more was asked"]);
        assert!(broken(|sample| server(sample).descriptors += 1, Bounds { descriptor_growth: 1, ..BOUNDS }).is_empty());
        let told = broken(|sample| sample.p99_us = Some(4000.0), BOUNDS);
        assert_eq!(told, ["latency p99 went from 2.50 ms to 4.00 ms (+60.0 %): at most 50.0 % more was asked"]);
        assert!(broken(|sample| sample.p99_us = Some(3700.0), BOUNDS).is_empty());
    }

    #[test]
    fn a_figure_that_is_not_known_has_no_verdict() {
        let samples: Vec<Sample> =
            (1..=10).map(|sample| Sample { server: None, ..example(f64::from(sample)) }).collect();
        let names: Vec<&str> = drifts(&samples, &BOUNDS).iter().map(|drift| drift.figure).collect();
        assert_eq!(names, ["p50_us", "p99_us", "tcp_buffer_bytes", "loadgen_rss_bytes"]);
    }

    #[test]
    fn every_fault_breaks_a_soak_and_a_copy_that_was_not_compared_does_not() {
        let faults =
            Faults { lost: 1, duplicated: 2, reordered: 3, damaged: 4, uncompared: 5, gaps: 6, other_messages: 7 };
        let told = faults_told(&faults, 8);
        assert_eq!(told, ["1 deliveries lost", "2 duplicated", "3 reordered", "4 damaged", "8 sockets ended early"]);
        assert!(faults_told(&Faults { uncompared: 5, gaps: 0, other_messages: 7, ..Faults::default() }, 0).is_empty());
    }
}
