//! The real directory, through glommio's rings: nothing here blocks the thread but [`Disk::names`], which is for the start.

use std::io;
use std::path::PathBuf;

use glommio::io::{BufferedFile, Directory, OpenOptions};

use super::{Disk, DiskFile};

/// A directory that is there. It can be used on the executor that has opened it.
pub struct GlommioDisk {
    path: PathBuf,
    directory: Directory,
}

impl GlommioDisk {
    pub async fn open(path: PathBuf) -> io::Result<Self> {
        let directory = Directory::open(&path).await?;
        Ok(Self { path, directory })
    }

    async fn open_file(&self, name: &str, new: bool) -> io::Result<BufferedFile> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(new).mode(0o600);
        Ok(options.buffered_open(self.path.join(name)).await?)
    }
}

impl Disk for GlommioDisk {
    type File = BufferedFile;

    async fn names(&self) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(&self.path)?;
        let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    async fn create(&self, name: &str) -> io::Result<BufferedFile> {
        self.open_file(name, true).await
    }

    async fn open(&self, name: &str) -> io::Result<BufferedFile> {
        self.open_file(name, false).await
    }

    async fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(glommio::io::rename(self.path.join(from), self.path.join(to)).await?)
    }

    async fn remove(&self, name: &str) -> io::Result<()> {
        Ok(glommio::io::remove(self.path.join(name)).await?)
    }

    async fn sync_names(&self) -> io::Result<()> {
        Ok(self.directory.sync().await?)
    }
}

impl DiskFile for BufferedFile {
    /// Asks by the name under which the file was opened, so not to be called for one that was renamed or removed.
    async fn size(&self) -> io::Result<u64> {
        Ok(self.file_size().await?)
    }

    async fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = BufferedFile::read_at(self, offset, len).await?.to_vec();
        while bytes.len() < len {
            let more = BufferedFile::read_at(self, offset + bytes.len() as u64, len - bytes.len()).await?;
            if more.is_empty() {
                break;
            }
            bytes.extend_from_slice(&more);
        }
        Ok(bytes)
    }

    async fn write_at(&self, bytes: Vec<u8>, offset: u64) -> io::Result<usize> {
        Ok(BufferedFile::write_at(self, bytes, offset).await?)
    }

    async fn allocate(&self, len: u64) -> io::Result<()> {
        match self.pre_allocate(len, false).await.map_err(io::Error::from) {
            // Some file systems can't promise room. There a write may find none, as on any other device that fails.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => DiskFile::truncate(self, len).await,
            other => other,
        }
    }

    async fn truncate(&self, len: u64) -> io::Result<()> {
        Ok(BufferedFile::truncate(self, len).await?)
    }

    async fn sync(&self) -> io::Result<()> {
        Ok(self.fdatasync().await?)
    }
}
