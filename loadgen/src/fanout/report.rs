//! The results of a run, as they are written to JSON. Units are in the names.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::doubts;
use super::groups::{ChurnedReport, ProtocolReport};
use super::harvest::Harvest;
use super::load::Load;
use super::mix::Mix;
use super::side::{Footprint, RoundBook};
use crate::figures::{Machine, Quantiles, Span, us};
use crate::latency::{latency_histogram, median};
use crate::limits::THREADS_TOLD_MAX;
use crate::over_time::Window;
use crate::publisher::BurstAs;

/// Points of the curve for each halving of the distance to the maximum.
const CURVE_POINTS_A_HALVING: u32 = 5;

/// A side whose books are closed.
pub struct Closed {
    pub name: String,
    pub address: String,
    pub connect_seconds: f64,
    pub ended: u64,
    /// Of those that stalled, or came and went.
    pub ended_apart: u64,
    /// Kind by kind.
    pub protocols: Vec<ProtocolReport>,
    pub before: Footprint,
    pub connected: Footprint,
    pub after: Footprint,
    pub rounds: Vec<RoundBook>,
    pub harvest: Harvest,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    pub settings: Settings,
    pub sides: Vec<SideReport>,
    /// The first side divided by each of the others, round by round.
    pub pairs: Vec<Pair>,
    pub interrupted: bool,
    /// What did not hold; empty where every delivery came, once, in order and whole.
    pub broken: Vec<String>,
    /// What makes figures tell of something else than the server.
    #[serde(default)]
    pub doubts: Vec<String>,
    /// Why sockets ended before they were told to: the first few.
    pub ended_why: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Settings {
    pub sockets: u32,
    pub payload_bytes: usize,
    pub burst: u32,
    pub interval_ms: f64,
    pub rounds: u32,
    pub timed_steps_per_round: u32,
    pub warmup_steps_per_round: u32,
    pub client_threads: u32,
    pub client_cpus: Vec<usize>,
    pub server_cpu_of_floor: usize,
    /// The floor sent a burst as one send a socket.
    #[serde(default)]
    pub floor_coalesces: bool,
    /// Each event of a burst was a request of its own.
    #[serde(default)]
    pub burst_in_requests: bool,
    pub linger_us: f64,
    /// As `--mix` says it; empty where it was not given.
    #[serde(default)]
    pub mix: String,
    /// How many of the sockets came and went.
    #[serde(default)]
    pub churned_sockets: u32,
}

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

impl Settings {
    pub fn of(load: &Load) -> Self {
        let schedule = load.schedule;
        Self {
            sockets: load.sockets,
            payload_bytes: load.payload_bytes,
            burst: schedule.burst,
            interval_ms: schedule.interval_ns as f64 / 1e6,
            rounds: schedule.rounds,
            timed_steps_per_round: schedule.timed_steps,
            warmup_steps_per_round: schedule.warmup_steps,
            client_threads: load.threads,
            client_cpus: load.client_cpus.clone(),
            server_cpu_of_floor: load.server_cpu,
            floor_coalesces: load.floor_coalesces,
            burst_in_requests: load.burst_as == BurstAs::Requests,
            linger_us: load.linger.as_secs_f64() * 1e6,
            mix: load.mix.as_ref().map(Mix::to_string).unwrap_or_default(),
            churned_sockets: load.churned(),
        }
    }

    /// In what the load of two runs differs, so that their figures can't be compared.
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.mix != other.mix {
            let said = |mix: &str| if mix.is_empty() { "none".to_owned() } else { format!("`{mix}`") };
            return Some(format!("its --mix is {}, not {}", said(&self.mix), said(&other.mix)));
        }
        let differently = [
            ("the floor sends a burst", self.floor_coalesces, other.floor_coalesces, "as one send a socket"),
            ("a burst is published", self.burst_in_requests, other.burst_in_requests, "as a request each"),
        ];
        if let Some((what, theirs, _, how)) = differently.into_iter().find(|(_, theirs, ours, _)| theirs != ours) {
            let (its, this) = if theirs { ("there", "here") } else { ("here", "there") };
            return Some(format!("{what} {how} {its}, and not {this}"));
        }
        let numbers = |of: &Self| {
            [
                ("sockets", f64::from(of.sockets)),
                ("bytes of an event", of.payload_bytes as f64),
                ("events of a burst", f64::from(of.burst)),
                ("milliseconds between steps", of.interval_ms),
                ("client threads", f64::from(of.client_threads)),
                ("sockets that come and go", f64::from(of.churned_sockets)),
                ("µs of the client's spinning", of.linger_us),
            ]
        };
        let mut both = numbers(self).into_iter().zip(numbers(other));
        let ((what, theirs), (_, ours)) = both.find(|((_, one), (_, another))| one != another)?;
        Some(format!("{theirs} {what}, not {ours}"))
    }
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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemoryReport {
    pub server_rss_before_bytes: Option<u64>,
    pub server_rss_connected_bytes: Option<u64>,
    /// After the last event, with all sockets still there.
    pub server_rss_after_bytes: Option<u64>,
    /// The most that the server ever had.
    #[serde(default)]
    pub server_rss_peak_bytes: Option<u64>,
    pub server_anonymous_connected_bytes: Option<u64>,
    /// What the server's resident memory grew by while the sockets connected, per socket.
    pub server_bytes_per_socket: Option<f64>,
    pub tcp_sockets_connected: Option<u64>,
    pub tcp_buffers_connected_bytes: Option<u64>,
    pub tcp_buffers_after_bytes: Option<u64>,
    /// Growth of the kernel's slab caches per socket, both ends of it together.
    pub slab_bytes_per_socket: Option<f64>,
}

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

impl Report {
    pub fn new(load: &Load, closed: Vec<Closed>, ended_why: Vec<String>, interrupted: bool) -> Self {
        let alone = closed.len() == 1;
        let sides: Vec<SideReport> = closed.into_iter().map(|side| SideReport::new(load, side, alone)).collect();
        let broken = sides.iter().flat_map(SideReport::broken).collect();
        let pairs = match &sides[..] {
            [first, others @ ..] => others.iter().map(|other| Pair::new(first, other)).collect(),
            [] => Vec::new(),
        };
        let doubts = doubts::of_sides(&sides);
        Self {
            machine: Machine::this(),
            settings: Settings::of(load),
            sides,
            pairs,
            interrupted,
            broken,
            doubts,
            ended_why,
        }
    }
}

impl SideReport {
    fn new(load: &Load, side: Closed, alone: bool) -> Self {
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

impl MemoryReport {
    /// The kernel's figures count the sockets of all sides, so only one that is alone has them.
    fn new(sockets: u32, side: &Closed, alone: bool) -> Self {
        let rss = |at: &Footprint| at.server.map(|memory| memory.rss_bytes);
        let kernel = |at: &Footprint| at.tcp.filter(|_| alone);
        let grown =
            |before: Option<u64>, after: Option<u64>| Some((after? as f64 - before? as f64) / f64::from(sockets));
        Self {
            server_rss_before_bytes: rss(&side.before),
            server_rss_connected_bytes: rss(&side.connected),
            server_rss_after_bytes: rss(&side.after),
            server_rss_peak_bytes: side.after.server.map(|memory| memory.peak_bytes),
            server_anonymous_connected_bytes: side.connected.server.map(|memory| memory.anonymous_bytes),
            server_bytes_per_socket: grown(rss(&side.before), rss(&side.connected)),
            tcp_sockets_connected: kernel(&side.connected).map(|tcp| tcp.sockets),
            tcp_buffers_connected_bytes: kernel(&side.connected).map(|tcp| tcp.buffer_bytes),
            tcp_buffers_after_bytes: kernel(&side.after).map(|tcp| tcp.buffer_bytes),
            slab_bytes_per_socket: grown(side.before.slab_bytes, side.connected.slab_bytes).filter(|_| alone),
        }
    }
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

    fn new(first: &SideReport, other: &SideReport) -> Self {
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

/// A server beside the floor: p50 is 10 ms beside 8.
#[cfg(test)]
pub fn example() -> Report {
    let side = |name: &str, p50_us: f64| {
        let round = RoundReport {
            full_fanout_median_us: Some(2.0 * p50_us),
            deliveries_per_second_median: Some(1e9 / p50_us),
            p50_us,
            p99_us: 1.5 * p50_us,
            server_cpu_ns_per_delivery: None,
        };
        let span = |value: f64| Span { median: value, min: value, max: value };
        SideReport {
            name: name.to_owned(),
            address: "127.0.0.1:5001".to_owned(),
            connect_seconds: 0.5,
            events: 12,
            timed_steps: 10,
            incomplete_steps: 0,
            lost: 0,
            duplicated: 0,
            reordered: 0,
            damaged: 0,
            altered: 0,
            ended: 0,
            other_messages: 0,
            gaps_told: 0,
            gap_numbers: 0,
            latency: Quantiles {
                count: 1_000,
                mean_us: p50_us,
                p50_us,
                p90_us: 1.2 * p50_us,
                p99_us: 1.5 * p50_us,
                p999_us: 1.6 * p50_us,
                p9999_us: 1.7 * p50_us,
                max_us: 1.8 * p50_us,
            },
            first_delivery_us: Some(span(50.0)),
            full_fanout_us: Some(span(2.0 * p50_us)),
            deliveries_per_second: Some(span(1e9 / p50_us)),
            socket_mean_us: Some(span(p50_us)),
            publish_late_us: span(1.0),
            publish_answered_us: None,
            stalled: None,
            churned: None,
            protocols: Vec::new(),
            client_late_us: None,
            client_cpu_seconds: 1.0,
            server_cpu_seconds: None,
            server_cpu_ns_per_delivery: None,
            memory: MemoryReport {
                server_rss_before_bytes: None,
                server_rss_connected_bytes: None,
                server_rss_after_bytes: None,
                server_rss_peak_bytes: None,
                server_anonymous_connected_bytes: None,
                server_bytes_per_socket: None,
                tcp_sockets_connected: None,
                tcp_buffers_connected_bytes: None,
                tcp_buffers_after_bytes: None,
                slab_bytes_per_socket: None,
            },
            server_threads: Vec::new(),
            percentiles: Vec::new(),
            over_time: Vec::new(),
            rounds: vec![round],
        }
    };
    let sides = vec![side("server", 10_000.0), side("floor", 8_000.0)];
    Report {
        machine: Machine { kernel: "6.18".to_owned(), cpus: 2 },
        settings: Settings {
            sockets: 100,
            payload_bytes: 250,
            burst: 1,
            interval_ms: 1_000.0,
            rounds: 1,
            timed_steps_per_round: 10,
            warmup_steps_per_round: 2,
            client_threads: 1,
            client_cpus: vec![1],
            server_cpu_of_floor: 0,
            floor_coalesces: false,
            burst_in_requests: false,
            linger_us: 200.0,
            mix: String::new(),
            churned_sockets: 0,
        },
        pairs: vec![Pair::new(&sides[0], &sides[1])],
        sides,
        interrupted: false,
        broken: Vec::new(),
        doubts: Vec::new(),
        ended_why: Vec::new(),
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

    #[test]
    fn runs_of_another_mix_or_with_churn_are_not_compared() {
        let (before, mut now) = (example().settings, example().settings);
        assert_eq!(before.difference(&now), None);
        now.churned_sockets = 10;
        assert!(before.difference(&now).unwrap().contains("come and go"));
        now.mix = "sse".to_owned();
        assert_eq!(before.difference(&now).unwrap(), "its --mix is none, not `sse`");
    }
}
