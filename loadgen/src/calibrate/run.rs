//! A calibration from beginning to end: the rounds, and the document.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use stentor::plan::calibration::{CALIBRATION_FORMAT, Calibration, CalibrationLoad, MeasuredMachine, now_rfc3339};

use super::args::CalibrateArguments;
use super::fit::{Idle, Round, fit};
use super::probe::{PROBES, Probe, Sample, by_thread, shards_among};
use crate::args::UsageError;
use crate::cpu;
use crate::error::RunError;
use crate::limits::{
    CALIBRATED_BURST, CALIBRATED_IDLE_MS, CALIBRATED_LONG_PAYLOAD_BYTES, CALIBRATED_PAYLOAD_BYTES, CALIBRATED_REST_MS,
    CALIBRATED_SHARDS_MAX,
};
use crate::process::{ThreadTimes, thread_times};

pub struct CalibrateRun {
    pub arguments: CalibrateArguments,
    pub interrupted: Arc<AtomicBool>,
}

/// What came of it.
pub struct Calibrated {
    pub calibration: Calibration,
    /// What went wrong in its loads: deliveries that were lost, for one. Empty where the calibration may be used.
    pub broken: Vec<String>,
    /// What can't be so of its figures; empty where it may be used.
    pub contradictions: Vec<String>,
}

/// A calibration that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CalibrateError {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("process {pid} has no threads of a Stentor's shards: give the server's own process as --server-pid")]
    NotStentor { pid: u32 },
    #[error(
        "the server has {shards} shards, and CPU time is told apart for {CALIBRATED_SHARDS_MAX} at most: start it with fewer (--shards) for this"
    )]
    TooManyShards { shards: u32 },
    #[error(
        "the server's {shards} shards take turns on fewer CPUs, so that a fan-out's time tells nothing of one: start it without --shards, or \
         with one a CPU"
    )]
    ShardsShareCpus { shards: u32 },
    #[error("{0}")]
    Contradictions(String),
    #[error("can't read this process's CPUs: {0}")]
    Cpus(std::io::Error),
}

/// The CPUs that `stentor serve` gives to shards: all but one.
fn shard_cpus() -> Result<usize, CalibrateError> {
    Ok(cpu::allowed().map_err(CalibrateError::Cpus)?.len().saturating_sub(1).max(1))
}

impl CalibrateRun {
    pub fn measure(self) -> Result<Calibrated, CalibrateError> {
        let shards = self.shards()?;
        let mut broken = Vec::new();
        let mut rounds = Vec::new();
        for number in 1..=self.arguments.rounds {
            eprintln!("loadgen: round {number} of {}", self.arguments.rounds);
            rounds.push(self.round(&mut broken)?);
        }
        // Every round may say the same.
        broken.sort_unstable();
        broken.dedup();
        let (costs, mut contradictions) = fit(&rounds, shards);
        let calibration = Calibration {
            format: CALIBRATION_FORMAT,
            made_at: now_rfc3339(),
            machine: MeasuredMachine::read(Path::new("/")),
            load: CalibrationLoad {
                shards,
                sockets_few: self.few(),
                sockets_many: self.arguments.sockets,
                payload_bytes: CALIBRATED_PAYLOAD_BYTES,
                long_payload_bytes: CALIBRATED_LONG_PAYLOAD_BYTES,
                burst: CALIBRATED_BURST,
                rounds: self.arguments.rounds,
            },
            cpu: costs.cpu,
            fan_out: costs.fan_out,
            memory: costs.memory,
        };
        // Whatever the fit let pass must still be a document that can be read again.
        if let (Err(why), true) = (calibration.check(), contradictions.is_empty()) {
            contradictions.push(why.to_string());
        }
        Ok(Calibrated { calibration, broken, contradictions })
    }

    fn few(&self) -> u32 {
        self.arguments.sockets / 4
    }

    fn round(&self, broken: &mut Vec<String>) -> Result<Round, CalibrateError> {
        let mut idle = None;
        let mut samples = Vec::with_capacity(PROBES.len());
        for probe in PROBES {
            if probe == Probe::Many {
                idle = Some(self.idle()?);
            }
            samples.push(self.sample(probe, broken)?);
        }
        let [one_burst, few, one, many, more, long, many_burst, waiting] =
            <[Sample; 8]>::try_from(samples).expect("one each");
        let idle = idle.expect("`Many` is one of the probes");
        Ok(Round { idle, one, one_burst, few, many, more, long, many_burst, waiting })
    }

    fn sample(&self, probe: Probe, broken: &mut Vec<String>) -> Result<Sample, CalibrateError> {
        let mut sample =
            probe.measure(probe.shape(self.few(), self.arguments.sockets), &self.arguments, &self.interrupted)?;
        self.check_interrupted()?;
        broken.append(&mut sample.broken);
        Ok(sample)
    }

    fn idle(&self) -> Result<Idle, CalibrateError> {
        std::thread::sleep(Duration::from_millis(CALIBRATED_REST_MS));
        let (before, began) = (self.threads()?, Instant::now());
        std::thread::sleep(Duration::from_millis(CALIBRATED_IDLE_MS));
        let used = self.threads()?.since(&before);
        self.check_interrupted()?;
        Ok(Idle { seconds: began.elapsed().as_secs_f64(), cpu_ns: by_thread(used) })
    }

    fn shards(&self) -> Result<u32, CalibrateError> {
        let threads = self.threads()?.since(&ThreadTimes::default());
        match shards_among(threads.keys().map(String::as_str)) {
            0 => Err(CalibrateError::NotStentor { pid: self.arguments.server_pid }),
            shards if shards > CALIBRATED_SHARDS_MAX => Err(CalibrateError::TooManyShards { shards }),
            shards if shards as usize > shard_cpus()? => Err(CalibrateError::ShardsShareCpus { shards }),
            shards => Ok(shards),
        }
    }

    fn threads(&self) -> Result<ThreadTimes, CalibrateError> {
        let pid = self.arguments.server_pid;
        thread_times(pid).map_err(|source| RunError::ServerProcess { pid, source }.into())
    }

    fn check_interrupted(&self) -> Result<(), CalibrateError> {
        match self.interrupted.load(Relaxed) {
            true => Err(RunError::Interrupted { doing: "while calibrating".to_owned() }.into()),
            false => Ok(()),
        }
    }
}
