//! A glommio TCP stream as hyper wants it, and what the connection is doing at the moment.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use hyper::rt::{Read, ReadBufCursor, Write};

use crate::clock::{self, Nanos};
use crate::limits;

/// What a connection is doing, and since when. Each has a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No byte of a first request has come.
    Silent(Nanos),
    /// A request's head is coming in.
    Head(Nanos),
    /// A request is being served; its handler watches the body.
    Serving,
    /// Between two requests.
    Idle(Nanos),
}

impl Phase {
    /// When the connection has to be ended, in nanoseconds.
    pub fn deadline(self) -> Option<Nanos> {
        let (since, allowed_ms) = match self {
            Self::Silent(since) | Self::Head(since) => (since, limits::HANDSHAKE_MS),
            Self::Idle(since) => (since, limits::KEEP_ALIVE_MS),
            Self::Serving => return None,
        };
        Some(since + allowed_ms * 1_000_000)
    }
}

/// A connection's phase, shared by its stream, its service and its watchman.
pub struct PhaseCell(Cell<Phase>);

impl PhaseCell {
    pub fn new() -> Rc<Self> {
        Rc::new(Self(Cell::new(Phase::Silent(clock::now()))))
    }

    pub fn get(&self) -> Phase {
        self.0.get()
    }

    pub fn set(&self, phase: Phase) {
        self.0.set(phase);
    }

    fn bytes_came(&self) {
        match self.0.get() {
            Phase::Silent(since) => self.0.set(Phase::Head(since)),
            Phase::Idle(_) => self.0.set(Phase::Head(clock::now())),
            Phase::Head(_) | Phase::Serving => {}
        }
    }
}

pub struct Stream {
    tcp: TcpStream,
    phase: Rc<PhaseCell>,
}

impl Stream {
    pub fn new(tcp: TcpStream, phase: Rc<PhaseCell>) -> Self {
        Self { tcp, phase }
    }

    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut chunk = [0; limits::DESK_READ_BYTES];
        let most = chunk.len().min(cursor.remaining());
        let read = std::task::ready!(Pin::new(&mut self.tcp).poll_read(context, &mut chunk[..most]))?;
        if read > 0 {
            self.phase.bytes_came();
        }
        cursor.put_slice(&chunk[..read]);
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_close(context)
    }
}
