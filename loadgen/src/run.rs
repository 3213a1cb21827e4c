//! A run from beginning to end: sides, client threads, rounds in turns, and the books closed.
//!
//! ```text
//!   connect side A, side B ─▶ settle ─▶ round 1: A, B ─▶ round 2: A, B ─▶ … ─▶ close sockets ─▶ report
//! ```
//! A side's round begins only when the other's last delivery has come (or is given up), so the two never share a CPU.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::addresses::{Sources, first_address};
use crate::args::{Endpoints, Load};
use crate::client::{Client, ClientError, ClientOptions, Tally};
use crate::clock::Clock;
use crate::crowd::CrowdPlan;
use crate::driver::{Driver, DriverError, RoundOutcome, RoundPlan};
use crate::event::EventError;
use crate::floor::{Floor, FloorError};
use crate::handshake::Upgrade;
use crate::inbox::{Harvest, Inbox};
use crate::limits::{DESCRIPTORS_RESERVED, HANDSHAKES_IN_FLIGHT_MAX, RING_SLOTS_MAX};
use crate::process::{self, Memory, TcpMemory};
use crate::progress::Progress;
use crate::publish::DiskError;
use crate::publisher::Publisher;
use crate::report::{Closed, Report};
use crate::schedule::Timetable;
use crate::stall::StallPlan;
use crate::target::Target;
use crate::watchlists::SetupError;
use crate::webhooks::WebhooksError;

/// Time between ordering a round and its first step: the publisher connects and builds its first request.
pub const LEAD_NS: u64 = 100_000_000;

/// How often the run looks whether a round is through. Rare enough to cost the measured threads nothing.
pub const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Pause after a round, in which the client threads come to rest and book their CPU time.
const BREATH: Duration = Duration::from_millis(60);

/// A server to be measured.
pub struct Server {
    pub endpoints: Endpoints,
    pub publish_key: Option<String>,
    pub pid: Option<u32>,
}

/// What is to be done.
pub struct Run {
    pub load: Load,
    pub server: Option<Server>,
    pub floor: bool,
    pub interrupted: Arc<AtomicBool>,
}

/// Why a run could not be brought to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Floor(#[from] FloorError),
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Webhooks(#[from] WebhooksError),
    #[error("can't start a thread: {0}")]
    Thread(io::Error),
    #[error("a client thread ended too early")]
    ClientGone,
    #[error("can't get random bytes: {0}")]
    Random(getrandom::Error),
    #[error("can't read the server's process {pid}: {source}: is --server-pid right?")]
    ServerProcess { pid: u32, source: io::Error },
    #[error(
        "this process may open {limit} files, too few for a floor, which holds one process descriptor a socket: raise `ulimit -n`"
    )]
    NoDescriptors { limit: u64 },
    #[error("the run took longer than --timeout {seconds} s, {doing}")]
    Timeout { seconds: u64, doing: String },
    #[error("interrupted {doing}")]
    Interrupted { doing: String },
}

/// Figures of a server process and of the kernel at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    pub server: Option<Memory>,
    pub tcp: Option<TcpMemory>,
    pub slab_bytes: Option<u64>,
}

/// One client thread's share of a side's sockets.
#[derive(Clone, Copy)]
struct Share {
    sockets: u32,
    stall: Option<StallPlan>,
}

/// One side's round, as far as threads other than the client's can tell.
#[derive(Clone, Debug)]
pub struct RoundBook {
    pub outcome: RoundOutcome,
    pub client_cpu_ns: u64,
    pub server_cpu_ns: Option<u64>,
}

/// One server, or the floor, with the crowd of sockets that listen to it.
pub struct Side {
    pub name: &'static str,
    pub target: Target,
    pub pid: Option<u32>,
    pub is_floor: bool,
    pub connect_seconds: f64,
    pub before: Footprint,
    pub connected: Footprint,
    pub rounds: Vec<RoundBook>,
    upgrade: Arc<Upgrade>,
    driver: Driver,
    timetable: Arc<Timetable>,
    tallies: Vec<Arc<Tally>>,
}

impl Run {
    /// Measures, and gives the results; an interrupted run gives those of its whole rounds.
    pub fn measure(mut self) -> Result<Report, RunError> {
        let deadline = Instant::now() + self.load.timeout;
        let clock = Clock::start();
        let descriptors = raise_descriptor_limit();
        self.cap_for_floor(descriptors)?;
        let mut sides = self.begin_sides(clock)?;
        let (failures_told, failures) = mpsc::channel();
        let slots_per_ring = descriptors.min(u64::from(RING_SLOTS_MAX)) as u32;
        let mut clients = Vec::new();
        let shares = self.shares();
        for (number, plans) in self.plan_crowds(&sides, &shares, slots_per_ring)?.into_iter().enumerate() {
            let cpu = Some(self.load.client_cpus[number % self.load.client_cpus.len()]);
            // What the stalled sockets have to read at once must not be felt as the server's lateness by the others.
            let stalls = shares[number].stall.is_some();
            let linger = if stalls { Duration::ZERO } else { self.load.linger };
            let punctual = self.load.stall.is_some() && !stalls;
            let options = ClientOptions { cpu, linger, clock, punctual };
            clients.push(Client::start(options, plans, failures_told.clone()).map_err(RunError::Thread)?);
        }
        let watch = Watch { run: &self, failures, deadline, clock };
        for side in &mut sides {
            watch.connect(side)?;
        }
        std::thread::sleep(self.load.settle);
        for side in &mut sides {
            side.connected = footprint(side.pid)?;
        }
        let rounds_done = watch.run_rounds(&mut sides, &clients)?;
        self.close(sides, clients, rounds_done)
    }

    /// The floor needs a process descriptor a socket; both sides of a pair have the same number of sockets.
    fn cap_for_floor(&mut self, descriptors: u64) -> Result<(), RunError> {
        let most = descriptors.saturating_sub(DESCRIPTORS_RESERVED);
        if !self.floor || u64::from(self.load.sockets) <= most {
            return Ok(());
        }
        if most == 0 {
            return Err(RunError::NoDescriptors { limit: descriptors });
        }
        eprintln!(
            "the floor holds one process descriptor a socket, and this process may open {descriptors} files: measuring \
             {most} sockets instead of {}",
            self.load.sockets
        );
        self.load.sockets = most as u32;
        Ok(())
    }

    fn begin_sides(&self, clock: Clock) -> Result<Vec<Side>, RunError> {
        let mut sides = Vec::new();
        if let Some(server) = &self.server {
            let publisher = Publisher {
                target: server.endpoints.publish.clone(),
                key: server.publish_key.clone(),
                events: Box::new(self.load.events.clone()),
                schedule: self.load.schedule,
                clock,
                cpu: Some(self.load.publisher_cpu),
                patience: self.load.drain.max(Duration::from_secs(10)),
            };
            let driver = publisher.start().map_err(RunError::Thread)?;
            sides.push(self.side("server", server.endpoints.subscribe.clone(), server.pid, driver)?);
        }
        if self.floor {
            let floor = Floor {
                sockets: self.load.sockets,
                events: self.load.events.clone(),
                schedule: self.load.schedule,
                coalesce: self.load.floor_coalesces,
                clock,
                cpu: self.load.server_cpu,
            };
            let (driver, address) = floor.start()?;
            sides.push(self.side("floor", Target { address, path: "/".into() }, None, driver)?);
        }
        Ok(sides)
    }

    fn side(&self, name: &'static str, target: Target, pid: Option<u32>, driver: Driver) -> Result<Side, RunError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(RunError::Random)?;
        let before = footprint(pid)?;
        Ok(Side {
            name,
            upgrade: Arc::new(Upgrade::new(&target, nonce)),
            target,
            pid,
            is_floor: name == "floor",
            connect_seconds: 0.0,
            before,
            connected: before,
            rounds: Vec::new(),
            driver,
            timetable: Arc::new(Timetable::new(self.load.schedule)),
            tallies: self.shares().iter().map(|_| Arc::default()).collect(),
        })
    }

    /// Each client thread's share of a side's sockets. Those that stall have a thread of their own.
    fn shares(&self) -> Vec<Share> {
        let stall = self.load.stall.filter(|stall| stall.sockets > 0);
        let (reading, threads) = (self.load.sockets - stall.map_or(0, |stall| stall.sockets), self.load.threads);
        let of_thread =
            |thread| Share { sockets: reading / threads + u32::from(thread < reading % threads), stall: None };
        let stalling = stall.map(|plan| Share { sockets: plan.sockets, stall: Some(plan) });
        (0..threads).map(of_thread).chain(stalling).collect()
    }

    /// For each client thread, its share of each side's sockets; no two share a source address.
    fn plan_crowds(
        &self,
        sides: &[Side],
        shares: &[Share],
        slots_per_ring: u32,
    ) -> Result<Vec<Vec<CrowdPlan<Inbox>>>, RunError> {
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(RunError::Random)?;
        let first = first_address(random);
        let mut taken = 0;
        let mut plan = |side: &Side, thread: usize| {
            let Share { sockets, stall } = shares[thread];
            let local = side.target.address.ip().is_loopback();
            let sources = local.then(|| Sources::for_sockets(sockets, first, taken, self.load.ports.clone()));
            taken += Sources::addresses_for(sockets, &self.load.ports);
            let (upgrade, timetable) = (Arc::clone(&side.upgrade), Arc::clone(&side.timetable));
            CrowdPlan {
                address: side.target.address,
                listener: Inbox::new(sockets, upgrade, timetable, stall),
                sockets,
                sources,
                slots_per_ring,
                handshakes_max: (HANDSHAKES_IN_FLIGHT_MAX / shares.len() as u32).max(1),
                tally: Arc::clone(&side.tallies[thread]),
            }
        };
        Ok((0..shares.len()).map(|thread| sides.iter().map(|side| plan(side, thread)).collect()).collect())
    }

    fn close(&self, sides: Vec<Side>, clients: Vec<Client<Inbox>>, rounds_done: u32) -> Result<Report, RunError> {
        let published = rounds_done * self.load.schedule.events_per_round();
        let ended: Vec<u64> = sides.iter().map(Side::ended).collect();
        let mut ends = Vec::new();
        for client in clients {
            ends.push(client.finish().ok_or(RunError::ClientGone)?);
        }
        let ended_why: Vec<String> = ends.iter_mut().flat_map(|end| std::mem::take(&mut end.ended_why)).collect();
        let mut inboxes: Vec<_> = ends.into_iter().map(|end| end.listeners.into_iter()).collect();
        let mut closed = Vec::new();
        for (mut side, ended) in sides.into_iter().zip(ended) {
            let harvests = inboxes.iter_mut().filter_map(Iterator::next).map(|inbox| inbox.harvest(published));
            let harvest = harvests.reduce(Harvest::merge).ok_or(RunError::ClientGone)?;
            let after = footprint(side.pid)?;
            side.rounds.truncate(rounds_done as usize);
            side.driver.finish();
            closed.push(Closed {
                name: side.name,
                address: side.target.address.to_string(),
                connect_seconds: side.connect_seconds,
                ended,
                before: side.before,
                connected: side.connected,
                after,
                rounds: side.rounds,
                harvest,
            });
        }
        Ok(Report::new(&self.load, closed, ended_why, self.interrupted.load(Relaxed)))
    }
}

impl Side {
    fn opened(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.opened.load(Relaxed)).sum()
    }

    fn delivered(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.delivered.load(Relaxed)).sum()
    }

    fn ended(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.ended.load(Relaxed)).sum()
    }
}

/// The run's own thread while others work: it looks on, and sees failures, Ctrl-C and the deadline.
struct Watch<'a> {
    run: &'a Run,
    failures: Receiver<ClientError>,
    deadline: Instant,
    clock: Clock,
}

impl Watch<'_> {
    fn connect(&self, side: &mut Side) -> Result<(), RunError> {
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
    fn run_rounds(&self, sides: &mut [Side], clients: &[Client<Inbox>]) -> Result<u32, RunError> {
        let schedule = self.run.load.schedule;
        let total = u64::from(schedule.events()) * u64::from(self.run.load.sockets) * sides.len() as u64;
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
        let expected = u64::from(load.sockets) * u64::from(load.schedule.events_per_round()) * u64::from(round + 1);
        let client_before: u64 = clients.iter().map(Client::cpu_ns).sum();
        let server_before = server_cpu_ns(side.pid)?;
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
        let server_cpu_ns = match (server_before, server_cpu_ns(side.pid)?) {
            (Some(before), Some(after)) => Some(after.saturating_sub(before)),
            _ => side.is_floor.then_some(outcome.cpu_ns),
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

fn footprint(pid: Option<u32>) -> Result<Footprint, RunError> {
    let server = pid.map(|pid| process::memory(pid).map_err(|source| RunError::ServerProcess { pid, source }));
    Ok(Footprint { server: server.transpose()?, tcp: process::tcp_memory(), slab_bytes: process::slab_bytes() })
}

fn server_cpu_ns(pid: Option<u32>) -> Result<Option<u64>, RunError> {
    pid.map(|pid| process::cpu_ns(pid).map_err(|source| RunError::ServerProcess { pid, source })).transpose()
}

/// Raises the soft limit of open files to the hard one; returns what it is then.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it can't be raised, the old one is told.
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}
