//! The command line of `loadgen mixed`, and what follows from it.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::dialogue::Credentials;
use super::roster::SubscriberKey;
use crate::addresses::ports_here;
use crate::args::{UsageError, allowed_cpus, check_rate, parse_duration};
use crate::limits::{BURST_EVENTS_MAX, EVENTS_MAX, SOCKETS_MAX, SUBSCRIBER_KEYS_MAX};
use crate::schedule::Schedule;
use crate::target::Target;
use crate::token;

#[derive(Debug, Args)]
pub struct MixedArguments {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:5001")]
    pub url: String,
    /// The publisher's key
    #[arg(long, value_name = "KEY")]
    pub publisher_key: String,
    /// A subscriber's key, of an account of its own (elite or enterprise) whose watchlist loadgen may replace; may be
    /// repeated
    #[arg(long = "subscriber-key", value_name = "KEY", required = true)]
    pub subscriber_keys: Vec<String>,
    /// The same, of an account that may also subscribe to every bot (grant bot:*); may be repeated
    #[arg(long = "bot-key", value_name = "KEY")]
    pub bot_keys: Vec<String>,
    /// The HS256 secret that the server checks tokens with: jwt-secret in its data directory
    #[arg(long, value_name = "FILE")]
    pub jwt_secret_file: PathBuf,
    /// How many sockets each of the four protocols has
    #[arg(long, default_value_t = 2_500, value_parser = clap::value_parser!(u32).range(1..=i64::from(SOCKETS_MAX / 4)))]
    pub sockets_per_protocol: u32,
    /// Events per second, over all topics
    #[arg(long, default_value_t = 200.0)]
    pub rate: f64,
    /// Events of one publish request
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=i64::from(BURST_EVENTS_MAX)))]
    pub burst: u32,
    /// How long events are published
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    pub duration: Duration,
    /// What everything is drawn from: who subscribes to what, and which events there are
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The server's process, to tell its memory and CPU time
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// How long to wait between connecting and the first event, and after the last delivery for what should not come
    #[arg(long, default_value = "500ms", value_parser = parse_duration)]
    pub settle: Duration,
    /// How long no delivery may come before those still missing count as missing
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub drain: Duration,
    /// How long the whole run may take
    #[arg(long, default_value = "10m", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Let the load go to another machine
    #[arg(long)]
    pub allow_remote: bool,
}

/// What a run does, with every default filled in.
#[derive(Clone, Debug)]
pub struct MixedLoad {
    pub publish: Target,
    pub publisher_key: String,
    pub credentials: Credentials,
    pub keys: Vec<SubscriberKey>,
    pub sockets_per_protocol: u32,
    pub schedule: Schedule,
    pub seed: u64,
    pub server_pid: Option<u32>,
    /// For the clients and for the publisher, so that the server keeps the others.
    pub cpu: usize,
    pub ports: RangeInclusive<u16>,
    pub settle: Duration,
    pub drain: Duration,
    pub timeout: Duration,
}

impl MixedArguments {
    /// `nonce`: 16 random bytes for the upgrades.
    pub fn load(&self, nonce: [u8; 16]) -> Result<MixedLoad, UsageError> {
        let server = Target::parse(&self.url, "http")?;
        server.check_local(self.allow_remote)?;
        let keys = self.keys()?;
        let schedule = self.schedule()?;
        let allowed = allowed_cpus()?;
        Ok(MixedLoad {
            publish: Target { path: "/api/events".into(), ..server.clone() },
            publisher_key: self.publisher_key.clone(),
            credentials: Credentials {
                server,
                nonce,
                jwt_secret: token::read_secret(&self.jwt_secret_file)?,
                now_s: token::now_s(),
            },
            keys,
            sockets_per_protocol: self.sockets_per_protocol,
            schedule,
            seed: self.seed,
            server_pid: self.server_pid,
            cpu: allowed[allowed.len() - 1],
            ports: ports_here(),
            settle: self.settle,
            drain: self.drain,
            timeout: self.timeout,
        })
    }

    fn keys(&self) -> Result<Vec<SubscriberKey>, UsageError> {
        let plain = self.subscriber_keys.iter().map(|key| SubscriberKey { key: key.clone(), may_bots: false });
        let bots = self.bot_keys.iter().map(|key| SubscriberKey { key: key.clone(), may_bots: true });
        let keys: Vec<SubscriberKey> = plain.chain(bots).collect();
        if keys.len() > SUBSCRIBER_KEYS_MAX {
            return Err(UsageError::Keys(keys.len()));
        }
        Ok(keys)
    }

    fn schedule(&self) -> Result<Schedule, UsageError> {
        check_rate(self.rate)?;
        let interval_ns = (f64::from(self.burst) * 1e9 / self.rate) as u64;
        let steps = (self.duration.as_nanos() / u128::from(interval_ns.max(1))).max(1);
        let events = steps.saturating_mul(u128::from(self.burst));
        if events > u128::from(EVENTS_MAX) {
            return Err(UsageError::Events(events as u64));
        }
        Ok(Schedule { burst: self.burst, interval_ns, rounds: 1, warmup_steps: 0, timed_steps: steps as u32 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        mixed: MixedArguments,
    }

    fn mixed(more: &str) -> MixedArguments {
        let line = format!("loadgen --publisher-key p --subscriber-key a --jwt-secret-file /nowhere/secret {more}");
        Line::try_parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{error}")).mixed
    }

    #[test]
    fn rate_and_duration_make_the_schedule() {
        let schedule = mixed("--rate 200 --burst 4 --duration 20s").schedule().unwrap();
        assert_eq!((schedule.interval_ns, schedule.timed_steps, schedule.events()), (20_000_000, 1000, 4000));
        assert_eq!(mixed("--rate 1 --burst 1 --duration 10ms").schedule().unwrap().events(), 1, "at least one");
        assert!(matches!(mixed("--rate 0").schedule(), Err(UsageError::Rate(_))));
        assert!(matches!(mixed("--rate 1000000 --duration 1h").schedule(), Err(UsageError::Events(_))));
    }

    #[test]
    fn keys_that_may_subscribe_to_bots_come_after_the_others() {
        let keys = mixed("--bot-key b --subscriber-key c").keys().unwrap();
        let flat: Vec<(&str, bool)> = keys.iter().map(|key| (key.key.as_str(), key.may_bots)).collect();
        assert_eq!(flat, [("a", false), ("c", false), ("b", true)]);
    }

    #[test]
    fn a_secret_that_is_not_there_is_told_with_its_path() {
        let message = mixed("").load([0; 16]).unwrap_err().to_string();
        assert!(message.contains("/nowhere/secret"), "{message}");
    }

    #[test]
    fn another_machine_is_refused() {
        assert!(matches!(mixed("--url http://10.0.0.1:1").load([0; 16]), Err(UsageError::Target(_))));
    }
}
