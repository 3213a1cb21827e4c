//! What a published event is: bytes of a request body in, typed events or a typed refusal out.
//!
//! ```text
//!   body ──▶ Splitter ──▶ one element's bytes ──▶ EventParser ──▶ Event
//!            (split)      line, place in array    (parse)           │
//!                                                   ├─ json       simd-json's tape, read as values
//!                                                   ├─ trade      the fields of a trade, one by one
//!                                                   ├─ topic      given, or what follows from the type
//!                                                   └─ canonical  data as JSON.stringify would print it
//!   BatchParser drives both in steps, so that a big body never holds up a shard, and takes all or nothing.
//! ```
//!
//! Pure: no clock, no socket, no thread. What holds for every [`Event`] that comes out of here:
//!
//! * `data` is one JSON object, exactly as `JSON.stringify(JSON.parse(text))` gives it, and at most
//!   [`EVENT_BYTES_MAX`](crate::limits::EVENT_BYTES_MAX) long.
//! * `kind` and `channel` are plain tokens (no quotes, no blanks), so they fit into any envelope and header.
//! * The envelope that its topic's namespace prescribes can be written from it: a `wallet:` topic holds a trade of
//!   that very owner, `alerts` holds an alert, a flat envelope's `data` holds no `type` and no `seq`, and
//!   no `event_id` where the event has an `id`.
//!
//! No input makes this code panic, recurse past [`EVENT_DEPTH_MAX`](crate::limits::EVENT_DEPTH_MAX) or allocate more than a small multiple of the
//! bytes received. The fast path knows only "not valid"; the words and the place of a mistake come from reading the
//! element a second time, slowly (`diagnosis`).

mod batch;
mod canonical;
mod diagnosis;
mod invalid;
mod json;
mod parse;
mod split;
mod topic;
mod trade;

pub use batch::BatchParser;
pub use canonical::canonical;
pub use invalid::{InvalidEvent, Reason, Refusal};
pub use parse::EventParser;
pub use split::{Element, Format, Next, Splitter};
pub use topic::{Envelope, InvalidTopic, Namespace, Topic};
pub use trade::TradeKind;

pub(crate) use canonical::append_string;

/// One published event, checked and ready to be numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its `type`, a token such as `trade.open`.
    pub kind: Box<str>,
    pub topic: Topic,
    /// Canonical JSON object text. A trade's has no `tradeType`: the envelope adds it from `kind`.
    pub data: Box<[u8]>,
    /// `channel` of the rooms envelope; other envelopes ignore it.
    pub channel: Option<Box<str>>,
    /// Conflation key: of events with the same one, a `latest` subscriber needs only the newest.
    pub key: Option<Box<str>>,
    /// The publisher's own id, which makes a retry harmless.
    pub id: Option<Box<str>>,
}
