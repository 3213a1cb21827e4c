//! What makes a side's events happen: a publisher that posts them to a server, or the floor that sends them itself.
//!
//! Either is a thread that takes one round at a time and answers when it is through.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::fanout::FloorError;
use crate::latency::latency_histogram;
use crate::publisher::PublishError;

/// Time between ordering a round and its first step: the publisher connects and builds its first request.
pub const LEAD_NS: u64 = 100_000_000;

/// How often the run looks whether a round is through. Rare enough to cost the measured threads nothing.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A round to be driven.
#[derive(Clone, Copy, Debug)]
pub struct RoundPlan {
    pub round: u32,
    pub start_ns: u64,
    /// What the floor numbers event 0 of the run, so that its frames are as long as the server's.
    pub first_seq: u64,
}

/// How a round went.
#[derive(Clone, Debug)]
pub struct RoundOutcome {
    /// How late each step began, in nanoseconds after its intended time.
    pub late: Histogram<u64>,
    /// How long each step's answer took, from its intended time. Empty for the floor.
    pub answered: Histogram<u64>,
    /// CPU time of the driving thread in this round.
    pub cpu_ns: u64,
    /// The number that the server gave to the first event of each step, where it told.
    pub step_seqs: Vec<u64>,
}

impl RoundOutcome {
    pub fn new() -> Self {
        Self { late: latency_histogram(), answered: latency_histogram(), cpu_ns: 0, step_seqs: Vec::new() }
    }
}

/// Why events stopped.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error(transparent)]
    Floor(#[from] FloorError),
    #[error("the driving thread ended without a word")]
    Gone,
}

/// A driving thread.
pub struct Driver {
    plans: Sender<RoundPlan>,
    outcomes: Receiver<Result<RoundOutcome, DriverError>>,
    stop: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The driving thread's end of the line.
pub struct Reins {
    plans: Receiver<RoundPlan>,
    outcomes: Sender<Result<RoundOutcome, DriverError>>,
    stop: Arc<AtomicBool>,
    enough: Arc<AtomicBool>,
}

impl Driver {
    /// Starts a thread that runs `drive` to its end.
    pub fn start(name: &str, drive: impl FnOnce(Reins) + Send + 'static) -> io::Result<Self> {
        let (plans, plans_taken) = mpsc::channel();
        let (outcomes_told, outcomes) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let enough = Arc::new(AtomicBool::new(false));
        let (stop_seen, enough_seen) = (Arc::clone(&stop), Arc::clone(&enough));
        let reins = Reins { plans: plans_taken, outcomes: outcomes_told, stop: stop_seen, enough: enough_seen };
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || drive(reins))?;
        Ok(Self { plans, outcomes, stop, enough, thread })
    }

    /// Has a round driven; its outcome comes by [`outcome`](Self::outcome).
    pub fn begin_round(&self, plan: RoundPlan) {
        // Where the thread is gone, the outcome says so.
        let _ = self.plans.send(plan);
    }

    /// Has the round under way end early, with everything that was begun answered; its outcome comes as always.
    pub fn end_round(&self) {
        self.enough.store(true, Relaxed);
    }

    /// The outcome of the round under way, once it is through. An error may come at any time.
    pub fn outcome(&self) -> Result<Option<RoundOutcome>, DriverError> {
        match self.outcomes.try_recv() {
            Ok(outcome) => outcome.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(DriverError::Gone),
        }
    }

    /// Stops the thread, also in mid-round.
    pub fn finish(self) {
        self.stop.store(true, Relaxed);
        drop(self.plans);
        self.thread.join().expect("a driving thread does not panic");
    }
}

impl Reins {
    /// Whether the run is over: nothing more should be sent.
    pub fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// Whether the round under way is to end early: nothing more should be sent, but what was sent is still answered.
    pub fn enough(&self) -> bool {
        self.enough.load(Relaxed)
    }

    /// The next round, when there is one; `None` when the run is over.
    pub fn next_round(&self) -> Option<RoundPlan> {
        while !self.stopped() {
            match self.plans.recv_timeout(Duration::from_millis(50)) {
                Ok(plan) => return Some(plan),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }

    /// Tells how a round, or the preparation for all of them, went.
    pub fn tell(&self, outcome: Result<RoundOutcome, DriverError>) {
        // Nobody listens only when the run is over.
        let _ = self.outcomes.send(outcome);
    }
}
