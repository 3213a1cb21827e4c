//! The report as a person reads it.

use std::fmt::Write;

use super::report::WebhooksReport;
use crate::wording::{megabytes, thousands, time};

/// Width of the first column and of the other.
const NAME: usize = 42;
const CELL: usize = 22;

type Cell = fn(&WebhooksReport) -> Option<String>;

fn count(number: u64) -> Option<String> {
    Some(thousands(number as f64))
}

/// A count that is only worth a line where there is something to count.
fn some(number: u64) -> Option<String> {
    count(number).filter(|_| number > 0)
}

/// One that the run has no figure for is left out.
const ROWS: &[(&str, Cell)] = &[
    ("webhooks made in", |of| Some(format!("{:.2} s", of.made_seconds))),
    ("published in", |of| Some(format!("{:.2} s", of.published_seconds))),
    ("publisher late, median", |of| of.publish_late_us.map(|span| time(span.median))),
    ("                most", |of| of.publish_late_us.map(|span| time(span.max))),
    ("publish answered, median", |of| of.publish_answered_us.map(|span| time(span.median))),
    ("deliveries to healthy endpoints", |of| count(of.deliveries)),
    ("latency p50", |of| of.latency.map(|all| time(all.p50_us))),
    ("        p90", |of| of.latency.map(|all| time(all.p90_us))),
    ("        p99", |of| of.latency.map(|all| time(all.p99_us))),
    ("        p99.9", |of| of.latency.map(|all| time(all.p999_us))),
    ("        max", |of| of.latency.map(|all| time(all.max_us))),
    ("deliveries/s, from the first to the last", |of| of.deliveries_per_second.map(thousands)),
    ("after a later event, share", |of| Some(format!("{:.2} %", of.out_of_order_share * 100.0))),
    ("bare POST loop, posts/s", |of| of.floor.as_ref().map(|floor| list(&floor.posts_per_second))),
    ("                CPU per post, ns", |of| of.floor.as_ref().map(|floor| list(&floor.cpu_ns_per_post))),
    ("deliveries/s ÷ bare POST loop", |of| of.floor.as_ref()?.ratio.map(|ratio| format!("{ratio:.3}"))),
    ("server CPU", |of| of.server_cpu_seconds.map(|seconds| format!("{seconds:.2} s"))),
    ("server CPU per request", |of| of.server_cpu_ns_per_request.map(|ns| time(ns / 1e3))),
    ("server memory, in the end", |of| of.server_memory.map(|memory| megabytes(memory.rss_bytes))),
    ("sink CPU", |of| Some(format!("{:.2} s", of.sink_cpu_seconds))),
    ("connections that the sink took", |of| count(of.connections)),
    ("answered 500 on purpose", |of| some(of.errors_answered)),
    ("reset on purpose", |of| some(of.resets)),
    ("not answered on purpose", |of| some(of.unanswered_on_purpose)),
    ("answers that the server did not wait for", |of| some(of.answers_not_taken)),
    ("retries of healthy endpoints' deliveries", |of| some(of.retries)),
    ("attempts sent again after a reset", |of| some(of.sent_again_after_resets)),
    ("webhooks that could not be deleted", |of| some(of.webhooks_not_deleted as u64)),
    ("missing", |of| count(of.missing)),
    ("duplicates under the same id", |of| count(of.duplicates)),
    ("ids of more than one delivery", |of| count(of.shared_ids)),
    ("wrong requests", |of| count(of.faults)),
];

/// The whole report, ending with a line break.
pub fn render(report: &WebhooksReport) -> String {
    let settings = &report.settings;
    let pace = match settings.rate {
        Some(rate) => format!("{rate:.0} events/s"),
        None => "all at once".into(),
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{} webhooks at {} ({} healthy, {} never answer, {} answer 500), {} events of {} bytes (+ {} to warm up), {pace}",
        settings.endpoints,
        settings.server,
        settings.healthy,
        settings.hang,
        settings.fail,
        thousands(settings.timed_events.into()),
        settings.payload_bytes,
        settings.warmup_events,
    );
    if settings.delay_ms + settings.errors_share + settings.resets_share > 0.0 {
        let _ = writeln!(
            text,
            "healthy ones answer after {:.0} ms; of first attempts {:.1} % are answered 500 and {:.1} % reset (seed {})",
            settings.delay_ms,
            settings.errors_share * 100.0,
            settings.resets_share * 100.0,
            settings.seed
        );
    }
    for (name, of) in ROWS {
        if let Some(cell) = of(report) {
            let _ = writeln!(text, "{name:NAME$}{cell:>CELL$}");
        }
    }
    for told in &report.faults_told {
        let _ = writeln!(text, "wrong: {told}");
    }
    text
}

fn list(figures: &[f64]) -> String {
    figures.iter().map(|figure| thousands(*figure)).collect::<Vec<_>>().join(", ")
}
