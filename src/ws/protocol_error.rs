//! What a peer can do wrong on an upgraded socket.

use super::close::{CloseCode, close_frame};

/// The peer broke RFC 6455 or the server's message limit; the connection must be closed with
/// [`close_code`](Self::close_code). The message is short and plain enough to be the close frame's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// §5.2: RSV1-3 must be 0 unless an extension gave them a meaning, and none was agreed on.
    #[error("a reserved bit is set, but no extension was agreed on in the handshake")]
    ReservedBit,
    /// §5.2: 3-7 and 11-15.
    #[error("opcode {0} is reserved: send 0, 1, 2, 8, 9 or 10")]
    ReservedOpcode(u8),
    /// §5.1
    #[error("the frame is not masked: a client must mask every frame")]
    Unmasked,
    /// §5.5
    #[error("a control frame is fragmented: send it in one frame")]
    FragmentedControl,
    /// §5.5
    #[error("a control frame carries more than 125 bytes")]
    ControlTooLong,
    /// §5.2: "the minimal number of bytes MUST be used to encode the length".
    #[error("the payload length is written in more bytes than it needs")]
    NonMinimalLength,
    /// §5.2: "the most significant bit MUST be 0".
    #[error("the top bit of the 64-bit payload length is set")]
    LengthTopBit,
    /// §5.4
    #[error("a continuation frame came without a message to continue")]
    UnexpectedContinuation,
    /// §5.4
    #[error("a new message began before the fragmented one was finished")]
    ExpectedContinuation,
    /// §5.5.1: a close payload is empty or starts with two bytes of code.
    #[error("the close frame's payload is one byte: send a two-byte code or nothing")]
    TruncatedCloseCode,
    /// §7.4
    #[error("close code {0} may not be sent: use 1000, or 3000 to 4999")]
    ForbiddenCloseCode(u16),
    /// §8.1; also for a close frame's reason (§5.5.1).
    #[error("text is not valid UTF-8")]
    InvalidUtf8,
    /// The server's limit in bytes of payload, summed over a message's fragments.
    #[error("the message is longer than the limit of {message_bytes_max} bytes")]
    MessageTooBig { message_bytes_max: usize },
}

impl ProtocolError {
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 => CloseCode::INVALID_PAYLOAD,
            Self::MessageTooBig { .. } => CloseCode::MESSAGE_TOO_BIG,
            Self::ReservedBit
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::NonMinimalLength
            | Self::LengthTopBit
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::TruncatedCloseCode
            | Self::ForbiddenCloseCode(_) => CloseCode::PROTOCOL_ERROR,
        }
    }

    /// The close frame that tells the peer, ready to send.
    pub fn close_frame(self) -> Vec<u8> {
        close_frame(self.close_code(), &self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::close::CLOSE_REASON_BYTES_MAX;
    use super::*;

    #[test]
    fn every_message_fits_a_close_frame_uncut() {
        use ProtocolError::*;
        for error in [
            ReservedBit,
            ReservedOpcode(15),
            Unmasked,
            FragmentedControl,
            ControlTooLong,
            NonMinimalLength,
            LengthTopBit,
            UnexpectedContinuation,
            ExpectedContinuation,
            TruncatedCloseCode,
            ForbiddenCloseCode(u16::MAX),
            InvalidUtf8,
            MessageTooBig { message_bytes_max: usize::MAX },
        ] {
            let text = error.to_string();
            assert!(text.len() <= CLOSE_REASON_BYTES_MAX, "{text}");
            assert_eq!(&error.close_frame()[4..], text.as_bytes());
        }
    }
}
