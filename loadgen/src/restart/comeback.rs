//! How far a socket is between losing a connection and being live on the next one, and how long it waits where nobody told it.

use crate::limits::{BACK_OFF_MS, BACK_OFF_MS_MAX};

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It connects for the first time.
    Arriving,
    /// It is connected, and has had an event that was published since.
    Live,
    /// It is connected and knows that it is to come back at that time.
    Told { return_ns: u64 },
    /// Its connection ended, and the next one is to be begun at `return_ns`, or is under way since.
    Away { ended_ns: u64, return_ns: u64, back_offs: u32 },
    /// It is connected again, and gets what it missed.
    Resuming { ended_ns: u64, opened_ns: u64 },
}

impl Standing {
    /// Where it stands when its connection, or its attempt at the next, ended at `now_ns`. `random`: from 0 to 1.
    pub fn lost(self, now_ns: u64, random: f64) -> Self {
        let back_off = |back_offs| now_ns.saturating_add(back_off_ns(back_offs, random));
        match self {
            Self::Arriving => Self::Arriving,
            Self::Told { return_ns } => Self::Away { ended_ns: now_ns, return_ns: return_ns.max(now_ns), back_offs: 0 },
            Self::Live | Self::Resuming { .. } => Self::Away { ended_ns: now_ns, return_ns: back_off(0), back_offs: 1 },
            Self::Away { ended_ns, back_offs, .. } => {
                Self::Away { ended_ns, return_ns: back_off(back_offs), back_offs: back_offs + 1 }
            }
        }
    }
}

/// How long to wait after so many waits: twice as long each time, and up to as long again at random, so that those who lost their
/// connection together do not come back together.
fn back_off_ns(back_offs: u32, random: f64) -> u64 {
    let base_ms = (BACK_OFF_MS << back_offs.min(20)).min(BACK_OFF_MS_MAX);
    let base_ns = base_ms * 1_000_000;
    base_ns + (base_ns as f64 * random) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn who_was_told_comes_back_then_and_not_in_the_past() {
        let told = Standing::Told { return_ns: 50 * SECOND };
        assert_eq!(
            told.lost(20 * SECOND, 0.5),
            Standing::Away { ended_ns: 20 * SECOND, return_ns: 50 * SECOND, back_offs: 0 }
        );
        assert_eq!(
            told.lost(60 * SECOND, 0.5),
            Standing::Away { ended_ns: 60 * SECOND, return_ns: 60 * SECOND, back_offs: 0 }
        );
    }

    #[test]
    fn who_was_told_nothing_or_is_refused_waits_longer_each_time() {
        let mut standing = Standing::Live;
        let waits = [0, 1, 2, 3, 4, 5, 6].map(|_| {
            standing = standing.lost(100 * SECOND, 0.5);
            let Standing::Away { ended_ns: 100_000_000_000, return_ns, .. } = standing else { panic!("{standing:?}") };
            (return_ns - 100 * SECOND) / 1_000_000
        });
        assert_eq!(waits, [1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000]);
        let refused = Standing::Told { return_ns: 5 }.lost(1, 0.0).lost(5, 0.0);
        assert_eq!(refused, Standing::Away { ended_ns: 1, return_ns: 5 + SECOND, back_offs: 1 });
        assert!((back_off_ns(u32::MAX, 1.0), back_off_ns(0, 0.0)) == (60 * SECOND, SECOND));
    }
}
