//! The small trait between the shard's logic and the kernel. [`SocketRing`] is the real one; tests drive the same
//! logic with a fake that writes short, refuses, resets and reorders.

use std::io;
use std::os::fd::OwnedFd;

use crate::ring::{Completion, SendBatch, SlotRef, SocketRing};

/// What a shard asks of its sockets. All but [`send`](Self::send) answer later, by a [`Completion`] with the same
/// [`SlotRef`].
pub trait Sockets {
    /// A connected socket before it has a slot.
    type Socket;

    /// The most sends of one batch.
    fn send_batch_max(&self) -> usize;
    /// Moves a socket into a free slot.
    fn adopt(&mut self, at: SlotRef, socket: Self::Socket) -> io::Result<()>;
    /// Delivers what the peer sends, buffer by buffer, until a completion without `more`.
    fn arm_receive(&mut self, at: SlotRef);
    /// Completes once, when the socket takes bytes again.
    fn watch_writable(&mut self, at: SlotRef);
    /// Ends our direction of the stream, behind all that was sent.
    fn shutdown_write(&mut self, at: SlotRef);
    /// Ends whatever is armed on the socket.
    fn cancel(&mut self, at: SlotRef);
    /// Gives the socket up. Nothing may be armed on it any more.
    fn close(&mut self, at: SlotRef);
    /// Sends now; the bytes are lent for the time of the call.
    fn send(&mut self, batch: &SendBatch<'_>, results: &mut Vec<i32>);
    /// Appends every completion that is there.
    fn reap(&mut self, completions: &mut Vec<Completion>);
    /// What a reaped receive brought. It is asked for once.
    fn received(&mut self, at: SlotRef, buffer: u16, len: usize) -> Received<'_>;
    /// Gives the buffer of a reaped receive back.
    fn recycle(&mut self, buffer: u16);
}

/// What a peer said in some bytes that came from it.
pub struct Received<'a> {
    /// None where the bytes were not a session's own, or not yet whole.
    pub bytes: &'a mut [u8],
    /// It says no more: what it ended is the stream of a session, which may be before the socket's.
    pub ended: bool,
}

impl Sockets for SocketRing {
    type Socket = OwnedFd;

    fn send_batch_max(&self) -> usize {
        self.send_batch_max()
    }

    fn adopt(&mut self, at: SlotRef, socket: OwnedFd) -> io::Result<()> {
        self.adopt(at.slot, socket)
    }

    fn arm_receive(&mut self, at: SlotRef) {
        self.arm_receive(at);
    }

    fn watch_writable(&mut self, at: SlotRef) {
        self.watch_writable(at);
    }

    fn shutdown_write(&mut self, at: SlotRef) {
        self.shutdown_write(at);
    }

    fn cancel(&mut self, at: SlotRef) {
        self.cancel(at);
    }

    fn close(&mut self, at: SlotRef) {
        self.close(at);
    }

    fn send(&mut self, batch: &SendBatch<'_>, results: &mut Vec<i32>) {
        self.send(batch, results);
    }

    fn reap(&mut self, completions: &mut Vec<Completion>) {
        self.reap(completions);
    }

    fn received(&mut self, _: SlotRef, buffer: u16, len: usize) -> Received<'_> {
        Received { bytes: self.received(buffer, len), ended: false }
    }

    fn recycle(&mut self, buffer: u16) {
        self.recycle(buffer);
    }
}
