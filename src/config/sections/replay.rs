//! `[replay]`: how fast sessions are sent what they missed.

use super::{Key, Printed, Section};
use crate::limits;

pub static SECTION: Section = Section {
    name: "replay",
    about: "How fast clients that resume, or were too slow, are sent what they missed.",
    keys: KEYS,
    conflicts: &[],
};

const KEYS: &[Key] = &[
    Key {
        name: "events_per_second",
        about: "Events a second that one session is sent from the journal. 0: no limit.",
        wanted: "a number",
        example: "20000",
        read: |options, value| {
            options.rules.replay.events_per_second = value.number(0..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.replay.events_per_second),
    },
    Key {
        name: "bytes_per_second",
        about: "Bytes a second that one session is sent from the journal, 131072 at least. 0: no limit.",
        wanted: "a number of bytes",
        example: "16777216",
        read: |options, value| {
            options.rules.replay.bytes_per_second =
                value.zero_or(limits::CONFIGURED_REPLAY_BYTES_MIN..=limits::CONFIGURED_REPLAY_BYTES_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.replay.bytes_per_second),
    },
    Key {
        name: "sessions",
        about: "Sessions of one shard that are sent what they missed at the same time, 1 at least. The others wait for their turn.",
        wanted: "a number",
        example: "5000",
        read: |options, value| {
            options.rules.replay.sessions = value.number(1..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.replay.sessions),
    },
    Key {
        name: "share_percent",
        about: "The part of a shard's time that serving them takes at most, in percent. The rest is for live events.",
        wanted: "a number",
        example: "50",
        read: |options, value| {
            options.rules.replay.share_percent = value.number(1..=100)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.replay.share_percent),
    },
];

// The words above name this bound.
const _: () = assert!(limits::CONFIGURED_REPLAY_BYTES_MIN == 131_072);

#[cfg(test)]
mod tests {
    use super::super::super::File;
    use super::super::super::file::tests::told;

    #[test]
    fn numbers_have_their_ranges() {
        for (key, good, bad, range) in [
            ("events_per_second", &[0_u64, 100_000_000][..], &[100_000_001_u64, 1 << 32][..], "0 to 100000000"),
            ("bytes_per_second", &[0, 131_072, 64 << 30], &[1, 131_071, (64 << 30) + 1], "0, or 131072 to 68719476736"),
            ("sessions", &[1, 10_000_000], &[0, 10_000_001], "1 to 10000000"),
            ("share_percent", &[1, 100], &[0, 101], "1 to 100"),
        ] {
            for number in good {
                let text = format!("[replay]\n{key} = {number}");
                assert!(File::parse(text.as_bytes()).is_ok(), "{text}: {}", told(&text));
            }
            for number in bad {
                let expected = format!("line 2: `{key}`: {number} is out of range: write {range}");
                assert_eq!(told(&format!("[replay]\n{key} = {number}")), expected);
            }
        }
    }
}
