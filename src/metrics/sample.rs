//! Everything that is counted, at one moment, as plain numbers: what the console's page reads, and what the exposition is made of.
//!
//! Counters are since the start, so that whoever has two samples has rates. Only `fanout_us` is of the time since the sample before,
//! or of at least a second.

use std::collections::BTreeMap;

use serde::Serialize;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// In Unix milliseconds, as is the next.
    pub at_ms: u64,
    pub started_ms: u64,
    pub version: &'static str,
    /// The number of the newest event that clients may see.
    pub last_seq: u64,
    pub shards: Vec<ShardSample>,
    pub fanout_us: Quantiles,
    pub handshakes: Handshakes,
    pub hub: HubSample,
    pub journal: JournalSample,
    pub webhooks: WebhookSample,
    pub accounts: u64,
    pub keys: u64,
    pub process: ProcessSample,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShardSample {
    pub index: usize,
    pub sockets: SocketsByProtocol,
    /// Sockets that it has room for.
    pub slots: u64,
    pub events: u64,
    /// One for each event and socket.
    pub deliveries: u64,
    pub sends: u64,
    pub sent_bytes: u64,
    /// Sessions that get events from the journal now.
    pub behind: u64,
    pub fell_behind: u64,
    pub caught_up: u64,
    /// Deliveries from the journal.
    pub replayed: u64,
    pub slow_closed: u64,
    pub heartbeats_lost: u64,
    /// Passes over all sockets that had something to be sent, and how long they took in all.
    pub passes: u64,
    pub pass_ns: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SocketsByProtocol {
    pub watchlist: u64,
    pub tiered: u64,
    pub channels: u64,
    pub rooms: u64,
    pub stream: u64,
}

/// Of durations, in microseconds; no more exact than the histogram that they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Handshakes {
    pub accepted: u64,
    pub refused: ByReason,
}

/// How often, by a word that never holds what a peer has sent.
pub type ByReason = BTreeMap<&'static str, u64>;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HubSample {
    pub queued_bytes: u64,
    /// Requests that wait for the disk.
    pub pending: u64,
    /// Requests that were refused.
    pub refused: ByReason,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JournalSample {
    /// The newest number that is as safe as publishers were promised.
    pub kept_seq: u64,
    pub oldest_seq: u64,
    /// Of the slowest of shards and disk.
    pub lag_events: u64,
    pub lag_bytes: u64,
    /// Since the start.
    pub sync_us: SyncQuantiles,
    /// On the disk.
    pub bytes: u64,
    pub segments: u64,
    pub full: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SyncQuantiles {
    pub count: u64,
    pub p50: u64,
    pub p99: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WebhookSample {
    pub webhooks: u64,
    pub disabled: u64,
    /// Deliveries that wait for their time or their turn.
    pub waiting: u64,
    /// Attempts under way.
    pub in_flight: u64,
    pub delivered: u64,
    pub failed: u64,
    pub attempts: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProcessSample {
    pub rss_bytes: u64,
    pub cpu_seconds: f64,
    pub open_fds: u64,
    /// Those with the same name but for its number count together, where there may be hundreds.
    pub threads: Vec<ThreadSample>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ThreadSample {
    pub name: String,
    pub cpu_seconds: f64,
}
