//! `stentor plan`: what a load takes, on this machine and in all, from the costs that `loadgen calibrate` measured.

use std::path::{Path, PathBuf};

use indicatif::{BinaryBytes, HumanCount};

use super::Failure;
use super::console::Console;
use crate::limits::{
    BATCH_EVENTS_MAX, DOCTOR_SOCKETS_MAX, EVENT_BYTES_MAX, PLANNED_BUSY_MAX, PLANNED_RATE_MAX, SHARDS_MAX,
};
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
    Console::of_process(|console| console.text(&(text + "\n")))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.000_001..=PLANNED_RATE_MAX).contains(rate));
    rate.ok_or_else(|| format!("`{text}` is no rate: write events a second, up to {PLANNED_RATE_MAX}"))
}

/// A line for each thing that a load takes.
fn lines(capacity: &Capacity) -> Vec<String> {
    let Capacity { demand, needs, needs_coalesced, here, memory, descriptors, .. } = capacity;
    let bursts = match demand.events_per_request {
        1 => String::new(),
        events => format!(", {} in a request", HumanCount(events.into())),
    };
    let cpu = here.cpu_seconds_per_second;
    let queue_max = memory.tcp_queue_bytes_max.map(|max| format!(" of {} (tcp_mem)", BinaryBytes(max)));
    let mut lines = vec![
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
    ];
    if needs.is_some_and(|needs| needs.shards > SHARDS_MAX as u64) {
        lines.push(format!("          which takes several servers, for one runs {SHARDS_MAX} shards at most"));
    }
    lines.extend(needs_coalesced.map(|few| {
        format!(
            "          or {}, {}, where an event may wait for a pass of {}, in which sends coalesce",
            count(few.cpus, "CPU"),
            count(few.shards, "shard"),
            time(few.pass_us)
        )
    }));
    lines.extend([
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
    ]);
    lines
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
    if share < 10.0 { format!("{:.0} %", share * 100.0) } else { format!("{share:.0} times") }
}

fn time(us: f64) -> String {
    match us {
        short if short < 1e3 => format!("{short:.0} µs"),
        middle if middle < 1e6 => format!("{:.1} ms", middle / 1e3),
        long => format!("{:.1} s", long / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::calibration::tests::example;

    fn machine() -> Machine {
        Machine {
            cpus: "0-1".parse().expect("a list"),
            descriptors_max: 20_000,
            memory_total_bytes: 24 << 30,
            memory_available_bytes: 23 << 30,
            tcp_mem_pages: Some([287_901, 383_868, 575_802]),
            page_bytes: 4096,
        }
    }

    fn told(sockets: u64, events_per_second: f64) -> String {
        let demand = Demand { sockets, events_per_second, payload_bytes: 250, events_per_request: 1, shards: None };
        lines(&Capacity::new(&example(), &machine(), demand).expect("a capacity")).join("\n")
    }

    #[test]
    fn a_load_that_fits_is_told_with_its_first_limit() {
        let text = told(4_000, 10.0);
        for figure in [
            "load      4,000 sockets, 10 events/s of 250 bytes",
            "needs     1 CPU, 1 shard",
            "here      1 shard of 2 CPUs: the busiest shard CPU 21 % busy, the CPU of the journal 0 %",
            "fan-out   the last socket has an event after 22.2 ms",
            "CPU time of the shards first, at ",
            "which is enough",
        ] {
            assert!(text.contains(figure), "{figure} is missing in\n{text}");
        }
    }

    #[test]
    fn a_load_past_the_machine_coalesces_and_says_what_to_change() {
        let text = told(1_000_000, 100.0);
        for figure in [
            "1,000,000 sockets",
            "50 shards",
            "several servers",
            "or 10 CPUs, 54 shards",
            "never done",
            "296.000 Gbit/s in 100,000,000 sends/s",
            "too few (more: give it more CPUs",
        ] {
            assert!(text.contains(figure), "{figure} is missing in\n{text}");
        }
        assert!(told(100_000, 1.0).contains("far more sockets a CPU than were measured"));
        let text = told(10_000, 200.0);
        assert!(text.contains("fan-out   sends coalesce: 13.2 events in each"), "{text}");
    }

    #[test]
    fn costs_of_another_machine_are_told_to_be() {
        let calibration = example();
        assert!(!measured(&calibration, &calibration.machine).contains("not this machine"));
        let other = MeasuredMachine { cpus: 64, ..calibration.machine.clone() };
        assert!(measured(&calibration, &other).contains("calibrate it anew"));
    }

    #[test]
    fn a_rate_is_a_positive_number() {
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for wrong in ["0", "-1", "NaN", "inf", "1e9", "many"] {
            assert!(parse_rate(wrong).is_err(), "{wrong}");
        }
    }
}
