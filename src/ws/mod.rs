//! The WebSocket protocol of RFC 6455 as a pure engine: bytes in, items and bytes out; no socket, clock or thread.
//!
//! ```text
//!   HTTP request ──▶ handshake::check_upgrade ──▶ Sec-WebSocket-Accept, or a typed refusal with its status
//!
//!   received bytes ──▶ Decoder::feed ──▶ Incoming::{Text, Binary, Ping, Pong, Close} ──▶ the session's closure
//!                        │ mask           (borrowed from the receive buffer where the frame lies whole in it)
//!                        │ utf8
//!                        ▼
//!                      Partial: a heap box that exists only while a header, frame or message is incomplete
//!
//!   event ──▶ frame::append_frame ──▶ bytes in the shard's log ──▶ frame::frame_len_at walks them
//!   end   ──▶ close::close_frame, or ProtocolError::close_frame
//! ```
//!
//! Invariants:
//!
//! * No input panics. After an error, a close frame or a sink that stopped, a decoder ignores whatever follows.
//! * The outcome depends on the bytes alone, never on how they were cut into reads.
//! * Memory grows with bytes that arrived, up to the message limit, and never by a length that a peer announced. It is
//!   given back when the message was delivered. Between frames a decoder is [`IDLE_DECODER_BYTES_MAX`] and no heap.
//! * No extension and no subprotocol is ever agreed on, so reserved bits are errors.

pub mod client;
pub mod close;
pub mod decoder;
pub mod frame;
pub mod handshake;
mod mask;
mod partial;
mod protocol_error;
mod utf8;

#[cfg(test)]
mod rfc_cases;
#[cfg(test)]
mod test_drive;
#[cfg(test)]
mod tungstenite_peer;

pub use close::{CloseCode, close_frame, close_reply};
pub use decoder::{Decoder, IDLE_DECODER_BYTES_MAX, Incoming};
pub use frame::{Opcode, append_frame, append_header, frame_len_at};
pub use handshake::{UpgradeError, check_upgrade, is_upgrade_request};
pub use partial::PARTIAL_OVERHEAD_BYTES_MAX;
pub use protocol_error::ProtocolError;
