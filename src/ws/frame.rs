//! Frames (RFC 6455 §5.2): writing the server's, finding their ends in a log, and reading a client's header.
//!
//! ```text
//!   byte 0: FIN RSV1-3 opcode(4)    byte 1: MASK length(7)    [ 126: u16 | 127: u64 ]    [ MASK: key, 4 bytes ]
//! ```
//!
//! tungstenite's `FrameHeader` formats the same bytes, but parses only whole headers and lets non-minimal lengths pass;
//! this reader refuses a header at its first bad byte. The tests hold both to the same bytes.

use super::ProtocolError;
use super::mask::Mask;

/// What a control frame may carry (RFC 6455 §5.5).
pub const CONTROL_PAYLOAD_BYTES_MAX: usize = 125;

/// A server frame's longest header: two bytes and a 64-bit length. [`frame_len_at`] needs no more than these.
pub const SERVER_HEADER_BYTES_MAX: usize = 10;

/// A client frame's longest header: the server's and the masking key.
pub const CLIENT_HEADER_BYTES_MAX: usize = SERVER_HEADER_BYTES_MAX + 4;

const FIN: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const MASKED: u8 = 0x80;
/// Length bytes that announce a longer form.
const LENGTH_U16: u8 = 126;
const LENGTH_U64: u8 = 127;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }

    fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        match bits {
            0x0 => Ok(Self::Continuation),
            0x1 => Ok(Self::Text),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xa => Ok(Self::Pong),
            reserved => Err(ProtocolError::ReservedOpcode(reserved)),
        }
    }
}

/// Appends the header of an unmasked frame with `payload_len` bytes of payload to come.
pub fn append_header(out: &mut Vec<u8>, opcode: Opcode, fin: bool, payload_len: usize) {
    append_header_masked(out, opcode, fin, payload_len, 0);
}

/// Appends a whole unmasked, unfragmented frame.
pub fn append_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    append_header(out, opcode, true, payload.len());
    out.extend_from_slice(payload);
}

/// Header and payload length of the unmasked frame that starts at `bytes[0]`, summed: where the next frame starts.
/// Looks at [`SERVER_HEADER_BYTES_MAX`] bytes at most; `None` where `bytes` end inside the header.
///
/// For bytes that this module wrote. A length that no memory could hold saturates.
pub fn frame_len_at(bytes: &[u8]) -> Option<usize> {
    debug_assert!(bytes.get(1).is_none_or(|second| second & MASKED == 0), "a server's frames are not masked");
    match *bytes.get(1)? {
        LENGTH_U16 => Some(4 + usize::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
        LENGTH_U64 => {
            let payload_len = u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            Some(usize::try_from(payload_len).unwrap_or(usize::MAX).saturating_add(10))
        }
        payload_len => Some(2 + usize::from(payload_len)),
    }
}

/// `mask_bit` is [`MASKED`] where a client's key follows, else 0.
fn append_header_masked(out: &mut Vec<u8>, opcode: Opcode, fin: bool, payload_len: usize, mask_bit: u8) {
    debug_assert!(!opcode.is_control() || (fin && payload_len <= CONTROL_PAYLOAD_BYTES_MAX));
    let first = opcode as u8 | if fin { FIN } else { 0 };
    if payload_len < usize::from(LENGTH_U16) {
        out.extend_from_slice(&[first, payload_len as u8 | mask_bit]);
    } else if let Ok(short) = u16::try_from(payload_len) {
        let [a, b] = short.to_be_bytes();
        out.extend_from_slice(&[first, LENGTH_U16 | mask_bit, a, b]);
    } else {
        out.extend_from_slice(&[first, LENGTH_U64 | mask_bit]);
        out.extend_from_slice(&(payload_len as u64).to_be_bytes());
    }
}

/// Appends a client's frame (§5.3): the header with the key in it, and the payload masked by that key.
pub(super) fn append_masked_frame(out: &mut Vec<u8>, opcode: Opcode, fin: bool, payload: &[u8], key: [u8; 4]) {
    append_header_masked(out, opcode, fin, payload.len(), MASKED);
    out.extend_from_slice(&key);
    let payload_at = out.len();
    out.extend_from_slice(payload);
    Mask::new(key).apply(&mut out[payload_at..]);
}

/// The header of a frame from a client, found lawful in itself. Whether it fits the frames before it is the decoder's
/// to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientHeader {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// As announced by the peer: nothing is to be allocated by it.
    pub(super) payload_len: u64,
    pub(super) mask: Mask,
    /// Bytes that the header itself takes, at most [`CLIENT_HEADER_BYTES_MAX`].
    pub(super) header_len: usize,
}

impl ClientHeader {
    /// Reads the header that starts at `bytes[0]`; `None` where it is incomplete and nothing is wrong with it yet.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, ProtocolError> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if first & RESERVED_BITS != 0 {
            return Err(ProtocolError::ReservedBit);
        }
        let opcode = Opcode::from_bits(first & 0x0f)?;
        let fin = first & FIN != 0;
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }

        let Some(&second) = bytes.get(1) else { return Ok(None) };
        if second & MASKED == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let short_len = second & !MASKED;
        if opcode.is_control() && usize::from(short_len) > CONTROL_PAYLOAD_BYTES_MAX {
            return Err(ProtocolError::ControlTooLong);
        }

        let Some((payload_len, key_at)) = parse_length(short_len, &bytes[2..])? else { return Ok(None) };
        let Some(key) = bytes[2 + key_at..].first_chunk() else { return Ok(None) };
        Ok(Some(Self { opcode, fin, payload_len, mask: Mask::new(*key), header_len: 2 + key_at + key.len() }))
    }
}

/// The payload length, and how many of the bytes after the second it took.
fn parse_length(short_len: u8, after: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    match short_len {
        LENGTH_U16 => match after.first_chunk() {
            None => Ok(None),
            Some(bytes) => match u16::from_be_bytes(*bytes) {
                0..126 => Err(ProtocolError::NonMinimalLength),
                len => Ok(Some((u64::from(len), 2))),
            },
        },
        LENGTH_U64 => match after.first_chunk() {
            None if after.first().is_some_and(|top| top & 0x80 != 0) => Err(ProtocolError::LengthTopBit),
            None => Ok(None),
            Some(bytes) => match u64::from_be_bytes(*bytes) {
                0..=0xffff => Err(ProtocolError::NonMinimalLength),
                len if len >> 63 != 0 => Err(ProtocolError::LengthTopBit),
                len => Ok(Some((len, 8))),
            },
        },
        len => Ok(Some((u64::from(len), 0))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::OpCode;

    use super::*;

    const OPCODES: [Opcode; 6] =
        [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Close, Opcode::Ping, Opcode::Pong];
    const LENGTHS: [usize; 12] = [0, 1, 124, 125, 126, 127, 128, 65_534, 65_535, 65_536, 65_537, u32::MAX as usize + 1];

    /// Every shape of header that may lawfully be sent.
    fn shapes() -> impl Iterator<Item = (Opcode, bool, usize)> {
        OPCODES
            .into_iter()
            .flat_map(|opcode| [true, false].map(|fin| (opcode, fin)))
            .flat_map(|(opcode, fin)| LENGTHS.map(|len| (opcode, fin, len)))
            .filter(|&(opcode, fin, len)| !opcode.is_control() || (fin && len <= CONTROL_PAYLOAD_BYTES_MAX))
    }

    fn of_tungstenite(opcode: Opcode, fin: bool, mask: Option<[u8; 4]>) -> FrameHeader {
        FrameHeader { is_final: fin, opcode: OpCode::from(opcode as u8), mask, ..FrameHeader::default() }
    }

    #[test]
    fn headers_are_written_as_tungstenite_writes_them() {
        for (opcode, fin, len) in shapes() {
            let (mut ours, mut theirs) = (vec![], vec![]);
            append_header(&mut ours, opcode, fin, len);
            of_tungstenite(opcode, fin, None).format(len as u64, &mut theirs).unwrap();
            assert_eq!(ours, theirs, "{opcode:?} {fin} {len}");
            let (header, read_len) = FrameHeader::parse(&mut Cursor::new(&ours)).unwrap().unwrap();
            assert_eq!((header, read_len), (of_tungstenite(opcode, fin, None), len as u64));
        }
    }

    #[test]
    fn client_headers_are_read_as_tungstenite_writes_them_and_only_when_complete() {
        let key = [1, 2, 3, 4];
        for (opcode, fin, len) in shapes() {
            let mut bytes = vec![];
            of_tungstenite(opcode, fin, Some(key)).format(len as u64, &mut bytes).unwrap();
            let header_len = bytes.len();
            assert!(header_len <= CLIENT_HEADER_BYTES_MAX);
            for cut in 0..header_len {
                assert_eq!(ClientHeader::parse(&bytes[..cut]), Ok(None), "{opcode:?} {fin} {len} cut at {cut}");
            }
            bytes.extend_from_slice(b"payload");
            let expected = ClientHeader { opcode, fin, payload_len: len as u64, mask: Mask::new(key), header_len };
            assert_eq!(ClientHeader::parse(&bytes), Ok(Some(expected)));
        }
    }

    #[test]
    fn masked_frames_are_written_as_tungstenite_writes_them() {
        use tungstenite::protocol::frame::Frame;
        let key = [0xa5, 0, 0xff, 0x11];
        for len in [0, 5, 125, 126, 65_536] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let (mut ours, mut theirs) = (vec![], vec![]);
            append_masked_frame(&mut ours, Opcode::Binary, false, &payload, key);
            let header = of_tungstenite(Opcode::Binary, false, Some(key));
            Frame::from_payload(header, payload.into()).format(&mut theirs).unwrap();
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn a_log_of_frames_is_walked_from_the_first_ten_bytes_of_each() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
            let mut log = vec![];
            append_frame(&mut log, Opcode::Text, &vec![b'x'; len]);
            let end = log.len();
            append_frame(&mut log, Opcode::Text, b"next");
            assert_eq!(frame_len_at(&log), Some(end));
            assert_eq!(frame_len_at(&log[..SERVER_HEADER_BYTES_MAX.min(log.len())]), Some(end));
            let header_len = end - len;
            assert!((0..header_len).all(|cut| frame_len_at(&log[..cut]).is_none()));
        }
        assert_eq!(frame_len_at(b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff"), Some(usize::MAX));
    }
}
