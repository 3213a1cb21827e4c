//! The report as a person reads it: one column a side, the ratios last.

use std::fmt::Write;

use super::groups::ProtocolReport;
use super::report::{Report, SideReport};
use crate::wording::{megabytes, ratio_text, thousands, time};

/// Width of the first column and of the others.
const NAME: usize = 34;
const CELL: usize = 26;

/// The same of the table of protocols, which has more columns.
const NARROW: usize = 22;
const NARROW_CELL: usize = 11;

/// The busiest; JSON and page have more.
const THREADS_IN_TABLE: usize = 8;

pub type Cell = fn(&SideReport) -> Option<String>;

/// The rows that every side fills; one that no side can fill is left out.
pub const ROWS: &[(&str, Cell)] = &[
    ("connected in", |side| Some(format!("{:.2} s", side.connect_seconds))),
    ("events published", |side| Some(thousands(f64::from(side.events)))),
    ("timed deliveries", |side| Some(thousands(side.latency.count as f64))),
    ("latency p50", |side| Some(time(side.latency.p50_us))),
    ("        p90", |side| Some(time(side.latency.p90_us))),
    ("        p99", |side| Some(time(side.latency.p99_us))),
    ("        p99.9", |side| Some(time(side.latency.p999_us))),
    ("        p99.99", |side| Some(time(side.latency.p9999_us))),
    ("        max", |side| Some(time(side.latency.max_us))),
    ("first socket reached, median", |side| side.first_delivery_us.map(|span| time(span.median))),
    ("full fan-out, median", |side| side.full_fanout_us.map(|span| time(span.median))),
    ("              least", |side| side.full_fanout_us.map(|span| time(span.min))),
    ("              most", |side| side.full_fanout_us.map(|span| time(span.max))),
    ("deliveries/s, median", |side| side.deliveries_per_second.map(|span| thousands(span.median))),
    ("              best", |side| side.deliveries_per_second.map(|span| thousands(span.max))),
    ("mean latency of a socket, least", |side| side.socket_mean_us.map(|span| time(span.min))),
    ("                         most", |side| side.socket_mean_us.map(|span| time(span.max))),
    ("publisher late, median", |side| Some(time(side.publish_late_us.median))),
    ("                most", |side| Some(time(side.publish_late_us.max))),
    ("publish answered, median", |side| side.publish_answered_us.map(|span| time(span.median))),
    ("server CPU", |side| side.server_cpu_seconds.map(|seconds| format!("{seconds:.2} s"))),
    ("server CPU per delivery", |side| side.server_cpu_ns_per_delivery.map(|ns| format!("{ns:.0} ns"))),
    ("client late by at most, p50", |side| side.client_late_us.map(|late| time(late.p50_us))),
    ("                        p99", |side| side.client_late_us.map(|late| time(late.p99_us))),
    ("client CPU", |side| Some(format!("{:.2} s", side.client_cpu_seconds))),
    ("server memory, empty", |side| side.memory.server_rss_before_bytes.map(megabytes)),
    ("               connected", |side| side.memory.server_rss_connected_bytes.map(megabytes)),
    ("               after the load", |side| side.memory.server_rss_after_bytes.map(megabytes)),
    ("               at most, ever", |side| side.memory.server_rss_peak_bytes.map(megabytes)),
    ("               per socket", |side| side.memory.server_bytes_per_socket.map(|bytes| format!("{bytes:.0} B"))),
    ("kernel slab per socket, both ends", |side| {
        side.memory.slab_bytes_per_socket.map(|bytes| format!("{bytes:.0} B"))
    }),
    ("kernel TCP sockets, connected", |side| {
        side.memory.tcp_sockets_connected.map(|sockets| thousands(sockets as f64))
    }),
    ("kernel TCP buffers, connected", |side| side.memory.tcp_buffers_connected_bytes.map(megabytes)),
    ("stalled sockets", |side| side.stalled.map(|of| thousands(of.sockets.into()))),
    ("  stalled for", |side| side.stalled.map(|of| time(of.stall_seconds * 1e6))),
    ("  whole again after, p50", |side| side.stalled.map(|of| time(of.whole_again.p50_us))),
    ("                     p99", |side| side.stalled.map(|of| time(of.whole_again.p99_us))),
    ("                     max", |side| side.stalled.map(|of| time(of.whole_again.max_us))),
    ("  never whole again", |side| side.stalled.map(|of| thousands(of.never_whole as f64))),
    ("sockets that came and went", |side| side.churned.map(|of| thousands(of.sockets.into()))),
    ("  reconnects", |side| side.churned.map(|of| thousands(of.reconnects as f64))),
    ("  open again after, p50", |side| side.churned.map(|of| time(of.connect.p50_us))),
    ("                    p99", |side| side.churned.map(|of| time(of.connect.p99_us))),
    ("                    max", |side| side.churned.map(|of| time(of.connect.max_us))),
    ("  deliveries to them", |side| side.churned.map(|of| thousands(of.deliveries as f64))),
    ("  their latency, p99", |side| side.churned.map(|of| time(of.latency.p99_us))),
    ("  ended by the server", |side| side.churned.map(|of| thousands(of.ended_early as f64))),
    ("  never back", |side| side.churned.map(|of| thousands(of.never_back as f64))),
    ("gaps told", |side| {
        Some(thousands(side.gaps_told as f64)).filter(|_| side.gaps_told > 0 || side.stalled.is_some())
    }),
    ("  numbers in them", |side| Some(thousands(side.gap_numbers as f64)).filter(|_| side.gaps_told > 0)),
    ("lost", |side| Some(thousands(side.lost as f64))),
    ("duplicated", |side| Some(thousands(side.duplicated as f64))),
    ("reordered", |side| Some(thousands(side.reordered as f64))),
    ("damaged", |side| Some(thousands(side.damaged as f64))),
    ("sockets ended early", |side| Some(thousands(side.ended as f64))),
];

pub type ProtocolCell = fn(&ProtocolReport) -> String;

/// The columns of a side's protocols, where it has several.
pub const PROTOCOLS: &[(&str, ProtocolCell)] = &[
    ("sockets", |of| thousands(of.sockets.into())),
    ("p50", |of| time(of.latency.p50_us)),
    ("p99", |of| time(of.latency.p99_us)),
    ("p99.9", |of| time(of.latency.p999_us)),
    ("max", |of| time(of.latency.max_us)),
    ("lost", |of| thousands(of.lost as f64)),
    ("duplicated", |of| thousands(of.duplicated as f64)),
    ("reordered", |of| thousands(of.reordered as f64)),
    ("damaged", |of| thousands(of.damaged as f64)),
];

/// The whole report, ending with a line break.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "\n{}", headline(report));
    let header: String = report.sides.iter().map(|side| cell(&format!("{} {}", side.name, side.address))).collect();
    let _ = writeln!(text, "{:NAME$}{header}", "");
    for (name, of) in ROWS {
        let cells: Vec<Option<String>> = report.sides.iter().map(of).collect();
        if cells.iter().any(Option::is_some) {
            let line: String = cells.iter().map(|value| cell(value.as_deref().unwrap_or("-"))).collect();
            let _ = writeln!(text, "{name:NAME$}{line}");
        }
    }
    for side in report.sides.iter().filter(|side| !side.protocols.is_empty()) {
        let narrow = |text: &str| format!("{text:>NARROW_CELL$}");
        let header: String = PROTOCOLS.iter().map(|(name, _)| narrow(name)).collect();
        let _ = writeln!(text, "{:NARROW$}{header}", format!("protocols of {}", side.name));
        for protocol in &side.protocols {
            let cells: String = PROTOCOLS.iter().map(|(_, of)| narrow(&of(protocol))).collect();
            let _ = writeln!(text, "{:NARROW$}{cells}", format!("  {}", protocol.name));
        }
    }
    for side in report.sides.iter().filter(|side| side.server_threads.len() > 1) {
        let told = side.server_threads.iter().take(THREADS_IN_TABLE).filter(|thread| thread.cpu_seconds >= 0.01);
        let threads: Vec<String> = told.map(|thread| format!("{} {:.2} s", thread.name, thread.cpu_seconds)).collect();
        if !threads.is_empty() {
            let _ = writeln!(text, "CPU of {}'s threads: {}", side.name, threads.join(", "));
        }
    }
    for doubt in &report.doubts {
        let _ = writeln!(text, "doubtful: {doubt}");
    }
    for (index, why) in report.ended_why.iter().enumerate() {
        let _ = writeln!(text, "{}{why}", if index == 0 { "ended because: " } else { "               " });
    }
    for pair in &report.pairs {
        let (first, versus, rounds) = (&report.sides[0].name, &pair.versus, report.settings.rounds);
        let _ = writeln!(text, "{first} ÷ {versus}, median of {rounds} rounds (least … most)");
        for (name, ratio) in pair.figures() {
            let name = format!("  {name}");
            let _ = writeln!(text, "{name:NAME$}{}", ratio.map_or("-".into(), ratio_text));
        }
    }
    text
}

/// What was measured.
pub fn headline(report: &Report) -> String {
    let settings = &report.settings;
    let what = match settings.burst {
        1 => format!("single events of {} bytes", settings.payload_bytes),
        burst => format!("bursts of {burst} events of {} bytes", settings.payload_bytes),
    };
    let mix = if settings.mix.is_empty() { String::new() } else { format!(" ({})", settings.mix) };
    format!(
        "{} sockets{mix}, {what}, {} rounds of {} timed (+ {} to warm up), every {} ms",
        thousands(f64::from(settings.sockets)),
        settings.rounds,
        settings.timed_steps_per_round,
        settings.warmup_steps_per_round,
        settings.interval_ms
    )
}

fn cell(text: &str) -> String {
    format!("{text:>CELL$}")
}
