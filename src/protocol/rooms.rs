//! The rooms protocol: a token opens the session, rooms are joined by themselves or by name.
//!
//! | room | joined | receives |
//! |---|---|---|
//! | `user:{own id}` | by itself | the user's events, whatever their channel |
//! | `admin:{level}` | by itself, where the token has a level | `admin:` topics up to that level |
//! | `market:{symbol}` | by `subscribe` | that market's events |
//! | `margin_guard`, `positions`, `notifications`, `alerts`, `system` | by `subscribe` | nothing more: these channels arrive through the others |

use serde::Deserialize;
use serde_json::{Value, json};

use super::message::{ErrorCode, Since, SocketError, UnixMs, read, rfc3339, text_frame};
use crate::event::{Namespace, Topic};
use crate::tokens::UserId;

/// What a client asks. Where it says `since`, it wants what it asks for from the event after that number on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Auth { token: String, since: Option<u64> },
    Subscribe { channel: String, since: Option<u64> },
    Unsubscribe(String),
    ListRooms,
    Ping,
}

#[derive(Deserialize)]
struct Fields {
    #[serde(rename = "type")]
    kind: Option<String>,
    token: Option<String>,
    since: Option<Since>,
    channel: Option<String>,
}

/// Reads a client's message.
pub fn parse(text: &str) -> Result<Command, SocketError> {
    let fields: Fields = read(text, r#"{"type":"list_rooms"}"#)?;
    let missing = || SocketError::invalid("the field `channel` is missing: name a room such as market:BTC_USD");
    let since = fields.since.map(|Since(seq)| seq);
    match fields.kind.as_deref() {
        Some("auth") => match fields.token {
            Some(token) => Ok(Command::Auth { token, since }),
            None => Err(SocketError::invalid("`auth` needs the field `token`")),
        },
        Some("subscribe") => {
            let channel = fields.channel.ok_or_else(missing)?;
            Ok(Command::Subscribe { channel, since })
        }
        Some("unsubscribe") => fields.channel.map(Command::Unsubscribe).ok_or_else(missing),
        Some("list_rooms") => Ok(Command::ListRooms),
        Some("ping") => Ok(Command::Ping),
        Some(_) => {
            Err(SocketError::invalid("no such `type`: there are auth, subscribe, unsubscribe, list_rooms and ping"))
        }
        None => Err(SocketError::invalid("a message needs the field `type`")),
    }
}

/// A channel of a user's own events that a session may name: it is listed, and adds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NamedChannel {
    MarginGuard,
    Positions,
    Notifications,
    Alerts,
    System,
}

impl NamedChannel {
    pub const ALL: [Self; 5] = [Self::MarginGuard, Self::Positions, Self::Notifications, Self::Alerts, Self::System];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::MarginGuard => "margin_guard",
            Self::Positions => "positions",
            Self::Notifications => "notifications",
            Self::Alerts => "alerts",
            Self::System => "system",
        }
    }
}

/// Named channels that a session has listed, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamedChannels(u8);

impl NamedChannels {
    pub fn insert(&mut self, channel: NamedChannel) {
        self.0 |= 1 << channel as u8;
    }

    pub fn remove(&mut self, channel: NamedChannel) {
        self.0 &= !(1 << channel as u8);
    }

    pub fn iter(self) -> impl Iterator<Item = NamedChannel> {
        NamedChannel::ALL.into_iter().filter(move |channel| self.0 & 1 << *channel as u8 != 0)
    }
}

/// A room that this user may name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    Market(Topic),
    Named(NamedChannel),
    /// The user's own room or one of its administrators' rooms: it was joined by itself and is not left.
    Automatic,
}

impl Room {
    /// The room of that name, for a session of `user` with `admin_level`.
    pub fn of(name: &str, user: &UserId, admin_level: Option<u32>) -> Result<Self, SocketError> {
        if let Some(channel) = NamedChannel::ALL.into_iter().find(|channel| channel.as_str() == name) {
            return Ok(Self::Named(channel));
        }
        if matches!(name, "market_data" | "historical_data") {
            let message =
                format!("{name} is the channel of every market: subscribe to one by name, such as market:BTC_USD");
            return Err(SocketError::new(ErrorCode::InvalidRoom, message));
        }
        let forbidden = |message: &str| Err(SocketError::new(ErrorCode::Forbidden, message));
        match Topic::parse(name) {
            Ok(topic) => match topic.namespace() {
                Namespace::Market => Ok(Self::Market(topic)),
                Namespace::User if topic.name() == user.as_str() => Ok(Self::Automatic),
                Namespace::User => forbidden("this room is another user's"),
                Namespace::Admin if admin_level >= topic.admin_level() => Ok(Self::Automatic),
                Namespace::Admin => forbidden("this room needs a token with a higher admin_level"),
                _ => Err(no_such_room()),
            },
            Err(_) => Err(no_such_room()),
        }
    }
}

fn no_such_room() -> SocketError {
    SocketError::new(
        ErrorCode::InvalidRoom,
        "no such room: there are market:{symbol}, margin_guard, positions, notifications, alerts and system",
    )
}

/// What a session says of itself once its token was believed. Events after `seq` follow.
pub fn connected(user: &UserId, session: u64, now: UnixMs, seq: u64) -> Box<[u8]> {
    text_frame(&json!({
        "type": "connection",
        "status": "connected",
        "userId": user.as_str(),
        "sessionId": format!("session_{session:016x}"),
        "serverTime": rfc3339(now),
        "seq": seq,
    }))
}

/// What a token is answered that opens no session: the message that the protocol's clients wait for, then the error.
pub fn refused(error: &SocketError) -> Box<[u8]> {
    let connection = text_frame(&json!({ "type": "connection", "status": "error", "message": error.message }));
    [connection, error.frame()].concat().into()
}

/// The answer to `subscribe`, `unsubscribe` and `list_rooms`. `channel` is what was asked for; events after `seq` come by the
/// rooms that it lists.
pub fn subscription(channel: Option<&str>, status: &str, rooms: impl Iterator<Item = Value>, seq: u64) -> Box<[u8]> {
    let mut message = json!({ "type": "room_subscription" });
    if let Some(channel) = channel {
        message["channel"] = channel.into();
    }
    message["status"] = status.into();
    message["subscribedRooms"] = rooms.collect();
    message["seq"] = seq.into();
    text_frame(&message)
}

/// The warning before a token's end.
pub fn expiring(expires_at: UnixMs, now: UnixMs) -> Box<[u8]> {
    text_frame(&expiry(expires_at, now, "the token ends soon: send an auth message with a new one"))
}

/// The same without a frame around it, for other envelopes. `message` says what to do.
pub fn expiry(expires_at: UnixMs, now: UnixMs, message: &str) -> Value {
    json!({
        "type": "expiring",
        "expiresAt": rfc3339(expires_at),
        "expiresInMs": expires_at.saturating_sub(now),
        "message": message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_messages_are_understood() {
        assert_eq!(
            parse(r#"{"type":"auth","token":"a.b.c"}"#),
            Ok(Command::Auth { token: "a.b.c".into(), since: None })
        );
        assert_eq!(
            parse(r#"{"type":"subscribe","channel":"market:BTC_USD"}"#),
            Ok(Command::Subscribe { channel: "market:BTC_USD".into(), since: None })
        );
        assert_eq!(
            parse(r#"{"type":"unsubscribe","channel":"positions"}"#),
            Ok(Command::Unsubscribe("positions".into()))
        );
        assert_eq!(parse(r#"{"type":"list_rooms"}"#), Ok(Command::ListRooms));
        assert_eq!(parse(r#"{"type":"ping"}"#), Ok(Command::Ping));
    }

    #[test]
    fn since_says_where_a_session_or_a_room_resumes() {
        assert_eq!(
            parse(r#"{"type":"auth","token":"a.b.c","since":41}"#),
            Ok(Command::Auth { token: "a.b.c".into(), since: Some(41) })
        );
        assert_eq!(
            parse(r#"{"type":"subscribe","channel":"market:X","since":0}"#),
            Ok(Command::Subscribe { channel: "market:X".into(), since: Some(0) })
        );
    }

    #[test]
    fn what_is_not_understood_is_told_with_what_would_be() {
        for (text, told) in [
            ("null", "JSON object"),
            (r#"["auth","a.b.c",0,null]"#, "it is an array"),
            (r#" ["subscribe",null,null,"market:X"]"#, "it is an array"),
            (r#"["list_rooms",null,null,null]"#, "it is an array"),
            ("[]", "it is an array"),
            ("{}", "`type`"),
            (r#"{"type":"auth"}"#, "`token`"),
            (r#"{"type":"auth","token":7}"#, "JSON object"),
            (r#"{"type":"auth","token":"a.b.c","since":-1}"#, "`since`"),
            (r#"{"type":"auth","token":"a.b.c","since":"7"}"#, "`since`"),
            (r#"{"type":"subscribe","channel":"market:X","since":1.5}"#, "`since`"),
            (r#"{"type":"subscribe"}"#, "`channel`"),
            (r#"{"type":"join","channel":"x"}"#, "list_rooms"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.code == ErrorCode::InvalidMessage && error.message.contains(told), "{error}");
        }
    }

    #[test]
    fn a_room_is_open_to_those_it_belongs_to() {
        let user = UserId::new("user_123");
        let room = |name: &str, level| Room::of(name, &user, level);
        let code = |name: &str, level| room(name, level).expect_err(name).code;
        assert_eq!(room("market:BTC_USD", None), Ok(Room::Market(Topic::parse("market:BTC_USD").unwrap())));
        assert_eq!(room("positions", None), Ok(Room::Named(NamedChannel::Positions)));
        assert_eq!(room("user:user_123", None), Ok(Room::Automatic));
        assert_eq!(room("admin:2", Some(2)), Ok(Room::Automatic));
        assert_eq!(code("user:user_12", None), ErrorCode::Forbidden);
        assert_eq!(code("user:user_1234", Some(9)), ErrorCode::Forbidden);
        assert_eq!(code("admin:3", Some(2)), ErrorCode::Forbidden);
        assert_eq!(code("admin:0", None), ErrorCode::Forbidden);
        for name in ["market_data", "historical_data", "", "market:", "bot:b", "wallet:w", "admin:x", "nonsense"] {
            assert_eq!(code(name, Some(9)), ErrorCode::InvalidRoom, "{name}");
        }
        assert!(room("market_data", None).unwrap_err().message.contains("market:BTC_USD"));
    }

    #[test]
    fn named_channels_are_a_set() {
        let mut named = NamedChannels::default();
        named.insert(NamedChannel::System);
        named.insert(NamedChannel::Positions);
        named.insert(NamedChannel::Positions);
        assert_eq!(named.iter().collect::<Vec<_>>(), [NamedChannel::Positions, NamedChannel::System]);
        named.remove(NamedChannel::System);
        named.remove(NamedChannel::Alerts);
        assert_eq!(named.iter().collect::<Vec<_>>(), [NamedChannel::Positions]);
    }

    #[test]
    fn an_answer_always_lists_the_rooms() {
        let rooms = || [json!("user:u"), json!("market:M")].into_iter();
        let frame = subscription(Some("market:M"), "subscribed", rooms(), 7);
        assert_eq!(
            &frame[2..],
            br#"{"type":"room_subscription","channel":"market:M","status":"subscribed","subscribedRooms":["user:u","market:M"],"seq":7}"#
        );
        let frame = subscription(None, "listed", rooms(), 7);
        assert_eq!(
            &frame[2..],
            br#"{"type":"room_subscription","status":"listed","subscribedRooms":["user:u","market:M"],"seq":7}"#
        );
    }
}
