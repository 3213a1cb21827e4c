//! Findings as a table for people or JSON for programs.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

use super::{Finding, Needs, Status};

/// Whether the table is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Plain,
    Ansi,
}

/// Everything that was found.
#[derive(Debug, serde::Serialize)]
pub struct Report {
    /// The sockets that the machine was examined for.
    pub sockets: u64,
    pub bad: usize,
    pub warnings: usize,
    pub findings: Vec<Finding>,
}

impl Colour {
    /// Colour where stdout is a terminal, unless NO_COLOR (no-color.org) or TERM=dumb asks for none.
    pub fn of_stdout() -> Self {
        let asked_not = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if std::io::stdout().is_terminal() && !asked_not && !dumb { Self::Ansi } else { Self::Plain }
    }

    fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

impl Report {
    pub fn new(needs: Needs, findings: Vec<Finding>) -> Self {
        let with = |status| findings.iter().filter(|finding| finding.status == status).count();
        Self { sockets: needs.sockets, bad: with(Status::Bad), warnings: with(Status::Warn), findings }
    }

    /// A row a finding; cost and remedy stand below what is short.
    pub fn table(&self, colour: Colour) -> String {
        let mut text = String::new();
        self.write_table(&mut text, colour).expect("a String takes everything");
        text
    }

    /// One JSON document.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("strings and numbers are JSON")
    }

    /// The last line: what all of it comes to.
    pub fn verdict(&self) -> String {
        let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        let sockets = indicatif::HumanCount(self.sockets);
        match (self.bad, self.warnings) {
            (0, 0) => format!("ready for {sockets} sockets"),
            (0, warnings) => format!("ready for {sockets} sockets, with {}", plural(warnings, "warning")),
            (bad, 0) => format!("not ready for {sockets} sockets: {} failed", plural(bad, "check")),
            (bad, warnings) => format!(
                "not ready for {sockets} sockets: {} failed, {}",
                plural(bad, "check"),
                plural(warnings, "warning")
            ),
        }
    }

    fn write_table(&self, out: &mut String, colour: Colour) -> fmt::Result {
        let width = self.findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
        for finding in &self.findings {
            let (word, code) = match finding.status {
                Status::Ok => ("ok  ", "32"),
                Status::Warn => ("warn", "33"),
                Status::Bad => ("BAD ", "1;31"),
            };
            writeln!(out, "{}  {:width$}  {}", colour.paint(code, word), finding.name, finding.value)?;
            // Below the value: 4 of the word, and two gaps of 2.
            let indent = 4 + 2 + width + 2;
            for (label, line) in [("cost", &finding.cost), ("mend", &finding.remedy)] {
                if let Some(line) = line {
                    writeln!(out, "{:indent$}{} {line}", "", colour.paint("2", &format!("{label}:")))?;
                }
            }
        }
        writeln!(out, "\n{}", self.verdict())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let findings = vec![
            Finding::ok("kernel", "6.18"),
            Finding::warn("net.core.somaxconn", "128", "dropped connections", "raise it"),
            Finding::bad("io_uring", "off", "no start", "switch it on"),
        ];
        Report::new(Needs { sockets: 100_000 }, findings)
    }

    #[test]
    fn the_table_is_aligned_and_says_cost_and_remedy_where_short() {
        let expected = "\
ok    kernel              6.18
warn  net.core.somaxconn  128
                          cost: dropped connections
                          mend: raise it
BAD   io_uring            off
                          cost: no start
                          mend: switch it on

not ready for 100,000 sockets: 1 check failed, 1 warning
";
        assert_eq!(report().table(Colour::Plain), expected);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let coloured = report().table(Colour::Ansi);
        assert!(coloured.contains("\x1b[1;31mBAD \x1b[0m"), "{coloured}");
        let mut plain = coloured;
        for code in ["\x1b[32m", "\x1b[33m", "\x1b[1;31m", "\x1b[2m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, report().table(Colour::Plain));
    }

    #[test]
    fn the_json_carries_the_same_findings() {
        let value: serde_json::Value = serde_json::from_str(&report().json()).expect("JSON");
        assert_eq!((&value["sockets"], &value["bad"], &value["warnings"]), (&100_000.into(), &1.into(), &1.into()));
        assert_eq!(value["findings"][0], serde_json::json!({"name": "kernel", "status": "ok", "value": "6.18"}));
        assert_eq!(value["findings"][2]["remedy"], "switch it on");
        assert_eq!(value["findings"][1]["status"], "warn");
    }

    #[test]
    fn the_verdict_counts_in_words() {
        let verdict = |findings| Report::new(Needs { sockets: 10 }, findings).verdict();
        assert_eq!(verdict(vec![Finding::ok("a", "b")]), "ready for 10 sockets");
        assert_eq!(verdict(vec![Finding::warn("a", "b", "c", "d")]), "ready for 10 sockets, with 1 warning");
        let two = vec![Finding::bad("a", "b", "c", "d"), Finding::bad("a", "b", "c", "d")];
        assert_eq!(verdict(two), "not ready for 10 sockets: 2 checks failed");
    }
}
