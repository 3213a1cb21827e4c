//! The results of a run as a person reads them.

use std::fmt::Write;

use super::report::{Restart, RestartReport};
use crate::wording::{thousands, time};

/// Width of the first column and of the others.
const NAME: usize = 34;
const CELL: usize = 14;

/// The whole report, ending with a line break.
pub fn render(report: &RestartReport) -> String {
    let RestartReport { settings, publisher, faults, notes, .. } = report;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{} sockets, {} events of {} bytes at {:.0} a second, {} restarts seen",
        thousands(settings.sockets.into()),
        thousands(publisher.events as f64),
        settings.payload_bytes,
        settings.events_per_second,
        report.restarts.len()
    );
    restarts(&report.restarts, &mut text);
    let count = |count: u64| Some(thousands(count as f64));
    let seconds = |seconds: f64| time(seconds * 1e6);
    let figures = [
        ("deliveries", count(report.deliveries)),
        ("lost", count(faults.lost)),
        ("duplicated", count(faults.duplicated)),
        ("reordered", count(faults.reordered)),
        ("damaged, renumbered", count(faults.damaged + faults.renumbered)),
        ("gaps told", count(notes.gaps_crash + notes.gaps_retention + notes.gaps_latest)),
        ("sockets not back in the end", count(faults.never_back)),
        ("requests of the publisher", count(publisher.requests)),
        ("outages of it", count(publisher.outages)),
        ("         longest", (publisher.outages > 0).then(|| seconds(publisher.outage_longest_seconds))),
        ("events sent again", count(publisher.sent_again)),
        ("         known already", count(publisher.known_already)),
        ("publisher late, median", publisher.late_us.map(|span| time(span.median))),
        ("publish answered, median", publisher.answered_us.map(|span| time(span.median))),
        ("                  most", publisher.answered_us.map(|span| time(span.max))),
        ("messages not understood", (notes.other_messages > 0).then(|| thousands(notes.other_messages as f64))),
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
        let _ = writeln!(text, "every socket got each event once, in order, over all of its connections");
    }
    text
}

/// A column for each.
fn restarts(restarts: &[Restart], text: &mut String) {
    if restarts.is_empty() {
        return;
    }
    let heads: String = (1..=restarts.len()).map(|number| format!("{:>CELL$}", format!("restart {number}"))).collect();
    let _ = writeln!(text, "{:NAME$}{heads}", "");
    let mut line = |name: &str, cell: &dyn Fn(&Restart) -> String| {
        let cells: String = restarts.iter().map(|restart| format!("{:>CELL$}", cell(restart))).collect();
        let _ = writeln!(text, "{name:NAME$}{cells}");
    };
    let count = |count: u64| thousands(count as f64);
    let of_some = |figure: Option<f64>, write: &dyn Fn(f64) -> String| figure.map_or("-".to_owned(), write);
    let away = |restart: &Restart, us: f64| if restart.live_again.count == 0 { "-".to_owned() } else { time(us) };
    line("told when to come back", &|restart| count(restart.told));
    line("closed with 1012", &|restart| count(restart.closed_1012));
    line("ended otherwise", &|restart| count(restart.ended_otherwise));
    line("reconnects", &|restart| count(restart.reconnects));
    line("         refused", &|restart| count(restart.refused));
    line("         most in a second", &|restart| count(restart.most_in_a_second));
    line("         most told in a second", &|restart| count(restart.told_most_in_a_second));
    line("         paced a second", &|restart| of_some(restart.paced_per_second, &|paced| format!("{paced:.1}")));
    line("         most ÷ paced", &|restart| of_some(restart.pace_ratio, &|ratio| format!("{ratio:.3}")));
    line("         loadgen late, median", &|restart| of_some(restart.late_us.map(|span| span.median), &time));
    line("                       most", &|restart| of_some(restart.late_us.map(|span| span.max), &time));
    line("from close to live again, p50", &|restart| away(restart, restart.live_again.p50_us));
    line("                          p99", &|restart| away(restart, restart.live_again.p99_us));
    line("                          max", &|restart| away(restart, restart.live_again.max_us));
    line("not live again", &|restart| count(restart.never_live_again));
}
