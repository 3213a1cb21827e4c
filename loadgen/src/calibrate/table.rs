//! A calibration as a person reads it.

use std::fmt::Write;

use stentor::plan::calibration::{Calibration, Cost};

use crate::wording::{megabytes, thousands, time};

const NAME: usize = 44;
const CELL: usize = 12;

/// The whole table, ending with a line break.
pub fn render(calibration: &Calibration) -> String {
    let Calibration { load, machine, cpu, fan_out, memory, .. } = calibration;
    let (few, many) = (thousands(load.sockets_few.into()), thousands(load.sockets_many.into()));
    let ns = |cost: Cost| row(cost, |ns| time(ns / 1e3));
    let fine_ns = |cost: Cost| row(cost, |ns| format!("{ns:.2} ns"));
    let mut rows: Vec<(String, String)> = Vec::new();
    let by_thread = [
        ("idle, in a second", cpu.idle_ns_per_second),
        ("a request of one event", cpu.request_ns),
        ("a further event in it", cpu.further_event_ns),
    ];
    for (what, costs) in by_thread {
        let of = [("a shard", costs.shard), ("hub", costs.hub), ("journal", costs.journal), ("the rest", costs.other)];
        rows.extend(of.into_iter().map(|(thread, cost)| (format!("{what}: {thread}"), ns(cost))));
    }
    rows.extend([
        (format!("a send, with {few} sockets"), ns(cpu.send_few_ns)),
        (format!("a send, with {many} sockets"), ns(cpu.send_many_ns)),
        ("where it is acknowledged at once, more".to_owned(), ns(cpu.acknowledgement_ns)),
        ("each byte of it".to_owned(), fine_ns(cpu.send_byte_ns)),
        ("a further event in it".to_owned(), fine_ns(cpu.coalesced_event_ns)),
        ("a socket's heartbeats, in a second".to_owned(), fine_ns(cpu.heartbeat_ns_per_socket_second)),
        ("an event to one socket".to_owned(), row(fan_out.one_us, time)),
        (format!("each socket more, of {few}"), ns(fan_out.socket_few_ns)),
        (format!("each socket more, of {many}"), ns(fan_out.socket_many_ns)),
        ("where each acknowledges at once, more".to_owned(), ns(fan_out.acknowledgement_ns)),
        ("server memory without sockets".to_owned(), row(memory.server_bytes, |bytes| megabytes(bytes as u64))),
        ("              per socket".to_owned(), row(memory.server_bytes_per_socket, bytes)),
        ("kernel memory per connection, both ends".to_owned(), row(memory.kernel_bytes_per_connection, bytes)),
    ]);
    let mut text = format!(
        "\n{}, {} CPUs, Linux {}; a server of {} shards; {} rounds\n{:NAME$}{:>CELL$}{:>CELL$}{:>CELL$}\n",
        machine.cpu_model, machine.cpus, machine.kernel, load.shards, load.rounds, "", "median", "least", "most"
    );
    for (name, cells) in rows {
        let _ = writeln!(text, "{name:NAME$}{cells}");
    }
    text
}

fn bytes(bytes: f64) -> String {
    format!("{bytes:.0} B")
}

fn row(cost: Cost, format: impl Fn(f64) -> String) -> String {
    [cost.median, cost.min, cost.max].map(|value| format!("{:>CELL$}", format(value))).concat()
}
