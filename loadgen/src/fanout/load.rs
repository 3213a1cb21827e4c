//! The load that `fanout` and `floor` share: how many sockets, which events, when, and on which CPUs.

use std::ops::RangeInclusive;
use std::time::Duration;

use clap::Args;

use super::churn::ChurnPlan;
use super::clients::{ClientArguments, known_cpu};
use super::conduct::Conduct;
use super::mix::Mix;
use super::output::Output;
use super::stall::StallPlan;
use crate::args::{UsageError, allowed_cpus, check_rate, parse_duration};
use crate::event::EventWriter;
use crate::limits::{BURST_EVENTS_MAX, EVENTS_MAX};
use crate::publisher::BurstAs;
use crate::schedule::Schedule;

#[derive(Debug, Args)]
pub struct FloorOptions {
    /// The CPU of the floor's server thread: the one that the server's shard has [default: the first]
    #[arg(long, value_name = "CPU")]
    pub server_cpu: Option<usize>,
    /// Let the floor send a burst as one send a socket, not one per event: what perfect coalescing costs
    #[arg(long)]
    pub floor_coalesces: bool,
}

#[derive(Debug, Args)]
pub struct LoadArguments {
    #[command(flatten)]
    pub clients: ClientArguments,
    /// Timed events in all [default: 20]
    #[arg(long, conflicts_with_all = ["burst", "bursts"], value_parser = clap::value_parser!(u32).range(1..))]
    pub events: Option<u32>,
    /// Events of one burst; a burst is one NDJSON request
    #[arg(long, requires = "bursts", value_parser = clap::value_parser!(u32).range(1..=i64::from(BURST_EVENTS_MAX)))]
    pub burst: Option<u32>,
    /// Timed bursts in all
    #[arg(long, requires = "burst", value_parser = clap::value_parser!(u32).range(1..))]
    pub bursts: Option<u32>,
    /// Time between two events, or two bursts
    #[arg(long, default_value = "1s", value_parser = parse_duration)]
    pub interval: Duration,
    /// Events per second, instead of --interval
    #[arg(long, conflicts_with = "interval")]
    pub rate: Option<f64>,
    /// Events (or bursts) at the start of each round that are checked but not timed
    #[arg(long, default_value_t = 1)]
    pub warmup: u32,
    /// Into how many rounds the timed events are divided [default: 1, or 5 in a pair]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: Option<u32>,
    /// How long the whole run may take
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    #[command(flatten)]
    pub output: Output,
}

/// What fanout and floor do, with every default filled in.
#[derive(Clone, Debug)]
pub struct Load {
    pub sockets: u32,
    pub schedule: Schedule,
    pub payload_bytes: usize,
    pub events: EventWriter,
    pub threads: u32,
    /// Client thread n runs on the n-th of these, counted round.
    pub client_cpus: Vec<usize>,
    pub publisher_cpu: usize,
    pub server_cpu: usize,
    pub floor_coalesces: bool,
    pub burst_as: BurstAs,
    /// As `--mix` says it; `None` where all sockets are of one kind that was not named.
    pub mix: Option<Mix>,
    pub stall: Option<StallPlan>,
    pub churn: Option<ChurnPlan>,
    pub ports: RangeInclusive<u16>,
    pub linger: Duration,
    pub settle: Duration,
    pub drain: Duration,
    pub timeout: Duration,
}

impl Load {
    /// How many sockets do something else than to listen all the time: they stall, or come and go.
    pub fn apart(&self) -> u32 {
        self.stall.map_or(0, |stall| stall.sockets) + self.churned()
    }

    pub fn churned(&self) -> u32 {
        self.churn.map_or(0, |churn| churn.sockets)
    }

    /// What so many of those do.
    pub fn conduct_apart(&self, sockets: u32) -> Conduct {
        match (self.stall, self.churn) {
            (Some(stall), _) => Conduct::Stalls(stall.share(sockets)),
            (_, Some(churn)) => Conduct::Churns(churn.share(sockets)),
            (None, None) => Conduct::Steady,
        }
    }

    /// What is to come until `events` are through: a delivery of each to each socket, but from those that come and go only the news that
    /// they have what they can have.
    pub fn awaited(&self, events: u32) -> u64 {
        u64::from(self.sockets - self.churned()) * u64::from(events) + u64::from(self.churned())
    }
}

impl LoadArguments {
    /// Checks the values against each other and against this machine's CPUs. `sides`: how many contenders there are.
    pub fn load(&self, floor: &FloorOptions, sides: u32) -> Result<Load, UsageError> {
        let load = self.clients.load(self.schedule(sides)?, sides, self.timeout)?;
        let server_cpu = known_cpu(floor.server_cpu.unwrap_or(load.server_cpu), &allowed_cpus()?)?;
        Ok(Load { server_cpu, floor_coalesces: floor.floor_coalesces, ..load })
    }

    fn schedule(&self, sides: u32) -> Result<Schedule, UsageError> {
        let steps = self.bursts.or(self.events).unwrap_or(20);
        let burst = self.burst.unwrap_or(1);
        let rounds = self.rounds.unwrap_or(if sides > 1 { 5 } else { 1 }).min(steps);
        let interval_ns = match self.rate {
            Some(rate) => (f64::from(burst) * 1e9 / check_rate(rate)?) as u64,
            None => self.interval.as_nanos() as u64,
        };
        let timed_steps = steps.div_ceil(rounds);
        let schedule = Schedule { burst, interval_ns, rounds, warmup_steps: self.warmup, timed_steps };
        let events = (u64::from(self.warmup) + u64::from(timed_steps)) * u64::from(burst) * u64::from(rounds);
        if events > EVENTS_MAX {
            return Err(UsageError::Events(events));
        }
        Ok(schedule)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArguments,
        #[command(flatten)]
        floor: FloorOptions,
    }

    fn line(words: &str) -> Line {
        Line::try_parse_from(std::iter::once("loadgen").chain(words.split_whitespace()))
            .unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_rate_of_bursts_counts_events() {
        let schedule = line("--burst 10 --bursts 7 --rate 1000 --rounds 2 --warmup 0").load.schedule(1).unwrap();
        assert_eq!((schedule.interval_ns, schedule.timed_steps, schedule.rounds), (10_000_000, 4, 2));
    }

    #[test]
    fn a_pair_has_five_rounds_unless_there_are_fewer_events() {
        assert_eq!(line("--events 50").load.schedule(2).unwrap().rounds, 5);
        assert_eq!(line("--events 3").load.schedule(2).unwrap().rounds, 3);
        assert_eq!(line("--events 50").load.schedule(1).unwrap().rounds, 1);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused() {
        let arguments = line("--cpu 1023");
        let message = arguments.load.load(&arguments.floor, 1).unwrap_err().to_string();
        assert!(message.contains("1023"), "{message}");
    }

    #[test]
    fn of_those_that_come_and_go_only_the_last_news_is_awaited() {
        let mut load = line("--sockets 100 --events 300").load.load(&line("").floor, 1).unwrap();
        assert_eq!((load.awaited(10), load.apart()), (1_000, 0));
        load.churn = Some(ChurnPlan::new(100, 1.0, &load.schedule).unwrap());
        assert_eq!((load.awaited(10), load.apart()), (910, 10));
        assert!(matches!(load.conduct_apart(3), Conduct::Churns(ChurnPlan { sockets: 3, .. })));
    }
}
