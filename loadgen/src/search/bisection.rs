//! The bisection itself: rates out, verdicts in. It knows nothing of servers and clocks.
//!
//! ```text
//!   lowest ─ fails ─▶ Nothing                 highest ─ holds ─▶ AtLeast
//!      └─ holds ─▶ highest ─ fails ─▶ the geometric mean of the nearest two, again and again ─▶ Between
//! ```

/// The bounds of a search, in events per second, and where it may stop.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    pub min_rate: f64,
    pub max_rate: f64,
    /// 0.05: the rate that fails may be a twentieth above the one that holds.
    pub precision: f64,
}

/// What is known of the highest rate that holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// No probe was made.
    Unknown,
    /// The lowest rate fails.
    Nothing {
        fails: f64,
    },
    /// No rate that was tried fails.
    AtLeast {
        holds: f64,
    },
    Between {
        holds: f64,
        fails: f64,
    },
}

/// A search under way.
#[derive(Debug)]
pub struct Bisection {
    range: Range,
    /// The highest rate that held and the lowest that failed.
    holds: Option<f64>,
    fails: Option<f64>,
}

impl Bisection {
    pub fn new(range: Range) -> Self {
        Self { range, holds: None, fails: None }
    }

    /// The rate to be probed next; `None` where the answer is known.
    pub fn next(&self) -> Option<f64> {
        let Range { min_rate, max_rate, precision } = self.range;
        match (self.holds, self.fails) {
            (None, None) => Some(min_rate),
            (None, Some(_)) => None,
            (Some(holds), None) => (holds < max_rate).then_some(max_rate),
            (Some(holds), Some(fails)) => (fails > holds * (1.0 + precision)).then(|| (holds * fails).sqrt()),
        }
    }

    /// Takes the verdict on the rate that was next.
    pub fn tell(&mut self, rate: f64, held: bool) {
        if held { self.holds = Some(rate) } else { self.fails = Some(rate) }
    }

    pub fn answer(&self) -> Answer {
        match (self.holds, self.fails) {
            (None, None) => Answer::Unknown,
            (None, Some(fails)) => Answer::Nothing { fails },
            (Some(holds), None) => Answer::AtLeast { holds },
            (Some(holds), Some(fails)) => Answer::Between { holds, fails },
        }
    }
}

impl Answer {
    pub fn holds(self) -> Option<f64> {
        match self {
            Self::AtLeast { holds } | Self::Between { holds, .. } => Some(holds),
            Self::Unknown | Self::Nothing { .. } => None,
        }
    }

    pub fn fails(self) -> Option<f64> {
        match self {
            Self::Nothing { fails } | Self::Between { fails, .. } => Some(fails),
            Self::Unknown | Self::AtLeast { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Range = Range { min_rate: 1.0, max_rate: 2000.0, precision: 0.05 };

    /// Searches a machine that is made up; the answer, and the rates in the order in which they were probed.
    fn search(range: Range, machine: impl Fn(f64) -> bool) -> (Answer, Vec<f64>) {
        let (mut bisection, mut probed) = (Bisection::new(range), Vec::new());
        while let Some(rate) = bisection.next() {
            bisection.tell(rate, machine(rate));
            probed.push(rate);
            assert!(probed.len() < 100, "it ends: {probed:?}");
        }
        (bisection.answer(), probed)
    }

    #[test]
    fn the_limit_of_a_machine_is_found_within_the_precision_wherever_it_is() {
        for limit in [1.0, 1.04, 3.0, 320.0, 777.7, 1900.0, 1999.0] {
            let (answer, probed) = search(RANGE, |rate| rate <= limit);
            let Answer::Between { holds, fails } = answer else { panic!("{answer:?}") };
            assert!(holds <= limit && limit < fails && fails <= holds * 1.05, "{limit}: {answer:?}");
            // A factor of 2000 halves eight times on a logarithmic scale until a twentieth is left.
            assert!(probed.len() <= 2 + 8, "{limit}: {probed:?}");
        }
    }

    #[test]
    fn the_bounds_come_first_and_end_the_search_where_they_can() {
        assert_eq!(search(RANGE, |_| false), (Answer::Nothing { fails: 1.0 }, vec![1.0]));
        assert_eq!(search(RANGE, |_| true), (Answer::AtLeast { holds: 2000.0 }, vec![1.0, 2000.0]));
        let (_, probed) = search(RANGE, |rate| rate < 100.0);
        assert_eq!(probed[..2], [1.0, 2000.0]);
        assert!((probed[2] - 2000f64.sqrt()).abs() < 1e-9, "the middle of a logarithmic scale");
    }

    #[test]
    fn one_rate_alone_is_a_search_too() {
        let range = Range { min_rate: 10.0, max_rate: 10.0, precision: 0.05 };
        assert_eq!(search(range, |_| true), (Answer::AtLeast { holds: 10.0 }, vec![10.0]));
        assert_eq!(search(range, |_| false), (Answer::Nothing { fails: 10.0 }, vec![10.0]));
    }

    #[test]
    fn a_search_that_is_broken_off_knows_what_it_has_seen() {
        let mut bisection = Bisection::new(RANGE);
        assert_eq!(bisection.answer(), Answer::Unknown);
        bisection.tell(1.0, true);
        assert_eq!(bisection.answer(), Answer::AtLeast { holds: 1.0 });
        bisection.tell(2000.0, false);
        assert_eq!(bisection.answer(), Answer::Between { holds: 1.0, fails: 2000.0 });
        assert_eq!((bisection.answer().holds(), bisection.answer().fails()), (Some(1.0), Some(2000.0)));
    }
}
