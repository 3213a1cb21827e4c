//! Feeds a decoder for the tests, in pieces of any sizes, and holds it to its promises on the way.

use std::ops::ControlFlow;

use super::{Decoder, Incoming, PARTIAL_OVERHEAD_BYTES_MAX, ProtocolError};

/// An [`Incoming`] that outlives its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Incoming<'_>> for Received {
    fn from(item: Incoming<'_>) -> Self {
        match item {
            Incoming::Text(text) => Self::Text(text.to_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.to_owned()),
            Incoming::Ping(payload) => Self::Ping(payload.to_owned()),
            Incoming::Pong(payload) => Self::Pong(payload.to_owned()),
            Incoming::Close(told) => Self::Close(told.map(|(code, reason)| (code.get(), reason.to_owned()))),
        }
    }
}

/// What a decoder made of a wire's bytes.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) items: Vec<Received>,
    pub(super) error: Option<ProtocolError>,
    /// Bytes fed before, and with, the piece in which decoding finished; both the wire's length where it didn't.
    pub(super) finished_within: (usize, usize),
}

/// Feeds the wire in pieces of the given sizes (the last size repeats), holding the decoder to its memory promise.
pub(super) fn decode(wire: &[u8], sizes: &[usize], message_bytes_max: usize) -> Outcome {
    let mut decoder = Decoder::new();
    let (mut items, mut error, mut finished_within) = (vec![], None, None);
    let mut wire_copy = wire.to_owned();
    let (mut rest, mut fed, mut sizes) = (&mut wire_copy[..], 0, sizes.iter().copied().peekable());
    let mut size = usize::MAX;
    while !rest.is_empty() {
        size = sizes.next().unwrap_or(size).clamp(1, rest.len());
        let (piece, after) = rest.split_at_mut(size);
        rest = after;
        let fed_before = fed;
        fed += size;
        let was_finished = decoder.is_finished();
        let result = decoder.feed(piece, message_bytes_max, |item| {
            assert!(!was_finished, "an item came after the end");
            items.push(Received::from(item));
            ControlFlow::<()>::Continue(())
        });
        match result {
            Ok(flow) => assert!(flow.is_continue()),
            Err(found) => assert_eq!(error.replace(found), None, "two errors"),
        }
        if decoder.is_finished() && finished_within.is_none() {
            finished_within = Some((fed_before, fed));
        }
        let held = decoder.held_bytes();
        assert!(held <= message_bytes_max + PARTIAL_OVERHEAD_BYTES_MAX, "{held} bytes held");
        assert!(held <= 2 * fed + PARTIAL_OVERHEAD_BYTES_MAX, "{held} bytes held after {fed} came");
    }
    Outcome { items, error, finished_within: finished_within.unwrap_or((fed, fed)) }
}
