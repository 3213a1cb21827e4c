//! Records: what a segment is made of. Bytes in, events out, and the other way round; pure.
//!
//! ```text
//!   ┌──────────┬───────────┬─────────────┬──────────────────────────────┬─────────┐
//!   │ len: u32 │ crc: u32  │ synced: u64 │ payload: rkyv, `len` bytes   │ 0 to 7  │ next record …
//!   └──────────┴───────────┴─────────────┴──────────────────────────────┴─────────┘
//!                           └────────────── CRC-32C of these ───────────────────┘   all numbers little-endian
//! ```
//!
//! The payload holds some events of one publish request, as rkyv archives them; readers look at it in place. A request that is
//! longer than [`RECORD_EVENTS_BYTES`](limits::RECORD_EVENTS_BYTES) takes several records, of which only the last one
//! [`closes`](Record::closes) it: what a crash has left of an unclosed request is not read, so that a request is kept whole or
//! not at all.
//!
//! `synced` is the highest number that was known to be on the disk when the record was written. It tells a torn tail from a
//! corrupt middle: a record that can't be read is only torn as long as no later one says that it had been safe.

use rkyv::rancor::{Error, Panic};
use rkyv::with::{InlineAsBox, Map};
use rkyv::{Archive, Serialize};

use crate::event::{Event, Topic};
use crate::hub::{EncodedBatch, Origin};
use crate::limits;

/// `len`, `crc` and `synced`.
pub const HEADER_BYTES: usize = 16;
/// Where `synced` begins, and with it what the checksum covers.
const SYNCED_AT: usize = 8;
/// Records begin at multiples of this, so that a search for them need not look everywhere.
pub const ALIGNMENT: usize = 8;

/// The payload of a record.
#[derive(Archive, Serialize)]
pub struct Record<'a> {
    pub first_seq: u64,
    /// When its request was accepted, in Unix milliseconds.
    pub unix_ms: u64,
    /// The account that published it; 0 for the server itself.
    pub publisher: u64,
    /// It is the last of its request.
    pub closes: bool,
    pub events: Vec<EventRecord<'a>>,
}

/// One event: what a publisher sent, checked and canonical.
#[derive(Archive, Serialize)]
pub struct EventRecord<'a> {
    #[rkyv(with = InlineAsBox)]
    pub kind: &'a str,
    #[rkyv(with = InlineAsBox)]
    pub topic: &'a str,
    #[rkyv(with = InlineAsBox)]
    pub data: &'a [u8],
    #[rkyv(with = Map<InlineAsBox>)]
    pub channel: Option<&'a str>,
    #[rkyv(with = Map<InlineAsBox>)]
    pub key: Option<&'a str>,
    #[rkyv(with = Map<InlineAsBox>)]
    pub id: Option<&'a str>,
}

/// A record of some bytes that holds together: its checksum is right, and its payload is sound.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    pub archived: &'a ArchivedRecord<'a>,
    /// The highest number that was on the disk when it was written.
    pub synced: u64,
    /// From its beginning to that of the next.
    pub bytes: usize,
}

/// What is at the beginning of some bytes of a segment.
pub enum Found<'a> {
    Record(RecordView<'a>),
    /// Nothing was ever written here.
    End,
    /// A record that goes on behind the given bytes; it has this many.
    Partial(usize),
    Broken(Flaw),
}

/// What is wrong with bytes that should be a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("a length of {0} bytes, which no record has")]
    Length(usize),
    #[error("a checksum that does not match")]
    Checksum,
    #[error("a checksum that matches bytes which make no sense")]
    Payload,
}

/// Reads the record that `bytes` begin with.
pub fn find(bytes: &[u8]) -> Found<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return if bytes.iter().all(|byte| *byte == 0) { Found::End } else { Found::Partial(HEADER_BYTES) };
    };
    let len = u32::from_le_bytes(header[..4].try_into().expect("four bytes")) as usize;
    if len == 0 && header.iter().all(|byte| *byte == 0) {
        return Found::End;
    }
    if len == 0 || len > limits::RECORD_BYTES_MAX {
        return Found::Broken(Flaw::Length(len));
    }
    if rest.len() < len {
        return Found::Partial(padded(HEADER_BYTES + len));
    }
    let crc = u32::from_le_bytes(header[4..SYNCED_AT].try_into().expect("four bytes"));
    if crc32c::crc32c(&bytes[SYNCED_AT..HEADER_BYTES + len]) != crc {
        return Found::Broken(Flaw::Checksum);
    }
    match rkyv::access::<ArchivedRecord<'_>, Error>(&rest[..len]) {
        Ok(archived) if is_sound(archived) => Found::Record(RecordView {
            archived,
            synced: u64::from_le_bytes(header[SYNCED_AT..].try_into().expect("eight bytes")),
            bytes: padded(HEADER_BYTES + len),
        }),
        _ => Found::Broken(Flaw::Payload),
    }
}

/// Appends a batch as its records. `synced` is the highest number that is on the disk.
pub fn append(batch: &EncodedBatch, synced: u64, out: &mut Vec<u8>) {
    let Origin { publisher, unix_ms } = batch.origin();
    let mut rest = batch.events();
    let mut first_seq = batch.first_seq();
    while !rest.is_empty() {
        let (events, behind) = rest.split_at(events_of_one_record(rest));
        let record = Record {
            first_seq,
            unix_ms,
            publisher,
            closes: behind.is_empty(),
            events: events.iter().map(EventRecord::of).collect(),
        };
        append_one(&record, synced, out);
        first_seq += events.len() as u64;
        rest = behind;
    }
}

fn append_one(record: &Record<'_>, synced: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let payload = rkyv::to_bytes::<Panic>(record).expect("nothing in a record can fail to be archived");
    assert!(payload.len() <= limits::RECORD_BYTES_MAX, "a record of {} bytes", payload.len());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(&payload);
    let crc = crc32c::crc32c(&out[start + SYNCED_AT..]);
    out[start + 4..start + SYNCED_AT].copy_from_slice(&crc.to_le_bytes());
    out.resize(start + padded(out.len() - start), 0);
}

/// How many events the next record takes: as many as fit, and at least one.
fn events_of_one_record(events: &[Event]) -> usize {
    let mut bytes = 0;
    let fitting = events.iter().take_while(|event| {
        bytes += event.data.len() + limits::EVENT_OVERHEAD_BYTES;
        bytes <= limits::RECORD_EVENTS_BYTES
    });
    fitting.count().max(1)
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}

impl<'a> EventRecord<'a> {
    fn of(event: &'a Event) -> Self {
        Self {
            kind: &event.kind,
            topic: event.topic.as_str(),
            data: &event.data,
            channel: event.channel.as_deref(),
            key: event.key.as_deref(),
            id: event.id.as_deref(),
        }
    }
}

impl ArchivedRecord<'_> {
    /// The number after its last event's.
    pub fn next_seq(&self) -> u64 {
        self.first_seq.to_native() + self.events.len() as u64
    }

    pub fn origin(&self) -> Origin {
        Origin { publisher: self.publisher.to_native(), unix_ms: self.unix_ms.to_native() }
    }

    /// Its events, ready to be sent again.
    pub fn batch(&self) -> EncodedBatch {
        let events = self.events.iter().map(ArchivedEventRecord::event).collect();
        EncodedBatch::encode(events, self.first_seq.to_native(), 0, self.origin())
    }
}

impl ArchivedEventRecord<'_> {
    pub fn event(&self) -> Event {
        Event {
            kind: (*self.kind).into(),
            topic: Topic::parse(&self.topic).expect("a sound record has sound topics"),
            data: self.data.as_ref().into(),
            channel: self.channel.as_deref().map(Into::into),
            key: self.key.as_deref().map(Into::into),
            id: self.id.as_deref().map(Into::into),
        }
    }
}

/// Whether what the checksum has confirmed can have been written by us: events can be encoded from it without a panic.
fn is_sound(record: &ArchivedRecord<'_>) -> bool {
    let is_sound = |event: &ArchivedEventRecord<'_>| {
        event.data.first() == Some(&b'{')
            && event.data.last() == Some(&b'}')
            && event.data.len() <= limits::EVENT_BYTES_MAX
            && event.kind.len() <= limits::EVENT_TYPE_BYTES_MAX
            && event.channel.as_ref().is_none_or(|channel| channel.len() <= limits::EVENT_CHANNEL_BYTES_MAX)
            && event.id.as_ref().is_none_or(|id| id.len() <= limits::EVENT_ID_BYTES_MAX)
            && Topic::parse(&event.topic).is_ok_and(|topic| topic.carries(&event.kind))
    };
    !record.events.is_empty()
        && record.first_seq > 0
        && record.first_seq < limits::SEQ_MAX
        && record.events.iter().all(is_sound)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::fixture::{batch, event, long_batch};

    fn records(batch: &EncodedBatch, synced: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        append(batch, synced, &mut bytes);
        bytes
    }

    fn view(bytes: &[u8]) -> RecordView<'_> {
        match find(bytes) {
            Found::Record(view) => view,
            Found::End => panic!("nothing is there"),
            Found::Partial(bytes) => panic!("it has {bytes} bytes"),
            Found::Broken(flaw) => panic!("{flaw}"),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let events = vec![
            event(r#"{"type":"alert","data":{"n":1}}"#),
            event(r#"{"type":"x","topic":"market:BTC_USD","data":{"é":"\u0000"},"channel":"c","key":"k","id":"i"}"#),
            event(r#"{"type":"x","topic":"system","data":{},"key":"k"}"#),
        ];
        let written = EncodedBatch::encode(events, 41, 0, Origin { publisher: 7, unix_ms: 1_800_000_000_123 });
        let bytes = records(&written, 17);
        let view = view(&bytes);
        assert_eq!((view.synced, view.bytes, bytes.len() % ALIGNMENT), (17, bytes.len(), 0));
        assert_eq!((view.archived.next_seq(), view.archived.closes), (44, true));
        let read = view.archived.batch();
        assert_eq!((read.events(), read.origin(), read.first_seq()), (written.events(), written.origin(), 41));
        for nth in 0..3 {
            assert_eq!(read.frame(nth), written.frame(nth));
        }
    }

    #[test]
    fn a_long_request_takes_records_of_which_only_the_last_closes_it() {
        let bytes = records(&long_batch(10, 9), 0);
        let (mut rest, mut seq, mut closes) = (&bytes[..], 10, Vec::new());
        while !rest.is_empty() {
            let view = view(rest);
            assert_eq!(view.archived.first_seq, seq);
            assert!(view.bytes <= limits::RECORD_EVENTS_BYTES + 4096, "{} bytes", view.bytes);
            (seq, rest) = (view.archived.next_seq(), &rest[view.bytes..]);
            closes.push(view.archived.closes);
        }
        assert_eq!((seq, closes), (19, vec![false, false, true]));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let bytes = records(&batch(1, 2), 0);
        let len = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        for at in 0..HEADER_BYTES + len {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(!matches!(find(&changed), Found::Record(_) | Found::End), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_record_that_is_cut_off_says_how_long_it_is() {
        let bytes = records(&batch(1, 3), 0);
        let len = u32::from_le_bytes(bytes[..4].try_into().expect("four bytes")) as usize;
        for cut in 1..HEADER_BYTES {
            assert!(matches!(find(&bytes[..cut]), Found::Partial(HEADER_BYTES)), "{cut}");
        }
        for cut in HEADER_BYTES..HEADER_BYTES + len {
            assert!(matches!(find(&bytes[..cut]), Found::Partial(whole) if whole == bytes.len()), "{cut}");
        }
        for zeros in [0, 1, HEADER_BYTES, 100] {
            assert!(matches!(find(&vec![0; zeros]), Found::End));
        }
    }

    #[test]
    fn what_the_checksum_confirms_is_still_looked_at() {
        let sound = event(r#"{"type":"alert","data":{}}"#);
        let broken = |change: fn(&mut Record<'_>)| {
            let events = vec![EventRecord::of(&sound)];
            let mut record = Record { first_seq: 1, unix_ms: 0, publisher: 0, closes: true, events };
            change(&mut record);
            let mut bytes = Vec::new();
            append_one(&record, 0, &mut bytes);
            matches!(find(&bytes), Found::Broken(Flaw::Payload))
        };
        assert!(!broken(|_| {}));
        assert!(broken(|record| record.first_seq = 0));
        assert!(broken(|record| record.first_seq = limits::SEQ_MAX));
        assert!(broken(|record| record.events.clear()));
        assert!(broken(|record| record.events[0].topic = "nowhere:x"));
        assert!(broken(|record| record.events[0].topic = "wallet:x"), "an alert is no trade");
        assert!(broken(|record| record.events[0].data = b"[]"));
        assert!(broken(|record| record.events[0].data = b""));
    }

    proptest! {
        /// Also behind a checksum that is right, which no accident has.
        #[test]
        fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 1..300), synced: u64) {
            let mut bytes = (payload.len() as u32).to_le_bytes().to_vec();
            bytes.extend_from_slice(&[0; 4]);
            bytes.extend_from_slice(&synced.to_le_bytes());
            bytes.extend_from_slice(&payload);
            let crc = crc32c::crc32c(&bytes[SYNCED_AT..]);
            bytes[4..SYNCED_AT].copy_from_slice(&crc.to_le_bytes());
            if let Found::Record(view) = find(&bytes) {
                view.archived.batch();
            }
            find(&payload);
        }
    }
}
