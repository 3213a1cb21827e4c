//! What a server says to a socket besides events.

use serde::Deserialize;

/// One message.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Said {
    /// The server ends this session soon: come back so many milliseconds from now, behind that number.
    Reconnect {
        after_ms: u64,
        since: u64,
    },
    /// Of these numbers no event can be had any more.
    Gap {
        to: u64,
        reason: String,
    },
    /// Everything of the session's up to that number has been sent.
    Connected {
        seq: Option<u64>,
    },
    Pong {
        seq: Option<u64>,
    },
    #[serde(other)]
    Other,
}

impl Said {
    /// What can't be read is something else.
    pub fn of(message: &[u8]) -> Self {
        serde_json::from_slice(message).unwrap_or(Self::Other)
    }
}

/// The newest number when a session began, as the head of the answer to its upgrade tells.
pub fn seq_of_head(head: &[u8]) -> Option<u64> {
    let lines = std::str::from_utf8(head).ok()?.lines();
    let mut named = lines.filter_map(|line| line.split_once(':'));
    let (_, seq) = named.find(|(name, _)| name.eq_ignore_ascii_case("stentor-seq"))?;
    seq.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_understood_and_whatever_else_comes_is_something_else() {
        let of = |text: &str| Said::of(text.as_bytes());
        assert_eq!(
            of(r#"{"type":"reconnect","after_ms":1500,"since":41}"#),
            Said::Reconnect { after_ms: 1500, since: 41 }
        );
        assert_eq!(
            of(r#"{"type":"gap","from":4,"to":9,"reason":"crash"}"#),
            Said::Gap { to: 9, reason: "crash".into() }
        );
        assert_eq!(of(r#"{"type":"connected","tier":"pro","seq":7}"#), Said::Connected { seq: Some(7) });
        assert_eq!(of(r#"{"type":"pong"}"#), Said::Pong { seq: None });
        for other in ["", "pong", "[]", r#"{"type":"reconnect"}"#, r#"{"type":"reconnect","after_ms":-1,"since":1}"#] {
            assert_eq!(of(other), Said::Other, "{other}");
        }
        assert_eq!(of(&("[".repeat(100_000))), Said::Other);
    }

    #[test]
    fn the_head_tells_where_the_session_begins() {
        assert_eq!(seq_of_head(b"HTTP/1.1 101 Switching Protocols\r\nStentor-Seq: 41\r\n\r\n"), Some(41));
        assert_eq!(seq_of_head(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n"), None);
        assert_eq!(seq_of_head(b"HTTP/1.1 101 x\r\nstentor-seq: many\r\n\r\n"), None);
    }
}
