//! The incremental decoder of what a client sends: bytes as they arrive in, complete items out.
//!
//! ```text
//!            ┌──────────────────────────────── feed ────────────────────────────────┐
//!   bytes ──▶│ header ──▶ fits the frames before it? ──▶ unmask in place ──▶ whole? │──▶ sink(Incoming)
//!            │   │ incomplete                                  │ no               │
//!            │   └────────────────▶ Partial (boxed) ◀──────────┘                  │
//!            └──────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A frame that lies whole in the fed bytes and is a whole message is handed out in place. Everything else waits in
//! the `Partial`, which is freed when nothing is incomplete.

use std::mem;
use std::ops::ControlFlow;

use super::ProtocolError;
use super::close::{CloseCode, parse_close};
use super::frame::{ClientHeader, Opcode};
use super::partial::{Message, OpenFrame, Partial};

/// What a decoder takes for a socket between frames, heap included: with hundreds of thousands of idle sockets, each
/// byte here costs hundreds of kilobytes.
pub const IDLE_DECODER_BYTES_MAX: usize = 16;

const _: () = assert!(size_of::<Decoder>() <= IDLE_DECODER_BYTES_MAX);

/// One complete thing from the peer, unmasked. Borrowed from the receive buffer or the decoder for the sink's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    /// To be answered by a pong with the same payload.
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// The last thing that a decoder gives: code and reason, where the peer told them.
    Close(Option<(CloseCode, &'a str)>),
}

/// The receiving end of one upgraded socket.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Takes bytes. The partial exists while a header, frame or message is incomplete.
    Open(Option<Box<Partial>>),
    /// Had an error, a close frame or a sink that stopped: ignores all bytes.
    Finished,
}

impl Default for State {
    fn default() -> Self {
        Self::Open(None)
    }
}

/// How [`advance`] ended without an error.
enum Advanced<B> {
    /// Used all bytes.
    Drained,
    /// Delivered the peer's close frame.
    Closed,
    Stopped(B),
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the bytes that arrived, unmasking them in place, and calls `sink` for each item that they complete.
    ///
    /// `message_bytes_max` bounds a data message's payload, summed over its fragments; it may change from call to call.
    ///
    /// A sink that breaks stops the decoding for good: `feed` returns what it broke with, and the bytes behind
    /// that item are ignored like those of later calls. The same holds after a close frame was delivered, and after
    /// an error. Items that precede an error in the same bytes are delivered before it is returned.
    ///
    /// # Errors
    /// What the peer did wrong; close the connection with [`ProtocolError::close_frame`].
    pub fn feed<B>(
        &mut self,
        bytes: &mut [u8],
        message_bytes_max: usize,
        mut sink: impl FnMut(Incoming<'_>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ProtocolError> {
        let State::Open(partial) = &mut self.state else { return Ok(ControlFlow::Continue(())) };
        let advanced = advance(partial, bytes, message_bytes_max, &mut sink);
        if !matches!(advanced, Ok(Advanced::Drained)) {
            self.state = State::Finished;
        }
        match advanced? {
            Advanced::Drained | Advanced::Closed => Ok(ControlFlow::Continue(())),
            Advanced::Stopped(with) => Ok(ControlFlow::Break(with)),
        }
    }

    /// Whether all later bytes are ignored: a close frame came, an error was found, or the sink stopped.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished)
    }

    /// Heap bytes held for what is incomplete; 0 between messages, and at most the message limit and
    /// [`PARTIAL_OVERHEAD_BYTES_MAX`](super::PARTIAL_OVERHEAD_BYTES_MAX).
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Open(Some(partial)) => partial.held_bytes(),
            State::Open(None) | State::Finished => 0,
        }
    }
}

fn advance<B>(
    partial: &mut Option<Box<Partial>>,
    bytes: &mut [u8],
    message_bytes_max: usize,
    sink: &mut impl FnMut(Incoming<'_>) -> ControlFlow<B>,
) -> Result<Advanced<B>, ProtocolError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some(mut frame) = next_frame(partial, &mut rest, message_bytes_max)? else { break };
        let arrived = frame.remaining_bytes.min(rest.len());
        let (payload, after) = mem::take(&mut rest).split_at_mut(arrived);
        rest = after;
        frame.mask.apply(payload);
        frame.remaining_bytes -= payload.len();
        let delivered = if frame.opcode.is_control() {
            take_control(partial, frame, payload, sink)?
        } else {
            take_data(partial, frame, payload, message_bytes_max, sink)?
        };
        if frame.remaining_bytes > 0 {
            partial.get_or_insert_default().frame = Some(frame);
        } else if partial.as_ref().is_some_and(|partial| partial.is_empty()) {
            *partial = None;
        }
        match delivered {
            ControlFlow::Break(with) => return Ok(Advanced::Stopped(with)),
            ControlFlow::Continue(()) if frame.opcode == Opcode::Close && frame.remaining_bytes == 0 => {
                return Ok(Advanced::Closed);
            }
            ControlFlow::Continue(()) => {}
        }
    }
    Ok(Advanced::Drained)
}

/// The frame to which the next byte of `rest` belongs: the one that is open, or the one whose header is completed by
/// the front of `rest`. `None` where `rest` was used up by an incomplete header.
fn next_frame(
    partial: &mut Option<Box<Partial>>,
    rest: &mut &mut [u8],
    message_bytes_max: usize,
) -> Result<Option<OpenFrame>, ProtocolError> {
    let (header, used) = match partial {
        Some(partial) => match partial.frame.take() {
            Some(frame) => return Ok(Some(frame)),
            None => partial.header.complete(rest)?,
        },
        None => match ClientHeader::parse(rest)? {
            Some(header) => (Some(header), header.header_len),
            None => partial.get_or_insert_default().header.complete(rest)?,
        },
    };
    *rest = &mut mem::take(rest)[used..];
    let message = partial.as_ref().and_then(|partial| partial.message.as_ref());
    header.map(|header| open_frame(header, message, message_bytes_max)).transpose()
}

/// Checks a header against the message that it continues or interrupts.
fn open_frame(
    header: ClientHeader,
    message: Option<&Message>,
    message_bytes_max: usize,
) -> Result<OpenFrame, ProtocolError> {
    let ClientHeader { opcode, fin, payload_len, mask, header_len: _ } = header;
    let too_big = ProtocolError::MessageTooBig { message_bytes_max };
    let remaining_bytes = usize::try_from(payload_len).map_err(|_| too_big)?;
    match (opcode, message) {
        (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
        (Opcode::Text | Opcode::Binary, Some(_)) => return Err(ProtocolError::ExpectedContinuation),
        _ => {}
    }
    let so_far = message.map_or(0, Message::len);
    if !opcode.is_control() && remaining_bytes > message_bytes_max.saturating_sub(so_far) {
        return Err(too_big);
    }
    Ok(OpenFrame { opcode, fin, remaining_bytes, mask })
}

/// Takes a control frame's payload, or a piece of it, and delivers it when it is whole.
fn take_control<B>(
    partial: &mut Option<Box<Partial>>,
    frame: OpenFrame,
    payload: &[u8],
    sink: &mut impl FnMut(Incoming<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, ProtocolError> {
    let whole = frame.remaining_bytes == 0;
    match partial {
        Some(partial) if !partial.control.is_empty() => {
            partial.append_control(payload);
            if !whole {
                return Ok(ControlFlow::Continue(()));
            }
            deliver_control(frame.opcode, &mem::take(&mut partial.control), sink)
        }
        _ if whole => deliver_control(frame.opcode, payload, sink),
        _ => {
            partial.get_or_insert_default().append_control(payload);
            Ok(ControlFlow::Continue(()))
        }
    }
}

fn deliver_control<B>(
    opcode: Opcode,
    payload: &[u8],
    sink: &mut impl FnMut(Incoming<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, ProtocolError> {
    Ok(sink(match opcode {
        Opcode::Ping => Incoming::Ping(payload),
        Opcode::Pong => Incoming::Pong(payload),
        Opcode::Close => Incoming::Close(parse_close(payload)?),
        Opcode::Continuation | Opcode::Text | Opcode::Binary => unreachable!("a data frame went the control path"),
    }))
}

/// Takes a data frame's payload, or a piece of it, and delivers the message when it is whole.
fn take_data<B>(
    partial: &mut Option<Box<Partial>>,
    frame: OpenFrame,
    payload: &[u8],
    message_bytes_max: usize,
    sink: &mut impl FnMut(Incoming<'_>) -> ControlFlow<B>,
) -> Result<ControlFlow<B>, ProtocolError> {
    let whole = frame.fin && frame.remaining_bytes == 0;
    let in_message = partial.as_ref().is_some_and(|partial| partial.message.is_some());
    if whole && !in_message {
        return Ok(sink(match frame.opcode {
            Opcode::Text => Incoming::Text(std::str::from_utf8(payload).map_err(|_| ProtocolError::InvalidUtf8)?),
            _ => Incoming::Binary(payload),
        }));
    }
    if payload.is_empty() && frame.remaining_bytes > 0 {
        // Only the header came. Without a message begun, the payload may still be handed out in place.
        return Ok(ControlFlow::Continue(()));
    }
    let partial = partial.get_or_insert_default();
    let message = partial.message.get_or_insert_with(|| Message::new(frame.opcode));
    message.append(payload, message_bytes_max)?;
    if !whole {
        return Ok(ControlFlow::Continue(()));
    }
    match partial.message.take().expect("appended to above") {
        Message::Text { text, carry } => {
            carry.finish()?;
            Ok(sink(Incoming::Text(&text)))
        }
        Message::Binary(bytes) => Ok(sink(Incoming::Binary(&bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{append_client_fragment, append_client_frame};
    use super::super::partial::PARTIAL_OVERHEAD_BYTES_MAX;
    use super::*;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    const MESSAGE_BYTES_MAX: usize = 1 << 20;

    fn client_frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![];
        append_client_frame(&mut bytes, opcode, payload, MASK);
        bytes
    }

    /// Feeds bytes that must be lawful; tells what was delivered, as `Debug` prints it.
    fn feed(decoder: &mut Decoder, bytes: &mut [u8]) -> Vec<String> {
        let mut items = vec![];
        let result = decoder.feed(bytes, MESSAGE_BYTES_MAX, |item| {
            items.push(format!("{item:?}"));
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(result, Ok(ControlFlow::Continue(())));
        items
    }

    #[test]
    fn a_sink_may_change_the_session_that_stands_beside_the_decoder() {
        #[derive(Default)]
        struct Connection {
            decoder: Decoder,
            session: Vec<String>,
        }
        let mut connection = Connection::default();
        let mut bytes = client_frame(Opcode::Text, b"hello");
        let result = connection.decoder.feed(&mut bytes, MESSAGE_BYTES_MAX, |item| {
            connection.session.push(format!("{item:?}"));
            ControlFlow::<()>::Continue(())
        });
        assert_eq!(result, Ok(ControlFlow::Continue(())));
        assert_eq!(connection.session, [r#"Text("hello")"#]);
    }

    #[test]
    fn a_sink_that_breaks_ends_the_decoding_for_good() {
        let mut bytes = [client_frame(Opcode::Text, b"one"), client_frame(Opcode::Text, b"two")].concat();
        let mut decoder = Decoder::new();
        let mut calls = 0;
        let result = decoder.feed(&mut bytes, MESSAGE_BYTES_MAX, |_| {
            calls += 1;
            ControlFlow::Break("closing")
        });
        assert_eq!((result, calls), (Ok(ControlFlow::Break("closing")), 1));
        assert!(decoder.is_finished());
        assert!(feed(&mut decoder, &mut client_frame(Opcode::Text, b"three")).is_empty());
    }

    #[test]
    fn a_whole_frame_is_handed_out_where_it_lies() {
        // Whole in one read, then header and payload each in a read of its own.
        for header_apart in [false, true] {
            let mut bytes = client_frame(Opcode::Text, &[b'x'; 300]);
            let range = bytes.as_ptr_range();
            let mut decoder = Decoder::new();
            let mut rest = &mut bytes[..];
            if header_apart {
                let (header, payload) = rest.split_at_mut(8);
                assert!(feed(&mut decoder, header).is_empty());
                rest = payload;
            }
            let result = decoder.feed(rest, MESSAGE_BYTES_MAX, |item| match item {
                Incoming::Text(text) => ControlFlow::Break(range.contains(&text.as_ptr())),
                _ => ControlFlow::Continue(()),
            });
            assert_eq!(result, Ok(ControlFlow::Break(true)));
        }
    }

    #[test]
    fn memory_follows_the_bytes_that_came_and_not_the_length_announced() {
        let mut decoder = Decoder::new();
        let mut bytes = client_frame(Opcode::Binary, &vec![7; MESSAGE_BYTES_MAX]);
        feed(&mut decoder, &mut bytes[..14 + 100]);
        assert!((100..=100 + PARTIAL_OVERHEAD_BYTES_MAX).contains(&decoder.held_bytes()));
        for piece in bytes[114..].chunks_mut(1000) {
            feed(&mut decoder, piece);
            assert!(decoder.held_bytes() <= MESSAGE_BYTES_MAX + PARTIAL_OVERHEAD_BYTES_MAX);
        }
        assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn memory_is_given_back_with_the_last_incomplete_thing() {
        let mut decoder = Decoder::new();
        let mut ping = client_frame(Opcode::Ping, b"are you there");
        let mut bytes = vec![];
        append_client_fragment(&mut bytes, Opcode::Text, false, b"first ", MASK);
        assert!(feed(&mut decoder, &mut bytes).is_empty());
        let only_the_message = decoder.held_bytes();
        assert!(feed(&mut decoder, &mut ping[..9]).is_empty());
        assert!(decoder.held_bytes() > only_the_message);
        assert_eq!(feed(&mut decoder, &mut ping[9..]).len(), 1);
        assert_eq!(decoder.held_bytes(), only_the_message);
        let mut bytes = vec![];
        append_client_fragment(&mut bytes, Opcode::Continuation, true, b"second", MASK);
        assert_eq!(feed(&mut decoder, &mut bytes), [r#"Text("first second")"#]);
        assert_eq!(decoder.held_bytes(), 0);

        // A lone header, and a lone control frame.
        let mut ping = client_frame(Opcode::Ping, b"again");
        assert!(feed(&mut decoder, &mut ping[..3]).is_empty());
        assert!(feed(&mut decoder, &mut ping[3..8]).is_empty());
        assert!(decoder.held_bytes() > 0);
        assert_eq!(feed(&mut decoder, &mut ping[8..]).len(), 1);
        assert_eq!(decoder.held_bytes(), 0);
    }

    #[test]
    fn an_error_frees_what_was_held_and_ends_the_decoding() {
        let mut decoder = Decoder::new();
        let mut bytes = vec![];
        append_client_fragment(&mut bytes, Opcode::Text, false, b"never finished", MASK);
        feed(&mut decoder, &mut bytes);
        let mut bytes = client_frame(Opcode::Text, b"another");
        let result = decoder.feed(&mut bytes, MESSAGE_BYTES_MAX, |_| ControlFlow::<()>::Continue(()));
        assert_eq!(result, Err(ProtocolError::ExpectedContinuation));
        assert_eq!((decoder.is_finished(), decoder.held_bytes()), (true, 0));
        assert!(feed(&mut decoder, &mut client_frame(Opcode::Text, b"ignored")).is_empty());
    }

    #[test]
    fn a_limit_that_shrinks_between_reads_holds_for_the_next_frame() {
        let mut decoder = Decoder::new();
        let mut bytes = vec![];
        append_client_fragment(&mut bytes, Opcode::Binary, false, &[1; 100], MASK);
        feed(&mut decoder, &mut bytes);
        let mut bytes = vec![];
        append_client_fragment(&mut bytes, Opcode::Continuation, true, &[1; 1], MASK);
        let result = decoder.feed(&mut bytes, 50, |_| ControlFlow::<()>::Continue(()));
        assert_eq!(result, Err(ProtocolError::MessageTooBig { message_bytes_max: 50 }));
    }
}
