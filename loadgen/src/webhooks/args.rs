//! The command line of `loadgen webhooks`, and what follows from it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::endpoint::{Conduct, Mischief};
use crate::args::{DEFAULT_OWNER, UsageError, allowed_cpus, check_rate, parse_duration};
use crate::cpu;
use crate::event::EventWriter;
use crate::limits::{BURST_EVENTS_MAX, EVENTS_MAX, WEBHOOK_DELIVERIES_MAX, WEBHOOK_ENDPOINTS_MAX};
use crate::schedule::Schedule;
use crate::target::Target;

/// What a run is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Versus {
    /// The same request, posted in a bare loop.
    Floor,
}

#[derive(Debug, Args)]
pub struct WebhooksArguments {
    /// The server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001")]
    pub host: String,
    /// The subscriber's key: its account gets the webhooks, and must watch the wallet
    #[arg(long)]
    pub key: Option<String>,
    /// The publisher's key
    #[arg(long)]
    pub publish_key: Option<String>,
    /// How many webhooks there are
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(WEBHOOK_ENDPOINTS_MAX)))]
    pub endpoints: u32,
    /// So many of them never answer
    #[arg(long, default_value_t = 0)]
    pub hang: u32,
    /// So many, after those, always answer 500
    #[arg(long, default_value_t = 0)]
    pub fail: u32,
    /// How long the healthy ones take to answer
    #[arg(long, default_value = "0s", value_parser = parse_duration)]
    pub delay: Duration,
    /// The share of deliveries to healthy ones whose first attempt is answered with 500
    #[arg(long, value_name = "SHARE%", default_value = "0%", value_parser = parse_percent)]
    pub errors: f64,
    /// The share of deliveries to healthy ones whose first attempt's connection is reset
    #[arg(long, value_name = "SHARE%", default_value = "0%", value_parser = parse_percent)]
    pub resets: f64,
    /// Decides which deliveries are failed [default: a new one each time, told in the report]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Timed events in all
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub events: u32,
    /// Events per second
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// Publish all timed events at once, and tell how many deliveries a second come of it
    #[arg(long, conflicts_with_all = ["rate", "warmup"])]
    pub flood: bool,
    /// Events of one batch of a flood, which is one NDJSON request
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=i64::from(BURST_EVENTS_MAX)))]
    pub batch: u32,
    /// Events before those that are checked but not timed
    #[arg(long, default_value_t = 10)]
    pub warmup: u32,
    /// Bytes of one published event
    #[arg(long, default_value_t = 250)]
    pub payload: usize,
    /// The wallet whose trades are published
    #[arg(long, default_value = DEFAULT_OWNER)]
    pub owner: String,
    /// The address on which the endpoints listen, as the webhooks' URLs have it
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST)]
    pub listen: Ipv4Addr,
    /// The sink's threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub threads: u32,
    /// Their CPUs, such as 0 or 2-5,8 [default: the first, since the server delivers on the last]
    #[arg(long, value_name = "LIST")]
    pub cpu: Option<String>,
    /// The publisher's CPU [default: the sink's]
    #[arg(long, value_name = "CPU")]
    pub publisher_cpu: Option<usize>,
    /// Also measure a bare keep-alive POST loop against the same sink, before and after, and give the ratio
    #[arg(long, value_enum)]
    pub vs: Option<Versus>,
    /// The CPU of that loop: the one on which the server delivers [default: the last]
    #[arg(long, value_name = "CPU")]
    pub floor_cpu: Option<usize>,
    /// Connections of that loop, a thread each
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub floor_connections: u32,
    /// How long it runs, each time
    #[arg(long, default_value = "3s", value_parser = parse_duration)]
    pub floor_time: Duration,
    /// How long no delivery may come before those still missing count as lost; longer than the server's retries wait
    #[arg(long, default_value = "40s", value_parser = parse_duration)]
    pub drain: Duration,
    /// How long the whole run may take
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// The server's process, to tell its memory and CPU time
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Let the load go to another machine
    #[arg(long)]
    pub allow_remote: bool,
}

/// How the events are published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// One by one, each at its time.
    OpenLoop(Schedule),
    /// In batches, as fast as the server takes them.
    Flood { events: u32, batch: u32 },
}

/// What a run does, with every default filled in.
#[derive(Clone, Debug)]
pub struct WebhooksLoad {
    pub server: Target,
    pub key: Option<String>,
    pub publish_key: Option<String>,
    pub listen: Ipv4Addr,
    /// What each endpoint does.
    pub conducts: Vec<Conduct>,
    pub mischief: Mischief,
    pub pace: Pace,
    /// Event 0 goes ahead of all others, to see that anything arrives.
    pub writer: EventWriter,
    pub payload_bytes: usize,
    pub threads: u32,
    /// Sink thread n runs on the n-th of these, counted round.
    pub cpus: Vec<usize>,
    pub publisher_cpu: usize,
    pub floor: Option<FloorPlan>,
    pub drain: Duration,
    pub timeout: Duration,
    pub server_pid: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
pub struct FloorPlan {
    pub cpu: usize,
    pub connections: u32,
    pub time: Duration,
}

impl Pace {
    /// How many events follow the first one.
    pub fn events(self) -> u32 {
        match self {
            Self::OpenLoop(schedule) => schedule.events(),
            Self::Flood { events, .. } => events,
        }
    }
}

impl WebhooksArguments {
    /// `seed`: for where none is given.
    pub fn load(&self, seed: u64) -> Result<WebhooksLoad, UsageError> {
        let server = Target::parse(&format!("http://{}", self.host), "http")?;
        server.check_local(self.allow_remote)?;
        let bad = u64::from(self.hang) + u64::from(self.fail);
        if bad >= u64::from(self.endpoints) {
            return Err(UsageError::NoHealthyEndpoint { endpoints: self.endpoints });
        }
        if self.errors + self.resets > 1.0 {
            return Err(UsageError::Shares);
        }
        let warmup = if self.flood { 0 } else { self.warmup };
        let events = u64::from(warmup) + u64::from(self.events) + 1;
        let deliveries = events * u64::from(self.endpoints);
        if events > EVENTS_MAX || deliveries > WEBHOOK_DELIVERIES_MAX {
            return Err(UsageError::Deliveries(deliveries));
        }
        let pace = self.pace()?;
        let allowed = allowed_cpus()?;
        let known = |cpu: usize| {
            let unknown = || UsageError::Cpu(format!("CPU {cpu} is not one that this process may use ({allowed:?})"));
            allowed.contains(&cpu).then_some(cpu).ok_or_else(unknown)
        };
        let cpus = match &self.cpu {
            Some(list) => cpu::parse_list(list).map_err(UsageError::Cpu)?,
            None => vec![allowed[0]],
        };
        cpus.iter().try_for_each(|cpu| known(*cpu).map(drop))?;
        let floor_cpu = known(self.floor_cpu.unwrap_or(allowed[allowed.len() - 1]))?;
        Ok(WebhooksLoad {
            server,
            key: self.key.clone(),
            publish_key: self.publish_key.clone(),
            listen: self.checked_listen()?,
            conducts: (0..self.endpoints).map(|number| self.conduct(number)).collect(),
            mischief: Mischief {
                delay: self.delay,
                errors: self.errors,
                resets: self.resets,
                seed: self.seed.unwrap_or(seed),
            },
            pace,
            writer: EventWriter::new(&self.owner, self.payload, events as u32)?,
            payload_bytes: self.payload,
            threads: self.threads,
            publisher_cpu: known(self.publisher_cpu.unwrap_or(cpus[0]))?,
            cpus,
            floor: self.vs.map(|Versus::Floor| FloorPlan {
                cpu: floor_cpu,
                connections: self.floor_connections,
                time: self.floor_time,
            }),
            drain: self.drain,
            timeout: self.timeout,
            server_pid: self.server_pid,
        })
    }

    fn pace(&self) -> Result<Pace, UsageError> {
        if self.flood {
            return Ok(Pace::Flood { events: self.events, batch: self.batch });
        }
        Ok(Pace::OpenLoop(Schedule {
            burst: 1,
            interval_ns: (1e9 / check_rate(self.rate)?) as u64,
            rounds: 1,
            warmup_steps: self.warmup,
            timed_steps: self.events,
        }))
    }

    fn conduct(&self, number: u32) -> Conduct {
        match number {
            hangs if hangs < self.hang => Conduct::Hang,
            fails if fails < self.hang + self.fail => Conduct::Fail,
            _ => Conduct::Healthy,
        }
    }

    /// Anybody who reaches the sink could fill its books.
    fn checked_listen(&self) -> Result<Ipv4Addr, UsageError> {
        match self.allow_remote || IpAddr::from(self.listen).is_loopback() {
            true => Ok(self.listen),
            false => Err(UsageError::Listen(self.listen)),
        }
    }
}

/// Reads `5%` as 0.05.
fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| format!("`{text}` is no share: write one like 5%"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    fn load(line: &str) -> Result<WebhooksLoad, UsageError> {
        let words = ["loadgen", "webhooks"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Webhooks(arguments) => arguments.load(7),
            _ => unreachable!("asked for webhooks"),
        }
    }

    #[test]
    fn the_first_endpoints_hang_the_next_fail_and_the_others_are_healthy() {
        let load = load("--endpoints 5 --hang 1 --fail 2").unwrap();
        assert_eq!(load.conducts, [Conduct::Hang, Conduct::Fail, Conduct::Fail, Conduct::Healthy, Conduct::Healthy]);
    }

    #[test]
    fn a_flood_is_all_events_in_batches_and_a_rate_is_an_open_loop() {
        assert_eq!(load("--flood --events 500").unwrap().pace, Pace::Flood { events: 500, batch: 1000 });
        let Pace::OpenLoop(schedule) = load("--rate 200 --events 50 --warmup 5").unwrap().pace else {
            panic!("a rate")
        };
        assert_eq!((schedule.interval_ns, schedule.events()), (5_000_000, 55));
    }

    #[test]
    fn what_can_not_be_is_refused() {
        for line in [
            "--endpoints 2 --hang 1 --fail 1",
            "--errors 60% --resets 60%",
            "--endpoints 10000 --events 1000000",
            "--rate 0",
            "--cpu 1023",
            "--host 10.0.0.1:80",
            "--listen 0.0.0.0",
            "--payload 10",
        ] {
            assert!(load(line).is_err(), "{line}");
        }
        assert!(parse_percent("5").is_err() && parse_percent("101%").is_err());
        assert_eq!(parse_percent("5%"), Ok(0.05));
    }
}
