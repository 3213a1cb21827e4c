//! Segments: the files of the journal, and their headers. Pure.
//!
//! A segment is named after the number of its first event, in twenty digits, and begins with one block of
//! [`HEADER_BYTES`] that says so again. Behind it stand records (`record.rs`), then zeros up to the preallocated end.
//!
//! Numbers between `follows` and `first_seq` were never kept: they are the rest of a lease that a crash cut short, and some of
//! them may have been seen by clients. What segments hold ends where the next one begins: after a failed write a segment is
//! given up, and what may or may not have reached it is written again to a new one.

/// Of the header: a block of its own, so that no record is ever written into it.
pub const HEADER_BYTES: u64 = 4096;
const MAGIC: [u8; 8] = *b"STENTOR\n";
/// The format that this build writes, and the only one that it reads.
pub const VERSION: u32 = 1;
/// Bytes of the header that mean something; zeros follow.
const SET_BYTES: usize = 40;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The number that its first event has.
    pub first_seq: u64,
    /// The number after the last event before it. Lower than `first_seq` where a crash left a hole.
    pub follows: u64,
    /// When it was made, in Unix milliseconds.
    pub created_unix_ms: u64,
}

/// Why a file is no segment that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    #[error("it does not begin as a journal segment does")]
    NoSegment,
    #[error("it has format {found}, and this version of Stentor reads format {VERSION}: use the version that wrote it")]
    Version { found: u32 },
    #[error("its header is damaged")]
    Damaged,
}

impl SegmentHeader {
    /// The whole block.
    pub fn to_block(self) -> Vec<u8> {
        let mut block = Vec::with_capacity(HEADER_BYTES as usize);
        block.extend_from_slice(&MAGIC);
        block.extend_from_slice(&VERSION.to_le_bytes());
        block.extend_from_slice(&[0; 4]);
        for number in [self.first_seq, self.follows, self.created_unix_ms] {
            block.extend_from_slice(&number.to_le_bytes());
        }
        debug_assert_eq!(block.len(), SET_BYTES);
        let crc = crc32c::crc32c(&block);
        block.extend_from_slice(&crc.to_le_bytes());
        block.resize(HEADER_BYTES as usize, 0);
        block
    }

    /// Reads a header; `block` may be longer than one.
    pub fn parse(block: &[u8]) -> Result<Self, InvalidHeader> {
        let Some(set) = block.get(..SET_BYTES + 4) else { return Err(InvalidHeader::NoSegment) };
        if set[..8] != MAGIC {
            return Err(InvalidHeader::NoSegment);
        }
        let found = u32::from_le_bytes(set[8..12].try_into().expect("four bytes"));
        if found != VERSION {
            return Err(InvalidHeader::Version { found });
        }
        if set[SET_BYTES..] != crc32c::crc32c(&set[..SET_BYTES]).to_le_bytes() {
            return Err(InvalidHeader::Damaged);
        }
        let number = |at: usize| u64::from_le_bytes(set[at..at + 8].try_into().expect("eight bytes"));
        let header = Self { first_seq: number(16), follows: number(24), created_unix_ms: number(32) };
        let is_sound = header.follows > 0 && header.follows <= header.first_seq;
        is_sound.then_some(header).ok_or(InvalidHeader::Damaged)
    }
}

/// Reads the header of the file that is named after `first_seq`.
pub fn read_header(block: &[u8], first_seq: u64) -> Result<SegmentHeader, InvalidHeader> {
    match SegmentHeader::parse(block) {
        Ok(header) if header.first_seq != first_seq => Err(InvalidHeader::Damaged),
        // There is no such format: it is what a crash has left of a header.
        Err(InvalidHeader::Version { found: 0 }) => Err(InvalidHeader::Damaged),
        header => header,
    }
}

/// The name of the segment whose first event has this number.
pub fn name(first_seq: u64) -> String {
    format!("{first_seq:020}.segment")
}

/// The number in a segment's name; none, where it is another file's.
pub fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader { first_seq: 1_000, follows: 900, created_unix_ms: 1_800_000_000_000 };

    #[test]
    fn a_header_is_read_as_it_was_written() {
        let block = HEADER.to_block();
        assert_eq!(block.len() as u64, HEADER_BYTES);
        assert_eq!(SegmentHeader::parse(&block), Ok(HEADER));
    }

    #[test]
    fn every_changed_byte_of_a_header_is_noticed() {
        let block = HEADER.to_block();
        for at in 0..SET_BYTES + 4 {
            let mut changed = block.clone();
            changed[at] ^= 0x40;
            assert!(SegmentHeader::parse(&changed).is_err(), "byte {at}");
        }
        assert_eq!(SegmentHeader::parse(&block[..SET_BYTES]), Err(InvalidHeader::NoSegment));
    }

    #[test]
    fn another_format_is_refused_by_its_number() {
        let mut block = HEADER.to_block();
        block[8] = 2;
        assert_eq!(SegmentHeader::parse(&block), Err(InvalidHeader::Version { found: 2 }));
    }

    #[test]
    fn names_are_those_of_segments_and_no_others() {
        assert_eq!(name(7), "00000000000000000007.segment");
        assert_eq!(parse_name(&name(u64::MAX)), Some(u64::MAX));
        for other in ["7.segment", "0000000000000000000x.segment", "00000000000000000007.segment~", "lease", ""] {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
