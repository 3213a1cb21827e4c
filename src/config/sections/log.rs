//! `[log]`: what is said on stderr while the server runs, and how.

use super::{Key, Printed, Section};

pub static SECTION: Section = Section {
    name: "log",
    about: "What the server says on stderr. Keys, tokens and secrets are never said, at whatever level.",
    keys: KEYS,
    conflicts: &[],
};

const KEYS: &[Key] = &[
    Key {
        name: "format",
        about: "\"text\": a line for people. \"json\": an object a line, for programs that collect logs.",
        wanted: "\"text\" or \"json\"",
        example: "\"json\"",
        read: |options, value| value.parsed().map(|format| options.log.format = format),
        print: |options| Printed::text(options.log.format),
    },
    Key {
        name: "level",
        about: "How much: \"error\", \"warn\", \"info\", \"debug\" or \"trace\", or by part of the server, such as\n\
                \"info,stentor::delivery=debug\". The environment variable RUST_LOG, where it is set, wins over this, and the flag\n\
                --log-level over both. Libraries say no more than warnings.",
        wanted: "a level in quotes",
        example: "\"info,stentor::delivery=debug\"",
        read: |options, value| value.parsed().map(|level| options.log.level = level),
        print: |options| Printed::text(&options.log.level),
    },
];

#[cfg(test)]
mod tests {
    use super::super::super::file::tests::told;

    #[test]
    fn what_is_no_format_and_no_level_is_told() {
        for (text, expected) in [
            ("format = \"xml\"", "line 2: `format`: no such format: there are text and json"),
            (
                "level = \"loud\"",
                "line 2: `level`: \"loud\" is no level: write error, warn, info, debug or trace, or one for a part, such as \
                 info,stentor::delivery=debug",
            ),
            (
                "level = 5",
                "line 2: `level` is a number: write a level in quotes, such as \"info,stentor::delivery=debug\"",
            ),
        ] {
            assert_eq!(told(&format!("[log]\n{text}")), expected, "{text}");
        }
    }
}
