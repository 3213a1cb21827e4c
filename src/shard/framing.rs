//! How what a session is told stands on its connection: in WebSocket frames, or as server-sent events.
//!
//! Both carry the same JSON. An event's WebSocket frame is made once for the whole server; what a stream is sent is made from that,
//! once for all streams of a shard, where there are any.

use crate::hub::EncodedBatch;
use crate::journal::{Gap, GapReason};
use crate::limits::STREAM_EVENT_MORE_BYTES_MAX;
use crate::protocol::{ErrorCode, Protocol, Reconnect, SocketError, gap, gap_json, payload, reconnect, stream};
use crate::ws::{CloseCode, close_frame};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    #[default]
    WebSocket,
    EventStream,
}

impl Framing {
    pub const ALL: [Self; 2] = [Self::WebSocket, Self::EventStream];

    pub fn of(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Stream => Self::EventStream,
            _ => Self::WebSocket,
        }
    }

    /// An event of a batch. `room` is where it is made, if it has to be.
    pub fn event<'a>(self, batch: &'a EncodedBatch, event: usize, room: &'a mut Vec<u8>) -> &'a [u8] {
        let frame = batch.frame(event);
        match self {
            Self::WebSocket => frame,
            Self::EventStream => {
                room.clear();
                stream::append_event(payload(frame), batch.first_seq() + event as u64, room);
                debug_assert!(room.len() <= frame.len() + STREAM_EVENT_MORE_BYTES_MAX);
                room
            }
        }
    }

    /// Tells numbers that hold no event for this session. A client that comes back to a stream goes on behind them, but for those
    /// among which some are still to come.
    pub fn gap(self, told: &Gap) -> Box<[u8]> {
        match self {
            Self::WebSocket => gap(told),
            Self::EventStream => {
                stream::message(&gap_json(told), (told.reason != GapReason::Latest).then_some(told.to))
            }
        }
    }

    /// Tells a client to come back, and when.
    pub fn reconnect(self, told: &Reconnect) -> Box<[u8]> {
        match self {
            Self::WebSocket => reconnect(told),
            Self::EventStream => stream::reconnect(told),
        }
    }

    /// What is sent last. A stream has no close frame: where a client can do something about its end, it is told as an error.
    pub fn last_words(self, code: CloseCode, reason: &str) -> Box<[u8]> {
        if self == Self::WebSocket {
            return close_frame(code, reason).into();
        }
        let code = match code {
            CloseCode::AUTHENTICATION => ErrorCode::AuthenticationFailed,
            CloseCode::TIER => ErrorCode::Forbidden,
            CloseCode::RATE_ABUSE => ErrorCode::RateLimitExceeded,
            CloseCode::SLOW_CONSUMER | CloseCode::HEARTBEAT => ErrorCode::SlowConsumer,
            CloseCode::INTERNAL_ERROR => ErrorCode::InternalError,
            // It just ends, and its client opens it again.
            _ => return stream::comment(),
        };
        stream::error(&SocketError::new(code, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventParser;
    use crate::hub::Origin;

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_streams_event_is_the_same_json_under_its_number() {
        for (pad, first_seq) in [(0, 7), (200, u64::MAX - 2), (65_000, 1)] {
            let event = serde_json::json!({ "type": "alert", "data": { "pad": "x".repeat(pad) } }).to_string();
            let event = EventParser::new().parse(event.as_bytes(), 1, None).expect("a sound event");
            let batch = EncodedBatch::encode(vec![event.clone(), event], first_seq, 0, Origin::default());
            let mut room = b"of before".to_vec();
            let seq = first_seq + 1;
            let json = text(payload(batch.frame(1))).to_owned();
            let sent = Framing::EventStream.event(&batch, 1, &mut room);
            assert_eq!(text(sent), format!("id: {seq}\ndata: {json}\n\n"));
            assert_eq!(Framing::WebSocket.event(&batch, 1, &mut Vec::new()), batch.frame(1));
        }
    }

    #[test]
    fn a_gap_moves_a_streams_cursor_unless_some_of_it_is_still_to_come() {
        let told = |reason| Gap { from: 3, to: 9, reason };
        let lost = Framing::EventStream.gap(&told(GapReason::Crash));
        assert_eq!(text(&lost), "id: 9\ndata: {\"type\":\"gap\",\"from\":3,\"to\":9,\"reason\":\"crash\"}\n\n");
        let passed = Framing::EventStream.gap(&told(GapReason::Latest));
        assert_eq!(text(&passed), "data: {\"type\":\"gap\",\"from\":3,\"to\":9,\"reason\":\"latest\"}\n\n");
    }

    #[test]
    fn the_last_words_of_a_stream_are_an_error_or_nothing() {
        let words = |code| text(&Framing::EventStream.last_words(code, "why")).to_owned();
        for (code, told) in [
            (CloseCode::AUTHENTICATION, "AUTHENTICATION_FAILED"),
            (CloseCode::TIER, "FORBIDDEN"),
            (CloseCode::SLOW_CONSUMER, "SLOW_CONSUMER"),
            (CloseCode::HEARTBEAT, "SLOW_CONSUMER"),
            (CloseCode::INTERNAL_ERROR, "INTERNAL_ERROR"),
            (CloseCode::RATE_ABUSE, "RATE_LIMIT_EXCEEDED"),
        ] {
            let error = format!("data: {{\"type\":\"error\",\"code\":\"{told}\",\"message\":\"why\"}}\n\n");
            assert_eq!(words(code), error);
        }
        assert_eq!(words(CloseCode::SERVICE_RESTART), ": \n\n");
        assert_eq!(*Framing::WebSocket.last_words(CloseCode::TIER, "why"), close_frame(CloseCode::TIER, "why"));
    }
}
