//! The command line, and what follows from it.

use std::net::Ipv4Addr;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::calibrate::CalibrateArguments;
use crate::cpu;
use crate::event::EventError;
use crate::fanout::{AssertionError, BaselineError, FanoutArguments, FloorArguments, MixError, RivalError};
use crate::limits::{
    EVENTS_MAX, SOAK_EVENTS_MAX, SOAK_RATE_MIN, SOAK_SAMPLE_MS_MIN, SOAK_SAMPLES_MAX, SOCKETS_MAX, SUBSCRIBER_KEYS_MAX,
    WEBHOOK_DELIVERIES_MAX,
};
use crate::mixed::MixedArguments;
use crate::publish::PublishArguments;
use crate::restart::RestartArguments;
use crate::search::SearchArguments;
use crate::soak::SoakArguments;
use crate::storm::StormArguments;
use crate::target::TargetError;
use crate::webhooks::WebhooksArguments;

/// The wallet whose trades are published where none is named; the server's account must watch it.
pub const DEFAULT_OWNER: &str = "Stentor1oadgenWa11et777777777777777777777777";

#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version,
    about = "Measures how fast an alert server reaches all of its sockets, and whether it reaches them all"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Publish events to a server and time them until the last of N sockets has them
    Fanout(Box<FanoutArguments>),
    /// Speak all four client protocols at once, and check per socket that it gets exactly what it should
    Mixed(MixedArguments),
    /// Publish durably from one connection: events a second in batches, and single events beside the disk's floor
    Publish(PublishArguments),
    /// Have N sockets resume at once over the newest events, and check that each gets every one of its own, once, in order
    Storm(StormArguments),
    /// Stay connected and publish while somebody restarts the server, and check that every socket ends with every event
    Restart(RestartArguments),
    /// Find the highest steady rate at which what is asserted holds, by bisection
    Search(SearchArguments),
    /// Load the same sockets for hours, and tell what drifts: memory, descriptors, latency
    Soak(SoakArguments),
    /// Receive and verify a server's webhooks at many endpoints, some of which misbehave, and time them
    Webhooks(WebhooksArguments),
    /// Measure what the pieces of a running Stentor's work cost on this machine, for `stentor plan`
    Calibrate(CalibrateArguments),
    /// The same as fanout with a bare send(2) loop instead of a server: what the machine itself costs
    Floor(FloorArguments),
}

/// A command line that can't be run; the user mends it.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Rival(#[from] RivalError),
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    #[error("{0}")]
    Cpu(String),
    #[error("--sockets {0}: loadgen holds at most {SOCKETS_MAX}")]
    Sockets(u32),
    #[error("{0} events in one run are too many: at most {EVENTS_MAX}, warm-ups and all")]
    Events(u64),
    #[error("--rate {0}: write a number of events per second between 0.001 and 1000000")]
    Rate(f64),
    #[error("--min-rate {min} is above --max-rate {max}: exchange them")]
    Rates { min: f64, max: f64 },
    #[error("at --rate {rate} no event falls into {lasting:?}: raise the rate, or --for")]
    NoEvents { rate: f64, lasting: Duration },
    #[error("--precision {0}%: rates are told apart down to 0.5%")]
    Precision(f64),
    #[error("--rate {0}: a soak publishes at least {SOAK_RATE_MIN} events per second")]
    SoakRate(f64),
    #[error("{0} events in one soak are too many, at most {SOAK_EVENTS_MAX}: lower --rate, or --for")]
    SoakEvents(f64),
    #[error(
        "--sample {sample:?} in --for {lasting:?}: there must be 2 to {SOAK_SAMPLES_MAX} samples, at least {SOAK_SAMPLE_MS_MIN} ms apart"
    )]
    Samples { sample: Duration, lasting: Duration },
    #[error("two contenders are called `{0}`: give the one of --vs another name, as in --vs {0}2=URL")]
    SameName(String),
    #[error(
        "`{0}` is posted to where another contender is, so that each would get the other's events: give it a server of its own"
    )]
    SameServer(String),
    #[error("--stalled {0}: there must be more sockets, since some have to read all the time")]
    Stalled(u32),
    #[error(
        "a stall of {stall:?} outlasts the load, whose last event is due {load:?} after the first: publish more events, or stall for less"
    )]
    StallTooLong { stall: Duration, load: Duration },
    #[error(transparent)]
    Mix(#[from] MixError),
    #[error("--churn: no socket would come back while the load lasts: raise it, --sockets or --events")]
    TooLittleChurn,
    #[error("{0} subscriber keys are too many: at most {SUBSCRIBER_KEYS_MAX}")]
    Keys(usize),
    #[error("{0} subscriber keys are too few: the first is the live sockets', and the others resume")]
    TooFewKeys(usize),
    #[error("can't read the secret for tokens from {path}: {why}: give the server's jwt-secret file")]
    Secret { path: String, why: String },
    #[error("none of {endpoints} endpoints is healthy: lower --hang and --fail")]
    NoHealthyEndpoint { endpoints: u32 },
    #[error("--errors and --resets make more than 100 % together")]
    Shares,
    #[error("{0} deliveries in one run are too many: at most {WEBHOOK_DELIVERIES_MAX}, endpoints times events")]
    Deliveries(u64),
    #[error("--listen {0} can be reached from elsewhere: pass --allow-remote if that is meant")]
    Listen(Ipv4Addr),
}

/// The CPUs that this process may use, ascending.
pub fn allowed_cpus() -> Result<Vec<usize>, UsageError> {
    cpu::allowed().map_err(|error| UsageError::Cpu(format!("can't read this process's CPUs: {error}")))
}

/// Events per second that a schedule can keep.
pub fn check_rate(rate: f64) -> Result<f64, UsageError> {
    if (0.001..=1e6).contains(&rate) { Ok(rate) } else { Err(UsageError::Rate(rate)) }
}

/// Reads `10s`, `250ms`, `50us`, `2m` or a bare number of seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time: write 50us, 250ms, 10s, 2m or 1h")),
    };
    let number: f64 =
        number.parse().map_err(|_| format!("`{text}` is no duration: write 50us, 250ms, 10s, 2m or 1h"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("`{text}` is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "s", "5 days", "-1s", "1e999s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
