//! The run's own thread while others work: it orders the rounds, and sees failures, Ctrl-C and the deadline.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::inbox::Inbox;
use super::run::Run;
use super::side::{RoundBook, Side, server_times};
use crate::client::{Client, ClientError};
use crate::clock::Clock;
use crate::driver::{LEAD_NS, LOOK_EVERY, RoundPlan};
use crate::error::RunError;
use crate::limits::REPEATS_AWAITED_MS;
use crate::progress::Progress;

/// Pause after a round, in which the client threads come to rest and book their CPU time.
pub const BREATH: Duration = Duration::from_millis(60);

pub struct Watch<'a> {
    run: &'a Run,
    failures: Receiver<ClientError>,
    deadline: Instant,
    clock: Clock,
}

impl<'a> Watch<'a> {
    pub fn new(run: &'a Run, failures: Receiver<ClientError>, deadline: Instant, clock: Clock) -> Self {
        Self { run, failures, deadline, clock }
    }

    /// Waits until all sockets of a side are connected.
    pub fn connect(&self, side: &mut Side) -> Result<(), RunError> {
        let sockets = u64::from(self.run.load.sockets);
        let began = Instant::now();
        let mut progress = Progress::begin(&format!("connecting to the {}", side.name), sockets);
        loop {
            let opened = side.opened();
            progress.at(opened);
            let doing = || format!("with {opened} of {sockets} sockets connected to the {}", side.name);
            self.check(doing)?;
            if self.interrupted() {
                return Err(RunError::Interrupted { doing: doing() });
            }
            // Before the first round only errors can come.
            side.driver.outcome()?;
            if opened == sockets {
                side.connect_seconds = began.elapsed().as_secs_f64();
                progress.end(opened);
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Runs the rounds, side by side; returns how many were run to their end.
    pub fn run_rounds(&self, sides: &mut [Side], clients: &[Client<Inbox>]) -> Result<u32, RunError> {
        let schedule = self.run.load.schedule;
        let total = self.run.load.awaited(schedule.events()) * sides.len() as u64;
        let mut progress = Progress::begin("deliveries", total);
        let mut first_seq = 1;
        for round in 0..schedule.rounds {
            for index in 0..sides.len() {
                let before: u64 = sides.iter().map(Side::delivered).sum::<u64>() - sides[index].delivered();
                let whole = self.run_round(&mut sides[index], round, first_seq, clients, |delivered| {
                    progress.at(before + delivered);
                })?;
                if !whole {
                    progress.end(sides.iter().map(Side::delivered).sum());
                    return Ok(round);
                }
                if let (0, Some(seq)) = (round, sides[index].rounds[0].outcome.step_seqs.first()) {
                    first_seq = *seq;
                }
            }
        }
        progress.end(sides.iter().map(Side::delivered).sum());
        // What a server says again it may say when all is through.
        std::thread::sleep(Duration::from_millis(REPEATS_AWAITED_MS));
        Ok(schedule.rounds)
    }

    /// Runs one round of one side until all was delivered or nothing comes any more; `false` where it was interrupted.
    fn run_round(
        &self,
        side: &mut Side,
        round: u32,
        first_seq: u64,
        clients: &[Client<Inbox>],
        mut tell: impl FnMut(u64),
    ) -> Result<bool, RunError> {
        let load = &self.run.load;
        let expected = load.awaited(load.schedule.events_per_round() * (round + 1));
        let client_before: u64 = clients.iter().map(Client::cpu_ns).sum();
        let server_before = server_times(side.pid)?;
        let start_ns = self.clock.now_ns() + LEAD_NS;
        side.timetable.begin_round(round, start_ns);
        side.driver.begin_round(RoundPlan { round, start_ns, first_seq });
        let mut outcome = None;
        let (mut delivered, mut last_news) = (side.delivered(), Instant::now());
        loop {
            std::thread::sleep(LOOK_EVERY);
            self.check(|| format!("in round {} of the {}", round + 1, side.name))?;
            if self.interrupted() {
                return Ok(false);
            }
            if let Some(through) = side.driver.outcome()? {
                outcome = Some(through);
                last_news = Instant::now();
            }
            let now_delivered = side.delivered();
            if now_delivered != delivered {
                (delivered, last_news) = (now_delivered, Instant::now());
                tell(delivered);
            }
            if outcome.is_some() && (delivered >= expected || last_news.elapsed() > load.drain) {
                break;
            }
        }
        std::thread::sleep(BREATH);
        let outcome = outcome.expect("the loop above ends with an outcome");
        let server_cpu_ns = match (server_before, server_times(side.pid)?) {
            (Some(before), Some(after)) => Some(after.since(&before)),
            _ => side.is_floor.then(|| [("floor".to_owned(), outcome.cpu_ns)].into()),
        };
        let client_cpu_ns = clients.iter().map(Client::cpu_ns).sum::<u64>() - client_before;
        side.rounds.push(RoundBook { outcome, client_cpu_ns, server_cpu_ns });
        Ok(true)
    }

    fn interrupted(&self) -> bool {
        self.run.interrupted.load(Relaxed)
    }

    fn check(&self, doing: impl Fn() -> String) -> Result<(), RunError> {
        if let Ok(error) = self.failures.try_recv() {
            return Err(error.into());
        }
        if Instant::now() > self.deadline {
            return Err(RunError::Timeout { seconds: self.run.load.timeout.as_secs(), doing: doing() });
        }
        Ok(())
    }
}
