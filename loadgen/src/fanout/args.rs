//! What `loadgen fanout` and `loadgen floor` are asked to do.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::clients::{ClientArguments, known_cpu};
use super::gate::{Assertion, Baseline, Gate, Known};
use super::output::Output;
use super::report::Settings;
use super::rival::Rival;
use super::run::Contender;
use super::server::ServerArguments;
use super::stall::StallPlan;
use crate::args::{UsageError, allowed_cpus, check_rate, parse_duration};
use crate::event::EventWriter;
use crate::limits::{BURST_EVENTS_MAX, EVENTS_MAX};
use crate::publisher::BurstAs;
use crate::schedule::Schedule;

#[derive(Debug, Args)]
pub struct FanoutArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    /// How a burst is published
    #[arg(long, value_enum, default_value = "request")]
    pub burst_as: BurstAs,
    /// Run this beside the server, in turns, and give the ratio: `floor` (a bare send loop), or another server,
    /// `[NAME=]URL[,publish=URL][,publish-key=KEY][,burst-as=requests][,pid=PID]`, whose publish URL may be
    /// nats://IP:PORT/SUBJECT; may be given several times
    #[arg(long, value_name = "floor|SERVER")]
    pub vs: Vec<Rival>,
    /// So many of the sockets, or such a share of them (10%), stop reading at the first timed event and then go on
    #[arg(long, value_name = "COUNT|SHARE%", value_parser = parse_share, conflicts_with_all = ["vs", "rounds"])]
    pub stalled: Option<Share>,
    /// How long those do not read
    #[arg(long, default_value = "30s", value_parser = parse_duration, requires = "stalled")]
    pub stall: Duration,
    /// What must hold, such as 'p99<20ms', 'floor.p50<10ms' or 'ratio.floor.p50<1.10'; may be given several times. Where one does
    /// not, the exit code is 3
    #[arg(long = "assert", value_name = "FIGURE<BOUND")]
    pub assertions: Vec<Assertion>,
    /// An earlier run's --json, which this one must not be worse than
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// How much worse it may be. Ratios to the floor are compared where both runs have them, else times
    #[arg(long, value_name = "PERCENT%", default_value = "10%", value_parser = parse_percent)]
    pub max_regression: f64,
    #[command(flatten)]
    pub load: LoadArguments,
    #[command(flatten)]
    pub floor: FloorOptions,
}

#[derive(Debug, Args)]
pub struct FloorArguments {
    #[command(flatten)]
    pub load: LoadArguments,
    #[command(flatten)]
    pub floor: FloorOptions,
}

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
    pub stall: Option<StallPlan>,
    pub ports: RangeInclusive<u16>,
    pub linger: Duration,
    pub settle: Duration,
    pub drain: Duration,
    pub timeout: Duration,
}

impl FanoutArguments {
    /// Whoever is measured, the server first; the others in the order in which they were named.
    pub fn contenders(&self) -> Result<Vec<Contender>, UsageError> {
        let mut contenders = vec![Contender::Server(self.server.server(self.burst_as)?)];
        for rival in &self.vs {
            contenders.push(rival.contender(self.server.allow_remote)?);
            let (rival, others) = contenders.split_last().expect("one was just pushed");
            if others.iter().any(|other| other.name() == rival.name()) {
                return Err(UsageError::SameName(rival.name().to_owned()));
            }
            // Each would get the other's events, too.
            if others.iter().any(|other| other.outlet().is_some() && other.outlet() == rival.outlet()) {
                return Err(UsageError::SameServer(rival.name().to_owned()));
            }
        }
        Ok(contenders)
    }

    /// What the run has to reach.
    pub fn gate(&self, contenders: &[Contender], load: &Load) -> Result<Gate, UsageError> {
        let known: Vec<Known<'_>> = contenders.iter().map(Contender::known).collect();
        self.assertions.iter().try_for_each(|assertion| assertion.check(&known))?;
        let baseline = self.baseline.as_deref().map(Baseline::read).transpose()?;
        baseline.iter().try_for_each(|baseline| baseline.check(&Settings::of(load)))?;
        Ok(Gate { assertions: self.assertions.clone(), baseline, max_regression: self.max_regression })
    }
}

impl FanoutArguments {
    /// Which sockets stall; every one must see the load go on afterwards.
    pub fn stall(&self, load: &Load) -> Result<Option<StallPlan>, UsageError> {
        let Some(share) = self.stalled else { return Ok(None) };
        let sockets = match share {
            Share::Count(sockets) => sockets,
            Share::Percent(percent) => (f64::from(load.sockets) * percent / 100.0).round() as u32,
        };
        if sockets > load.sockets {
            return Err(UsageError::Stalled(sockets));
        }
        let stall_ns = self.stall.as_nanos() as u64;
        let last_ns = load.schedule.offset_ns(load.schedule.timed_steps.saturating_sub(1));
        if last_ns <= stall_ns {
            return Err(UsageError::StallTooLong { stall: self.stall, load: Duration::from_nanos(last_ns) });
        }
        Ok(Some(StallPlan { sockets, stall_ns }))
    }
}

impl LoadArguments {
    /// Checks the values against each other and against this machine's CPUs. `sides`: how many contenders there are.
    pub fn load(&self, floor: &FloorOptions, sides: u32) -> Result<Load, UsageError> {
        let schedule = self.schedule(sides)?;
        let load = self.clients.load(schedule, sides, self.timeout)?;
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

/// Some of the sockets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    Count(u32),
    Percent(f64),
}

/// Reads `10%` as 0.1.
pub fn parse_percent(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent.filter(|percent| (0.0..=1000.0).contains(percent)) {
        Some(percent) => Ok(percent / 100.0),
        None => Err(format!("`{text}` is no percentage: write 10%")),
    }
}

/// Reads `1000` or `10%`.
fn parse_share(text: &str) -> Result<Share, String> {
    let wrong = || format!("`{text}` is neither a number of sockets nor a share of them: write 1000 or 10%");
    match text.strip_suffix('%') {
        Some(percent) => match percent.trim().parse() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Share::Percent(percent)),
            _ => Err(wrong()),
        },
        None => text.parse().map(Share::Count).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::run::Server;
    use super::*;
    use crate::args::{Arguments, Command};
    use crate::publisher::Outlet;

    fn fanout(line: &str) -> FanoutArguments {
        let words = ["loadgen", "fanout"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Fanout(arguments) => *arguments,
            _ => unreachable!("asked for fanout"),
        }
    }

    fn server(line: &str) -> Result<Server, UsageError> {
        match fanout(line).contenders()?.swap_remove(0) {
            Contender::Server(server) => Ok(server),
            Contender::Floor => unreachable!("the server comes first"),
        }
    }

    #[test]
    fn host_and_key_make_the_usual_endpoints() {
        let server = server("--host 127.0.0.1:6000 --key abc --burst-as requests").unwrap();
        assert_eq!(server.subscribe.path, "/ws/alerts?apiKey=abc");
        let Outlet::Http { target, burst_as, .. } = server.outlet else { unreachable!("HTTP") };
        assert_eq!((target.authority().as_str(), target.path.as_str()), ("127.0.0.1:6000", "/api/events"));
        assert_eq!(burst_as, BurstAs::Requests);
    }

    #[test]
    fn a_rival_has_a_name_and_a_server_of_its_own() {
        let contenders = |line: &str| fanout(line).contenders();
        let names = |line: &str| -> Vec<String> {
            contenders(line).unwrap().iter().map(|contender| contender.name().to_owned()).collect()
        };
        assert_eq!(names("--vs floor --vs ws://127.0.0.1:6000/"), ["server", "floor", "other"]);
        let same = contenders("--vs ws://127.0.0.1:6000/ --vs ws://127.0.0.1:6001/");
        assert!(matches!(same, Err(UsageError::SameName(_))));
        let same = contenders("--host 127.0.0.1:6000 --vs again=ws://127.0.0.1:6000/");
        assert!(matches!(same, Err(UsageError::SameServer(_))));
    }

    #[test]
    fn another_machine_is_refused_for_subscribing_and_for_publishing() {
        assert!(server("--url ws://10.0.0.1:1/").is_err());
        assert!(server("--url ws://127.0.0.1:1/ --publish http://10.0.0.1:1/").is_err());
        assert!(server("--url ws://10.0.0.1:1/ --allow-remote").is_ok());
    }

    #[test]
    fn a_rate_of_bursts_counts_events() {
        let schedule = fanout("--burst 10 --bursts 7 --rate 1000 --rounds 2 --warmup 0").load.schedule(1).unwrap();
        assert_eq!((schedule.interval_ns, schedule.timed_steps, schedule.rounds), (10_000_000, 4, 2));
    }

    #[test]
    fn a_pair_has_five_rounds_unless_there_are_fewer_events() {
        assert_eq!(fanout("--events 50").load.schedule(2).unwrap().rounds, 5);
        assert_eq!(fanout("--events 3").load.schedule(2).unwrap().rounds, 3);
        assert_eq!(fanout("--events 50").load.schedule(1).unwrap().rounds, 1);
    }

    #[test]
    fn some_sockets_stall_for_less_than_the_load_lasts() {
        let stall = |line: &str| {
            let arguments = fanout(line);
            arguments.stall(&arguments.load.load(&arguments.floor, 1).unwrap())
        };
        let plan = stall("--sockets 250 --events 400 --rate 10 --stalled 10%").unwrap().unwrap();
        assert_eq!((plan.sockets, plan.stall_ns), (25, 30_000_000_000));
        assert_eq!(stall("--sockets 250 --stalled 7 --stall 1s").unwrap().unwrap().sockets, 7);
        assert_eq!(stall("--sockets 250").unwrap(), None);
        let message = stall("--sockets 250 --stalled 7 --events 20").unwrap_err().to_string();
        assert!(message.contains("30s outlasts"), "{message}");
        assert!(stall("--sockets 250 --stalled 251 --stall 1s").is_err());
        assert!(parse_share("110%").is_err() && parse_share("many").is_err());
    }

    #[test]
    fn a_cpu_that_is_not_there_is_refused() {
        let arguments = fanout("--cpu 1023");
        let message = arguments.load.load(&arguments.floor, 1).unwrap_err().to_string();
        assert!(message.contains("1023"), "{message}");
    }
}
