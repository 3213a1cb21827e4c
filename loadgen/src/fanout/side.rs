//! One contender with the crowd of sockets that listen to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::dialect::Dialect;
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
    pub upgrade: Arc<Upgrade>,
    pub dialect: Dialect,
    pub driver: Driver,
    pub timetable: Arc<Timetable>,
    /// One for each client thread.
    pub tallies: Vec<Arc<Tally>>,
}

impl Side {
    pub fn opened(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.opened.load(Relaxed)).sum()
    }

    pub fn delivered(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.delivered.load(Relaxed)).sum()
    }

    pub fn ended(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.ended.load(Relaxed)).sum()
    }
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
