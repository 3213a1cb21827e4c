//! The results of a soak as a person reads them.

use std::fmt::Write;

use super::report::SoakReport;
use super::sample::clock_text;
use crate::wording::{thousands, time};

const NAME: usize = 24;
const CELL: usize = 14;

/// The whole report, ending with a line break.
pub fn render(report: &SoakReport) -> String {
    let mut text = String::new();
    let settings = &report.settings;
    let lasted = report.samples.last().map_or(0.0, |sample| sample.seconds);
    let _ = writeln!(
        text,
        "\n{} sockets, {} events of {} bytes at {:.1} a second, {} of {} sampled every {} s",
        thousands(f64::from(settings.sockets)),
        thousands(report.events as f64),
        settings.payload_bytes,
        settings.events_per_second,
        clock_text(lasted),
        clock_text(settings.asked_seconds),
        settings.sample_seconds
    );
    let latency = &report.latency;
    let _ = writeln!(
        text,
        "{} deliveries: p50 {}, p99 {}, p99.9 {}, p99.99 {}, max {}",
        thousands(latency.count as f64),
        time(latency.p50_us),
        time(latency.p99_us),
        time(latency.p999_us),
        time(latency.p9999_us),
        time(latency.max_us)
    );
    if let Some(late) = report.publish_late_us {
        let _ = writeln!(text, "publisher late: median {}, most {}", time(late.median), time(late.max));
    }
    let faults = &report.faults;
    let _ = writeln!(
        text,
        "{} lost, {} duplicated, {} reordered, {} damaged, {} sockets ended early",
        thousands(faults.lost as f64),
        thousands(faults.duplicated as f64),
        thousands(faults.reordered as f64),
        thousands(faults.damaged as f64),
        thousands(report.ended as f64)
    );
    if faults.uncompared > 0 || faults.gaps > 0 {
        let _ = writeln!(
            text,
            "{} copies came too late to be compared byte for byte, {} gaps told",
            thousands(faults.uncompared as f64),
            thousands(faults.gaps as f64)
        );
    }
    drifts(report, &mut text);
    for doubt in &report.doubts {
        let _ = writeln!(text, "doubtful: {doubt}");
    }
    for (index, why) in report.ended_why.iter().enumerate() {
        let _ = writeln!(text, "{}{why}", if index == 0 { "ended because: " } else { "               " });
    }
    if let Some(why) = &report.stopped_by {
        let _ = writeln!(text, "ended early: {why}");
    }
    text
}

fn drifts(report: &SoakReport, text: &mut String) {
    if report.drifts.is_empty() {
        let _ = writeln!(text, "too short to compare its beginning with its end");
        return;
    }
    let cell = |value: &str| format!("{value:>CELL$}");
    let head: String = ["first tenth", "last tenth", "growth", "per hour"].iter().map(|name| cell(name)).collect();
    let _ = writeln!(text, "{:NAME$}{head}", "");
    for row in &report.drifts {
        let figures = [
            row.unit.write(row.drift.first),
            row.unit.write(row.drift.last),
            row.growth(),
            row.unit.write(row.drift.per_hour),
        ];
        let cells: String = figures.iter().map(|figure| cell(figure)).collect();
        let verdict = match &row.bound {
            Some(bound) if row.holds => format!("  held: {bound}"),
            Some(bound) => format!("  BROKEN: {bound}"),
            None => String::new(),
        };
        let _ = writeln!(text, "{:NAME$}{cells}{verdict}", row.name);
    }
}
