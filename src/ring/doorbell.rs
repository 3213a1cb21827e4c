//! How a sleeping shard is woken: one eventfd, rung by its ring's completions and by every other thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use glommio::io::BufferedFile;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// The ringing side; cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<OwnedFd>);

impl Doorbell {
    pub fn new() -> io::Result<Self> {
        // Blocking on purpose: io_uring arms a poll for a blocking descriptor, but answers EAGAIN for O_NONBLOCK.
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?)))
    }

    /// Wakes the listener, now or when it next listens. Rings before it listens add up to one.
    pub fn ring(&self) {
        // It can fail only by overflowing 2^64 - 2 unheard rings.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }

    /// Waits on this thread until the bell is rung, but no longer than so. Nobody may be listening meanwhile.
    pub fn nap(&self, longest: Duration) -> io::Result<()> {
        let mut bell = [PollFd::new(&*self.0, PollFlags::IN)];
        let longest = Timespec::try_from(longest).expect("a short time");
        let rung = poll(&mut bell, Some(&longest))?;
        if rung > 0 {
            rustix::io::read(&*self.0, &mut [0; 8])?;
        }
        Ok(())
    }

    /// The listening side, for the executor that runs on this thread.
    pub fn listen(&self) -> io::Result<DoorbellListener> {
        let descriptor = self.0.try_clone()?;
        // SAFETY: the descriptor is fresh and owned, and passes into the file, which closes it.
        let file = unsafe { BufferedFile::from_raw_fd(descriptor.into_raw_fd()) };
        Ok(DoorbellListener { file })
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The listening side of a [`Doorbell`], read through the executor's own ring.
pub struct DoorbellListener {
    file: BufferedFile,
}

impl DoorbellListener {
    /// Waits until the bell was rung at least once since the last call.
    pub async fn heard(&self) -> io::Result<()> {
        self.file.read_at(0, 8).await?;
        Ok(())
    }
}
