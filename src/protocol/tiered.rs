//! The tiered protocol: a greeting, alerts, and a `ping` that the client owes in every 30 seconds.

use serde_json::json;

use super::message::text_frame;
use crate::accounts::Tier;

/// The client's only message.
pub const PING: &str = "ping";

/// Whether a text message is the heartbeat. Clients that quote it or send it as JSON mean the same.
pub fn is_ping(text: &str) -> bool {
    matches!(text.trim(), PING | r#""ping""# | r#"{"type":"ping"}"# | r#"{"type": "ping"}"#)
}

/// The greeting, once, as soon as the session is open. Events after `seq` follow.
pub fn connected(tier: Tier, seq: u64) -> Box<[u8]> {
    text_frame(&json!({
        "type": "connected",
        "message": "Connected to Stentor's alert stream",
        "tier": tier.as_str(),
        "seq": seq,
    }))
}

pub fn pong(seq: u64) -> Box<[u8]> {
    text_frame(&json!({ "type": "pong", "seq": seq }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_ping_is_a_ping() {
        for text in ["ping", "ping\n", "\"ping\"", "{\"type\":\"ping\"}"] {
            assert!(is_ping(text), "{text}");
        }
        for text in ["", "pong", "pings", "PING", "{\"type\":\"pong\"}", "[\"ping\"]", "[{\"type\":\"ping\"}]"] {
            assert!(!is_ping(text), "{text}");
        }
    }

    #[test]
    fn the_greeting_names_the_tier() {
        let frame = connected(Tier::Pro, 7);
        let text = std::str::from_utf8(&frame[2..]).unwrap();
        assert_eq!(
            text,
            r#"{"type":"connected","message":"Connected to Stentor's alert stream","tier":"pro","seq":7}"#
        );
    }
}
