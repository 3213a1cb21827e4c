//! The channels protocol: JSON commands with a key in the first one, and an answer to each.

use serde::Deserialize;
use serde_json::json;

use super::message::{SocketError, text_frame};
use crate::accounts::GrantNamespace;
use crate::event::Topic;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Auth { key: String },
    Subscribe(Channel),
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
        let topic = Topic::parse(topic).ok()?;
        let kind = GrantNamespace::ALL.into_iter().find(|kind| kind.as_str() == topic.namespace().as_str())?;
        Some(Self { kind, topic })
    }
}

/// The field that names one channel of a kind.
fn field_of(kind: GrantNamespace) -> &'static str {
    match kind {
        GrantNamespace::Bot => "botId",
        GrantNamespace::Price => "mint",
        GrantNamespace::Transactions => "wallet",
    }
}

/// Every field that a command may have; others are passed over, as the protocol's clients send what they like.
#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "apiKey", alias = "api_key")]
    key: Option<String>,
    channel: Option<String>,
    #[serde(rename = "botId")]
    bot: Option<String>,
    mint: Option<String>,
    wallet: Option<String>,
}

/// Reads a client's message.
pub fn parse(text: &str) -> Result<Command, SocketError> {
    let fields: Fields = serde_json::from_str(text).map_err(|error| {
        SocketError::invalid(format!("a message is a JSON object such as {{\"type\":\"ping\"}}: {error}"))
    })?;
    match fields.kind.as_deref() {
        Some("auth") => match fields.key {
            Some(key) => Ok(Command::Auth { key }),
            None => Err(SocketError::invalid("`auth` needs the field `apiKey`")),
        },
        Some("subscribe") => fields.channel().map(Command::Subscribe),
        Some("unsubscribe") => fields.channel().map(Command::Unsubscribe),
        Some("ping") => Ok(Command::Ping),
        Some(_) => Err(SocketError::invalid("no such `type`: there are auth, subscribe, unsubscribe and ping")),
        None => Err(SocketError::invalid("a message needs the field `type`")),
    }
}

impl Fields {
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
            Ok(Command::Auth { key: "your_api_key".into() })
        );
        for (text, topic) in [
            (r#"{"type":"subscribe","channel":"bot","botId":"bot_abc123"}"#, "bot:bot_abc123"),
            (r#"{"type":"subscribe","channel":"price","mint":"EPjF"}"#, "price:EPjF"),
            (r#"{"type":"subscribe","channel":"transactions","wallet":"w:1"}"#, "transactions:w:1"),
        ] {
            assert_eq!(parse(text), Ok(Command::Subscribe(channel(topic))));
        }
        assert_eq!(
            parse(r#"{"type":"unsubscribe","channel":"bot","botId":"b"}"#),
            Ok(Command::Unsubscribe(channel("bot:b")))
        );
        assert_eq!(parse(r#" { "type" : "ping" , "more" : [1, {}] } "#), Ok(Command::Ping));
        assert_eq!(parse(r#"{"type":"p\u0069ng"}"#), Ok(Command::Ping));
    }

    #[test]
    fn what_is_not_understood_is_told_with_what_would_be() {
        assert!(refused("ping").contains("JSON object"));
        assert!(refused("[]").contains("JSON object"));
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
    fn an_acknowledgement_repeats_what_it_is_for() {
        let frame = subscribed(&channel("bot:b\"1"), 9);
        assert_eq!(&frame[2..], br#"{"type":"subscribed","channel":"bot","botId":"b\"1","seq":9}"#);
        let frame = unsubscribed(&channel("price:m"), 9);
        assert_eq!(&frame[2..], br#"{"type":"unsubscribed","channel":"price","mint":"m","seq":9}"#);
    }
}
