//! A publishing run from beginning to end: batches first, then rounds of single events and of the floor.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver};

use hdrhistogram::Histogram;

use super::args::PublishLoad;
use super::disk::DiskFloor;
use super::report::{PublishReport, Singles};
use crate::clock::Clock;
use crate::courier::{Accepted, Courier, JSON, NDJSON, write_request};
use crate::driver::DriverError;
use crate::error::RunError;
use crate::event::EventSource;
use crate::latency::latency_histogram;
use crate::limits::REQUESTS_AHEAD;
use crate::progress::Progress;
use crate::publisher::PublishError;

/// What is to be done.
pub struct PublishRun {
    pub load: PublishLoad,
    pub interrupted: Arc<AtomicBool>,
}

/// What came of the batches.
pub struct Batches {
    pub seconds: f64,
    /// From a request's sending (with a rate: from its time) to its answer.
    pub answered: Histogram<u64>,
}

/// What came of one round of single events and of the floor beside it.
pub struct Round {
    pub singles: Histogram<u64>,
    pub floor: Option<Histogram<u64>>,
}

/// Whether each answer's numbers come after all before them.
#[derive(Default)]
struct Numbers {
    last: u64,
}

impl PublishRun {
    pub fn measure(self) -> Result<PublishReport, RunError> {
        let load = &self.load;
        let clock = Clock::start();
        let mut floor = match &load.floor_dir {
            Some(dir) => Some(DiskFloor::new(dir, load.payload_bytes)?),
            None => None,
        };
        let record_bytes = floor.as_ref().map(DiskFloor::record_bytes);
        let mut courier = Courier::connect(load.target.clone(), load.patience).map_err(DriverError::from)?;
        let mut numbers = Numbers::default();
        let batches = self.batches(&mut courier, &mut numbers, clock)?;
        let mut rounds = Vec::new();
        let mut progress = Progress::begin("rounds of single events", load.rounds.into());
        for round in 0..load.rounds {
            let singles = self.singles(round, &mut courier, &mut numbers, clock)?;
            let floor = floor.as_mut().map(|floor| self.floor(floor, clock)).transpose()?;
            rounds.push(Round { singles, floor });
            progress.at(u64::from(round) + 1);
        }
        progress.end(load.rounds.into());
        Ok(PublishReport::new(load, batches, Singles { rounds, record_bytes }))
    }

    fn batches(&self, courier: &mut Courier, numbers: &mut Numbers, clock: Clock) -> Result<Batches, RunError> {
        let load = &self.load;
        let requests = self.write_ahead()?;
        let mut answered = latency_histogram();
        let mut progress = Progress::begin("events in batches", load.batched.into());
        // What the writer needs for its first request is not part of the measurement.
        let mut next = requests.recv().ok();
        let began_ns = clock.now_ns();
        let (mut sent, mut ended_ns) = (0, began_ns);
        while let Some(request) = next {
            self.check(|| format!("with {sent} of {} events published in batches", load.batched))?;
            let due_ns = load.batch_interval_ns.map(|interval| began_ns + u64::from(sent / load.batch) * interval);
            if let Some(due_ns) = due_ns {
                if let Some(sleep) = clock.sleep_before(due_ns) {
                    std::thread::sleep(sleep);
                }
                clock.spin_until(due_ns);
            }
            let from_ns = due_ns.unwrap_or_else(|| clock.now_ns());
            let accepted = courier.post(&request, load.batch).map_err(DriverError::from)?;
            ended_ns = clock.now_ns();
            answered.saturating_record((ended_ns - from_ns).max(1));
            numbers.take(accepted, courier)?;
            sent += load.batch;
            progress.at(sent.into());
            next = requests.recv().ok();
        }
        progress.end(sent.into());
        Ok(Batches { seconds: (ended_ns - began_ns) as f64 / 1e9, answered })
    }

    /// A thread that builds the batches' requests, a few ahead.
    fn write_ahead(&self) -> Result<Receiver<Vec<u8>>, RunError> {
        let (told, requests) = mpsc::sync_channel(REQUESTS_AHEAD);
        let load = self.load.clone();
        let write = move || {
            for first in (0..load.batched).step_by(load.batch as usize) {
                let mut body = Vec::with_capacity((load.payload_bytes + 1) * load.batch as usize);
                for event in first..first + load.batch {
                    load.events.published(event, &mut body);
                    body.push(b'\n');
                }
                let mut request = Vec::with_capacity(body.len() + 512);
                write_request(&load.target, load.key.as_deref(), NDJSON, &body, &mut request);
                if told.send(request).is_err() {
                    // Publishing ended early.
                    return;
                }
            }
        };
        std::thread::Builder::new().name("writer".into()).spawn(write).map_err(RunError::Thread)?;
        Ok(requests)
    }

    fn singles(
        &self,
        round: u32,
        courier: &mut Courier,
        numbers: &mut Numbers,
        clock: Clock,
    ) -> Result<Histogram<u64>, RunError> {
        let load = &self.load;
        let first = load.batched + round * load.singles_per_round;
        let mut answered = latency_histogram();
        let (mut body, mut request) = (Vec::new(), Vec::new());
        for event in first..first + load.singles_per_round {
            self.check(|| format!("in round {} of single events", round + 1))?;
            body.clear();
            request.clear();
            load.events.published(event, &mut body);
            write_request(&load.target, load.key.as_deref(), JSON, &body, &mut request);
            let from_ns = clock.now_ns();
            let accepted = courier.post(&request, 1).map_err(DriverError::from)?;
            answered.saturating_record((clock.now_ns() - from_ns).max(1));
            numbers.take(accepted, courier)?;
        }
        Ok(answered)
    }

    fn floor(&self, floor: &mut DiskFloor, clock: Clock) -> Result<Histogram<u64>, RunError> {
        let mut took = latency_histogram();
        for _ in 0..self.load.singles_per_round {
            self.check(|| "in a round of the floor".into())?;
            let from_ns = clock.now_ns();
            floor.write_one()?;
            took.saturating_record((clock.now_ns() - from_ns).max(1));
        }
        Ok(took)
    }

    fn check(&self, doing: impl Fn() -> String) -> Result<(), RunError> {
        match self.interrupted.load(Relaxed) {
            true => Err(RunError::Interrupted { doing: doing() }),
            false => Ok(()),
        }
    }
}

impl Numbers {
    fn take(&mut self, accepted: Accepted, courier: &Courier) -> Result<(), RunError> {
        if accepted.first_seq <= self.last {
            let what = "an answer's numbers are not later than those of the answer before";
            return Err(DriverError::from(PublishError::Nonsense { address: courier.address(), what }).into());
        }
        self.last = accepted.last_seq;
        Ok(())
    }
}
