//! The command line of `loadgen search`, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::bisection::Range;
use crate::args::{UsageError, check_rate, parse_duration};
use crate::fanout::{Assertion, ClientArguments, Contender, Load, Server, ServerArguments, parse_percent};
use crate::limits::{EVENTS_MAX, PRECISION_MIN, PROBE_SLACK_S_MAX, PROBE_WARMUP_S};
use crate::publisher::BurstAs;
use crate::schedule::Schedule;

#[derive(Debug, Args)]
pub struct SearchArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub clients: ClientArguments,
    /// What must hold at a rate, such as 'p99<20ms' or 'full<10ms'; may be given several times
    #[arg(long = "assert", value_name = "FIGURE<BOUND", required = true)]
    pub assertions: Vec<Assertion>,
    /// The lowest rate, in events per second
    #[arg(long, value_name = "RATE", default_value_t = 1.0)]
    pub min_rate: f64,
    /// The highest rate
    #[arg(long, value_name = "RATE", default_value_t = 2000.0)]
    pub max_rate: f64,
    /// How long each rate is tried, after a second to warm up
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub lasting: Duration,
    /// How far above the answer the next rate may be that is known to fail
    #[arg(long, value_name = "PERCENT%", default_value = "5%", value_parser = parse_percent)]
    pub precision: f64,
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
}

/// What a search does, with every default filled in.
#[derive(Clone, Debug)]
pub struct SearchLoad {
    pub server: Server,
    pub assertions: Vec<Assertion>,
    pub range: Range,
    pub lasting: Duration,
    /// Of the lowest rate; other rates differ in the schedule alone.
    lowest: Load,
}

impl SearchArguments {
    pub fn load(&self) -> Result<SearchLoad, UsageError> {
        let (min_rate, max_rate) = (check_rate(self.min_rate)?, check_rate(self.max_rate)?);
        if min_rate > max_rate {
            return Err(UsageError::Rates { min: min_rate, max: max_rate });
        }
        if min_rate * self.lasting.as_secs_f64() < 1.0 {
            return Err(UsageError::NoEvents { rate: min_rate, lasting: self.lasting });
        }
        if self.precision < PRECISION_MIN {
            return Err(UsageError::Precision(self.precision * 100.0));
        }
        let events_max = max_rate * (self.lasting.as_secs_f64() + PROBE_WARMUP_S);
        if events_max > EVENTS_MAX as f64 {
            return Err(UsageError::Events(events_max as u64));
        }
        let server = self.server.server(BurstAs::Request)?;
        let contender = Contender::Server(server.clone());
        self.assertions.iter().try_for_each(|assertion| assertion.check(&[contender.known()]))?;
        // The payload must have room for the longest index.
        self.clients.load(schedule(max_rate, self.lasting), 1, Duration::ZERO)?;
        let timeout = 2 * self.lasting + Duration::from_secs(PROBE_SLACK_S_MAX);
        Ok(SearchLoad {
            server,
            assertions: self.assertions.clone(),
            range: Range { min_rate, max_rate, precision: self.precision },
            lasting: self.lasting,
            lowest: self.clients.load(schedule(min_rate, self.lasting), 1, timeout)?,
        })
    }
}

impl SearchLoad {
    /// What a fanout run at this rate does.
    pub fn at(&self, rate: f64) -> Load {
        Load { schedule: schedule(rate, self.lasting), ..self.lowest.clone() }
    }

    pub fn sockets(&self) -> u32 {
        self.lowest.sockets
    }

    pub fn payload_bytes(&self) -> usize {
        self.lowest.payload_bytes
    }
}

fn schedule(rate: f64, lasting: Duration) -> Schedule {
    let steps = |seconds: f64| (rate * seconds).round().max(1.0) as u32;
    Schedule {
        burst: 1,
        interval_ns: (1e9 / rate) as u64,
        rounds: 1,
        warmup_steps: steps(PROBE_WARMUP_S),
        timed_steps: steps(lasting.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn search(line: &str) -> Result<SearchLoad, UsageError> {
        let words = ["loadgen", "search"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Search(arguments) => arguments.load(),
            _ => unreachable!("asked for search"),
        }
    }

    #[test]
    fn a_rate_becomes_a_second_of_warm_up_and_as_many_events_as_the_time_takes() {
        let load = search("--assert p99<20ms --for 10s").unwrap();
        assert_eq!(
            load.at(320.0).schedule,
            Schedule { burst: 1, interval_ns: 3_125_000, rounds: 1, warmup_steps: 320, timed_steps: 3200 }
        );
        assert_eq!(load.at(0.2).schedule.warmup_steps, 1);
        assert_eq!((load.range.min_rate, load.range.max_rate, load.range.precision), (1.0, 2000.0, 0.05));
    }

    #[test]
    fn what_can_not_be_searched_is_refused_with_the_remedy() {
        let error = |line: &str| search(&format!("--assert p99<20ms {line}")).unwrap_err().to_string();
        assert!(error("--min-rate 10 --max-rate 5").contains("--max-rate"));
        assert!(error("--min-rate 0.5 --for 1s").contains("--for"));
        assert!(error("--precision 0%").contains("--precision"));
        assert!(error("--max-rate 1000000 --for 1m").contains("at most"));
        assert!(error("--payload 10").contains("--payload"));
        let floor = search("--assert floor.p99<20ms").unwrap_err().to_string();
        assert!(floor.contains("no such side"), "{floor}");
        assert!(Arguments::try_parse_from(["loadgen", "search"]).is_err(), "something must be asserted");
    }
}
