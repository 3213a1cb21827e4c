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

use super::conduct::Conduct;
use super::doubts;
use super::feed::Feed;
use super::floor::Floor;
use super::gate::Known;
use super::groups::ProtocolReport;
use super::harvest::Harvest;
use super::inbox::Inbox;
use super::load::Load;
use super::mix::allot;
use super::opening::Opening;
use super::report::{Closed, Report};
use super::side::{Footprint, Side, footprint};
use super::watch::Watch;
use crate::addresses::{Sources, first_address};
use crate::client::{Client, ClientOptions, Turn};
use crate::clock::Clock;
use crate::crowd::CrowdPlan;
use crate::driver::Driver;
use crate::error::RunError;
use crate::handshake::Upgrade;
use crate::limits::{DESCRIPTORS_RESERVED, HANDSHAKES_IN_FLIGHT_MAX, RING_SLOTS_MAX, SOCKETS_MAX};
use crate::process::{raise_descriptor_limit, tcp_bytes_max};
use crate::publisher::{Outlet, Publisher};
use crate::schedule::Timetable;
use crate::target::Target;

/// A server to be measured.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    /// The kinds of its sockets; never empty.
    pub openings: Vec<Opening>,
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

/// One client thread's share of a side's sockets of one kind.
#[derive(Clone, Copy)]
struct Share {
    sockets: u32,
    conduct: Conduct,
}

impl Share {
    /// How many connections its sockets take, one after another.
    fn connections_max(&self) -> u32 {
        match self.conduct {
            Conduct::Churns(plan) => {
                u64::from(self.sockets).saturating_add(plan.reconnects_max()).min(SOCKETS_MAX.into()) as u32
            }
            Conduct::Steady | Conduct::Stalls(_) => self.sockets,
        }
    }
}

impl Run {
    /// Measures, and gives the results; an interrupted run gives what came until then, and its whole rounds by themselves.
    pub fn measure(mut self) -> Result<Measured, RunError> {
        let deadline = Instant::now() + self.load.timeout;
        let clock = Clock::start();
        let descriptors = raise_descriptor_limit();
        self.cap_for_floor()?;
        let doubt = self.doubt();
        if let Some(doubt) = &doubt {
            eprintln!("loadgen: {doubt}");
        }
        let mut sides = self.begin_sides(clock)?;
        let (failures_told, failures) = mpsc::channel();
        let slots_per_ring = descriptors.min(u64::from(RING_SLOTS_MAX)) as u32;
        let mut clients = Vec::new();
        for (number, plans) in self.plan_crowds(&sides, slots_per_ring)?.into_iter().enumerate() {
            let cpu = Some(self.load.client_cpus[number % self.load.client_cpus.len()]);
            // What the stalled sockets have to read at once, and connecting again, must not be felt as the server's lateness by the
            // others.
            let apart = number == self.load.threads as usize;
            let linger = if apart { Duration::ZERO } else { self.load.linger };
            let turn = if apart { Turn::Last } else { Turn::Fair };
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

    /// Lowers the number of sockets to what there can be: the floor needs a process descriptor a socket, and all sides have the same
    /// number.
    pub fn cap_for_floor(&mut self) -> Result<(), RunError> {
        let descriptors = raise_descriptor_limit();
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
                    events: Box::new(self.feed(&server.openings)),
                    schedule: self.load.schedule,
                    clock,
                    cpu: Some(self.load.publisher_cpu),
                    patience: self.load.drain.max(Duration::from_secs(10)),
                };
                let driver = publisher.start().map_err(RunError::Thread)?;
                self.side(contender, server.openings.clone(), server.pid, driver)
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
                self.side(
                    contender,
                    vec![Opening::plain(Target { address, path: "/".into(), trust: None })],
                    None,
                    driver,
                )
            }
        };
        self.contenders.iter().map(side).collect()
    }

    fn feed<'a>(&self, openings: impl IntoIterator<Item = &'a Opening>) -> Feed {
        let topics = openings.into_iter().map(|opening| opening.topic);
        Feed::new(self.load.events.clone(), self.load.payload_bytes, topics)
    }

    fn side(
        &self,
        contender: &Contender,
        openings: Vec<Opening>,
        pid: Option<u32>,
        driver: Driver,
    ) -> Result<Side, RunError> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(RunError::Random)?;
        let before = footprint(pid)?;
        let threads = self.load.threads + u32::from(self.load.apart() > 0);
        Ok(Side {
            name: contender.name().to_owned(),
            target: openings[0].target.clone(),
            tallies: (0..threads).map(|_| openings.iter().map(|_| Arc::default()).collect()).collect(),
            kinds: openings
                .into_iter()
                .map(|opening| {
                    let upgrade = Arc::new(opening.upgrade(nonce));
                    (Arc::new(opening), upgrade)
                })
                .collect(),
            pid,
            is_floor: matches!(contender, Contender::Floor),
            connect_seconds: 0.0,
            before,
            connected: before,
            rounds: Vec::new(),
            driver,
            timetable: Arc::new(Timetable::new(self.load.schedule)),
        })
    }

    /// For each client thread, its share of the sockets of each kind. Those that stall, or come and go, have a thread of their own.
    fn shares(&self, kinds: &[(Arc<Opening>, Arc<Upgrade>)]) -> Vec<Vec<Share>> {
        let weights: Vec<u32> = kinds.iter().map(|(opening, _)| opening.weight).collect();
        let (apart, threads) = (self.load.apart(), self.load.threads);
        let steady = allot(self.load.sockets - apart, &weights);
        let of_thread = |thread: u32| {
            let part = |sockets: &u32| sockets / threads + u32::from(thread < sockets % threads);
            steady.iter().map(|sockets| Share { sockets: part(sockets), conduct: Conduct::Steady }).collect()
        };
        let set_apart = |sockets: u32| Share { sockets, conduct: self.load.conduct_apart(sockets) };
        let last = (apart > 0).then(|| allot(apart, &weights).into_iter().map(set_apart).collect());
        (0..threads).map(of_thread).chain(last).collect()
    }

    /// For each client thread, its share of each side's sockets, kind by kind; no two share a source address.
    fn plan_crowds(&self, sides: &[Side], slots_per_ring: u32) -> Result<Vec<Vec<CrowdPlan<Inbox>>>, RunError> {
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(RunError::Random)?;
        let first = first_address(random);
        let (mut taken, mut threads) = (0, Vec::new());
        for side in sides {
            let shares = self.shares(&side.kinds);
            let feed = Arc::new(self.feed(side.kinds.iter().map(|(opening, _)| &**opening)));
            let handshakes_max = (HANDSHAKES_IN_FLIGHT_MAX / shares.len() as u32).max(1);
            threads.resize_with(shares.len(), Vec::new);
            for ((crowds, of_kinds), tallies) in threads.iter_mut().zip(shares).zip(&side.tallies) {
                for (((opening, upgrade), share), tally) in side.kinds.iter().zip(of_kinds).zip(tallies) {
                    let (upgrade, opening) = (Arc::clone(upgrade), Arc::clone(opening));
                    let (feed, timetable) = (Arc::clone(&feed), Arc::clone(&side.timetable));
                    let connections = share.connections_max();
                    let local = side.target.address.ip().is_loopback();
                    let sources =
                        local.then(|| Sources::for_sockets(connections, first, taken, self.load.ports.clone()));
                    taken += Sources::addresses_for(connections, &self.load.ports);
                    crowds.push(CrowdPlan {
                        address: side.target.address,
                        trust: side.target.trust.clone(),
                        listener: Inbox::new(share.sockets, upgrade, opening, feed, timetable, share.conduct),
                        sockets: share.sockets,
                        sources,
                        slots_per_ring,
                        handshakes_max,
                        tally: Arc::clone(tally),
                    });
                }
            }
        }
        Ok(threads)
    }

    fn close(&self, sides: Vec<Side>, clients: Vec<Client<Inbox>>, rounds_done: u32) -> Result<Measured, RunError> {
        let published = rounds_done * self.load.schedule.events_per_round();
        let ended: Vec<(u64, u64)> = sides.iter().map(|side| (side.ended(), side.ended_apart())).collect();
        // As long as the sockets are there.
        let after: Result<Vec<Footprint>, RunError> = sides.iter().map(|side| footprint(side.pid)).collect();
        let after = after?;
        let mut ends = Vec::new();
        for client in clients {
            ends.push(client.finish().ok_or(RunError::ClientGone)?);
        }
        let mut ended_why: Vec<String> = Vec::new();
        for why in ends.iter_mut().flat_map(|end| std::mem::take(&mut end.ended_why)) {
            // Each crowd tells its first few, which are often the same.
            if !ended_why.contains(&why) {
                ended_why.push(why);
            }
        }
        let mut inboxes: Vec<_> = ends.into_iter().map(|end| end.listeners.into_iter()).collect();
        let mut closed = Vec::new();
        for ((mut side, (ended, ended_apart)), after) in sides.into_iter().zip(ended).zip(after) {
            let mut harvest: Option<Harvest> = None;
            let mut protocols = Vec::new();
            for (opening, _) in &side.kinds {
                let of_kind = inboxes.iter_mut().filter_map(Iterator::next);
                let (sockets, of_kind): (Vec<u32>, Vec<Harvest>) =
                    of_kind.map(|inbox| (inbox.sockets(), inbox.harvest(published))).unzip();
                let of_kind = of_kind.into_iter().reduce(Harvest::merge).ok_or(RunError::ClientGone)?;
                protocols.push(ProtocolReport::new(opening.name, sockets.iter().sum(), &of_kind));
                harvest = Some(match harvest {
                    Some(harvest) => harvest.merge(of_kind),
                    None => of_kind,
                });
            }
            let harvest = harvest.ok_or(RunError::ClientGone)?;
            side.rounds.truncate(rounds_done as usize);
            side.driver.finish();
            closed.push(Closed {
                name: side.name,
                address: side.target.address.to_string(),
                connect_seconds: side.connect_seconds,
                ended,
                ended_apart,
                protocols,
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
