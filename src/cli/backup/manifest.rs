//! `manifest.json`: what a backup consists of. It is written last, so a backup that has one is whole.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::limits::{BACKUP_MANIFEST_BYTES_MAX, BACKUP_STEP_BYTES};

pub const MANIFEST_FILE: &str = "manifest.json";
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// The version of Stentor that made it.
    pub stentor: String,
    pub created: String,
    pub files: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Within the backup, and within the data directory.
    pub path: String,
    pub bytes: u64,
    /// CRC-32C, eight hexadecimal digits.
    pub crc32c: String,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidBackup {
    #[error("it has no {MANIFEST_FILE}, so it is no backup, or one that was not finished")]
    NoManifest,
    #[error("its {MANIFEST_FILE} can't be read: {0}")]
    Manifest(String),
    #[error("it has format {0}, and this version of Stentor reads format {FORMAT}: use the version that made it")]
    Format(u32),
    #[error("its file {path} can't be read: {source}")]
    File { path: String, source: io::Error },
    #[error("its file {0} is not what was backed up: its length or its checksum differs")]
    Changed(String),
}

impl Manifest {
    pub fn new(files: Vec<Entry>) -> Self {
        let created = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self { format: FORMAT, stentor: env!("CARGO_PKG_VERSION").to_owned(), created, files }
    }

    pub fn read(backup: &Path) -> Result<Self, InvalidBackup> {
        let mut bytes = Vec::new();
        match File::open(backup.join(MANIFEST_FILE)) {
            Ok(file) => file.take(BACKUP_MANIFEST_BYTES_MAX).read_to_end(&mut bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(InvalidBackup::NoManifest),
            Err(error) => Err(error),
        }
        .map_err(|error| InvalidBackup::Manifest(error.to_string()))?;
        let manifest: Self =
            serde_json::from_slice(&bytes).map_err(|error| InvalidBackup::Manifest(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(InvalidBackup::Format(manifest.format));
        }
        // Nothing that it names may lie outside.
        let is_inside = |entry: &Entry| {
            let mut parts = Path::new(&entry.path).components();
            !entry.path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        match manifest.files.iter().find(|entry| !is_inside(entry)) {
            Some(entry) => Err(InvalidBackup::Manifest(format!("it names {:?}", entry.path))),
            None => Ok(manifest),
        }
    }
}

impl Entry {
    /// Copies what is left of `from`, and says what that was.
    pub fn of_copy(path: &str, from: &mut impl Read, to: &mut impl Write) -> io::Result<Self> {
        let mut buffer = vec![0; BACKUP_STEP_BYTES];
        let (mut bytes, mut crc) = (0, 0);
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            crc = crc32c::crc32c_append(crc, &buffer[..read]);
            bytes += read as u64;
            to.write_all(&buffer[..read])?;
        }
        Ok(Self { path: path.to_owned(), bytes, crc32c: format!("{crc:08x}") })
    }

    /// Whether the backup's file is still the one that was written.
    pub fn check(&self, backup: &Path) -> Result<(), InvalidBackup> {
        let read = File::open(backup.join(&self.path))
            .and_then(|mut file| Self::of_copy(&self.path, &mut file, &mut io::sink()));
        match read {
            Ok(found) if found == *self => Ok(()),
            Ok(_) => Err(InvalidBackup::Changed(self.path.clone())),
            Err(source) => Err(InvalidBackup::File { path: self.path.clone(), source }),
        }
    }
}
