//! The events of a run: which topic each is published on, how a publisher writes it, and the frame that it must become.
//!
//! An event is made from the seed and its index alone, so nothing of it need be kept. Its data begins with the index and
//! ends with a pad of random letters and random length, by which any mix-up of bytes shows.

use std::fmt::Write;
use std::sync::Arc;

use fastrand::Rng;

use super::protocol::Protocol;
use super::topic::{ADMIN_LEVELS, BOTS, MARKETS, PRICES, TRANSACTION_WALLETS, Topic, WALLETS};
use crate::event::EventSource;
use crate::frame::server_text;

/// How often a topic of each kind is drawn, in hundredths. What goes to everybody of a protocol is rare, as it is in life,
/// and makes the most of the deliveries all the same.
const WEIGHTS: [(u32, Kind); 9] = [
    (30, Kind::Wallet),
    (6, Kind::Alerts),
    (20, Kind::Price),
    (14, Kind::Transactions),
    (6, Kind::Bot),
    (10, Kind::User),
    (10, Kind::Market),
    (3, Kind::Admin),
    (1, Kind::System),
];

#[derive(Clone, Copy)]
enum Kind {
    Wallet,
    Alerts,
    Price,
    Transactions,
    Bot,
    User,
    Market,
    Admin,
    System,
}

/// The longest pad. Sizes on both sides of 125 bytes and of a page's worth of frames are common.
const PAD_BYTES_MAX: usize = 400;

/// All events of a run.
#[derive(Clone, Debug)]
pub struct Traffic {
    seed: u64,
    topics: Arc<[Topic]>,
}

/// What one event says.
struct Event {
    kind: &'static str,
    /// For the rooms envelope: the channel, and whether the publisher names it.
    channel: (&'static str, bool),
    /// The fields of `data`, without the braces.
    fields: String,
    /// What the server adds to the data.
    trade_type: &'static str,
}

impl Traffic {
    /// Draws the topics of `events` events. `users`: those that have sockets; one more has none.
    pub fn new(seed: u64, events: u32, users: u32) -> Self {
        let mut rng = Rng::with_seed(mix(seed, u64::MAX));
        Self { seed, topics: (0..events).map(|_| draw(&mut rng, users)).collect() }
    }

    pub fn events(&self) -> u32 {
        self.topics.len() as u32
    }

    pub fn topic(&self, event: u32) -> Topic {
        self.topics[event as usize]
    }

    /// Event `event` as every socket that should have it gets it, numbered `seq`: the whole frame.
    pub fn frame(&self, event: u32, seq: u64) -> Vec<u8> {
        let Event { kind, channel, fields, trade_type } = self.event(event);
        let payload = match self.topic(event).protocol() {
            Protocol::Watchlist => {
                format!(r#"{{"type":"trade","seq":{seq},"data":{{{fields},"tradeType":"{trade_type}"}}}}"#)
            }
            Protocol::Tiered => format!(r#"{{"type":"alert","seq":{seq},"data":{{{fields}}}}}"#),
            Protocol::Channels => format!(r#"{{"type":"{kind}","seq":{seq},{fields}}}"#),
            Protocol::Rooms => {
                format!(r#"{{"type":"{kind}","channel":"{}","seq":{seq},"data":{{{fields}}}}}"#, channel.0)
            }
        };
        server_text(payload.as_bytes())
    }

    /// Numbers are in the shortest form and keys in the order that the server keeps, so that it changes nothing.
    fn event(&self, index: u32) -> Event {
        let mut rng = Rng::with_seed(mix(self.seed, u64::from(index)));
        let topic = self.topic(index);
        let name = topic.name();
        let (amount, other) = (rng.u32(1..1_000_000), rng.u32(1..1_000_000));
        let (kind, channel, trade_type) = match topic {
            Topic::Wallet(_) => {
                let trades = [
                    ("trade.open", "open"),
                    ("trade.increase", "increase"),
                    ("trade.close", "close"),
                    ("trade.liquidation", "liquidation"),
                ];
                let (kind, trade_type) = trades[rng.usize(0..trades.len())];
                (kind, ("", false), trade_type)
            }
            Topic::Alerts => ("alert", ("", false), ""),
            Topic::Price(_) => ("price_update", ("", false), ""),
            Topic::Transactions(_) => ("transaction_confirmed", ("", false), ""),
            Topic::Bot(_) => ("bot_update", ("", false), ""),
            Topic::User(_) => {
                let kinds = [
                    ("margin_guard_execution", "margin_guard"),
                    ("position_status_update", "positions"),
                    ("auto_close_execution", "margin_guard"),
                    ("in_app_notification", "notifications"),
                    ("notification_status_update", "notifications"),
                    ("price_alert", "alerts"),
                ];
                let (kind, channel) = kinds[rng.usize(0..kinds.len())];
                (kind, (channel, false), "")
            }
            Topic::Market(_) if rng.bool() => ("historical_data_update", ("historical_data", false), ""),
            Topic::Market(_) => ("market_data_update", ("market_data", false), ""),
            Topic::Admin(_) => ("service_status_update", ("administration", true), ""),
            Topic::System => ("server_maintenance", ("system", false), ""),
        };
        let mut fields = format!(r#""n":{index},"#);
        let side = if rng.bool() { "long" } else { "short" };
        let _ = match topic {
            Topic::Wallet(_) => write!(
                fields,
                r#""owner":"{name}","marketSymbol":"SOL-PERP","side":"{side}","sizeUsd":{amount}.5,"leverage":5.2,"entryPrice":{other}.25,"timestamp":"2025-01-15T10:30:00Z","#
            ),
            Topic::Alerts => write!(
                fields,
                r#""id":{amount},"alert_type":"fresh","side":"BUY","outcome":"Yes","entry_price":0.42,"usdc_value":{other},"event_title":"Will it rain?","#
            ),
            Topic::Price(_) => write!(fields, r#""mint":"{name}","price":{amount}.5,"volume":{other},"#),
            Topic::Transactions(_) => write!(fields, r#""wallet":"{name}","status":"confirmed","slot":{amount},"#),
            Topic::Bot(_) => write!(
                fields,
                r#""botId":"{name}","event":"trade_executed","data":{{"signature":"s{amount}","profit":{other}.5}},"#
            ),
            Topic::User(_) => write!(fields, r#""userId":"{name}","type":"warning","amount":{amount},"#),
            Topic::Market(_) => write!(fields, r#""symbol":"{name}","price":{amount}.5,"candles":[[{other},1,2]],"#),
            Topic::Admin(_) => write!(fields, r#""level":{name},"service":"s{amount}","#),
            Topic::System => write!(fields, r#""scheduled":true,"message":"m{amount}","#),
        };
        let pad: String = (0..rng.usize(0..PAD_BYTES_MAX)).map(|_| rng.alphanumeric()).collect();
        let _ = write!(fields, r#""pad":"{pad}""#);
        Event { kind, channel, fields, trade_type }
    }
}

impl EventSource for Traffic {
    fn published(&self, index: u32, out: &mut Vec<u8>) {
        let Event { kind, channel, fields, .. } = self.event(index);
        let topic = self.topic(index).text();
        let channel = if channel.1 { format!(r#""channel":"{}","#, channel.0) } else { String::new() };
        out.extend(format!(r#"{{"type":"{kind}","topic":"{topic}",{channel}"data":{{{fields}}}}}"#).bytes());
    }
}

fn draw(rng: &mut Rng, users: u32) -> Topic {
    let mut ball = rng.u32(0..WEIGHTS.iter().map(|(weight, _)| weight).sum());
    for (weight, kind) in WEIGHTS {
        if ball >= weight {
            ball -= weight;
            continue;
        }
        return match kind {
            Kind::Wallet => Topic::Wallet(rng.u16(0..WALLETS)),
            Kind::Alerts => Topic::Alerts,
            Kind::Price => Topic::Price(rng.u16(0..PRICES)),
            Kind::Transactions => Topic::Transactions(rng.u16(0..TRANSACTION_WALLETS)),
            Kind::Bot => Topic::Bot(rng.u16(0..BOTS)),
            Kind::User => Topic::User(rng.u32(0..=users)),
            Kind::Market => Topic::Market(rng.u16(0..MARKETS)),
            Kind::Admin => Topic::Admin(rng.u8(1..=ADMIN_LEVELS)),
            Kind::System => Topic::System,
        };
    }
    unreachable!("the ball is below the sum of the weights")
}

/// A seed for one thing of a run.
pub fn mix(seed: u64, number: u64) -> u64 {
    seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xD1B5_4A32_D192_ED03)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{INDEX_MARK, index_in};
    use crate::frame::first_frame;
    use serde_json::Value;

    #[test]
    fn every_event_is_whole_json_with_its_index_in_every_envelope() {
        let traffic = Traffic::new(7, 3000, 20);
        let finder = memchr::memmem::Finder::new(INDEX_MARK);
        let mut seen = std::collections::HashSet::new();
        for event in 0..traffic.events() {
            let mut text = Vec::new();
            traffic.published(event, &mut text);
            let published: Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(published["topic"], traffic.topic(event).text());
            let bytes = traffic.frame(event, 9000 + u64::from(event));
            let frame = first_frame(&bytes).unwrap().unwrap();
            assert_eq!(index_in(&finder, frame.payload), Some(event));
            let sent: Value = serde_json::from_slice(frame.payload).unwrap();
            assert_eq!(sent["seq"], 9000 + event);
            let data = match traffic.topic(event).protocol() {
                Protocol::Channels => &sent,
                _ => &sent["data"],
            };
            for (name, value) in published["data"].as_object().unwrap() {
                assert_eq!(&data[name], value, "{event}: {name}");
            }
            seen.insert(std::mem::discriminant(&traffic.topic(event)));
        }
        assert_eq!(seen.len(), WEIGHTS.len(), "every kind of topic is drawn");
    }

    #[test]
    fn the_server_takes_every_event_and_makes_the_same_frame_of_it() {
        let traffic = Traffic::new(11, 3000, 20);
        let mut parser = stentor::event::EventParser::new();
        for event in 0..traffic.events() {
            let (mut text, mut frame) = (Vec::new(), Vec::new());
            traffic.published(event, &mut text);
            let taken = parser.parse(&text, 1, None).unwrap_or_else(|error| panic!("{error}"));
            stentor::hub::envelope::append_frame(&taken, 77, &mut frame);
            assert_eq!(String::from_utf8_lossy(&traffic.frame(event, 77)), String::from_utf8_lossy(&frame));
        }
    }

    #[test]
    fn another_seed_makes_other_events_and_the_same_one_the_same() {
        let frames = |seed| (0..50).map(|event| Traffic::new(seed, 50, 5).frame(event, 1)).collect::<Vec<_>>();
        assert_eq!(frames(1), frames(1));
        assert_ne!(frames(1), frames(2));
    }
}
