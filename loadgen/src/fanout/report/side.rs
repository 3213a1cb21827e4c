//! What one side's sockets got, how late, and what it cost.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::groups::{ChurnedReport, ProtocolReport};
use super::super::load::Load;
use super::super::side::RoundBook;
use super::Closed;
use super::memory::MemoryReport;
use crate::figures::{Quantiles, Span, us};
use crate::latency::{latency_histogram, median};
use crate::limits::THREADS_TOLD_MAX;
use crate::over_time::Window;

/// Points of the curve for each halving of the distance to the maximum.
const CURVE_POINTS_A_HALVING: u32 = 5;

#[derive(Debug, Serialize, Deserialize)]
pub struct SideReport {
    pub name: String,
    pub address: String,
    pub connect_seconds: f64,
    /// Published, warm-ups and all.
    pub events: u32,
    pub timed_steps: usize,
    /// Timed steps that some socket never got whole.
    pub incomplete_steps: usize,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub damaged: u64,
    /// Events that came otherwise than they were published, from a server that may do that.
    #[serde(default)]
    pub altered: u64,
    pub ended: u64,
    pub other_messages: u64,
    /// Gaps that the server told of, and the numbers in them.
    pub gaps_told: u64,
    pub gap_numbers: u64,
    /// Of every timed delivery to sockets that read all the time, from the intended publish time.
    pub latency: Quantiles,
    /// From a step's intended time until the first socket has something of it.
    pub first_delivery_us: Option<Span>,
    /// From a step's intended time until the last socket has all of it.
    pub full_fanout_us: Option<Span>,
    /// Sockets × events of a step ÷ its full fan-out.
    pub deliveries_per_second: Option<Span>,
    /// Mean latency of each socket, over the sockets: how evenly the server treats them.
    pub socket_mean_us: Option<Span>,
    /// How late the publisher (or the floor's loop) itself began a step.
    pub publish_late_us: Span,
    /// From a step's intended time until the server's answer.
    pub publish_answered_us: Option<Span>,
    pub stalled: Option<StalledReport>,
    pub churned: Option<ChurnedReport>,
    /// Where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protocols: Vec<ProtocolReport>,
    /// At most how long deliveries had been there when the client read them: its own part in their latency.
    pub client_late_us: Option<Quantiles>,
    pub client_cpu_seconds: f64,
    pub server_cpu_seconds: Option<f64>,
    pub server_cpu_ns_per_delivery: Option<f64>,
    pub memory: MemoryReport,
    /// CPU time of the server's threads, the busiest first; those of one name together.
    pub server_threads: Vec<ThreadReport>,
    /// The whole curve: enough points for a plot.
    pub percentiles: Vec<CurvePoint>,
    /// By when an event was to be published, in seconds of this side's load.
    pub over_time: Vec<WindowReport>,
    pub rounds: Vec<RoundReport>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThreadReport {
    pub name: String,
    pub cpu_seconds: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CurvePoint {
    pub quantile: f64,
    pub latency_us: f64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct WindowReport {
    pub from_seconds: f64,
    pub deliveries: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

/// The sockets that stopped reading for a while.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct StalledReport {
    pub sockets: u32,
    pub stall_seconds: f64,
    /// Of every timed delivery to them.
    pub latency: Quantiles,
    /// From reading on until a socket had everything up to an event published since.
    pub whole_again: Quantiles,
    pub never_whole: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RoundReport {
    pub full_fanout_median_us: Option<f64>,
    pub deliveries_per_second_median: Option<f64>,
    pub p50_us: f64,
    pub p99_us: f64,
    pub server_cpu_ns_per_delivery: Option<f64>,
}

impl SideReport {
    pub(super) fn new(load: &Load, side: Closed, alone: bool) -> Self {
        let (schedule, recorder) = (load.schedule, &side.harvest.recorder);
        let reading = load.sockets - load.apart();
        let of_those_apart = side.harvest.apart.as_ref().map(|recorder| Quantiles::of(&recorder.total()));
        let steps: Vec<(u32, Option<u64>, Option<u64>)> = schedule
            .timed()
            .filter(|(round, _)| (*round as usize) < side.rounds.len())
            .map(|(round, step)| {
                let (first, whole) = recorder.step_ns(round, step, reading);
                (round, first, whole)
            })
            .collect();
        let first: Vec<f64> = steps.iter().filter_map(|(_, first, _)| first.map(us)).collect();
        let whole_of = |wanted: Option<u32>| -> Vec<f64> {
            let of_round = steps.iter().filter(|(round, ..)| wanted.is_none_or(|wanted| *round == wanted));
            of_round.filter_map(|(.., whole)| whole.map(us)).collect()
        };
        let per_step = f64::from(reading) * f64::from(schedule.burst);
        let rates = |whole: &[f64]| -> Vec<f64> { whole.iter().map(|us| per_step / us * 1e6).collect() };
        let whole = whole_of(None);
        let mut late = latency_histogram();
        let mut answered = latency_histogram();
        for round in &side.rounds {
            late.add(&round.outcome.late).expect("histograms of the same bounds");
            answered.add(&round.outcome.answered).expect("histograms of the same bounds");
        }
        let server_cpu_ns: Option<u64> = side.rounds.iter().map(RoundBook::server_cpu_total_ns).sum();
        let events = schedule.events_per_round() * side.rounds.len() as u32;
        // One event to one socket; those that come and go got what they were there for.
        let deliveries = f64::from(events) * f64::from(load.sockets - load.churned())
            + side.harvest.churn.as_ref().map_or(0.0, |churn| churn.deliveries as f64);
        Self {
            connect_seconds: side.connect_seconds,
            events,
            timed_steps: steps.len(),
            incomplete_steps: steps.len() - whole.len(),
            lost: side.harvest.lost,
            duplicated: side.harvest.duplicated,
            reordered: side.harvest.reordered,
            damaged: side.harvest.damaged,
            altered: side.harvest.altered,
            ended: side.ended,
            other_messages: side.harvest.other_messages,
            gaps_told: side.harvest.gaps.told,
            gap_numbers: side.harvest.gaps.numbers,
            stalled: side.harvest.stall.as_ref().zip(of_those_apart).map(|(stall, latency)| StalledReport {
                sockets: stall.sockets,
                stall_seconds: stall.stall_ns as f64 / 1e9,
                latency,
                whole_again: Quantiles::of(&stall.whole_again),
                never_whole: stall.never_whole(),
            }),
            churned: side
                .harvest
                .churn
                .as_ref()
                .zip(of_those_apart)
                .map(|(churn, latency)| ChurnedReport::new(churn, latency, side.ended_apart)),
            latency: Quantiles::of(&recorder.total()),
            first_delivery_us: Span::of(&first),
            deliveries_per_second: Span::of(&rates(&whole)),
            full_fanout_us: Span::of(&whole),
            socket_mean_us: Span::of(&side.harvest.socket_means_ns).map(|span| span.scaled(1e-3)),
            publish_late_us: Span::of_histogram(&late).unwrap_or(Span { median: 0.0, min: 0.0, max: 0.0 }),
            publish_answered_us: Span::of_histogram(&answered),
            client_late_us: Some(Quantiles::of(recorder.waited())),
            client_cpu_seconds: side.rounds.iter().map(|round| round.client_cpu_ns as f64 / 1e9).sum(),
            server_cpu_seconds: server_cpu_ns.map(|ns| ns as f64 / 1e9),
            server_cpu_ns_per_delivery: server_cpu_ns.map(|ns| ns as f64 / deliveries),
            memory: MemoryReport::new(load.sockets, &side, alone),
            server_threads: server_threads(&side.rounds),
            percentiles: recorder
                .total()
                .iter_quantiles(CURVE_POINTS_A_HALVING)
                .map(|step| CurvePoint {
                    quantile: step.quantile_iterated_to(),
                    latency_us: us(step.value_iterated_to()),
                })
                .collect(),
            over_time: recorder.over_time().windows().map(WindowReport::of).collect(),
            rounds: (0..side.rounds.len() as u32)
                .map(|round| {
                    let whole = whole_of(Some(round));
                    RoundReport {
                        full_fanout_median_us: median(&whole),
                        deliveries_per_second_median: median(&rates(&whole)),
                        p50_us: us(recorder.round(round).value_at_quantile(0.5)),
                        p99_us: us(recorder.round(round).value_at_quantile(0.99)),
                        server_cpu_ns_per_delivery: side.rounds[round as usize]
                            .server_cpu_total_ns()
                            .map(|ns| ns as f64 * side.rounds.len() as f64 / deliveries),
                    }
                })
                .collect(),
            protocols: if side.protocols.len() > 1 { side.protocols } else { Vec::new() },
            address: side.address,
            name: side.name,
        }
    }

    /// What is wrong with its deliveries.
    pub fn broken(&self) -> Vec<String> {
        let counts = [
            ("deliveries lost", self.lost),
            ("duplicated", self.duplicated),
            ("reordered", self.reordered),
            ("damaged", self.damaged),
            ("sockets ended early", self.ended),
            ("stalled sockets never whole again", self.stalled.map_or(0, |stalled| stalled.never_whole)),
            ("sockets that left never back", self.churned.map_or(0, |churned| churned.never_back)),
        ];
        let told = counts.into_iter().filter(|(_, count)| *count > 0);
        told.map(|(what, count)| format!("{}: {count} {what}", self.name)).collect()
    }
}

impl WindowReport {
    fn of(window: Window<'_>) -> Self {
        let at = |quantile| us(window.latencies.value_at_quantile(quantile));
        Self {
            from_seconds: window.from_ns as f64 / 1e9,
            deliveries: window.latencies.len(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: us(window.latencies.max()),
        }
    }
}

/// The busiest threads of all rounds together; the rest in one.
fn server_threads(rounds: &[RoundBook]) -> Vec<ThreadReport> {
    let mut used: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, ns) in rounds.iter().filter_map(|round| round.server_cpu_ns.as_ref()).flatten() {
        *used.entry(name).or_default() += ns;
    }
    let mut threads: Vec<(&str, u64)> = used.into_iter().filter(|(_, ns)| *ns > 0).collect();
    threads.sort_by_key(|(_, ns)| Reverse(*ns));
    let rest = threads.split_off(threads.len().min(THREADS_TOLD_MAX));
    if !rest.is_empty() {
        threads.push(("others", rest.iter().map(|(_, ns)| ns).sum()));
    }
    let report = |(name, ns): (&str, u64)| ThreadReport { name: name.to_owned(), cpu_seconds: ns as f64 / 1e9 };
    threads.into_iter().map(report).collect()
}
