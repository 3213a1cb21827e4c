//! Reads a segment's file record by record, in large steps.

use std::io;
use std::ops::Deref;

use super::disk::DiskFile;
use super::record::{self, ALIGNMENT, Found, HEADER_BYTES};
use crate::limits::{RECORD_BYTES_MAX, REPLAY_CHUNK_BYTES};

/// A place in a file, and the bytes that were read from there on.
pub struct Scan<P> {
    file: P,
    offset: u64,
    /// Bytes of the file from `buffer_at` on, which is `offset` or before it.
    buffer: Vec<u8>,
    buffer_at: u64,
    /// Nothing is read from here on: the file has no more, or `limit`.
    end: u64,
    limit: u64,
}

impl<P: Deref<Target: DiskFile>> Scan<P> {
    /// From `offset` on; `end` is the file's length, or where to stop before it.
    pub fn new(file: P, offset: u64, end: u64) -> Self {
        Self { file, offset, buffer: Vec::new(), buffer_at: offset, end, limit: end }
    }

    /// Forgets what was read: somebody may have written meanwhile.
    pub fn refresh(&mut self) {
        self.buffer.clear();
        (self.buffer_at, self.end) = (self.offset, self.limit);
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is at the offset. It is never partial, unless the file ends there.
    pub async fn look(&mut self) -> io::Result<Found<'_>> {
        self.fill(HEADER_BYTES).await?;
        if let Some((len, _)) = self.rest().split_first_chunk() {
            let len = u32::from_le_bytes(*len) as usize;
            // A longer one is no record, which takes no more bytes to see.
            if len <= RECORD_BYTES_MAX {
                self.fill(HEADER_BYTES + len).await?;
            }
        }
        Ok(record::find(self.rest()))
    }

    /// Goes on behind these bytes.
    pub fn pass(&mut self, bytes: usize) {
        self.offset += bytes as u64;
    }

    /// Goes on where something may begin that is not zero, or behind what has been read.
    pub fn pass_zeros(&mut self) {
        let rest = self.rest();
        let zeros = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
        // Behind an odd end there is nothing more to read.
        self.pass((zeros / ALIGNMENT * ALIGNMENT).max(ALIGNMENT));
    }

    pub fn is_at_end(&self) -> bool {
        self.offset >= self.end
    }

    fn rest(&self) -> &[u8] {
        let at = (self.offset - self.buffer_at).min(self.buffer.len() as u64) as usize;
        &self.buffer[at..]
    }

    /// Sees to it that so many bytes are there from the offset on, or all that the file has.
    async fn fill(&mut self, len: usize) -> io::Result<()> {
        while self.rest().len() < len {
            let passed = self.buffer.len() - self.rest().len();
            self.buffer.drain(..passed);
            self.buffer_at = self.offset;
            let from = self.buffer_at + self.buffer.len() as u64;
            let missing = (len - self.buffer.len()).max(REPLAY_CHUNK_BYTES) as u64;
            let wanted = missing.min(self.end.saturating_sub(from)) as usize;
            if wanted == 0 {
                break;
            }
            let bytes = self.file.read_at(from, wanted).await?;
            if bytes.is_empty() {
                self.end = from;
            }
            self.buffer.extend_from_slice(&bytes);
        }
        Ok(())
    }
}
