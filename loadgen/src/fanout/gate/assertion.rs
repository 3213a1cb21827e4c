//! One thing that must hold: `p99<20ms`, `ratio.floor.p50<1.10`, `lost=0`.

use std::fmt;
use std::str::FromStr;

use super::super::report::Report;
use super::names::{Known, Name};

#[derive(Clone, Debug, PartialEq)]
pub struct Assertion {
    name: Name,
    relation: Relation,
    bound: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
}

/// The longer ones first, for they begin with the shorter.
const RELATIONS: &[(&str, Relation)] = &[
    ("<=", Relation::AtMost),
    (">=", Relation::AtLeast),
    ("==", Relation::Equal),
    ("<", Relation::Below),
    (">", Relation::Above),
    ("=", Relation::Equal),
];

/// `--assert` says something that can't be read or can't be known.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssertionError {
    #[error(
        "--assert `{0}`: write a figure, one of < <= > >= =, and a bound, such as p99<20ms or ratio.floor.p50<1.10"
    )]
    Form(String),
    #[error(
        "--assert `{0}` is no figure of a run: write p50, p90, p99, p99.9, p99.99, max, mean, first, full, late, connect, rate, \
         lost, duplicated, reordered, damaged, ended, cpu, memory or socket-memory, NAME. before it for another side, or \
         ratio.NAME. and full, rate, p50, p99 or cpu"
    )]
    Name(String),
    #[error("--assert: `{bound}` is no bound for {name}: write {example}")]
    Bound { name: String, bound: String, example: &'static str },
    #[error("--assert {0}: this run has no such side: name it with --vs")]
    Side(String),
    #[error("--assert {name}: the process of {side} must be known: give --server-pid, or pid= in --vs")]
    NoProcess { name: String, side: String },
}

impl FromStr for Assertion {
    type Err = AssertionError;

    fn from_str(text: &str) -> Result<Self, AssertionError> {
        let form = || AssertionError::Form(text.to_owned());
        let at = text.find(['<', '>', '=']).ok_or_else(form)?;
        let (name, rest) = text.split_at(at);
        let (sign, relation) = RELATIONS.iter().find(|(sign, _)| rest.starts_with(sign)).ok_or_else(form)?;
        let name = Name::parse(name.trim()).ok_or_else(|| AssertionError::Name(name.trim().to_owned()))?;
        let bound = rest[sign.len()..].trim();
        let unreadable = || AssertionError::Bound {
            name: name.to_string(),
            bound: bound.to_owned(),
            example: name.unit().example(),
        };
        let bound = name.unit().read(bound).ok_or_else(unreadable)?;
        Ok(Self { name, relation: *relation, bound })
    }
}

impl Assertion {
    /// Refuses what no run of these contenders can tell.
    pub fn check(&self, contenders: &[Known<'_>]) -> Result<(), AssertionError> {
        if !self.name.is_of(contenders) {
            return Err(AssertionError::Side(self.name.to_string()));
        }
        match self.name.lacks_process_of(contenders) {
            Some(side) => Err(AssertionError::NoProcess { name: self.name.to_string(), side: side.to_owned() }),
            None => Ok(()),
        }
    }

    /// The figure that is held against the bound, as a person reads it.
    pub fn figure(&self, report: &Report) -> String {
        match self.name.of(report) {
            Some(value) => format!("{} {}", self.name, self.name.unit().write(value)),
            None => format!("{} not known", self.name),
        }
    }

    /// What broke and by how much; `None` where it holds. A figure that the run has not is one that broke.
    pub fn broken(&self, report: &Report) -> Option<String> {
        let Some(value) = self.name.of(report) else {
            return Some(format!("{} is not known, {self} was asked", self.name));
        };
        let holds = match self.relation {
            Relation::Below => value < self.bound,
            Relation::AtMost => value <= self.bound,
            Relation::Above => value > self.bound,
            Relation::AtLeast => value >= self.bound,
            Relation::Equal => value == self.bound,
        };
        if holds {
            return None;
        }
        let by = match (value - self.bound) / self.bound * 100.0 {
            over if !over.is_finite() => String::new(),
            over if over >= 0.0 => format!(", {over:.1} % over"),
            under => format!(", {:.1} % under", -under),
        };
        Some(format!("{} is {}, {self} was asked{by}", self.name, self.name.unit().write(value)))
    }
}

impl fmt::Display for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, _) = RELATIONS.iter().rfind(|(_, relation)| *relation == self.relation).expect("each is listed");
        write!(f, "{} {sign} {}", self.name, self.name.unit().write(self.bound))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::example;
    use super::*;

    fn assertion(text: &str) -> Assertion {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_holds_is_silent_and_what_does_not_says_by_how_much() {
        let report = example();
        for held in [
            "p50<=10ms",
            "p50<10.1ms",
            "p50 > 9ms",
            "p50>=10ms",
            "lost=0",
            "lost==0",
            "ratio.floor.p50<1.3",
            "floor.p50=8ms",
        ] {
            assert_eq!(assertion(held).broken(&report), None, "{held}");
        }
        let broken = |text: &str| assertion(text).broken(&report).expect("broken");
        assert_eq!(broken("p50<8ms"), "p50 is 10.00 ms, p50 < 8.00 ms was asked, 25.0 % over");
        assert_eq!(broken("p50>20ms"), "p50 is 10.00 ms, p50 > 20.00 ms was asked, 50.0 % under");
        assert_eq!(
            broken("ratio.floor.p50<1.10"),
            "ratio.floor.p50 is 1.250, ratio.floor.p50 < 1.100 was asked, 13.6 % over"
        );
        assert_eq!(assertion("p50<8ms").figure(&report), "p50 10.00 ms");
        assert_eq!(broken("lost>0"), "lost is 0, lost > 0 was asked");
        assert_eq!(broken("memory<1GiB"), "memory is not known, memory < 1024.0 MiB was asked");
    }

    #[test]
    fn what_can_not_be_read_is_told() {
        let error = |text: &str| text.parse::<Assertion>().unwrap_err();
        assert_eq!(error("p99"), AssertionError::Form("p99".to_owned()));
        assert_eq!(error("p98<1ms"), AssertionError::Name("p98".to_owned()));
        assert!(matches!(error("p99<20"), AssertionError::Bound { .. }));
        assert!(matches!(error("p99<<20ms"), AssertionError::Bound { .. }));
    }

    #[test]
    fn what_the_run_can_not_tell_is_refused_before_it() {
        let check = |text: &str, has_process| {
            let contenders = [Known { name: "server", has_process }, Known { name: "floor", has_process: false }];
            assertion(text).check(&contenders)
        };
        assert_eq!(check("ratio.floor.p50<1.1", false), Ok(()));
        assert_eq!(check("ratio.nchan.p50<1.1", false), Err(AssertionError::Side("ratio.nchan.p50".to_owned())));
        let no_process =
            |name: &str| Err(AssertionError::NoProcess { name: name.to_owned(), side: "server".to_owned() });
        assert_eq!(check("cpu<9us", false), no_process("cpu"));
        assert_eq!(check("ratio.floor.cpu<2", false), no_process("ratio.floor.cpu"));
        assert_eq!(check("cpu<9us", true), Ok(()));
        assert_eq!(check("floor.cpu<9us", false), Ok(()), "the floor knows its own");
    }
}
