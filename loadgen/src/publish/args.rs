//! The command line of `loadgen publish`, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::{DEFAULT_OWNER, UsageError, parse_duration};
use crate::event::EventWriter;
use crate::limits::{BURST_EVENTS_MAX, EVENTS_MAX};
use crate::target::Target;

#[derive(Debug, Args)]
pub struct PublishArguments {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:5001")]
    pub url: String,
    /// The publisher's key
    #[arg(long)]
    pub key: Option<String>,
    /// Events published in batches
    #[arg(long, default_value_t = 1_000_000)]
    pub events: u32,
    /// Events of one batch, which is one NDJSON request
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(BURST_EVENTS_MAX)))]
    pub batch: u32,
    /// Events per second in batches, each sent at its time; without it each goes out when the last is answered
    #[arg(long)]
    pub rate: Option<f64>,
    /// Events published one by one, over all rounds
    #[arg(long, default_value_t = 2_000)]
    pub singles: u32,
    /// Rounds of single events, each beside a round of the floor
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Where the floor writes: a directory on the file system of the server's data directory
    #[arg(long, value_name = "DIR")]
    pub floor_dir: Option<PathBuf>,
    /// Bytes of one published event
    #[arg(long, default_value_t = 250)]
    pub payload: usize,
    /// The wallet whose trades are published
    #[arg(long, default_value = DEFAULT_OWNER)]
    pub owner: String,
    /// How long one answer may take
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub patience: Duration,
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Let the load go to another machine
    #[arg(long)]
    pub allow_remote: bool,
}

/// What a run does, with every default filled in.
#[derive(Clone, Debug)]
pub struct PublishLoad {
    pub target: Target,
    pub key: Option<String>,
    pub events: EventWriter,
    /// Events in batches; a multiple of `batch`.
    pub batched: u32,
    pub batch: u32,
    pub batch_interval_ns: Option<u64>,
    pub rounds: u32,
    pub singles_per_round: u32,
    pub floor_dir: Option<PathBuf>,
    pub payload_bytes: usize,
    pub patience: Duration,
}

impl PublishArguments {
    pub fn load(&self) -> Result<PublishLoad, UsageError> {
        let server = Target::parse(&self.url, "http")?;
        server.check_local(self.allow_remote)?;
        let batch_interval_ns = match self.rate {
            Some(rate) if !(0.001..=1e7).contains(&rate) => return Err(UsageError::Rate(rate)),
            rate => rate.map(|rate| (f64::from(self.batch) * 1e9 / rate) as u64),
        };
        let batched = u64::from(self.events).next_multiple_of(u64::from(self.batch));
        let singles_per_round = self.singles.div_ceil(self.rounds);
        let all = batched + u64::from(singles_per_round) * u64::from(self.rounds);
        if all > EVENTS_MAX {
            return Err(UsageError::Events(all));
        }
        Ok(PublishLoad {
            target: Target { path: "/api/events".into(), ..server },
            key: self.key.clone(),
            events: EventWriter::new(&self.owner, self.payload, all as u32)?,
            batched: batched as u32,
            batch: self.batch,
            batch_interval_ns,
            rounds: self.rounds,
            singles_per_round,
            floor_dir: self.floor_dir.clone(),
            payload_bytes: self.payload,
            patience: self.patience,
        })
    }
}
