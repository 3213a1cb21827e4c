//! What comes from a peer: bytes → frames → messages → answers.

use std::convert::Infallible;
use std::ops::ControlFlow;

use super::sessions::Sessions;
use super::socket::State;
use crate::limits;
use crate::protocol::{ErrorCode, Message, Protocol, SocketError};
use crate::ring::SlotRef;
use crate::ws::{CloseCode, Incoming, Opcode, append_frame, close_reply};

impl Sessions {
    /// Feeds received bytes to the socket's decoder; they are unmasked in place.
    pub(super) fn input(&mut self, at: SlotRef, bytes: &mut [u8]) {
        let Some(socket) = self.slots.current(at) else { return };
        if !matches!(socket.state, State::Open | State::Closing | State::Draining) {
            return;
        }
        let protocol = socket.protocol;
        if protocol == Protocol::Stream {
            // Its client has nothing to say. What it sends says nothing about whether it reads, either.
            return;
        }
        self.sign_of_life(at.slot);
        let socket = &mut self.slots[at.slot];
        // The decoder is taken out for the time of the call, so that what it finds can change the rest of the session.
        let mut decoder = std::mem::take(&mut socket.decoder);
        let bytes_max = protocol.message_bytes_max(&self.rules);
        let outcome = decoder.feed(bytes, bytes_max, |incoming| self.incoming(at.slot, incoming));
        self.slots[at.slot].decoder = decoder;
        if let Err(error) = outcome {
            let too_large = error.close_code() == CloseCode::MESSAGE_TOO_BIG && protocol.tells_errors();
            let told = too_large.then(|| {
                SocketError::new(ErrorCode::MessageTooLarge, format!("a message has at most {bytes_max} bytes")).frame()
            });
            self.close_behind_answers(at.slot, &[&*told.unwrap_or_default(), &error.close_frame()].concat());
        }
    }

    fn incoming(&mut self, slot: u32, incoming: Incoming<'_>) -> ControlFlow<Infallible> {
        let open = self.slots[slot].is_open();
        match incoming {
            Incoming::Text(text) if open => self.message(slot, Message::Text(text)),
            Incoming::Binary(bytes) if open => self.message(slot, Message::Binary(bytes)),
            Incoming::Ping(payload) if open => {
                if !self.may_speak(slot) {
                    self.refuse_message(slot, false);
                    return ControlFlow::Continue(());
                }
                let mut pong = Vec::with_capacity(payload.len() + 2);
                append_frame(&mut pong, Opcode::Pong, payload);
                self.slots[slot].output.push_pong(pong.into(), &mut self.pool);
                self.enqueue(slot);
            }
            Incoming::Close(reason) => self.peer_closed(slot, reason.map(|(code, _)| code)),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// The peer's close frame: it is echoed (RFC 6455 §5.5.1), or, if ours went first, the handshake is complete.
    fn peer_closed(&mut self, slot: u32, code: Option<CloseCode>) {
        let socket = &mut self.slots[slot];
        socket.peer_closed = true;
        match socket.state {
            State::Open => self.close_behind_answers(slot, &close_reply(code)),
            // Ours has left, theirs has come: the server ends the connection first (§7.1.1).
            State::Draining if !socket.armed.shutdown => self.terminate(slot),
            _ => {}
        }
    }

    /// Closes because of what the peer sent. What it sent before that is still answered; events that wait are dropped.
    pub(super) fn close_behind_answers(&mut self, slot: u32, close_frame: &[u8]) {
        // Those that follow events which it was not handed are dropped with them: they carry later numbers.
        let mut last = self.slots[slot].output.waiting_answers();
        last.extend_from_slice(close_frame);
        self.close_with(slot, last.into(), limits::CLOSE_DRAIN_MS);
    }
}
