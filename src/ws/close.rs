//! Close codes (RFC 6455 §7.4) and close frames (§5.5.1).

use super::ProtocolError;
use super::frame::{CONTROL_PAYLOAD_BYTES_MAX, Opcode, append_frame};

/// What a close frame's reason can hold: a control frame's payload less the two bytes of code.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_PAYLOAD_BYTES_MAX - 2;

/// A close code that may stand in a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the page was left.
    pub const GOING_AWAY: Self = Self(1001);
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that this endpoint doesn't take, such as binary.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Data that doesn't fit its kind: text that isn't UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    pub const POLICY_VIOLATION: Self = Self(1008);
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The server restarts: a drain. Reconnect after a random delay.
    pub const SERVICE_RESTART: Self = Self(1012);
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// Stentor: authentication failed, was revoked, or did not come in time.
    pub const AUTHENTICATION: Self = Self(4401);
    /// Stentor: the account's tier does not include this endpoint.
    pub const TIER: Self = Self(4403);
    /// Stentor: the peer's sign of life did not come in time.
    pub const HEARTBEAT: Self = Self(4408);
    /// Stentor: the peer read too slowly for the endpoint's policy.
    pub const SLOW_CONSUMER: Self = Self(4409);
    /// Stentor: too many messages or connections.
    pub const RATE_ABUSE: Self = Self(4429);

    /// A code from a peer's close frame. 1000-1015 are the protocol's own, of which 1004 is undefined, and 1005, 1006
    /// and 1015 only name what happened without a frame; 1014 and what else is defined there came by the IANA
    /// registry. 1016-2999 are reserved, 3000-3999 are for frameworks and 4000-4999 for anyone (§7.4.2).
    pub fn from_peer(code: u16) -> Result<Self, ProtocolError> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(ProtocolError::ForbiddenCloseCode(code)),
        }
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

/// Reads a close frame's unmasked payload: nothing, or a code and a reason.
pub fn parse_close(payload: &[u8]) -> Result<Option<(CloseCode, &str)>, ProtocolError> {
    match payload {
        [] => Ok(None),
        [_] => Err(ProtocolError::TruncatedCloseCode),
        [high, low, reason @ ..] => {
            let code = CloseCode::from_peer(u16::from_be_bytes([*high, *low]))?;
            let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
            Ok(Some((code, reason)))
        }
    }
}

/// A close frame, ready to send. A reason longer than [`CLOSE_REASON_BYTES_MAX`] is cut before the character that
/// doesn't fit.
pub fn close_frame(code: CloseCode, reason: &str) -> Vec<u8> {
    let mut fits = reason.len().min(CLOSE_REASON_BYTES_MAX);
    while !reason.is_char_boundary(fits) {
        fits -= 1;
    }
    let mut payload = Vec::with_capacity(2 + fits);
    payload.extend_from_slice(&code.get().to_be_bytes());
    payload.extend_from_slice(&reason.as_bytes()[..fits]);
    let mut frame = Vec::with_capacity(2 + payload.len());
    append_frame(&mut frame, Opcode::Close, &payload);
    frame
}

/// The answer to a peer's close frame: its own code comes back, and an empty one is answered empty (§5.5.1).
pub fn close_reply(received: Option<CloseCode>) -> Vec<u8> {
    match received {
        Some(code) => close_frame(code, ""),
        None => {
            let mut frame = Vec::with_capacity(2);
            append_frame(&mut frame, Opcode::Close, &[]);
            frame
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_send_the_defined_registered_and_private_codes_only() {
        let allowed = |code: u16| CloseCode::from_peer(code).is_ok();
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(allowed(code), "{code}");
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            assert_eq!(CloseCode::from_peer(code), Err(ProtocolError::ForbiddenCloseCode(code)));
        }
    }

    #[test]
    fn a_close_payload_is_empty_or_a_code_with_a_reason() {
        assert_eq!(parse_close(b""), Ok(None));
        assert_eq!(parse_close(b"\x03"), Err(ProtocolError::TruncatedCloseCode));
        assert_eq!(parse_close(b"\x03\xe8"), Ok(Some((CloseCode::NORMAL, ""))));
        assert_eq!(parse_close("\u{3}\u{7f}bye".as_bytes()), Err(ProtocolError::ForbiddenCloseCode(895)));
        assert_eq!(parse_close(b"\x03\xe8\xc3\xa9"), Ok(Some((CloseCode::NORMAL, "é"))));
        assert_eq!(parse_close(b"\x03\xe8\xc3"), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn a_reason_that_does_not_fit_is_cut_before_a_whole_character() {
        let frame = close_frame(CloseCode::TIER, "upgrade your plan");
        assert_eq!(frame, b"\x88\x13\x11\x33upgrade your plan");
        for (reason, kept) in [
            ("a".repeat(123), 123),
            ("a".repeat(124), 123),
            ("é".repeat(62), 122),
            ("😀".repeat(40), 120),
            ("a".repeat(122) + "é", 122),
        ] {
            let frame = close_frame(CloseCode::NORMAL, &reason);
            assert_eq!(frame.len(), 4 + kept);
            assert_eq!(parse_close(&frame[2..]), Ok(Some((CloseCode::NORMAL, &reason[..kept]))));
        }
    }

    #[test]
    fn a_close_is_answered_with_its_own_code() {
        assert_eq!(close_reply(None), b"\x88\x00");
        assert_eq!(close_reply(Some(CloseCode::GOING_AWAY)), b"\x88\x02\x03\xe9");
    }
}
