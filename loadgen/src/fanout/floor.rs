//! The floor: what fan-out costs when a server does nothing but call `send(2)` on one socket after another.
//!
//! A minimal server on one thread: it accepts, answers the upgrade, and then, at each step's intended time, sends the
//! one ready frame to every socket. No HTTP, no queue, no bookkeeping, no second thread. A server's time divided by
//! the floor's, in the same run, with the same client on the same CPUs, is what the server itself adds.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::clock::Clock;
use crate::cpu;
use crate::driver::{Driver, Reins, RoundOutcome, RoundPlan};
use crate::event::EventWriter;
use crate::handshake::accept_upgrade;
use crate::limits::{ANSWER_BYTES_MAX, FLOOR_HANDSHAKE_MS_MAX};
use crate::schedule::Schedule;

/// The accept queue asked for; the kernel cuts it to `somaxconn`.
const BACKLOG: i32 = 4096;

/// The floor could not serve.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    #[error("the floor's server can't listen on 127.0.0.1: {0}")]
    Listen(io::Error),
    #[error("the floor's server can't be pinned to CPU {cpu}: {source}")]
    Pin { cpu: usize, source: io::Error },
    #[error("the floor's server can't take a connection: {0}")]
    Accept(io::Error),
    #[error("the floor's server got a connection that asked for no upgrade")]
    NoUpgrade,
    #[error("a socket of the floor took no bytes for {0} s")]
    Stuck(u64),
}

/// What the floor sends.
pub struct Floor {
    pub sockets: u32,
    pub events: EventWriter,
    pub schedule: Schedule,
    /// Whether a burst goes out as one send a socket, instead of one send per event and socket.
    pub coalesce: bool,
    pub clock: Clock,
    pub cpu: usize,
}

/// How long a full socket may stay full.
const STUCK_SECONDS_MAX: u64 = 10;

impl Floor {
    /// Listens on a free port of 127.0.0.1 and starts the serving thread.
    pub fn start(self) -> Result<(Driver, SocketAddrV4), FloorError> {
        let listener = listen().map_err(FloorError::Listen)?;
        let address = match listener.local_addr().map_err(FloorError::Listen)? {
            std::net::SocketAddr::V4(address) => address,
            std::net::SocketAddr::V6(_) => unreachable!("bound to an IPv4 address"),
        };
        let driver = Driver::start("floor", move |reins| {
            if let Err(error) = self.serve(listener, &reins) {
                reins.tell(Err(error.into()));
            }
        });
        Ok((driver.map_err(FloorError::Listen)?, address))
    }

    fn serve(&self, listener: TcpListener, reins: &Reins) -> Result<(), FloorError> {
        cpu::pin(self.cpu).map_err(|source| FloorError::Pin { cpu: self.cpu, source })?;
        // With no more right to the CPU than a server has: on a busy machine it would be quicker by that.
        cpu::sleep_exactly();
        let mut sockets = Vec::with_capacity(self.sockets as usize);
        while sockets.len() < self.sockets as usize && !reins.stopped() {
            if readable(&listener, Duration::from_millis(50)) {
                let (stream, _) = listener.accept().map_err(FloorError::Accept)?;
                sockets.push(upgrade(stream)?);
            }
        }
        while let Some(plan) = reins.next_round() {
            reins.tell(self.send_round(plan, &sockets, reins).map_err(Into::into));
        }
        Ok(())
    }

    fn send_round(&self, plan: RoundPlan, sockets: &[TcpStream], reins: &Reins) -> Result<RoundOutcome, FloorError> {
        let cpu_before = cpu::thread_ns();
        let mut outcome = RoundOutcome::new();
        for step in 0..self.schedule.steps_per_round() {
            let events = self.schedule.events_of(plan.round, step);
            let mut frames: Vec<Vec<u8>> =
                events.map(|event| self.events.sent_frame(event, plan.first_seq + u64::from(event))).collect();
            if self.coalesce {
                frames = vec![frames.concat()];
            }
            let due_ns = plan.start_ns + self.schedule.offset_ns(step);
            while let Some(sleep) = self.clock.sleep_before(due_ns) {
                if reins.stopped() {
                    return Ok(outcome);
                }
                std::thread::sleep(sleep.min(Duration::from_millis(50)));
            }
            self.clock.spin_until(due_ns);
            outcome.late.saturating_record(self.clock.now_ns().saturating_sub(due_ns).max(1));
            for frame in &frames {
                for socket in sockets {
                    send(socket, frame)?;
                }
                if reins.stopped() {
                    return Ok(outcome);
                }
            }
        }
        outcome.cpu_ns = cpu::thread_ns() - cpu_before;
        Ok(outcome)
    }
}

/// The loop's body: one `send(2)`, which nearly always takes all.
#[inline]
fn send(socket: &TcpStream, frame: &[u8]) -> Result<(), FloorError> {
    match rustix::net::send(socket, frame, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(sent) if sent == frame.len() => Ok(()),
        Ok(sent) => send_rest(socket, &frame[sent..]),
        Err(Errno::AGAIN) => send_rest(socket, frame),
        // The client closed it; the others go on.
        Err(_) => Ok(()),
    }
}

#[cold]
fn send_rest(socket: &TcpStream, mut rest: &[u8]) -> Result<(), FloorError> {
    let deadline = Instant::now() + Duration::from_secs(STUCK_SECONDS_MAX);
    while !rest.is_empty() {
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&timeout));
        match rustix::net::send(socket, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(sent) => rest = &rest[sent..],
            Err(Errno::AGAIN | Errno::INTR) if Instant::now() < deadline => {}
            Err(Errno::AGAIN | Errno::INTR) => return Err(FloorError::Stuck(STUCK_SECONDS_MAX)),
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn listen() -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM.cloexec(), None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn readable(listener: &TcpListener, timeout: Duration) -> bool {
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(timeout.subsec_nanos()) };
    matches!(poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&timeout)), Ok(1))
}

fn upgrade(mut stream: TcpStream) -> Result<TcpStream, FloorError> {
    stream.set_nodelay(true).map_err(FloorError::Accept)?;
    stream.set_read_timeout(Some(Duration::from_millis(FLOOR_HANDSHAKE_MS_MAX))).map_err(FloorError::Accept)?;
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        let got = stream.read(&mut chunk).map_err(FloorError::Accept)?;
        if got == 0 || request.len() > ANSWER_BYTES_MAX {
            return Err(FloorError::NoUpgrade);
        }
        request.extend_from_slice(&chunk[..got]);
    }
    let answer = accept_upgrade(&request).ok_or(FloorError::NoUpgrade)?;
    stream.write_all(&answer).map_err(FloorError::Accept)?;
    Ok(stream)
}
