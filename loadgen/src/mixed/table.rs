//! The report as a person reads it: one column a protocol.

use std::fmt::Write;

use super::book::Fault;
use super::report::{MixedReport, ProtocolReport};
use crate::wording::{megabytes, thousands, time};

/// Width of the first column and of the others.
const NAME: usize = 34;
const CELL: usize = 14;

type Cell = fn(&ProtocolReport) -> String;

const ROWS: &[(&str, Cell)] = &[
    ("sockets", |of| thousands(of.sockets.into())),
    ("different sets of topics", |of| thousands(of.topic_sets as f64)),
    ("events published", |of| thousands(of.events.into())),
    ("deliveries due", |of| thousands(of.deliveries_due as f64)),
    ("deliveries made", |of| thousands(of.latency.count as f64)),
    ("latency p50", |of| time(of.latency.p50_us)),
    ("        p90", |of| time(of.latency.p90_us)),
    ("        p99", |of| time(of.latency.p99_us)),
    ("        p99.9", |of| time(of.latency.p999_us)),
    ("        max", |of| time(of.latency.max_us)),
    ("server's ping frames answered", |of| thousands(of.server_pings as f64)),
    ("clients' pings answered", |of| thousands(of.pongs as f64)),
];

/// The whole report, ending with a line break.
pub fn render(report: &MixedReport) -> String {
    let settings = &report.settings;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{} sockets a protocol of {}, {} accounts, {} events, {} every {} ms, seed {}",
        thousands(settings.sockets_per_protocol.into()),
        settings.address,
        settings.accounts,
        thousands(settings.events.into()),
        settings.burst,
        settings.interval_ms,
        settings.seed
    );
    let line = |text: &mut String, name: &str, cell: &dyn Fn(&ProtocolReport) -> String| {
        let cells: String = report.protocols.iter().map(|of| format!("{:>CELL$}", cell(of))).collect();
        let _ = writeln!(text, "{name:NAME$}{cells}");
    };
    line(&mut text, "", &|of| of.name.to_owned());
    for (name, cell) in ROWS {
        line(&mut text, name, cell);
    }
    for fault in Fault::ALL {
        line(&mut text, fault.name(), &|of| thousands(of.faults[fault.name()] as f64));
    }
    let _ = writeln!(text, "{:NAME$}{:>CELL$}", "ready in", format!("{:.2} s", report.connect_seconds));
    let figures = [
        ("publisher late, median", report.publish_late_us.map(|span| time(span.median))),
        ("                most", report.publish_late_us.map(|span| time(span.max))),
        ("publish answered, median", report.publish_answered_us.map(|span| time(span.median))),
        ("                  most", report.publish_answered_us.map(|span| time(span.max))),
        ("client CPU", Some(format!("{:.2} s", report.client_cpu_seconds))),
        ("server CPU", report.server_cpu_seconds.map(|seconds| format!("{seconds:.2} s"))),
        ("server memory, connected", report.server_rss_connected_bytes.map(megabytes)),
    ];
    for (name, value) in figures {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:NAME$}{value:>CELL$}");
        }
    }
    for (index, example) in report.examples.iter().enumerate() {
        let _ = writeln!(text, "{}{example}", if index == 0 { "for example: " } else { "             " });
    }
    if report.broken.is_empty() {
        let _ = writeln!(text, "every socket got exactly what it should, in order, and nothing else");
    }
    text
}
