//! A storm from beginning to end.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use super::args::StormLoad;
use super::inbox::{Inbox, Plan};
use super::report::{Closed, Peak, StormReport};
use super::role::{Live, Moments, Resuming, Role};
use super::traffic::{LiveTraffic, Traffic};
use crate::addresses::{Sources, first_address};
use crate::client::{Client, ClientEnd, ClientError, ClientOptions, Tally, Turn};
use crate::clock::Clock;
use crate::courier::{Courier, NDJSON, write_request};
use crate::crowd::CrowdPlan;
use crate::driver::{Driver, DriverError, LEAD_NS, LOOK_EVERY, RoundOutcome, RoundPlan};
use crate::error::RunError;
use crate::event::EventSource;
use crate::handshake::Upgrade;
use crate::limits::{HANDSHAKES_IN_FLIGHT_MAX, HISTORY_BATCH_EVENTS, RING_SLOTS_MAX};
use crate::process;
use crate::process::raise_descriptor_limit;
use crate::progress::Progress;
use crate::publisher::{Outlet, Publisher};
use crate::schedule::Timetable;
use crate::target::Target;
use crate::watchlists::{Watchlist, set_watchlists};

/// How long the live sockets' thread spins without news before it sleeps: as `fanout` does by default. The storm's own
/// thread does not spin: it would only take the CPU from the other.
const LIVE_LINGER: Duration = Duration::from_micros(200);

/// How often memory is looked at.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

/// What is to be done.
pub struct StormRun {
    pub load: StormLoad,
    pub interrupted: Arc<AtomicBool>,
}

/// The history as its publisher knows it.
pub struct History {
    pub seconds: f64,
    pub seqs: Vec<u64>,
}

/// One of the two crowds at work.
struct Side {
    client: Client<Inbox>,
    tally: Arc<Tally>,
}

/// The run's own thread while others work.
struct Watch<'a> {
    run: &'a StormRun,
    failures: Receiver<ClientError>,
    failures_told: Sender<ClientError>,
    plan: Arc<Plan>,
    moments: Arc<Moments>,
    clock: Clock,
    slots_per_ring: u32,
    /// What no two crowds may share the addresses behind.
    first_address: std::net::Ipv4Addr,
    peak: Peak,
    looked: Instant,
}

impl StormRun {
    pub fn measure(self) -> Result<StormReport, RunError> {
        let load = &self.load;
        let clock = Clock::start();
        let slots_per_ring = raise_descriptor_limit().min(u64::from(RING_SLOTS_MAX)) as u32;
        let traffic = Traffic::new(load.shape)?;
        self.set_watchlists(&traffic)?;
        let history = self.publish_history(&traffic, clock)?;
        let timetable = Timetable::new(load.schedule);
        let plan = Arc::new(Plan { matching: traffic.matching(), traffic: traffic.clone(), timetable });
        let driver = self.publisher(traffic, clock).start().map_err(RunError::Thread)?;
        let (failures_told, failures) = mpsc::channel();
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(RunError::Random)?;
        let mut watch = Watch {
            run: &self,
            failures,
            failures_told,
            plan,
            moments: Arc::default(),
            clock,
            slots_per_ring,
            first_address: first_address(random),
            peak: Peak::default(),
            looked: Instant::now(),
        };
        let live = watch.connect_live()?;
        let start_ns = clock.now_ns() + LEAD_NS;
        watch.plan.timetable.begin_round(0, start_ns);
        driver.begin_round(RoundPlan { round: 0, start_ns, first_seq: 0 });
        watch.wait(load.before + Duration::from_nanos(LEAD_NS), &driver, "before the storm")?;
        watch.peak = Peak::default();
        let resuming = watch.storm(&driver, history.seqs.first().map_or(0, |seq| seq - 1))?;
        let stormed = resuming.tally.delivered.load(Relaxed);
        watch.wait(load.settle, &driver, "after the storm")?;
        let outcome = watch.end_publishing(&driver, &live, &resuming)?;
        let peak = watch.peak;
        let seqs: Vec<u64> = history.seqs.iter().chain(&outcome.step_seqs).copied().collect();
        let moments = Arc::clone(&watch.moments);
        let ended = resuming.tally.ended.load(Relaxed) + live.tally.ended.load(Relaxed);
        driver.finish();
        let ends = [resuming.client.finish(), live.client.finish()];
        let [Some(resuming), Some(live)] = ends else { return Err(RunError::ClientGone) };
        let mut closed = Closed { history, outcome, moments, stormed, ended, peak, ..Closed::default() };
        for ClientEnd { listeners, ended_why } in [resuming, live] {
            closed.ended_why.extend(ended_why);
            for inbox in listeners {
                let (role, faults) = inbox.harvest(&seqs);
                closed.add(role, faults);
            }
        }
        closed.in_order = seqs.is_sorted_by(|one, next| one < next);
        Ok(StormReport::new(load, closed))
    }

    fn set_watchlists(&self, traffic: &Traffic) -> Result<(), RunError> {
        let keys = self.load.resuming_keys.iter().chain([&self.load.live_key]);
        let watchlists: Vec<Watchlist<'_>> =
            (0..).zip(keys).map(|(class, key)| Watchlist { key, owners: traffic.watchlist(class) }).collect();
        Ok(set_watchlists(&self.load.server, &watchlists)?)
    }

    fn publish_history(&self, traffic: &Traffic, clock: Clock) -> Result<History, RunError> {
        let load = &self.load;
        let target = self.events_target();
        let mut courier = Courier::connect(target.clone(), self.patience()).map_err(DriverError::from)?;
        let mut progress = Progress::begin("history published", load.shape.history.into());
        let began_ns = clock.now_ns();
        let mut seqs = Vec::with_capacity(load.shape.history as usize);
        for first in (0..load.shape.history).step_by(HISTORY_BATCH_EVENTS as usize) {
            if self.interrupted.load(Relaxed) {
                return Err(RunError::Interrupted { doing: "while the history was published".into() });
            }
            let events = HISTORY_BATCH_EVENTS.min(load.shape.history - first);
            let (mut body, mut request) = (Vec::new(), Vec::new());
            for event in first..first + events {
                traffic.published(event, &mut body);
                body.push(b'\n');
            }
            write_request(&target, Some(&load.publisher_key), NDJSON, &body, &mut request);
            let accepted = courier.post(&request, events).map_err(DriverError::from)?;
            seqs.extend(accepted.first_seq..=accepted.last_seq);
            progress.at(seqs.len() as u64);
        }
        progress.end(seqs.len() as u64);
        Ok(History { seconds: (clock.now_ns() - began_ns) as f64 / 1e9, seqs })
    }

    fn publisher(&self, traffic: Traffic, clock: Clock) -> Publisher {
        Publisher {
            outlet: Outlet::http(self.events_target(), Some(self.load.publisher_key.clone())),
            events: Box::new(LiveTraffic(traffic)),
            schedule: self.load.schedule,
            clock,
            cpu: Some(self.load.cpu),
            patience: self.patience(),
        }
    }

    fn events_target(&self) -> Target {
        Target { path: "/api/events".into(), ..self.load.server.clone() }
    }

    fn patience(&self) -> Duration {
        self.load.drain.max(Duration::from_secs(30))
    }
}

impl Watch<'_> {
    fn connect_live(&mut self) -> Result<Side, RunError> {
        let load = &self.run.load;
        let class = self.plan.traffic.live_class();
        let target = Target { path: format!("/ws/alerts?apiKey={}", load.live_key), ..load.server.clone() };
        let classes = vec![(class, Upgrade::new(&target, load.nonce))];
        let role = Role::Live(Live::new(Arc::clone(&self.moments)));
        let side = self.start(Inbox::new(Arc::clone(&self.plan), classes, load.live, role), load.live, 0, true)?;
        let mut progress = Progress::begin("live sockets", load.live.into());
        let deadline = Instant::now() + load.patience;
        loop {
            let opened = side.tally.opened.load(Relaxed);
            self.look(|| format!("with {opened} live sockets connected"))?;
            if opened == u64::from(load.live) {
                progress.end(opened);
                break;
            }
            if Instant::now() > deadline {
                let doing = format!("with {opened} of {} live sockets connected", load.live);
                return Err(RunError::Timeout { seconds: load.patience.as_secs(), doing });
            }
            progress.at(opened);
            std::thread::sleep(LOOK_EVERY);
        }
        let until = Instant::now() + load.settle;
        while Instant::now() < until {
            self.look(|| "settling".into())?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(side)
    }

    /// Has all sockets resume after `since`, and waits until they are live or patience is at its end.
    fn storm(&mut self, driver: &Driver, since: u64) -> Result<Side, RunError> {
        let load = &self.run.load;
        let classes = (0..)
            .zip(&load.resuming_keys)
            .map(|(class, key)| {
                let path = format!("/ws/alerts?apiKey={key}&since={since}");
                (class, Upgrade::new(&Target { path, ..load.server.clone() }, load.nonce))
            })
            .collect();
        let role = Role::Resuming(Resuming::new(Arc::clone(&self.moments), load.sockets));
        let inbox = Inbox::new(Arc::clone(&self.plan), classes, load.sockets, role);
        let skip = Sources::addresses_for(load.live, &load.ports);
        self.moments.began_ns.store(self.clock.now_ns(), Relaxed);
        let side = self.start(inbox, load.sockets, skip, false)?;
        let mut progress = Progress::begin("resumed sockets live", load.sockets.into());
        let deadline = Instant::now() + load.patience;
        loop {
            let live = self.moments.live.load(Relaxed);
            progress.at(live);
            self.look(|| format!("in the storm, with {live} of {} sockets live", load.sockets))?;
            Self::no_outcome(driver)?;
            if live == u64::from(load.sockets) || Instant::now() > deadline {
                progress.end(live);
                return Ok(side);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Ends the publishing, and waits until everything published is delivered, or nothing comes any more.
    fn end_publishing(&mut self, driver: &Driver, live: &Side, resuming: &Side) -> Result<RoundOutcome, RunError> {
        driver.end_round();
        let delivered = || live.tally.delivered.load(Relaxed) + resuming.tally.delivered.load(Relaxed);
        let (mut outcome, mut last, mut last_news) = (None::<RoundOutcome>, 0, Instant::now());
        loop {
            self.look(|| "with all events published".into())?;
            if outcome.is_none() {
                outcome = driver.outcome()?;
            }
            let now = delivered();
            if now != last {
                (last, last_news) = (now, Instant::now());
            }
            let due = outcome.as_ref().map(|outcome| self.due(outcome.step_seqs.len() as u32));
            let over = due.is_some_and(|due| now >= due) || last_news.elapsed() > self.run.load.drain;
            if let Some(outcome) = outcome.take_if(|_| over) {
                // For what should not come: it can only be seen by waiting.
                std::thread::sleep(self.run.load.settle);
                return Ok(outcome);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Deliveries that there must be of the history and of so many steps.
    fn due(&self, steps: u32) -> u64 {
        let load = &self.run.load;
        let published = self.plan.traffic.history() + steps;
        let of_class =
            |class: u32| self.plan.matching[class as usize].partition_point(|event| *event < published) as u64;
        let accounts = load.resuming_keys.len() as u32;
        let sockets_of = |class: u32| u64::from(load.sockets / accounts + u32::from(class < load.sockets % accounts));
        let resuming: u64 = (0..accounts).map(|class| of_class(class) * sockets_of(class)).sum();
        resuming + of_class(self.plan.traffic.live_class()) * u64::from(load.live)
    }

    fn start(&self, inbox: Inbox, sockets: u32, skip: u32, measures: bool) -> Result<Side, RunError> {
        let load = &self.run.load;
        let tally = Arc::new(Tally::default());
        let local = load.server.address.ip().is_loopback();
        let crowd = CrowdPlan {
            address: load.server.address,
            trust: None,
            listener: inbox,
            sockets,
            sources: local.then(|| Sources::for_sockets(sockets, self.first_address, skip, load.ports.clone())),
            slots_per_ring: self.slots_per_ring,
            handshakes_max: HANDSHAKES_IN_FLIGHT_MAX,
            tally: Arc::clone(&tally),
        };
        let linger = if measures { LIVE_LINGER } else { Duration::ZERO };
        let options = ClientOptions {
            cpu: Some(load.cpu),
            linger,
            clock: self.clock,
            turn: if measures { Turn::First } else { Turn::Fair },
        };
        let client = Client::start(options, vec![crowd], self.failures_told.clone()).map_err(RunError::Thread)?;
        Ok(Side { client, tally })
    }

    fn wait(&mut self, time: Duration, driver: &Driver, doing: &str) -> Result<(), RunError> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.look(|| doing.to_owned())?;
            Self::no_outcome(driver)?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Only an error can come while publishing goes on: the schedule outlasts all patience.
    fn no_outcome(driver: &Driver) -> Result<(), RunError> {
        match driver.outcome()? {
            None => Ok(()),
            Some(_) => Err(DriverError::Gone.into()),
        }
    }

    fn look(&mut self, doing: impl Fn() -> String) -> Result<(), RunError> {
        if let Ok(error) = self.failures.try_recv() {
            return Err(error.into());
        }
        if self.run.interrupted.load(Relaxed) {
            return Err(RunError::Interrupted { doing: doing() });
        }
        if self.looked.elapsed() >= MEMORY_EVERY {
            self.looked = Instant::now();
            if let Some(pid) = self.run.load.server_pid {
                let memory = process::memory(pid).map_err(|source| RunError::ServerProcess { pid, source })?;
                self.peak.server_rss_bytes = Some(memory.rss_bytes).max(self.peak.server_rss_bytes);
            }
            self.peak.tcp_buffer_bytes =
                process::tcp_memory().map(|tcp| tcp.buffer_bytes).max(self.peak.tcp_buffer_bytes);
        }
        Ok(())
    }
}
