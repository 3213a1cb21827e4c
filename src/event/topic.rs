//! Topics: where an event is published, and which protocol's envelope it gets there.

use std::fmt;

use super::trade::TradeKind;
use super::{Reason, Refusal};
use crate::limits::TOPIC_BYTES_MAX;

/// A checked topic such as `wallet:DRVRvzf8…` or `alerts`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    text: Box<str>,
    namespace: Namespace,
}

/// What stands before a topic's first colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// `wallet:{owner}`
    Wallet,
    /// `alerts`, without a name
    Alerts,
    /// `bot:{botId}`
    Bot,
    /// `price:{mint}`
    Price,
    /// `transactions:{wallet}`
    Transactions,
    /// `user:{userId}`
    User,
    /// `market:{symbol}`
    Market,
    /// `admin:{level}`
    Admin,
    /// `system`, without a name
    System,
}

/// The shape in which a protocol's sessions get an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Envelope {
    /// `{"type":"trade","seq":N,"data":{…,"tradeType":"open"}}`
    Watchlist,
    /// `{"type":"alert","seq":N,"data":{…}}`
    Tiered,
    /// `{"type":T,"seq":N,…the fields of data}`
    Channels,
    /// `{"type":T,"channel":C,"seq":N,"data":{…}}`
    Rooms,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTopic {
    #[error("a topic is at most {TOPIC_BYTES_MAX} bytes")]
    TooLong,
    #[error("a topic holds no control characters")]
    ControlCharacter,
    #[error(
        "no such topic: there are wallet:, bot:, price:, transactions:, user:, market: and admin:, each with a name, and \
         alerts and system without one"
    )]
    UnknownNamespace,
    #[error("a name must follow the colon, as in {}:{}", .0.as_str(), .0.example())]
    NoName(Namespace),
    #[error("the topic {} takes no name", .0.as_str())]
    NameTooMany(Namespace),
    #[error("an admin topic's level is a number, as in admin:2")]
    AdminLevel,
}

impl Namespace {
    pub const ALL: [Self; 9] = [
        Self::Wallet,
        Self::Alerts,
        Self::Bot,
        Self::Price,
        Self::Transactions,
        Self::User,
        Self::Market,
        Self::Admin,
        Self::System,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Alerts => "alerts",
            Self::Bot => "bot",
            Self::Price => "price",
            Self::Transactions => "transactions",
            Self::User => "user",
            Self::Market => "market",
            Self::Admin => "admin",
            Self::System => "system",
        }
    }

    pub const fn envelope(self) -> Envelope {
        match self {
            Self::Wallet => Envelope::Watchlist,
            Self::Alerts => Envelope::Tiered,
            Self::Bot | Self::Price | Self::Transactions => Envelope::Channels,
            Self::User | Self::Market | Self::Admin | Self::System => Envelope::Rooms,
        }
    }

    const fn takes_name(self) -> bool {
        !matches!(self, Self::Alerts | Self::System)
    }

    const fn example(self) -> &'static str {
        match self {
            Self::Wallet | Self::Transactions => "DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump",
            Self::Bot => "bot_abc123",
            Self::Price => "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
            Self::User => "user_123",
            Self::Market => "BTC_USD",
            Self::Admin => "2",
            Self::Alerts | Self::System => "",
        }
    }
}

impl Topic {
    pub fn parse(text: &str) -> Result<Self, InvalidTopic> {
        if text.len() > TOPIC_BYTES_MAX {
            return Err(InvalidTopic::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidTopic::ControlCharacter);
        }
        let (prefix, name) = match text.split_once(':') {
            Some((prefix, name)) => (prefix, Some(name)),
            None => (text, None),
        };
        let known = Namespace::ALL.into_iter().find(|namespace| namespace.as_str() == prefix);
        let namespace = known.ok_or(InvalidTopic::UnknownNamespace)?;
        match name {
            None | Some("") if namespace.takes_name() => Err(InvalidTopic::NoName(namespace)),
            Some(_) if !namespace.takes_name() => Err(InvalidTopic::NameTooMany(namespace)),
            Some(level) if namespace == Namespace::Admin && admin_level(level).is_none() => {
                Err(InvalidTopic::AdminLevel)
            }
            _ => Ok(Self { text: text.into(), namespace }),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether events of this type may be published here: a wallet's topic is for trades, whose envelope is made of them.
    pub fn carries(&self, kind: &str) -> bool {
        self.namespace != Namespace::Wallet || TradeKind::of(kind).is_some()
    }

    pub fn namespace(&self) -> Namespace {
        self.namespace
    }

    /// What follows the colon; empty for `alerts` and `system`.
    pub fn name(&self) -> &str {
        self.text.get(self.namespace.as_str().len() + 1..).unwrap_or_default()
    }

    /// The level of an `admin:` topic: tokens of at least this level receive it.
    pub fn admin_level(&self) -> Option<u32> {
        (self.namespace == Namespace::Admin).then(|| admin_level(self.name())).flatten()
    }

    /// The topic of an event of type `kind`: as given, or as it follows from the type.
    ///
    /// `owner` is `data.owner` where the type is a trade's, checked before. Refused are the pairs of type and topic whose
    /// envelope would say something else than the event does.
    pub(super) fn of_event(kind: &str, given: Option<&str>, owner: Option<&str>) -> Result<Self, Refusal> {
        let refused = |reason| Refusal::of("topic", reason);
        let given = given.map(Self::parse).transpose().map_err(|error| refused(error.into()))?;
        if let Some(owner) = owner {
            return match given {
                Some(topic) if topic.namespace == Namespace::Wallet && topic.name() == owner => Ok(topic),
                Some(_) => Err(refused(Reason::TradeElsewhere)),
                None => {
                    let text = format!("{}:{owner}", Namespace::Wallet.as_str());
                    Self::parse(&text).map_err(|error| Refusal::of("data.owner", error))
                }
            };
        }
        match (given, kind) {
            (None, ALERT) => Self::parse(Namespace::Alerts.as_str()).map_err(|error| refused(error.into())),
            (None, _) => Err(refused(Reason::NoTopicFollows)),
            (Some(topic), _) => match topic.namespace.envelope() {
                Envelope::Watchlist => Err(refused(Reason::NotATrade)),
                Envelope::Tiered if kind != ALERT => Err(refused(Reason::NotAnAlert)),
                _ => Ok(topic),
            },
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The one type that the topic `alerts` carries.
const ALERT: &str = "alert";

/// Types of messages that the server sends of its own accord. As an event's type on a flat or a rooms topic, they would
/// pass for such a message: a forged `gap`, a `connection` that resolves a client's login.
const SERVER_TYPES: [&str; 11] = [
    "authenticated",
    "connected",
    "connection",
    "error",
    "expiring",
    "gap",
    "pong",
    "reconnect",
    "room_subscription",
    "subscribed",
    "unsubscribed",
];

/// Refuses types that no envelope can carry truthfully; tells a trade from the rest.
pub(super) fn check_type(kind: &str) -> Result<Option<TradeKind>, Refusal> {
    match TradeKind::of(kind) {
        None if kind.starts_with("trade.") => Err(Refusal::of("type", Reason::UnknownTrade)),
        None if SERVER_TYPES.contains(&kind) => Err(Refusal::of("type", Reason::ServerType)),
        trade => Ok(trade),
    }
}

/// Digits without a leading zero, so that one level has one topic.
fn admin_level(text: &str) -> Option<u32> {
    let plain = matches!(text.as_bytes(), [b'0'] | [b'1'..=b'9', ..]);
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_namespace_and_a_name() {
        for (text, namespace, name) in [
            ("wallet:DRVR", Namespace::Wallet, "DRVR"),
            ("alerts", Namespace::Alerts, ""),
            ("bot:bot_abc123", Namespace::Bot, "bot_abc123"),
            ("price:EPj", Namespace::Price, "EPj"),
            ("transactions:x", Namespace::Transactions, "x"),
            ("user:auth0|a@b.c", Namespace::User, "auth0|a@b.c"),
            ("market:BTC:USD", Namespace::Market, "BTC:USD"),
            ("admin:2", Namespace::Admin, "2"),
            ("system", Namespace::System, ""),
        ] {
            let topic = Topic::parse(text).unwrap();
            assert_eq!((topic.as_str(), topic.namespace(), topic.name()), (text, namespace, name));
            assert_eq!(topic.admin_level(), (text == "admin:2").then_some(2));
        }
    }

    #[test]
    fn a_bad_topic_is_refused() {
        for (text, error) in [
            ("", InvalidTopic::UnknownNamespace),
            ("wallets:x", InvalidTopic::UnknownNamespace),
            ("Wallet:x", InvalidTopic::UnknownNamespace),
            ("wallet", InvalidTopic::NoName(Namespace::Wallet)),
            ("bot:", InvalidTopic::NoName(Namespace::Bot)),
            ("alerts:x", InvalidTopic::NameTooMany(Namespace::Alerts)),
            ("system:", InvalidTopic::NameTooMany(Namespace::System)),
            ("admin:two", InvalidTopic::AdminLevel),
            ("admin:02", InvalidTopic::AdminLevel),
            ("admin:+2", InvalidTopic::AdminLevel),
            ("admin:99999999999", InvalidTopic::AdminLevel),
            ("wallet:a\nb", InvalidTopic::ControlCharacter),
            ("wallet:\u{85}", InvalidTopic::ControlCharacter),
        ] {
            assert_eq!(Topic::parse(text), Err(error), "{text:?}");
        }
        let longest = format!("user:{}", "x".repeat(TOPIC_BYTES_MAX - 5));
        assert!(Topic::parse(&longest).is_ok());
        assert_eq!(Topic::parse(&(longest + "x")), Err(InvalidTopic::TooLong));
        assert_eq!(
            InvalidTopic::NoName(Namespace::Market).to_string(),
            "a name must follow the colon, as in market:BTC_USD"
        );
    }

    fn topic(kind: &str, given: Option<&str>, owner: Option<&str>) -> Result<String, Reason> {
        Topic::of_event(kind, given, owner).map(|topic| topic.to_string()).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn a_topic_follows_from_trades_and_alerts_only() {
        assert_eq!(topic("trade.open", None, Some("DRVR")), Ok("wallet:DRVR".into()));
        assert_eq!(topic("alert", None, None), Ok("alerts".into()));
        assert_eq!(topic("price_update", None, None), Err(Reason::NoTopicFollows));
    }

    #[test]
    fn type_and_topic_must_fit_the_envelope() {
        assert_eq!(topic("trade.open", Some("wallet:DRVR"), Some("DRVR")), Ok("wallet:DRVR".into()));
        for elsewhere in ["wallet:DRV", "wallet:DRVRx", "alerts", "bot:DRVR"] {
            assert_eq!(topic("trade.open", Some(elsewhere), Some("DRVR")), Err(Reason::TradeElsewhere), "{elsewhere}");
        }
        assert_eq!(topic("alert", Some("wallet:DRVR"), None), Err(Reason::NotATrade));
        assert_eq!(topic("whale", Some("alerts"), None), Err(Reason::NotAnAlert));
        for fine in ["alerts", "bot:b", "user:u", "system"] {
            assert_eq!(topic("alert", Some(fine), None), Ok(fine.into()));
        }
    }

    #[test]
    fn types_that_clients_would_misread_are_refused() {
        assert_eq!(check_type("trade.new"), Err(Refusal::of("type", Reason::UnknownTrade)));
        assert_eq!(check_type("gap"), Err(Refusal::of("type", Reason::ServerType)));
        assert_eq!(check_type("price_update"), Ok(None));
        assert_eq!(check_type("trade.close"), Ok(Some(TradeKind::Close)));
    }
}
