//! The figures of a report by name, as assertions and baselines speak of them.

use std::fmt;

use super::super::report::{Pair, Report, SideReport};
use crate::figures::Quantiles;
use crate::wording::{megabytes, thousands, time};

/// What a figure counts, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Microseconds,
    /// Deliveries, sockets, deliveries a second.
    Count,
    Nanoseconds,
    Bytes,
    Ratio,
}

/// What is known of a side, by name.
const OF_SIDE: &[(&str, Unit, Of<SideReport>)] = &[
    ("p50", Unit::Microseconds, |side| timed(side).map(|latency| latency.p50_us)),
    ("p90", Unit::Microseconds, |side| timed(side).map(|latency| latency.p90_us)),
    ("p99", Unit::Microseconds, |side| timed(side).map(|latency| latency.p99_us)),
    ("p99.9", Unit::Microseconds, |side| timed(side).map(|latency| latency.p999_us)),
    ("p99.99", Unit::Microseconds, |side| timed(side).map(|latency| latency.p9999_us)),
    ("max", Unit::Microseconds, |side| timed(side).map(|latency| latency.max_us)),
    ("mean", Unit::Microseconds, |side| timed(side).map(|latency| latency.mean_us)),
    ("first", Unit::Microseconds, |side| side.first_delivery_us.map(|span| span.median)),
    ("full", Unit::Microseconds, |side| side.full_fanout_us.map(|span| span.median)),
    ("late", Unit::Microseconds, |side| Some(side.publish_late_us.median)),
    ("connect", Unit::Microseconds, |side| Some(side.connect_seconds * 1e6)),
    ("rate", Unit::Count, |side| side.deliveries_per_second.map(|span| span.median)),
    ("lost", Unit::Count, |side| Some(side.lost as f64)),
    ("duplicated", Unit::Count, |side| Some(side.duplicated as f64)),
    ("reordered", Unit::Count, |side| Some(side.reordered as f64)),
    ("damaged", Unit::Count, |side| Some(side.damaged as f64)),
    ("ended", Unit::Count, |side| Some(side.ended as f64)),
    ("cpu", Unit::Nanoseconds, |side| side.server_cpu_ns_per_delivery),
    ("memory", Unit::Bytes, |side| side.memory.server_rss_connected_bytes.map(|bytes| bytes as f64)),
    ("socket-memory", Unit::Bytes, |side| side.memory.server_bytes_per_socket),
];

/// Latencies, where there are any: nothing was never quick.
fn timed(side: &SideReport) -> Option<Quantiles> {
    Some(side.latency).filter(|latency| latency.count > 0)
}

/// What is known of a pair, by name: medians of the rounds' ratios.
const OF_PAIR: &[(&str, Of<Pair>)] = &[
    ("full", |pair| pair.full_fanout.map(|span| span.median)),
    ("rate", |pair| pair.deliveries_per_second.map(|span| span.median)),
    ("p50", |pair| pair.p50.map(|span| span.median)),
    ("p99", |pair| pair.p99.map(|span| span.median)),
    ("cpu", |pair| pair.server_cpu_per_delivery.map(|span| span.median)),
];

type Of<T> = fn(&T) -> Option<f64>;

/// A contender, as far as assertions care before the run.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub name: &'a str,
    /// Its process was named, so that its CPU time and memory are told.
    pub has_process: bool,
}

/// A figure's name: `p99` and `server.p99` of the first side, `NAME.p99` of another, `ratio.NAME.p99` of the first to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    OfSide { side: Option<String>, figure: &'static str, unit: Unit },
    OfPair { versus: String, figure: &'static str },
}

impl Name {
    /// `None` of a name that no report has.
    pub fn parse(text: &str) -> Option<Self> {
        let of_side = |side: Option<&str>, figure: &str| {
            let (figure, unit, _) = OF_SIDE.iter().find(|(name, ..)| *name == figure)?;
            Some(Self::OfSide { side: side.map(str::to_owned), figure, unit: *unit })
        };
        if let Some(plain) = of_side(None, text) {
            return Some(plain);
        }
        let (first, rest) = text.split_once('.')?;
        if first == "ratio" {
            let (versus, figure) = rest.split_once('.')?;
            let (figure, _) = OF_PAIR.iter().find(|(name, _)| *name == figure)?;
            return Some(Self::OfPair { versus: versus.to_owned(), figure });
        }
        of_side(Some(first), rest)
    }

    pub fn unit(&self) -> Unit {
        match self {
            Self::OfSide { unit, .. } => *unit,
            Self::OfPair { .. } => Unit::Ratio,
        }
    }

    /// Whether a run of these contenders, the first of which is held against the others, has such a side or pair.
    pub fn is_of(&self, contenders: &[Known<'_>]) -> bool {
        match self {
            Self::OfSide { side, .. } => {
                side.as_deref().is_none_or(|side| contenders.iter().any(|one| one.name == side))
            }
            Self::OfPair { versus, .. } => contenders.iter().skip(1).any(|one| one.name == versus),
        }
    }

    /// The contender whose process would have to be known for this figure, and is not.
    pub fn lacks_process_of<'a>(&self, contenders: &'a [Known<'_>]) -> Option<&'a str> {
        let unknown = |one: &&Known<'_>| match self {
            Self::OfSide { figure: "cpu", .. } | Self::OfPair { figure: "cpu", .. } => {
                !one.has_process && one.name != "floor"
            }
            Self::OfSide { figure: "memory" | "socket-memory", .. } => !one.has_process,
            _ => false,
        };
        let first = contenders.first();
        let needed = |one: &&Known<'_>| match self {
            Self::OfSide { side: Some(side), .. } => one.name == side,
            Self::OfSide { side: None, .. } => first.is_some_and(|first| first.name == one.name),
            Self::OfPair { versus, .. } => one.name == versus || first.is_some_and(|first| first.name == one.name),
        };
        contenders.iter().filter(needed).find(unknown).map(|one| one.name)
    }

    /// `None` where the report lacks it: no `--server-pid`, no whole fan-out.
    pub fn of(&self, report: &Report) -> Option<f64> {
        match self {
            Self::OfSide { side, figure, .. } => {
                let named = |one: &&SideReport| side.as_deref().is_none_or(|side| one.name == side);
                let of = OF_SIDE.iter().find(|(name, ..)| name == figure)?.2;
                of(report.sides.iter().find(named)?)
            }
            Self::OfPair { versus, figure } => {
                let of = OF_PAIR.iter().find(|(name, _)| name == figure)?.1;
                of(report.pairs.iter().find(|pair| pair.versus == *versus)?)
            }
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OfSide { side: None, figure, .. } => f.write_str(figure),
            Self::OfSide { side: Some(side), figure, .. } => write!(f, "{side}.{figure}"),
            Self::OfPair { versus, figure } => write!(f, "ratio.{versus}.{figure}"),
        }
    }
}

impl Unit {
    /// How a bound may be written.
    pub fn example(self) -> &'static str {
        match self {
            Self::Microseconds => "500us, 20ms or 1.5s",
            Self::Count => "a number, such as 0",
            Self::Nanoseconds => "900ns or 7us",
            Self::Bytes => "512, 64KiB or 2MiB",
            Self::Ratio => "a number, such as 1.10",
        }
    }

    /// A figure as a person reads it.
    pub fn write(self, value: f64) -> String {
        match self {
            Self::Microseconds => time(value),
            Self::Count => thousands(value),
            Self::Nanoseconds => format!("{value:.0} ns"),
            Self::Bytes if value < 1024.0 * 1024.0 => format!("{value:.0} B"),
            Self::Bytes => megabytes(value as u64),
            Self::Ratio => format!("{value:.3}"),
        }
    }

    /// Reads `20ms` of a time, `512` or `64KiB` of bytes, a bare number of what has no unit.
    pub fn read(self, text: &str) -> Option<f64> {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let scale = match (self, unit) {
            (Self::Microseconds, "us" | "µs") => 1.0,
            (Self::Microseconds, "ms") => 1e3,
            (Self::Microseconds, "s") => 1e6,
            (Self::Nanoseconds, "ns") => 1.0,
            (Self::Nanoseconds, "us" | "µs") => 1e3,
            (Self::Bytes, "" | "B") => 1.0,
            (Self::Bytes, "KiB") => 1024.0,
            (Self::Bytes, "MiB") => 1024.0 * 1024.0,
            (Self::Bytes, "GiB") => 1024.0 * 1024.0 * 1024.0,
            (Self::Count | Self::Ratio, "") => 1.0,
            _ => return None,
        };
        Some(number * scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENDERS: [Known<'_>; 2] =
        [Known { name: "server", has_process: false }, Known { name: "floor", has_process: false }];

    #[test]
    fn every_name_reads_back_as_itself() {
        let of_sides = OF_SIDE.iter().flat_map(|(name, ..)| [(*name).to_owned(), format!("nchan.{name}")]);
        let of_pairs = OF_PAIR.iter().map(|(name, _)| format!("ratio.floor.{name}"));
        for name in of_sides.chain(of_pairs) {
            assert_eq!(Name::parse(&name).map(|read| read.to_string()), Some(name));
        }
        for wrong in ["", "p98", "ratio", "ratio.floor", "ratio.floor.max", "ratio..", "server.", ".p50"] {
            assert!(Name::parse(wrong).is_none_or(|name| !name.is_of(&CONTENDERS)), "{wrong}");
        }
    }

    #[test]
    fn a_name_belongs_to_runs_that_have_such_a_side() {
        let may = |name: &str| Name::parse(name).expect("a name").is_of(&CONTENDERS);
        assert!(may("p99") && may("server.p99.9") && may("floor.p50") && may("ratio.floor.p50"));
        assert!(!may("nchan.p50") && !may("ratio.nchan.p50") && !may("ratio.server.p50"));
    }

    #[test]
    fn figures_are_read_in_their_units_only() {
        assert_eq!(Unit::Microseconds.read("20ms"), Some(20_000.0));
        assert_eq!(Unit::Microseconds.read("1.5s"), Some(1_500_000.0));
        assert_eq!(Unit::Bytes.read("2KiB"), Some(2048.0));
        assert_eq!(Unit::Ratio.read("1.10"), Some(1.1));
        for (unit, wrong) in [
            (Unit::Microseconds, "20"),
            (Unit::Ratio, "10ms"),
            (Unit::Count, "1k"),
            (Unit::Bytes, "1s"),
            (Unit::Ratio, ""),
            (Unit::Ratio, "1.1.1"),
        ] {
            assert_eq!(unit.read(wrong), None, "{wrong}");
        }
    }
}
