//! When a delivery is tried again: the schedule, chance, and what the endpoint asked for.

use std::time::{Duration, UNIX_EPOCH};

/// How long after an attempt the next one is due, in milliseconds. `None`: all attempts are made, one more than there are entries.
///
/// Of `jitter_percent`, `random` (0 to `u32::MAX`) says how much the delay of the schedule grows. What the endpoint asked for
/// (`retry_after_ms`, honoured up to a bound) is the least.
pub fn delay_ms(
    retry_seconds: &[u64],
    attempts_made: u32,
    jitter_percent: u32,
    random: u32,
    retry_after_ms: Option<u64>,
    retry_after_max_ms: u64,
) -> Option<u64> {
    let scheduled_ms = match attempts_made {
        0 => 0,
        made => retry_seconds.get(made as usize - 1)?.saturating_mul(1_000),
    };
    // 64 bits times 32 times 32.
    let jitter_ms =
        u128::from(scheduled_ms) * u128::from(jitter_percent) * u128::from(random) / (100 * u128::from(u32::MAX));
    let delay_ms = scheduled_ms.saturating_add(u64::try_from(jitter_ms).unwrap_or(u64::MAX));
    let asked_ms = retry_after_ms.unwrap_or(0).min(retry_after_max_ms);
    Some(delay_ms.max(asked_ms))
}

/// Reads a `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, of which what has passed is no time at all. However much is
/// asked for, its milliseconds fit into 64 bits.
pub fn parse_retry_after(header: &str, now_s: u64) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_millis(u64::MAX);
    let text = header.trim_matches([' ', '\t']);
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // All that can go wrong with digits is that there are too many.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(at.saturating_sub(Duration::from_secs(now_s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(attempts_made: u32) -> Option<u64> {
        delay_ms(&[30, 60], attempts_made, 0, 12_345, None, 600_000)
    }

    #[test]
    fn attempts_follow_the_schedule_and_end_with_it() {
        assert_eq!([0, 1, 2, 3, u32::MAX].map(plain), [Some(0), Some(30_000), Some(60_000), None, None]);
        assert_eq!(delay_ms(&[], 1, 100, 1, Some(1), 1), None);
    }

    #[test]
    fn jitter_makes_a_delay_longer_by_up_to_its_percent() {
        let delay = |random| delay_ms(&[30, 60], 1, 20, random, None, 0);
        assert_eq!([0, u32::MAX / 2 + 1, u32::MAX].map(delay), [Some(30_000), Some(33_000), Some(36_000)]);
        assert_eq!(delay_ms(&[30], 1, 250, u32::MAX, None, 0), Some(105_000));
    }

    #[test]
    fn what_the_endpoint_asks_for_is_the_least_within_its_bound() {
        let delay = |asked_ms| delay_ms(&[30, 60], 1, 0, 0, Some(asked_ms), 600_000);
        assert_eq!(delay(0), Some(30_000));
        assert_eq!(delay(29_999), Some(30_000));
        assert_eq!(delay(90_000), Some(90_000));
        assert_eq!(delay(600_001), Some(600_000));
        assert_eq!(delay(u64::MAX), Some(600_000));
        assert_eq!(delay_ms(&[30], 2, 0, 0, Some(1), 600_000), None, "no attempt more for asking");
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(delay_ms(&[u64::MAX], 1, u32::MAX, u32::MAX, Some(u64::MAX), u64::MAX), Some(u64::MAX));
    }

    // Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
    const EXAMPLE_S: u64 = 784_111_777;

    #[test]
    fn seconds_and_each_of_the_three_forms_of_dates_are_read() {
        let parse = |header| parse_retry_after(header, EXAMPLE_S - 90).map(|wait| wait.as_millis());
        assert_eq!(parse("120"), Some(120_000));
        assert_eq!(parse(" \t0\t "), Some(0));
        assert_eq!(parse("007"), Some(7_000));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(90_000));
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT"), Some(90_000));
        assert_eq!(parse("Sun Nov  6 08:49:37 1994"), Some(90_000));
    }

    #[test]
    fn a_date_that_has_passed_is_no_time_at_all() {
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE_S + 1), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", u64::MAX), Some(Duration::ZERO));
    }

    #[test]
    fn absurd_numbers_saturate() {
        for header in ["18446744073709551615", "99999999999999999999999999999999"] {
            let wait = parse_retry_after(header, 0).expect(header);
            assert_eq!(wait, Duration::from_millis(u64::MAX));
        }
    }

    #[test]
    fn what_is_neither_is_not_read() {
        for header in [
            "",
            " ",
            "-1",
            "+1",
            "1.5",
            "1e3",
            "0x10",
            "12 s",
            "1 2",
            "١٢",
            "soon",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "\n5",
        ] {
            assert_eq!(parse_retry_after(header, 0), None, "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "\\PC{0,40}|[0-9A-Za-z,: -]{22,34}", now_s: u64) {
            parse_retry_after(&header, now_s);
        }

        #[test]
        fn a_delay_lies_between_its_schedule_and_its_jitter(seconds in 0_u64..1_000_000, percent in 0_u32..1_000, random: u32) {
            let delay_ms = delay_ms(&[seconds], 1, percent, random, None, 0).expect("one is left");
            prop_assert!((seconds * 1_000..=seconds * 1_000 + seconds * 10 * u64::from(percent)).contains(&delay_ms));
        }
    }
}
