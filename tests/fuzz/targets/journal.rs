//! What a disk may hold where the journal's records should be.
//!
//! Input: a first byte whose lowest bit is 0 where a segment's bytes follow as they are; where it is 1, the payload of a record
//! follows, which gets the right checksum. So what stands behind the checksum is reached, too.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stentor::journal::record::{ALIGNMENT, Found, HEADER_BYTES, RecordView, append, find};
use stentor::journal::segment::SegmentHeader;

fuzz_target!(|input: &[u8]| {
    let Some((how, bytes)) = input.split_first() else { return };
    if let Ok(header) = SegmentHeader::parse(bytes) {
        assert_eq!(SegmentHeader::parse(&header.to_block()), Ok(header));
    }
    match how & 1 {
        0 => walk(bytes),
        _ => walk(&with_checksum(bytes)),
    }
});

/// Reads on behind each record, and a little further on where there is none.
fn walk(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let passed = match find(bytes) {
            Found::Record(view) => {
                check(view);
                view.bytes
            }
            Found::Partial(whole) => {
                assert!(whole > bytes.len(), "it is all there");
                ALIGNMENT
            }
            Found::End | Found::Broken(_) => ALIGNMENT,
        };
        assert!(passed > 0 && passed % ALIGNMENT == 0);
        bytes = bytes.get(passed..).unwrap_or_default();
    }
}

/// What was found can be sent, and written again as the same.
fn check(view: RecordView<'_>) {
    let batch = view.archived.batch();
    assert_eq!(batch.next_seq(), view.archived.next_seq());
    let mut again = Vec::new();
    append(&batch, view.synced, &mut again);
    let (mut rest, mut seq) = (&again[..], batch.first_seq());
    while !rest.is_empty() {
        let Found::Record(part) = find(rest) else { panic!("it can't be read again") };
        let part_batch = part.archived.batch();
        let nth = (seq - batch.first_seq()) as usize;
        assert_eq!(part_batch.events(), &batch.events()[nth..][..part_batch.len()]);
        (seq, rest) = (part_batch.next_seq(), &rest[part.bytes..]);
    }
    assert_eq!(seq, batch.next_seq());
}

fn with_checksum(payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
    bytes.resize(HEADER_BYTES, 0);
    bytes.extend_from_slice(payload);
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}
