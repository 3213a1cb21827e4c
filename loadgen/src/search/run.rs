//! A search from beginning to end: probes as the bisection asks for them, and one more that confirms the answer.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use super::args::SearchLoad;
use super::bisection::{Bisection, Range};
use super::probe::{Probe, Purpose, is_overload, rate_text};
use super::report::SearchReport;
use crate::error::RunError;
use crate::fanout::{Contender, Run};

/// What is to be done.
pub struct SearchRun {
    pub load: SearchLoad,
    pub interrupted: Arc<AtomicBool>,
}

impl SearchRun {
    /// Searches, and gives what it knows, also where something stopped it.
    pub fn measure(self) -> (SearchReport, Option<RunError>) {
        let probe = |rate, purpose| {
            let probe = self.probe(rate, purpose)?;
            eprintln!("{}", probe.line());
            Ok(probe)
        };
        let mut search = Search::new(self.load.range, probe);
        let stopped_by = search.search().err();
        let Search { bisection, probes, confirmed, .. } = search;
        let report = SearchReport::new(&self.load, bisection.answer(), confirmed, probes, stopped_by.as_ref());
        (report, stopped_by)
    }

    /// Tries one rate with sockets of its own.
    fn probe(&self, rate: f64, purpose: Purpose) -> Result<Probe, RunError> {
        let load = &self.load;
        let fanout = Run {
            load: load.at(rate),
            contenders: vec![Contender::Server(load.server.clone())],
            interrupted: Arc::clone(&self.interrupted),
        };
        match fanout.measure() {
            Ok(_) if self.interrupted.load(Relaxed) => {
                Err(RunError::Interrupted { doing: format!("while {}/s was tried", rate_text(rate)) })
            }
            Ok(measured) => Ok(Probe::of(rate, purpose, &load.assertions, &measured.report)),
            Err(error) if is_overload(&error) => Ok(Probe::failed(rate, purpose, error.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// A search under way, by whatever tries a rate.
struct Search<P> {
    bisection: Bisection,
    probe: P,
    probes: Vec<Probe>,
    confirmed: Option<bool>,
}

impl<P: FnMut(f64, Purpose) -> Result<Probe, RunError>> Search<P> {
    fn new(range: Range, probe: P) -> Self {
        Self { bisection: Bisection::new(range), probe, probes: Vec::new(), confirmed: None }
    }

    fn search(&mut self) -> Result<(), RunError> {
        while let Some(rate) = self.bisection.next() {
            let held = self.holds(rate, Purpose::Search, Purpose::Again)?;
            self.bisection.tell(rate, held);
        }
        if let Some(rate) = self.bisection.answer().holds() {
            self.confirmed = Some(self.holds(rate, Purpose::Confirm, Purpose::ConfirmAgain)?);
        }
        Ok(())
    }

    /// Whether a rate holds. Machines are noisy: it fails only if it does so twice.
    fn holds(&mut self, rate: f64, first: Purpose, second: Purpose) -> Result<bool, RunError> {
        Ok(self.once(rate, first)? || self.once(rate, second)?)
    }

    fn once(&mut self, rate: f64, purpose: Purpose) -> Result<bool, RunError> {
        let probe = (self.probe)(rate, purpose)?;
        let holds = probe.holds;
        self.probes.push(probe);
        Ok(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::bisection::Answer;
    use super::*;

    const RANGE: Range = Range { min_rate: 1.0, max_rate: 1000.0, precision: 0.05 };

    /// Searches a machine that is made up: whether the n-th probe, at a rate, holds.
    fn search(mut machine: impl FnMut(usize, f64) -> bool) -> (Answer, Option<bool>, Vec<(f64, Purpose, bool)>) {
        let mut number = 0;
        let mut search = Search::new(RANGE, |rate, purpose| {
            number += 1;
            let mut probe = Probe::failed(rate, purpose, "too slow".to_owned());
            probe.holds = machine(number, rate);
            Ok(probe)
        });
        search.search().unwrap();
        let told = search.probes.iter().map(|probe| (probe.events_per_second, probe.purpose, probe.holds)).collect();
        (search.bisection.answer(), search.confirmed, told)
    }

    #[test]
    fn a_probe_that_fails_by_noise_does_not_mislead() {
        // Every third probe meets noise, whatever its rate.
        let (answer, confirmed, told) = search(|number, rate| number % 3 != 0 && rate < 300.0);
        let Answer::Between { holds, fails } = answer else { panic!("{answer:?}") };
        assert!(holds < 300.0 && 300.0 <= fails && fails <= holds * 1.05, "{answer:?}");
        assert_eq!(confirmed, Some(true));
        for pair in told.windows(2) {
            if let [(rate, Purpose::Search, false), (next, again, _)] = pair {
                assert_eq!((rate, *again), (next, Purpose::Again), "what fails is measured again: {told:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_does_not_hold_again_is_not_confirmed() {
        let mut worn_out = false;
        let (answer, confirmed, told) = search(|_, rate| {
            let held = !worn_out && rate < 300.0;
            worn_out |= rate > 290.0 && held;
            held
        });
        assert!(answer.holds() > Some(290.0), "{answer:?}");
        assert_eq!(confirmed, Some(false));
        let last: Vec<Purpose> = told.iter().rev().take(2).map(|(_, purpose, _)| *purpose).collect();
        assert_eq!(last, [Purpose::ConfirmAgain, Purpose::Confirm]);
    }

    #[test]
    fn where_nothing_holds_there_is_nothing_to_confirm() {
        let (answer, confirmed, told) = search(|_, _| false);
        assert_eq!((answer, confirmed, told.len()), (Answer::Nothing { fails: 1.0 }, None, 2));
    }

    #[test]
    fn a_search_that_is_stopped_keeps_what_it_has() {
        let mut search = Search::new(RANGE, |rate, purpose| match rate {
            1.0 => Ok(Probe { holds: true, ..Probe::failed(rate, purpose, String::new()) }),
            _ => Err(RunError::ClientGone),
        });
        assert!(search.search().is_err());
        assert_eq!((search.bisection.answer(), search.confirmed), (Answer::AtLeast { holds: 1.0 }, None));
    }
}
