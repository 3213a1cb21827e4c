//! How fast events go out.

use crate::limits::{PUBLISH_BATCH_HOLD_MS_MAX, PUBLISH_RATE_EVENTS_PER_S_MIN};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Events a second; finite and at least [`PUBLISH_RATE_EVENTS_PER_S_MIN`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate >= PUBLISH_RATE_EVENTS_PER_S_MIN => Ok(Self(rate)),
            _ => Err(format!("a rate is a number of events a second, {PUBLISH_RATE_EVENTS_PER_S_MIN} or more")),
        }
    }
}

/// A steady stream: what was late is not made up for by a burst.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: Option<Rate>,
    next: Option<Instant>,
}

impl Pace {
    /// As fast as the server answers where there is no rate.
    pub fn new(rate: Option<Rate>) -> Self {
        Self { rate, next: None }
    }

    /// The most events of a batch, so that a slow rate comes out even and not in lumps.
    pub fn batch_max(&self, wanted: usize) -> usize {
        match self.rate {
            None => wanted,
            Some(Rate(rate)) => {
                let in_a_hold = rate * PUBLISH_BATCH_HOLD_MS_MAX as f64 / 1000.0;
                // A float that is too large becomes usize::MAX.
                wanted.min((in_a_hold.ceil() as usize).max(1))
            }
        }
    }

    /// How long to wait before `events` may go out.
    pub fn wait(&mut self, now: Instant, events: usize) -> Duration {
        let Some(Rate(rate)) = self.rate else { return Duration::ZERO };
        let due = self.next.map_or(now, |next| next.max(now));
        self.next = Some(due + Duration::from_secs_f64(events as f64 / rate));
        due - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_finite_and_not_absurdly_slow() {
        for wrong in ["0", "-1", "NaN", "inf", "1e-9", "", "ten"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
        assert_eq!("2.5".parse(), Ok(Rate(2.5)));
    }

    #[test]
    fn events_are_spaced_by_the_rate_and_lateness_is_no_debt() {
        let start = Instant::now();
        let after = |ms| start + Duration::from_millis(ms);
        let mut pace = Pace::new(Some(Rate(100.0)));
        assert_eq!(pace.wait(start, 5), Duration::ZERO);
        assert_eq!(pace.wait(after(10), 5), Duration::from_millis(40));
        // The batch before was due at 50 ms and its five events last until 100 ms.
        assert_eq!(pace.wait(after(500), 5), Duration::ZERO);
        assert_eq!(pace.wait(after(500), 5), Duration::from_millis(50));
    }

    #[test]
    fn batches_shrink_with_the_rate() {
        let max = |rate: f64| Pace::new(Some(Rate(rate))).batch_max(500);
        assert_eq!([0.001, 20.0, 21.0, 2_000.0, 1e300].map(max), [1, 1, 2, 100, 500]);
        assert_eq!(Pace::new(None).batch_max(500), 500);
    }
}
