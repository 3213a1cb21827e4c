//! The results of a run over webhooks, as they are written to JSON, and the verdict.

use std::net::SocketAddrV4;

use serde::Serialize;

use super::args::{Pace, WebhooksLoad};
use super::book::Count;
use super::endpoint::Conduct;
use super::floor::BareLoop;
use super::run::Published;
use super::sink::Tally;
use crate::figures::{Machine, Quantiles, Span};
use crate::process::Memory;

/// What a run brought.
pub struct Measured {
    pub address: SocketAddrV4,
    pub made_seconds: f64,
    pub published: Published,
    pub tally: Tally,
    pub count: Count,
    pub bare: Vec<BareLoop>,
    pub server_cpu_ns: Option<u64>,
    pub server_memory: Option<Memory>,
    pub undeleted: usize,
}

#[derive(Debug, Serialize)]
pub struct WebhooksReport {
    pub machine: Machine,
    pub settings: Settings,
    /// How long making all webhooks took.
    pub made_seconds: f64,
    /// How long publishing took.
    pub published_seconds: f64,
    /// How late the publisher was, and how long its answers took, from the intended time.
    pub publish_late_us: Option<Span>,
    pub publish_answered_us: Option<Span>,
    /// Of first attempts at healthy endpoints, from the intended time of publishing. Not of a flood.
    pub latency: Option<Quantiles>,
    /// First attempts at healthy endpoints, without the event that goes ahead.
    pub deliveries: u64,
    pub deliveries_per_second: Option<f64>,
    /// Deliveries that came after one of a later event to the same endpoint.
    pub out_of_order: u64,
    pub out_of_order_share: f64,
    pub floor: Option<FloorReport>,
    /// Requests of any kind, the floor's included.
    pub requests: u64,
    pub connections: u64,
    /// Deliveries to healthy endpoints, the event that goes ahead included.
    pub accepted: u64,
    pub missing: u64,
    /// Attempts after the first, each provoked.
    pub retries: u64,
    /// Attempts that came once more, under the same number, because the sink had reset their connection.
    pub sent_again_after_resets: u64,
    /// Deliveries that came again, under the same id, though they had been accepted.
    pub duplicates: u64,
    pub shared_ids: u64,
    pub errors_answered: u64,
    pub resets: u64,
    pub unanswered_on_purpose: u64,
    /// Answers that the server did not wait for.
    pub answers_not_taken: u64,
    /// Requests that were wrong, such as wrongly signed ones.
    pub faults: u64,
    pub faults_told: Vec<String>,
    pub server_cpu_seconds: Option<f64>,
    pub server_cpu_ns_per_request: Option<f64>,
    pub server_memory: Option<Memory>,
    pub sink_cpu_seconds: f64,
    pub webhooks_not_deleted: usize,
    /// What did not hold, in words.
    pub broken: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Settings {
    pub server: String,
    pub sink: String,
    pub endpoints: usize,
    pub healthy: usize,
    pub hang: usize,
    pub fail: usize,
    pub payload_bytes: usize,
    pub timed_events: u32,
    pub warmup_events: u32,
    /// `None`: a flood.
    pub rate: Option<f64>,
    pub delay_ms: f64,
    pub errors_share: f64,
    pub resets_share: f64,
    pub seed: u64,
    pub sink_threads: u32,
    pub sink_cpus: Vec<usize>,
}

/// The bare POST loop before and after.
#[derive(Debug, Serialize)]
pub struct FloorReport {
    pub cpu: usize,
    pub connections: u32,
    pub posts_per_second: Vec<f64>,
    /// Of its threads' own time; the kernel's work on the sink's side is not in it.
    pub cpu_ns_per_post: Vec<f64>,
    /// Deliveries a second divided by the mean of its posts a second. Of a flood only.
    pub ratio: Option<f64>,
}

impl WebhooksReport {
    pub fn new(load: &WebhooksLoad, measured: Measured) -> Self {
        let Measured { tally, count, published, .. } = measured;
        let is_flood = matches!(load.pace, Pace::Flood { .. });
        let seconds = tally.last_ns.saturating_sub(tally.first_ns) as f64 / 1e9;
        let per_second = (tally.deliveries > 1 && seconds > 0.0).then(|| (tally.deliveries - 1) as f64 / seconds);
        let own_requests =
            tally.requests - measured.bare.iter().map(|bare| bare.posts).sum::<u64>().min(tally.requests);
        let outcome = published.outcome.as_ref();
        Self {
            machine: Machine::this(),
            settings: Settings::new(load, measured.address),
            made_seconds: measured.made_seconds,
            published_seconds: published.seconds,
            publish_late_us: outcome.and_then(|outcome| Span::of_histogram(&outcome.late)),
            publish_answered_us: outcome.and_then(|outcome| Span::of_histogram(&outcome.answered)),
            latency: (!is_flood).then(|| Quantiles::of(&tally.latency)),
            deliveries: tally.deliveries,
            deliveries_per_second: per_second,
            out_of_order: tally.late,
            out_of_order_share: tally.late as f64 / tally.deliveries.max(1) as f64,
            floor: load.floor.map(|plan| {
                let posts: Vec<f64> = measured.bare.iter().map(|bare| bare.posts as f64 / bare.seconds).collect();
                let mean = posts.iter().sum::<f64>() / posts.len().max(1) as f64;
                FloorReport {
                    cpu: plan.cpu,
                    connections: plan.connections,
                    ratio: per_second.filter(|_| is_flood && mean > 0.0).map(|rate| rate / mean),
                    posts_per_second: posts,
                    cpu_ns_per_post: measured
                        .bare
                        .iter()
                        .map(|bare| bare.cpu_ns as f64 / bare.posts.max(1) as f64)
                        .collect(),
                }
            }),
            requests: tally.requests,
            connections: tally.connections,
            accepted: count.accepted,
            missing: count.missing,
            retries: tally.retries,
            sent_again_after_resets: tally.sent_again,
            duplicates: tally.duplicates,
            shared_ids: count.shared_ids,
            errors_answered: tally.errors,
            resets: tally.resets,
            unanswered_on_purpose: tally.hangs,
            answers_not_taken: tally.unanswered,
            faults: tally.faults,
            server_cpu_seconds: measured.server_cpu_ns.map(|ns| ns as f64 / 1e9),
            server_cpu_ns_per_request: measured.server_cpu_ns.map(|ns| ns as f64 / own_requests.max(1) as f64),
            server_memory: measured.server_memory,
            sink_cpu_seconds: tally.cpu_ns as f64 / 1e9,
            webhooks_not_deleted: measured.undeleted,
            broken: broken(&tally, count),
            faults_told: tally.told,
        }
    }
}

fn broken(tally: &Tally, count: Count) -> Vec<String> {
    let counted = [
        (count.missing, "deliveries are missing"),
        (tally.duplicates, "deliveries came again though they had been accepted"),
        (count.shared_ids, "delivery ids stand for more than one delivery"),
        (tally.faults, "requests were wrong"),
    ];
    let said = counted.into_iter().filter(|(count, _)| *count > 0);
    said.map(|(count, what)| format!("{count} {what}")).collect()
}

impl Settings {
    fn new(load: &WebhooksLoad, sink: SocketAddrV4) -> Self {
        let count = |conduct| load.conducts.iter().filter(|one| **one == conduct).count();
        let (timed_events, warmup_events, rate) = match load.pace {
            Pace::OpenLoop(schedule) => {
                (schedule.timed_steps, schedule.warmup_steps, Some(1e9 / schedule.interval_ns as f64))
            }
            Pace::Flood { events, .. } => (events, 0, None),
        };
        Self {
            server: load.server.authority(),
            sink: sink.to_string(),
            endpoints: load.conducts.len(),
            healthy: count(Conduct::Healthy),
            hang: count(Conduct::Hang),
            fail: count(Conduct::Fail),
            payload_bytes: load.payload_bytes,
            timed_events,
            warmup_events,
            rate,
            delay_ms: load.mischief.delay.as_secs_f64() * 1e3,
            errors_share: load.mischief.errors,
            resets_share: load.mischief.resets,
            seed: load.mischief.seed,
            sink_threads: load.threads,
            sink_cpus: load.cpus.clone(),
        }
    }
}
