//! WebSocket frames as a load-testing client needs them (RFC 6455 §5.2): finding the ends of a server's unmasked
//! frames, and building the small masked ones that answer.
//!
//! Bytes from the server never panic here, and no length that it names is allocated.

use crate::limits::FRAME_BYTES_MAX;

pub const OPCODE_CONTINUATION: u8 = 0x0;
pub const OPCODE_TEXT: u8 = 0x1;
pub const OPCODE_BINARY: u8 = 0x2;
pub const OPCODE_CLOSE: u8 = 0x8;
pub const OPCODE_PING: u8 = 0x9;
pub const OPCODE_PONG: u8 = 0xA;

/// Control frames carry at most this many payload bytes (RFC 6455 §5.5).
const CONTROL_PAYLOAD_MAX: usize = 125;

/// The mask is fixed: it guards proxies against scripts in browsers (RFC 6455 §10.3), and there is neither here.
const MASK: [u8; 4] = [0x5A, 0xC3, 0x96, 0x0F];

/// One whole frame at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub opcode: u8,
    pub payload: &'a [u8],
    /// Header and payload, as they stand in the buffer.
    pub whole: &'a [u8],
}

/// What a server must not send. The server is to blame; its stream can't be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameFault {
    #[error("the server masked a frame (RFC 6455 §5.1 forbids it)")]
    Masked,
    #[error("the server set reserved bits or an unknown opcode (first byte {0:#04x})")]
    Reserved(u8),
    #[error("the server announced a frame of {0} bytes, more than loadgen takes ({FRAME_BYTES_MAX})")]
    TooLong(u64),
    #[error("the server sent a control frame of {0} bytes or in fragments (RFC 6455 §5.5 forbids both)")]
    Control(u64),
}

/// The frame at the start of `bytes`; `None` where it is not complete yet.
pub fn first_frame(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameFault> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = first & 0x0F;
    if first & 0x70 != 0 || !matches!(opcode, 0x0..=0x2 | 0x8..=0xA) {
        return Err(FrameFault::Reserved(*first));
    }
    if second & 0x80 != 0 {
        return Err(FrameFault::Masked);
    }
    let (header, length) = match (second & 0x7F, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (126 | 127, _) => return Ok(None),
        (short, _) => (2, u64::from(short)),
    };
    if opcode >= OPCODE_CLOSE && (length > CONTROL_PAYLOAD_MAX as u64 || first & 0x80 == 0) {
        return Err(FrameFault::Control(length));
    }
    if length > FRAME_BYTES_MAX as u64 {
        return Err(FrameFault::TooLong(length));
    }
    let end = header + length as usize;
    Ok(bytes.get(..end).map(|whole| Frame { opcode, payload: &whole[header..], whole }))
}

/// A masked control frame of a client, at most 131 bytes.
pub fn client_control(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)];
    let mut frame = Vec::with_capacity(6 + payload.len());
    frame.extend([0x80 | opcode, 0x80 | payload.len() as u8]);
    append_masked(payload, &mut frame);
    frame
}

/// A client's whole text frame. At most 65,535 bytes of payload.
pub fn client_text(payload: &[u8]) -> Vec<u8> {
    client_frame(OPCODE_TEXT, payload)
}

/// A client's whole text or binary frame: masked, final. At most 65,535 bytes of payload.
pub fn client_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(8 + payload.len());
    frame.push(0x80 | opcode);
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        middle => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(middle).expect("clients say little").to_be_bytes());
        }
    }
    append_masked(payload, &mut frame);
    frame
}

fn append_masked(payload: &[u8], frame: &mut Vec<u8>) {
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A whole text frame of a server: unmasked, final.
pub fn server_text(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(10 + payload.len());
    frame.push(0x80 | OPCODE_TEXT);
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        middle @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_every_length_form_is_found_and_every_cut_of_it_is_incomplete() {
        for length in [0, 1, 125, 126, 300, 65_535, 65_536, 100_000] {
            let bytes = server_text(&vec![b'x'; length]);
            let frame = first_frame(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.payload.len(), frame.whole.len()), (OPCODE_TEXT, length, bytes.len()));
            for cut in (0..bytes.len().min(20)).chain([bytes.len() - 1]) {
                assert_eq!(first_frame(&bytes[..cut]), Ok(None), "{cut} of {length}");
            }
        }
    }

    #[test]
    fn only_the_first_of_several_frames_is_taken() {
        let mut bytes = server_text(b"one");
        bytes.extend(server_text(b"second"));
        assert_eq!(first_frame(&bytes).unwrap().unwrap().payload, b"one");
    }

    #[test]
    fn what_a_server_must_not_send_is_named() {
        assert_eq!(first_frame(&[0x81, 0x83, 0, 0]), Err(FrameFault::Masked));
        assert_eq!(first_frame(&[0xC1, 0x03]), Err(FrameFault::Reserved(0xC1)));
        assert_eq!(first_frame(&[0x83, 0x03]), Err(FrameFault::Reserved(0x83)));
        assert_eq!(first_frame(&[0x09, 0x00]), Err(FrameFault::Control(0)));
        assert_eq!(first_frame(&[0x89, 126, 0, 126]), Err(FrameFault::Control(126)));
        assert_eq!(
            first_frame(&[0x81, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
            Err(FrameFault::TooLong(u64::MAX))
        );
    }

    #[test]
    fn a_client_frame_unmasks_to_its_payload() {
        let frame = client_control(OPCODE_PONG, b"hello");
        assert_eq!(frame[..2], [0x8A, 0x85]);
        let unmasked: Vec<u8> =
            frame[6..].iter().zip(frame[2..6].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(unmasked, b"hello");
        assert_eq!(client_control(OPCODE_PONG, &[7; 400]).len(), 6 + 125);
        assert_eq!(client_text(b"ping")[..2], [0x81, 0x84]);
        assert_eq!(
            (client_text(&[b'x'; 300]).len(), client_text(&[b'x'; 300])[..4].to_vec()),
            (308, vec![0x81, 0xFE, 1, 44])
        );
    }
}
