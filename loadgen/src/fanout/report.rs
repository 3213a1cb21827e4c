//! The results of a run, as they are written to JSON. Units are in the names.
//!
//! ```text
//!   settings ─┐
//!   Closed ───┴─▶ Report ─▶ side (memory, rounds, threads, curve) ─▶ pairs, doubts, what broke
//! ```

mod memory;
mod pair;
mod settings;
mod side;

pub use pair::Pair;
pub use settings::Settings;
pub use side::{SideReport, WindowReport};
#[cfg(test)]
pub use {
    memory::MemoryReport,
    side::{CurvePoint, RoundReport, ThreadReport},
};

use serde::{Deserialize, Serialize};

use super::doubts;
use super::groups::ProtocolReport;
use super::harvest::Harvest;
use super::load::Load;
use super::side::{Footprint, RoundBook};
use crate::figures::Machine;

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

/// A server beside the floor: p50 is 10 ms beside 8.
#[cfg(test)]
pub fn example() -> Report {
    use crate::figures::{Quantiles, Span};

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
