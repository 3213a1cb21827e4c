//! `stentor plan`: what a load takes, on this machine and in all, from the costs that `loadgen calibrate` measured.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::{BinaryBytes, HumanCount};

use super::Failure;
use crate::limits::{BATCH_EVENTS_MAX, DOCTOR_SOCKETS_MAX, EVENT_BYTES_MAX, PLANNED_BUSY_MAX, PLANNED_RATE_MAX};
use crate::plan::calibration::{CALIBRATION_FILE, Calibration, MeasuredMachine};
use crate::plan::capacity::{Capacity, Demand, Here, Regime, Scarce};
use crate::plan::{Machine, raise_descriptor_limit};

/// Tell what a load takes of CPUs, memory and bandwidth, and what runs out first, from costs measured by `loadgen calibrate`
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Sockets, each of which gets every event
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=DOCTOR_SOCKETS_MAX))]
    sockets: u64,
    /// Events a second
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: f64,
    /// Bytes of a published event
    #[arg(long, value_name = "B", default_value_t = 250, value_parser = clap::value_parser!(u32).range(1..=EVENT_BYTES_MAX as i64))]
    payload: u32,
    /// Events of one publish request
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=BATCH_EVENTS_MAX as i64))]
    burst: u32,
    /// Shards, as `stentor serve` is given them [default: as it would have, or as many as there must be slots]
    #[arg(long, value_name = "S")]
    shards: Option<usize>,
    /// What `loadgen calibrate` wrote
    #[arg(long, value_name = "FILE", default_value = CALIBRATION_FILE)]
    calibration: PathBuf,
    /// Print one JSON document instead of the table
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let calibration = Calibration::read(&arguments.calibration).map_err(Failure::failed)?;
    // As the server does when it starts; its tables are bounded by this.
    raise_descriptor_limit().map_err(Failure::failed)?;
    let machine = Machine::read(Path::new("/")).map_err(Failure::failed)?;
    let demand = Demand {
        sockets: arguments.sockets,
        events_per_second: arguments.rate,
        payload_bytes: arguments.payload,
        events_per_request: arguments.burst,
        shards: arguments.shards,
    };
    let capacity = Capacity::new(&calibration, &machine, demand).map_err(|error| Failure::Usage(error.to_string()))?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&capacity).expect("numbers and names are JSON")
    } else {
        let mut lines = lines(&capacity);
        lines.push(measured(&calibration, &MeasuredMachine::read(Path::new("/"))));
        lines.join("\n")
    };
    match writeln!(io::stdout().lock(), "{text}") {
        // `stentor plan | head` has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.000_001..=PLANNED_RATE_MAX).contains(rate));
    rate.ok_or_else(|| format!("`{text}` is no rate: write events a second, up to {PLANNED_RATE_MAX}"))
}

/// A line for each thing that a load takes.
fn lines(capacity: &Capacity) -> Vec<String> {
    let Capacity { demand, needs, here, memory, descriptors, .. } = capacity;
    let bursts = match demand.events_per_request {
        1 => String::new(),
        events => format!(", {} in a request", HumanCount(events.into())),
    };
    let cpu = here.cpu_seconds_per_second;
    let queue_max = memory.tcp_queue_bytes_max.map(|max| format!(" of {} (tcp_mem)", BinaryBytes(max)));
    vec![
        format!(
            "load      {} sockets, {} events/s of {} bytes{bursts}, each event to every socket",
            HumanCount(demand.sockets),
            demand.events_per_second,
            HumanCount(demand.payload_bytes.into()),
        ),
        match needs {
            Some(needs) => format!(
                "needs     {}, {}, to send each event at once with no CPU more than {} busy",
                count(needs.cpus, "CPU"),
                count(needs.shards, "shard"),
                percent(PLANNED_BUSY_MAX)
            ),
            None => format!(
                "needs     more than CPUs: no number of them sends each event at once with none more than {} busy",
                percent(PLANNED_BUSY_MAX)
            ),
        },
        format!(
            "here      {} of {}: the busiest shard CPU {} busy{}",
            count(here.shards, "shard"),
            count(here.cpus, "CPU"),
            percent(here.shard_cpu_busy),
            here.publish_cpu_busy.map_or(String::new(), |busy| format!(", the CPU of the journal {}", percent(busy))),
        ),
        format!(
            "CPU time  {:.3} s a second: {:.3} shards, {:.3} hub, {:.3} journal, {:.3} the rest",
            cpu.shard + cpu.hub + cpu.journal + cpu.other,
            cpu.shard,
            cpu.hub,
            cpu.journal,
            cpu.other
        ),
        format!("fan-out   {}", fan_out(here)),
        format!(
            "wire      {:.3} Gbit/s in {} sends/s",
            here.wire_gbit_per_second,
            HumanCount(here.sends_per_second as u64)
        ),
        format!(
            "memory    {} of {} available: {} server ({} just after connecting), {} its sockets in the kernel",
            BinaryBytes(memory.server_full_bytes + memory.kernel_bytes),
            BinaryBytes(memory.available_bytes),
            BinaryBytes(memory.server_full_bytes),
            BinaryBytes(memory.server_bytes),
            BinaryBytes(memory.kernel_bytes),
        ),
        format!(
            "queues    up to {}{} while a request is on its way to all",
            BinaryBytes(memory.tcp_queue_bytes),
            queue_max.unwrap_or_default()
        ),
        format!(
            "files     {} of {} open files, and slots for {} sockets ({} a shard)",
            HumanCount(descriptors.needed),
            HumanCount(descriptors.limit),
            HumanCount(descriptors.slots),
            HumanCount(descriptors.slots_per_shard.into()),
        ),
        format!("runs out  {}", first_limit(capacity)),
    ]
}

fn fan_out(here: &Here) -> String {
    let extrapolated = if here.is_extrapolated { "; far more sockets a CPU than were measured" } else { "" };
    let last = here.full_fan_out_us.map(time);
    match (here.regime, last) {
        (Regime::Coalesced { events_per_send, pass_us }, Some(last)) => format!(
            "sends coalesce: {events_per_send:.1} events in each, a pass over all sockets takes {}, and the last socket has an event \
             after {last}{extrapolated}",
            time(pass_us)
        ),
        (Regime::AtOnce, Some(last)) => format!("the last socket has an event after {last}{extrapolated}"),
        (Regime::Overrun, _) | (_, None) => {
            "never done: events come faster than they can be sent, even many in a send".to_owned()
        }
    }
}

/// What runs out first and what to change, in one sentence.
fn first_limit(capacity: &Capacity) -> String {
    let (resource, remedy) = match capacity.first_limit.resource {
        Scarce::ShardCpu => ("CPU time of the shards", "give it more CPUs, or more events a request"),
        Scarce::PublishCpu => ("CPU time of hub and journal", "publish more events a request, or a lower rate"),
        Scarce::Memory => ("memory", "free or add memory"),
        Scarce::Slots => ("slots", "raise RLIMIT_NOFILE, or --shards"),
        Scarce::TcpMemory => ("tcp_mem", "raise net.ipv4.tcp_mem, or publish fewer events a request"),
    };
    let sockets = capacity.first_limit.sockets;
    let verdict = if sockets < capacity.demand.sockets { "too few" } else { "which is enough" };
    format!("{resource} first, at {} sockets at this rate, {verdict} (more: {remedy})", HumanCount(sockets))
}

/// Where the costs come from.
fn measured(calibration: &Calibration, this: &MeasuredMachine) -> String {
    let made = &calibration.machine;
    let elsewhere = if made == this { "" } else { ": not this machine as it is now, so calibrate it anew" };
    format!(
        "measured  {} on {}, {}, Linux {}, over loopback, where sending includes the receiver's TCP{elsewhere}",
        calibration.made_at,
        made.cpu_model,
        count(made.cpus as u64, "CPU"),
        made.kernel
    )
}

fn count(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", HumanCount(number), if number == 1 { "" } else { "s" })
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn time(us: f64) -> String {
    match us {
        short if short < 1e3 => format!("{short:.0} µs"),
        middle if middle < 1e6 => format!("{:.1} ms", middle / 1e3),
        long => format!("{:.1} s", long / 1e6),
    }
}
