//! What a crowd's sockets say and how they take what they hear: bytes in, notices out. No ring, no clock of its own.

use std::borrow::Cow;

use crate::handshake::Answer;

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its upgrade was sent; the answer is awaited.
    Upgrading,
    /// Events are awaited.
    Open,
    /// It ended, by whichever side; nothing that still comes is read.
    Ended,
}

/// What the caller has to know or to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Notice {
    /// The socket is connected and ready for events.
    Opened,
    /// The server answered the upgrade with something else. The run is over.
    Refused(Answer),
    /// The server does not speak WebSocket. The run is over.
    Nonsense(&'static str),
    /// The server did not answer a socket as its protocol has it. The run is over.
    Astray(String),
    /// These bytes are to be sent on the socket.
    Reply {
        socket: u32,
        frame: Vec<u8>,
    },
    /// The socket reads nothing from now on, until it is told to read on.
    StopReading {
        socket: u32,
    },
    ReadOn {
        socket: u32,
    },
    /// The socket ended before it was told to.
    Ended {
        socket: u32,
        why: String,
    },
}

/// The receiving side of a crowd, whose sockets are numbered from 0.
pub trait Listener {
    /// The upgrade request of `socket`.
    fn upgrade(&self, socket: u32) -> Cow<'_, [u8]>;

    fn phase(&self, socket: u32) -> Phase;

    /// Takes what the kernel handed over for `socket` at `now_ns`.
    fn receive(&mut self, socket: u32, bytes: &[u8], now_ns: u64, notices: &mut Vec<Notice>);

    /// The stream of `socket` ended, by `why`.
    fn ended(&mut self, socket: u32, why: &str, notices: &mut Vec<Notice>);

    /// Marks a socket as ended by us: what comes after is not read.
    fn leave(&mut self, socket: u32);

    /// Ends the batch that came out of the kernel at `now_ns`; returns the deliveries in it.
    fn end_batch(&mut self, now_ns: u64) -> u64;

    /// Has sockets say what they say by themselves, unasked, where `now_ns` is the time for it. It is asked for only where
    /// it is needed: most crowds only listen.
    fn tend(&mut self, _now_ns: impl FnOnce() -> u64, _notices: &mut Vec<Notice>) {}
}
