//! A mixed run from beginning to end.
//!
//! ```text
//!   set watchlists ─▶ connect all sockets, dialogues and all ─▶ settle ─▶ publish ─▶ drain ─▶ settle ─▶ close ─▶ report
//! ```
//! The second settling is for what should not come: it can only be seen by waiting.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::args::MixedLoad;
use super::inbox::{Inbox, Plan};
use super::report::{Closed, MixedReport};
use super::roster::Roster;
use super::traffic::Traffic;
use crate::addresses::{Sources, first_address};
use crate::client::{Client, ClientError, ClientOptions, Tally, Turn};
use crate::clock::Clock;
use crate::crowd::CrowdPlan;
use crate::driver::{Driver, LEAD_NS, LOOK_EVERY, RoundOutcome, RoundPlan};
use crate::error::RunError;
use crate::limits::{HANDSHAKES_IN_FLIGHT_MAX, RING_SLOTS_MAX};
use crate::process;
use crate::process::raise_descriptor_limit;
use crate::progress::Progress;
use crate::publisher::{Outlet, Publisher};
use crate::schedule::Timetable;
use crate::watchlists::{Watchlist, set_watchlists};

/// How long the client spins without news before it sleeps: as `fanout` does by default.
const LINGER: Duration = Duration::from_micros(200);

/// What is to be done.
pub struct MixedRun {
    pub load: MixedLoad,
    pub interrupted: Arc<AtomicBool>,
}

/// The run's own thread while others work: it looks on, and sees failures, Ctrl-C and the deadline.
struct Watch<'a> {
    run: &'a MixedRun,
    tally: &'a Tally,
    driver: &'a Driver,
    failures: Receiver<ClientError>,
    deadline: Instant,
}

impl MixedRun {
    /// Measures and checks. An interrupted run has no results: what is missing then is nobody's fault.
    pub fn measure(self) -> Result<MixedReport, RunError> {
        let Self { load, .. } = &self;
        let deadline = Instant::now() + load.timeout;
        let clock = Clock::start();
        let descriptors = raise_descriptor_limit();
        let traffic = Traffic::new(load.seed, load.schedule.events(), Roster::users(load.sockets_per_protocol));
        let roster = Roster::new(load.seed, load.sockets_per_protocol, load.keys.clone(), &traffic);
        let watchlists: Vec<Watchlist<'_>> = (0..roster.keys().len())
            .map(|number| Watchlist {
                key: &roster.keys()[number].key,
                owners: roster.watchlist(number).iter().map(|topic| topic.name()).collect(),
            })
            .collect();
        set_watchlists(&load.credentials.server, &watchlists)?;
        let deliveries = roster.deliveries();
        let plan = Arc::new(Plan { traffic: traffic.clone(), roster, credentials: load.credentials.clone() });
        let timetable = Arc::new(Timetable::new(load.schedule));
        let tally = Arc::new(Tally::default());
        let driver = self.publisher(traffic, clock).start().map_err(RunError::Thread)?;
        let (failures_told, failures) = mpsc::channel();
        let crowd = CrowdPlan {
            address: load.credentials.server.address,
            trust: None,
            listener: Inbox::new(Arc::clone(&plan), &timetable),
            sockets: plan.roster.sockets(),
            sources: self.sources(plan.roster.sockets())?,
            slots_per_ring: descriptors.min(u64::from(RING_SLOTS_MAX)) as u32,
            handshakes_max: HANDSHAKES_IN_FLIGHT_MAX,
            tally: Arc::clone(&tally),
        };
        let options = ClientOptions { cpu: Some(load.cpu), linger: LINGER, clock, turn: Turn::Fair };
        let client = Client::start(options, vec![crowd], failures_told).map_err(RunError::Thread)?;

        let watch = Watch { run: &self, tally: &tally, driver: &driver, failures, deadline };
        let connect_seconds = watch.connect(plan.roster.sockets())?;
        watch.wait(load.settle, || "settling".into())?;
        let memory = self.of_server(process::memory)?;
        let cpu_before_ns = self.of_server(process::cpu_ns)?;
        let start_ns = clock.now_ns() + LEAD_NS;
        timetable.begin_round(0, start_ns);
        driver.begin_round(RoundPlan { round: 0, start_ns, first_seq: 0 });
        let outcome = watch.publish(deliveries)?;
        watch.wait(load.settle, || "settling".into())?;
        let cpu_after_ns = self.of_server(process::cpu_ns)?;
        let quiet_ns = clock.now_ns();
        let client_cpu_ns = client.cpu_ns();
        let mut end = client.finish().ok_or(RunError::ClientGone)?;
        driver.finish();
        let inbox = end.listeners.pop().ok_or(RunError::ClientGone)?;
        let harvest = inbox.harvest(&outcome.step_seqs, load.schedule.burst, quiet_ns);
        Ok(MixedReport::new(
            load,
            &plan,
            Closed {
                connect_seconds,
                outcome,
                harvest,
                ended_why: end.ended_why,
                client_cpu_ns,
                server_cpu_ns: cpu_after_ns.zip(cpu_before_ns).map(|(after, before)| after.saturating_sub(before)),
                server_memory: memory,
            },
        ))
    }

    fn publisher(&self, traffic: Traffic, clock: Clock) -> Publisher {
        Publisher {
            outlet: Outlet::http(self.load.publish.clone(), Some(self.load.publisher_key.clone())),
            events: Box::new(traffic),
            schedule: self.load.schedule,
            clock,
            cpu: Some(self.load.cpu),
            patience: self.load.drain.max(Duration::from_secs(10)),
        }
    }

    fn sources(&self, sockets: u32) -> Result<Option<Sources>, RunError> {
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(RunError::Random)?;
        let local = self.load.credentials.server.address.ip().is_loopback();
        Ok(local.then(|| Sources::for_sockets(sockets, first_address(random), 0, self.load.ports.clone())))
    }

    fn of_server<T>(&self, figure: fn(u32) -> std::io::Result<T>) -> Result<Option<T>, RunError> {
        let of = |pid| figure(pid).map_err(|source| RunError::ServerProcess { pid, source });
        self.load.server_pid.map(of).transpose()
    }
}

impl Watch<'_> {
    /// Waits until all sockets are ready; returns the seconds that it took.
    fn connect(&self, sockets: u32) -> Result<f64, RunError> {
        let began = Instant::now();
        let mut progress = Progress::begin("sockets ready", sockets.into());
        loop {
            let ready = self.tally.opened.load(Relaxed);
            progress.at(ready);
            self.check(|| format!("with {ready} of {sockets} sockets ready"))?;
            if ready == u64::from(sockets) {
                progress.end(ready);
                return Ok(began.elapsed().as_secs_f64());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until all events are published and delivered, or nothing comes any more.
    fn publish(&self, deliveries: u64) -> Result<RoundOutcome, RunError> {
        let mut progress = Progress::begin("deliveries", deliveries);
        let (mut outcome, mut delivered, mut last_news) = (None, 0, Instant::now());
        loop {
            std::thread::sleep(LOOK_EVERY);
            self.check(|| format!("with {delivered} of {deliveries} deliveries made"))?;
            if let Some(through) = self.driver.outcome()? {
                (outcome, last_news) = (Some(through), Instant::now());
            }
            let now_delivered = self.tally.delivered.load(Relaxed);
            if now_delivered != delivered {
                (delivered, last_news) = (now_delivered, Instant::now());
                progress.at(delivered);
            }
            let over = delivered >= deliveries || last_news.elapsed() > self.run.load.drain;
            if let Some(outcome) = outcome.take_if(|_| over) {
                progress.end(delivered);
                return Ok(outcome);
            }
        }
    }

    fn wait(&self, time: Duration, doing: impl Fn() -> String) -> Result<(), RunError> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.check(&doing)?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn check(&self, doing: impl Fn() -> String) -> Result<(), RunError> {
        if let Ok(error) = self.failures.try_recv() {
            return Err(error.into());
        }
        if self.run.interrupted.load(Relaxed) {
            return Err(RunError::Interrupted { doing: doing() });
        }
        if Instant::now() > self.deadline {
            return Err(RunError::Timeout { seconds: self.run.load.timeout.as_secs(), doing: doing() });
        }
        Ok(())
    }
}
