//! The codec against tungstenite as the peer, and against any bytes at all.

use std::io::{self, Cursor, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;
use tungstenite::protocol::frame::coding::{CloseCode as PeerCloseCode, Control, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame, FrameHeader};
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tungstenite::{Error, Message};

use super::test_drive::{Received, decode};
use super::{CloseCode, Opcode, append_frame, append_header, close_frame, frame_len_at};

const MESSAGE_BYTES_MAX: usize = 4096;

/// Some of a client's sending: a message in fragments with control frames between them.
#[derive(Clone, Debug)]
struct Sending {
    message: Received,
    /// Where the payload is cut, each modulo its length.
    cuts: Vec<usize>,
    /// Sent before the first fragment, the second, …
    controls: Vec<Received>,
    key: [u8; 4],
}

fn sending() -> impl Strategy<Value = Sending> {
    let message = prop_oneof![
        "\\PC{0,80}".prop_map(Received::Text),
        vec(any::<u8>(), 0..400).prop_map(Received::Binary),
        vec(any::<u8>(), 3000..4096).prop_map(Received::Binary),
    ];
    (message, vec(any::<usize>(), 0..4), vec(control(), 0..3), any::<[u8; 4]>())
        .prop_map(|(message, cuts, controls, key)| Sending { message, cuts, controls, key })
}

fn control() -> impl Strategy<Value = Received> {
    (any::<bool>(), vec(any::<u8>(), 0..=125)).prop_map(|(ping, payload)| match ping {
        true => Received::Ping(payload),
        false => Received::Pong(payload),
    })
}

impl Sending {
    /// Writes the frames as tungstenite formats them; tells what must come out, in order.
    fn write(&self, wire: &mut Vec<u8>, expected: &mut Vec<Received>) {
        let (first, payload) = match &self.message {
            Received::Text(text) => (Data::Text, text.as_bytes()),
            Received::Binary(bytes) => (Data::Binary, &bytes[..]),
            other => unreachable!("not a data message: {other:?}"),
        };
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut % (payload.len() + 1)).collect();
        cuts.extend([0, payload.len()]);
        cuts.sort_unstable();
        let mut controls = self.controls.iter();
        for (nth, ends) in cuts.windows(2).enumerate() {
            if let Some(control) = controls.next() {
                self.write_control(control, wire);
                expected.push(control.clone());
            }
            let opcode = OpCode::Data(if nth == 0 { first } else { Data::Continue });
            self.write_frame(opcode, nth + 2 == cuts.len(), &payload[ends[0]..ends[1]], wire);
        }
        expected.push(self.message.clone());
    }

    fn write_control(&self, control: &Received, wire: &mut Vec<u8>) {
        match control {
            Received::Ping(payload) => self.write_frame(OpCode::Control(Control::Ping), true, payload, wire),
            Received::Pong(payload) => self.write_frame(OpCode::Control(Control::Pong), true, payload, wire),
            other => unreachable!("not a control frame: {other:?}"),
        }
    }

    fn write_frame(&self, opcode: OpCode, is_final: bool, payload: &[u8], wire: &mut Vec<u8>) {
        let header = FrameHeader { is_final, opcode, mask: Some(self.key), ..FrameHeader::default() };
        Frame::from_payload(header, payload.to_vec().into()).format(wire).expect("a Vec takes everything");
    }
}

/// Reads from bytes; what tungstenite answers goes nowhere.
struct Wire(Cursor<Vec<u8>>);

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite in that role makes of the bytes, up to their end, an error or a close.
fn tungstenite_reads(wire: Vec<u8>, role: Role) -> Vec<Received> {
    let config = WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Wire(Cursor::new(wire)), role, Some(config));
    let mut items = vec![];
    loop {
        items.push(match socket.read() {
            Ok(Message::Text(text)) => Received::Text(text.to_string()),
            Ok(Message::Binary(bytes)) => Received::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Received::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Received::Pong(payload.to_vec()),
            Ok(Message::Close(told)) => {
                items.push(Received::Close(told.map(|told| (told.code.into(), told.reason.to_string()))));
                return items;
            }
            Ok(Message::Frame(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => return items,
            Err(_) => return items,
        });
    }
}

proptest! {
    #[test]
    fn what_tungstenite_sends_arrives_however_it_is_cut(
        sendings in vec(sending(), 1..6),
        sizes in vec(1usize..300, 1..50),
    ) {
        let (mut wire, mut expected) = (vec![], vec![]);
        sendings.iter().for_each(|sending| sending.write(&mut wire, &mut expected));
        for sizes in [&sizes[..], &[1], &[usize::MAX]] {
            let outcome = decode(&wire, sizes, MESSAGE_BYTES_MAX);
            prop_assert_eq!(outcome.error, None);
            prop_assert_eq!(&outcome.items, &expected);
        }
        prop_assert_eq!(tungstenite_reads(wire, Role::Server), expected);
    }

    #[test]
    fn damaged_bytes_are_judged_alike_however_they_are_cut_and_no_milder_than_tungstenite_does(
        sendings in vec(sending(), 1..4),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
        sizes in vec(1usize..100, 1..50),
    ) {
        let (mut wire, mut expected) = (vec![], vec![]);
        sendings.iter().for_each(|sending| sending.write(&mut wire, &mut expected));
        for (at, byte) in damage {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        let whole = decode(&wire, &[usize::MAX], MESSAGE_BYTES_MAX);
        for sizes in [&sizes[..], &[1]] {
            let outcome = decode(&wire, sizes, MESSAGE_BYTES_MAX);
            prop_assert_eq!(outcome.error, whole.error);
            prop_assert_eq!(&outcome.items, &whole.items);
        }
        let theirs = tungstenite_reads(wire, Role::Server);
        prop_assert!(theirs.starts_with(&whole.items), "we took {:?}, tungstenite {:?}", whole.items, theirs);
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_more_than_the_limit(
        wire in vec(any::<u8>(), 0..600),
        lawful_start in any::<bool>(),
        sizes in vec(1usize..40, 1..50),
    ) {
        // A first byte and a mask bit that pass, so that the rest is looked at, too.
        let mut wire = wire;
        if lawful_start && let [first, second, ..] = &mut wire[..] {
            *first = [0x01, 0x02, 0x81, 0x82, 0x88, 0x89, 0x8a][usize::from(*first) % 7];
            *second |= 0x80;
        }
        let whole = decode(&wire, &[usize::MAX], 100);
        let pieces = decode(&wire, &sizes, 100);
        prop_assert_eq!(whole.error, pieces.error);
        prop_assert_eq!(whole.items, pieces.items);
    }

    #[test]
    fn what_the_server_writes_is_read_by_tungstenite_and_walked_in_the_log(
        texts in vec("\\PC{0,200}", 0..8),
        bytes in vec(any::<u8>(), 0..1000),
        reason in "\\PC{0,200}",
    ) {
        let (mut log, mut expected, mut starts) = (vec![], vec![], vec![]);
        for text in texts {
            starts.push(log.len());
            append_frame(&mut log, Opcode::Text, text.as_bytes());
            expected.push(Received::Text(text));
        }
        for (opcode, fin) in [(Opcode::Binary, false), (Opcode::Continuation, true)] {
            starts.push(log.len());
            append_header(&mut log, opcode, fin, bytes.len());
            log.extend_from_slice(&bytes);
        }
        expected.push(Received::Binary([&bytes[..], &bytes].concat()));
        starts.push(log.len());
        append_frame(&mut log, Opcode::Ping, b"beat");
        expected.push(Received::Ping(b"beat".to_vec()));
        starts.push(log.len());
        log.extend(close_frame(CloseCode::SLOW_CONSUMER, &reason));

        let mut walked = vec![];
        let mut at = 0;
        while at < log.len() {
            walked.push(at);
            at += frame_len_at(&log[at..]).expect("a whole frame stands here");
        }
        prop_assert_eq!((walked, at), (starts, log.len()));

        let mut read = tungstenite_reads(log, Role::Client);
        let Some(Received::Close(Some((4409, told)))) = read.pop() else { panic!("no close 4409 in {read:?}") };
        prop_assert!(reason.starts_with(&told) && (told == reason || told.len() > 119));
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn a_close_of_tungstenite_arrives() {
    let mut frame = Frame::close(Some(CloseFrame { code: PeerCloseCode::Away, reason: "bye".into() }));
    frame.header_mut().mask = Some([1, 2, 3, 4]);
    let mut wire = vec![];
    frame.format(&mut wire).unwrap();
    let outcome = decode(&wire, &[1], MESSAGE_BYTES_MAX);
    assert_eq!(outcome.items, [Received::Close(Some((1001, "bye".into())))]);
}
