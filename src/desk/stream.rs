//! A glommio TCP stream as hyper wants it, which notes what comes and goes in the connection's phase.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::phase::PhaseCell;
use crate::limits;

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
        // hyper flushes once it has written all that it holds.
        std::task::ready!(Pin::new(&mut self.tcp).poll_flush(context))?;
        self.phase.all_sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_close(context)
    }
}
