//! The events that are published, and the frames that they become.
//!
//! An event carries its index first in `data` (`"n":17`), which comes back in every envelope: by it the checker knows
//! what a socket got. A `pad` field brings the published text to an exact size.

use memchr::memmem::Finder;

use crate::frame::server_text;
use crate::limits::EVENT_BYTES_MAX;

/// What an event's index stands behind in the text that clients get.
pub const INDEX_MARK: &[u8] = b"\"n\":";

/// What stands before the number that the server gave an event.
pub const SEQ_MARK: &[u8] = b"\"seq\":";

/// What stands in the server's word on numbers that a socket will not get.
pub const GAP_MARK: &[u8] = b"\"type\":\"gap\"";

/// Where a publisher's events come from.
pub trait EventSource: Send {
    /// Appends event `index` of the run as a publisher writes it: one JSON object, or one a line where it is published on several
    /// topics.
    fn published(&self, index: u32, out: &mut Vec<u8>);

    /// On how many topics each is published.
    fn topics(&self) -> u32 {
        1
    }
}

/// Makes `trade.open` events of one wallet, all of the same size.
#[derive(Clone, Debug)]
pub struct EventWriter {
    owner: String,
    payload_bytes: usize,
}

/// An event of this size can't be made; the user chooses another.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("a trade of this wallet takes at least {least} bytes: --payload {asked} is too small")]
    TooSmall { asked: usize, least: usize },
    #[error("an event is at most {EVENT_BYTES_MAX} bytes: --payload {asked} is too large")]
    TooLarge { asked: usize },
    #[error("the wallet `{owner}` must be 1 to 128 letters, digits, `-` or `_`")]
    Owner { owner: String },
}

impl EventWriter {
    /// Events of exactly `payload_bytes` of JSON; `events` is how many there will be.
    pub fn new(owner: &str, payload_bytes: usize, events: u32) -> Result<Self, EventError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=128).contains(&owner.len()) || !owner.bytes().all(plain) {
            return Err(EventError::Owner { owner: owner.to_owned() });
        }
        if payload_bytes > EVENT_BYTES_MAX {
            return Err(EventError::TooLarge { asked: payload_bytes });
        }
        let least = published_text(owner, events, 0).len();
        if payload_bytes < least {
            return Err(EventError::TooSmall { asked: payload_bytes, least });
        }
        Ok(Self { owner: owner.to_owned(), payload_bytes })
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Event `index` as the server sends it, numbered `seq`: a whole WebSocket frame, byte for byte.
    pub fn sent_frame(&self, index: u32, seq: u64) -> Vec<u8> {
        let data = data_fields(&self.owner, index, self.pad(index));
        server_text(format!(r#"{{"type":"trade","seq":{seq},"data":{{{data},"tradeType":"open"}}}}"#).as_bytes())
    }

    /// What stands between the braces of the event's `data`. A server that changes nothing sends just that on.
    pub fn data(&self, index: u32) -> String {
        data_fields(&self.owner, index, self.pad(index))
    }

    fn pad(&self, index: u32) -> usize {
        self.payload_bytes - published_text(&self.owner, index, 0).len()
    }
}

impl EventSource for EventWriter {
    /// Exactly `payload_bytes` long.
    fn published(&self, index: u32, out: &mut Vec<u8>) {
        out.extend(published_text(&self.owner, index, self.pad(index)).bytes());
    }
}

fn published_text(owner: &str, index: u32, pad: usize) -> String {
    format!(r#"{{"type":"trade.open","data":{{{}}}}}"#, data_fields(owner, index, pad))
}

/// Numbers are in the shortest form and keys in the order that the server keeps, so that it changes nothing.
fn data_fields(owner: &str, index: u32, pad: usize) -> String {
    format!(
        r#""n":{index},"owner":"{owner}","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.5,"leverage":5.2,"entryPrice":185.42,"timestamp":"2025-01-15T10:30:00Z","pad":"{:x<pad$}""#,
        ""
    )
}

/// The event index in a text message; `None` where it is some other message.
pub fn index_in(finder: &Finder<'_>, message: &[u8]) -> Option<u32> {
    number_behind(finder, message)?.try_into().ok()
}

/// The whole number that stands behind the first place of what `finder` finds; `None` where there is none.
pub fn number_behind(finder: &Finder<'_>, message: &[u8]) -> Option<u64> {
    let at = finder.find(message)? + finder.needle().len();
    let mut number: u64 = 0;
    for (position, &byte) in message[at..].iter().enumerate() {
        match byte {
            b'0'..=b'9' => number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?,
            b',' | b'}' if position > 0 => return Some(number),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::first_frame;

    const OWNER: &str = "Stentor1oadgenWa11et777777777777777777777777";

    #[test]
    fn every_event_is_exactly_as_long_as_asked_and_valid_json() {
        let writer = EventWriter::new(OWNER, 250, 100_000).unwrap();
        for index in [0, 9, 10, 12_345, 100_000] {
            let mut text = Vec::new();
            writer.published(index, &mut text);
            assert_eq!(text.len(), 250, "{index}");
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
            assert_eq!(value["type"], "trade.open");
            assert_eq!(value["data"]["n"], index);
            assert_eq!(value["data"]["owner"], OWNER);
        }
    }

    #[test]
    fn the_sent_frame_is_the_envelope_around_the_same_fields() {
        let writer = EventWriter::new(OWNER, 300, 10).unwrap();
        let bytes = writer.sent_frame(3, 77);
        let frame = first_frame(&bytes).unwrap().unwrap();
        let value: serde_json::Value = serde_json::from_slice(frame.payload).unwrap();
        assert_eq!((&value["type"], &value["seq"]), (&"trade".into(), &77.into()));
        assert_eq!(value["data"]["tradeType"], "open");
        assert!(frame.payload.starts_with(br#"{"type":"trade","seq":77,"data":{"n":3,"owner":"#));
        assert_eq!(index_in(&Finder::new(INDEX_MARK), frame.payload), Some(3));
    }

    #[test]
    fn sizes_and_wallets_that_can_not_be_are_refused_with_the_bound() {
        let EventError::TooSmall { least, .. } = EventWriter::new(OWNER, 50, 1000).unwrap_err() else {
            panic!("too small")
        };
        assert!(EventWriter::new(OWNER, least, 1000).is_ok());
        assert!(EventWriter::new(OWNER, least - 1, 1000).is_err());
        assert!(matches!(EventWriter::new(OWNER, 65_537, 1), Err(EventError::TooLarge { .. })));
        assert!(matches!(EventWriter::new("a\"b", 250, 1), Err(EventError::Owner { .. })));
    }

    #[test]
    fn other_messages_have_no_index() {
        let finder = Finder::new(INDEX_MARK);
        for other in
            ["", "{}", r#"{"type":"connected"}"#, r#"{"n":}"#, r#"{"n":12"#, r#"{"n":-1}"#, r#"{"n":99999999999}"#]
        {
            assert_eq!(index_in(&finder, other.as_bytes()), None, "{other}");
        }
        assert_eq!(index_in(&finder, br#"{"n":4294967295}"#), Some(u32::MAX));
    }
}
