//! How long the core rests before it tries a database again that failed. Each time what is under way is sent once more, so it rests the
//! longer the more often it fails.

use crate::limits;

#[derive(Debug, Default)]
pub struct Patience {
    /// Failures in a row.
    failures: u32,
}

impl Patience {
    /// The database failed: how long to rest.
    pub fn rest_ms(&mut self) -> u64 {
        let rest_ms = limits::DELIVERY_RECOVER_MS.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        rest_ms.min(limits::DELIVERY_RECOVER_MS_MAX)
    }

    /// A turn was committed. Only one that recorded what came of attempts says that the database takes what is sent: a full disk may
    /// still have room for less.
    pub fn committed(&mut self, has_outcomes: bool) {
        if has_outcomes {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rest_is_twice_as_long_up_to_the_longest_until_outcomes_are_recorded() {
        let mut patience = Patience::default();
        assert_eq!([(); 4].map(|()| patience.rest_ms()), [500, 1_000, 2_000, 4_000]);
        patience.committed(false);
        assert_eq!(patience.rest_ms(), 8_000, "what was committed were no outcomes");
        for _ in 0..100 {
            patience.rest_ms();
        }
        assert_eq!(patience.rest_ms(), limits::DELIVERY_RECOVER_MS_MAX);
        patience.committed(true);
        assert_eq!(patience.rest_ms(), limits::DELIVERY_RECOVER_MS);
    }
}
