//! What a contender's sockets speak.

use crate::handshake::Framing;

/// What comes to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// An event a WebSocket message, in whatever envelope: Stentor and most others.
    Events,
    /// An event a server-sent event.
    EventStream,
    /// A stream of NATS in WebSocket messages, to which a socket subscribes.
    Nats { subject: String },
}

impl Dialect {
    pub fn framing(&self) -> Framing {
        match self {
            Self::Events | Self::Nats { .. } => Framing::WebSocket,
            Self::EventStream => Framing::EventStream,
        }
    }
}
