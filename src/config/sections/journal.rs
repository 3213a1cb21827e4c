//! `[journal]`: how events are kept, and for how long.

use super::{Conflict, Key, Printed, Section};
use crate::limits;

pub static SECTION: Section = Section {
    name: "journal",
    about: "How events are kept on the disk, in data_dir, and for how long.",
    keys: KEYS,
    conflicts: &[
        Conflict {
            key: "retention_bytes",
            arises: too_small_for_two_segments,
            message: "it holds less than two segments, and only whole ones are dropped: write 2 x segment_bytes or more, or 0 for \
                      no bound",
        },
        Conflict {
            key: "segment_bytes",
            arises: too_small_for_two_segments,
            message: "retention_bytes holds less than two of them, and only whole ones are dropped: write half of it or less",
        },
    ],
};

fn too_small_for_two_segments(options: &crate::server::ServerOptions) -> bool {
    let journal = &options.journal;
    journal.retention_bytes > 0 && journal.retention_bytes < 2 * journal.segment_bytes
}

const KEYS: &[Key] = &[
    Key {
        name: "sync",
        about: "When a publisher is answered. \"always\": when the disk has its events, which survive a power cut then.\n\
                \"interval\": when the kernel has them; the disk has them sync_interval_ms later. \"never\": when the kernel has\n\
                them, and when the disk does is the kernel's to decide. Without a power cut nothing is lost in any of the three.",
        wanted: "\"always\", \"interval\" or \"never\"",
        example: "\"interval\"",
        read: |options, value| value.parsed().map(|sync| options.journal.sync = sync),
        print: |options| Printed::text(options.journal.sync),
    },
    Key {
        name: "sync_interval_ms",
        about: "Between two syncs with sync = \"interval\", in milliseconds, 1 to 60000.",
        wanted: "a number of milliseconds",
        example: "100",
        read: |options, value| {
            options.journal.sync_interval_ms =
                value.number(limits::CONFIGURED_SYNC_INTERVAL_MS_MIN..=limits::CONFIGURED_SYNC_INTERVAL_MS_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.journal.sync_interval_ms),
    },
    Key {
        name: "fanout",
        about: "When clients are sent an event. \"immediate\": at once, while the disk is still at it; a power cut may lose what they\n\
                have seen, and they are told so. \"durable\": when its publisher is answered.",
        wanted: "\"immediate\" or \"durable\"",
        example: "\"durable\"",
        read: |options, value| value.parsed().map(|fanout| options.journal.fanout = fanout),
        print: |options| Printed::text(options.journal.fanout),
    },
    Key {
        name: "retention_bytes",
        about: "What the journal may take on the disk; the oldest events are dropped first. 0: no bound. Two segments at least.",
        wanted: "a number of bytes",
        example: "8589934592",
        read: |options, value| {
            options.journal.retention_bytes =
                value.zero_or(limits::CONFIGURED_RETENTION_BYTES_MIN..=limits::CONFIGURED_RETENTION_BYTES_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.journal.retention_bytes),
    },
    Key {
        name: "retention_hours",
        about: "How long events can be had again, in hours; older ones are dropped. 0: no bound.",
        wanted: "a number of hours",
        example: "72",
        read: |options, value| {
            options.journal.retention_hours = value.number(0..=limits::CONFIGURED_RETENTION_HOURS_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.journal.retention_hours),
    },
    Key {
        name: "segment_bytes",
        about: "A file of the journal, 1048576 to 4294967296. Retention drops whole ones.",
        wanted: "a number of bytes",
        example: "67108864",
        read: |options, value| {
            options.journal.segment_bytes =
                value.number(limits::SEGMENT_BYTES_MIN..=limits::CONFIGURED_SEGMENT_BYTES_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.journal.segment_bytes),
    },
    Key {
        name: "dedupe_seconds",
        about: "How long an event's id is remembered for its publisher's account, in seconds: published again, it keeps its number\n\
                and is not sent twice. At most the newest 1048576 ids are. 0: an id counts within its own request only.",
        wanted: "a number of seconds",
        example: "600",
        read: |options, value| {
            options.journal.dedupe_seconds = value.number(0..=limits::CONFIGURED_DEDUPE_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.journal.dedupe_seconds),
    },
];

// The words above name these bounds.
const _: () = assert!(limits::SEGMENT_BYTES_MIN == 1_048_576 && limits::CONFIGURED_SEGMENT_BYTES_MAX == 4_294_967_296);
const _: () =
    assert!(limits::CONFIGURED_SYNC_INTERVAL_MS_MIN == 1 && limits::CONFIGURED_SYNC_INTERVAL_MS_MAX == 60_000);
const _: () = assert!(limits::DEDUPE_IDS_MAX == 1_048_576);

#[cfg(test)]
mod tests {
    use super::super::super::File;
    use super::super::super::file::tests::told;

    #[test]
    fn words_that_are_none_of_the_policies_are_told_those() {
        for (text, expected) in [
            ("sync = \"fsync\"", "line 2: `sync`: there are always, interval and never"),
            ("fanout = \"late\"", "line 2: `fanout`: there are immediate and durable"),
            (
                "sync = true",
                "line 2: `sync` is true or false: write \"always\", \"interval\" or \"never\", such as \"interval\"",
            ),
        ] {
            assert_eq!(told(&format!("[journal]\n{text}")), expected, "{text}");
        }
    }

    #[test]
    fn numbers_have_their_ranges() {
        for (key, good, bad, range) in [
            ("sync_interval_ms", &[1_u64, 60_000][..], &[0_u64, 60_001][..], "1 to 60000"),
            (
                "retention_bytes",
                &[0, 128 << 20, 1 << 50],
                &[1, (2 << 20) - 1, (1 << 50) + 1],
                "0, or 2097152 to 1125899906842624",
            ),
            ("retention_hours", &[0, 87_840], &[87_841], "0 to 87840"),
            ("segment_bytes", &[1 << 20, 4 << 30], &[0, (1 << 20) - 1, (4 << 30) + 1], "1048576 to 4294967296"),
            ("dedupe_seconds", &[0, 86_400], &[86_401], "0 to 86400"),
        ] {
            for number in good {
                let text = format!("[journal]\n{key} = {number}");
                assert!(File::parse(text.as_bytes()).is_ok(), "{text}: {}", told(&text));
            }
            for number in bad {
                let expected = format!("line 2: `{key}`: {number} is out of range: write {range}");
                assert_eq!(told(&format!("[journal]\n{key} = {number}")), expected);
            }
        }
    }

    #[test]
    fn less_than_two_segments_can_not_be_retained() {
        for (text, expected) in [
            ("retention_bytes = 134217727", "line 2: `retention_bytes`: it holds less than two segments"),
            (
                "segment_bytes = 4294967296\nretention_bytes = 5368709120",
                "line 2: `segment_bytes`: retention_bytes holds less",
            ),
        ] {
            let told = told(&format!("[journal]\n{text}"));
            assert!(told.starts_with(expected), "{told}");
        }
        for fine in ["retention_bytes = 134217728", "segment_bytes = 4294967296\nretention_bytes = 0"] {
            assert!(File::parse(format!("[journal]\n{fine}").as_bytes()).is_ok(), "{fine}");
        }
    }
}
