//! The channels protocol: JSON commands with a key in the first one, and an answer to each.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::json;

use super::message::{Since, SocketError, read, text_frame};
use crate::accounts::GrantNamespace;
use crate::event::Topic;
use crate::limits::AUTH_TOPICS_MAX;

/// What a client asks. Where it says `since`, it wants what it asks for from the event after that number on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// With the channels that it subscribes to at once, so that `since` has something to be read against.
    Auth {
        key: String,
        since: Option<u64>,
        topics: Vec<Channel>,
    },
    Subscribe {
        channel: Channel,
        since: Option<u64>,
    },
    Unsubscribe(Channel),
    Ping,
}

/// One channel of a kind: `bot` and a bot's id, `price` and a mint, `transactions` and a wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub kind: GrantNamespace,
    pub topic: Topic,
}

impl Channel {
    /// Errors: a message that tells the client what its name lacks.
    fn new(kind: GrantNamespace, name: &str) -> Result<Self, SocketError> {
        match Topic::parse(&format!("{}:{name}", kind.as_str())) {
            Ok(topic) => Ok(Self { kind, topic }),
            Err(error) => Err(SocketError::invalid(format!("`{}`: {error}", field_of(kind)))),
        }
    }

    /// The channel of a topic that a session has subscribed to.
    pub fn of(topic: &str) -> Option<Self> {
        Self::of_topic(Topic::parse(topic).ok()?)
    }

    /// The channel of a topic, where it is one of this protocol's.
    pub fn of_topic(topic: Topic) -> Option<Self> {
        let kind = GrantNamespace::ALL.into_iter().find(|kind| kind.as_str() == topic.namespace().as_str())?;
        Some(Self { kind, topic })
    }

    /// Reads a topic's whole name, such as `price:MINT`. Errors: a message for the client.
    fn parse(topic: &str) -> Result<Self, SocketError> {
        let parsed = Topic::parse(topic).map_err(|error| SocketError::invalid(format!("`topics`: {error}")))?;
        Self::of_topic(parsed).ok_or_else(|| SocketError::invalid(NO_SUCH_TOPIC))
    }
}

const NO_SUCH_TOPIC: &str = "`topics`: there are bot:, price: and transactions:, each with a name";

/// The field that names one channel of a kind.
fn field_of(kind: GrantNamespace) -> &'static str {
    match kind {
        GrantNamespace::Bot => "botId",
        GrantNamespace::Price => "mint",
        GrantNamespace::Transactions => "wallet",
    }
}

/// Every field that a command may have; others are passed over, as the protocol's clients send what they like.
#[derive(serde::Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "apiKey", alias = "api_key")]
    key: Option<String>,
    since: Option<Since>,
    topics: Option<Topics>,
    channel: Option<String>,
    #[serde(rename = "botId")]
    bot: Option<String>,
    mint: Option<String>,
    wallet: Option<String>,
}

/// The fields that describe one channel, in `subscribe` and in the `topics` of `auth`.
#[derive(serde::Deserialize)]
struct Description {
    channel: Option<String>,
    #[serde(rename = "botId")]
    bot: Option<String>,
    mint: Option<String>,
    wallet: Option<String>,
}

/// A list of channels, each as a topic's name or as the fields of a `subscribe`.
struct Topics(Vec<Named>);

enum Named {
    Topic(String),
    Channel(Description),
}

impl<'de> Deserialize<'de> for Topics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Topics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`topics` to be a list such as [\"price:MINT\"]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Topics, A::Error> {
                let mut topics = Vec::new();
                while let Some(topic) = list.next_element()? {
                    if topics.len() == AUTH_TOPICS_MAX {
                        return Err(de::Error::custom(format_args!(
                            "`topics` has more than {AUTH_TOPICS_MAX} entries"
                        )));
                    }
                    topics.push(topic);
                }
                Ok(Topics(topics))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = Named;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry of `topics` to be a topic's name or an object that names a channel")
            }

            fn visit_str<E: de::Error>(self, topic: &str) -> Result<Named, E> {
                Ok(Named::Topic(topic.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Named, A::Error> {
                Description::deserialize(MapAccessDeserializer::new(fields)).map(Named::Channel)
            }
        }

        deserializer.deserialize_any(Entry)
    }
}

/// Reads a client's message.
pub fn parse(text: &str) -> Result<Command, SocketError> {
    let Fields { kind, key, since, topics, channel, bot, mint, wallet } = read(text, r#"{"type":"ping"}"#)?;
    let since = since.map(|Since(seq)| seq);
    let described = Description { channel, bot, mint, wallet };
    match kind.as_deref() {
        Some("auth") => {
            let key = key.ok_or_else(|| SocketError::invalid("`auth` needs the field `apiKey`"))?;
            let Topics(named) = topics.unwrap_or(Topics(Vec::new()));
            let topics = named.iter().map(Named::channel).collect::<Result<_, _>>()?;
            Ok(Command::Auth { key, since, topics })
        }
        Some("subscribe") => Ok(Command::Subscribe { channel: described.channel()?, since }),
        Some("unsubscribe") => described.channel().map(Command::Unsubscribe),
        Some("ping") => Ok(Command::Ping),
        Some(_) => Err(SocketError::invalid("no such `type`: there are auth, subscribe, unsubscribe and ping")),
        None => Err(SocketError::invalid("a message needs the field `type`")),
    }
}

impl Named {
    fn channel(&self) -> Result<Channel, SocketError> {
        match self {
            Self::Topic(topic) => Channel::parse(topic),
            Self::Channel(described) => described.channel(),
        }
    }
}

impl Description {
    fn channel(&self) -> Result<Channel, SocketError> {
        let kind = self
            .channel
            .as_deref()
            .ok_or_else(|| SocketError::invalid("the field `channel` is missing: it is bot, price or transactions"))?;
        let kind = GrantNamespace::ALL
            .into_iter()
            .find(|known| known.as_str() == kind)
            .ok_or_else(|| SocketError::invalid("no such `channel`: there are bot, price and transactions"))?;
        let name = match kind {
            GrantNamespace::Bot => &self.bot,
            GrantNamespace::Price => &self.mint,
            GrantNamespace::Transactions => &self.wallet,
        };
        let field = field_of(kind);
        let name = name
            .as_deref()
            .ok_or_else(|| SocketError::invalid(format!("the channel {} needs the field `{field}`", kind.as_str())))?;
        Channel::new(kind, name)
    }
}

/// Events after `seq` follow, as far as the session subscribes to them.
pub fn authenticated(seq: u64) -> Box<[u8]> {
    text_frame(&json!({ "type": "authenticated", "seq": seq }))
}

/// The channel's events after `seq` follow.
pub fn subscribed(channel: &Channel, seq: u64) -> Box<[u8]> {
    acknowledged("subscribed", channel, seq)
}

/// No event after `seq` follows.
pub fn unsubscribed(channel: &Channel, seq: u64) -> Box<[u8]> {
    acknowledged("unsubscribed", channel, seq)
}

fn acknowledged(kind: &str, channel: &Channel, seq: u64) -> Box<[u8]> {
    let mut message = json!({ "type": kind, "channel": channel.kind.as_str() });
    message[field_of(channel.kind)] = channel.topic.name().into();
    message["seq"] = seq.into();
    text_frame(&message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::ErrorCode;

    fn channel(topic: &str) -> Channel {
        Channel::of(topic).expect(topic)
    }

    fn refused(text: &str) -> String {
        let error = parse(text).expect_err(text);
        assert_eq!(error.code, ErrorCode::InvalidMessage);
        error.message
    }

    #[test]
    fn the_seeds_messages_are_understood() {
        assert_eq!(
            parse(r#"{"type":"auth","apiKey":"your_api_key"}"#),
            Ok(Command::Auth { key: "your_api_key".into(), since: None, topics: Vec::new() })
        );
        for (text, topic) in [
            (r#"{"type":"subscribe","channel":"bot","botId":"bot_abc123"}"#, "bot:bot_abc123"),
            (r#"{"type":"subscribe","channel":"price","mint":"EPjF"}"#, "price:EPjF"),
            (r#"{"type":"subscribe","channel":"transactions","wallet":"w:1"}"#, "transactions:w:1"),
        ] {
            assert_eq!(parse(text), Ok(Command::Subscribe { channel: channel(topic), since: None }));
        }
        assert_eq!(
            parse(r#"{"type":"unsubscribe","channel":"bot","botId":"b"}"#),
            Ok(Command::Unsubscribe(channel("bot:b")))
        );
        assert_eq!(parse(r#" { "type" : "ping" , "more" : [1, {}] } "#), Ok(Command::Ping));
        assert_eq!(parse(r#"{"type":"p\u0069ng"}"#), Ok(Command::Ping));
    }

    #[test]
    fn since_and_topics_say_where_and_with_what_a_session_resumes() {
        let auth = r#"{"type":"auth","apiKey":"k","since":41,"topics":["price:EPjF",{"channel":"bot","botId":"b"}]}"#;
        let topics = vec![channel("price:EPjF"), channel("bot:b")];
        assert_eq!(parse(auth), Ok(Command::Auth { key: "k".into(), since: Some(41), topics }));
        let subscribe = r#"{"type":"subscribe","channel":"price","mint":"m","since":0}"#;
        assert_eq!(parse(subscribe), Ok(Command::Subscribe { channel: channel("price:m"), since: Some(0) }));
        let none = r#"{"type":"auth","apiKey":"k","since":null,"topics":null}"#;
        assert_eq!(parse(none), Ok(Command::Auth { key: "k".into(), since: None, topics: Vec::new() }));
    }

    #[test]
    fn a_since_or_topics_that_make_no_sense_are_told_by_name() {
        for since in ["-1", "1.5", "\"7\""] {
            assert!(refused(&format!(r#"{{"type":"auth","apiKey":"k","since":{since}}}"#)).contains("`since`"));
            let subscribe = format!(r#"{{"type":"subscribe","channel":"price","mint":"m","since":{since}}}"#);
            assert!(refused(&subscribe).contains("`since`"));
        }
        for topics in [
            r#""price:m""#,
            "[7]",
            "[[]]",
            r#"[["bot","b",null,null]]"#,
            r#"{"channel":"bot","botId":"b"}"#,
            r#"["price"]"#,
            r#"["wallet:w"]"#,
            r#"["price:"]"#,
            r#"[{"channel":"price","wallet":"w"}]"#,
        ] {
            let told = refused(&format!(r#"{{"type":"auth","apiKey":"k","topics":{topics}}}"#));
            assert!(told.contains("`topics`") || told.contains("`mint`"), "{topics}: {told}");
        }
    }

    #[test]
    fn topics_are_bounded_in_number() {
        let auth = |count: usize| {
            let topics = vec![r#""price:m""#; count].join(",");
            parse(&format!(r#"{{"type":"auth","apiKey":"k","topics":[{topics}]}}"#))
        };
        assert!(auth(AUTH_TOPICS_MAX).is_ok());
        assert!(auth(AUTH_TOPICS_MAX + 1).unwrap_err().message.contains("1000"));
    }

    #[test]
    fn what_is_not_understood_is_told_with_what_would_be() {
        assert!(refused("ping").contains("JSON object"));
        assert!(refused("null").contains("JSON object"));
        assert!(refused("{}").contains("`type`"));
        assert!(refused(r#"{"type":5}"#).contains("JSON object"));
        assert!(refused(r#"{"type":"hello"}"#).contains("auth, subscribe, unsubscribe and ping"));
        assert!(refused(r#"{"type":"auth"}"#).contains("`apiKey`"));
        assert!(refused(r#"{"type":"subscribe"}"#).contains("`channel`"));
        assert!(refused(r#"{"type":"subscribe","channel":"wallet","wallet":"w"}"#).contains("bot, price and"));
        assert!(refused(r#"{"type":"subscribe","channel":"bot","mint":"m"}"#).contains("`botId`"));
        assert!(refused(r#"{"type":"subscribe","channel":"bot","botId":""}"#).contains("`botId`"));
        assert!(
            refused(&format!(r#"{{"type":"subscribe","channel":"bot","botId":"{}"}}"#, "x".repeat(300)))
                .contains("256")
        );
        assert!(refused(r#"{"type":"ping","type":"ping"}"#).contains("duplicate"));
        let deep = format!(r#"{{"type":"ping","x":{}}}"#, "[".repeat(10_000));
        assert!(refused(&deep).contains("JSON object"), "it has no end, and takes no stack to find that out");
    }

    #[test]
    fn a_list_of_fields_is_no_message() {
        for text in [
            r#"["ping",null,null,null,null,null,null,null]"#,
            " \n[\"subscribe\",null,null,null,\"bot\",\"b\",null,null]",
            r#"["auth","key",0,["price:m"],null,null,null,null]"#,
            r#"[{"type":"ping"}]"#,
            "[]",
        ] {
            assert!(refused(text).ends_with(r#"such as {"type":"ping"}: it is an array"#), "{text}");
        }
    }

    #[test]
    fn an_acknowledgement_repeats_what_it_is_for() {
        let frame = subscribed(&channel("bot:b\"1"), 9);
        assert_eq!(&frame[2..], br#"{"type":"subscribed","channel":"bot","botId":"b\"1","seq":9}"#);
        let frame = unsubscribed(&channel("price:m"), 9);
        assert_eq!(&frame[2..], br#"{"type":"unsubscribed","channel":"price","mint":"m","seq":9}"#);
    }
}
