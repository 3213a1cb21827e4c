//! Holds `asyncapi.json` to the code: what the protocols can say and what they understand is in it, and nothing else.
//!
//! ```text
//!   functions that make messages ──▶ validated against the message's schema, and every field is named there
//!   its examples ──▶ validated; those of clients are read by the protocols' own parsers
//!   codes of errors and closes ◀──▶ the lists in the document
//! ```

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::accounts::Tier;
use crate::event::{EventParser, TradeKind};
use crate::hub::{EncodedBatch, Origin};
use crate::journal::{Gap, GapReason};
use crate::limits;
use crate::protocol::channels::{self, Channel};
use crate::protocol::{
    ErrorCode, Protocol, Reconnect, SessionRules, SlowPolicy, SocketError, gap, payload, pong, reconnect, rooms, tiered,
};
use crate::tokens::UserId;
use crate::ws::CloseCode;

const DOCUMENT: &str = include_str!("asyncapi.json");

const NOW: u64 = 1_768_473_000_000;

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("asyncapi.json is JSON")
}

/// What a schema of the document, named by its pointer, finds wrong with a value.
fn faults(document: &Value, pointer: &str, value: &Value) -> Vec<String> {
    // The references in it are resolved against the document around it.
    let mut root = document.clone();
    root["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    root["$ref"] = format!("#{pointer}").into();
    let validator = jsonschema::options().should_validate_formats(true).build(&root).expect("a sound schema");
    validator.iter_errors(value).map(|fault| fault.to_string()).collect()
}

/// Resolves a reference within the document.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(pointer) => resolved(document, document.pointer(&pointer[1..]).expect(pointer)),
        None => value,
    }
}

fn names(list: &Value) -> BTreeSet<&str> {
    match list {
        Value::Array(list) => list.iter().map(|name| name.as_str().expect("a name")).collect(),
        Value::Object(list) => list.keys().map(String::as_str).collect(),
        other => panic!("a list of names: {other}"),
    }
}

/// Messages that an operation of a channel names, by the last part of their references.
fn messages_of<'d>(document: &'d Value, operation: &str) -> BTreeSet<&'d str> {
    let messages = document["operations"][operation]["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let name = |message: &'d Value| message["$ref"].as_str().and_then(|pointer| pointer.rsplit('/').next());
    messages.iter().map(|message| name(message).expect("a reference")).collect()
}

const CODES: [ErrorCode; 8] = [
    ErrorCode::AuthenticationFailed,
    ErrorCode::RateLimitExceeded,
    ErrorCode::InvalidRoom,
    ErrorCode::Forbidden,
    ErrorCode::InvalidMessage,
    ErrorCode::MessageTooLarge,
    ErrorCode::SlowConsumer,
    ErrorCode::InternalError,
];

/// Whether a code is said on a WebSocket. Another variant has to be put here and into [`CODES`].
fn is_said_on_sockets(code: ErrorCode) -> bool {
    match code {
        ErrorCode::AuthenticationFailed
        | ErrorCode::RateLimitExceeded
        | ErrorCode::InvalidRoom
        | ErrorCode::Forbidden
        | ErrorCode::InvalidMessage
        | ErrorCode::MessageTooLarge => true,
        ErrorCode::SlowConsumer | ErrorCode::InternalError => false,
    }
}

/// What peers may say and this server never does.
const NEVER_SENT: [CloseCode; 4] =
    [CloseCode::GOING_AWAY, CloseCode::UNSUPPORTED_DATA, CloseCode::POLICY_VIOLATION, CloseCode::TRY_AGAIN_LATER];

/// Every close code that has a name, as its file has them.
fn close_codes() -> BTreeSet<u16> {
    let source = include_str!("../ws/close.rs");
    let named = source.lines().filter_map(|line| line.trim().strip_prefix("pub const "));
    let codes = named.filter_map(|line| line.split_once(": Self = Self(")?.1.strip_suffix(");"));
    codes.map(|code| code.parse().expect(code)).collect()
}

fn event_frames(events: &[Value]) -> Vec<Box<[u8]>> {
    let mut parser = EventParser::new();
    let events = events.iter().map(|event| parser.parse(event.to_string().as_bytes(), 1, None).expect("a sound event"));
    let batch = EncodedBatch::encode(events.collect(), 42, 0, Origin::default());
    (0..batch.len()).map(|event| batch.frame(event).into()).collect()
}

/// Everything that the protocols say, under the name that the document has for it.
fn said() -> Vec<(&'static str, Vec<Box<[u8]>>)> {
    let user = UserId::new("user_123");
    let channel = |topic: &str| Channel::of(topic).expect(topic);
    let named = ["bot:bot_abc123", "price:EPjF", "transactions:DRVR"];
    let rooms_of = || ["user:user_123", "market:BTC_USD"].into_iter().map(Value::from);
    let error = SocketError::authentication("the token has expired");
    // Those who are refused get two frames; the first is this protocol's own.
    let refused = rooms::refused(&error);
    let refused = refused[..refused.len() - error.frame().len()].into();
    let trade = json!({ "owner": "DRVR", "marketSymbol": "SOL-PERP", "side": "short", "sizeUsd": 15000.5, "leverage": 5,
        "entryPrice": 185.42, "collateral": 1, "timestamp": "2026-01-15T10:30:00Z", "own": [] });
    let trades = [TradeKind::Open, TradeKind::Increase, TradeKind::Close, TradeKind::Liquidation]
        .map(|kind| json!({ "type": format!("trade.{}", kind.as_str()), "id": "fill", "data": trade }));
    let flat =
        named.map(|topic| json!({ "type": "update", "topic": topic, "id": "one", "data": { "data": {}, "n": 1 } }));
    let room = ["user:user_123", "market:BTC_USD", "admin:2", "system"]
        .map(|topic| json!({ "type": "note", "topic": topic, "id": "one", "data": { "n": 1 } }));
    let gaps = [GapReason::Retention, GapReason::Crash, GapReason::Latest];
    vec![
        ("trade", event_frames(&trades)),
        ("alert", event_frames(&[json!({ "type": "alert", "id": "one", "data": { "id": 1 } })])),
        ("channelEvent", event_frames(&flat)),
        ("roomEvent", event_frames(&room)),
        ("connected", [Tier::Pro, Tier::Elite, Tier::Enterprise].map(|tier| tiered::connected(tier, 0)).into()),
        ("tieredPong", vec![tiered::pong(u64::MAX)]),
        ("pong", vec![pong(NOW, 42)]),
        ("authenticated", vec![channels::authenticated(0)]),
        ("subscribed", named.map(|topic| channels::subscribed(&channel(topic), 42)).into()),
        ("unsubscribed", named.map(|topic| channels::unsubscribed(&channel(topic), 42)).into()),
        ("connection", [0, u64::MAX].map(|session| rooms::connected(&user, session, NOW, 42)).into()),
        ("connectionRefused", vec![refused]),
        (
            "roomSubscription",
            [(Some("market:BTC_USD"), "subscribed"), (Some("positions"), "unsubscribed"), (None, "listed")]
                .map(|(channel, status)| rooms::subscription(channel, status, rooms_of(), 42))
                .into(),
        ),
        ("expiring", vec![rooms::expiring(NOW + 30_000, NOW)]),
        ("gap", gaps.map(|reason| gap(&Gap { from: 3, to: 9, reason })).into()),
        ("reconnect", vec![reconnect(&Reconnect { after_ms: 7_350, since: 0, away_ms: 2_000 })]),
        (
            "error",
            CODES
                .into_iter()
                .filter(|code| is_said_on_sockets(*code))
                .map(|code| SocketError::new(code, "why").frame())
                .collect(),
        ),
    ]
}

#[test]
fn whatever_a_protocol_says_fits_its_schema_and_has_no_field_that_is_not_described() {
    let document = document();
    let said = said();
    for (name, frames) in &said {
        let pointer = format!("/components/messages/{name}/payload");
        let schema = resolved(&document, document.pointer(&pointer).expect(name));
        for frame in frames {
            let message: Value = serde_json::from_slice(payload(frame)).expect("JSON");
            assert_eq!(faults(&document, &pointer, &message), [""; 0], "{name}: {message}");
            // Events of the channels protocol have the publisher's fields beside their own.
            for field in names(&message).into_iter().filter(|_| *name != "channelEvent") {
                assert!(schema["properties"].get(field).is_some(), "{name}: `{field}` is not described");
            }
        }
    }
    let sent = ["watchlistSend", "tieredSend", "channelsSend", "roomsSend"];
    let described: BTreeSet<_> = sent.iter().flat_map(|operation| messages_of(&document, operation)).collect();
    assert_eq!(described, said.iter().map(|(name, _)| *name).collect());
}

#[test]
fn a_message_that_lacks_or_changes_a_field_does_not_fit() {
    let document = document();
    for (name, frames) in said() {
        let pointer = format!("/components/messages/{name}/payload");
        let message: Value = serde_json::from_slice(payload(&frames[0])).expect("JSON");
        let schema = resolved(&document, document.pointer(&pointer).expect(name));
        for field in names(&schema["required"]) {
            let (mut without, mut other) = (message.clone(), message.clone());
            without.as_object_mut().expect("an object").shift_remove(field);
            other[field] = json!(false);
            for wrong in [without, other] {
                assert!(!faults(&document, &pointer, &wrong).is_empty(), "{name}: {wrong} passes");
            }
        }
    }
}

#[test]
fn every_example_fits_its_schema() {
    let document = document();
    for (name, message) in document["components"]["messages"].as_object().expect("messages") {
        let examples = message["examples"].as_array().expect(name);
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            let pointer = format!("/components/messages/{name}/payload");
            assert_eq!(faults(&document, &pointer, &example["payload"]), [""; 0], "{name}: {}", example["name"]);
        }
    }
}

#[test]
fn what_clients_say_by_the_examples_is_what_the_parsers_understand() {
    let document = document();
    let mut heard = BTreeSet::new();
    for (protocol, operation) in
        [("tiered", "tieredReceive"), ("channels", "channelsReceive"), ("rooms", "roomsReceive")]
    {
        for name in messages_of(&document, operation) {
            for example in document["components"]["messages"][name]["examples"].as_array().expect(name) {
                let text = example["payload"].to_string();
                let understood = match protocol {
                    "tiered" => {
                        tiered::is_ping(example["payload"].as_str().expect("a text")).then(|| "Ping".to_owned())
                    }
                    "channels" => channels::parse(&text).ok().map(|command| format!("{command:?}")),
                    _ => rooms::parse(&text).ok().map(|command| format!("{command:?}")),
                };
                let command = understood.unwrap_or_else(|| panic!("{protocol} does not understand {text}"));
                let word = command.split(|byte: char| !byte.is_alphabetic()).next().expect("a word").to_owned();
                heard.insert((protocol, word));
            }
        }
    }
    let commands = [
        ("tiered", &["Ping"][..]),
        ("channels", &["Auth", "Ping", "Subscribe", "Unsubscribe"]),
        ("rooms", &["Auth", "ListRooms", "Ping", "Subscribe", "Unsubscribe"]),
    ];
    let all = commands.iter().flat_map(|(protocol, words)| words.iter().map(|word| (*protocol, (*word).to_owned())));
    assert_eq!(heard, all.collect());
    assert!(document["operations"].get("watchlistReceive").is_none(), "its clients have no messages");
    let pings = &document["components"]["schemas"]["TieredPing"]["enum"];
    assert!(pings.as_array().expect("texts").iter().all(|ping| tiered::is_ping(ping.as_str().expect("a text"))));
}

/// What the parsers refuse, where a schema can say it.
#[test]
fn what_the_parsers_refuse_does_not_fit_the_schemas_either() {
    let document = document();
    for (protocol, name, text) in [
        ("channels", "channelsAuth", r#"{"type":"auth"}"#),
        ("channels", "channelsAuth", r#"{"type":"auth","apiKey":"k","since":"7"}"#),
        ("channels", "channelsAuth", r#"{"type":"auth","apiKey":"k","since":-1}"#),
        ("channels", "channelsAuth", r#"{"type":"auth","apiKey":"k","topics":["wallet:w"]}"#),
        ("channels", "channelsAuth", r#"{"type":"auth","apiKey":"k","topics":[{"channel":"price","wallet":"w"}]}"#),
        ("channels", "channelsSubscribe", r#"{"type":"subscribe","channel":"wallet","wallet":"w"}"#),
        ("channels", "channelsSubscribe", r#"{"type":"subscribe","channel":"bot","mint":"m"}"#),
        ("channels", "channelsUnsubscribe", r#"{"type":"unsubscribe","channel":"bot","botId":""}"#),
        ("channels", "ping", r#"{"type":"list_rooms"}"#),
        ("channels", "ping", r#"["ping",null,null,null,null,null,null,null]"#),
        ("channels", "channelsAuth", r#"["auth","k",41,null,null,null,null,null]"#),
        ("rooms", "roomsAuth", r#"{"type":"auth"}"#),
        ("rooms", "roomsAuth", r#"{"type":"auth","token":7}"#),
        ("rooms", "roomsSubscribe", r#"{"type":"subscribe"}"#),
        ("rooms", "roomsSubscribe", r#"{"type":"subscribe","channel":"market:X","since":1.5}"#),
        ("rooms", "roomsUnsubscribe", r#"{"type":"unsubscribe"}"#),
        ("rooms", "listRooms", r#"{"type":"rooms"}"#),
        ("rooms", "listRooms", r#"["list_rooms",null,null,null]"#),
    ] {
        let refused = match protocol {
            "channels" => channels::parse(text).is_err(),
            _ => rooms::parse(text).is_err(),
        };
        let value = serde_json::from_str(text).expect("JSON");
        let fits = faults(&document, &format!("/components/messages/{name}/payload"), &value).is_empty();
        assert!(refused && !fits, "{text}: {}", if refused { "it fits" } else { "it is understood" });
    }
}

#[test]
fn every_error_code_is_described_and_no_other() {
    let document = document();
    let described = &document["x-error-codes"];
    assert_eq!(names(described), CODES.map(ErrorCode::as_str).into());
    for code in CODES {
        assert_eq!(described[code.as_str()]["sockets"], is_said_on_sockets(code), "{}", code.as_str());
    }
    let on_sockets: BTreeSet<_> =
        CODES.into_iter().filter(|code| is_said_on_sockets(*code)).map(ErrorCode::as_str).collect();
    assert_eq!(names(&document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]), on_sockets);
    let channels = document["channels"].as_object().expect("channels").values();
    assert_eq!(channels.flat_map(|channel| names(&channel["x-error-codes"])).collect::<BTreeSet<_>>(), on_sockets);
}

#[test]
fn every_close_code_that_is_sent_is_described_and_no_other() {
    let document = document();
    let mut codes = close_codes();
    assert!(codes.len() >= 15, "the close codes stand elsewhere now: {codes:?}");
    for never in NEVER_SENT {
        assert!(codes.remove(&never.get()), "{} has no name any more", never.get());
    }
    let described = names(&document["x-close-codes"]).into_iter().map(|code| code.parse().expect(code));
    assert_eq!(described.collect::<BTreeSet<u16>>(), codes);
    let of_channels: BTreeSet<_> = document["channels"]
        .as_object()
        .expect("channels")
        .values()
        .flat_map(|channel| channel["x-close-codes"].as_array().expect("codes"))
        .map(|code| code.as_u64().and_then(|code| u16::try_from(code).ok()).expect("a code"))
        .collect();
    assert_eq!(of_channels, codes);
}

#[test]
fn heartbeats_sizes_and_terms_are_those_of_the_code() {
    let document = document();
    let channel = |name: &str| &document["channels"][name];
    for name in ["watchlist", "rooms"] {
        let heartbeat = &channel(name)["x-heartbeat"];
        assert_eq!(heartbeat["by"], "server");
        assert_eq!(heartbeat["period_seconds"], limits::PING_PERIOD_MS / 1_000, "{name}");
    }
    for (name, window_ms) in [("tiered", limits::TIERED_PING_WINDOW_MS), ("channels", limits::CHANNELS_SILENCE_MS)] {
        let heartbeat = &channel(name)["x-heartbeat"];
        assert_eq!(heartbeat["by"], "client");
        assert_eq!(heartbeat["window_seconds"], window_ms / 1_000, "{name}");
    }
    let protocols = [Protocol::Watchlist, Protocol::Tiered, Protocol::Channels, Protocol::Rooms];
    let described = ["watchlist", "tiered", "channels", "rooms"];
    assert_eq!(names(&document["channels"]), described.into());
    for (protocol, name) in protocols.into_iter().zip(described) {
        let bytes_max = protocol.message_bytes_max(&SessionRules::default());
        assert_eq!(channel(name)["x-message-bytes-max"], bytes_max, "{name}");
        let query = &channel(name)["bindings"]["ws"]["query"]["properties"];
        for parameter in ["since", "policy"] {
            assert!(query.get(parameter).is_some(), "{name}: {parameter}");
        }
    }
    let policies = &document["components"]["schemas"]["PolicyParameter"]["enum"];
    assert_eq!(names(policies), SlowPolicy::ALL.map(SlowPolicy::as_str).into());
    let topics = &document["components"]["schemas"]["ChannelsAuth"]["properties"]["topics"];
    assert_eq!(topics["maxItems"], limits::AUTH_TOPICS_MAX);
}
