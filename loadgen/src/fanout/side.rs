//! One contender with the crowd of sockets that listen to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::opening::Opening;
use crate::client::Tally;
use crate::driver::{Driver, RoundOutcome};
use crate::error::RunError;
use crate::handshake::Upgrade;
use crate::process::{self, Memory, TcpMemory, ThreadTimes};
use crate::schedule::Timetable;
use crate::target::Target;

/// Figures of a server process and of the kernel at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    pub server: Option<Memory>,
    pub tcp: Option<TcpMemory>,
    pub slab_bytes: Option<u64>,
}

/// One side's round, as far as threads other than the client's can tell.
#[derive(Clone, Debug)]
pub struct RoundBook {
    pub outcome: RoundOutcome,
    pub client_cpu_ns: u64,
    /// By the name of the thread.
    pub server_cpu_ns: Option<BTreeMap<String, u64>>,
}

/// One server, or the floor, with the crowd of sockets that listen to it.
pub struct Side {
    pub name: String,
    pub target: Target,
    pub pid: Option<u32>,
    pub is_floor: bool,
    pub connect_seconds: f64,
    pub before: Footprint,
    pub connected: Footprint,
    pub rounds: Vec<RoundBook>,
    /// The kinds of its sockets, and the request of each.
    pub kinds: Vec<(Arc<Opening>, Arc<Upgrade>)>,
    pub driver: Driver,
    pub timetable: Arc<Timetable>,
    /// For each client thread, one for each kind.
    pub tallies: Vec<Vec<Arc<Tally>>>,
}

impl Side {
    pub fn opened(&self) -> u64 {
        sum(self.tallies.iter().flatten(), |tally| &tally.opened)
    }

    /// As [`Load::awaited`](super::load::Load::awaited) counts.
    pub fn delivered(&self) -> u64 {
        sum(self.tallies.iter().flatten(), |tally| &tally.delivered)
    }

    pub fn ended(&self) -> u64 {
        sum(self.tallies.iter().flatten(), |tally| &tally.ended)
    }

    /// Those of the last client thread, which has the sockets that do something of their own.
    pub fn ended_apart(&self) -> u64 {
        sum(self.tallies.iter().next_back().into_iter().flatten(), |tally| &tally.ended)
    }
}

fn sum<'a>(tallies: impl Iterator<Item = &'a Arc<Tally>>, of: fn(&Tally) -> &AtomicU64) -> u64 {
    tallies.map(|tally| of(tally).load(Relaxed)).sum()
}

pub fn footprint(pid: Option<u32>) -> Result<Footprint, RunError> {
    let server = pid.map(|pid| process::memory(pid).map_err(|source| RunError::ServerProcess { pid, source }));
    Ok(Footprint { server: server.transpose()?, tcp: process::tcp_memory(), slab_bytes: process::slab_bytes() })
}

pub fn server_times(pid: Option<u32>) -> Result<Option<ThreadTimes>, RunError> {
    pid.map(|pid| process::thread_times(pid).map_err(|source| RunError::ServerProcess { pid, source })).transpose()
}

impl RoundBook {
    /// CPU time of all of the server's threads.
    pub fn server_cpu_total_ns(&self) -> Option<u64> {
        self.server_cpu_ns.as_ref().map(|threads| threads.values().sum())
    }
}
