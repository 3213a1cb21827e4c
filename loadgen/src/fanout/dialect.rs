//! What a contender's sockets speak.

/// What comes in a WebSocket's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// An event a message, in whatever envelope: Stentor and most others. A socket is open once the upgrade is answered.
    Events,
    /// A stream of NATS, to which a socket subscribes.
    Nats { subject: String },
}
