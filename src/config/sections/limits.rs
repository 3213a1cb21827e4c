//! `[limits]`: how much a client, a connection and a publisher may take.

use super::{Conflict, Key, Printed, Section};
use crate::limits;

pub static SECTION: Section = Section {
    name: "limits",
    about: "How much one client may take, so that the others are served.",
    keys: KEYS,
    conflicts: &[
        Conflict {
            key: "handshake_burst",
            arises: |options| options.policy.handshakes_per_second > 0 && options.policy.handshake_burst == 0,
            message: "0 would let nobody in: write 1 or more, or handshakes_per_second = 0 for no limit",
        },
        Conflict {
            key: "message_burst",
            arises: |options| options.rules.messages_per_second > 0 && options.rules.message_burst == 0,
            message: "0 would let no message through: write 1 or more, or messages_per_second = 0 for no limit",
        },
        Conflict {
            key: "publisher_event_burst",
            arises: |options| {
                options.policy.publisher_events_per_second > 0 && options.policy.publisher_event_burst == 0
            },
            message: "0 would let no event through: write 100000 or more, or publisher_events_per_second = 0 for no limit",
        },
    ],
};

const MS_PER_S: u32 = 1_000;

// The words below name these bounds.
const _: () =
    assert!(limits::CONFIGURED_EVENT_BURST_MIN == 100_000 && limits::CONFIGURED_BYTES_IN_FLIGHT_MIN == 8_388_608);
const _: () =
    assert!(limits::CONFIGURED_MESSAGE_BYTES_MIN == 1_024 && limits::CONFIGURED_MESSAGE_BYTES_MAX == 1_048_576);
const _: () = assert!(limits::WATCHLIST_MESSAGE_BYTES_MAX == 4_096 && limits::PENDING_ADDRESSES_MIN == 20);
const _: () = assert!(limits::CONFIGURED_AUTHENTICATION_S_MIN == 1 && limits::CONFIGURED_AUTHENTICATION_S_MAX == 300);

const KEYS: &[Key] = &[
    // Connections.
    Key {
        name: "connections_per_key",
        about: "WebSockets at a time with one API key, or as one user of the rooms protocol. 0: no limit.\n\
                Where the key is in the address, one more is refused with 429 before the upgrade; where key or token come in a\n\
                message, or the token in a header, with RATE_LIMIT_EXCEEDED and 4429 behind it.",
        wanted: "a number",
        example: "1000",
        read: |options, value| {
            options.policy.connections_per_key = value.number(0..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.connections_per_key),
    },
    Key {
        name: "connections_per_address",
        about: "WebSockets at a time from one client address. 0: no limit. One more is refused with 429.",
        wanted: "a number",
        example: "1000",
        read: |options, value| {
            options.policy.connections_per_address = value.number(0..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.connections_per_address),
    },
    Key {
        name: "handshakes_per_second",
        about: "WebSocket handshakes a second from one client address. 0: no limit. Past it and the burst: refused with 429.",
        wanted: "a number",
        example: "50",
        read: |options, value| {
            options.policy.handshakes_per_second = value.number(0..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.handshakes_per_second),
    },
    Key {
        name: "handshake_burst",
        about: "Handshakes from one client address that may come at once, 1 at least. It refills at the rate above.",
        wanted: "a number",
        example: "200",
        read: |options, value| {
            options.policy.handshake_burst = value.number(0..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.handshake_burst),
    },
    Key {
        name: "pending_authentications",
        about: "WebSockets at a time, of the whole server, that have not authenticated yet. 0: no limit. Past it: refused with 503.\n\
                One client address may have a twentieth of them, 1 at least; one more of its own is refused with 429.",
        wanted: "a number",
        example: "10000",
        read: |options, value| {
            options.policy.pending_authentications = value.number(0..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.pending_authentications),
    },
    Key {
        name: "exempt_addresses",
        about: "Client addresses and networks that the limits on connections, handshakes and pending authentications above don't\n\
                count, such as your own load generator. []: none.",
        wanted: "a list of networks",
        example: "[\"127.0.0.0/8\", \"::1\"]",
        read: |options, value| {
            options.policy.exempt_addresses = value.entries()?.map(|entry| entry.parsed()).collect::<Result<_, _>>()?;
            Ok(())
        },
        print: |options| Printed::texts(&options.policy.exempt_addresses),
    },
    // A connection's messages.
    Key {
        name: "messages_per_second",
        about: "Messages and pings a second of one connection. 0: no limit.\n\
                Past it and the burst each is refused with RATE_LIMIT_EXCEEDED.",
        wanted: "a number",
        example: "20",
        read: |options, value| {
            options.rules.messages_per_second = value.number(0..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.messages_per_second),
    },
    Key {
        name: "message_burst",
        about: "Messages of one connection that may come at once, 1 at least. It refills at the rate above.",
        wanted: "a number",
        example: "1200",
        read: |options, value| {
            options.rules.message_burst = value.number(0..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.message_burst),
    },
    Key {
        name: "refusals_before_close",
        about: "Messages refused as too many, without a pause between them, until the connection is closed with 4429.\n\
                0: it never is.",
        wanted: "a number",
        example: "200",
        read: |options, value| {
            options.rules.refusals_max = value.number(0..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.refusals_max),
    },
    Key {
        name: "subscriptions_per_connection",
        about: "Topics that one connection may have subscribed to. 0: no limit. One more is refused with RATE_LIMIT_EXCEEDED.",
        wanted: "a number",
        example: "1000",
        read: |options, value| {
            options.rules.subscriptions_max = value.number(0..=limits::CONFIGURED_NUMBER_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.subscriptions_max),
    },
    Key {
        name: "message_bytes",
        about: "A client's message, in bytes, 1024 to 1048576. A longer one closes the connection with 1009.\n\
                The watchlist and the tiered protocol take 4096 at most, whatever this says.",
        wanted: "a number of bytes",
        example: "16384",
        read: |options, value| {
            options.rules.message_bytes_max =
                value.number(limits::CONFIGURED_MESSAGE_BYTES_MIN..=limits::CONFIGURED_MESSAGE_BYTES_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.message_bytes_max),
    },
    Key {
        name: "authentication_seconds",
        about: "How long a connection may take to authenticate, in seconds, 1 to 300. Then it is closed with 4401.",
        wanted: "a number of seconds",
        example: "10",
        read: |options, value| {
            options.rules.authentication_ms = MS_PER_S
                * value.number(limits::CONFIGURED_AUTHENTICATION_S_MIN..=limits::CONFIGURED_AUTHENTICATION_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.rules.authentication_ms / MS_PER_S),
    },
    // Publishers.
    Key {
        name: "publisher_events_per_second",
        about: "Events a second of one publisher's key. 0: no limit. Past it and the burst a request is refused with Retry-After.",
        wanted: "a number",
        example: "200000",
        read: |options, value| {
            options.policy.publisher_events_per_second = value.number(0..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.publisher_events_per_second),
    },
    Key {
        name: "publisher_event_burst",
        about: "Events of one publisher's key that may come at once. It refills at the rate above. A request may hold 100000,\n\
                so no less is taken; 0 only where the rate is 0 as well.",
        wanted: "a number",
        example: "200000",
        read: |options, value| {
            options.policy.publisher_event_burst =
                value.zero_or(limits::CONFIGURED_EVENT_BURST_MIN..=limits::CONFIGURED_RATE_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.publisher_event_burst),
    },
    Key {
        name: "publisher_bytes_in_flight",
        about: "Bytes of one publisher's requests that are being read, parsed or numbered. 0: no limit. A request may have\n\
                8388608, so no less is taken. Past it a request is refused with Retry-After.",
        wanted: "a number of bytes",
        example: "67108864",
        read: |options, value| {
            options.policy.publisher_bytes_in_flight =
                value.zero_or(limits::CONFIGURED_BYTES_IN_FLIGHT_MIN..=limits::CONFIGURED_BYTES_IN_FLIGHT_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.policy.publisher_bytes_in_flight),
    },
];

#[cfg(test)]
mod tests {
    use super::super::super::File;
    use super::super::super::file::tests::told;

    #[test]
    fn no_limit_can_be_said() {
        let zeros = "connections_per_key connections_per_address handshakes_per_second handshake_burst \
            pending_authentications messages_per_second message_burst refusals_before_close \
            subscriptions_per_connection publisher_events_per_second publisher_event_burst publisher_bytes_in_flight";
        let text = format!("limits = {{ {} = 0 }}", zeros.split(' ').collect::<Vec<_>>().join(" = 0, "));
        let server = File::parse(text.as_bytes()).expect(&text).server;
        assert_eq!(server.rules.messages_per_second + server.rules.message_burst + server.policy.handshake_burst, 0);
        assert_eq!(server.policy.publisher_bytes_in_flight + u64::from(server.policy.publisher_event_burst), 0);
    }

    #[test]
    fn a_number_out_of_its_range_is_refused_and_its_ends_are_not() {
        let (rate, number) = ("0 to 100000000", "0 to 10000000");
        for (key, good, bad, range) in [
            ("connections_per_key", &[0, 10_000_000][..], &[10_000_001, 1 << 32][..], number),
            ("connections_per_address", &[0, 10_000_000], &[10_000_001, 1 << 32], number),
            ("pending_authentications", &[0, 10_000_000], &[10_000_001, 1 << 32], number),
            ("refusals_before_close", &[0, 10_000_000], &[10_000_001, 1 << 32], number),
            ("subscriptions_per_connection", &[0, 10_000_000], &[10_000_001, 1 << 32], number),
            ("handshakes_per_second", &[0, 100_000_000], &[100_000_001, 1 << 32], rate),
            ("handshake_burst", &[1, 100_000_000], &[100_000_001, 1 << 32], rate),
            ("messages_per_second", &[0, 100_000_000], &[100_000_001, 1 << 32], rate),
            ("message_burst", &[1, 100_000_000], &[100_000_001, 1 << 32], rate),
            ("publisher_events_per_second", &[0, 100_000_000], &[100_000_001, 1 << 32], rate),
            ("publisher_event_burst", &[100_000, 100_000_000], &[1, 99_999, 100_000_001], "0, or 100000 to 100000000"),
            (
                "publisher_bytes_in_flight",
                &[0, 8 << 20, 64 << 30],
                &[1, (8 << 20) - 1, (64 << 30) + 1],
                "0, or 8388608 to 68719476736",
            ),
            ("message_bytes", &[1024, 1 << 20], &[0, 1023, (1 << 20) + 1], "1024 to 1048576"),
            ("authentication_seconds", &[1, 300], &[0, 301, (1_i64 << 32) + 1], "1 to 300"),
        ] {
            for number in good {
                let text = format!("[limits]\n{key} = {number}");
                assert!(File::parse(text.as_bytes()).is_ok(), "{text}: {}", told(&text));
            }
            for number in bad {
                let expected = format!("line 2: `{key}`: {number} is out of range: write {range}");
                assert_eq!(told(&format!("[limits]\n{key} = {number}")), expected);
            }
        }
    }

    #[test]
    fn a_burst_of_nothing_is_refused_where_there_is_a_rate() {
        for (text, expected) in [
            (
                "[limits]\nhandshake_burst = 0\nhandshakes_per_second = 5",
                "line 2: `handshake_burst`: 0 would let nobody in: write 1 or more, or handshakes_per_second = 0 for no limit",
            ),
            (
                "[limits]\n\nmessage_burst = 0",
                "line 3: `message_burst`: 0 would let no message through: write 1 or more, or messages_per_second = 0 for no limit",
            ),
            (
                "[limits]\npublisher_event_burst = 0",
                "line 2: `publisher_event_burst`: 0 would let no event through: write 100000 or more, or publisher_events_per_second = 0 for no limit",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }
}
