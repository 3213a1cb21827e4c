//! One shard's io_uring: direct descriptors, multishot receives, batched sends that finish inside the call.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, Fixed};
use io_uring::{IoUring, cqueue, opcode};

use super::SlotRef;
use super::receive_buffers::ReceiveBuffers;
use super::user_data::{pack, unpack};

/// What was asked of the kernel; the first byte of `user_data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Never seen by the caller: [`SocketRing::send`] reaps its own.
    Send = 0,
    Receive = 1,
    Writable = 2,
    ShutdownWrite = 3,
    Cancel = 4,
    Close = 5,
}

/// One reaped completion.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    pub operation: Operation,
    pub at: SlotRef,
    /// Bytes or flags where it is not negative, else a negated `errno`.
    pub result: i32,
    /// The buffer that holds received bytes; it must come back by [`SocketRing::recycle`].
    pub buffer: Option<u16>,
    /// Whether the operation goes on (a multishot receive); where it does not, it was the last one.
    pub more: bool,
}

/// Sends to be made in one call. The bytes are borrowed from the shard's log and from the sessions' own pieces.
#[derive(Default)]
pub struct SendBatch<'a> {
    pieces: Vec<IoSlice<'a>>,
    sends: Vec<BatchedSend>,
}

#[derive(Clone, Copy)]
struct BatchedSend {
    slot: u32,
    first_piece: u32,
    pieces: u32,
}

impl<'a> SendBatch<'a> {
    /// Begins a send to `slot`; the pieces pushed next belong to it.
    pub fn begin(&mut self, slot: u32) {
        self.sends.push(BatchedSend { slot, first_piece: self.pieces.len() as u32, pieces: 0 });
    }

    /// Adds bytes to the send begun last. Empty pieces are left out.
    pub fn push(&mut self, piece: &'a [u8]) {
        if !piece.is_empty() {
            self.sends.last_mut().expect("begin() comes first").pieces += 1;
            self.pieces.push(IoSlice::new(piece));
        }
    }

    pub fn len(&self) -> usize {
        self.sends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    /// Each send's slot and pieces, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &[IoSlice<'a>])> {
        self.sends.iter().map(|send| (send.slot, self.pieces_of(send)))
    }

    /// An empty batch of any lifetime that keeps this one's allocations (a `Vec` of the same layout, emptied and
    /// collected in place, is not allocated anew).
    pub fn recycle<'b>(self) -> SendBatch<'b> {
        let Self { mut pieces, mut sends } = self;
        pieces.clear();
        sends.clear();
        SendBatch { pieces: pieces.into_iter().map(|_| unreachable!("emptied above")).collect(), sends }
    }

    fn pieces_of(&self, send: &BatchedSend) -> &[IoSlice<'a>] {
        &self.pieces[send.first_piece as usize..(send.first_piece + send.pieces) as usize]
    }
}

/// How large a ring is. See `limits` for the figures that the server uses.
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// Direct descriptors; bounded by RLIMIT_NOFILE in the kernel.
    pub slots: u32,
    /// Submission queue entries, and so the most sends that one `io_uring_enter` carries.
    pub submission_entries: u32,
    pub completion_entries: u32,
    /// A power of two.
    pub receive_buffers: u16,
    pub receive_buffer_bytes: u32,
}

/// One shard's sockets. Not `Send`: only the thread that made it may enter it (`IORING_SETUP_SINGLE_ISSUER`).
pub struct SocketRing {
    // The order matters: the ring must be gone before its buffers are.
    uring: IoUring,
    buffers: ReceiveBuffers,
    headers: Vec<libc::msghdr>,
    /// Completions of other operations that came up while sends were being counted.
    stashed: Vec<Completion>,
    /// The results of the batch under way, and how many of them are still awaited.
    results: Vec<i32>,
    awaited: usize,
    submission_entries: usize,
}

impl SocketRing {
    /// Sets up a ring on the calling thread, which must be the one that uses it.
    pub fn new(options: RingOptions) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(options.completion_entries)
            .build(options.submission_entries)?;
        uring.submitter().register_files_sparse(options.slots)?;
        // Shutdowns are punted to worker threads; a storm of them must not become a storm of threads.
        uring.submitter().register_iowq_max_workers(&mut [1, 2])?;
        let buffers = ReceiveBuffers::register(&uring, options.receive_buffers, options.receive_buffer_bytes)?;
        let submission_entries = uring.params().sq_entries() as usize;
        // SAFETY: an all-zero msghdr is a valid, empty one.
        let headers = vec![unsafe { std::mem::zeroed::<libc::msghdr>() }; submission_entries];
        Ok(Self { uring, buffers, headers, stashed: Vec::new(), results: Vec::new(), awaited: 0, submission_entries })
    }

    /// The most sends that one batch may carry.
    pub fn send_batch_max(&self) -> usize {
        self.submission_entries
    }

    /// Lets `doorbell` be rung for completions, while the ring is not [muted](Self::mute_doorbell).
    pub fn attach_doorbell(&self, doorbell: BorrowedFd<'_>) -> io::Result<()> {
        self.uring.submitter().register_eventfd(doorbell.as_raw_fd())
    }

    /// While the shard is awake it looks at the queue anyway; ringing would only cost.
    pub fn mute_doorbell(&mut self, muted: bool) {
        let completions = self.uring.completion();
        if muted {
            completions.disable_eventfd();
        } else {
            completions.enable_eventfd();
        }
    }

    /// Moves a socket into `slot`, which must be free, and closes its process descriptor.
    pub fn adopt(&mut self, slot: u32, socket: OwnedFd) -> io::Result<()> {
        self.uring.submitter().register_files_update(slot, &[socket.as_raw_fd()])?;
        Ok(())
    }

    /// Arms the multishot receive. It ends (`more` false) on end of stream, on an error, and when the buffers ran out
    /// (`ENOBUFS`): then it must be armed again.
    pub fn arm_receive(&mut self, at: SlotRef) {
        let entry = opcode::RecvMulti::new(Fixed(at.slot), ReceiveBuffers::GROUP).build();
        self.push(entry.user_data(pack(Operation::Receive, at)));
    }

    /// Asks once to be told when the socket takes bytes again (`POLLOUT`).
    pub fn watch_writable(&mut self, at: SlotRef) {
        let entry = opcode::PollAdd::new(Fixed(at.slot), libc::POLLOUT as u32).build();
        self.push(entry.user_data(pack(Operation::Writable, at)));
    }

    /// `shutdown(SHUT_WR)`: all that was sent goes out, then the peer reads the end of the stream.
    pub fn shutdown_write(&mut self, at: SlotRef) {
        let entry = opcode::Shutdown::new(Fixed(at.slot), libc::SHUT_WR).build();
        self.push(entry.user_data(pack(Operation::ShutdownWrite, at)));
    }

    /// Cancels whatever is armed on the socket; the cancelled operations complete with `ECANCELED`.
    pub fn cancel(&mut self, at: SlotRef) {
        let entry = opcode::AsyncCancel2::new(CancelBuilder::fd(Fixed(at.slot)).all()).build();
        self.push(entry.user_data(pack(Operation::Cancel, at)));
    }

    /// Closes the direct descriptor. With no operation armed on it, this is what ends the connection.
    pub fn close(&mut self, at: SlotRef) {
        let entry = opcode::Close::new(Fixed(at.slot)).build();
        self.push(entry.user_data(pack(Operation::Close, at)));
    }

    /// Makes every send of the batch; `results` gets, in order, the bytes taken or a negated `errno` (`EAGAIN`: the
    /// socket is full). The batch holds at most [`send_batch_max`](Self::send_batch_max) sends.
    pub fn send(&mut self, batch: &SendBatch<'_>, results: &mut Vec<i32>) {
        assert!(batch.len() <= self.submission_entries, "a batch of {} sends", batch.len());
        self.submit_all();
        self.results.clear();
        self.results.resize(batch.len(), i32::MIN);
        self.awaited = batch.len();
        for (index, send) in batch.sends.iter().enumerate() {
            let entry = self.send_entry(index, send.slot, batch.pieces_of(send));
            let at = SlotRef { slot: index as u32, generation: 0 };
            self.push(entry.user_data(pack(Operation::Send, at)));
        }
        // From here to the last counted completion the kernel may read the batch's bytes, so nothing returns early.
        self.submit_all();
        self.drain_queue();
        while self.awaited > 0 {
            self.enter(1);
            self.drain_queue();
        }
        std::mem::swap(&mut self.results, results);
    }

    /// Submits what is queued, runs deferred work and moves every completion into `completions`.
    pub fn reap(&mut self, completions: &mut Vec<Completion>) {
        let pending = {
            let submission = self.uring.submission();
            !submission.is_empty() || submission.taskrun() || submission.cq_overflow()
        };
        if pending {
            self.enter(0);
            self.submit_all();
        }
        self.drain_queue();
        completions.append(&mut self.stashed);
    }

    /// Whether the kernel has more that a call of [`reap`](Self::reap) would bring: it does only so much of its deferred work in
    /// one `io_uring_enter` (20 completions in Linux 6.10 and later).
    pub fn has_more(&mut self) -> bool {
        let submission = self.uring.submission();
        submission.taskrun() || submission.cq_overflow()
    }

    /// Blocks until at least one completion is there (for programs that have no executor), then reaps.
    pub fn wait(&mut self, timeout: std::time::Duration, completions: &mut Vec<Completion>) {
        if self.stashed.is_empty() && self.uring.completion().is_empty() {
            let timespec = io_uring::types::Timespec::from(timeout);
            let arguments = io_uring::types::SubmitArgs::new().timespec(&timespec);
            match self.uring.submitter().submit_with_args(1, &arguments) {
                Ok(_) => {}
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN)) => {
                }
                Err(error) => panic!("io_uring_enter refused a wait: {error}"),
            }
        }
        self.reap(completions);
    }

    /// The bytes that a [`Completion`] of [`Operation::Receive`] brought.
    pub fn received(&mut self, buffer: u16, len: usize) -> &mut [u8] {
        self.buffers.bytes(buffer, len)
    }

    /// Gives a receive buffer back.
    pub fn recycle(&mut self, buffer: u16) {
        self.buffers.recycle(buffer);
    }

    fn send_entry(&mut self, index: usize, slot: u32, pieces: &[IoSlice<'_>]) -> Entry {
        match pieces {
            [one] => opcode::Send::new(Fixed(slot), one.as_ptr(), one.len() as u32).flags(libc::MSG_DONTWAIT).build(),
            many => {
                let header = &mut self.headers[index];
                // `IoSlice` has the layout of `iovec` (std's promise on Unix); sendmsg only reads it.
                header.msg_iov = many.as_ptr() as *mut libc::iovec;
                header.msg_iovlen = many.len();
                opcode::SendMsg::new(Fixed(slot), header).flags(libc::MSG_DONTWAIT as u32).build()
            }
        }
    }

    fn push(&mut self, entry: Entry) {
        // SAFETY: entries name a direct descriptor and carry either no pointer at all or, in `send`, pointers that
        // outlive the operation, because `send` waits for its completions.
        while unsafe { self.uring.submission().push(&entry) }.is_err() {
            self.submit_all();
        }
    }

    /// The kernel may take only a part of the queue; this goes on until it took all of it.
    fn submit_all(&mut self) {
        while !self.uring.submission().is_empty() {
            self.enter(0);
        }
    }

    /// One `io_uring_enter`. Where the kernel wants completions reaped before it goes on, that is done.
    fn enter(&mut self, want: usize) {
        match self.uring.submitter().submit_and_wait(want) {
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN)) => {
                self.drain_queue();
                std::thread::yield_now();
            }
            Err(error) => panic!("io_uring_enter refused a submission: {error}"),
        }
    }

    /// Empties the completion queue: sends into `results`, the rest into the stash.
    fn drain_queue(&mut self) {
        for entry in self.uring.completion() {
            let (operation, at) = unpack(entry.user_data());
            if operation == Operation::Send {
                self.results[at.slot as usize] = entry.result();
                self.awaited -= 1;
                continue;
            }
            let buffer = cqueue::buffer_select(entry.flags());
            if let Some(buffer) = buffer {
                self.buffers.take(buffer);
            }
            self.stashed.push(Completion {
                operation,
                at,
                result: entry.result(),
                buffer,
                more: cqueue::more(entry.flags()),
            });
        }
    }
}
