//! Journals for tests, made without the writer.

use super::disk::fake::{FakeDisk, run};
use super::disk::{Disk, DiskFile};
use super::record;
use super::segment::{self, SegmentHeader};
use crate::event::{Event, EventParser};
use crate::hub::{EncodedBatch, Origin};

pub const UNIX_MS: u64 = 1_800_000_000_000;

pub fn event(body: &str) -> Event {
    EventParser::new().parse(body.as_bytes(), 1, None).expect("a sound event")
}

/// A request of so many events, each of which says its number.
pub fn batch(first_seq: u64, events: u64) -> EncodedBatch {
    let numbered = |seq| event(&format!(r#"{{"type":"alert","data":{{"n":{seq}}},"id":"id-{seq}"}}"#));
    let events = (first_seq..first_seq + events).map(numbered).collect();
    EncodedBatch::encode(events, first_seq, 0, Origin { publisher: 7, unix_ms: UNIX_MS + first_seq })
}

/// A request of so many events that each takes a record of its own.
pub fn long_batch(first_seq: u64, events: u64) -> EncodedBatch {
    let pad = "x".repeat(60_000);
    let numbered = |seq| event(&format!(r#"{{"type":"alert","data":{{"n":{seq},"pad":"{pad}"}}}}"#));
    let events = (first_seq..first_seq + events).map(numbered).collect();
    EncodedBatch::encode(events, first_seq, 0, Origin::default())
}

pub fn header(first_seq: u64, follows: u64) -> SegmentHeader {
    SegmentHeader { first_seq, follows, created_unix_ms: UNIX_MS }
}

/// A segment's bytes, up to its last record's end, and where each record begins. `requests` are numbers of events, each with
/// the highest number that was on the disk when it was written.
pub fn segment(first_seq: u64, follows: u64, requests: &[(u64, u64)]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = header(first_seq, follows).to_block();
    let (mut starts, mut seq) = (Vec::new(), first_seq);
    for (events, synced) in requests {
        starts.push(bytes.len());
        record::append(&batch(seq, *events), *synced, &mut bytes);
        seq += events;
    }
    (bytes, starts)
}

/// A disk with these segments on it, named by their numbers.
pub fn disk(segments: &[(u64, Vec<u8>)]) -> FakeDisk {
    let disk = FakeDisk::new(1);
    for (first_seq, bytes) in segments {
        put(&disk, &segment::name(*first_seq), bytes);
    }
    disk
}

pub fn put(disk: &FakeDisk, name: &str, bytes: &[u8]) {
    run(async {
        let file = disk.create(name).await.expect("a new file");
        if !bytes.is_empty() {
            assert_eq!(file.write_at(bytes.to_vec(), 0).await.expect("written"), bytes.len());
        }
    });
}
