//! `[slow_consumers]`: what becomes of sessions that take bytes more slowly than events come.

use super::super::error::Misplaced;
use super::super::value::Value;
use super::{Key, Printed, Section};
use crate::protocol::Endpoint;
use crate::server::ServerOptions;

pub static SECTION: Section = Section {
    name: "slow_consumers",
    about: "What becomes of a session that takes bytes more slowly than events come.\n\
            \"catch-up\": it is sent every event from the journal. \"latest\": the same, but of the events with one key only the\n\
            newest; what was passed over is told. \"disconnect\": it is closed with 4409.",
    keys: KEYS,
    conflicts: &[],
};

const POLICY: &str = "\"catch-up\", \"latest\" or \"disconnect\"";

const KEYS: &[Key] = &[
    Key {
        name: "watchlist_policy",
        about: "Of sessions at /ws/alerts?apiKey=.",
        wanted: POLICY,
        example: "\"catch-up\"",
        read: |options, value| set_policy(options, value, Endpoint::Watchlist),
        print: |options| policy(options, Endpoint::Watchlist),
    },
    Key {
        name: "tiered_policy",
        about: "Of sessions at /ws/alerts?api_key=.",
        wanted: POLICY,
        example: "\"catch-up\"",
        read: |options, value| set_policy(options, value, Endpoint::Tiered),
        print: |options| policy(options, Endpoint::Tiered),
    },
    Key {
        name: "channels_policy",
        about: "Of sessions at /v1/ws.",
        wanted: POLICY,
        example: "\"latest\"",
        read: |options, value| set_policy(options, value, Endpoint::Channels),
        print: |options| policy(options, Endpoint::Channels),
    },
    Key {
        name: "rooms_policy",
        about: "Of sessions at /ws.",
        wanted: POLICY,
        example: "\"disconnect\"",
        read: |options, value| set_policy(options, value, Endpoint::Rooms),
        print: |options| policy(options, Endpoint::Rooms),
    },
    Key {
        name: "stream_policy",
        about: "Of clients of /events/stream.",
        wanted: POLICY,
        example: "\"catch-up\"",
        read: |options, value| set_policy(options, value, Endpoint::Stream),
        print: |options| policy(options, Endpoint::Stream),
    },
    Key {
        name: "session_choice",
        about: "Endpoints whose clients may ask for another policy with ?policy=: watchlist, tiered, channels, rooms, stream.\n\
                []: none.",
        wanted: "a list of endpoints",
        example: "[\"watchlist\", \"stream\"]",
        read: |options, value| {
            let endpoints: Vec<_> = value.entries()?.map(|entry| entry.parsed()).collect::<Result<_, _>>()?;
            options.rules.slow.set_choice(&endpoints);
            Ok(())
        },
        print: |options| {
            let may_choose = |endpoint: &Endpoint| options.rules.slow.may_choose(*endpoint);
            Printed::texts(&Endpoint::ALL.into_iter().filter(may_choose).collect::<Vec<_>>())
        },
    },
];

fn set_policy(options: &mut ServerOptions, value: Value<'_>, endpoint: Endpoint) -> Result<(), Misplaced> {
    value.parsed().map(|policy| options.rules.slow.set_policy(endpoint, policy))
}

fn policy(options: &ServerOptions, endpoint: Endpoint) -> Printed {
    Printed::text(options.rules.slow.policy(endpoint))
}

#[cfg(test)]
mod tests {
    use super::super::super::File;
    use super::super::super::file::tests::told;
    use crate::protocol::{Endpoint, SlowPolicy};

    #[test]
    fn a_policy_is_set_for_its_own_endpoint() {
        for endpoint in Endpoint::ALL {
            let file =
                File::parse(format!("[slow_consumers]\n{endpoint}_policy = \"latest\"").as_bytes()).expect("valid");
            for other in Endpoint::ALL {
                let expected = if other == endpoint { SlowPolicy::Latest } else { SlowPolicy::CatchUp };
                assert_eq!(file.server.rules.slow.policy(other), expected, "{endpoint}: {other}");
            }
        }
    }

    #[test]
    fn nobody_may_choose_where_the_list_is_empty_and_everybody_where_there_is_none() {
        let may_choose = |text: &str| {
            let slow = File::parse(text.as_bytes()).expect(text).server.rules.slow;
            Endpoint::ALL.map(|endpoint| slow.may_choose(endpoint))
        };
        assert_eq!(may_choose(""), [true; 5]);
        assert_eq!(may_choose("[slow_consumers]\nsession_choice = []"), [false; 5]);
    }

    #[test]
    fn unknown_words_are_told_the_known_ones() {
        for (text, expected) in [
            (
                "rooms_policy = \"drop\"",
                "line 2: `rooms_policy`: no such policy: there are catch-up, latest and disconnect",
            ),
            (
                "session_choice = [\n\"rooms\",\n\"room\"]",
                "line 4: `session_choice`: no such endpoint: there are watchlist, tiered, channels, rooms and stream",
            ),
        ] {
            assert_eq!(told(&format!("[slow_consumers]\n{text}")), expected, "{text}");
        }
    }
}
