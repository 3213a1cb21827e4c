//! `--report FILE`: the results as one self-contained page, without a script, for a screen and for paper.

mod chart;
mod plots;

use std::fmt::Write;

use super::report::{Report, SideReport};
use super::table::{PROTOCOLS, ROWS, headline};
use crate::wording::{ratio_text, thousands, time};
use chart::escape;

/// The whole page.
pub fn page(report: &Report) -> String {
    let mut html = String::new();
    let title = escape(&headline(report));
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, \
         initial-scale=1\"><title>Fan-out latency: {title}</title><style>{}</style></head><body><main>",
        include_str!("style.css")
    );
    let _ = write!(html, "<h1>Fan-out latency</h1><p>{title}</p>{}", verdict(report));
    for doubt in &report.doubts {
        let _ = write!(html, "<p class=\"verdict doubtful\">{}</p>", escape(doubt));
    }
    tiles(&mut html, report);
    section(&mut html, "Latency by percentile", LATENCY, &(plots::by_percentile(report) + &plots::legend(report)));
    if report.sides.iter().any(|side| side.over_time.len() > 1) {
        section(&mut html, "Latency over time", OVER_TIME, &plots::over_time(report));
    }
    if !report.pairs.is_empty() {
        section(&mut html, "Beside the others", RATIOS, &plots::ratios(report));
    }
    for side in report.sides.iter().filter(|side| !side.protocols.is_empty()) {
        protocols(&mut html, side);
    }
    for (number, side) in report.sides.iter().enumerate().filter(|(_, side)| side.server_threads.len() > 1) {
        let name = format!("Load of the threads of {}", escape(&side.name));
        section(&mut html, &name, THREADS, &plots::threads(side, number));
    }
    figures(&mut html, report);
    let machine = &report.machine;
    let _ = write!(
        html,
        "<footer>Linux {}, {} CPUs. Times count from when an event was to be published, whether or not the server was ready for it.\
         </footer></main></body></html>",
        escape(&machine.kernel),
        machine.cpus
    );
    html
}

const LATENCY: &str = "How long deliveries took, all sockets together. Each mark to the right is ten times rarer.";
const OVER_TIME: &str =
    "p99 of each stretch of the load, and p50 as the thinner line, by when an event was to be published.";
const RATIOS: &str = "Each round measures all contenders one after another. A dot is the median of the rounds' ratios, the line goes from the least to the most. Left of 1, the first one is quicker.";
const THREADS: &str = "CPU time while rounds ran. Shards that differ much are not equally loaded.";

fn verdict(report: &Report) -> String {
    if report.interrupted {
        return "<p class=\"verdict broken\">Interrupted: what was measured until then.</p>".to_owned();
    }
    match &report.broken[..] {
        [] => "<p class=\"verdict\">Every socket got every event once, in order, byte for byte.</p>".to_owned(),
        broken => format!("<p class=\"verdict broken\">{}</p>", escape(&broken.join("; "))),
    }
}

fn tiles(html: &mut String, report: &Report) {
    let Some(side) = report.sides.first() else { return };
    let mut figures = vec![
        (time(side.latency.p50_us), "p50".to_owned()),
        (time(side.latency.p99_us), "p99".to_owned()),
        (time(side.latency.p999_us), "p99.9".to_owned()),
        (time(side.latency.max_us), "slowest delivery".to_owned()),
    ];
    if let Some(rate) = side.deliveries_per_second {
        figures.push((thousands(rate.median), "deliveries a second".to_owned()));
    }
    for pair in &report.pairs {
        if let Some(ratio) = pair.full_fanout {
            figures.push((format!("{:.2} ×", ratio.median), format!("time of {}, full fan-out", pair.versus)));
        }
    }
    html.push_str("<div class=\"tiles\">");
    for (figure, what) in figures {
        let _ = write!(html, "<div class=\"tile\"><b>{figure}</b><span>{}</span></div>", escape(&what));
    }
    html.push_str("</div>");
}

fn section(html: &mut String, name: &str, words: &str, plot: &str) {
    let _ = write!(html, "<h2>{name}</h2><p>{words}</p><figure>{plot}</figure>");
}

fn protocols(html: &mut String, side: &SideReport) {
    let _ = write!(html, "<h2>Protocols of {}</h2><div class=\"scroll\"><table><tr><th></th>", escape(&side.name));
    for (name, _) in PROTOCOLS {
        let _ = write!(html, "<th>{}</th>", escape(name));
    }
    html.push_str("</tr>");
    for protocol in &side.protocols {
        let _ = write!(html, "<tr><td>{}</td>", escape(&protocol.name));
        for (_, of) in PROTOCOLS {
            let _ = write!(html, "<td>{}</td>", escape(&of(protocol)));
        }
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
}

/// The table of the terminal, as a table.
fn figures(html: &mut String, report: &Report) {
    html.push_str("<h2>All figures</h2><div class=\"scroll\"><table><tr><th></th>");
    for side in &report.sides {
        let _ = write!(html, "<th>{}</th>", escape(&side.name));
    }
    html.push_str("</tr>");
    let mut group = "";
    for (name, of) in ROWS {
        // The terminal leaves out what stands in the line above.
        if !name.starts_with(' ') {
            group = name.split_once(',').or_else(|| name.split_once(' ')).map_or(*name, |(group, _)| group);
        }
        let cells: Vec<Option<String>> = report.sides.iter().map(|side: &SideReport| of(side)).collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let words = if name.starts_with(' ') { format!("{group} {}", name.trim()) } else { (*name).to_owned() };
        let _ = write!(html, "<tr><td>{}</td>", escape(&words));
        for cell in cells {
            let _ = write!(html, "<td>{}</td>", escape(cell.as_deref().unwrap_or("-")));
        }
        html.push_str("</tr>");
    }
    for pair in &report.pairs {
        let Some(first) = report.sides.first() else { break };
        for (what, ratio) in pair.figures() {
            let cell = ratio.map_or_else(|| "-".to_owned(), ratio_text);
            let (first, versus) = (escape(&first.name), escape(&pair.versus));
            let _ = write!(html, "<tr><td>{first} ÷ {versus}: {what}</td><td>{cell}</td></tr>");
        }
    }
    html.push_str("</table></div>");
}

#[cfg(test)]
mod tests {
    use super::super::groups::ProtocolReport;
    use super::super::report::{CurvePoint, ThreadReport, WindowReport, example};
    use super::*;

    fn full() -> Report {
        let mut report = example();
        for side in &mut report.sides {
            let quantiles = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0].into_iter().zip(1..);
            side.percentiles = quantiles
                .map(|(quantile, step)| CurvePoint { quantile, latency_us: 3_000.0 * f64::from(step) })
                .collect();
            side.over_time = (0..5)
                .map(|second| WindowReport {
                    from_seconds: f64::from(second),
                    deliveries: 100,
                    p50_us: 5_000.0,
                    p99_us: 9_000.0,
                    max_us: 9_500.0,
                })
                .collect();
        }
        report.sides[0].server_threads =
            ["shard-0", "shard-1<"].map(|name| ThreadReport { name: name.to_owned(), cpu_seconds: 1.5 }).into();
        report
    }

    #[test]
    fn the_page_has_every_plot_and_stands_alone() {
        let html = page(&full());
        for what in [
            "Latency by percentile",
            "Latency over time",
            "Beside the others",
            "Load of the threads of server",
            "All figures",
        ] {
            assert!(html.contains(&format!("<h2>{what}")), "{what}");
        }
        assert_eq!(html.matches("<svg").count(), 4);
        assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
        assert!(!html.contains("NaN") && !html.contains("inf\"") && !html.contains("shard-1<<"), "{html}");
        // Nothing is fetched, nothing runs.
        for foreign in ["http://", "https://", "<script", "url(", "@import"] {
            assert!(!html.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_mix_has_its_protocols_in_a_table() {
        let mut report = full();
        assert!(!page(&report).contains("Protocols of"));
        let latency = report.sides[0].latency;
        let (sockets, lost, duplicated, reordered, damaged) = (77, 0, 0, 0, 0);
        let name = "rooms".to_owned();
        report.sides[0].protocols =
            vec![ProtocolReport { name, sockets, latency, lost, duplicated, reordered, damaged }];
        let html = page(&report);
        assert!(html.contains("<h2>Protocols of server</h2>") && html.contains("<td>rooms</td><td>77</td>"), "{html}");
    }

    #[test]
    fn a_side_alone_and_without_a_process_has_the_plots_that_it_can_have() {
        let mut report = full();
        report.sides.truncate(1);
        report.sides[0].server_threads.clear();
        report.sides[0].over_time.truncate(1);
        report.pairs.clear();
        report.broken.push("server: 3 deliveries lost".to_owned());
        let html = page(&report);
        assert_eq!(html.matches("<svg").count(), 1);
        assert!(html.contains("verdict broken") && html.contains("3 deliveries lost"));
        report.sides[0].percentiles.clear();
        assert!(!page(&report).contains("NaN"));
    }
}
