//! The loads of a calibration, each a command line of `loadgen fanout`, and what one of them gave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Parser;
use stentor::plan::calibration::ByThread;

use super::args::CalibrateArguments;
use super::run::CalibrateError;
use crate::driver::LEAD_NS;
use crate::fanout::{BREATH, FanoutArguments, Report, Run};
use crate::limits::{
    CALIBRATED_BURST, CALIBRATED_HEARTBEATS_MS, CALIBRATED_LONG_PAYLOAD_BYTES, CALIBRATED_PAYLOAD_BYTES,
    CALIBRATED_QUICK_STEPS, CALIBRATED_SEND_NS, CALIBRATED_STEP_MS_MIN,
};

/// One load; two of them differ in one thing, whose cost their difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    /// Single events to one socket: a request as such.
    One,
    /// Bursts to one socket: each further event of a request.
    OneBurst,
    /// Single events to few sockets, and to many: a send.
    Few,
    Many,
    /// More of them than `Many` has, whose sends are not acknowledged at once any more.
    More,
    /// Long events to many sockets: a byte.
    Long,
    /// Bursts to many sockets: a further event in a send.
    ManyBurst,
    /// Two events to many sockets, seconds apart: heartbeats.
    Waiting,
}

/// The order of a round. `Many` comes after a pause, in which the kernel forgets the sockets before. Between `Few` and `Many`
/// there is `One`: with it the server has all that `Few` left it, its buffers used once and the memory of its sockets.
pub const PROBES: [Probe; 8] =
    [Probe::OneBurst, Probe::Few, Probe::One, Probe::Many, Probe::More, Probe::Long, Probe::ManyBurst, Probe::Waiting];

/// The shape of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub sockets: u32,
    pub payload_bytes: u32,
    pub burst: u32,
    /// Timed and not.
    pub steps: u32,
    pub interval_ms: u64,
}

/// What one load gave.
#[derive(Clone, Debug)]
pub struct Sample {
    pub shape: Shape,
    /// How long the server's CPU time was counted.
    pub seconds: f64,
    /// Of all shards together.
    pub cpu_ns: ByThread<f64>,
    /// The quickest of all steps: whatever else runs on a machine only makes it longer.
    pub full_fan_out_us: Option<f64>,
    pub server_bytes: f64,
    pub kernel_bytes_per_connection: Option<f64>,
    /// What did not hold, where something did not.
    pub broken: Vec<String>,
}

const WARMUP_STEPS: u32 = 1;

impl Probe {
    pub fn shape(self, few: u32, many: u32) -> Shape {
        let single = |sockets, steps| Shape {
            sockets,
            payload_bytes: CALIBRATED_PAYLOAD_BYTES,
            burst: 1,
            steps,
            interval_ms: interval_ms(sockets),
        };
        match self {
            Self::One => single(1, 40),
            Self::OneBurst => Shape { burst: CALIBRATED_BURST, ..single(1, 20) },
            Self::Few => single(few, CALIBRATED_QUICK_STEPS),
            Self::Many => single(many, CALIBRATED_QUICK_STEPS),
            Self::More => single(many, CALIBRATED_QUICK_STEPS + 24),
            Self::Long => {
                Shape { payload_bytes: CALIBRATED_LONG_PAYLOAD_BYTES, ..single(many, CALIBRATED_QUICK_STEPS) }
            }
            // A hundred events more in a send take about as long as the send.
            Self::ManyBurst => Shape { burst: CALIBRATED_BURST, interval_ms: 3 * interval_ms(many), ..single(many, 7) },
            Self::Waiting => Shape { interval_ms: CALIBRATED_HEARTBEATS_MS, ..single(many, 2) },
        }
    }

    /// Runs it.
    pub fn measure(
        self,
        shape: Shape,
        of: &CalibrateArguments,
        interrupted: &Arc<AtomicBool>,
    ) -> Result<Sample, CalibrateError> {
        let fanout = fanout(&words(shape, of));
        let contenders = fanout.contenders()?;
        let load = fanout.load.load(&fanout.floor, 1)?;
        let run = Run { load, contenders, interrupted: Arc::clone(interrupted) };
        Ok(Sample::of(shape, &run.measure()?.report))
    }
}

/// More than twice what a fan-out takes, so that every event finds the server at rest.
fn interval_ms(sockets: u32) -> u64 {
    (u64::from(sockets) * CALIBRATED_SEND_NS * 2 / 1_000_000).max(CALIBRATED_STEP_MS_MIN)
}

/// The command line with which anybody could repeat it.
fn words(shape: Shape, of: &CalibrateArguments) -> Vec<String> {
    let mut words = vec!["fanout".to_owned()];
    let mut option = |name: &str, value: String| words.extend([format!("--{name}"), value]);
    option("host", of.host.clone());
    option("server-pid", of.server_pid.to_string());
    option("owner", of.owner.clone());
    option("sockets", shape.sockets.to_string());
    option("payload", shape.payload_bytes.to_string());
    option("interval", format!("{}ms", shape.interval_ms));
    // Where events are seconds apart, one to warm up would be as good as any.
    let warmup_steps = if shape.steps > 2 { WARMUP_STEPS } else { 0 };
    option("warmup", warmup_steps.to_string());
    let timed = (shape.steps - warmup_steps).to_string();
    if shape.burst > 1 {
        option("burst", shape.burst.to_string());
        option("bursts", timed);
    } else {
        option("events", timed);
    }
    option("threads", of.threads.to_string());
    let named = [("key", &of.key), ("publish-key", &of.publish_key), ("cpu", &of.cpu)];
    named.into_iter().for_each(|(name, value)| value.iter().for_each(|value| option(name, value.clone())));
    of.publisher_cpu.iter().for_each(|cpu| option("publisher-cpu", cpu.to_string()));
    words
}

fn fanout(words: &[String]) -> FanoutArguments {
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        fanout: FanoutArguments,
    }
    Line::try_parse_from(words).expect("words that fanout knows").fanout
}

impl Sample {
    fn of(shape: Shape, report: &Report) -> Self {
        let side = &report.sides[0];
        let threads = side.server_threads.iter().map(|thread| (thread.name.clone(), (thread.cpu_seconds * 1e9) as u64));
        let usual_us = side.full_fanout_us.map(|span| span.median);
        let sent_ms = (shape.steps - 1) as f64 * shape.interval_ms as f64;
        let around = LEAD_NS as f64 / 1e9 + BREATH.as_secs_f64();
        let mut broken = report.broken.clone();
        if usual_us.is_none_or(|us| us / 1e3 > shape.interval_ms as f64) {
            broken.push(format!(
                "events to {} sockets came faster than they could be sent, {} ms apart: this machine or server is too slow, or busy",
                shape.sockets, shape.interval_ms
            ));
        }
        Self {
            shape,
            seconds: sent_ms / 1e3 + usual_us.unwrap_or(0.0) / 1e6 + around,
            cpu_ns: by_thread(threads.collect()),
            full_fan_out_us: side.full_fanout_us.map(|span| span.min),
            server_bytes: side.memory.server_rss_connected_bytes.unwrap_or(0) as f64,
            kernel_bytes_per_connection: side.memory.slab_bytes_per_socket,
            broken,
        }
    }
}

/// Sums up a server's threads by their kind. Two of one name are an executor and its helper for what blocks.
pub fn by_thread(cpu_ns: BTreeMap<String, u64>) -> ByThread<f64> {
    let mut sum = ByThread { shard: 0.0, hub: 0.0, journal: 0.0, other: 0.0 };
    for (name, ns) in cpu_ns {
        let kind = match name.split('-').next() {
            Some("shard") => &mut sum.shard,
            Some("hub") => &mut sum.hub,
            Some("journal") => &mut sum.journal,
            _ => &mut sum.other,
        };
        *kind += ns as f64;
    }
    sum
}

/// How many shards have threads of these names: `shard-0-3` is shard 0's.
pub fn shards_among<'a>(names: impl Iterator<Item = &'a str>) -> u32 {
    let number = |name: &str| name.strip_prefix("shard-")?.split('-').next()?.parse::<u32>().ok();
    let mut shards: Vec<u32> = names.filter_map(number).collect();
    shards.sort_unstable();
    shards.dedup();
    shards.len() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};

    fn arguments(line: &str) -> CalibrateArguments {
        let words = ["loadgen", "calibrate", "--server-pid", "7"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Command::Calibrate(arguments) => arguments,
            _ => unreachable!("asked for calibrate"),
        }
    }

    #[test]
    fn every_load_is_one_that_fanout_runs_as_it_was_meant() {
        let of = arguments("--host 127.0.0.1:6000 --key k --publish-key p --cpu 0 --publisher-cpu 0");
        for probe in PROBES {
            let shape = probe.shape(1000, 4000);
            let fanout = fanout(&words(shape, &of));
            let load = fanout.load.load(&fanout.floor, 1).unwrap();
            assert_eq!(load.schedule.steps_per_round(), shape.steps, "{probe:?}");
            assert_eq!((load.schedule.rounds, load.schedule.burst), (1, shape.burst), "{probe:?}");
            assert_eq!(load.schedule.interval_ns, shape.interval_ms * 1_000_000, "{probe:?}");
            assert_eq!((load.sockets, load.payload_bytes as u32), (shape.sockets, shape.payload_bytes), "{probe:?}");
            assert_eq!(fanout.contenders().unwrap()[0].name(), "server");
            assert_eq!((fanout.server.server_pid, fanout.server.key.as_deref()), (Some(7), Some("k")));
        }
    }

    #[test]
    fn loads_differ_from_many_in_one_thing_alone() {
        let many = Probe::Many.shape(1000, 4000);
        let long = Probe::Long.shape(1000, 4000);
        assert_eq!((long.sockets, long.burst, long.interval_ms), (many.sockets, many.burst, many.interval_ms));
        let burst = Probe::ManyBurst.shape(1000, 4000);
        assert_eq!((burst.sockets, burst.payload_bytes), (many.sockets, many.payload_bytes));
    }

    #[test]
    fn threads_are_summed_by_their_kind_and_shards_counted_once() {
        let threads: BTreeMap<String, u64> = [
            ("shard-0-3", 10),
            ("shard-1-4", 20),
            ("hub-2", 3),
            ("journal-1", 4),
            ("iou-wrk-22124", 5),
            ("watchman", 6),
        ]
        .map(|(name, ns)| (name.to_owned(), ns))
        .into();
        assert_eq!(shards_among(threads.keys().map(String::as_str).chain(["shard-1-4"])), 2);
        assert_eq!(by_thread(threads), ByThread { shard: 30.0, hub: 3.0, journal: 4.0, other: 11.0 });
        assert_eq!(shards_among(["hub-1", "shard-x"].into_iter()), 0);
    }
}
