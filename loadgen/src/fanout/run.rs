//! A run from beginning to end: sides, client threads, rounds in turns, and the books closed.
//!
//! ```text
//!   connect side A, side B ─▶ settle ─▶ round 1: A, B ─▶ round 2: A, B ─▶ … ─▶ close sockets ─▶ report
//! ```
//! A side's round begins only when the other's last delivery has come (or is given up), so the two never share a CPU.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::args::Load;
use super::dialect::Dialect;
use super::doubts;
use super::floor::Floor;
use super::gate::Known;
use super::inbox::{Harvest, Inbox};
use super::report::{Closed, Report};
use super::side::{Side, footprint};
use super::stall::StallPlan;
use super::watch::Watch;
use crate::addresses::{Sources, first_address};
use crate::client::{Client, ClientOptions, Turn};
use crate::clock::Clock;
use crate::crowd::CrowdPlan;
use crate::driver::Driver;
use crate::error::RunError;
use crate::handshake::Upgrade;
use crate::limits::{DESCRIPTORS_RESERVED, HANDSHAKES_IN_FLIGHT_MAX, RING_SLOTS_MAX};
use crate::process::{raise_descriptor_limit, tcp_bytes_max};
use crate::publisher::{Outlet, Publisher};
use crate::schedule::Timetable;
use crate::target::Target;

/// A server to be measured.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    /// Where its sockets connect.
    pub subscribe: Target,
    pub dialect: Dialect,
    /// Where events are published.
    pub outlet: Outlet,
    pub pid: Option<u32>,
}

/// Whoever is measured.
#[derive(Clone, Debug)]
pub enum Contender {
    Server(Server),
    /// A bare `send(2)` loop.
    Floor,
}

impl Contender {
    pub fn name(&self) -> &str {
        match self {
            Self::Server(server) => &server.name,
            Self::Floor => "floor",
        }
    }

    /// Where its events are published; the floor makes its own.
    pub fn outlet(&self) -> Option<&Outlet> {
        match self {
            Self::Server(server) => Some(&server.outlet),
            Self::Floor => None,
        }
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Server(server) => server.dialect.clone(),
            Self::Floor => Dialect::Events,
        }
    }

    pub fn known(&self) -> Known<'_> {
        let has_process = matches!(self, Self::Server(Server { pid: Some(_), .. }));
        Known { name: self.name(), has_process }
    }
}

/// What is to be done.
pub struct Run {
    pub load: Load,
    /// The others are held against the first.
    pub contenders: Vec<Contender>,
    pub interrupted: Arc<AtomicBool>,
}

/// What came of it.
pub struct Measured {
    pub report: Report,
    /// Nanoseconds from the intended publish time, of each side by its name.
    pub latencies: Vec<(String, Histogram<u64>)>,
}

/// One client thread's share of a side's sockets.
#[derive(Clone, Copy)]
struct Share {
    sockets: u32,
    stall: Option<StallPlan>,
}

impl Run {
    /// Measures, and gives the results; an interrupted run gives those of its whole rounds.
    pub fn measure(mut self) -> Result<Measured, RunError> {
        let deadline = Instant::now() + self.load.timeout;
        let clock = Clock::start();
        let descriptors = raise_descriptor_limit();
        self.cap_for_floor(descriptors)?;
        let doubt = self.doubt();
        if let Some(doubt) = &doubt {
            eprintln!("loadgen: {doubt}");
        }
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
            let turn = if stalls { Turn::Last } else { Turn::Fair };
            let options = ClientOptions { cpu, linger, clock, turn };
            clients.push(Client::start(options, plans, failures_told.clone()).map_err(RunError::Thread)?);
        }
        let watch = Watch::new(&self, failures, deadline, clock);
        let rounds_done = match self.load_all(&watch, &mut sides, &clients) {
            Ok(rounds_done) => rounds_done,
            Err(error) => {
                // Another run may follow: neither sockets nor publishers of this one may go on beside it.
                sides.into_iter().for_each(|side| side.driver.finish());
                clients.into_iter().for_each(|client| drop(client.finish()));
                return Err(error);
            }
        };
        let mut measured = self.close(sides, clients, rounds_done)?;
        measured.report.doubts.extend(doubt);
        Ok(measured)
    }

    /// Connects all sides and runs the rounds; returns how many were run to their end.
    fn load_all(&self, watch: &Watch<'_>, sides: &mut [Side], clients: &[Client<Inbox>]) -> Result<u32, RunError> {
        for side in sides.iter_mut() {
            watch.connect(side)?;
        }
        std::thread::sleep(self.load.settle);
        for side in sides.iter_mut() {
            side.connected = footprint(side.pid)?;
        }
        watch.run_rounds(sides, clients)
    }

    /// What makes the figures doubtful that are to be measured. All sides' sockets share the kernel, but they take turns.
    fn doubt(&self) -> Option<String> {
        let (sockets, burst) = (u64::from(self.load.sockets), u64::from(self.load.schedule.burst));
        doubts::of_load(sockets, burst, self.load.payload_bytes as u64, tcp_bytes_max()?)
    }

    /// The floor needs a process descriptor a socket; all sides have the same number of sockets.
    fn cap_for_floor(&mut self, descriptors: u64) -> Result<(), RunError> {
        let most = descriptors.saturating_sub(DESCRIPTORS_RESERVED);
        let has_floor = self.contenders.iter().any(|contender| matches!(contender, Contender::Floor));
        if !has_floor || u64::from(self.load.sockets) <= most {
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
        let side = |contender: &Contender| match contender {
            Contender::Server(server) => {
                let publisher = Publisher {
                    outlet: server.outlet.clone(),
                    events: Box::new(self.load.events.clone()),
                    schedule: self.load.schedule,
                    clock,
                    cpu: Some(self.load.publisher_cpu),
                    patience: self.load.drain.max(Duration::from_secs(10)),
                };
                let driver = publisher.start().map_err(RunError::Thread)?;
                self.side(contender, server.subscribe.clone(), server.pid, driver)
            }
            Contender::Floor => {
                let floor = Floor {
                    sockets: self.load.sockets,
                    events: self.load.events.clone(),
                    schedule: self.load.schedule,
                    coalesce: self.load.floor_coalesces,
                    clock,
                    cpu: self.load.server_cpu,
                };
                let (driver, address) = floor.start()?;
                self.side(contender, Target { address, path: "/".into() }, None, driver)
            }
        };
        self.contenders.iter().map(side).collect()
    }

    fn side(&self, contender: &Contender, target: Target, pid: Option<u32>, driver: Driver) -> Result<Side, RunError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(RunError::Random)?;
        let before = footprint(pid)?;
        Ok(Side {
            name: contender.name().to_owned(),
            upgrade: Arc::new(Upgrade::new(&target, nonce)),
            dialect: contender.dialect(),
            target,
            pid,
            is_floor: matches!(contender, Contender::Floor),
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
                listener: Inbox::new(sockets, upgrade, side.dialect.clone(), timetable, stall),
                sockets,
                sources,
                slots_per_ring,
                handshakes_max: (HANDSHAKES_IN_FLIGHT_MAX / shares.len() as u32).max(1),
                tally: Arc::clone(&side.tallies[thread]),
            }
        };
        Ok((0..shares.len()).map(|thread| sides.iter().map(|side| plan(side, thread)).collect()).collect())
    }

    fn close(&self, sides: Vec<Side>, clients: Vec<Client<Inbox>>, rounds_done: u32) -> Result<Measured, RunError> {
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
        let latencies = closed.iter().map(|side| (side.name.clone(), side.harvest.recorder.total())).collect();
        let report = Report::new(&self.load, closed, ended_why, self.interrupted.load(Relaxed));
        Ok(Measured { report, latencies })
    }
}
