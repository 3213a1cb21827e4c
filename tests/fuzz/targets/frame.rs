//! The WebSocket decoder: whatever a client sends, cut into reads in whatever way.
//!
//! Input: a count, that many sizes of reads (the last repeats), and the client's bytes.

#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use stentor::ws::{Decoder, Incoming, PARTIAL_OVERHEAD_BYTES_MAX, ProtocolError};

/// Small, so that inputs reach it; large enough for all but the longest form of a length.
const MESSAGE_BYTES_MAX: usize = 1_000;

#[derive(Debug, PartialEq, Eq)]
enum Item {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

impl From<Incoming<'_>> for Item {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Text(text) => Self::Text(text.to_owned()),
            Incoming::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Incoming::Ping(payload) => Self::Ping(payload.to_vec()),
            Incoming::Pong(payload) => Self::Pong(payload.to_vec()),
            Incoming::Close(told) => Self::Close(told.map(|(code, reason)| (code.get(), reason.to_owned()))),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    items: Vec<Item>,
    error: Option<ProtocolError>,
    finished: bool,
}

fuzz_target!(|input: &[u8]| {
    let Some((count, rest)) = input.split_first() else { return };
    let (sizes, wire) = rest.split_at(usize::from(*count).min(rest.len()));
    let whole = decode(wire, &[]);
    assert_eq!(decode(wire, sizes), whole, "the reads matter");
    assert_eq!(decode(wire, &[1]), whole, "the reads matter");
});

fn decode(wire: &[u8], sizes: &[u8]) -> Outcome {
    let (mut decoder, mut outcome) = (Decoder::new(), Outcome::default());
    let mut wire = wire.to_vec();
    let (mut rest, mut fed, mut sizes) = (&mut wire[..], 0, sizes.iter().copied().map(usize::from));
    let mut size = usize::MAX;
    while !rest.is_empty() {
        size = sizes.next().unwrap_or(size).max(1);
        let (read, behind) = rest.split_at_mut(size.min(rest.len()));
        (rest, fed) = (behind, fed + read.len());
        let was_finished = decoder.is_finished();
        let result = decoder.feed(read, MESSAGE_BYTES_MAX, |incoming| {
            assert!(!was_finished, "an item after the end");
            outcome.items.push(incoming.into());
            ControlFlow::<()>::Continue(())
        });
        if let Err(error) = result {
            assert_eq!(outcome.error.replace(error), None, "two errors");
            assert!(decoder.is_finished(), "an error is the end");
        }
        let held = decoder.held_bytes();
        assert!(held <= MESSAGE_BYTES_MAX + PARTIAL_OVERHEAD_BYTES_MAX, "{held} bytes held");
        assert!(held <= 2 * fed + PARTIAL_OVERHEAD_BYTES_MAX, "{held} bytes held after {fed} came");
    }
    outcome.finished = decoder.is_finished();
    outcome
}
