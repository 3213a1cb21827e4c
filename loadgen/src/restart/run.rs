//! A run from beginning to end: connect, publish while somebody restarts the server, wait until all are back, close the books.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::args::RestartLoad;
use super::inbox::{Doorway, Harvest, Inbox, Shared};
use super::publisher::{Published, Publisher, Publishing};
use super::report::{Closed, RestartReport};
use crate::addresses::{Sources, first_address};
use crate::client::{Client, ClientEnd, ClientError, ClientOptions, Tally, Turn};
use crate::clock::Clock;
use crate::crowd::CrowdPlan;
use crate::driver::{DriverError, LEAD_NS, LOOK_EVERY};
use crate::error::RunError;
use crate::limits::{
    CONNECTIONS_A_SOCKET_MAX, HANDSHAKES_IN_FLIGHT_MAX, REPEATS_AWAITED_MS, RING_SLOTS_MAX, SOCKETS_MAX,
};
use crate::process::raise_descriptor_limit;
use crate::progress::Progress;

/// What is to be done.
pub struct RestartRun {
    pub load: RestartLoad,
    pub interrupted: Arc<AtomicBool>,
}

/// The run's own thread while others work.
struct Watch<'a> {
    run: &'a RestartRun,
    shared: Arc<Shared>,
    clients: Vec<Client<Inbox>>,
    /// One for each client thread.
    tallies: Vec<Arc<Tally>>,
    failures: Receiver<ClientError>,
}

impl RestartRun {
    pub fn measure(self) -> Result<RestartReport, RunError> {
        let (load, clock) = (&self.load.load, Clock::start());
        let shared = Arc::new(Shared::new(load.schedule.events(), load.schedule.interval_ns));
        let mut watch = self.start_clients(clock, &shared)?;
        let connect_seconds = watch.connect()?;
        shared.start_ns.store(clock.now_ns() + LEAD_NS, Release);
        let publisher = Publisher {
            target: self.load.publish.clone(),
            key: self.load.publish_key.clone(),
            events: self.load.events.clone(),
            shared,
            clock,
            cpu: load.publisher_cpu,
            patience: self.load.patience,
        };
        let published = watch.publish(publisher.start().map_err(RunError::Thread)?)?;
        watch.wait_for_the_last(published.seqs.len() as u64)?;
        // What a server says again it may say when all is through.
        watch.sleep(Duration::from_millis(REPEATS_AWAITED_MS))?;
        let deliveries = watch.delivered();
        let harvest = watch.close(&published)?;
        Ok(RestartReport::new(&self.load, Closed { connect_seconds, deliveries, published, harvest }))
    }

    fn start_clients(&self, clock: Clock, shared: &Arc<Shared>) -> Result<Watch<'_>, RunError> {
        let (load, address) = (&self.load.load, self.load.subscribe.address);
        let slots_per_ring = raise_descriptor_limit().min(u64::from(RING_SLOTS_MAX)) as u32;
        let (mut nonce, mut random) = ([0; 16], [0; 2]);
        getrandom::fill(&mut nonce).map_err(RunError::Random)?;
        getrandom::fill(&mut random).map_err(RunError::Random)?;
        let (failures_told, failures) = mpsc::channel();
        let doorway = Doorway::new(self.load.subscribe.clone(), nonce);
        let (first, mut taken) = (first_address(random), 0);
        let mut watch =
            Watch { run: self, shared: Arc::clone(shared), clients: Vec::new(), tallies: Vec::new(), failures };
        for thread in 0..load.threads {
            let sockets = load.sockets / load.threads + u32::from(thread < load.sockets % load.threads);
            let connections = sockets.saturating_mul(CONNECTIONS_A_SOCKET_MAX).min(SOCKETS_MAX / load.threads);
            let tally = Arc::new(Tally::default());
            let (events, random) = (self.load.events.clone(), fastrand::Rng::new());
            let local = address.ip().is_loopback();
            let plan = CrowdPlan {
                address,
                trust: None,
                listener: Inbox::new(sockets, doorway.clone(), events, Arc::clone(shared), random),
                sockets,
                sources: local.then(|| Sources::for_sockets(connections, first, taken, load.ports.clone())),
                slots_per_ring,
                handshakes_max: (HANDSHAKES_IN_FLIGHT_MAX / load.threads).max(1),
                tally: Arc::clone(&tally),
            };
            taken += Sources::addresses_for(connections, &load.ports);
            let cpu = Some(load.client_cpus[thread as usize % load.client_cpus.len()]);
            let options = ClientOptions { cpu, linger: load.linger, clock, turn: Turn::Fair };
            let client = Client::start(options, vec![plan], failures_told.clone()).map_err(RunError::Thread)?;
            watch.clients.push(client);
            watch.tallies.push(tally);
        }
        Ok(watch)
    }
}

impl Watch<'_> {
    /// Waits until all are connected; returns how many seconds that took.
    fn connect(&self) -> Result<f64, RunError> {
        let load = &self.run.load.load;
        let (sockets, began) = (u64::from(load.sockets), Instant::now());
        let mut progress = Progress::begin("connecting to the server", sockets);
        loop {
            let opened = self.tallies.iter().map(|tally| tally.opened.load(Relaxed)).sum();
            let doing = || format!("with {opened} of {sockets} sockets connected");
            self.look(doing)?;
            if opened == sockets {
                progress.end(opened);
                let seconds = began.elapsed().as_secs_f64();
                self.sleep(load.settle)?;
                return Ok(seconds);
            }
            if began.elapsed() > load.timeout {
                return Err(RunError::ConnectTimeout { seconds: load.timeout.as_secs(), doing: doing() });
            }
            progress.at(opened);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until everything is published, or somebody gives up.
    fn publish(&self, publishing: Publishing) -> Result<Published, RunError> {
        let mut progress = Progress::begin("events published", self.shared.events.into());
        while !publishing.is_over() {
            let answered = u64::from(publishing.answered());
            progress.at(answered);
            let away = self.shared.away.load(Relaxed);
            if let Err(error) = self.look(|| format!("with {answered} events published and {away} sockets away")) {
                // Nothing of this run may go on beside another.
                let _ = publishing.finish();
                return Err(error);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        let published = publishing.finish().map_err(DriverError::from)?;
        progress.end(published.seqs.len() as u64);
        Ok(published)
    }

    /// Waits until every socket is back and has everything, or nothing comes any more.
    fn wait_for_the_last(&self, published: u64) -> Result<(), RunError> {
        let due = published * u64::from(self.run.load.load.sockets);
        let (mut last, mut last_news) = ((0, 0), Instant::now());
        loop {
            let now = (self.delivered(), self.shared.away.load(Relaxed));
            self.look(|| format!("with everything published and {} sockets away", now.1))?;
            if now != last {
                (last, last_news) = (now, Instant::now());
            }
            let (delivered, away) = now;
            // Who is away may be so for a while, and get nothing then.
            let patience = if away > 0 { self.run.load.patience } else { self.run.load.load.drain };
            if (delivered >= due && away == 0) || last_news.elapsed() > patience {
                return Ok(());
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Closes all sockets and the books.
    fn close(&mut self, published: &Published) -> Result<Harvest, RunError> {
        let mut harvest = Harvest::default();
        for client in self.clients.drain(..) {
            let ClientEnd { listeners, .. } = client.finish().ok_or(RunError::ClientGone)?;
            harvest = listeners.into_iter().map(|inbox| inbox.harvest(&published.seqs)).fold(harvest, Harvest::merge);
        }
        Ok(harvest)
    }

    fn delivered(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.delivered.load(Relaxed)).sum()
    }

    fn sleep(&self, time: Duration) -> Result<(), RunError> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look(|| "while all was quiet".to_owned())?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn look(&self, doing: impl Fn() -> String) -> Result<(), RunError> {
        if let Ok(error) = self.failures.try_recv() {
            return Err(error.into());
        }
        if self.run.interrupted.load(Relaxed) {
            return Err(RunError::Interrupted { doing: doing() });
        }
        Ok(())
    }
}
