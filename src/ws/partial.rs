//! What a decoder holds between two reads while something is incomplete: a header, a frame or a fragmented message.

use super::ProtocolError;
use super::frame::{CLIENT_HEADER_BYTES_MAX, CONTROL_PAYLOAD_BYTES_MAX, ClientHeader, Opcode};
use super::mask::Mask;
use super::utf8::Utf8Carry;

/// What a partial takes beside the message's payload, which the message limit bounds: itself and one control payload.
pub const PARTIAL_OVERHEAD_BYTES_MAX: usize = size_of::<Partial>() + CONTROL_PAYLOAD_BYTES_MAX;

#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) header: PartialHeader,
    /// The frame whose header is read and whose payload has not all come.
    pub(super) frame: Option<OpenFrame>,
    /// The data message whose end has not come.
    pub(super) message: Option<Message>,
    /// The arrived payload of an incomplete control frame, kept apart because it may come inside a message (§5.4).
    pub(super) control: Vec<u8>,
}

impl Partial {
    /// Whether nothing is incomplete any more, so that the box can go.
    pub(super) fn is_empty(&self) -> bool {
        self.header.len == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(super) fn append_control(&mut self, piece: &[u8]) {
        let more = growth(self.control.len(), self.control.capacity(), piece.len(), CONTROL_PAYLOAD_BYTES_MAX);
        self.control.reserve_exact(more);
        self.control.extend_from_slice(piece);
    }

    /// Heap bytes, the partial's own included.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.control.capacity() + self.message.as_ref().map_or(0, Message::capacity)
    }
}

/// The first bytes of a header whose end has not come.
#[derive(Debug, Default)]
pub(super) struct PartialHeader {
    bytes: [u8; CLIENT_HEADER_BYTES_MAX],
    len: u8,
}

impl PartialHeader {
    /// Takes bytes from the front of `bytes` until the header is complete. Returns it, and how many were taken.
    pub(super) fn complete(&mut self, bytes: &[u8]) -> Result<(Option<ClientHeader>, usize), ProtocolError> {
        for (at, byte) in bytes.iter().enumerate() {
            // One byte at a time, so that no byte of the payload is taken; a lawful header is complete with its 14th.
            self.bytes[usize::from(self.len)] = *byte;
            self.len += 1;
            if let Some(header) = ClientHeader::parse(&self.bytes[..usize::from(self.len)])? {
                self.len = 0;
                return Ok((Some(header), at + 1));
            }
        }
        Ok((None, bytes.len()))
    }
}

/// A frame whose payload is arriving.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenFrame {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// Payload bytes still to come. Checked against the limits, but announced: nothing is to be allocated by it.
    pub(super) remaining_bytes: usize,
    pub(super) mask: Mask,
}

/// The payload of a data message as far as it came, unmasked, over all its fragments.
#[derive(Debug)]
pub(super) enum Message {
    /// Text is checked as it comes, so the finished message is a string without a second look.
    Text {
        text: String,
        carry: Utf8Carry,
    },
    Binary(Vec<u8>),
}

impl Message {
    /// A message that starts with a frame of this opcode.
    pub(super) fn new(opcode: Opcode) -> Self {
        match opcode {
            Opcode::Text => Self::Text { text: String::new(), carry: Utf8Carry::default() },
            Opcode::Binary => Self::Binary(Vec::new()),
            other => unreachable!("a message never starts with {other:?}: the header was checked"),
        }
    }

    /// Payload bytes that came.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text { text, carry } => text.len() + carry.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    pub(super) fn append(&mut self, piece: &[u8], message_bytes_max: usize) -> Result<(), ProtocolError> {
        let len = self.len();
        match self {
            Self::Text { text, carry } => {
                // `len` counts the carried bytes too, which move into the text with the character they belong to.
                let more = growth(len, text.capacity(), piece.len(), message_bytes_max);
                text.reserve_exact(more + carry.len());
                carry.append(piece, text)
            }
            Self::Binary(bytes) => {
                bytes.reserve_exact(growth(len, bytes.capacity(), piece.len(), message_bytes_max));
                bytes.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn capacity(&self) -> usize {
        match self {
            Self::Text { text, .. } => text.capacity(),
            Self::Binary(bytes) => bytes.capacity(),
        }
    }
}

/// How much more than `len` to reserve, so that `arrived` bytes fit: capacity doubles, which keeps the copying
/// linear, but never past `max`, where the standard library's own growth would end up to twice as high.
fn growth(len: usize, capacity: usize, arrived: usize, max: usize) -> usize {
    let needed = len + arrived;
    if needed <= capacity { 0 } else { needed.max(capacity.saturating_mul(2).min(max)) - len }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_doubles_up_to_the_limit_and_never_past_it() {
        let (mut message, mut reallocations) = (Message::new(Opcode::Binary), 0);
        for _ in 0..1000 {
            let before = message.capacity();
            message.append(b"x", 1000).unwrap();
            reallocations += usize::from(message.capacity() != before);
        }
        assert_eq!((message.len(), message.capacity(), reallocations), (1000, 1000, 11));
    }

    #[test]
    fn text_of_long_characters_stays_inside_the_limit_too() {
        let mut message = Message::new(Opcode::Text);
        let text = "😀".repeat(250);
        for byte in text.as_bytes().chunks(1) {
            message.append(byte, 1000).unwrap();
        }
        assert_eq!((message.len(), message.capacity()), (1000, 1000));
    }
}
