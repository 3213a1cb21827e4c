//! The time at which something in the demo happens.

use jiff::Timestamp;

/// When Solana's slot [`KNOWN_SLOT`] was, roughly. Slots are made up from here.
const KNOWN_SLOT_UNIX_MS: u64 = 1_708_732_800_000;
const KNOWN_SLOT: u64 = 250_123_456;
const SLOT_MS: u64 = 400;

/// With its text, which is written into many events.
#[derive(Clone, Debug)]
pub struct Moment {
    unix_ms: u64,
    text: String,
}

impl Moment {
    /// Panics on a time past the year 9999.
    pub fn new(unix_ms: u64) -> Self {
        Self { unix_ms, text: text(unix_ms) }
    }

    pub fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// RFC 3339 with milliseconds.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a later moment.
    pub fn text_after_ms(&self, ms: u64) -> String {
        text(self.unix_ms + ms)
    }

    /// The slot of a blockchain that makes one each 400 ms.
    pub fn slot(&self) -> u64 {
        KNOWN_SLOT + self.unix_ms.saturating_sub(KNOWN_SLOT_UNIX_MS) / SLOT_MS
    }
}

fn text(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.expect("a time before the year 10000"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_a_text_and_a_slot() {
        let moment = Moment::new(1_736_937_000_000);
        assert_eq!(moment.text(), "2025-01-15T10:30:00.000Z");
        assert_eq!(moment.text_after_ms(1_500), "2025-01-15T10:30:01.500Z");
        assert_eq!(moment.slot(), Moment::new(1_736_937_000_399).slot());
        assert_eq!(moment.slot() + 1, Moment::new(1_736_937_000_400).slot());
    }
}
