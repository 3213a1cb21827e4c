//! The small trait between the journal's logic and a directory of files. glommio's files are the real ones; tools use
//! blocking ones, and simulations a disk that writes short, fails, fills up and forgets what was not synced.

mod blocking;
#[cfg(test)]
pub mod fake;
mod glommio;

use std::io;

pub use blocking::{BlockingDisk, BlockingFile};
pub use glommio::GlommioDisk;

/// A directory.
#[expect(async_fn_in_trait, reason = "the journal runs on one thread, so no future has to be sent")]
pub trait Disk {
    type File: DiskFile;

    /// The names of its files, in no order.
    async fn names(&self) -> io::Result<Vec<String>>;
    /// Makes a file that was not there. Its name lasts only after [`Self::sync_names`].
    async fn create(&self, name: &str) -> io::Result<Self::File>;
    async fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Replaces `to`, if it is there, at once. Lasts only after [`Self::sync_names`].
    async fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Whoever has it open can go on reading it.
    async fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes what was created, renamed and removed last.
    async fn sync_names(&self) -> io::Result<()>;
}

/// A file of it.
#[expect(async_fn_in_trait, reason = "the journal runs on one thread, so no future has to be sent")]
pub trait DiskFile {
    /// Its length in bytes.
    async fn size(&self) -> io::Result<u64>;
    /// Reads `len` bytes; fewer only at the file's end.
    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Writes some of the bytes, from their beginning, and returns how many.
    async fn write_at(&self, bytes: Vec<u8>, offset: u64) -> io::Result<usize>;
    /// Takes room for a length of so many bytes, so that later writes below it can't run out of it; what was not written
    /// reads as zeros. The file gets that length.
    async fn allocate(&self, len: u64) -> io::Result<()>;
    /// Cuts it to a length.
    async fn truncate(&self, len: u64) -> io::Result<()>;
    /// Makes all that was written last (`fdatasync`).
    async fn sync(&self) -> io::Result<()>;
}

/// Makes a file, in place of one of that name that may have been left behind.
pub async fn create_anew<D: Disk>(disk: &D, name: &str) -> io::Result<D::File> {
    match disk.create(name).await {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(name).await?;
            // Else a power cut might leave a later renaming of the new file, and this one under the name.
            disk.sync_names().await?;
            disk.create(name).await
        }
        other => other,
    }
}

/// Writes all that `bytes` makes, and returns how much that was. It is called once, and again for the rest of a short write,
/// which is rare: cheaper than to keep a copy each time.
pub async fn write_all(file: &impl DiskFile, mut bytes: impl FnMut() -> Vec<u8>, offset: u64) -> io::Result<usize> {
    let mut rest = bytes();
    let len = rest.len();
    let mut written = 0;
    while written < len {
        match file.write_at(rest, offset + written as u64).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            some => written += some,
        }
        rest = if written < len { bytes().split_off(written) } else { Vec::new() };
    }
    Ok(len)
}
