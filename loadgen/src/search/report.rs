//! The results of a search, for JSON and for people.

use std::fmt::Write;

use serde::Serialize;

use super::args::SearchLoad;
use super::bisection::Answer;
use super::probe::{Probe, Purpose, rate_text};
use crate::error::RunError;
use crate::figures::Machine;
use crate::wording::{thousands, time};

#[derive(Debug, Serialize)]
pub struct SearchReport {
    pub machine: Machine,
    pub settings: Settings,
    /// The highest rate that held; `None` where none did.
    pub holds_events_per_second: Option<f64>,
    /// The lowest rate that failed; `None` where the highest that was asked for held.
    pub fails_events_per_second: Option<f64>,
    /// Whether the answer held in the probe that was to confirm it; `None` where there was none.
    pub confirmed: Option<bool>,
    /// In the order in which they were made.
    pub probes: Vec<Probe>,
    /// What did not hold; empty where there is an answer, and it is confirmed.
    pub broken: Vec<String>,
    /// What ended the search before it had its answer.
    pub stopped_by: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Settings {
    pub sockets: u32,
    pub payload_bytes: usize,
    pub assertions: Vec<String>,
    pub min_events_per_second: f64,
    pub max_events_per_second: f64,
    pub probe_seconds: f64,
    pub precision_percent: f64,
}

impl SearchReport {
    pub fn new(
        load: &SearchLoad,
        answer: Answer,
        confirmed: Option<bool>,
        probes: Vec<Probe>,
        stopped_by: Option<&RunError>,
    ) -> Self {
        let mut broken = Vec::new();
        if let Answer::Nothing { fails } = answer {
            let why = probes.last().map(|probe| probe.broken.join("; ")).unwrap_or_default();
            broken.push(format!("even the lowest rate, {}/s, fails: {why}", rate_text(fails)));
        }
        if let (Some(holds), Some(false)) = (answer.holds(), confirmed) {
            broken.push(format!(
                "{}/s held when it was first tried, and failed twice when it was to be confirmed: the answer can't be relied on",
                rate_text(holds)
            ));
        }
        Self {
            machine: Machine::this(),
            settings: Settings {
                sockets: load.sockets(),
                payload_bytes: load.payload_bytes(),
                assertions: load.assertions.iter().map(ToString::to_string).collect(),
                min_events_per_second: load.range.min_rate,
                max_events_per_second: load.range.max_rate,
                probe_seconds: load.lasting.as_secs_f64(),
                precision_percent: load.range.precision * 100.0,
            },
            holds_events_per_second: answer.holds(),
            fails_events_per_second: answer.fails(),
            confirmed,
            probes,
            broken,
            stopped_by: stopped_by.map(ToString::to_string),
        }
    }

    /// The answer in a sentence.
    fn answer(&self) -> String {
        let asserted = self.settings.assertions.join(" and ");
        let told = match (self.holds_events_per_second, self.fails_events_per_second) {
            (None, None) => return "nothing is known: no rate was tried to the end".to_owned(),
            (None, Some(fails)) => {
                return format!("{asserted} does not even hold at {} events a second", rate_text(fails));
            }
            (Some(holds), None) => format!("{asserted} holds at least up to {} events a second", rate_text(holds)),
            (Some(holds), Some(fails)) => {
                format!(
                    "{asserted} holds up to {} events a second, and fails at {}",
                    rate_text(holds),
                    rate_text(fails)
                )
            }
        };
        let confirmed = match self.confirmed {
            Some(true) if self.took_two() => " (confirmed by the second of two more runs; the first one failed)",
            Some(true) => " (confirmed by one more run)",
            Some(false) => " (NOT confirmed: two more runs at that rate failed)",
            None => " (not confirmed: the search did not come to its end)",
        };
        told + confirmed
    }

    /// Whether the first run that was to confirm the answer failed.
    fn took_two(&self) -> bool {
        self.probes.iter().any(|probe| probe.purpose == Purpose::ConfirmAgain)
    }

    /// What may limit other than the server: the doubts of the lowest rate that failed.
    fn limit_doubts(&self) -> impl Iterator<Item = &String> {
        let at_limit = |probe: &&Probe| Some(probe.events_per_second) == self.fails_events_per_second;
        self.probes.iter().filter(at_limit).flat_map(|probe| &probe.doubts)
    }
}

const RATE: usize = 12;
const CELL: usize = 12;

/// The whole report, ending with a line break.
pub fn render(report: &SearchReport) -> String {
    let mut text = String::new();
    let settings = &report.settings;
    let _ = writeln!(
        text,
        "\n{} sockets, single events of {} bytes, {} s each rate",
        thousands(f64::from(settings.sockets)),
        settings.payload_bytes,
        settings.probe_seconds
    );
    let _ = write!(text, "{:>RATE$}", "events/s");
    for name in ["p50", "p99", "p99.9", "max", "full median", "publ. late"] {
        let _ = write!(text, "{name:>CELL$}");
    }
    let _ = writeln!(text);
    let mut probes: Vec<&Probe> = report.probes.iter().collect();
    probes.sort_by(|one, other| one.events_per_second.total_cmp(&other.events_per_second));
    for probe in probes {
        let _ = write!(text, "{:>RATE$}", rate_text(probe.events_per_second));
        let _ = match probe.figures {
            Some(of) => {
                let times =
                    [Some(of.p50_us), Some(of.p99_us), Some(of.p999_us), Some(of.max_us), of.full_fanout_median_us];
                let times = times.into_iter().chain([Some(of.publish_late_median_us)]);
                let cells: String = times.map(|us| format!("{:>CELL$}", us.map_or("-".to_owned(), time))).collect();
                write!(text, "{cells}")
            }
            None => write!(text, "{:>width$}", "no figures", width = 6 * CELL),
        };
        let verdict = if probe.holds { "holds" } else { "fails" };
        let doubtful = if probe.doubts.is_empty() { "" } else { ", doubtful" };
        let _ = writeln!(text, "  {verdict}{doubtful}");
    }
    let mut doubts: Vec<&String> = report.limit_doubts().collect();
    doubts.dedup();
    for doubt in doubts {
        let _ = writeln!(text, "the limit is doubtful: {doubt}");
    }
    let _ = writeln!(text, "{}", report.answer());
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    fn report(answer: Answer, confirmed: Option<bool>) -> SearchReport {
        let arguments = Arguments::try_parse_from(["loadgen", "search", "--assert", "p99<20ms"]).unwrap();
        let Command::Search(arguments) = arguments.command else { unreachable!("asked for search") };
        let mut failed = Probe::failed(40.0, Purpose::Search, "p99 is 30.00 ms".to_owned());
        failed.doubts.push("a publisher that is late".to_owned());
        let mut far = Probe::failed(2000.0, Purpose::Search, "too much".to_owned());
        far.doubts.push("a kernel without room".to_owned());
        SearchReport::new(&arguments.load().unwrap(), answer, confirmed, vec![far, failed], None)
    }

    #[test]
    fn the_answer_says_how_much_is_known() {
        let between = report(Answer::Between { holds: 38.5, fails: 40.0 }, Some(true));
        assert!(between.broken.is_empty());
        let text = render(&between);
        assert!(
            text.contains("p99 < 20.00 ms holds up to 38.5 events a second, and fails at 40.0 (confirmed"),
            "{text}"
        );
        assert!(text.contains("the limit is doubtful: a publisher that is late") && !text.contains("without room"));
        let mut again = report(Answer::Between { holds: 38.5, fails: 40.0 }, Some(true));
        again.probes.push(Probe::failed(38.5, Purpose::ConfirmAgain, String::new()));
        assert!(render(&again).contains("(confirmed by the second of two more runs"));
        let text = render(&report(Answer::AtLeast { holds: 2000.0 }, None));
        assert!(text.contains("at least up to 2000 events a second (not confirmed"), "{text}");
        assert!(render(&report(Answer::Unknown, None)).contains("nothing is known"));
    }

    #[test]
    fn an_answer_that_is_not_confirmed_or_not_there_is_broken() {
        let unconfirmed = report(Answer::Between { holds: 38.5, fails: 40.0 }, Some(false));
        assert!(unconfirmed.broken[0].contains("can't be relied on"), "{:?}", unconfirmed.broken);
        assert!(render(&unconfirmed).contains("NOT confirmed"));
        let nothing = report(Answer::Nothing { fails: 1.0 }, None);
        assert_eq!(nothing.broken, ["even the lowest rate, 1.00/s, fails: p99 is 30.00 ms"]);
    }
}
