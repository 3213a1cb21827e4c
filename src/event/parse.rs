//! One element of a publish body becomes an [`Event`].

use super::canonical::{CanonicalWriter, IntegerTooLarge};
use super::diagnosis::diagnose;
use super::invalid::cut_path;
use super::json::{Json, JsonReader};
use super::topic::{Envelope, Topic, check_type};
use super::trade::{self, TRADE_TYPE};
use super::{Event, InvalidEvent, Reason, Refusal};
use crate::limits::{
    EVENT_BYTES_MAX, EVENT_CHANNEL_BYTES_MAX, EVENT_ID_BYTES_MAX, EVENT_KEY_BYTES_MAX, EVENT_TYPE_BYTES_MAX,
};

/// Parses events one after the other, in buffers that it keeps.
pub struct EventParser {
    reader: JsonReader,
    writer: CanonicalWriter,
    data: Vec<u8>,
}

impl Default for EventParser {
    fn default() -> Self {
        Self::new()
    }
}

impl EventParser {
    pub fn new() -> Self {
        Self { reader: JsonReader::new(), writer: CanonicalWriter::default(), data: Vec::new() }
    }

    /// Parses and checks the event that is `element`'s text. `line` (from 1) and `index` (from 0, in an array) say where
    /// in the body it stands; an error repeats them.
    pub fn parse(&mut self, element: &[u8], line: u32, index: Option<u32>) -> Result<Event, InvalidEvent> {
        self.read(element).map_err(|refusal| refusal.at(line, index))
    }

    fn read(&mut self, element: &[u8]) -> Result<Event, Refusal> {
        if element.len() > EVENT_BYTES_MAX {
            return Err(Refusal::whole(Reason::TooLong));
        }
        let Self { reader, writer, data: canonical } = self;
        reader.read(element, |json| {
            let Fields { kind, topic, data, channel, key, id } = Fields::read(json)?;
            let trade = check_type(kind)?;
            let owner = trade.map(|trade| trade::check(data, trade)).transpose()?;
            let topic = Topic::of_event(kind, topic, owner)?;
            if topic.namespace().envelope() == Envelope::Channels {
                check_flat(data, id.is_some())?;
            }
            canonical.clear();
            let omit = trade.is_some().then_some(TRADE_TYPE);
            writer.write(data, omit, canonical).map_err(|IntegerTooLarge| diagnose(element))?;
            if canonical.len() > EVENT_BYTES_MAX {
                return Err(Refusal::of("data", Reason::TooLongCanonical));
            }
            Ok(Event {
                kind: kind.into(),
                topic,
                data: canonical.as_slice().into(),
                channel: channel.map(Into::into),
                key: key.map(Into::into),
                id: id.map(Into::into),
            })
        })
    }
}

/// An event's own fields, each checked by itself. An optional one that is `null` counts as left out.
struct Fields<'t> {
    kind: &'t str,
    topic: Option<&'t str>,
    data: Json<'t>,
    channel: Option<&'t str>,
    key: Option<&'t str>,
    id: Option<&'t str>,
}

impl<'t> Fields<'t> {
    fn read(event: Json<'t>) -> Result<Self, Refusal> {
        let Some(members) = event.members() else {
            return Err(Refusal::whole(Reason::WrongType { expected: "an object", got: event.type_name() }));
        };
        let mut values: [Option<Json<'t>>; NAMES.len()] = [None; NAMES.len()];
        for (name, value) in members {
            let Some(place) = NAMES.iter().position(|known| *known == name) else {
                return Err(Refusal::of(
                    &cut_path(name.escape_debug().to_string()),
                    Reason::UnknownField { nearest: nearest_name(name) },
                ));
            };
            if values[place].replace(value).is_some() {
                return Err(Refusal::of(name, Reason::Twice));
            }
        }
        let [kind, topic, data, channel, key, id] = values;
        let required = |name, value: Option<Json<'t>>| value.ok_or_else(|| Refusal::of(name, Reason::Missing));
        let kind = text("type", required("type", kind)?)?;
        if kind.len() > EVENT_TYPE_BYTES_MAX
            || !is_token(kind)
            || !kind.starts_with(|first: char| first.is_ascii_alphabetic())
        {
            return Err(Refusal::of("type", Reason::TypeNotToken));
        }
        let data = required("data", data)?;
        if data.members().is_none() {
            return Err(Refusal::of("data", Reason::WrongType { expected: "an object", got: data.type_name() }));
        }
        let channel = optional("channel", channel)?;
        if channel.is_some_and(|channel| channel.len() > EVENT_CHANNEL_BYTES_MAX || !is_token(channel)) {
            return Err(Refusal::of("channel", Reason::ChannelNotToken));
        }
        Ok(Self {
            kind,
            topic: optional("topic", topic)?,
            data,
            channel,
            key: bounded("key", key, EVENT_KEY_BYTES_MAX)?,
            id: bounded("id", id, EVENT_ID_BYTES_MAX)?,
        })
    }
}

/// An event's field names, in the order in which [`Fields::read`] takes them apart.
const NAMES: [&str; 6] = ["type", "topic", "data", "channel", "key", "id"];

fn text<'t>(name: &str, value: Json<'t>) -> Result<&'t str, Refusal> {
    match value.as_str() {
        Some("") => Err(Refusal::of(name, Reason::Blank)),
        Some(text) => Ok(text),
        None => Err(Refusal::of(name, Reason::WrongType { expected: "a string", got: value.type_name() })),
    }
}

fn optional<'t>(name: &str, value: Option<Json<'t>>) -> Result<Option<&'t str>, Refusal> {
    value.filter(|value| !value.is_null()).map(|value| text(name, value)).transpose()
}

fn bounded<'t>(name: &str, value: Option<Json<'t>>, bytes_max: usize) -> Result<Option<&'t str>, Refusal> {
    match optional(name, value)? {
        Some(text) if text.len() > bytes_max => Err(Refusal::of(name, Reason::TextTooLong { bytes_max })),
        Some(text) if text.chars().any(char::is_control) => Err(Refusal::of(name, Reason::ControlCharacter)),
        text => Ok(text),
    }
}

/// Characters that need no escape in JSON, in a header or in a metric's label.
fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-:/".contains(&byte))
}

/// A flat envelope puts `type` and `seq` beside the fields of `data`, and `event_id` where the event has an id.
fn check_flat(data: Json<'_>, has_id: bool) -> Result<(), Refusal> {
    for (key, _) in data.members().into_iter().flatten() {
        match key {
            "type" => return Err(Refusal::of("data.type", Reason::FlatCollision)),
            "seq" => return Err(Refusal::of("data.seq", Reason::FlatCollision)),
            "event_id" if has_id => return Err(Refusal::of("data.event_id", Reason::FlatCollision)),
            _ => {}
        }
    }
    Ok(())
}

/// The event field whose name is at most two edits from `name`.
fn nearest_name(name: &str) -> Option<&'static str> {
    const EDITS_MAX: usize = 2;
    let name = name.to_ascii_lowercase();
    if name.len() > NAMES.iter().map(|known| known.len()).max().unwrap_or(0) + EDITS_MAX {
        return None;
    }
    let nearest = NAMES.into_iter().map(|known| (edits(name.as_bytes(), known.as_bytes()), known)).min();
    // Of two or three letters, two edits leave nothing.
    nearest.filter(|(edits, known)| *edits <= EDITS_MAX && edits * 2 <= known.len()).map(|(_, known)| known)
}

/// Levenshtein's distance.
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRADE: &str = r#"{"type":"trade.open","data":{"owner":"DRVR","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.50,"leverage":5.2,"entryPrice":185.42,"tradeType":"open","timestamp":"2025-01-15T10:30:00Z"},"id":"t-1"}"#;

    fn parse(text: &str) -> Result<Event, InvalidEvent> {
        EventParser::new().parse(text.as_bytes(), 3, None)
    }

    fn error(text: &str) -> String {
        parse(text).expect_err(text).to_string()
    }

    #[test]
    fn a_trade_gets_its_topic_and_loses_its_trade_type() {
        let event = parse(TRADE).unwrap();
        assert_eq!(
            (&*event.kind, event.topic.as_str(), event.id.as_deref()),
            ("trade.open", "wallet:DRVR", Some("t-1"))
        );
        assert_eq!(
            std::str::from_utf8(&event.data).unwrap(),
            r#"{"owner":"DRVR","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.5,"leverage":5.2,"entryPrice":185.42,"timestamp":"2025-01-15T10:30:00Z"}"#
        );
    }

    #[test]
    fn every_field_is_taken_and_null_is_left_out() {
        let event = parse(r#"{"id":"i","key":"k","channel":"c","data":{},"topic":"user:u","type":"t"}"#).unwrap();
        assert_eq!(
            (event.channel.as_deref(), event.key.as_deref(), event.id.as_deref()),
            (Some("c"), Some("k"), Some("i"))
        );
        let event = parse(r#"{"type":"alert","data":{},"topic":null,"channel":null,"key":null,"id":null}"#).unwrap();
        assert_eq!((event.topic.as_str(), event.channel, event.key, event.id), ("alerts", None, None, None));
    }

    #[test]
    fn refusals_name_line_and_field() {
        for (text, expected) in [
            (r#"[1]"#, "line 3: expected an object, got an array"),
            (r#"["alert",null,{},null,null,null]"#, "line 3: expected an object, got an array"),
            (r#"{"type":"alert","data":[{}]}"#, "line 3: data: expected an object, got an array"),
            (r#"{"data":{}}"#, "line 3: type: required, but missing"),
            (r#"{"type":"alert"}"#, "line 3: data: required, but missing"),
            (r#"{"type":"alert","data":null}"#, "line 3: data: expected an object, got null"),
            (r#"{"type":7,"data":{}}"#, "line 3: type: expected a string, got a number"),
            (r#"{"type":"alert","type":"alert","data":{}}"#, "line 3: type: given twice"),
            (r#"{"type":"alert","Topic":"alerts","data":{}}"#, "line 3: Topic: unknown field: did you mean `topic`?"),
            (r#"{"type":"alert","dat":{}}"#, "line 3: dat: unknown field: did you mean `data`?"),
            (
                r#"{"type":"alert","payload":{}}"#,
                "line 3: payload: unknown field: an event has type, topic, data, channel, key and id",
            ),
            (r#"{"type":"alert","data":{},"id":""}"#, "line 3: id: must not be empty"),
            (r#"{"type":"alert","data":{},"key":"a\nb"}"#, "line 3: key: control characters are not allowed"),
            (
                r#"{"type":"alert","data":{"a":{"b":[1e400]}}}"#,
                "line 3: data.a.b[0]: a number past JavaScript's range (about 1.8e308): send it as a string",
            ),
            (
                r#"{"type":"alert","data":{"a":9007199254740993}}"#,
                "line 3: data.a: an integer past 2^53, which JavaScript can't hold exactly: send it as a string",
            ),
            (
                r#"{"type":"alert","data":{"a":}}"#,
                "line 3: data.a: not valid JSON at byte 29 of the event: expected a value",
            ),
            (r#"{"type":"trade.open","data":{}}"#, "line 3: data.owner: required, but missing"),
        ] {
            assert_eq!(error(text), expected);
        }
        assert_eq!(error(&TRADE.replace("5.2", r#""5.2""#)), "line 3: data.leverage: expected a number, got a string");
        let missing_topic = error(r#"{"type":"price_update","data":{}}"#);
        assert!(
            missing_topic.starts_with("line 3: topic: required for this type: no topic follows"),
            "{missing_topic}"
        );
    }

    #[test]
    fn types_and_channels_are_tokens() {
        for bad in ["", "7up", "a b", "a\\\"b", "é", "a\\nb", &"x".repeat(65)] {
            assert!(error(&format!(r#"{{"type":"{bad}","topic":"system","data":{{}}}}"#)).contains(" type: "), "{bad}");
            if bad != "7up" {
                let text = format!(r#"{{"type":"t","topic":"system","channel":"{bad}","data":{{}}}}"#);
                assert!(error(&text).contains(" channel: "), "{bad}");
            }
        }
    }

    #[test]
    fn flat_envelopes_keep_type_and_seq_to_themselves() {
        for namespace in ["bot", "price", "transactions"] {
            for field in ["type", "seq"] {
                let text = format!(r#"{{"type":"t","topic":"{namespace}:x","data":{{"a":1,"{field}":2}}}}"#);
                assert!(error(&text).starts_with(&format!("line 3: data.{field}: this topic's messages are flat")));
            }
        }
        assert!(parse(r#"{"type":"t","topic":"user:x","data":{"type":"warning","seq":2}}"#).is_ok());
        // It is the server's only where there is an id.
        let with_id = |topic: &str, id: &str| {
            parse(&format!(r#"{{"type":"t","topic":"{topic}","data":{{"event_id":1}},"id":{id}}}"#))
        };
        let refused = with_id("price:x", r#""i""#).expect_err("both").to_string();
        assert!(refused.starts_with("line 3: data.event_id: this topic's messages are flat"), "{refused}");
        assert!(with_id("price:x", "null").is_ok() && with_id("user:x", r#""i""#).is_ok());
        assert!(parse(r#"{"type":"t","topic":"bot:x","data":{"data":{"type":1}}}"#).is_ok());
    }

    #[test]
    fn size_is_bounded_before_and_after_canonical_form() {
        let event = |filler: &str| format!(r#"{{"type":"alert","data":{{"a":{filler}}}}}"#);
        let text = |bytes: usize| event(&format!("\"{}\"", "x".repeat(bytes - event("\"\"").len())));
        assert!(parse(&text(EVENT_BYTES_MAX)).is_ok());
        assert_eq!(parse(&text(EVENT_BYTES_MAX + 1)).unwrap_err().reason, Reason::TooLong);
        let grows = event(&format!("[{}0]", "1e20,".repeat(12_000)));
        assert_eq!(parse(&grows).unwrap_err().reason, Reason::TooLongCanonical);
    }

    #[test]
    fn a_parser_is_good_as_new_after_a_refusal() {
        let mut parser = EventParser::new();
        parser.parse(br#"{"type":"alert","data":{"a":[{"b":99999999999999999}]}}"#, 1, None).unwrap_err();
        assert_eq!(parser.parse(TRADE.as_bytes(), 1, None), parse(TRADE));
    }

    proptest! {
        /// A valid event with a few bytes changed: refused or taken, and what is taken is canonical already.
        #[test]
        fn mangled_events_never_panic(changes in prop::collection::vec((0..TRADE.len(), any::<u8>()), 1..6)) {
            let mut text = TRADE.as_bytes().to_vec();
            for (at, byte) in changes {
                text[at] = byte;
            }
            if let Ok(event) = EventParser::new().parse(&text, 1, None) {
                prop_assert_eq!(crate::event::canonical(&event.data).unwrap(), event.data.to_vec());
            }
        }
    }
}
