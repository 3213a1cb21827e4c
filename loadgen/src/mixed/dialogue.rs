//! What a socket says before it listens, and what it must be answered: its greeting, its authentication, its wishes.
//!
//! | protocol | says | hears |
//! |---|---|---|
//! | watchlist | | |
//! | tiered | | `connected` |
//! | channels | `auth` and all wishes in one breath | `authenticated`, then an answer a wish |
//! | rooms | `auth`, unless the token came with the upgrade | `connection` |
//! | | all wishes in one breath | an answer a wish |

use std::collections::{BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::protocol::Protocol;
use super::roster::{Identity, Member, Roster, Wish};
use super::topic::Topic;
use crate::handshake::Upgrade;
use crate::target::Target;
use crate::token;

/// A socket's next step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Say(String),
    Hear(Answer),
}

/// What the server must say.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// tiered's greeting.
    Connected,
    /// channels' answer to `auth`.
    Authenticated,
    /// rooms' answer to a token of this user.
    Connection { user: String },
    /// channels' `subscribed` or `unsubscribed`.
    Channel { kind: &'static str, topic: Topic },
    /// rooms' `room_subscription`, with the market rooms that the socket is then in.
    Rooms { status: &'static str, channel: Option<String>, user: String, admin_level: u8, markets: BTreeSet<String> },
    /// An error with one of these codes.
    Refused { codes: &'static [&'static str] },
}

/// Where the sockets connect, and by what they prove who they are.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub server: Target,
    pub nonce: [u8; 16],
    pub jwt_secret: Vec<u8>,
    /// Unix seconds.
    pub now_s: u64,
}

impl Credentials {
    pub fn upgrade(&self, roster: &Roster, member: &Member) -> Upgrade {
        let (path, header) = match (member.protocol, member.identity) {
            (Protocol::Watchlist, Identity::Key(key)) => {
                (format!("/ws/alerts?apiKey={}", roster.keys()[key].key), String::new())
            }
            (_, Identity::Key(key)) if member.protocol == Protocol::Tiered => {
                (format!("/ws/alerts?api_key={}", roster.keys()[key].key), String::new())
            }
            (_, Identity::Key(_)) => ("/v1/ws".to_owned(), String::new()),
            (_, Identity::User { user, admin_level, by_header }) => {
                let header = format!("Authorization: Bearer {}\r\n", self.token(user, admin_level));
                ("/ws".to_owned(), if by_header { header } else { String::new() })
            }
        };
        Upgrade::with_header(&Target { path, ..self.server.clone() }, self.nonce, &header)
    }

    /// All steps of a member, from the upgrade until it only listens.
    pub fn dialogue(&self, roster: &Roster, member: &Member) -> VecDeque<Step> {
        match (member.protocol, member.identity) {
            (Protocol::Watchlist, _) => VecDeque::new(),
            (Protocol::Tiered, _) => [Step::Hear(Answer::Connected)].into(),
            (_, Identity::Key(key)) => channels(&roster.keys()[key].key, &member.wishes),
            (_, Identity::User { user, admin_level, by_header }) => {
                let token = (!by_header).then(|| self.token(user, admin_level));
                rooms(token, &Topic::User(user).name(), admin_level, &member.wishes)
            }
        }
    }

    fn token(&self, user: u32, admin_level: u8) -> String {
        token::mint(&self.jwt_secret, &Topic::User(user).name(), admin_level, self.now_s)
    }
}

fn channels(key: &str, wishes: &[Wish]) -> VecDeque<Step> {
    let mut says = vec![Step::Say(json!({ "type": "auth", "apiKey": key }).to_string())];
    let mut hears = vec![Step::Hear(Answer::Authenticated)];
    for wish in wishes {
        let (command, topic, answer) = match *wish {
            Wish::Subscribe(topic) => ("subscribe", topic, Answer::Channel { kind: "subscribed", topic }),
            Wish::Unsubscribe(topic) => ("unsubscribe", topic, Answer::Channel { kind: "unsubscribed", topic }),
            Wish::Forbidden(topic) => ("subscribe", topic, Answer::Refused { codes: &["FORBIDDEN"] }),
            Wish::List => continue,
        };
        let (channel, field) = channel_of(topic);
        says.push(Step::Say(json!({ "type": command, "channel": channel, field: topic.name() }).to_string()));
        hears.push(Step::Hear(answer));
    }
    says.into_iter().chain(hears).collect()
}

fn rooms(token: Option<String>, user: &str, admin_level: u8, wishes: &[Wish]) -> VecDeque<Step> {
    let mut steps: VecDeque<Step> =
        token.map(|token| Step::Say(json!({ "type": "auth", "token": token }).to_string())).into_iter().collect();
    steps.push_back(Step::Hear(Answer::Connection { user: user.to_owned() }));
    let mut markets = BTreeSet::new();
    let mut hears = Vec::new();
    for wish in wishes {
        let (command, topic, status) = match *wish {
            Wish::Subscribe(topic) => ("subscribe", Some(topic.text()), "subscribed"),
            Wish::Unsubscribe(topic) => ("unsubscribe", Some(topic.text()), "unsubscribed"),
            Wish::Forbidden(topic) => ("subscribe", Some(topic.text()), ""),
            Wish::List => ("list_rooms", None, "listed"),
        };
        match (wish, &topic) {
            (Wish::Subscribe(_), Some(text)) => _ = markets.insert(text.clone()),
            (Wish::Unsubscribe(_), Some(text)) => _ = markets.remove(text),
            _ => {}
        }
        let says = match &topic {
            Some(channel) => json!({ "type": command, "channel": channel }),
            None => json!({ "type": command }),
        };
        steps.push_back(Step::Say(says.to_string()));
        hears.push(Step::Hear(match wish {
            // The contract leaves open which of the two it is for a room that is not the socket's own.
            Wish::Forbidden(_) => Answer::Refused { codes: &["FORBIDDEN", "INVALID_ROOM"] },
            _ => {
                let (user, markets) = (user.to_owned(), markets.clone());
                Answer::Rooms { status, channel: topic, user, admin_level, markets }
            }
        }));
    }
    steps.extend(hears);
    steps
}

/// How the channels protocol names a topic: its channel, and the field that its name goes in.
fn channel_of(topic: Topic) -> (&'static str, &'static str) {
    match topic {
        Topic::Bot(_) => ("bot", "botId"),
        Topic::Price(_) => ("price", "mint"),
        _ => ("transactions", "wallet"),
    }
}

impl Answer {
    /// Whether `message` is this answer; the `seq` that it tells, where it is one that tells it. What is wrong, else.
    pub fn check(&self, message: &Value) -> Result<Option<u64>, String> {
        let is = |name: &str, expected: &str| match message[name].as_str() {
            Some(given) if given == expected => Ok(()),
            _ => Err(format!("`{name}` must be \"{expected}\"")),
        };
        let text = |name: &str| match message[name].as_str() {
            Some(given) if !given.is_empty() => Ok(given),
            _ => Err(format!("`{name}` must be a text")),
        };
        let seq = || message["seq"].as_u64().map(Some).ok_or_else(|| "`seq` must be a number".to_owned());
        match self {
            Self::Connected => {
                is("type", "connected")?;
                text("message")?;
                text("tier")?;
                seq()
            }
            Self::Authenticated => is("type", "authenticated").and_then(|()| seq()),
            Self::Connection { user } => {
                is("type", "connection")?;
                is("status", "connected")?;
                is("userId", user)?;
                text("sessionId")?;
                text("serverTime")?;
                seq()
            }
            Self::Channel { kind, topic } => {
                let (channel, field) = channel_of(*topic);
                is("type", kind)?;
                is("channel", channel)?;
                is(field, &topic.name())?;
                seq()
            }
            Self::Rooms { status, channel, user, admin_level, markets } => {
                is("type", "room_subscription")?;
                is("status", status)?;
                channel.iter().try_for_each(|channel| is("channel", channel))?;
                check_rooms(message, user, *admin_level, markets)?;
                seq()
            }
            Self::Refused { codes } => {
                is("type", "error")?;
                let code = text("code")?;
                text("message")?;
                codes.contains(&code).then_some(None).ok_or_else(|| format!("`code` must be one of {codes:?}"))
            }
        }
    }
}

/// `subscribedRooms` names the user's room, and exactly these markets. Whether it names the other automatic rooms is the
/// server's choice; it never names anybody else's.
fn check_rooms(message: &Value, user: &str, admin_level: u8, markets: &BTreeSet<String>) -> Result<(), String> {
    let rooms = message["subscribedRooms"].as_array().ok_or("`subscribedRooms` must be a list")?;
    let rooms: BTreeSet<&str> = rooms.iter().filter_map(Value::as_str).collect();
    let own = format!("user:{user}");
    if !rooms.contains(own.as_str()) {
        return Err(format!("`subscribedRooms` must hold {own}"));
    }
    let listed: BTreeSet<&str> = rooms.iter().copied().filter(|room| room.starts_with("market:")).collect();
    if listed != markets.iter().map(String::as_str).collect() {
        return Err(format!("the markets in `subscribedRooms` must be {markets:?}"));
    }
    let foreign = |room: &&&str| {
        let level = room.strip_prefix("admin:").map(|level| level.parse::<u8>());
        room.starts_with("user:") && **room != own
            || level.is_some_and(|level| level.is_ok_and(|level| level > admin_level))
    };
    rooms.iter().find(foreign).map_or(Ok(()), |room| Err(format!("`subscribedRooms` must not hold {room}")))
}

/// What a faithful server says.
#[cfg(test)]
pub fn example(answer: &Answer) -> Value {
    match answer {
        Answer::Connected => json!({ "type": "connected", "message": "hello", "tier": "elite", "seq": 1 }),
        Answer::Authenticated => json!({ "type": "authenticated", "seq": 1 }),
        Answer::Connection { user } => json!({
            "type": "connection", "status": "connected", "userId": user, "sessionId": "s",
            "serverTime": "2025-01-06T10:30:00Z", "seq": 1
        }),
        Answer::Channel { kind, topic } => {
            let (channel, field) = channel_of(*topic);
            json!({ "type": kind, "channel": channel, field: topic.name(), "seq": 1 })
        }
        Answer::Rooms { status, channel, user, markets, .. } => {
            let rooms: Vec<String> = [format!("user:{user}")].into_iter().chain(markets.iter().cloned()).collect();
            json!({ "type": "room_subscription", "status": status, "channel": channel, "subscribedRooms": rooms, "seq": 1 })
        }
        Answer::Refused { codes } => json!({ "type": "error", "code": codes[0], "message": "no" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_says_everything_in_one_breath_and_hears_the_answers_in_order() {
        let (bot, price) = (Topic::Bot(1), Topic::Price(2));
        let wishes = [Wish::Subscribe(price), Wish::Forbidden(bot), Wish::Unsubscribe(price)];
        let steps = channels("k", &wishes);
        let says: Vec<&str> = steps
            .iter()
            .filter_map(|step| if let Step::Say(text) = step { Some(text.as_str()) } else { None })
            .collect();
        assert_eq!(says[0], r#"{"type":"auth","apiKey":"k"}"#);
        assert_eq!(says[2], r#"{"type":"subscribe","channel":"bot","botId":"mixed_bot_1"}"#);
        assert!(matches!(steps.get(4), Some(Step::Hear(Answer::Authenticated))), "after four words");
        let Some(Step::Hear(last)) = steps.back() else { panic!("the last step is an answer") };
        assert_eq!(last, &Answer::Channel { kind: "unsubscribed", topic: price });
    }

    #[test]
    fn an_answer_to_something_else_is_told_from_the_right_one() {
        let mint = Topic::Price(2).name();
        let subscribed = Answer::Channel { kind: "subscribed", topic: Topic::Price(2) };
        let right = json!({ "type": "subscribed", "channel": "price", "mint": mint, "seq": 4 });
        assert_eq!(subscribed.check(&right), Ok(Some(4)));
        for (name, other) in [("type", "unsubscribed"), ("channel", "bot"), ("mint", "another"), ("seq", "4")] {
            let mut wrong = right.clone();
            wrong[name] = other.into();
            assert!(subscribed.check(&wrong).unwrap_err().contains(name));
        }
        let connected = json!({ "type": "connected", "message": "hello", "tier": "pro", "seq": 4 });
        assert_eq!(Answer::Connected.check(&connected), Ok(Some(4)));
        assert!(Answer::Connected.check(&json!({ "type": "connected", "message": "hello", "tier": "pro" })).is_err());
        let refused = Answer::Refused { codes: &["FORBIDDEN"] };
        assert!(refused.check(&json!({ "type": "error", "code": "INVALID_MESSAGE", "message": "no" })).is_err());
        assert_eq!(refused.check(&json!({ "type": "error", "code": "FORBIDDEN", "message": "no" })), Ok(None));
    }

    #[test]
    fn the_rooms_that_a_socket_is_told_must_be_its_own() {
        let steps = rooms(None, "u1", 1, &[Wish::Subscribe(Topic::Market(3)), Wish::List]);
        let Some(Step::Hear(answer)) = steps.back() else { panic!("the last step is an answer") };
        let told = |rooms: &[&str]| {
            answer
                .check(&json!({ "type": "room_subscription", "status": "listed", "subscribedRooms": rooms, "seq": 3 }))
        };
        assert_eq!(told(&["user:u1", "market:MIXED3_USD"]), Ok(Some(3)));
        assert_eq!(told(&["user:u1", "system", "admin:1", "market:MIXED3_USD"]), Ok(Some(3)));
        for wrong in [
            &["market:MIXED3_USD"][..],
            &["user:u1"],
            &["user:u1", "market:MIXED3_USD", "market:MIXED4_USD"],
            &["user:u1", "market:MIXED3_USD", "user:u2"],
            &["user:u1", "market:MIXED3_USD", "admin:2"],
        ] {
            assert!(told(wrong).is_err(), "{wrong:?}");
        }
    }
}
