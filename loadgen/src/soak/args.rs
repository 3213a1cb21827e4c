//! The command line of `loadgen soak`, and what follows from it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::args::{UsageError, check_rate, parse_duration};
use crate::fanout::{ClientArguments, Load, Server, ServerArguments, parse_percent};
use crate::limits::{
    CONNECTING_S_MAX, SOAK_EVENTS_MAX, SOAK_RATE_MIN, SOAK_SAMPLE_MS_MIN, SOAK_SAMPLES_MAX, SOAK_SEGMENT_S,
};
use crate::publisher::BurstAs;
use crate::schedule::Schedule;

#[derive(Debug, Args)]
pub struct SoakArguments {
    #[command(flatten)]
    pub server: ServerArguments,
    #[command(flatten)]
    pub clients: ClientArguments,
    /// How long events are published
    #[arg(long = "for", value_name = "TIME", default_value = "8h", value_parser = parse_duration)]
    pub lasting: Duration,
    /// Events per second
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,
    /// How often everything is looked at
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub sample: Duration,
    /// How much the server's memory may grow from the first tenth of the samples to the last
    #[arg(long, value_name = "PERCENT%", default_value = "5%", value_parser = parse_percent, requires = "server_pid")]
    pub max_rss_growth: f64,
    /// How many more descriptors the server may have open. One is for a file that a journal opens ahead of its need, and keeps for
    /// hours at a low rate
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "server_pid")]
    pub max_descriptor_growth: u32,
    /// How much the 99th percentile may grow
    #[arg(long, value_name = "PERCENT%", default_value = "50%", value_parser = parse_percent)]
    pub max_p99_growth: f64,
    /// Also write the results as JSON, to a file or to standard output (-)
    #[arg(long, value_name = "FILE|-")]
    pub json: Option<PathBuf>,
    /// Also write each sample as a line of this file, while the soak goes on
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
}

/// What a soak does, with every default filled in.
#[derive(Clone, Debug)]
pub struct SoakLoad {
    pub server: Server,
    /// A round of its schedule is a segment.
    pub load: Load,
    pub sample: Duration,
    pub bounds: Bounds,
    pub csv: Option<PathBuf>,
}

/// By how much figures may grow from the first tenth to the last; 0.05 is 5 %.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub rss_growth: f64,
    pub descriptor_growth: u32,
    pub p99_growth: f64,
}

impl SoakArguments {
    pub fn load(&self) -> Result<SoakLoad, UsageError> {
        let schedule = self.schedule()?;
        let samples = self.lasting.as_nanos() / self.sample.as_nanos().max(1);
        if self.sample < Duration::from_millis(SOAK_SAMPLE_MS_MIN) || !(2..=SOAK_SAMPLES_MAX).contains(&samples) {
            return Err(UsageError::Samples { sample: self.sample, lasting: self.lasting });
        }
        Ok(SoakLoad {
            server: self.server.server(BurstAs::Request)?,
            load: self.clients.load(schedule, 1, Duration::from_secs(CONNECTING_S_MAX))?,
            sample: self.sample,
            bounds: Bounds {
                rss_growth: self.max_rss_growth,
                descriptor_growth: self.max_descriptor_growth,
                p99_growth: self.max_p99_growth,
            },
            csv: self.csv.clone(),
        })
    }

    /// Segments of the same length, without warm-ups: every event is checked and timed.
    fn schedule(&self) -> Result<Schedule, UsageError> {
        let rate = check_rate(self.rate)?;
        if rate < SOAK_RATE_MIN {
            return Err(UsageError::SoakRate(rate));
        }
        let events = (rate * self.lasting.as_secs_f64()).round().max(1.0);
        if events > SOAK_EVENTS_MAX as f64 {
            return Err(UsageError::SoakEvents(events));
        }
        let segments = (events / (rate * SOAK_SEGMENT_S).max(1.0)).ceil().max(1.0);
        Ok(Schedule {
            burst: 1,
            interval_ns: (1e9 / rate) as u64,
            rounds: segments as u32,
            warmup_steps: 0,
            timed_steps: (events / segments).ceil() as u32,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn soak(line: &str) -> Result<SoakLoad, UsageError> {
        let words = ["loadgen", "soak"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Soak(arguments) => arguments.load(),
            _ => unreachable!("asked for soak"),
        }
    }

    #[test]
    fn a_soak_is_divided_into_equal_segments() {
        let schedule = |line: &str| soak(line).unwrap().load.schedule;
        let of =
            |rounds, timed_steps, interval_ns| Schedule { burst: 1, interval_ns, rounds, warmup_steps: 0, timed_steps };
        assert_eq!(schedule("--for 8h --rate 10"), of(480, 600, 100_000_000));
        assert_eq!(schedule("--for 24h --rate 200"), of(1440, 12_000, 5_000_000));
        assert_eq!(schedule("--for 90s --rate 10"), of(2, 450, 100_000_000));
        assert_eq!(schedule("--for 1s --rate 3 --sample 200ms"), of(1, 3, 333_333_333));
        assert_eq!(schedule("--for 90s --rate 0.1"), of(2, 5, 10_000_000_000));
    }

    #[test]
    fn growth_has_bounds_by_default() {
        let bounds = soak("--server-pid 1").unwrap().bounds;
        assert_eq!((bounds.rss_growth, bounds.descriptor_growth, bounds.p99_growth), (0.05, 1, 0.5));
        let parsed = Arguments::try_parse_from(["loadgen", "soak", "--max-rss-growth", "5%"]);
        assert!(parsed.is_err(), "a bound on the memory of nobody");
    }

    #[test]
    fn what_can_not_be_soaked_is_refused_with_the_remedy() {
        let error = |line: &str| soak(line).unwrap_err().to_string();
        assert!(error("--rate 0.05").contains("--rate"));
        assert!(error("--for 24h --rate 1000000").contains("--for"));
        assert!(error("--for 10s --sample 6s").contains("--sample"));
        assert!(error("--for 10s --sample 1ms").contains("--sample"));
        assert!(error("--for 10000h --sample 1s").contains("--sample"));
    }
}
