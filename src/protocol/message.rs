//! What the server says on a socket beside events: JSON text frames, and the errors that clients show.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::{Value, json};

use crate::journal::Gap;
use crate::limits::SOCKET_ERROR_BYTES_MAX;
use crate::ws::{Opcode, append_frame};

/// Unix time in milliseconds.
pub type UnixMs = u64;

/// A whole text frame, ready to send.
pub fn text_frame(message: &Value) -> Box<[u8]> {
    let mut frame = Vec::new();
    append_frame(&mut frame, Opcode::Text, message.to_string().as_bytes());
    frame.into()
}

/// Reads a client's message, which is an object; `example` is one.
pub(super) fn read<'t, T: Deserialize<'t>>(text: &'t str, example: &str) -> Result<T, SocketError> {
    let refused =
        |why: &dyn fmt::Display| SocketError::invalid(format!("a message is a JSON object such as {example}: {why}"));
    // Serde would take an array for an object, by the order of its fields.
    if text.trim_ascii_start().starts_with('[') {
        return Err(refused(&"it is an array"));
    }
    serde_json::from_str(text).map_err(|error| refused(&error))
}

/// The word by which a program tells a socket's errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    AuthenticationFailed,
    RateLimitExceeded,
    InvalidRoom,
    Forbidden,
    InvalidMessage,
    MessageTooLarge,
    /// Its client takes bytes too slowly.
    SlowConsumer,
    /// The server can't go on with it.
    InternalError,
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "AUTHENTICATION_FAILED",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::InvalidRoom => "INVALID_ROOM",
            Self::Forbidden => "FORBIDDEN",
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::SlowConsumer => "SLOW_CONSUMER",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}

/// Something that a client did wrong, as it is told. The session goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SocketError {
    pub code: ErrorCode,
    pub message: String,
}

impl SocketError {
    /// A message that is too long, because it repeats what the client sent, is cut.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > SOCKET_ERROR_BYTES_MAX {
            let fits = (0..=SOCKET_ERROR_BYTES_MAX).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
            message.truncate(fits);
            message.push('…');
        }
        Self { code, message }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidMessage, message)
    }

    pub fn authentication(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::AuthenticationFailed, message)
    }

    pub fn frame(&self) -> Box<[u8]> {
        text_frame(&self.json())
    }

    /// The same message without a frame around it, for other envelopes.
    pub fn json(&self) -> Value {
        json!({ "type": "error", "code": self.code.as_str(), "message": self.message })
    }
}

/// RFC 3339, as JavaScript's `Date` writes it: `2025-01-06T10:30:00.000Z`.
pub fn rfc3339(time: UnixMs) -> String {
    let timestamp = i64::try_from(time).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", timestamp.unwrap_or(jiff::Timestamp::MAX))
}

/// Tells numbers that hold no event for this client any more, as a frame.
pub fn gap(gap: &Gap) -> Box<[u8]> {
    let mut frame = Vec::new();
    append_frame(&mut frame, Opcode::Text, gap_json(gap).as_bytes());
    frame.into()
}

/// The same message without a frame around it, for other envelopes.
pub fn gap_json(gap: &Gap) -> String {
    json!({ "type": "gap", "from": gap.from, "to": gap.to, "reason": gap.reason.as_str() }).to_string()
}

/// What a client is told before the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// How long after this message it is to come back.
    pub after_ms: u64,
    /// The number from which on a resume brings whatever it was not sent; what it is still sent moves its cursor further.
    pub since: u64,
    /// How long after the connection's end: for clients that count from there.
    pub away_ms: u64,
}

/// Tells a client to come back, as a frame.
pub fn reconnect(told: &Reconnect) -> Box<[u8]> {
    let mut frame = Vec::new();
    append_frame(&mut frame, Opcode::Text, reconnect_json(told).as_bytes());
    frame.into()
}

/// The same message without a frame around it, for other envelopes.
pub fn reconnect_json(told: &Reconnect) -> String {
    json!({ "type": "reconnect", "after_ms": told.after_ms, "since": told.since }).to_string()
}

/// The payload of a whole frame that the server made.
pub fn payload(frame: &[u8]) -> &[u8] {
    let header_bytes = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    &frame[header_bytes..]
}

/// `since` of a message: the number after which a client wants events. Anything but a whole number from 0 on is refused, as
/// it would resume at another place than the client believes. Whether it lies in the future is for the session to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(pub u64);

impl<'de> Deserialize<'de> for Since {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WholeNumber;

        impl Visitor<'_> for WholeNumber {
            type Value = Since;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`since` to be the number of an event, or 0 for all that is kept")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Since, E> {
                Ok(Since(number))
            }
        }

        deserializer.deserialize_u64(WholeNumber)
    }
}

/// The answer to a JSON `ping`.
pub fn pong(now: UnixMs, seq: u64) -> Box<[u8]> {
    text_frame(&json!({ "type": "pong", "timestamp": rfc3339(now), "seq": seq }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::GapReason;

    #[test]
    fn a_gap_tells_its_first_and_last_number_and_why() {
        for (reason, word) in
            [(GapReason::Retention, "retention"), (GapReason::Crash, "crash"), (GapReason::Latest, "latest")]
        {
            let told = Gap { from: 3, to: 9, reason };
            let json = format!(r#"{{"type":"gap","from":3,"to":9,"reason":"{word}"}}"#);
            assert_eq!(gap_json(&told), json);
            assert_eq!(*gap(&told), [&[0x81, json.len() as u8], json.as_bytes()].concat());
        }
    }

    #[test]
    fn a_payload_is_what_stands_behind_a_header_of_any_length() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let mut frame = Vec::new();
            append_frame(&mut frame, Opcode::Text, &vec![b'x'; len]);
            assert_eq!(payload(&frame), vec![b'x'; len], "{len}");
        }
    }

    #[test]
    fn since_is_a_whole_number_and_nothing_like_it() {
        let since = |text: &str| serde_json::from_str::<Option<Since>>(text);
        for (text, number) in [("0", Some(0)), ("18446744073709551615", Some(u64::MAX)), ("null", None)] {
            assert_eq!(since(text).expect(text), number.map(Since), "{text}");
        }
        for wrong in ["-1", "1.0", "1.5", "1e3", "-0", "\"7\"", "true", "[7]", "{}", "18446744073709551616"] {
            let error = since(wrong).expect_err(wrong).to_string();
            assert!(error.contains("`since`"), "{wrong}: {error}");
        }
    }

    #[test]
    fn an_error_is_a_whole_frame_of_json() {
        let frame = SocketError::new(ErrorCode::InvalidRoom, "no \"such\" room").frame();
        let payload = r#"{"type":"error","code":"INVALID_ROOM","message":"no \"such\" room"}"#;
        assert_eq!(*frame, [&[0x81, payload.len() as u8], payload.as_bytes()].concat());
    }

    #[test]
    fn an_error_that_repeats_the_clients_text_is_cut_between_characters() {
        for text in ["x".repeat(100_000), "é".repeat(50_000), "x".to_owned() + &"é".repeat(50_000)] {
            let SocketError { message, .. } = SocketError::invalid(text.clone());
            let kept = message.strip_suffix('…').expect("cut");
            assert!(
                text.starts_with(kept) && (SOCKET_ERROR_BYTES_MAX - 1..=SOCKET_ERROR_BYTES_MAX).contains(&kept.len())
            );
        }
        let fits = "x".repeat(SOCKET_ERROR_BYTES_MAX);
        assert_eq!(SocketError::invalid(fits.clone()).message, fits);
    }

    #[test]
    fn times_have_milliseconds_and_end_in_z() {
        assert_eq!(rfc3339(1_736_159_400_000), "2025-01-06T10:30:00.000Z");
        assert_eq!(rfc3339(1_736_159_400_007), "2025-01-06T10:30:00.007Z");
        assert!(rfc3339(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn a_pong_tells_the_time() {
        let frame = pong(1_705_314_600_000, 3);
        assert_eq!(&frame[2..], br#"{"type":"pong","timestamp":"2024-01-15T10:30:00.000Z","seq":3}"#);
    }
}
