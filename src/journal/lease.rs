//! The lease: up to which number events may have been given out, on the disk before the first of them is.
//!
//! A client may have seen a number whose event a power cut then took. It must not be used again for another event, so after an
//! unclean end numbers go on behind the lease. An orderly stop writes down how far they really went.
//!
//! ```text
//!   ┌───────────────┬──────────────┬────────────┬──────────────┬────────────┬────────────────────┐
//!   │ magic, 8 byte │ version: u32 │ clean: u32 │ through: u64 │ next: u64  │ CRC-32C of it: u32 │   little-endian
//!   └───────────────┴──────────────┴────────────┴──────────────┴────────────┴────────────────────┘
//! ```

use std::io;

use super::disk::{self, Disk, DiskFile};

/// The file's name.
pub const NAME: &str = "lease";
/// What is written before it takes the lease's name.
const NEW_NAME: &str = "lease.new";

const MAGIC: [u8; 8] = *b"STLEASE\n";
const VERSION: u32 = 1;
const SET_BYTES: usize = 32;
const BYTES: usize = SET_BYTES + 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// No number above this one was ever given out.
    pub through: u64,
    /// After an orderly stop: the number that the next event gets.
    pub clean: Option<u64>,
}

/// Why there is no telling which numbers were given out.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error(
        "the journal's file {NAME} has format {found}, and this version of Stentor reads format {VERSION}: use the version that wrote it"
    )]
    Version { found: u32 },
    #[error(
        "the journal's file {NAME} is damaged, so it is not known which numbers clients have seen: `stentor journal repair` makes a new one"
    )]
    Damaged,
    #[error("the journal's file {NAME} can't be read: {0}")]
    Io(#[from] io::Error),
}

impl Lease {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::from(self.clean.is_some()).to_le_bytes());
        bytes.extend_from_slice(&self.through.to_le_bytes());
        bytes.extend_from_slice(&self.clean.unwrap_or(0).to_le_bytes());
        debug_assert_eq!(bytes.len(), SET_BYTES);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Self, LeaseError> {
        let Some((set, crc)) = bytes.split_at_checked(SET_BYTES) else { return Err(LeaseError::Damaged) };
        let word = |at: usize| u32::from_le_bytes(set[at..at + 4].try_into().expect("four bytes"));
        let number = |at: usize| u64::from_le_bytes(set[at..at + 8].try_into().expect("eight bytes"));
        if set[..8] != MAGIC {
            return Err(LeaseError::Damaged);
        }
        if word(8) != VERSION {
            return Err(LeaseError::Version { found: word(8) });
        }
        if crc != crc32c::crc32c(set).to_le_bytes() {
            return Err(LeaseError::Damaged);
        }
        let clean = match word(12) {
            0 => None,
            _ => Some(number(24)),
        };
        Ok(Self { through: number(16), clean })
    }
}

/// The lease of a journal; none, where nothing was ever written.
pub async fn read(disk: &impl Disk) -> Result<Option<Lease>, LeaseError> {
    let file = match disk.open(NAME).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Lease::parse(&file.read_at(0, BYTES + 1).await?).map(Some)
}

/// Replaces the lease. It lasts when this returns; when it fails, the old one or the new one does.
pub async fn write(disk: &impl Disk, lease: Lease) -> io::Result<()> {
    let file = disk::create_anew(disk, NEW_NAME).await?;
    disk::write_all(&file, || lease.to_bytes(), 0).await?;
    file.sync().await?;
    disk.rename(NEW_NAME, NAME).await?;
    disk.sync_names().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::disk::fake::{FakeDisk, Faults, run};

    const OPEN: Lease = Lease { through: 300_000, clean: None };
    const CLEAN: Lease = Lease { through: 300_000, clean: Some(17) };

    #[test]
    fn a_lease_is_read_as_it_was_written() {
        for lease in [OPEN, CLEAN] {
            assert_eq!(Lease::parse(&lease.to_bytes()).expect("sound"), lease);
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        for at in 0..BYTES {
            let mut bytes = CLEAN.to_bytes();
            bytes[at] ^= 0x10;
            assert!(Lease::parse(&bytes).is_err(), "byte {at}");
        }
        for len in 0..BYTES {
            assert!(Lease::parse(&CLEAN.to_bytes()[..len]).is_err(), "{len} bytes");
        }
        let mut longer = CLEAN.to_bytes();
        longer.push(0);
        assert!(Lease::parse(&longer).is_err());
    }

    #[test]
    fn a_journal_without_one_has_none() {
        run(async { assert!(read(&FakeDisk::new(1)).await.expect("readable").is_none()) });
    }

    #[test]
    fn a_crash_leaves_the_old_lease_or_the_new_one_and_what_was_said_to_last_lasts() {
        for seed in 0..300 {
            let disk = FakeDisk::new(seed);
            disk.set_faults(Faults { short_writes: 0.3, ..Faults::default() });
            run(write(&disk, OPEN)).expect("a sound disk");
            let polls = disk.rng(|rng| rng.usize(..60));
            let written = disk.run_for(polls, write(&disk, CLEAN)).is_some();
            let found = run(read(&disk.after_power_cut())).expect("never damaged").expect("never gone");
            assert!(found == CLEAN || (found == OPEN && !written), "seed {seed}: {found:?}, written: {written}");
        }
    }

    #[test]
    fn what_a_failed_write_has_left_is_no_obstacle() {
        for seed in 0..100 {
            let disk = FakeDisk::new(seed);
            run(write(&disk, OPEN)).expect("a sound disk");
            disk.set_faults(Faults { write_errors: 0.3, sync_errors: 0.3, ..Faults::default() });
            for _ in 0..5 {
                let _ = run(write(&disk, CLEAN));
            }
            disk.set_faults(Faults::default());
            run(write(&disk, CLEAN)).expect("a sound disk");
            assert_eq!(run(read(&disk.after_power_cut())).expect("sound"), Some(CLEAN), "seed {seed}");
        }
    }
}
