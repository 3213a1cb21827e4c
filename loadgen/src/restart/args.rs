//! The command line of `loadgen restart`, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::event::Events;
use crate::args::{UsageError, check_rate, parse_duration};
use crate::fanout::{ClientArguments, Load};
use crate::limits::{CONNECTING_S_MAX, EVENTS_MAX};
use crate::schedule::Schedule;
use crate::target::Target;

#[derive(Debug, Args)]
pub struct RestartArguments {
    /// The server
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5001")]
    pub host: String,
    /// The subscribers' key, of an account (elite or enterprise) whose watchlist holds --owner
    #[arg(long)]
    pub key: String,
    /// The publisher's key
    #[arg(long, value_name = "KEY")]
    pub publish_key: String,
    #[command(flatten)]
    pub clients: ClientArguments,
    /// How long events are published. The server is to be restarted meanwhile, and this is to outlast the last socket's return
    #[arg(long = "for", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub lasting: Duration,
    /// Events per second
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// How long the server may be away, and how long sockets may be when all is published
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub patience: Duration,
    /// How many times the paced rate may come back in any one second, such as 1.2. The pace is what the server told: how many sockets were
    /// to come back, by the time between the first and the last of them
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio)]
    pub max_pace: Option<f64>,
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Let the load go to another machine
    #[arg(long)]
    pub allow_remote: bool,
}

/// What a run does, with every default filled in.
#[derive(Clone, Debug)]
pub struct RestartLoad {
    /// Where the sockets connect, without `since`.
    pub subscribe: Target,
    pub publish: Target,
    pub publish_key: String,
    pub events: Events,
    pub load: Load,
    pub lasting: Duration,
    pub patience: Duration,
    pub max_pace: Option<f64>,
}

impl RestartArguments {
    /// `run`: a random number, which no other run's events are called by.
    pub fn load(&self, run: u64) -> Result<RestartLoad, UsageError> {
        let subscribe = Target::parse(&format!("ws://{}/ws/alerts", self.host), "ws")?.with_query("apiKey", &self.key);
        let publish = Target::parse(&format!("http://{}/api/events", self.host), "http")?;
        subscribe.check_local(self.allow_remote)?;
        let schedule = self.schedule()?;
        Ok(RestartLoad {
            subscribe,
            publish,
            publish_key: self.publish_key.clone(),
            events: Events::new(&self.clients.owner, self.clients.payload, schedule.events(), run)?,
            load: self.clients.load(schedule, 1, Duration::from_secs(CONNECTING_S_MAX))?,
            lasting: self.lasting,
            patience: self.patience,
            max_pace: self.max_pace,
        })
    }

    fn schedule(&self) -> Result<Schedule, UsageError> {
        let rate = check_rate(self.rate)?;
        let events = (rate * self.lasting.as_secs_f64()).round();
        if events > EVENTS_MAX as f64 {
            return Err(UsageError::Events(events as u64));
        }
        if events < 1.0 {
            return Err(UsageError::NoEvents { rate, lasting: self.lasting });
        }
        let interval_ns = (1e9 / rate) as u64;
        Ok(Schedule { burst: 1, interval_ns, rounds: 1, warmup_steps: 0, timed_steps: events as u32 })
    }
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio > 0.0);
    ratio.ok_or_else(|| format!("`{text}` is no ratio: write one like 1.2"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn restart(line: &str) -> Result<RestartLoad, UsageError> {
        let words = "loadgen restart --key k --publish-key p".split_whitespace().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Restart(arguments) => arguments.load(7),
            _ => unreachable!("asked for restart"),
        }
    }

    #[test]
    fn a_rate_and_a_time_make_a_schedule_of_single_events() {
        let load = restart("--rate 200 --for 60s --sockets 20").unwrap();
        let schedule = load.load.schedule;
        assert_eq!((schedule.events(), schedule.interval_ns, schedule.burst), (12_000, 5_000_000, 1));
        assert_eq!((load.subscribe.path.as_str(), load.max_pace), ("/ws/alerts?apiKey=k", None));
    }

    #[test]
    fn what_can_not_be_run_is_refused_with_the_remedy() {
        let error = |line: &str| restart(line).unwrap_err().to_string();
        assert!(error("--rate 100000 --for 1h").contains("too many"));
        assert!(error("--rate 0.01 --for 1s").contains("--for"));
        assert!(error("--payload 60").contains("--payload 60"));
        assert!(error("--host 10.0.0.1:80").contains("--allow-remote"));
        for wrong in ["0", "-1", "NaN", "inf", "20%"] {
            assert!(parse_ratio(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_ratio("1.2"), Ok(1.2));
    }
}
