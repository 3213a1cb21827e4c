//! Where the core's events come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;

use crate::journal::{Chunk, JournalHandle, ReadError, Window};

/// The journal, as far as the core looks at it.
pub trait Events: Send {
    /// The number below which every event is kept.
    fn kept(&self) -> u64;

    /// The events from a number on, about `bytes_max` of them; may go past [`Self::kept`]. It blocks while the disk is read.
    fn read(&mut self, from: u64, bytes_max: usize) -> Result<Chunk, ReadError>;
}

/// The running server's. What is recent comes from memory, the rest from the disk; a core that lags holds nobody up.
pub struct JournalEvents {
    pub kept: Arc<AtomicU64>,
    pub window: Arc<Window>,
    pub history: JournalHandle,
}

impl Events for JournalEvents {
    fn kept(&self) -> u64 {
        self.kept.load(Ordering::Acquire)
    }

    fn read(&mut self, from: u64, bytes_max: usize) -> Result<Chunk, ReadError> {
        if let Some(chunk) = self.window.recent(from, bytes_max) {
            return Ok(chunk);
        }
        let (sender, chunk) = channel();
        // Whoever stops the journal has stopped the core before.
        self.history.read(from, bytes_max, Box::new(move |read| drop(sender.send(read))));
        chunk.recv().unwrap_or(Ok(Chunk { from, next: from, parts: Vec::new() }))
    }
}
