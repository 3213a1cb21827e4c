//! The events of a run: trades of one wallet, each with an id by which it may be sent again without harm.

use crate::event::{EventError, EventWriter};
use crate::frame::server_text;

#[derive(Clone, Debug)]
pub struct Events {
    trades: EventWriter,
    run: u64,
}

impl Events {
    /// Events of exactly `payload_bytes` of JSON beside their id; `events` is how many there will be, and `run` what tells them from other
    /// runs' events.
    pub fn new(owner: &str, payload_bytes: usize, events: u32, run: u64) -> Result<Self, EventError> {
        Ok(Self { trades: EventWriter::new(owner, payload_bytes, events)?, run })
    }

    /// Appends an event as it is published: one JSON object.
    pub fn published(&self, index: u32, out: &mut Vec<u8>) {
        let (id, data) = (self.id(index), self.trades.data(index));
        out.extend(format!(r#"{{"type":"trade.open","id":"{id}","data":{{{data}}}}}"#).bytes());
    }

    /// The same as the server sends it, numbered `seq`: a whole WebSocket frame, byte for byte.
    pub fn sent_frame(&self, index: u32, seq: u64) -> Vec<u8> {
        let (id, data) = (self.id(index), self.trades.data(index));
        let text = format!(r#"{{"type":"trade","seq":{seq},"event_id":"{id}","data":{{{data},"tradeType":"open"}}}}"#);
        server_text(text.as_bytes())
    }

    fn id(&self, index: u32) -> String {
        format!("restart-{:016x}-{index:010}", self.run)
    }
}

#[cfg(test)]
mod tests {
    use memchr::memmem::Finder;

    use super::*;
    use crate::event::{INDEX_MARK, SEQ_MARK, index_in, number_behind};
    use crate::frame::first_frame;

    #[test]
    fn each_event_has_an_id_of_its_own_and_all_are_as_long() {
        let events = Events::new("wallet", 300, 1_000, u64::MAX).unwrap();
        let texts = [0, 7, 999].map(|index| {
            let mut text = Vec::new();
            events.published(index, &mut text);
            assert_eq!(text.len(), 300 + r#""id":"restart-ffffffffffffffff-0000000007","#.len(), "{index}");
            serde_json::from_slice::<serde_json::Value>(&text).unwrap()
        });
        assert_eq!((&texts[1]["data"]["n"], &texts[1]["type"]), (&7.into(), &"trade.open".into()));
        assert_eq!(texts[1]["id"], "restart-ffffffffffffffff-0000000007");
    }

    #[test]
    fn the_sent_frame_tells_number_id_and_index() {
        let bytes = Events::new("wallet", 300, 10, 1).unwrap().sent_frame(3, 77);
        let frame = first_frame(&bytes).unwrap().unwrap();
        let value: serde_json::Value = serde_json::from_slice(frame.payload).unwrap();
        assert_eq!((&value["seq"], &value["event_id"]), (&77.into(), &"restart-0000000000000001-0000000003".into()));
        assert_eq!(index_in(&Finder::new(INDEX_MARK), frame.payload), Some(3));
        assert_eq!(number_behind(&Finder::new(SEQ_MARK), frame.payload), Some(77));
    }
}
