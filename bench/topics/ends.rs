//! The far ends of a plane's sockets, where what was sent is checked: real ones over loopback TCP, and ones without a kernel,
//! so that the cost of the matching is not hidden behind that of the sends.

use std::cell::RefCell;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::RecvFlags;
use stentor::limits;
use stentor::ring::{Completion, RingOptions, SendBatch, SlotRef, SocketRing};
use stentor::shard::{Received, Sockets};

/// An answer that is not what it should be. Whatever was measured with it counts nothing.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    #[error("member {member} should have got event {seq}, and {what}")]
    Event { member: usize, seq: u64, what: String },
    #[error("member {member} got something that is not for it, or something twice")]
    TooMuch { member: usize },
}

/// The members of a crowd as their clients see them, numbered from 0 in the order in which they connected.
pub trait FarEnds {
    type Kernel: Sockets;

    fn connect(&mut self) -> <Self::Kernel as Sockets>::Socket;
    /// Passes over the answers to what the member said while it joined.
    fn pass_over(&mut self, member: usize, bytes: u64);
    /// Each of these members has these frames next, the first of which is event `seq`'s.
    fn expect(&mut self, members: &[usize], seq: u64, frames: &[u8]) -> Result<(), Wrong>;
    /// Nobody has anything that was not expected.
    fn expect_nothing(&mut self) -> Result<(), Wrong>;
}

/// Clients on 127.0.0.1, as many as the ring has slots.
pub struct Loopback {
    listener: TcpListener,
    clients: Vec<TcpStream>,
    buffer: Vec<u8>,
}

impl Loopback {
    /// Longer than the kernel takes to pass bytes on, however busy the machine.
    const PATIENCE: Duration = Duration::from_secs(5);

    pub fn open(sockets: usize) -> io::Result<(SocketRing, Self)> {
        let ring = SocketRing::new(RingOptions {
            slots: sockets as u32,
            submission_entries: limits::RING_SUBMISSION_ENTRIES,
            completion_entries: limits::RING_COMPLETION_ENTRIES,
            receive_buffers: limits::RECEIVE_BUFFERS,
            receive_buffer_bytes: limits::RECEIVE_BUFFER_BYTES,
        })?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Ok((ring, Self { listener, clients: Vec::new(), buffer: Vec::new() }))
    }
}

impl FarEnds for Loopback {
    type Kernel = SocketRing;

    fn connect(&mut self) -> OwnedFd {
        let address = self.listener.local_addr().expect("a bound listener");
        let client = TcpStream::connect(address).expect("a listener with room");
        client.set_read_timeout(Some(Self::PATIENCE)).expect("a positive timeout");
        self.clients.push(client);
        self.listener.accept().expect("the one that just connected").0.into()
    }

    fn pass_over(&mut self, member: usize, bytes: u64) {
        let passed = io::copy(&mut (&self.clients[member]).take(bytes), &mut io::sink());
        assert_eq!(passed.expect("answers that were sent"), bytes);
    }

    fn expect(&mut self, members: &[usize], seq: u64, frames: &[u8]) -> Result<(), Wrong> {
        for &member in members {
            self.buffer.resize(frames.len(), 0);
            let wrong = |what| Err(Wrong::Event { member, seq, what });
            match (&self.clients[member]).read_exact(&mut self.buffer) {
                Ok(()) if self.buffer == frames => {}
                Ok(()) => return wrong("got something else".into()),
                Err(error) => return wrong(format!("got less: {error}")),
            }
        }
        Ok(())
    }

    fn expect_nothing(&mut self) -> Result<(), Wrong> {
        for (member, client) in self.clients.iter().enumerate() {
            let mut byte = [0];
            if rustix::net::recv(client, &mut byte[..], RecvFlags::DONTWAIT) != Err(rustix::io::Errno::AGAIN) {
                return Err(Wrong::TooMuch { member });
            }
        }
        Ok(())
    }
}

/// What was sent since it was last asked for: the member and the bytes of each send.
type Sends = Rc<RefCell<Vec<(usize, usize)>>>;

/// A kernel that takes everything and does nothing.
pub struct NoKernel {
    member_of_slot: Vec<usize>,
    sends: Sends,
}

/// What such a kernel was given.
pub struct Ledger {
    members: usize,
    sends: Sends,
}

impl Ledger {
    pub fn open() -> (NoKernel, Self) {
        let sends = Sends::default();
        (NoKernel { member_of_slot: Vec::new(), sends: sends.clone() }, Self { members: 0, sends })
    }
}

impl FarEnds for Ledger {
    type Kernel = NoKernel;

    fn connect(&mut self) -> usize {
        self.members += 1;
        self.members - 1
    }

    fn pass_over(&mut self, _: usize, _: u64) {
        self.sends.borrow_mut().clear();
    }

    fn expect(&mut self, members: &[usize], seq: u64, frames: &[u8]) -> Result<(), Wrong> {
        let mut sends = self.sends.borrow_mut();
        for &member in members {
            let Some(at) = sends.iter().position(|send| send.0 == member) else {
                return Err(Wrong::Event { member, seq, what: "got nothing".into() });
            };
            let (_, bytes) = sends.swap_remove(at);
            if bytes != frames.len() {
                return Err(Wrong::Event { member, seq, what: format!("got {bytes} bytes of {}", frames.len()) });
            }
        }
        Ok(())
    }

    fn expect_nothing(&mut self) -> Result<(), Wrong> {
        self.sends.borrow().first().map_or(Ok(()), |&(member, _)| Err(Wrong::TooMuch { member }))
    }
}

impl Sockets for NoKernel {
    /// The member's number.
    type Socket = usize;

    fn send_batch_max(&self) -> usize {
        limits::SEND_BATCH_SOCKETS
    }

    fn adopt(&mut self, at: SlotRef, member: usize) -> io::Result<()> {
        let slot = at.slot as usize;
        self.member_of_slot.resize(self.member_of_slot.len().max(slot + 1), usize::MAX);
        self.member_of_slot[slot] = member;
        Ok(())
    }

    fn send(&mut self, batch: &SendBatch<'_>, results: &mut Vec<i32>) {
        results.clear();
        let mut sends = self.sends.borrow_mut();
        for (slot, pieces) in batch.iter() {
            let bytes = pieces.iter().map(|piece| piece.len()).sum();
            sends.push((self.member_of_slot[slot as usize], bytes));
            results.push(bytes as i32);
        }
    }

    fn arm_receive(&mut self, _: SlotRef) {}
    fn watch_writable(&mut self, _: SlotRef) {}
    fn shutdown_write(&mut self, _: SlotRef) {}
    fn cancel(&mut self, _: SlotRef) {}
    fn close(&mut self, _: SlotRef) {}
    fn reap(&mut self, _: &mut Vec<Completion>) {}

    fn received(&mut self, _: SlotRef, _: u16, _: usize) -> Received<'_> {
        unreachable!("nothing comes from here")
    }

    fn recycle(&mut self, _: u16) {
        unreachable!("nothing comes from here")
    }
}
