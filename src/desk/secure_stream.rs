//! A connection at the desk that speaks TLS: an engine over glommio's stream.
//!
//! ```text
//!   TcpStream ─ ciphertext ─▶ Engine ─▶ plaintext ─▶ hyper
//!       ▲                       │ records, answers
//!       └────── outgoing ◀──────┘◀──────────────────── hyper
//! ```

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use async_lock::Mutex;
use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;

use super::phase::PhaseCell;
use crate::tls::{Engine, TlsError};
use crate::{executor, limits};

/// Why no TLS connection came about, or one ended.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("it speaks plain HTTP, and this port TLS")]
    PlainHttp,
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("it ended before its handshake was done")]
    Ended,
    #[error("what its handshake still lacks did not come in time")]
    Late,
    #[error("the turn of its handshake did not come in time: more begin at once than this server can compute")]
    Overload,
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub struct SecureStream {
    tcp: TcpStream,
    engine: Box<Engine>,
    /// What was said and not read yet; the first `read` bytes have been.
    plaintext: Vec<u8>,
    read: usize,
    /// Ciphertext that the kernel has not taken yet; the first `sent` bytes have left.
    outgoing: Vec<u8>,
    sent: usize,
    /// No byte has come yet.
    is_new: bool,
    /// What has come of its handshake waits for its turn.
    waits_for_turn: bool,
}

impl SecureStream {
    pub fn new(tcp: TcpStream, engine: Engine) -> Self {
        Self {
            tcp,
            engine: Box::new(engine),
            plaintext: Vec::new(),
            read: 0,
            outgoing: Vec::new(),
            sent: 0,
            is_new: true,
            waits_for_turn: false,
        }
    }

    /// Carries the handshake out, and leaves nothing of it unsent. Whoever calls bounds it in time. A signature takes as long as a
    /// thousand deliveries, so one handshake computes at a time, whoever has `turn`, and between two the thread does its other work.
    pub async fn shake_hands(&mut self, phase: &PhaseCell, turn: &Mutex<()>) -> Result<(), Broken> {
        let mut chunk = vec![0; limits::DESK_READ_BYTES];
        while self.engine.is_handshaking() {
            let read = poll_fn(|task| self.poll_receive(task, phase, &mut chunk)).await?;
            if read == 0 {
                return Err(Broken::Ended);
            }
            self.waits_for_turn = true;
            let mine = turn.lock().await;
            self.waits_for_turn = false;
            self.take_in(&mut chunk[..read])?;
            executor::breathe(limits::BUSY_BREATH_US).await;
            drop(mine);
            poll_fn(|task| self.poll_send(task)).await?;
        }
        Ok(())
    }

    /// Whether its handshake was given up while it waited for this server and not for its client.
    pub fn waits_for_turn(&self) -> bool {
        self.waits_for_turn
    }

    /// Whether something has been said that was not read.
    pub fn has_plaintext(&self) -> bool {
        self.read < self.plaintext.len()
    }

    /// The socket as it is, for whoever turned out not to speak TLS.
    pub fn into_tcp(self) -> TcpStream {
        self.tcp
    }

    /// The socket, its engine, and what was said and not read. What was to be sent must have been.
    pub fn into_parts(mut self) -> (TcpStream, Box<Engine>, Vec<u8>) {
        debug_assert!(self.outgoing.is_empty(), "records would be missing");
        (self.tcp, self.engine, self.plaintext.split_off(self.read))
    }

    /// Reads what has been said, at most as much as `room` has; nothing at its end.
    pub fn poll_read(&mut self, task: &mut Context<'_>, phase: &PhaseCell, room: usize) -> Poll<Result<&[u8], Broken>> {
        while !self.has_plaintext() {
            if self.engine.has_ended() || !ready!(self.poll_fill(task, phase))? {
                return Poll::Ready(Ok(&[]));
            }
            // Whatever the engine answers by itself; what the kernel does not take now goes before what is written next.
            let _ = self.poll_send(task)?;
        }
        let begin = self.read;
        self.read += room.min(self.plaintext.len() - begin);
        Poll::Ready(Ok(&self.plaintext[begin..self.read]))
    }

    /// Takes some of the bytes, once the records before them have left.
    pub fn poll_write(&mut self, task: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        ready!(self.poll_send(task))?;
        let taken = bytes.len().min(limits::TLS_SEND_BYTES_MAX);
        self.engine.send(&bytes[..taken], &mut self.outgoing)?;
        let _ = self.poll_send(task)?;
        Poll::Ready(Ok(taken))
    }

    /// Completes once the kernel has all that there was to send.
    pub fn poll_flush(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        ready!(self.poll_send(task))?;
        Pin::new(&mut self.tcp).poll_flush(task).map_err(Broken::Io)
    }

    /// Ends our direction, behind a close_notify.
    pub fn poll_close(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.engine.finish(&mut self.outgoing);
        ready!(self.poll_send(task))?;
        Pin::new(&mut self.tcp).poll_close(task).map_err(Broken::Io)
    }

    /// Reads once from the socket, and takes in what came. `false` at its end.
    fn poll_fill(&mut self, task: &mut Context<'_>, phase: &PhaseCell) -> Poll<Result<bool, Broken>> {
        let mut chunk = [0; limits::DESK_READ_BYTES];
        let read = ready!(self.poll_receive(task, phase, &mut chunk))?;
        if read > 0 {
            self.take_in(&mut chunk[..read])?;
        }
        Poll::Ready(Ok(read > 0))
    }

    /// Reads once from the socket; nothing at its end.
    fn poll_receive(
        &mut self,
        task: &mut Context<'_>,
        phase: &PhaseCell,
        chunk: &mut [u8],
    ) -> Poll<Result<usize, Broken>> {
        let read = ready!(Pin::new(&mut self.tcp).poll_read(task, chunk))?;
        let Some(first) = chunk[..read].first() else { return Poll::Ready(Ok(0)) };
        phase.bytes_came();
        // A handshake's record begins with 22, a method with a letter.
        if std::mem::take(&mut self.is_new) && first.is_ascii_uppercase() {
            return Poll::Ready(Err(Broken::PlainHttp));
        }
        Poll::Ready(Ok(read))
    }

    fn take_in(&mut self, ciphertext: &mut [u8]) -> Result<(), Broken> {
        if !self.has_plaintext() {
            // An idle connection holds no buffer.
            (self.plaintext, self.read) = (Vec::new(), 0);
        }
        let outcome = self.engine.receive(ciphertext, &mut self.plaintext, &mut self.outgoing);
        if outcome.is_err() {
            // The alert goes as far as the kernel takes it: nobody waits for a peer like that.
            let _ = self.poll_send(&mut Context::from_waker(Waker::noop()));
        }
        Ok(outcome?)
    }

    fn poll_send(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.sent < self.outgoing.len() {
            match ready!(Pin::new(&mut self.tcp).poll_write(task, &self.outgoing[self.sent..]))? {
                0 => return Poll::Ready(Err(Broken::Io(io::ErrorKind::WriteZero.into()))),
                sent => self.sent += sent,
            }
        }
        (self.outgoing, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Io(error) => error,
            other => Self::other(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::io::Write;
    use std::net;
    use std::pin::pin;
    use std::time::Duration;

    use futures_lite::future::poll_once;
    use glommio::LocalExecutor;
    use glommio::net::TcpListener;

    use super::super::phase::Phase;
    use super::*;
    use crate::tls::fixture::{Identity, Peer, server};

    /// Polls until something has come, and for 50 ms more. It must not be done by then.
    async fn poll_past_hello(mut handshake: Pin<&mut impl Future<Output = Result<(), Broken>>>, phase: &PhaseCell) {
        let mut rounds_with_hello = 0;
        while rounds_with_hello < 50 {
            assert!(poll_once(handshake.as_mut()).await.is_none(), "something is missing");
            glommio::timer::sleep(Duration::from_millis(1)).await;
            rounds_with_hello += usize::from(matches!(phase.get(), Phase::Head(_)));
        }
    }

    #[test]
    fn a_handshake_is_computed_when_it_has_the_turn_and_not_before() {
        let identity = Identity::new();
        let (tls, peer) = (server(&identity), Peer::trusting(&[&identity]));
        LocalExecutor::default().run(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = listener.local_addr().expect("an address");
            let client = std::thread::spawn(move || {
                let mut tcp = net::TcpStream::connect(address).expect("a connection");
                peer.client().complete_io(&mut tcp).expect("a handshake");
            });
            let mut stream = SecureStream::new(listener.accept().await.expect("a client"), tls.engine());
            let (phase, turn) = (PhaseCell::new(), Mutex::new(()));
            let another = turn.lock().await;
            {
                let mut handshake = pin!(stream.shake_hands(&phase, &turn));
                poll_past_hello(handshake.as_mut(), &phase).await;
                drop(another);
                handshake.await.expect("a handshake");
            }
            client.join().expect("its client is content");
            assert!(turn.try_lock().is_some(), "the turn is given back");
        });
    }

    #[test]
    fn a_handshake_that_is_given_up_knows_whether_it_waited_for_its_turn_or_its_client() {
        let tls = server(&Identity::new());
        LocalExecutor::default().run(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            for another_has_the_turn in [true, false] {
                let address = listener.local_addr().expect("an address");
                let mut client = net::TcpStream::connect(address).expect("a connection");
                client.write_all(b"\x16\x03\x01").expect("the beginning of a hello");
                let mut stream = SecureStream::new(listener.accept().await.expect("a client"), tls.engine());
                let (phase, turn) = (PhaseCell::new(), Mutex::new(()));
                let another = if another_has_the_turn { Some(turn.lock().await) } else { None };
                poll_past_hello(pin!(stream.shake_hands(&phase, &turn)), &phase).await;
                assert_eq!(stream.waits_for_turn(), another_has_the_turn);
                drop(another);
            }
        });
    }
}
