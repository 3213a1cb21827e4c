//! An event as its protocol's clients see it: one complete WebSocket text frame, ready to send to every socket.
//!
//! | namespace | payload |
//! |---|---|
//! | `wallet:` | `{"type":"trade","seq":N,"data":{…,"tradeType":"open"}}` |
//! | `alerts` | `{"type":"alert","seq":N,"data":{…}}` |
//! | `bot:`, `price:`, `transactions:` | `{"type":T,"seq":N,…the fields of data}` |
//! | `user:`, `market:`, `admin:`, `system` | `{"type":T,"channel":C,"seq":N,"data":{…}}` |
//!
//! Where the publisher gave an id, `"event_id":"…"` follows `"seq":N`: a client that has seen an event which was then lost
//! with the power, and sees it again under a new number after the publisher's retry, can tell by this.

use crate::event::{Envelope, Event, Namespace, Topic, TradeKind, append_string};
use crate::limits::FRAME_BYTES_MAX;

/// RFC 6455 §5.2: two bytes, and eight of length; a server does not mask.
const HEADER_BYTES_MAX: usize = 10;
/// The header for payloads of 126 to 65,535 bytes, which nearly all are.
const HEADER_BYTES_USUAL: usize = 4;
/// FIN and the opcode of a text frame.
const FINAL_TEXT: u8 = 0x81;

/// Appends the whole unmasked frame (RFC 6455 §5.2: header and payload) of `event` under the number `seq`.
///
/// The payload is written in place behind a header of the usual length; only a payload that needs a shorter or a longer
/// header is moved.
pub fn append_frame(event: &Event, seq: u64, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(event.data.len() + 256);
    out.extend_from_slice(&[0; HEADER_BYTES_USUAL]);
    append_payload(event, seq, out);
    let payload_start = start + HEADER_BYTES_USUAL;
    let len = out.len() - payload_start;
    match len {
        0..=125 => {
            out.copy_within(payload_start.., start + 2);
            out.truncate(start + 2 + len);
            out[start..start + 2].copy_from_slice(&[FINAL_TEXT, len as u8]);
        }
        126..=0xffff => {
            out[start..start + 2].copy_from_slice(&[FINAL_TEXT, 126]);
            out[start + 2..payload_start].copy_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.extend_from_slice(&[0; HEADER_BYTES_MAX - HEADER_BYTES_USUAL]);
            out.copy_within(payload_start..payload_start + len, start + HEADER_BYTES_MAX);
            out[start..start + 2].copy_from_slice(&[FINAL_TEXT, 127]);
            out[start + 2..start + HEADER_BYTES_MAX].copy_from_slice(&(len as u64).to_be_bytes());
        }
    }
    assert!(out.len() - start <= FRAME_BYTES_MAX, "a frame of {} bytes", out.len() - start);
}

fn append_payload(event: &Event, seq: u64, out: &mut Vec<u8>) {
    match event.topic.namespace().envelope() {
        Envelope::Watchlist => {
            let trade = TradeKind::of(&event.kind).expect("a wallet topic carries trades only");
            out.extend_from_slice(b"{\"type\":\"trade\"");
            append_seq(event, seq, out);
            out.extend_from_slice(b",\"data\":{");
            append_members(event, out);
            out.extend_from_slice(b",\"tradeType\":\"");
            out.extend_from_slice(trade.as_str().as_bytes());
            out.extend_from_slice(b"\"}}");
        }
        Envelope::Tiered => {
            out.extend_from_slice(b"{\"type\":\"alert\"");
            append_seq(event, seq, out);
            append_data(event, out);
        }
        Envelope::Channels => {
            out.extend_from_slice(b"{\"type\":");
            append_string(&event.kind, out);
            append_seq(event, seq, out);
            if event.data.len() > b"{}".len() {
                out.push(b',');
                append_members(event, out);
            }
            out.push(b'}');
        }
        Envelope::Rooms => {
            out.extend_from_slice(b"{\"type\":");
            append_string(&event.kind, out);
            out.extend_from_slice(b",\"channel\":");
            append_string(channel(event), out);
            append_seq(event, seq, out);
            append_data(event, out);
        }
    }
}

/// The `channel` of the rooms envelope: the publisher's, or the one that belongs to the type, or, for a type that the
/// protocol does not know, one that says where the event comes from.
fn channel(event: &Event) -> &str {
    event.channel.as_deref().unwrap_or(match &*event.kind {
        "market_data_update" => "market_data",
        "historical_data_update" => "historical_data",
        "price_alert" => "alerts",
        "margin_guard_execution" | "auto_close_execution" => "margin_guard",
        "position_status_update" => "positions",
        "in_app_notification" | "notification_status_update" => "notifications",
        "server_maintenance" | "service_status_update" => "system",
        _ => channel_of_namespace(&event.topic),
    })
}

/// The namespace's own name, but `market_data` for `market:`: the protocol has that channel already.
fn channel_of_namespace(topic: &Topic) -> &'static str {
    match topic.namespace() {
        Namespace::Market => "market_data",
        namespace => namespace.as_str(),
    }
}

/// `,"data":{…}}`, the end of a message.
fn append_data(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(&event.data);
    out.push(b'}');
}

/// The fields of `data` without the braces around them.
fn append_members(event: &Event, out: &mut Vec<u8>) {
    out.extend_from_slice(&event.data[1..event.data.len() - 1]);
}

/// `,"seq":N`, and what the publisher calls the event.
fn append_seq(event: &Event, seq: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"seq\":");
    out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
    if let Some(id) = &event.id {
        out.extend_from_slice(b",\"event_id\":");
        append_string(id, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::EventParser;
    use crate::limits::{EVENT_BYTES_MAX, EVENT_CHANNEL_BYTES_MAX, EVENT_ID_BYTES_MAX, EVENT_TYPE_BYTES_MAX};

    fn frame(text: &str, seq: u64) -> Vec<u8> {
        let event = EventParser::new().parse(text.as_bytes(), 1, None).unwrap();
        let mut out = b"what was there before".to_vec();
        append_frame(&event, seq, &mut out);
        out.split_off(b"what was there before".len())
    }

    #[track_caller]
    fn check(text: &str, seq: u64, header: &[u8], payload: &str) {
        let frame = frame(text, seq);
        assert_eq!(std::str::from_utf8(&frame[header.len()..]), Ok(payload));
        assert_eq!(&frame[..header.len()], header);
    }

    #[test]
    fn a_trade_gets_the_watchlist_envelope() {
        check(
            r#"{"type":"trade.open","data":{"owner":"DRVR","marketSymbol":"SOL-PERP","side":"long","sizeUsd":15000.50,
               "leverage":5.2,"entryPrice":185.42,"timestamp":"2025-01-15T10:30:00Z"}}"#,
            42,
            &[0x81, 126, 0, 196],
            concat!(
                r#"{"type":"trade","seq":42,"data":{"owner":"DRVR","marketSymbol":"SOL-PERP","side":"long","#,
                r#""sizeUsd":15000.5,"leverage":5.2,"entryPrice":185.42,"timestamp":"2025-01-15T10:30:00Z","tradeType":"open"}}"#
            ),
        );
    }

    #[test]
    fn an_alert_gets_the_tiered_envelope() {
        check(
            r#"{"type":"alert","data":{"id":2221,"usdc_value":2100.0}}"#,
            7,
            &[0x81, 61],
            r#"{"type":"alert","seq":7,"data":{"id":2221,"usdc_value":2100}}"#,
        );
    }

    #[test]
    fn channels_are_flat() {
        check(
            r#"{"type":"price_update","topic":"price:EPj","data":{"mint":"EPj","price":1.0001}}"#,
            u64::MAX,
            &[0x81, 78],
            r#"{"type":"price_update","seq":18446744073709551615,"mint":"EPj","price":1.0001}"#,
        );
        check(r#"{"type":"tick","topic":"bot:b","data":{}}"#, 1, &[0x81, 23], r#"{"type":"tick","seq":1}"#);
        check(
            r#"{"type":"tick","topic":"transactions:w","data":{"data":{"type":"x"}}}"#,
            1,
            &[0x81, 43],
            r#"{"type":"tick","seq":1,"data":{"type":"x"}}"#,
        );
    }

    #[test]
    fn rooms_name_their_channel() {
        for (kind, topic, given, channel) in [
            ("market_data_update", "market:BTC_USD", "", "market_data"),
            ("historical_data_update", "market:BTC_USD", "", "historical_data"),
            ("price_alert", "user:u", "", "alerts"),
            ("margin_guard_execution", "user:u", "", "margin_guard"),
            ("auto_close_execution", "user:u", "", "margin_guard"),
            ("position_status_update", "user:u", "", "positions"),
            ("in_app_notification", "user:u", "", "notifications"),
            ("notification_status_update", "user:u", "", "notifications"),
            ("server_maintenance", "system", "", "system"),
            ("service_status_update", "system", "", "system"),
            ("price_alert", "user:u", r#","channel":"mine""#, "mine"),
            ("funding", "market:BTC_USD", "", "market_data"),
            ("note", "user:u", "", "user"),
            ("note", "admin:2", "", "admin"),
            ("note", "system", "", "system"),
        ] {
            let frame = frame(&format!(r#"{{"type":"{kind}","topic":"{topic}","data":{{"a":1}}{given}}}"#), 9);
            let payload = format!(r#"{{"type":"{kind}","channel":"{channel}","seq":9,"data":{{"a":1}}}}"#);
            assert_eq!(frame, [&[0x81, payload.len() as u8], payload.as_bytes()].concat());
        }
    }

    #[test]
    fn a_publishers_id_follows_the_number_in_every_envelope() {
        for (event, payload) in [
            (
                r#"{"type":"trade.close","data":{"owner":"o","marketSymbol":"m","side":"long","sizeUsd":1,"leverage":1,"entryPrice":1,"timestamp":"2025-01-15T10:30:00Z"},"id":"t-1"}"#,
                r#"{"type":"trade","seq":9,"event_id":"t-1","data":{"owner":"o","marketSymbol":"m","side":"long","sizeUsd":1,"leverage":1,"entryPrice":1,"timestamp":"2025-01-15T10:30:00Z","tradeType":"close"}}"#,
            ),
            (
                r#"{"type":"alert","data":{"event_id":1},"id":"a\"\\b"}"#,
                r#"{"type":"alert","seq":9,"event_id":"a\"\\b","data":{"event_id":1}}"#,
            ),
            (
                r#"{"type":"tick","topic":"bot:b","data":{"a":1},"id":"é"}"#,
                r#"{"type":"tick","seq":9,"event_id":"é","a":1}"#,
            ),
            (r#"{"type":"tick","topic":"price:b","data":{},"id":"x"}"#, r#"{"type":"tick","seq":9,"event_id":"x"}"#),
            (
                r#"{"type":"note","topic":"user:u","data":{},"id":"x"}"#,
                r#"{"type":"note","channel":"user","seq":9,"event_id":"x","data":{}}"#,
            ),
        ] {
            let frame = frame(event, 9);
            let header = if frame[1] < 126 { 2 } else { 4 };
            assert_eq!(std::str::from_utf8(&frame[header..]), Ok(payload));
        }
    }

    #[test]
    fn the_header_grows_with_the_payload() {
        let around = r#"{"type":"alert","seq":1,"data":{"a":""}}"#.len();
        for (payload_len, header) in [
            (125, &[0x81, 125][..]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let filler = "x".repeat(payload_len - around);
            let payload = format!(r#"{{"type":"alert","seq":1,"data":{{"a":"{filler}"}}}}"#);
            check(&format!(r#"{{"type":"alert","data":{{"a":"{filler}"}}}}"#), 1, header, &payload);
        }
    }

    #[test]
    fn the_longest_event_stays_within_the_longest_frame() {
        let event = Event {
            kind: "t".repeat(EVENT_TYPE_BYTES_MAX).into(),
            topic: Topic::parse("system").unwrap(),
            data: format!(r#"{{"a":"{}"}}"#, "x".repeat(EVENT_BYTES_MAX - 8)).into_bytes().into(),
            channel: Some("c".repeat(EVENT_CHANNEL_BYTES_MAX).into()),
            key: None,
            id: Some("\"".repeat(EVENT_ID_BYTES_MAX).into()),
        };
        let mut out = Vec::new();
        append_frame(&event, u64::MAX, &mut out);
        assert!(out.len() <= FRAME_BYTES_MAX);
    }

    proptest! {
        /// Whatever `data` says, the payload is the envelope around that very value.
        #[test]
        fn payloads_are_json(key in "\\PC{0,8}", text in "\\PC{0,200}") {
            let data = serde_json::json!({ format!("x{key}"): text });
            for (topic, flat) in [("bot:b", true), ("user:u", false)] {
                let event = serde_json::json!({"type": "t", "topic": topic, "data": data}).to_string();
                let frame = frame(&event, 5);
                let header = if frame[1] < 126 { 2 } else { 4 };
                let payload: serde_json::Value = serde_json::from_slice(&frame[header..]).unwrap();
                prop_assert_eq!(&payload["seq"], 5);
                if flat {
                    prop_assert_eq!(&payload[format!("x{key}")], &data[format!("x{key}")]);
                } else {
                    prop_assert_eq!(&payload["data"], &data);
                }
            }
        }
    }
}
