//! The capacity model: what a number of sockets and a rate of events take, from what the pieces cost on this machine.
//!
//! ```text
//!   Calibration (costs) ─┐                       ┌─▶ needs: CPUs and shards, each at most 70 % busy
//!   Machine ─────────────┼──▶ Capacity::new ─────┼─▶ here:  how busy, how long an event takes, what is on the wire
//!   Demand ──────────────┘                       └─▶ what runs out first, and at how many sockets
//! ```
//! * A shard's CPU time is timers + heartbeats + requests as such + a send an event and socket; a send costs more the more
//!   sockets share a cache, about as the logarithm of their number.
//! * Below saturation each request is one send a socket. Above it sends coalesce: a shard goes round its sockets, and each
//!   gets what has come since the last time, so that the rate of sends is bounded and an event waits for one pass.
//! * Pure: numbers in, numbers out.

use serde::Serialize;

use super::calibration::{ByThread, Calibration, Cost};
use super::{
    DescriptorPlan, FIXED_BYTES, Machine, Placement, Plan, PlanError, Wishes, fixed_bytes_per_shard, shards_for,
    slots_per_shard,
};
use crate::limits::{
    ACKNOWLEDGED_AT_ONCE_AFTER_US, COLD_SEND_FACTOR_MAX, DOCTOR_SOCKETS_MAX, ENVELOPE_MORE_BYTES,
    HUB_BESIDE_DELIVERY_CPUS_MIN, PLANNED_BUSY_MAX, PLANNED_CPUS_MAX, QUEUED_BYTES_A_BYTE, QUEUED_BYTES_PER_SOCKET,
    SEGMENT_PAYLOAD_BYTES, SEGMENT_WIRE_OVERHEAD_BYTES, SHARD_START_BYTES, SHARDS_MAX,
};

/// What is asked of a server. Every socket gets every event.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Demand {
    pub sockets: u64,
    pub events_per_second: f64,
    pub payload_bytes: u32,
    pub events_per_request: u32,
    /// As many as `stentor serve` would be given; absent: one a CPU, or as many as it takes to have the slots.
    #[serde(skip)]
    pub shards: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capacity {
    pub demand: Demand,
    /// To send each request at once; absent where no number of CPUs keeps each at most [`PLANNED_BUSY_MAX`] busy.
    pub needs: Option<Needs>,
    /// To keep up with sends that coalesce, where that takes fewer CPUs.
    pub needs_coalesced: Option<CoalescedNeeds>,
    pub here: Here,
    pub memory: Memory,
    pub descriptors: Descriptors,
    pub first_limit: FirstLimit,
}

/// What it takes, with room to spare. Shards past what one server runs are those of several servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Needs {
    pub cpus: u64,
    pub shards: u64,
}

/// The same where an event may wait for a pass over all sockets of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CoalescedNeeds {
    pub cpus: u64,
    pub shards: u64,
    pub pass_us: f64,
}

/// The load on this machine's CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Here {
    pub cpus: u64,
    pub shard_cpus: u64,
    pub shards: u64,
    /// CPU seconds a second: all shards together, the hub, the journal, the rest.
    pub cpu_seconds_per_second: ByThread<f64>,
    /// Of the busiest CPU with shards on it, were each event sent at once; above 1 it can't be.
    pub shard_cpu_busy: f64,
    /// Of the CPU that has the journal, and the hub where it isn't beside a shard; absent where there is one CPU in all.
    pub publish_cpu_busy: Option<f64>,
    pub regime: Regime,
    /// From publishing until the last socket has the event; absent where it is never caught up.
    pub full_fan_out_us: Option<f64>,
    pub sends_per_second: f64,
    pub wire_gbit_per_second: f64,
    /// A shard's CPU has far more sockets than the calibration had, so its costs are extrapolated.
    pub is_extrapolated: bool,
}

/// How events leave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Regime {
    /// Each request is a send of its own.
    AtOnce,
    /// A send takes all events since the last to the same socket.
    Coalesced { events_per_send: f64, pass_us: f64 },
    /// Not even so: sockets fall behind until they are served from the journal, or closed.
    Overrun,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Resident memory of the server just after the sockets have connected.
    pub server_bytes: u64,
    /// The same with all logs and buffers full, as it is after some time.
    pub server_full_bytes: u64,
    /// The server's ends of the connections, in the kernel.
    pub kernel_bytes: u64,
    pub kernel_bytes_per_connection_both_ends: f64,
    pub available_bytes: u64,
    /// In the kernel's queues while one request is on its way to every socket.
    pub tcp_queue_bytes: u64,
    pub tcp_queue_bytes_max: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Descriptors {
    pub needed: u64,
    pub limit: u64,
    pub slots_per_shard: u32,
    pub slots: u64,
}

/// The bound that a growing number of sockets meets first, at this rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FirstLimit {
    pub resource: Scarce,
    /// The last number of sockets that still fits.
    pub sockets: u64,
}

/// What can run out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scarce {
    /// CPU time for sends, at [`PLANNED_BUSY_MAX`].
    ShardCpu,
    /// CPU time of the journal, and of the hub beside it: no matter how many sockets there are.
    PublishCpu,
    Memory,
    Slots,
    TcpMemory,
}

impl Capacity {
    /// Fails where the machine can't run so many shards at all.
    pub fn new(calibration: &Calibration, machine: &Machine, demand: Demand) -> Result<Self, PlanError> {
        let model = Model { calibration, demand };
        let descriptors_max = machine.descriptors_max;
        let placement = Placement::new(&machine.cpus, &Wishes::default())?;
        let layout = Layout::new(&placement, demand, demand.sockets, descriptors_max);
        let plan = Plan::new(machine, &Wishes { shards: Some(layout.shards as usize), ..Wishes::default() })?;
        let needs = model.needs(descriptors_max);
        let needs_coalesced = model.needs_coalesced(descriptors_max);
        Ok(Self {
            demand,
            needs,
            needs_coalesced: needs_coalesced.filter(|few| needs.is_none_or(|many| few.cpus < many.cpus)),
            here: model.here(layout, machine.cpus.len() as u64),
            memory: model.memory(layout.shards, plan.slots_per_shard, machine),
            descriptors: Descriptors {
                needed: plan.descriptors.needed,
                limit: plan.descriptors.limit,
                slots_per_shard: plan.slots_per_shard,
                slots: plan.sockets_max(),
            },
            first_limit: model.first_limit(machine, &placement),
        })
    }
}

/// Shards on CPUs.
#[derive(Clone, Copy, Debug)]
struct Layout {
    shards: u64,
    shard_cpus: u64,
    /// Whether the hub, and the journal with the rest, run on the first shard's CPU.
    hub_beside_shard: bool,
    rest_beside_shard: bool,
}

impl Layout {
    fn new(placement: &Placement, demand: Demand, sockets: u64, descriptors_max: u64) -> Self {
        let cpus = placement.shard_cpus.len() as u64;
        let wanted = on_all(cpus, shards_for(sockets, descriptors_max));
        let shards = demand.shards.map_or_else(|| wanted.min(shards_max(descriptors_max)), |asked| asked as u64);
        Self {
            shards,
            shard_cpus: cpus.min(shards).max(1),
            hub_beside_shard: placement.shard_cpus.contains(&placement.hub_cpu),
            rest_beside_shard: placement.shard_cpus.contains(&placement.delivery_cpu),
        }
    }

    /// As `stentor serve` would be laid out on so many CPUs, with as many shards as there must be slots.
    fn on(cpus: u64, sockets: u64, descriptors_max: u64) -> Self {
        let shard_cpus = (cpus - 1).max(1);
        Self {
            shards: on_all(shard_cpus, shards_for(sockets, descriptors_max)),
            shard_cpus,
            hub_beside_shard: cpus < HUB_BESIDE_DELIVERY_CPUS_MIN as u64,
            rest_beside_shard: cpus == 1,
        }
    }

    /// On the CPU that has the most of them.
    fn shards_per_cpu(self) -> u64 {
        self.shards.div_ceil(self.shard_cpus)
    }

    fn sockets_per_cpu(self, sockets: u64) -> f64 {
        sockets as f64 * self.shards_per_cpu() as f64 / self.shards as f64
    }
}

struct Model<'a> {
    calibration: &'a Calibration,
    demand: Demand,
}

const NS: f64 = 1e-9;

impl Model<'_> {
    fn requests_per_second(&self) -> f64 {
        self.demand.events_per_second / self.events_per_request()
    }

    fn events_per_request(&self) -> f64 {
        f64::from(self.demand.events_per_request.max(1))
    }

    /// Between few and many sockets of a CPU; past many it goes on as it went, up to [`COLD_SEND_FACTOR_MAX`].
    fn at(&self, sockets_per_cpu: f64, few: Cost, many: Cost) -> f64 {
        let load = &self.calibration.load;
        let of_shard = |sockets: u32| f64::from(sockets) / f64::from(load.shards);
        let (few_at, many_at) = (of_shard(load.sockets_few), of_shard(load.sockets_many));
        let growth = (many.median - few.median).max(0.0) / (many_at / few_at).ln();
        let cost = few.median + growth * (sockets_per_cpu.max(few_at) / few_at).ln();
        cost.min(many.median.max(few.median) * COLD_SEND_FACTOR_MAX)
    }

    /// What an event of this size costs more (or less) to send than that of the calibration.
    fn more_bytes_ns(&self) -> f64 {
        let more = f64::from(self.demand.payload_bytes) - f64::from(self.calibration.load.payload_bytes);
        more * self.calibration.cpu.send_byte_ns.median
    }

    /// One event to one socket, so long after the last.
    fn send_ns(&self, sockets_per_cpu: f64, pause_us: f64) -> f64 {
        let cpu = &self.calibration.cpu;
        let acknowledgement = after(pause_us, cpu.acknowledgement_ns);
        let send = self.at(sockets_per_cpu, cpu.send_few_ns, cpu.send_many_ns);
        (send + acknowledgement + self.more_bytes_ns()).max(0.0)
    }

    /// Between two requests.
    fn pause_us(&self) -> f64 {
        1e6 / self.requests_per_second()
    }

    /// Another event in a send: nearly all of it is copying.
    fn coalesced_event_ns(&self) -> f64 {
        let sent = |payload: u32| f64::from(payload + ENVELOPE_MORE_BYTES);
        let scale = sent(self.demand.payload_bytes) / sent(self.calibration.load.payload_bytes);
        self.calibration.cpu.coalesced_event_ns.median * scale
    }

    /// A request as such, for each kind of thread.
    fn request_ns(&self) -> ByThread<f64> {
        let (one, further) = (self.calibration.cpu.request_ns, self.calibration.cpu.further_event_ns);
        let of = |one: Cost, further: Cost| one.median + (self.events_per_request() - 1.0) * further.median;
        ByThread {
            shard: of(one.shard, further.shard),
            hub: of(one.hub, further.hub),
            journal: of(one.journal, further.journal),
            other: of(one.other, further.other),
        }
    }

    /// CPU seconds a second of one thread, without the sends.
    fn busy_by_thread(&self) -> ByThread<f64> {
        let (idle, request) = (self.calibration.cpu.idle_ns_per_second, self.request_ns());
        let of = |idle: Cost, request: f64| (idle.median + self.requests_per_second() * request) * NS;
        ByThread {
            shard: of(idle.shard, request.shard),
            hub: of(idle.hub, request.hub),
            journal: of(idle.journal, request.journal),
            other: of(idle.other, request.other),
        }
    }

    fn heartbeats(&self, sockets: f64) -> f64 {
        sockets * self.calibration.cpu.heartbeat_ns_per_socket_second.median * NS
    }

    /// Sends to so many sockets of a CPU, each request in one.
    fn sends(&self, sockets: f64, sockets_per_cpu: f64) -> f64 {
        let further = (self.events_per_request() - 1.0) * self.coalesced_event_ns();
        sockets * self.requests_per_second() * (self.send_ns(sockets_per_cpu, self.pause_us()) + further) * NS
    }

    /// What runs on a shard's CPU beside shards.
    fn beside(&self, layout: Layout) -> f64 {
        let busy = self.busy_by_thread();
        let hub = if layout.hub_beside_shard { busy.hub } else { 0.0 };
        let rest = if layout.rest_beside_shard { busy.journal + busy.other } else { 0.0 };
        hub + rest
    }

    /// The busiest CPU that has shards, were each request sent at once.
    fn shard_cpu_busy(&self, layout: Layout, sockets: u64) -> f64 {
        let of_cpu = layout.sockets_per_cpu(sockets);
        let shards = layout.shards_per_cpu() as f64 * self.busy_by_thread().shard;
        shards + self.heartbeats(of_cpu) + self.sends(of_cpu, of_cpu) + self.beside(layout)
    }

    fn publish_cpu_busy(&self, layout: Layout) -> Option<f64> {
        let busy = self.busy_by_thread();
        let hub = if layout.hub_beside_shard { 0.0 } else { busy.hub };
        (!layout.rest_beside_shard).then_some(hub + busy.journal + busy.other)
    }

    fn fits(&self, layout: Layout, sockets: u64) -> bool {
        let publish = self.publish_cpu_busy(layout).unwrap_or(0.0);
        publish <= PLANNED_BUSY_MAX && self.shard_cpu_busy(layout, sockets) <= PLANNED_BUSY_MAX
    }

    /// The fewest CPUs on which everything fits.
    fn needs(&self, descriptors_max: u64) -> Option<Needs> {
        (1..=PLANNED_CPUS_MAX).find_map(|cpus| {
            let layout = Layout::on(cpus, self.demand.sockets, descriptors_max);
            let needs = Needs { cpus, shards: layout.shards };
            self.fits(layout, self.demand.sockets).then_some(needs)
        })
    }

    /// The fewest CPUs on which everything but the first event of each send fits.
    fn needs_coalesced(&self, descriptors_max: u64) -> Option<CoalescedNeeds> {
        (1..=PLANNED_CPUS_MAX).find_map(|cpus| {
            let layout = Layout::on(cpus, self.demand.sockets, descriptors_max);
            let fits = self.publish_cpu_busy(layout).unwrap_or(0.0) <= PLANNED_BUSY_MAX
                && self.free_for_passes(layout) >= 1.0 - PLANNED_BUSY_MAX;
            match self.coalesced(layout) {
                Regime::Coalesced { pass_us, .. } if fits => {
                    Some(CoalescedNeeds { cpus, shards: layout.shards, pass_us })
                }
                _ => None,
            }
        })
    }

    fn here(&self, layout: Layout, cpus: u64) -> Here {
        let sockets = self.demand.sockets;
        let of_cpu = layout.sockets_per_cpu(sockets);
        let shard_cpu_busy = self.shard_cpu_busy(layout, sockets);
        let regime = match self.publish_cpu_busy(layout) {
            // Events come faster than the hub or the journal take them.
            Some(busy) if busy > 1.0 => Regime::Overrun,
            _ if shard_cpu_busy <= 1.0 => Regime::AtOnce,
            _ => self.coalesced(layout),
        };
        let mut busy = self.busy_by_thread();
        let one_us = self.calibration.fan_out.one_us.median;
        let (shards, full_fan_out_us, events_per_send) = match regime {
            Regime::AtOnce => {
                let shards = layout.shards as f64 * busy.shard
                    + self.heartbeats(sockets as f64)
                    + self.sends(sockets as f64, of_cpu);
                (shards, Some(self.at_once_us(of_cpu)), self.events_per_request())
            }
            Regime::Coalesced { events_per_send, pass_us } => {
                (layout.shard_cpus as f64 - self.beside(layout), Some(one_us + pass_us), events_per_send)
            }
            // Nothing is known of it but that the CPUs are busy and that sends are as long as they get.
            Regime::Overrun => (layout.shard_cpus as f64 - self.beside(layout), None, self.events_per_request()),
        };
        busy.shard = shards.max(0.0);
        let sends_per_second = match regime {
            // Where it is past the machine: what would be asked of it.
            Regime::AtOnce | Regime::Overrun => self.requests_per_second() * sockets as f64,
            Regime::Coalesced { pass_us, .. } => sockets as f64 / pass_us * 1e6,
        };
        Here {
            cpus,
            shard_cpus: layout.shard_cpus,
            shards: layout.shards,
            cpu_seconds_per_second: busy,
            shard_cpu_busy,
            publish_cpu_busy: self.publish_cpu_busy(layout),
            regime,
            full_fan_out_us,
            sends_per_second,
            wire_gbit_per_second: sends_per_second * self.wire_bytes(events_per_send) * 8.0 / 1e9,
            is_extrapolated: of_cpu > self.well_known_sockets(),
        }
    }

    /// Four times as many sockets as a shard of the calibration had.
    fn well_known_sockets(&self) -> f64 {
        4.0 * f64::from(self.calibration.load.sockets_many) / f64::from(self.calibration.load.shards)
    }

    /// From publishing until the last socket has all of a request.
    fn at_once_us(&self, sockets_per_cpu: f64) -> f64 {
        let fan_out = &self.calibration.fan_out;
        let socket_ns = self.at(sockets_per_cpu, fan_out.socket_few_ns, fan_out.socket_many_ns)
            + after(self.pause_us(), fan_out.acknowledgement_ns)
            + self.more_bytes_ns()
            + (self.events_per_request() - 1.0) * self.coalesced_event_ns();
        fan_out.one_us.median + sockets_per_cpu * socket_ns.max(0.0) / 1e3
    }

    /// What a shard's CPU has left for sends as such, when all else is done: requests, and copying every event to every socket.
    fn free_for_passes(&self, layout: Layout) -> f64 {
        let of_cpu = layout.sockets_per_cpu(self.demand.sockets);
        let copying = of_cpu * self.demand.events_per_second * self.coalesced_event_ns() * NS;
        let shards = layout.shards_per_cpu() as f64 * self.busy_by_thread().shard;
        1.0 - shards - self.heartbeats(of_cpu) - self.beside(layout) - copying
    }

    /// A pass of `t` seconds serves what came in `t` seconds: t · free = sockets · (a send less the event that is copied anyway).
    fn coalesced(&self, layout: Layout) -> Regime {
        let of_cpu = layout.sockets_per_cpu(self.demand.sockets);
        let further = self.coalesced_event_ns() * NS;
        let free = self.free_for_passes(layout);
        if free <= 0.0 {
            return Regime::Overrun;
        }
        let pass_after = |pause_us| of_cpu * (self.send_ns(of_cpu, pause_us) * NS - further).max(0.0) / free;
        // A socket's turn comes once a pass.
        let pass = pass_after(pass_after(0.0) * 1e6);
        // No send has less than a request.
        let events_per_send = (self.demand.events_per_second * pass).max(self.events_per_request());
        Regime::Coalesced { events_per_send, pass_us: pass * 1e6 }
    }

    /// One send with its headers, from preamble to gap.
    fn wire_bytes(&self, events_per_send: f64) -> f64 {
        let bytes = events_per_send * f64::from(self.demand.payload_bytes + ENVELOPE_MORE_BYTES);
        let segments = (bytes / f64::from(SEGMENT_PAYLOAD_BYTES)).ceil().max(1.0);
        bytes + segments * f64::from(SEGMENT_WIRE_OVERHEAD_BYTES)
    }

    fn memory(&self, shards: u64, slots_per_shard: u32, machine: &Machine) -> Memory {
        let memory = &self.calibration.memory;
        let sockets = self.demand.sockets as f64;
        let further_shards = shards.saturating_sub(self.calibration.load.shards.into());
        let per_shard = fixed_bytes_per_shard(slots_per_shard);
        let start = (memory.server_bytes.median + sockets * memory.server_bytes_per_socket.median) as u64;
        let both_ends = memory.kernel_bytes_per_connection.median;
        Memory {
            server_bytes: start + further_shards * SHARD_START_BYTES,
            // What the calibrated server had at its start is a part of what is fixed.
            server_full_bytes: (FIXED_BYTES + shards * per_shard).max(memory.server_bytes.median as u64)
                + (sockets * memory.server_bytes_per_socket.median) as u64,
            kernel_bytes: (sockets * both_ends / 2.0) as u64,
            kernel_bytes_per_connection_both_ends: both_ends,
            available_bytes: machine.memory_available_bytes,
            tcp_queue_bytes: self.demand.sockets.saturating_mul(self.queued_bytes_per_socket()),
            tcp_queue_bytes_max: machine.tcp_queue_bytes_max(),
        }
    }

    fn queued_bytes_per_socket(&self) -> u64 {
        let payload = u64::from(self.demand.payload_bytes + ENVELOPE_MORE_BYTES);
        let request = payload * u64::from(self.demand.events_per_request.max(1)) * QUEUED_BYTES_A_BYTE;
        request.max(QUEUED_BYTES_PER_SOCKET)
    }

    fn first_limit(&self, machine: &Machine, placement: &Placement) -> FirstLimit {
        let descriptors_max = machine.descriptors_max;
        let layout = |sockets| Layout::new(placement, self.demand, sockets, descriptors_max);
        let slots = u64::from(slots_per_shard(descriptors_max));
        let shards = self.demand.shards.map_or_else(|| shards_max(descriptors_max), |asked| asked as u64);
        let memory_fits = |sockets| {
            let of_so_many = Model { calibration: self.calibration, demand: Demand { sockets, ..self.demand } };
            let memory = of_so_many.memory(layout(sockets).shards, slots as u32, machine);
            memory.server_full_bytes + memory.kernel_bytes <= memory.available_bytes
        };
        let publish_fits = |sockets| self.publish_cpu_busy(layout(sockets)).is_none_or(|busy| busy <= PLANNED_BUSY_MAX);
        let shards_fit = |sockets| self.shard_cpu_busy(layout(sockets), sockets) <= PLANNED_BUSY_MAX;
        let tcp_fits = |sockets: u64| {
            machine.tcp_queue_bytes_max().is_none_or(|max| sockets * self.queued_bytes_per_socket() <= max)
        };
        let sockets_max = DOCTOR_SOCKETS_MAX;
        [
            (Scarce::PublishCpu, last_that(sockets_max, publish_fits)),
            (Scarce::ShardCpu, last_that(sockets_max, shards_fit)),
            (Scarce::Memory, last_that(sockets_max, memory_fits)),
            (Scarce::Slots, shards * slots),
            (Scarce::TcpMemory, last_that(sockets_max, tcp_fits)),
        ]
        .into_iter()
        .map(|(resource, sockets)| FirstLimit { resource, sockets })
        .min_by_key(|limit| limit.sockets)
        .expect("five are there")
    }
}

/// So many shards or more that each CPU has as many.
fn on_all(cpus: u64, shards: u64) -> u64 {
    shards.max(1).next_multiple_of(cpus.max(1))
}

/// The acknowledgement that a send after such a pause brings at once.
fn after(pause_us: f64, acknowledgement: Cost) -> f64 {
    if pause_us > ACKNOWLEDGED_AT_ONCE_AFTER_US { acknowledgement.median } else { 0.0 }
}

/// As many as one process runs with so many open files.
fn shards_max(descriptors_max: u64) -> u64 {
    last_that(SHARDS_MAX as u64, |shards| DescriptorPlan::new(shards as usize, descriptors_max).is_ok()).max(1)
}

/// The last number up to `most` for which it holds, where it holds up to some number and not past it; 0 where for none.
fn last_that(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut held, mut past) = (0, most + 1);
    while past - held > 1 {
        let middle = held.midpoint(past);
        if holds(middle) { held = middle } else { past = middle }
    }
    held
}

#[cfg(test)]
mod tests;
