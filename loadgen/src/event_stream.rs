//! Server-sent events (the HTML standard, §9.2) as a load-testing client needs them: finding the ends of blocks, and the data in them.
//!
//! ```text
//!   id: 42                a block, up to and with its blank line: what one event is in every socket's stream
//!   data: {…}
//!
//!   :                     a block without data: a comment, a cursor, a retry time
//! ```
//! Bytes from the server never panic here. Of an event with several lines of data the first is read, in which the index stands.

use memchr::memmem;

use crate::limits::FRAME_BYTES_MAX;

/// One whole block at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    pub whole: &'a [u8],
    pub data: Option<&'a [u8]>,
}

/// A block that does not end. The server is to blame; its stream can't be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server sent an event of more than {FRAME_BYTES_MAX} bytes, more than loadgen takes, or one without its blank line"
)]
pub struct Endless;

/// The block at the start of `bytes`; `None` where it is not complete yet.
pub fn first_block(bytes: &[u8]) -> Result<Option<Block<'_>>, Endless> {
    const BLANK: &[u8] = b"\n\n";
    let Some(at) = memmem::find(&bytes[..bytes.len().min(FRAME_BYTES_MAX)], BLANK) else {
        return if bytes.len() >= FRAME_BYTES_MAX { Err(Endless) } else { Ok(None) };
    };
    let whole = &bytes[..at + BLANK.len()];
    let data = whole.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"data:"));
    Ok(Some(Block { whole, data: data.map(|data| data.strip_prefix(b" ").unwrap_or(data)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"retry: 2000\nid: 41\n\nid: 42\ndata: {\"n\":1}\n\n: \n\ndata:{}\ndata: more\n\n";

    #[test]
    fn blocks_end_at_the_blank_line_and_every_cut_of_one_is_incomplete() {
        let (mut rest, mut data) = (STREAM, Vec::new());
        while let Some(block) = first_block(rest).unwrap() {
            for cut in 0..block.whole.len() {
                assert_eq!(first_block(&rest[..cut]), Ok(None), "{cut}");
            }
            data.push(block.data);
            rest = &rest[block.whole.len()..];
        }
        assert!(rest.is_empty());
        assert_eq!(data, [None, Some(&b"{\"n\":1}"[..]), None, Some(b"{}")]);
    }

    #[test]
    fn a_block_without_an_end_is_refused() {
        assert_eq!(first_block(&vec![b'x'; FRAME_BYTES_MAX - 1]), Ok(None));
        assert_eq!(first_block(&vec![b'x'; FRAME_BYTES_MAX]), Err(Endless));
    }
}
