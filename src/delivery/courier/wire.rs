//! A TCP connection in the form that ureq wants: two buffers, and I/O that ends in time.
//!
//! The socket does not block; whoever has to wait polls it with what is left of the attempt. What ureq wants to be sent is gathered
//! until it waits for the answer, so that head and body of a request, which it writes one after the other, are one packet and one
//! system call.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ureq::unversioned::transport::time::Duration as Patience;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};
use ureq::{Error, Timeout};

use crate::limits;

// A head has to fit, with a byte more by which ureq sees that it is too large.
const _: () = assert!(limits::ANSWER_BUFFER_BYTES > limits::ANSWER_HEAD_BYTES_MAX);
// A request's head is written in one go; beside the URL it takes less than a KiB.
const _: () = assert!(limits::REQUEST_BUFFER_BYTES / 2 >= limits::WEBHOOK_URL_BYTES_MAX + 1_024);

#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    peer: SocketAddr,
    buffers: WireBuffers,
}

impl Wire {
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Connects to the first of these addresses that lets it. Each gets an equal share of the time that is left.
    pub(super) fn connect(addresses: &[SocketAddr], timeout: NextTimeout) -> Result<Self, ConnectError> {
        let deadline = Deadline::of(timeout);
        let mut last = None;
        for (tried, address) in addresses.iter().enumerate() {
            let left = deadline.left().map_err(|_| ConnectError::Timeout(timeout.reason))?;
            let share = left / (addresses.len() - tried) as u32;
            match Self::connect_one(address, share.max(SHARE_MIN)) {
                Ok(wire) => return Ok(wire),
                Err(error) => last = Some(error),
            }
        }
        Err(match last {
            Some(error) if error.kind() == ErrorKind::TimedOut => ConnectError::Timeout(timeout.reason),
            Some(error) => ConnectError::Io(error),
            None => ConnectError::Io(ErrorKind::AddrNotAvailable.into()),
        })
    }

    fn connect_one(address: &SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, peer: *address, buffers: WireBuffers::default() })
    }

    fn flush(&mut self, deadline: Deadline) -> Result<(), Error> {
        let mut sent = 0;
        while sent < self.buffers.pending {
            match self.stream.write(&self.buffers.output[sent..self.buffers.pending]) {
                Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
                Ok(written) => sent += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.wait(PollFlags::OUT, deadline)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.buffers.pending = 0;
        Ok(())
    }

    fn wait(&self, what: PollFlags, deadline: Deadline) -> Result<(), Error> {
        loop {
            let left = deadline.left()?;
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.stream, what)], Some(&left)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(io::Error::from(error).into()),
            }
        }
    }
}

/// The least that an address gets, so that a connection on the same machine is not refused for want of time.
const SHARE_MIN: Duration = Duration::from_millis(10);

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum ConnectError {
    Timeout(Timeout),
    Io(io::Error),
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.buffers.pending += amount;
        match self.buffers.pending > limits::REQUEST_BUFFER_BYTES / 2 {
            true => self.flush(Deadline::of(timeout)),
            false => Ok(()),
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let deadline = Deadline::of(timeout);
        self.flush(deadline)?;
        loop {
            self.wait(PollFlags::IN, deadline)?;
            match self.stream.read(self.buffers.input_append_buf()) {
                Ok(read) => {
                    self.buffers.input_appended(read);
                    return Ok(read > 0);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A connection that waits for its next request has nothing to say: a byte or an end makes it useless.
    fn is_open(&mut self) -> bool {
        let is_silent = matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        is_silent && self.buffers.input().is_empty() && self.buffers.pending == 0
    }
}

/// When ureq gives up what it is doing.
#[derive(Clone, Copy)]
struct Deadline {
    /// `None` is never: ureq has no time limit for this step. The attempt has one for all of them, so it is not met in practice.
    at: Option<Instant>,
    reason: Timeout,
}

impl Deadline {
    fn of(timeout: NextTimeout) -> Self {
        let at = match timeout.after {
            Patience::Exact(after) => Instant::now().checked_add(after),
            Patience::NotHappening => None,
        };
        Self { at, reason: timeout.reason }
    }

    fn left(self) -> Result<Duration, Error> {
        let left = self.at.map_or(LONG, |at| at.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(Error::Timeout(self.reason)) } else { Ok(left) }
    }
}

const LONG: Duration = Duration::from_secs(60);

/// The bytes on their way. Both halves are of fixed size, whatever the peer sends.
#[derive(Debug)]
struct WireBuffers {
    input: Box<[u8]>,
    /// What of `input` is there and not yet used.
    start: usize,
    end: usize,
    /// Whether the last look at the input used some of it. If not, more of it is needed.
    progress: bool,
    output: Box<[u8]>,
    /// What of `output` is to be sent.
    pending: usize,
}

impl Default for WireBuffers {
    fn default() -> Self {
        Self {
            input: vec![0; limits::ANSWER_BUFFER_BYTES].into(),
            start: 0,
            end: 0,
            progress: false,
            output: vec![0; limits::REQUEST_BUFFER_BYTES].into(),
            pending: 0,
        }
    }
}

impl Buffers for WireBuffers {
    /// Behind what waits to be sent; at least the half of the buffer.
    fn output(&mut self) -> &mut [u8] {
        &mut self.output[self.pending..]
    }

    fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.input[self.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.end += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.start += amount;
    }

    /// ureq reads a body that has a length straight into the output and uses the other half only for chunked ones, which are never sent.
    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        (&mut self.input[self.end..], &mut self.output[self.pending..])
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.input().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn within(after: Duration) -> NextTimeout {
        NextTimeout { after: Patience::Exact(after), reason: Timeout::Global, ..NextTimeout::default() }
    }

    fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let wire = Wire::connect(&[address], within(Duration::from_secs(10))).expect("a connection");
        (wire, listener.accept().expect("its other end").0)
    }

    fn write(wire: &mut Wire, bytes: &[u8]) {
        wire.buffers().output()[..bytes.len()].copy_from_slice(bytes);
        wire.transmit_output(bytes.len(), within(Duration::from_secs(10))).expect("room");
    }

    fn times_out(result: Result<bool, Error>) -> bool {
        matches!(result, Err(Error::Timeout(Timeout::Global)))
    }

    #[test]
    fn what_is_written_goes_out_as_one_when_the_answer_is_waited_for() {
        let (mut wire, mut peer) = pair();
        write(&mut wire, b"head ");
        write(&mut wire, b"body");
        peer.set_nonblocking(true).expect("a socket");
        let mut there = [0; 100];
        assert_eq!(peer.read(&mut there).expect_err("nothing yet").kind(), ErrorKind::WouldBlock);
        assert!(times_out(wire.await_input(within(Duration::from_millis(1)))));
        assert_eq!(peer.read(&mut there).expect("all of it"), 9);
        assert_eq!(&there[..9], b"head body");
    }

    #[test]
    fn more_than_the_buffer_holds_goes_out_in_pieces() {
        let (mut wire, mut peer) = pair();
        let all: Vec<u8> = (0..3 * limits::REQUEST_BUFFER_BYTES).map(|index| (index % 251) as u8).collect();
        let mut rest = &all[..];
        while !rest.is_empty() {
            let room = wire.buffers().output().len();
            assert!(room >= limits::REQUEST_BUFFER_BYTES / 2);
            let (piece, later) = rest.split_at(room.min(1_000).min(rest.len()));
            write(&mut wire, piece);
            rest = later;
        }
        assert!(times_out(wire.await_input(within(Duration::from_millis(1)))));
        let mut there = vec![0; all.len()];
        peer.read_exact(&mut there).expect("all of it");
        assert!(there == all);
    }

    #[test]
    fn what_was_not_used_stays_in_front_of_what_comes() {
        let (mut wire, mut peer) = pair();
        let patience = within(Duration::from_secs(10));
        peer.write_all(b"abc").expect("room");
        assert!(wire.await_input(patience).expect("input"));
        wire.buffers().input_consume(1);
        assert!(wire.buffers().can_use_input());
        wire.buffers().input_consume(0);
        assert!(!wire.buffers().can_use_input(), "it has to be more");
        peer.write_all(b"de").expect("room");
        assert!(wire.await_input(patience).expect("input"));
        assert_eq!(wire.buffers().input(), b"bcde");
    }

    #[test]
    fn only_a_silent_connection_is_open() {
        let (mut wire, mut peer) = pair();
        assert!(wire.is_open());
        peer.write_all(b"x").expect("room");
        assert!(!wire.is_open());
        let (mut wire, peer) = pair();
        drop(peer);
        assert!(!wire.is_open());
    }
}
