//! `[webhooks]`: what deliveries may reach, when they are tried again, and what of them is kept.

use super::super::error::Misplaced;
use super::super::value::Value;
use super::{Key, Printed, Section};
use crate::delivery::{MasterKeySource, PortRange};
use crate::limits;

pub static SECTION: Section = Section {
    name: "webhooks",
    about: "What deliveries to webhooks may reach, when they are tried again, and what of them is kept.",
    keys: KEYS,
    conflicts: &[],
};

// The words below name these bounds.
const _: () = assert!(limits::CONFIGURED_RETRIES_MAX == 10 && limits::CONFIGURED_RETRY_S_MAX == 86_400);
const _: () = assert!(limits::CONFIGURED_DELIVERY_TIMEOUT_S_MAX == 60);
const _: () = assert!(limits::CONFIGURED_DELIVERY_CONCURRENCY_MAX == 64);
const _: () = assert!(limits::BREAKER_OPEN_MS_MAX == 300_000);
const _: () = assert!(limits::CONFIGURED_DELIVERY_WORKERS_MAX == 1_024);

const KEYS: &[Key] = &[
    // What may be reached.
    Key {
        name: "allow",
        about: "Addresses and networks that webhooks may lead to although they are not public, such as your own receivers.\n\
                []: public addresses only. Whoever may make webhooks can have requests sent to all that listens there.",
        wanted: "a list of networks",
        example: "[\"127.0.0.0/8\", \"10.1.0.0/16\"]",
        read: |options, value| {
            options.webhooks.allow = value.entries()?.map(|entry| entry.parsed()).collect::<Result<_, _>>()?;
            Ok(())
        },
        print: |options| Printed::texts(&options.webhooks.allow),
    },
    Key {
        name: "deny",
        about: "Addresses and networks that webhooks may not lead to although they are public or allowed, such as this server's\n\
                own public addresses and machines inside that have public IPv6 addresses. Looked at before `allow`. []: none.",
        wanted: "a list of networks",
        example: "[\"198.51.100.7\", \"2001:db8:1::/48\"]",
        read: |options, value| {
            options.webhooks.deny = value.entries()?.map(|entry| entry.parsed()).collect::<Result<_, _>>()?;
            Ok(())
        },
        print: |options| Printed::texts(&options.webhooks.deny),
    },
    Key {
        name: "ports",
        about: "Ports that a webhook's URL may name, 1 to 65535, single ones and ranges. The default leaves out those below 1024\n\
                where other services than HTTP listen. A URL with another port is refused.",
        wanted: "a list of ports and ranges",
        example: "[\"443\", \"8000-8999\"]",
        read: |options, value| ports(value).map(|ports| options.webhooks.ports = ports),
        print: |options| Printed::texts(&options.webhooks.ports),
    },
    Key {
        name: "ca_file",
        about: "A file of certificates (PEM) that are trusted beside the system's, such as your own authority's.\n\
                Unset: the system's alone.",
        wanted: "a file",
        example: "\"/etc/stentor/ca.pem\"",
        read: |options, value| value.path().map(|path| options.webhooks.ca_file = Some(path)),
        print: |options| Printed::or_unset(options.webhooks.ca_file.as_ref(), |path| Printed::path(path)),
    },
    // An attempt, and the next one.
    Key {
        name: "timeout_seconds",
        about: "How long an attempt may take, from the look-up of the name to the end of the answer, in seconds, 1 to 60.\n\
                One that takes longer has failed.",
        wanted: "a number of seconds",
        example: "10",
        read: |options, value| {
            options.webhooks.timeout_seconds = value.number(1..=limits::CONFIGURED_DELIVERY_TIMEOUT_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.timeout_seconds),
    },
    Key {
        name: "retry_seconds",
        about: "How long after a failed attempt the next one follows, in seconds: an entry for each further attempt, 10 at most,\n\
                each 0 to 86400. []: a delivery is tried once. After the last one has failed, it is given up.",
        wanted: "a list of seconds",
        example: "[30, 60]",
        read: |options, value| retries(value).map(|retries| options.webhooks.retry_seconds = retries),
        print: |options| Printed::numbers(&options.webhooks.retry_seconds),
    },
    Key {
        name: "jitter_percent",
        about: "By how much of itself such a time may grow by chance, in percent, so that what failed together is not tried again\n\
                together. 0: not at all.",
        wanted: "a number",
        example: "20",
        read: |options, value| value.number(0..=100).map(|percent| options.webhooks.jitter_percent = percent),
        print: |options| Printed::number(options.webhooks.jitter_percent),
    },
    Key {
        name: "retry_after_max_seconds",
        about: "The longest Retry-After of an endpoint that is heeded, in seconds; a longer one counts as this. It makes a retry\n\
                later, never sooner. 0: none is heeded.",
        wanted: "a number of seconds",
        example: "600",
        read: |options, value| {
            options.webhooks.retry_after_max_seconds = value.number(0..=limits::CONFIGURED_RETRY_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.retry_after_max_seconds),
    },
    // One webhook's share.
    Key {
        name: "workers",
        about: "Threads that send, 1 to 1024. Each is busy for as long as an endpoint takes to answer. With all of them busy,\n\
                deliveries wait, and those of an account with three quarters of them (from 4).",
        wanted: "a number",
        example: "128",
        read: |options, value| {
            options.webhooks.workers = value.number(1..=limits::CONFIGURED_DELIVERY_WORKERS_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.workers),
    },
    Key {
        name: "concurrency",
        about: "Attempts of one webhook under way at the same time, 1 to 64. With 1, its events are sent in order, but for retries.",
        wanted: "a number",
        example: "4",
        read: |options, value| {
            options.webhooks.concurrency = value.number(1..=limits::CONFIGURED_DELIVERY_CONCURRENCY_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.concurrency),
    },
    Key {
        name: "rate_per_second",
        about: "Attempts a second of one webhook. 0: no limit. Past it and the burst its deliveries wait.",
        wanted: "a number",
        example: "100",
        read: |options, value| {
            options.webhooks.rate_per_second = value.number(0..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.rate_per_second),
    },
    Key {
        name: "rate_burst",
        about: "Attempts of one webhook that may come at once, 1 at least. It refills at the rate above.",
        wanted: "a number",
        example: "200",
        read: |options, value| {
            options.webhooks.rate_burst = value.number(1..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.rate_burst),
    },
    Key {
        name: "backlog",
        about: "Deliveries of one webhook that wait, 1 at least. With one more, the oldest is dropped, and its history says so.",
        wanted: "a number",
        example: "100000",
        read: |options, value| {
            options.webhooks.backlog = value.number(1..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.backlog),
    },
    // Endpoints that fail.
    Key {
        name: "breaker_failures",
        about: "Failed attempts of one webhook in a row, 1 at least, after which it is left alone for a while.",
        wanted: "a number",
        example: "5",
        read: |options, value| {
            options.webhooks.breaker_failures = value.number(1..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.breaker_failures),
    },
    Key {
        name: "breaker_seconds",
        about: "How long it is left alone then, in seconds, 1 to 300, until one attempt shows whether it is well. If it fails,\n\
                twice as long, and so on up to 300.",
        wanted: "a number of seconds",
        example: "30",
        read: |options, value| {
            options.webhooks.breaker_seconds = value.number(1..=limits::BREAKER_OPEN_MS_MAX / MS_PER_S)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.breaker_seconds),
    },
    Key {
        name: "disable_failures",
        about: "Failed attempts of one webhook in a row after which it is disabled, once they have gone on for disable_seconds.\n\
                Its account is told by an operational event. 0: it never is, but for an endpoint that answers 410.",
        wanted: "a number",
        example: "50",
        read: |options, value| {
            options.webhooks.disable_failures = value.number(0..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.disable_failures),
    },
    Key {
        name: "disable_seconds",
        about: "How long these failures have to go on, in seconds, from the end of the first. 0: their number alone counts.",
        wanted: "a number of seconds",
        example: "86400",
        read: |options, value| {
            options.webhooks.disable_seconds = value.number(0..=limits::CONFIGURED_DISABLE_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.disable_seconds),
    },
    // Secrets.
    Key {
        name: "secret_grace_seconds",
        about: "How long a secret that was replaced still signs beside the new one, in seconds. 0: it ends at once.",
        wanted: "a number of seconds",
        example: "86400",
        read: |options, value| {
            options.webhooks.secret_grace_seconds = value.number(0..=limits::CONFIGURED_SECRET_GRACE_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.secret_grace_seconds),
    },
    Key {
        name: "master_key_file",
        about: "A file with the 32 bytes, in base64 or hex, that seal the webhooks' secrets in the database, so that a copy of it\n\
                does not give them away. Unset: they are kept as they are. Once sealed, they can't be opened without it.",
        wanted: "a file",
        example: "\"/etc/stentor/webhooks.key\"",
        read: |options, value| {
            options.webhooks.master_key = Some(MasterKeySource::File(value.path()?));
            Ok(())
        },
        print: |options| {
            Printed::or_unset(options.webhooks.master_key.as_ref(), |MasterKeySource::File(path)| Printed::path(path))
        },
    },
    // What is remembered.
    Key {
        name: "history",
        about: "Finished deliveries of one webhook that are remembered, 1 at least. Past it the oldest are forgotten.",
        wanted: "a number",
        example: "1000",
        read: |options, value| {
            options.webhooks.history = value.number(1..=limits::CONFIGURED_HISTORY_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.history),
    },
    Key {
        name: "history_hours",
        about: "How long a finished delivery is remembered, in hours, 1 at least.",
        wanted: "a number of hours",
        example: "168",
        read: |options, value| {
            options.webhooks.history_hours = value.number(1..=limits::CONFIGURED_HISTORY_HOURS_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.webhooks.history_hours),
    },
];

const MS_PER_S: u64 = 1_000;

/// Texts, and numbers as one writes a single port in TOML.
fn ports(value: Value<'_>) -> Result<Vec<PortRange>, Misplaced> {
    let port = |entry: Value<'_>| match entry.text() {
        Ok(_) => entry.parsed(),
        Err(_) => {
            let port: u32 = entry.number(1..=u32::from(u16::MAX))?;
            Ok(PortRange::one(port.try_into().expect("the range says so")))
        }
    };
    let ports: Vec<_> = value.entries()?.map(port).collect::<Result<_, _>>()?;
    match ports.len() {
        0 => Err(value.wrong(format!("it is empty, so no URL could be used: write {}", value.wanted()))),
        1..=limits::CONFIGURED_PORTS_MAX => Ok(ports),
        many => Err(too_many(value, many, limits::CONFIGURED_PORTS_MAX)),
    }
}

fn retries(value: Value<'_>) -> Result<Vec<u64>, Misplaced> {
    let delay = |entry: Value<'_>| entry.number(0..=limits::CONFIGURED_RETRY_S_MAX);
    let delays: Vec<_> = value.entries()?.map(delay).collect::<Result<_, _>>()?;
    match delays.len() {
        0..=limits::CONFIGURED_RETRIES_MAX => Ok(delays),
        many => Err(too_many(value, many, limits::CONFIGURED_RETRIES_MAX)),
    }
}

fn too_many(value: Value<'_>, entries: usize, max: usize) -> Misplaced {
    value.wrong(format!("it has {entries} entries: write {max} at most"))
}

#[cfg(test)]
mod tests {
    use super::super::super::File;
    use super::super::super::file::tests::told;
    use crate::config::{Config, ServerSettings};
    use crate::delivery::{MasterKeySource, PortRange, WebhookOptions};

    fn read(text: &str) -> WebhookOptions {
        File::parse(format!("[webhooks]\n{text}").as_bytes()).expect(text).server.webhooks
    }

    #[test]
    fn numbers_have_their_ranges() {
        let (number, day) = ("10000000", "0 to 86400");
        for (key, good, bad, range) in [
            ("timeout_seconds", &[1_u64, 60][..], &[0_u64, 61][..], "1 to 60"),
            ("jitter_percent", &[0, 100], &[101], "0 to 100"),
            ("retry_after_max_seconds", &[0, 86_400], &[86_401], day),
            ("workers", &[1, 1_024], &[0, 1_025], "1 to 1024"),
            ("concurrency", &[1, 64], &[0, 65], "1 to 64"),
            ("rate_per_second", &[0, 100_000_000], &[100_000_001, 1 << 32], "0 to 100000000"),
            ("rate_burst", &[1, 100_000_000], &[0, 100_000_001, 1 << 32], "1 to 100000000"),
            ("backlog", &[1, 10_000_000], &[0, 10_000_001], &format!("1 to {number}")),
            ("breaker_failures", &[1, 10_000_000], &[0, 10_000_001], &format!("1 to {number}")),
            ("breaker_seconds", &[1, 300], &[0, 301], "1 to 300"),
            ("disable_failures", &[0, 10_000_000], &[10_000_001], &format!("0 to {number}")),
            ("disable_seconds", &[0, 2_592_000], &[2_592_001], "0 to 2592000"),
            ("secret_grace_seconds", &[0, 2_592_000], &[2_592_001], "0 to 2592000"),
            ("history", &[1, 1_000_000], &[0, 1_000_001], "1 to 1000000"),
            ("history_hours", &[1, 87_840], &[0, 87_841], "1 to 87840"),
        ] {
            for number in good {
                read(&format!("{key} = {number}"));
            }
            for number in bad {
                let expected = format!("line 2: `{key}`: {number} is out of range: write {range}");
                assert_eq!(told(&format!("[webhooks]\n{key} = {number}")), expected);
            }
        }
    }

    #[test]
    fn a_port_is_a_number_or_a_text_and_a_range_is_a_text() {
        let ports = read("ports = [80, \"443\", \"8000-8999\", 65535, \"1-1\"]").ports;
        let range = PortRange { first: 8_000, last: 8_999 };
        let one = PortRange::one;
        assert_eq!(ports, [one(80), one(443), range, one(65_535), one(1)]);
        let list = "write a list of ports and ranges, such as [\"443\", \"8000-8999\"]";
        let no_port = |text| {
            format!(
                "line 2: `ports`: {text:?} is no port and no range: write one such as 443 or 8000-8999, of 1 to 65535"
            )
        };
        for (text, expected) in [
            ("ports = []", format!("line 2: `ports`: it is empty, so no URL could be used: {list}")),
            ("ports = 443", format!("line 2: `ports` is a number: {list}")),
            ("ports = [true]", format!("line 2: `ports` is an array with true or false in it: {list}")),
            ("ports = [0]", "line 2: `ports`: 0 is out of range: write 1 to 65535".to_owned()),
            ("ports = [65536]", "line 2: `ports`: 65536 is out of range: write 1 to 65535".to_owned()),
            ("ports = [\"0\"]", no_port("0")),
            ("ports = [\"65536\"]", no_port("65536")),
            ("ports = [\"9-8\"]", no_port("9-8")),
            ("ports = [\"0-8\"]", no_port("0-8")),
            ("ports = [\"+80\"]", no_port("+80")),
            ("ports = [\"http\"]", no_port("http")),
            ("ports = [\"80-\"]", no_port("80-")),
            ("ports = [\"\"]", no_port("")),
        ] {
            assert_eq!(told(&format!("[webhooks]\n{text}")), expected, "{text}");
        }
        let many = |entries| format!("[webhooks]\nports = [{}]", "80, ".repeat(entries));
        assert!(File::parse(many(64).as_bytes()).is_ok());
        assert_eq!(told(&many(65)), "line 2: `ports`: it has 65 entries: write 64 at most");
    }

    #[test]
    fn the_schedule_has_up_to_ten_delays_of_up_to_a_day() {
        assert!(read("retry_seconds = []").retry_seconds.is_empty());
        assert_eq!(read("retry_seconds = [0, 86400, 1]").retry_seconds, [0, 86_400, 1]);
        assert_eq!(read("retry_seconds = [1,2,3,4,5,6,7,8,9,10]").retry_seconds.len(), 10);
        for (text, expected) in [
            ("[5,\n86401]", "line 3: `retry_seconds`: 86401 is out of range: write 0 to 86400"),
            ("[-1]", "line 2: `retry_seconds`: -1 is out of range: write 0 to 86400"),
            ("[1,2,3,4,5,6,7,8,9,10,11]", "line 2: `retry_seconds`: it has 11 entries: write 10 at most"),
            ("30", "line 2: `retry_seconds` is a number: write a list of seconds, such as [30, 60]"),
            (
                "[\"30\"]",
                "line 2: `retry_seconds` is an array with a text in it: write a list of seconds, such as [30, 60]",
            ),
        ] {
            assert_eq!(told(&format!("[webhooks]\nretry_seconds = {text}")), expected);
        }
    }

    #[test]
    fn an_allowed_or_denied_network_that_is_none_is_told_with_its_line() {
        for key in ["allow", "deny"] {
            assert_eq!(
                told(&format!("[webhooks]\n{key} = [\n\"127.0.0.0/8\",\n\"localhost\"]")),
                format!(
                    "line 4: `{key}`: \"localhost\" is no address and no network: write one such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32"
                )
            );
        }
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same() {
        let resolve = |text: &str| {
            Config::resolve(ServerSettings::default(), File::parse(text.as_bytes()).expect("a configuration"))
        };
        for text in [
            "",
            "[webhooks]\nallow = []\nports = [443, \"8000-8999\"]\nretry_seconds = []\nrate_per_second = 5\nrate_burst = 9",
            "[webhooks]\nmaster_key_file = \"k \\\"e\\\" y\"\nca_file = 'c\\a'\nallow = [\"::ffff:10.0.0.0/104\", \"::1\"]",
            "[webhooks]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.1.0.0/16\", \"2001:db8::/32\"]",
        ] {
            let config = resolve(text);
            assert_eq!(resolve(&config.to_toml().expect("Unicode")), config, "{text}");
        }
        // The path of the key is no secret; what is in the file is not looked at here.
        let printed = resolve("[webhooks]\nmaster_key_file = \"/key\"").to_toml().expect("Unicode");
        assert!(printed.contains("\nmaster_key_file = \"/key\"\n"), "{printed}");
        assert_eq!(read("master_key_file = \"/key\"").master_key, Some(MasterKeySource::File("/key".into())));
    }
}
