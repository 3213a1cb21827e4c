//! The command line of `loadgen storm`, and what follows from it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::traffic::Shape;
use crate::addresses::ports_here;
use crate::args::{UsageError, allowed_cpus, check_rate, parse_duration};
use crate::limits::{EVENTS_MAX, SOCKETS_MAX, SUBSCRIBER_KEYS_MAX};
use crate::schedule::Schedule;
use crate::target::Target;

#[derive(Debug, Args)]
pub struct StormArguments {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:5001")]
    pub url: String,
    /// The publisher's key
    #[arg(long, value_name = "KEY")]
    pub publisher_key: String,
    /// A subscriber's key, of an account of its own (elite or enterprise) whose watchlist loadgen may replace; to be
    /// repeated: the first is for the live sockets, and the resuming ones share the others
    #[arg(long = "subscriber-key", value_name = "KEY", required = true)]
    pub subscriber_keys: Vec<String>,
    /// How many sockets resume at once
    #[arg(long, default_value_t = 19_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(SOCKETS_MAX / 2)))]
    pub sockets: u32,
    /// The newest events, over which they resume
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub events: u32,
    /// How many of those match a socket, at most
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub matching: u32,
    /// How many sockets are live all the time
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=i64::from(SOCKETS_MAX / 2)))]
    pub live: u32,
    /// Events per second for the live sockets. Low enough that they alone leave the server most of its time: 500 sends cost
    /// it some 3 ms
    #[arg(long, default_value_t = 50.0)]
    pub rate: f64,
    /// How often a resuming socket gets an event that is new
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub marker_every: Duration,
    /// Bytes of one published event
    #[arg(long, default_value_t = 250)]
    pub payload: usize,
    /// How long the live sockets are measured before the storm
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub before: Duration,
    /// How long the storm may take until all are live
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    pub patience: Duration,
    /// What the watchlists are drawn from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The server's process, to tell its memory
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// How long to wait between connecting and the first event, and after the last delivery for what should not come
    #[arg(long, default_value = "500ms", value_parser = parse_duration)]
    pub settle: Duration,
    /// How long no delivery may come before those still missing count as lost
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub drain: Duration,
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Let the load go to another machine
    #[arg(long)]
    pub allow_remote: bool,
}

/// What a run does, with every default filled in.
#[derive(Clone, Debug)]
pub struct StormLoad {
    pub server: Target,
    pub publisher_key: String,
    pub live_key: String,
    pub resuming_keys: Vec<String>,
    pub nonce: [u8; 16],
    pub sockets: u32,
    pub live: u32,
    pub shape: Shape,
    /// Of live events and markers, from before the storm to the end of all patience.
    pub schedule: Schedule,
    pub before: Duration,
    pub patience: Duration,
    pub server_pid: Option<u32>,
    /// For the clients and for the publisher, so that the server keeps the others.
    pub cpu: usize,
    pub ports: RangeInclusive<u16>,
    pub settle: Duration,
    pub drain: Duration,
}

impl StormArguments {
    /// `nonce`: 16 random bytes for the upgrades.
    pub fn load(&self, nonce: [u8; 16]) -> Result<StormLoad, UsageError> {
        let server = Target::parse(&self.url, "http")?;
        server.check_local(self.allow_remote)?;
        let [live_key, resuming_keys @ ..] = &self.subscriber_keys[..] else { return Err(UsageError::TooFewKeys(0)) };
        if resuming_keys.is_empty() {
            return Err(UsageError::TooFewKeys(1));
        }
        if resuming_keys.len() >= SUBSCRIBER_KEYS_MAX {
            return Err(UsageError::Keys(self.subscriber_keys.len()));
        }
        check_rate(self.rate)?;
        let markers_per_second = resuming_keys.len() as f64 / self.marker_every.as_secs_f64().max(1e-3);
        let events_per_second = self.rate + markers_per_second;
        // Publishing goes on for a second and a marker's round after the last socket has connected, whenever that is.
        let most = self.before + self.patience + self.marker_every + 2 * self.settle;
        let steps = (most.as_secs_f64() * events_per_second).ceil();
        if steps + f64::from(self.events) > EVENTS_MAX as f64 {
            return Err(UsageError::Events((steps + f64::from(self.events)) as u64));
        }
        let schedule = Schedule {
            burst: 1,
            interval_ns: (1e9 / events_per_second) as u64,
            rounds: 1,
            warmup_steps: 0,
            timed_steps: steps as u32,
        };
        let allowed = allowed_cpus()?;
        Ok(StormLoad {
            server,
            publisher_key: self.publisher_key.clone(),
            live_key: live_key.clone(),
            resuming_keys: resuming_keys.to_vec(),
            nonce,
            sockets: self.sockets,
            live: self.live,
            shape: Shape {
                history: self.events,
                steps: schedule.events(),
                matching: self.matching.min(self.events),
                accounts: resuming_keys.len() as u32,
                live_per_million: (self.rate / events_per_second * 1e6) as u32,
                payload_bytes: self.payload,
                seed: self.seed,
            },
            schedule,
            before: self.before,
            patience: self.patience,
            server_pid: self.server_pid,
            cpu: allowed[allowed.len() - 1],
            ports: ports_here(),
            settle: self.settle,
            drain: self.drain,
        })
    }
}
