//! One reading of everything that is counted.

use std::sync::Arc;

use super::process::{ProcessReader, descriptors_max};
use super::{
    Counters, Gauge, Handshakes, HistogramReading, HubSample, JournalSample, Label, Sample, ShardSample,
    SocketsByProtocol, Sources, SyncQuantiles, WebhookSample,
};
use crate::clock::{self, Nanos};
use crate::delivery::stats::{AttemptOutcome, DeliveryEnd, DeliveryStats, WebhookState};
use crate::desk::Route;
use crate::journal::JournalFault;
use crate::protocol::Protocol;
use crate::shard::ShardStats;

/// What a sample holds, and what is only for those who scrape.
pub struct Reading {
    /// But for what it takes another one to tell: the quantiles of the fan-out.
    pub sample: Sample,
    /// In the order of the sample's.
    pub shards: Vec<ShardReading>,
    /// Handshakes by the protocol of their session.
    pub accepted: Vec<(&'static str, u64)>,
    pub refused_by_gate: Vec<(&'static str, u64)>,
    /// Connections of which no request could be read.
    pub failed: Vec<(&'static str, u64)>,
    /// By route and by the class of the answer's status; none that never came.
    pub requests: Vec<(&'static str, &'static str, u64)>,
    pub strays: u64,
    pub body_bytes: u64,
    pub publishes: u64,
    pub events: u64,
    pub event_bytes: u64,
    pub duplicates: u64,
    pub journal: JournalReading,
    pub delivery: Arc<DeliveryStats>,
    /// When the TLS certificate ends, in seconds since 1970.
    pub certificate_expires_s: Option<u64>,
    /// How often each thread had to be woken.
    pub rescues: Vec<(String, u64)>,
    pub descriptors_max: Option<u64>,
}

pub struct ShardReading {
    pub fanout: HistogramReading,
    pub pass: HistogramReading,
    /// By what became of them.
    pub slow_consumers: Vec<(&'static str, u64)>,
    pub skipped: u64,
    pub replay_reads: Vec<(&'static str, u64)>,
    pub connections: u64,
}

pub struct JournalReading {
    pub sync: HistogramReading,
    pub writes: u64,
    pub written_bytes: u64,
    pub failures: u64,
    /// It can't be written, for another reason than a full disk.
    pub is_failing: bool,
}

impl Reading {
    pub fn take(sources: &Sources, process: &mut ProcessReader, started_ms: u64, now: Nanos) -> Self {
        let hub = sources.hub.stats();
        let status = sources.journal.status();
        let (writes, written_bytes) = status.writes();
        let fault = status.fault();
        let sync = status.sync.read();
        let slots = u64::from(sources.slots_per_shard);
        let stats: Vec<&ShardStats> = sources.shards.iter().map(|shard| &*shard.stats).collect();
        let accounts = sources.directory.load();
        let (lag_events, lag_bytes) = sources.window.lag();
        let shards: Vec<ShardReading> = stats.iter().map(|stats| shard_reading(stats)).collect();
        let numbered = stats.iter().enumerate().zip(&shards);
        let sample = Sample {
            at_ms: clock::unix_ms(),
            started_ms,
            version: env!("CARGO_PKG_VERSION"),
            last_seq: sources.window.visible() - 1,
            shards: numbered
                .map(|((index, stats), reading)| shard_sample(index, stats, &reading.pass, slots))
                .collect(),
            fanout_us: Default::default(),
            handshakes: Handshakes {
                accepted: summed(stats.iter().map(|stats| &stats.desk.accepted)).iter().map(|(_, count)| count).sum(),
                refused: summed(stats.iter().map(|stats| &stats.desk.refused)).into_iter().collect(),
            },
            hub: HubSample {
                queued_bytes: sources.hub.queued_bytes() as u64,
                pending: hub.pending.get(),
                refused: hub.refused.iter().map(|(word, count)| (word, count.get())).collect(),
            },
            journal: JournalSample {
                kept_seq: status.kept.get().saturating_sub(1),
                oldest_seq: status.oldest_seq.get(),
                lag_events,
                lag_bytes,
                sync_us: SyncQuantiles {
                    count: sync.count(),
                    p50: sync.quantile(0.5) / 1_000,
                    p99: sync.quantile(0.99) / 1_000,
                },
                bytes: status.disk_bytes.get(),
                segments: status.segments.get(),
                full: matches!(fault.as_deref(), Some(JournalFault::DiskFull)),
            },
            webhooks: webhook_sample(&sources.delivery),
            accounts: accounts.len() as u64,
            keys: accounts.live_keys() as u64,
            process: process.read(now),
        };
        let is_failing = matches!(fault.as_deref(), Some(JournalFault::Io(_)));
        let sum = |count: fn(&ShardStats) -> u64| stats.iter().map(|stats| count(stats)).sum();
        Self {
            sample,
            shards,
            accepted: summed(stats.iter().map(|stats| &stats.desk.accepted)),
            refused_by_gate: summed(stats.iter().map(|stats| &stats.refused_by_gate)),
            failed: summed(stats.iter().map(|stats| &stats.desk.failed)),
            requests: requests(&stats),
            strays: sum(|stats| stats.desk.strays.get()),
            body_bytes: sum(|stats| stats.desk.body_bytes.get()),
            publishes: hub.publishes.get(),
            events: hub.events.get(),
            event_bytes: hub.event_bytes.get(),
            duplicates: hub.duplicates.get(),
            journal: JournalReading { sync, writes, written_bytes, failures: status.failures.get(), is_failing },
            delivery: sources.delivery.clone(),
            certificate_expires_s: sources.tls.as_ref().and_then(|tls| Some(tls.expires_at()? / 1_000)),
            rescues: sources.pulses.iter().map(|(name, pulse)| (name.clone(), pulse.rescues())).collect(),
            descriptors_max: descriptors_max(),
        }
    }

    /// The fan-out of all shards.
    pub fn fanout(&self) -> HistogramReading {
        let mut fanout = HistogramReading::default();
        self.shards.iter().for_each(|shard| fanout.add(&shard.fanout));
        fanout
    }
}

fn shard_sample(index: usize, stats: &ShardStats, pass: &HistogramReading, slots: u64) -> ShardSample {
    ShardSample {
        index,
        sockets: SocketsByProtocol {
            watchlist: stats.sockets_of(Protocol::Watchlist),
            tiered: stats.sockets_of(Protocol::Tiered),
            channels: stats.sockets_of(Protocol::Channels),
            rooms: stats.sockets_of(Protocol::Rooms),
            stream: stats.sockets_of(Protocol::Stream),
        },
        slots,
        events: stats.events.get(),
        deliveries: stats.deliveries.get(),
        sends: stats.sends.get(),
        sent_bytes: stats.sent_bytes.get(),
        behind: stats.behind.get(),
        fell_behind: stats.fell_behind(),
        caught_up: stats.caught_up.get(),
        replayed: stats.replayed.get(),
        slow_closed: stats.slow_consumers_closed(),
        heartbeats_lost: stats.heartbeats_lost.get(),
        passes: pass.count(),
        pass_ns: pass.sum_ns(),
    }
}

fn shard_reading(stats: &ShardStats) -> ShardReading {
    ShardReading {
        fanout: stats.fanout.read(),
        pass: stats.pass.read(),
        slow_consumers: summed([&stats.slow_consumers]),
        skipped: stats.skipped.get(),
        replay_reads: summed([&stats.replay_reads]),
        connections: stats.desk.connections.get(),
    }
}

fn webhook_sample(stats: &DeliveryStats) -> WebhookSample {
    let gauge = |gauge: &Gauge| gauge.get();
    WebhookSample {
        webhooks: stats.webhooks.iter().map(|(_, count)| count.get()).sum(),
        disabled: gauge(stats.webhooks.of(WebhookState::Disabled)),
        waiting: gauge(&stats.waiting),
        in_flight: gauge(&stats.in_flight),
        delivered: stats.deliveries.of(DeliveryEnd::Delivered).get(),
        failed: stats.deliveries.of(DeliveryEnd::Failed).get(),
        attempts: AttemptOutcome::ALL.iter().map(|outcome| stats.attempts.of(*outcome).get()).sum(),
    }
}

/// What several threads have counted by the same words.
fn summed<'c, L: Label>(counters: impl IntoIterator<Item = &'c Counters<L>>) -> Vec<(&'static str, u64)> {
    let mut sums: Vec<_> = L::ALL.iter().map(|label| (label.word(), 0)).collect();
    for counters in counters {
        for ((_, sum), (_, counter)) in sums.iter_mut().zip(counters.iter()) {
            *sum += counter.get();
        }
    }
    sums
}

fn requests(shards: &[&ShardStats]) -> Vec<(&'static str, &'static str, u64)> {
    let of_route = |route: &Route| {
        let classes = summed(shards.iter().map(|stats| stats.desk.requests.of(*route)));
        let route = route.word();
        classes.into_iter().filter(|(_, count)| *count > 0).map(move |(class, count)| (route, class, count))
    };
    Route::ALL.iter().flat_map(of_route).collect()
}
