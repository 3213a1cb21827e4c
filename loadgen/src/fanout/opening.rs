//! How a contender's sockets of one kind get to their events: what is asked, said and answered until a socket counts as open.
//!
//! | | asks | says | counts as open with |
//! |---|---|---|---|
//! | any server, watchlist | `?apiKey=` | | the answer to the upgrade |
//! | tiered | `?api_key=` | | `connected` |
//! | channels | | `auth`, `subscribe` to a price | `authenticated`, `subscribed` |
//! | rooms | `Authorization` | `subscribe` to a market | `connection`, `room_subscription` |
//! | sse | `X-API-Key`, `?topic=` | | the answer's head |
//! | NATS | | `CONNECT`, `SUB`, `PING` | `PONG` |
//!
//! All that has to be said is said in one breath. Once a socket is open it gets every event of its topic.

use serde_json::json;

use super::dialect::Dialect;
use super::feed::{MARKET, PRICE_MINT, Topic};
use super::mix::{MixError, Protocol};
use crate::frame::client_text;
use crate::handshake::Upgrade;
use crate::heartbeat::{self, Beat};
use crate::nats;
use crate::target::Target;
use crate::token;

/// The user whose room the sockets of the rooms protocol are in.
const USER: &str = "loadgen";

/// One kind of a contender's sockets.
#[derive(Clone, Debug)]
pub struct Opening {
    pub name: &'static str,
    /// Its part of the contender's sockets.
    pub weight: u32,
    /// What its sockets get the events of.
    pub topic: Topic,
    pub target: Target,
    pub dialect: Dialect,
    /// One more line of the request's head, or nothing.
    header: String,
    /// What a socket says once the request is answered: frames.
    pub says: Vec<u8>,
    /// The types of the messages that answer it, in their order.
    pub hears: &'static [&'static str],
    /// The server is known to send on what was published as it is.
    pub is_faithful: bool,
    /// How a socket tells that it is there, where its protocol wants that.
    pub beat: Option<&'static Beat>,
}

/// By what Stentor's sockets prove who they are.
#[derive(Clone, Debug, Default)]
pub struct Credentials<'a> {
    pub key: Option<&'a str>,
    pub jwt_secret: Option<&'a [u8]>,
    /// Unix seconds.
    pub now_s: u64,
}

impl Opening {
    /// A WebSocket that gets events as soon as its upgrade is answered.
    pub fn plain(target: Target) -> Self {
        Self {
            name: "events",
            weight: 1,
            topic: Topic::Wallet,
            target,
            dialect: Dialect::Events,
            header: String::new(),
            says: Vec::new(),
            hears: &[],
            is_faithful: false,
            beat: None,
        }
    }

    pub fn nats(target: Target, subject: String) -> Self {
        let says = nats::subscribe(&subject);
        Self { says, dialect: Dialect::Nats { subject }, ..Self::plain(target) }
    }

    /// `server`: Stentor. `owner`: whose trades are published.
    pub fn stentor(
        protocol: Protocol,
        weight: u32,
        server: &Target,
        owner: &str,
        credentials: &Credentials<'_>,
    ) -> Result<Self, MixError> {
        let at = |path: &str| Target { path: path.to_owned(), ..server.clone() };
        let key = || credentials.key.ok_or(MixError::Key(protocol));
        let say = |messages: &[serde_json::Value]| -> Vec<u8> {
            messages.iter().flat_map(|message| client_text(message.to_string().as_bytes())).collect()
        };
        let opening = match protocol {
            Protocol::Watchlist => Self::plain(at("/ws/alerts").with_query("apiKey", key()?)),
            Protocol::Tiered => Self {
                topic: Topic::Alerts,
                hears: &["connected"],
                beat: Some(&heartbeat::TIERED),
                ..Self::plain(at("/ws/alerts").with_query("api_key", key()?))
            },
            Protocol::Channels => Self {
                topic: Topic::Price,
                says: say(&[
                    json!({ "type": "auth", "apiKey": key()? }),
                    json!({ "type": "subscribe", "channel": "price", "mint": PRICE_MINT }),
                ]),
                hears: &["authenticated", "subscribed"],
                beat: Some(&heartbeat::CHANNELS),
                ..Self::plain(at("/v1/ws"))
            },
            Protocol::Rooms => {
                let secret = credentials.jwt_secret.ok_or(MixError::Secret)?;
                let token = token::mint(secret, USER, 0, credentials.now_s);
                Self {
                    topic: Topic::Market,
                    header: format!("Authorization: Bearer {token}\r\n"),
                    says: say(&[json!({ "type": "subscribe", "channel": format!("market:{MARKET}") })]),
                    hears: &["connection", "room_subscription"],
                    ..Self::plain(at("/ws"))
                }
            }
            Protocol::Sse => Self {
                dialect: Dialect::EventStream,
                header: format!("X-API-Key: {}\r\n", key()?),
                ..Self::plain(at("/events/stream").with_query("topic", &format!("wallet:{owner}")))
            },
        };
        Ok(Self { name: protocol.name(), weight, is_faithful: true, ..opening })
    }

    /// The request of all of its sockets. `nonce`: 16 random bytes.
    pub fn upgrade(&self, nonce: [u8; 16]) -> Upgrade {
        match self.dialect {
            Dialect::Events | Dialect::Nats { .. } => Upgrade::with_header(&self.target, nonce, &self.header),
            Dialect::EventStream => Upgrade::event_stream(&self.target, &self.header),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::client_frame;

    fn opening(protocol: Protocol, credentials: &Credentials<'_>) -> Result<Opening, MixError> {
        let server = Target::parse("http://127.0.0.1:5001", "http").unwrap();
        Opening::stentor(protocol, 3, &server, "wallet", credentials)
    }

    fn request(protocol: Protocol) -> String {
        let credentials = Credentials { key: Some("k"), jwt_secret: Some(b"secret"), now_s: 1_700_000_000 };
        String::from_utf8(opening(protocol, &credentials).unwrap().upgrade([7; 16]).request).unwrap()
    }

    #[test]
    fn each_protocol_asks_where_and_as_its_document_has_it() {
        assert!(request(Protocol::Watchlist).starts_with("GET /ws/alerts?apiKey=k HTTP/1.1\r\n"));
        assert!(request(Protocol::Tiered).starts_with("GET /ws/alerts?api_key=k HTTP/1.1\r\n"));
        assert!(request(Protocol::Channels).starts_with("GET /v1/ws HTTP/1.1\r\n"));
        let rooms = request(Protocol::Rooms);
        assert!(rooms.starts_with("GET /ws HTTP/1.1\r\n") && rooms.contains("\r\nAuthorization: Bearer ey"), "{rooms}");
        let sse = request(Protocol::Sse);
        assert!(sse.starts_with("GET /events/stream?topic=wallet:wallet HTTP/1.1\r\n"), "{sse}");
        assert!(sse.contains("\r\nX-API-Key: k\r\n") && !sse.contains("Upgrade"), "{sse}");
    }

    #[test]
    fn what_is_said_is_said_in_one_breath() {
        let credentials = Credentials { key: Some("k"), ..Credentials::default() };
        let channels = opening(Protocol::Channels, &credentials).unwrap();
        assert_eq!((channels.weight, channels.name), (3, "channels"));
        let auth = client_frame(1, br#"{"apiKey":"k","type":"auth"}"#);
        assert!(channels.says.len() > auth.len() + 20 && channels.hears.len() == 2);
    }

    #[test]
    fn a_protocol_without_its_key_or_secret_is_refused() {
        for protocol in [Protocol::Watchlist, Protocol::Tiered, Protocol::Channels, Protocol::Sse] {
            assert_eq!(opening(protocol, &Credentials::default()).unwrap_err(), MixError::Key(protocol));
        }
        let key_alone = Credentials { key: Some("k"), ..Credentials::default() };
        assert_eq!(opening(Protocol::Rooms, &key_alone).unwrap_err(), MixError::Secret);
    }
}
