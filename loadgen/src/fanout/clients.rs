//! The sockets that listen, whatever the events' times are: how many, on which CPUs, and how patient.

use std::time::Duration;

use clap::Args;

use super::load::Load;
use crate::addresses::ports_here;
use crate::args::{DEFAULT_OWNER, UsageError, allowed_cpus, parse_duration};
use crate::cpu;
use crate::event::EventWriter;
use crate::limits::SOCKETS_MAX;
use crate::publisher::BurstAs;
use crate::schedule::Schedule;

#[derive(Clone, Debug, Args)]
pub struct ClientArguments {
    /// How many sockets listen (on each side of a pair)
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub sockets: u32,
    /// Bytes of one published event
    #[arg(long, default_value_t = 250)]
    pub payload: usize,
    /// The wallet whose trades are published
    #[arg(long, default_value = DEFAULT_OWNER)]
    pub owner: String,
    /// Client threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: u32,
    /// The client threads' CPUs, such as 1 or 2-5,8 [default: the last]
    #[arg(long, value_name = "LIST")]
    pub cpu: Option<String>,
    /// The publisher's CPU [default: the client's, so that the server keeps its own]
    #[arg(long, value_name = "CPU")]
    pub publisher_cpu: Option<usize>,
    /// How long a client thread spins without news before it sleeps. On one machine the sender pays for waking it, and in
    /// a virtual machine most of a send can be that; with 0s the figures then tell more of the idle loop than of the server
    #[arg(long, default_value = "200us", value_parser = parse_duration)]
    pub linger: Duration,
    /// How long to wait between connecting and the first event
    #[arg(long, default_value = "300ms", value_parser = parse_duration)]
    pub settle: Duration,
    /// How long no delivery may come before those still missing count as lost
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    pub drain: Duration,
}

impl ClientArguments {
    /// Checks the values against each other and against this machine's CPUs. `sides`: how many contenders there are;
    /// `timeout`: how long all of it may take.
    pub fn load(&self, schedule: Schedule, sides: u32, timeout: Duration) -> Result<Load, UsageError> {
        if u64::from(self.sockets) * u64::from(sides) > u64::from(SOCKETS_MAX) {
            return Err(UsageError::Sockets(self.sockets));
        }
        let allowed = allowed_cpus()?;
        let client_cpus = match &self.cpu {
            Some(list) => cpu::parse_list(list).map_err(UsageError::Cpu)?,
            None => vec![allowed[allowed.len() - 1]],
        };
        client_cpus.iter().try_for_each(|cpu| known_cpu(*cpu, &allowed).map(drop))?;
        let publisher_cpu = self.publisher_cpu.unwrap_or(client_cpus[client_cpus.len() - 1]);
        Ok(Load {
            sockets: self.sockets,
            events: EventWriter::new(&self.owner, self.payload, schedule.events())?,
            schedule,
            payload_bytes: self.payload,
            threads: self.threads.min(self.sockets),
            publisher_cpu: known_cpu(publisher_cpu, &allowed)?,
            client_cpus,
            server_cpu: allowed[0],
            floor_coalesces: false,
            burst_as: BurstAs::Request,
            mix: None,
            stall: None,
            churn: None,
            ports: ports_here(),
            linger: self.linger,
            settle: self.settle,
            drain: self.drain,
            timeout,
        })
    }
}

/// A CPU that was named, where this process may use it.
pub fn known_cpu(cpu: usize, allowed: &[usize]) -> Result<usize, UsageError> {
    let unknown = || UsageError::Cpu(format!("CPU {cpu} is not one that this process may use ({allowed:?})"));
    allowed.contains(&cpu).then_some(cpu).ok_or_else(unknown)
}
