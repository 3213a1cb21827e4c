//! The results of a mixed run, as they are written to JSON. Units are in the names.

use std::collections::BTreeMap;

use serde::Serialize;

use super::args::MixedLoad;
use super::book::Fault;
use super::inbox::{Harvest, Plan};
use super::protocol::Protocol;
use crate::driver::RoundOutcome;
use crate::figures::{Machine, Quantiles, Span};
use crate::process::Memory;

/// A run whose books are closed.
pub struct Closed {
    pub connect_seconds: f64,
    pub outcome: RoundOutcome,
    pub harvest: Harvest,
    pub ended_why: Vec<String>,
    pub client_cpu_ns: u64,
    /// While events were published and delivered.
    pub server_cpu_ns: Option<u64>,
    /// With all sockets connected.
    pub server_memory: Option<Memory>,
}

#[derive(Debug, Serialize)]
pub struct MixedReport {
    pub machine: Machine,
    pub settings: Settings,
    pub connect_seconds: f64,
    pub protocols: Vec<ProtocolReport>,
    /// How late the publisher itself began a request.
    pub publish_late_us: Option<Span>,
    /// From a request's intended time until the server's answer.
    pub publish_answered_us: Option<Span>,
    pub client_cpu_seconds: f64,
    pub server_cpu_seconds: Option<f64>,
    pub server_rss_connected_bytes: Option<u64>,
    /// What did not hold; empty where each socket got exactly what it should and nothing else.
    pub broken: Vec<String>,
    /// One example of each kind of fault in each protocol.
    pub examples: Vec<String>,
    /// Why sockets ended before they were told to: the first few.
    pub ended_why: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Settings {
    pub address: String,
    pub sockets_per_protocol: u32,
    pub accounts: usize,
    pub events: u32,
    pub burst: u32,
    pub interval_ms: f64,
    pub seed: u64,
}

#[derive(Debug, Serialize)]
pub struct ProtocolReport {
    pub name: &'static str,
    pub sockets: u32,
    /// Different sets of topics among its sockets.
    pub topic_sets: usize,
    /// Events on its topics, those that nobody hears among them.
    pub events: u32,
    /// Deliveries that there must be, over all of its sockets.
    pub deliveries_due: u64,
    /// Of every delivery, from the intended publish time.
    pub latency: Quantiles,
    /// The server's ping frames, each answered with a pong.
    pub server_pings: u64,
    /// The clients' `ping` messages that the server answered.
    pub pongs: u64,
    /// By kind; all of them 0 where all held.
    pub faults: BTreeMap<&'static str, u64>,
}

impl MixedReport {
    pub fn new(load: &MixedLoad, plan: &Plan, closed: Closed) -> Self {
        let Closed { outcome, harvest, .. } = closed;
        Self {
            machine: Machine::this(),
            settings: Settings {
                address: load.credentials.server.authority(),
                sockets_per_protocol: load.sockets_per_protocol,
                accounts: load.keys.len(),
                events: load.schedule.events(),
                burst: load.schedule.burst,
                interval_ms: load.schedule.interval_ns as f64 / 1e6,
                seed: load.seed,
            },
            connect_seconds: closed.connect_seconds,
            protocols: Protocol::ALL.map(|protocol| ProtocolReport::new(plan, &harvest, protocol)).into(),
            publish_late_us: Span::of_histogram(&outcome.late),
            publish_answered_us: Span::of_histogram(&outcome.answered),
            client_cpu_seconds: closed.client_cpu_ns as f64 / 1e9,
            server_cpu_seconds: closed.server_cpu_ns.map(|ns| ns as f64 / 1e9),
            server_rss_connected_bytes: closed.server_memory.map(|memory| memory.rss_bytes),
            broken: harvest.book.broken(),
            examples: harvest.book.examples,
            ended_why: closed.ended_why,
        }
    }
}

impl ProtocolReport {
    fn new(plan: &Plan, harvest: &Harvest, protocol: Protocol) -> Self {
        let Plan { traffic, roster, .. } = plan;
        let sockets = (0..roster.sockets()).filter(|socket| Protocol::of_socket(*socket) == protocol);
        let classes: Vec<u32> = sockets.map(|socket| roster.class_of(socket)).collect();
        let due = |class: &u32| roster.classes[*class as usize].events.len() as u64;
        let chatter = harvest.chatter[protocol as usize];
        Self {
            name: protocol.name(),
            sockets: classes.len() as u32,
            topic_sets: classes.iter().collect::<std::collections::HashSet<_>>().len(),
            events: (0..traffic.events()).filter(|event| traffic.topic(*event).protocol() == protocol).count() as u32,
            deliveries_due: classes.iter().map(due).sum(),
            latency: Quantiles::of(&harvest.recorders[protocol as usize].total()),
            server_pings: chatter.server_pings,
            pongs: chatter.pongs,
            faults: Fault::ALL.map(|fault| (fault.name(), harvest.book.count(protocol, fault))).into(),
        }
    }
}
