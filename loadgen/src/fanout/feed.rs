//! The events of a contender whose sockets are of several kinds: each index on every topic that they need, one line after another.
//!
//! ```text
//!   index 17 ─▶ {"type":"trade.open", … "n":17 …}        watchlist, sse
//!            ─▶ {"type":"alert","topic":"alerts", …}      tiered
//!            ─▶ {"type":"price_update","topic":"price:…"}  channels
//!            ─▶ {"type":"market_data_update","topic":"market:…"}   rooms
//! ```
//! So every socket, whatever it speaks, gets every index once. All lines have the same length.

use crate::event::{EventSource, EventWriter};

/// What the channels sockets subscribe to.
pub const PRICE_MINT: &str = "Stentor1oadgenMint77777777777777777777777777";

/// What the rooms sockets subscribe to.
pub const MARKET: &str = "LOADGEN_USD";

/// On what a kind of sockets gets its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Wallet,
    Alerts,
    Price,
    Market,
}

#[derive(Clone, Debug)]
pub struct Feed {
    trades: EventWriter,
    topics: Vec<Topic>,
    payload_bytes: usize,
}

impl Feed {
    /// `topics` may name one several times. `payload_bytes`: as `trades` has them.
    pub fn new(trades: EventWriter, payload_bytes: usize, topics: impl IntoIterator<Item = Topic>) -> Self {
        let mut each: Vec<Topic> = Vec::new();
        for topic in topics {
            if !each.contains(&topic) {
                each.push(topic);
            }
        }
        Self { trades, topics: each, payload_bytes }
    }

    /// What stands between the braces of the `data` of an event on one of the topics.
    pub fn data(&self, topic: Topic, index: u32) -> String {
        match topic {
            Topic::Wallet => self.trades.data(index),
            other => data(other, index, self.pad(other, index)),
        }
    }

    /// A trade is longer than the others, so its writer has seen to it that there is room.
    fn pad(&self, topic: Topic, index: u32) -> usize {
        self.payload_bytes.saturating_sub(text(topic, index, 0).len())
    }
}

impl EventSource for Feed {
    fn published(&self, index: u32, out: &mut Vec<u8>) {
        for (number, topic) in self.topics.iter().enumerate() {
            if number > 0 {
                out.push(b'\n');
            }
            match topic {
                Topic::Wallet => self.trades.published(index, out),
                other => out.extend(text(*other, index, self.pad(*other, index)).bytes()),
            }
        }
    }

    fn topics(&self) -> u32 {
        self.topics.len() as u32
    }
}

/// Keys and numbers are as the server keeps them.
fn text(topic: Topic, index: u32, pad: usize) -> String {
    let head = match topic {
        Topic::Wallet => unreachable!("trades have a writer of their own"),
        Topic::Alerts => r#""type":"alert","topic":"alerts""#.to_owned(),
        Topic::Price => format!(r#""type":"price_update","topic":"price:{PRICE_MINT}""#),
        Topic::Market => format!(r#""type":"market_data_update","topic":"market:{MARKET}""#),
    };
    format!(r#"{{{head},"data":{{{}}}}}"#, data(topic, index, pad))
}

/// The index comes first, and back in every envelope.
fn data(topic: Topic, index: u32, pad: usize) -> String {
    let fields = match topic {
        Topic::Wallet => unreachable!("trades have a writer of their own"),
        Topic::Alerts => r#""side":"BUY","outcome":"Yes""#.to_owned(),
        Topic::Price => format!(r#""mint":"{PRICE_MINT}""#),
        Topic::Market => format!(r#""symbol":"{MARKET}""#),
    };
    format!(r#""n":{index},{fields},"pad":"{:x<pad$}""#, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventError, INDEX_MARK, index_in};

    const ALL: [Topic; 4] = [Topic::Wallet, Topic::Alerts, Topic::Price, Topic::Market];

    fn feed(topics: &[Topic]) -> Feed {
        Feed::new(EventWriter::new("wallet", 250, 1_000).unwrap(), 250, topics.iter().copied())
    }

    #[test]
    fn every_line_has_the_index_and_the_size_and_the_server_takes_it_unchanged() {
        let feed = feed(&[ALL, ALL].concat());
        assert_eq!(feed.topics(), 4, "each once");
        let finder = memchr::memmem::Finder::new(INDEX_MARK);
        let mut parser = stentor::event::EventParser::new();
        for index in [0, 9, 999] {
            let mut body = Vec::new();
            feed.published(index, &mut body);
            let lines: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
            assert_eq!(lines.len(), 4);
            for line in lines {
                assert_eq!(line.len(), 250);
                let event = parser.parse(line, 1, None).unwrap_or_else(|error| panic!("{error}"));
                let mut frame = Vec::new();
                stentor::hub::envelope::append_frame(&event, 77, &mut frame);
                assert_eq!(index_in(&finder, &frame), Some(index));
                let is_whole = |topic| memchr::memmem::find(&frame, feed.data(topic, index).as_bytes()).is_some();
                assert!(ALL.into_iter().any(is_whole), "{}", String::from_utf8_lossy(&frame));
            }
        }
    }

    #[test]
    fn one_topic_is_one_event_as_it_always_was() {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        feed(&[Topic::Wallet]).published(5, &mut one);
        EventWriter::new("wallet", 250, 1_000).unwrap().published(5, &mut other);
        assert_eq!(one, other);
    }

    #[test]
    fn no_event_is_longer_than_the_shortest_trade() {
        let EventError::TooSmall { least, .. } = EventWriter::new("w", 0, u32::MAX).unwrap_err() else {
            panic!("a size")
        };
        for topic in &ALL[1..] {
            assert!(text(*topic, u32::MAX, 0).len() <= least, "{topic:?}");
        }
    }
}
