//! The disk of start-up and of the command line: its calls block, and its futures are ready at once.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;

use super::{Disk, DiskFile};

/// Whoever may read the journal may read everything that was published.
const MODE: u32 = 0o600;

#[derive(Clone, Debug)]
pub struct BlockingDisk {
    directory: PathBuf,
}

pub struct BlockingFile(File);

impl BlockingDisk {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    pub fn path(&self) -> &Path {
        &self.directory
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Disk for BlockingDisk {
    type File = BlockingFile;

    async fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    async fn create(&self, name: &str) -> io::Result<BlockingFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(MODE).open(self.at(name)).map(BlockingFile)
    }

    async fn open(&self, name: &str) -> io::Result<BlockingFile> {
        let path = self.at(name);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // Enough to look at a journal.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                File::open(&path)?
            }
            opened => opened?,
        };
        Ok(BlockingFile(file))
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    async fn sync_names(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }
}

impl DiskFile for BlockingFile {
    async fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut read = 0;
        while read < len {
            match self.0.read_at(&mut bytes[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    async fn write_at(&self, bytes: Vec<u8>, offset: u64) -> io::Result<usize> {
        self.0.write_at(&bytes, offset)
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len)?)
    }

    async fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    async fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn files_are_made_grown_cut_renamed_and_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let disk = BlockingDisk::new(dir.path());
        block_on(async {
            let file = disk.create("a").await.expect("new");
            assert_eq!(disk.create("a").await.err().map(|error| error.kind()), Some(io::ErrorKind::AlreadyExists));
            file.allocate(100).await.expect("room");
            assert_eq!(file.write_at(b"hello".to_vec(), 10).await.expect("written"), 5);
            assert_eq!(file.read_at(9, 7).await.expect("read"), b"\0hello\0");
            file.truncate(12).await.expect("cut");
            file.sync().await.expect("synced");
            assert_eq!(file.read_at(9, 7).await.expect("read"), b"\0he", "fewer only at the end");
            disk.rename("a", "b").await.expect("renamed");
            assert_eq!(disk.names().await.expect("names"), ["b"]);
            assert_eq!(disk.open("b").await.expect("there").size().await.expect("size"), 12);
            disk.remove("b").await.expect("removed");
            disk.sync_names().await.expect("synced");
            assert_eq!(disk.open("b").await.err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
            assert_eq!(file.read_at(10, 5).await.expect("still open"), b"he");
        });
    }
}
