//! A connection's stream as hyper wants it, with or without TLS, which notes what comes and goes in the connection's phase.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use hyper::rt::{Read, ReadBufCursor, Write};

use super::phase::PhaseCell;
use super::secure_stream::SecureStream;
use crate::limits;
use crate::tls::Engine;

pub struct Stream {
    channel: Channel,
    phase: Rc<PhaseCell>,
}

enum Channel {
    Plain(TcpStream),
    Secure(SecureStream),
}

/// A stream taken apart, for whoever goes on with its socket.
pub struct StreamParts {
    pub tcp: TcpStream,
    pub tls: Option<Box<Engine>>,
    /// What came behind all that was read.
    pub leftover: Vec<u8>,
}

impl Stream {
    pub fn plain(tcp: TcpStream, phase: Rc<PhaseCell>) -> Self {
        Self { channel: Channel::Plain(tcp), phase }
    }

    /// One that has shaken hands.
    pub fn secure(secure: SecureStream, phase: Rc<PhaseCell>) -> Self {
        Self { channel: Channel::Secure(secure), phase }
    }

    pub fn is_secure(&self) -> bool {
        matches!(self.channel, Channel::Secure(_))
    }

    /// To be called once all that was written has been flushed.
    pub fn into_parts(self) -> StreamParts {
        match self.channel {
            Channel::Plain(tcp) => StreamParts { tcp, tls: None, leftover: Vec::new() },
            Channel::Secure(secure) => {
                let (tcp, engine, leftover) = secure.into_parts();
                StreamParts { tcp, tls: Some(engine), leftover }
            }
        }
    }

    /// Sends some last words.
    pub async fn say(&mut self, mut words: &[u8]) -> io::Result<()> {
        while !words.is_empty() {
            let sent = poll_fn(|task| Pin::new(&mut *self).poll_write(task, words)).await?;
            if sent == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            words = &words[sent..];
        }
        self.flush().await
    }

    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|task| Pin::new(&mut *self).poll_flush(task)).await
    }

    /// Ends our direction.
    pub async fn close(&mut self) -> io::Result<()> {
        poll_fn(|task| Pin::new(&mut *self).poll_shutdown(task)).await
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { channel, phase } = &mut *self;
        match channel {
            Channel::Plain(tcp) => {
                let mut chunk = [0; limits::DESK_READ_BYTES];
                let most = chunk.len().min(cursor.remaining());
                let read = ready!(Pin::new(tcp).poll_read(context, &mut chunk[..most]))?;
                if read > 0 {
                    phase.bytes_came();
                }
                cursor.put_slice(&chunk[..read]);
            }
            Channel::Secure(secure) => {
                cursor.put_slice(ready!(secure.poll_read(context, phase, cursor.remaining()))?);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.channel {
            Channel::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Channel::Secure(secure) => secure.poll_write(context, bytes).map_err(io::Error::from),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes once it has written all that it holds.
        match &mut self.channel {
            Channel::Plain(tcp) => ready!(Pin::new(tcp).poll_flush(context))?,
            Channel::Secure(secure) => ready!(secure.poll_flush(context))?,
        }
        self.phase.all_sent();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.channel {
            Channel::Plain(tcp) => Pin::new(tcp).poll_close(context),
            Channel::Secure(secure) => secure.poll_close(context).map_err(io::Error::from),
        }
    }
}
