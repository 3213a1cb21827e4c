//! A run is held against an earlier one: `--baseline FILE --max-regression 10%`.
//!
//! Where both were paired with the floor, the ratios to it are compared: they hold on another machine, and on one that is slower today.
//! Else it is times, which only compare on the same machine.

use std::path::{Path, PathBuf};

use super::super::report::{Report, Settings};
use super::names::Name;

/// An earlier run's report.
#[derive(Debug)]
pub struct Baseline {
    report: Report,
    path: PathBuf,
}

/// The baseline is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    #[error("can't read the baseline {path}: {why}: give a file that `loadgen fanout --json` wrote")]
    Unreadable { path: PathBuf, why: String },
    #[error("the baseline {path} is of another load: {difference}")]
    OtherLoad { path: PathBuf, difference: String },
    #[error("the baseline {path} lost deliveries or was broken off: take another")]
    Broken { path: PathBuf },
}

/// What is compared where both have it.
const RATIOS: &[&str] = &["ratio.floor.full", "ratio.floor.p50"];
const TIMES: &[&str] = &["full", "p50", "p99"];

impl Baseline {
    pub fn read(path: &Path) -> Result<Self, BaselineError> {
        let unreadable = |why: String| BaselineError::Unreadable { path: path.to_owned(), why };
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
        let report: Report = serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let is_broken = report.sides.is_empty() || report.sides.iter().any(|side| !side.broken().is_empty());
        if report.interrupted || is_broken {
            return Err(BaselineError::Broken { path: path.to_owned() });
        }
        Ok(Self { report, path: path.to_owned() })
    }

    /// Refuses a load that can't be compared with the baseline's.
    pub fn check(&self, settings: &Settings) -> Result<(), BaselineError> {
        match self.report.settings.difference(settings) {
            Some(difference) => Err(BaselineError::OtherLoad { path: self.path.clone(), difference }),
            None => Ok(()),
        }
    }

    /// What got worse by more than `max_regression` (0.1 is 10 %).
    pub fn regressions(&self, report: &Report, max_regression: f64) -> Vec<String> {
        let compared = |names: &[&str]| -> Vec<(Name, f64, f64)> {
            let both = |name: &&str| {
                let name = Name::parse(name).expect("the names are known");
                let (before, now) = (name.of(&self.report)?, name.of(report)?);
                Some((name, before, now))
            };
            names.iter().filter_map(both).collect()
        };
        let ratios = compared(RATIOS);
        let figures = if ratios.is_empty() { compared(TIMES) } else { ratios };
        let worse = figures.into_iter().filter(|(_, before, now)| *now > before * (1.0 + max_regression));
        worse
            .map(|(name, before, now)| {
                let unit = name.unit();
                let by = (now / before - 1.0) * 100.0;
                let (now, before, most) = (unit.write(now), unit.write(before), max_regression * 100.0);
                format!("{name} is {now}, {by:.1} % above the baseline's {before} (at most {most} % were asked)")
            })
            .collect()
    }

    /// Whether times are compared that another machine measured.
    pub fn is_of_another_machine(&self, report: &Report) -> bool {
        let has_ratio = |of: &Report| of.pairs.iter().any(|pair| pair.versus == "floor");
        self.report.machine != report.machine && !(has_ratio(&self.report) && has_ratio(report))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::report::example;
    use super::*;

    fn baseline(report: Report) -> Baseline {
        Baseline { report, path: "before.json".into() }
    }

    #[test]
    fn a_ratio_that_got_worse_is_a_regression_whatever_the_times_are() {
        let before = baseline(example());
        let mut now = example();
        now.sides[0].latency.p50_us *= 3.0;
        assert_eq!(before.regressions(&now, 0.1), Vec::<String>::new(), "both sides' machine is slower");
        let p50 = now.pairs[0].p50.as_mut().unwrap();
        p50.median = 1.25 * 1.2;
        let told = before.regressions(&now, 0.1);
        assert_eq!(told, ["ratio.floor.p50 is 1.500, 20.0 % above the baseline's 1.250 (at most 10 % were asked)"]);
        assert!(before.regressions(&now, 0.21).is_empty());
    }

    #[test]
    fn without_a_floor_it_is_times_and_another_machine_is_told() {
        let alone = || {
            let mut report = example();
            report.sides.truncate(1);
            report.pairs.clear();
            report
        };
        let before = baseline(alone());
        let mut now = alone();
        now.sides[0].latency.p99_us *= 1.2;
        let told = before.regressions(&now, 0.1);
        assert!(told.len() == 1 && told[0].starts_with("p99 is"), "{told:?}");
        assert!(!before.is_of_another_machine(&now));
        now.machine.cpus += 1;
        assert!(before.is_of_another_machine(&now));
        assert!(!baseline(example()).is_of_another_machine(&example()));
    }

    #[test]
    fn another_load_is_not_compared() {
        let before = baseline(example());
        let mut now = example();
        now.settings.sockets += 1;
        assert!(before.check(&example().settings).is_ok());
        let error = before.check(&now.settings).unwrap_err().to_string();
        assert!(error.contains("sockets"), "{error}");
        // Another floor makes another ratio.
        let mut now = example();
        now.settings.floor_coalesces = true;
        let error = before.check(&now.settings).unwrap_err().to_string();
        assert!(error.contains("as one send a socket here, and not there"), "{error}");
    }

    #[test]
    fn a_report_reads_back_from_its_json_and_a_broken_one_is_no_baseline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        let mut report = example();
        std::fs::write(&path, serde_json::to_string(&report).unwrap()).unwrap();
        assert!(Baseline::read(&path).unwrap().regressions(&report, 0.0).is_empty());
        // An assertion that it missed makes it no worse a measure.
        report.broken.push("p99 is 9 ms, p99 < 5 ms was asked".to_owned());
        std::fs::write(&path, serde_json::to_string(&report).unwrap()).unwrap();
        assert!(Baseline::read(&path).is_ok());
        report.sides[0].lost = 1;
        std::fs::write(&path, serde_json::to_string(&report).unwrap()).unwrap();
        assert!(matches!(Baseline::read(&path), Err(BaselineError::Broken { .. })));
        std::fs::write(&path, "{}").unwrap();
        assert!(matches!(Baseline::read(&path), Err(BaselineError::Unreadable { .. })));
        assert!(Baseline::read(&dir.path().join("nowhere")).is_err());
    }
}
