//! The results of a storm: as they are written to JSON, and as a person reads them.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use serde::Serialize;

use super::args::StormLoad;
use super::inbox::Faults;
use super::role::{Live, Moments, Resuming, Role};
use super::run::History;
use crate::driver::RoundOutcome;
use crate::figures::{Machine, Quantiles, Span};
use crate::wording::{megabytes, thousands, time};

/// Width of the first column and of the others.
const NAME: usize = 34;
const CELL: usize = 16;

/// The most memory that was seen from the beginning of the storm.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Peak {
    pub server_rss_bytes: Option<u64>,
    pub tcp_buffer_bytes: Option<u64>,
}

/// A run whose books are closed.
pub struct Closed {
    pub history: History,
    pub outcome: RoundOutcome,
    pub moments: Arc<Moments>,
    pub resuming: Resuming,
    pub live: Live,
    /// Deliveries to resuming sockets until all were live.
    pub stormed: u64,
    pub faults: Faults,
    /// Whether each answer's numbers were later than those before.
    pub in_order: bool,
    pub ended: u64,
    pub ended_why: Vec<String>,
    pub peak: Peak,
}

impl Default for Closed {
    fn default() -> Self {
        let moments = Arc::new(Moments::default());
        Self {
            history: History { seconds: 0.0, seqs: Vec::new() },
            outcome: RoundOutcome::new(),
            resuming: Resuming::new(Arc::clone(&moments), 0),
            live: Live::new(Arc::clone(&moments)),
            moments,
            stormed: 0,
            faults: Faults::default(),
            in_order: false,
            ended: 0,
            ended_why: Vec::new(),
            peak: Peak::default(),
        }
    }
}

impl Closed {
    /// Takes one crowd's book.
    pub fn add(&mut self, role: Role, faults: Faults) {
        self.faults = self.faults.sum(faults);
        match role {
            Role::Resuming(resuming) => self.resuming = resuming,
            Role::Live(live) => self.live = live,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct StormReport {
    pub machine: Machine,
    pub settings: Settings,
    pub history: HistoryReport,
    pub resuming: ResumingReport,
    pub live: LiveReport,
    pub faults: Faults,
    pub sockets_ended: u64,
    /// How late the publisher itself began a request.
    pub publish_late_us: Option<Span>,
    /// From an event's intended time until the server's answer.
    pub publish_answered_us: Option<Span>,
    pub most: Peak,
    /// What did not hold; empty where each socket got all of its events, once, in order and whole.
    pub broken: Vec<String>,
    /// Why sockets ended before they were told to: the first few.
    pub ended_why: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct Settings {
    pub address: String,
    pub sockets: u32,
    pub accounts: usize,
    pub history_events: u32,
    pub matching: u32,
    pub live_sockets: u32,
    pub events_per_second: f64,
    pub payload_bytes: usize,
    pub seed: u64,
}

#[derive(Debug, Serialize)]
pub struct HistoryReport {
    pub seconds: f64,
    pub events_per_second: f64,
}

/// From the beginning of the storm.
#[derive(Debug, Serialize)]
pub struct ResumingReport {
    /// Until a socket's upgrade was answered.
    pub opened: Quantiles,
    /// Until a socket had all its history and the first event published after it had opened.
    pub live: Quantiles,
    pub all_live_seconds: Option<f64>,
    pub never_live: u64,
    pub deliveries: u64,
    pub deliveries_per_second: Option<f64>,
}

/// Of the sockets that were live all the time, from the intended publish time.
#[derive(Debug, Serialize)]
pub struct LiveReport {
    pub before: Quantiles,
    pub during: Quantiles,
    pub after: Quantiles,
    pub p99_ratio: Option<f64>,
}

impl StormReport {
    pub fn new(load: &StormLoad, closed: Closed) -> Self {
        let Closed { moments, resuming, live, .. } = &closed;
        let (began, over) = (moments.began_ns.load(Relaxed), moments.over_ns.load(Relaxed));
        let all_live_seconds = (over != u64::MAX).then(|| over.saturating_sub(began) as f64 / 1e9);
        let (before, during) = (Quantiles::of(&live.before), Quantiles::of(&live.during));
        let never_live = u64::from(load.sockets).saturating_sub(resuming.live.len());
        Self {
            machine: Machine::this(),
            settings: Settings {
                address: load.server.authority(),
                sockets: load.sockets,
                accounts: load.resuming_keys.len(),
                history_events: load.shape.history,
                matching: load.shape.matching,
                live_sockets: load.live,
                events_per_second: 1e9 / load.schedule.interval_ns as f64,
                payload_bytes: load.shape.payload_bytes,
                seed: load.shape.seed,
            },
            history: HistoryReport {
                seconds: closed.history.seconds,
                events_per_second: f64::from(load.shape.history) / closed.history.seconds.max(1e-9),
            },
            resuming: ResumingReport {
                opened: Quantiles::of(&resuming.opened),
                live: Quantiles::of(&resuming.live),
                all_live_seconds,
                never_live,
                deliveries: closed.stormed,
                deliveries_per_second: all_live_seconds.map(|seconds| closed.stormed as f64 / seconds.max(1e-9)),
            },
            live: LiveReport {
                before,
                during,
                after: Quantiles::of(&live.after),
                p99_ratio: (before.count > 0 && during.count > 0).then(|| during.p99_us / before.p99_us),
            },
            faults: closed.faults,
            sockets_ended: closed.ended,
            publish_late_us: Span::of_histogram(&closed.outcome.late),
            publish_answered_us: Span::of_histogram(&closed.outcome.answered),
            most: closed.peak,
            broken: broken(&closed.faults, never_live, closed.ended, closed.in_order),
            ended_why: closed.ended_why,
        }
    }
}

fn broken(faults: &Faults, never_live: u64, ended: u64, in_order: bool) -> Vec<String> {
    let counts = [
        ("deliveries lost", faults.lost),
        ("duplicated", faults.duplicated),
        ("reordered", faults.reordered),
        ("of another account", faults.foreign),
        ("damaged", faults.damaged),
        ("events under another number than the publisher was told", faults.renumbered),
        ("gaps told", faults.gaps),
        ("sockets never live", never_live),
        ("sockets ended early", ended),
        ("publishers told numbers out of order", u64::from(!in_order)),
    ];
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(what, count)| format!("{count} {what}")).collect()
}

/// The whole report, ending with a line break.
pub fn render(report: &StormReport) -> String {
    let StormReport { settings, resuming, live, faults, .. } = report;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{} sockets of {} accounts resume at once over {} events of {} bytes, up to {} of which match each; {} live \
         sockets beside them, {:.0} events/s, seed {}",
        thousands(settings.sockets.into()),
        settings.accounts,
        thousands(settings.history_events.into()),
        settings.payload_bytes,
        settings.matching,
        thousands(settings.live_sockets.into()),
        settings.events_per_second,
        settings.seed
    );
    let columns = [
        ("connected", resuming.opened),
        ("live", resuming.live),
        ("before", live.before),
        ("during", live.during),
        ("after", live.after),
    ];
    let _ = writeln!(
        text,
        "{:NAME$}{:>width$}{:>rest$}",
        "",
        "since the storm began",
        "live sockets' latency",
        width = 2 * CELL,
        rest = 3 * CELL
    );
    let line = |text: &mut String, name: &str, cell: &dyn Fn(&Quantiles) -> String| {
        let cells: String = columns.iter().map(|(_, of)| format!("{:>CELL$}", cell(of))).collect();
        let _ = writeln!(text, "{name:NAME$}{cells}");
    };
    let names: String = columns.iter().map(|(name, _)| format!("{name:>CELL$}")).collect();
    let _ = writeln!(text, "{:NAME$}{names}", "");
    line(&mut text, "how many", &|of| thousands(of.count as f64));
    let figure = |of: &Quantiles, us: f64| if of.count == 0 { "-".to_owned() } else { time(us) };
    line(&mut text, "p50", &|of| figure(of, of.p50_us));
    line(&mut text, "p99", &|of| figure(of, of.p99_us));
    line(&mut text, "p99.9", &|of| figure(of, of.p999_us));
    line(&mut text, "max", &|of| figure(of, of.max_us));
    let seconds = |seconds: f64| time(seconds * 1e6);
    let figures = [
        ("all live after", Some(resuming.all_live_seconds.map_or("never".into(), seconds))),
        ("deliveries until then", Some(thousands(resuming.deliveries as f64))),
        ("deliveries/s", resuming.deliveries_per_second.map(thousands)),
        ("live p99, during ÷ before", live.p99_ratio.map(|ratio| format!("{ratio:.2}"))),
        ("history published in", Some(seconds(report.history.seconds))),
        ("                events/s", Some(thousands(report.history.events_per_second))),
        ("publisher late, median", report.publish_late_us.map(|span| time(span.median))),
        ("                most", report.publish_late_us.map(|span| time(span.max))),
        ("publish answered, median", report.publish_answered_us.map(|span| time(span.median))),
        ("                  most", report.publish_answered_us.map(|span| time(span.max))),
        ("server memory, most", report.most.server_rss_bytes.map(megabytes)),
        ("kernel TCP buffers, most", report.most.tcp_buffer_bytes.map(megabytes)),
        ("lost", Some(thousands(faults.lost as f64))),
        ("duplicated", Some(thousands(faults.duplicated as f64))),
        ("reordered", Some(thousands(faults.reordered as f64))),
        ("damaged, foreign, renumbered", Some(thousands((faults.damaged + faults.foreign + faults.renumbered) as f64))),
        ("gaps told", Some(thousands(faults.gaps as f64))),
        ("sockets never live", Some(thousands(resuming.never_live as f64))),
        ("sockets ended early", Some(thousands(report.sockets_ended as f64))),
    ];
    for (name, value) in figures {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:NAME$}{value:>CELL$}");
        }
    }
    for (index, why) in report.ended_why.iter().enumerate() {
        let _ = writeln!(text, "{}{why}", if index == 0 { "ended because: " } else { "               " });
    }
    if report.broken.is_empty() {
        let _ = writeln!(text, "every socket got each of its events once, in order: history, then live");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_does_not_hold_is_told() {
        assert!(broken(&Faults::default(), 0, 0, true).is_empty());
        let all = Faults {
            lost: 1,
            duplicated: 1,
            reordered: 1,
            foreign: 1,
            damaged: 1,
            renumbered: 1,
            gaps: 1,
            other_messages: 1,
        };
        assert_eq!(broken(&all, 1, 1, false).len(), 10, "other messages are none of it");
        assert_eq!(broken(&Faults { gaps: 2, ..Faults::default() }, 0, 0, true), ["2 gaps told"]);
    }
}
