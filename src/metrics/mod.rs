//! What operators see of the running server: every counter, read by one thread of its own.
//!
//! ```text
//!   shards, desks, hub, journal, delivery core ── each writes its own counters ──▶ atomics
//!                                                                                    │ read
//!   desk: GET /metrics ──▶ ObserverHandle ──▶ observer's thread ──▶ Reading ──┬──────┘
//!          ◀── mailbox ── Exposition ◀──── exposition.rs ◀────────────────────┤
//!          ◀── mailbox ── Sample ◀──────── sample.rs ◀────────────────────────┘
//! ```
//!
//! Invariants worth naming:
//! * Whoever counts waits for nobody: a counter has one writer and takes a load and a store, and a reader takes no lock that a shard
//!   takes.
//! * Nothing is counted by what a peer says. Whatever comes, there are as many series as routes, words and shards.
//! * An answer is of a moment after its question. Those who ask meanwhile share it.

mod counter;
mod exposition;
mod histogram;
mod observer;
mod process;
mod reading;
mod sample;

pub(crate) use counter::labels;
pub use counter::{ByLabel, Counter, Counters, Gauge, Gauges, Label};
pub use exposition::Exposition;
pub use histogram::{Histogram, HistogramReading};
pub use observer::{MetricsReply, ObserverHandle, ObserverService, SampleReply, Sources};
pub use sample::{
    ByReason, Handshakes, HubSample, JournalSample, ProcessSample, Quantiles, Sample, ShardSample, SocketsByProtocol,
    SyncQuantiles, ThreadSample, WebhookSample,
};
