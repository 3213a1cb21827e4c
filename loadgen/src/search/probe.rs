//! One rate tried: a whole fanout run, its main figures, and whether it holds.

use serde::Serialize;

use crate::driver::DriverError;
use crate::error::RunError;
use crate::fanout::{Assertion, Report};
use crate::limits::PUBLISHER_LATE_INTERVALS_MAX;
use crate::publisher::PublishError;
use crate::wording::time;

/// A rate that was tried, and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    pub events_per_second: f64,
    pub purpose: Purpose,
    pub holds: bool,
    /// Why it does not hold.
    pub broken: Vec<String>,
    /// What makes the figures tell of something else than the server.
    pub doubts: Vec<String>,
    /// What the assertions are about, as a person reads it.
    #[serde(skip)]
    pub asserted: String,
    /// `None` where the run did not come to its end.
    pub figures: Option<Figures>,
}

/// Why a rate was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    Search,
    /// It had failed.
    Again,
    /// It is the answer.
    Confirm,
    /// It is the answer and had failed to confirm.
    ConfirmAgain,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    pub events: u32,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
    pub full_fanout_median_us: Option<f64>,
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub damaged: u64,
    pub ended: u64,
    pub publish_late_median_us: f64,
    pub publish_late_max_us: f64,
    pub client_late_p99_us: Option<f64>,
    pub client_cpu_seconds: f64,
    pub server_cpu_seconds: Option<f64>,
    pub server_rss_bytes: Option<u64>,
}

impl Probe {
    /// Of a run that came to its end.
    pub fn of(rate: f64, purpose: Purpose, assertions: &[Assertion], report: &Report) -> Self {
        let mut broken = report.broken.clone();
        broken.extend(assertions.iter().filter_map(|assertion| assertion.broken(report)));
        let unsteady: Vec<String> =
            report.sides.iter().filter_map(|side| unsteady(rate, side.publish_late_us.median)).collect();
        // Not the server's fault, so that a limit which rests on it is doubtful.
        let doubts = report.doubts.iter().chain(&unsteady).cloned().collect();
        broken.extend(unsteady);
        let asserted: Vec<String> = assertions.iter().map(|assertion| assertion.figure(report)).collect();
        Self {
            events_per_second: rate,
            purpose,
            holds: broken.is_empty(),
            broken,
            doubts,
            asserted: asserted.join(", "),
            figures: Figures::of(report),
        }
    }

    /// Of a run that did not, by the server's doing.
    pub fn failed(rate: f64, purpose: Purpose, why: String) -> Self {
        let broken = vec![why];
        let (doubts, asserted) = Default::default();
        Self { events_per_second: rate, purpose, holds: false, broken, doubts, asserted, figures: None }
    }

    /// The line that tells of it while the search goes on.
    pub fn line(&self) -> String {
        let prefix = match self.purpose {
            Purpose::Search => "",
            Purpose::Again => "again, ",
            Purpose::Confirm => "to confirm, ",
            Purpose::ConfirmAgain => "to confirm again, ",
        };
        let asserted = if self.asserted.is_empty() { String::new() } else { format!("{}, ", self.asserted) };
        let verdict = if self.holds { "holds".to_owned() } else { format!("fails: {}", self.broken.join("; ")) };
        let doubts: String = self.doubts.iter().map(|doubt| format!("\n  doubtful: {doubt}")).collect();
        format!("{prefix}rate {}/s: {asserted}{verdict}{doubts}", rate_text(self.events_per_second))
    }
}

impl Figures {
    /// Of the only side.
    fn of(report: &Report) -> Option<Self> {
        let side = report.sides.first()?;
        Some(Self {
            events: side.events,
            p50_us: side.latency.p50_us,
            p90_us: side.latency.p90_us,
            p99_us: side.latency.p99_us,
            p999_us: side.latency.p999_us,
            max_us: side.latency.max_us,
            full_fanout_median_us: side.full_fanout_us.map(|span| span.median),
            lost: side.lost,
            duplicated: side.duplicated,
            reordered: side.reordered,
            damaged: side.damaged,
            ended: side.ended,
            publish_late_median_us: side.publish_late_us.median,
            publish_late_max_us: side.publish_late_us.max,
            client_late_p99_us: side.client_late_us.map(|late| late.p99_us),
            client_cpu_seconds: side.client_cpu_seconds,
            server_cpu_seconds: side.server_cpu_seconds,
            server_rss_bytes: side.memory.server_rss_after_bytes,
        })
    }
}

/// Whether an error is the server's answer to too high a rate; any other ends the search.
pub fn is_overload(error: &RunError) -> bool {
    match error {
        RunError::Timeout { .. } => true,
        RunError::Driver(DriverError::Publish(error)) => match error {
            PublishError::Refused { answer, .. } => answer.status == 429 || answer.status >= 500,
            PublishError::Silent { .. } | PublishError::Broken { .. } => true,
            PublishError::Connect { .. }
            | PublishError::Declined { .. }
            | PublishError::Partly { .. }
            | PublishError::Nonsense { .. } => false,
        },
        _ => false,
    }
}

/// A publisher that sends an event when the next is due already sends clumps, which servers like better than a steady rate.
fn unsteady(rate: f64, late_us: f64) -> Option<String> {
    (late_us > PUBLISHER_LATE_INTERVALS_MAX * 1e6 / rate).then(|| {
        format!(
            "the load was not steady: loadgen's publisher was {} late in the median, past the next event's time: give it a CPU of its \
             own (--publisher-cpu)",
            time(late_us)
        )
    })
}

/// A rate with as many digits as tell neighbours apart.
pub fn rate_text(rate: f64) -> String {
    match rate {
        low if low < 10.0 => format!("{low:.2}"),
        middle if middle < 100.0 => format!("{middle:.1}"),
        high => format!("{high:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::example;
    use crate::handshake::Answer;

    fn probe(rate: f64, assertion: &str, report: &Report) -> Probe {
        Probe::of(rate, Purpose::Search, &[assertion.parse().unwrap()], report)
    }

    #[test]
    fn a_probe_holds_where_the_assertion_does_and_nothing_was_lost() {
        let mut report = example();
        assert_eq!(probe(20.0, "p50<20ms", &report).line(), "rate 20.0/s: p50 10.00 ms, holds");
        let failed = probe(20.0, "p50<8ms", &report);
        assert!(!failed.holds && failed.line().contains("fails: p50 is 10.00 ms"), "{}", failed.line());
        report.broken.push("server: 1 deliveries lost".to_owned());
        let lossy = probe(20.0, "p50<20ms", &report);
        assert!(!lossy.holds && lossy.line().contains("1 deliveries lost"), "{}", lossy.line());
    }

    #[test]
    fn a_rate_that_the_publisher_did_not_keep_is_not_shown_to_hold() {
        let mut report = example();
        report.sides[0].publish_late_us.median = 1_100.0;
        let held = |rate| probe(rate, "p50<20ms", &report).holds;
        assert!(held(900.0), "a little late, but before the next is due");
        assert!(!held(1000.0));
        assert!(probe(1000.0, "p50<20ms", &report).line().contains("--publisher-cpu"));
    }

    #[test]
    fn a_server_that_has_too_much_fails_the_rate_and_one_that_is_gone_ends_the_search() {
        let address = "127.0.0.1:1".parse().unwrap();
        let refused = |status| {
            let answer = Answer { status, reason: String::new(), body: String::new() };
            RunError::Driver(DriverError::Publish(PublishError::Refused { address, answer }))
        };
        assert!(is_overload(&refused(503)) && is_overload(&refused(429)));
        assert!(!is_overload(&refused(401)), "a wrong key is no overload");
        let silent = PublishError::Silent { address, seconds: 1 };
        assert!(is_overload(&RunError::Driver(DriverError::Publish(silent))));
        assert!(is_overload(&RunError::Timeout { seconds: 1, doing: String::new() }));
        let gone = PublishError::Connect { address, source: std::io::ErrorKind::ConnectionRefused.into() };
        assert!(!is_overload(&RunError::Driver(DriverError::Publish(gone))));
        assert!(!is_overload(&RunError::ClientGone));
    }

    #[test]
    fn rates_are_written_with_the_digits_that_tell_them_apart() {
        assert_eq!([1.0, 44.721, 316.2].map(rate_text), ["1.00", "44.7", "316"]);
    }
}
