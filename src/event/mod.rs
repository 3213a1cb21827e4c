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
//!   [`EVENT_BYTES_MAX`] long.
//! * `kind` and `channel` are plain tokens (no quotes, no blanks), so they fit into any envelope and header.
//! * The envelope that its topic's namespace prescribes can be written from it: a `wallet:` topic holds a trade of
//!   that very owner, `alerts` holds an alert, a flat envelope's `data` holds no `type` and no `seq`.
//!
//! No input makes this code panic, recurse past [`EVENT_DEPTH_MAX`] or allocate more than a small multiple of the
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

// limits:

/// The longest event, as its text in the request and again as canonical `data` (numbers such as `1e20` grow when
/// written out). Everything behind (frames, journal records, a socket's backlog) is sized by it.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;
/// How deep an event may nest, the event's own object counted. Real ones stay under ten; the canonical writer recurses
/// this far at most.
pub const EVENT_DEPTH_MAX: usize = 64;
/// The most events in one request: at 250 bytes each, 25 MB, and every one of them is held until the last has parsed.
pub const BATCH_EVENTS_MAX: usize = 100_000;
/// A topic with its namespace. A wallet address is under 100 bytes, a user id of an identity provider under 200.
pub const TOPIC_BYTES_MAX: usize = 256;
/// An event's `type`: it is also an HTTP header's value (webhooks) and is repeated in every frame.
pub const TYPE_BYTES_MAX: usize = 64;
/// `channel` of the rooms envelope: repeated in every frame.
pub const CHANNEL_BYTES_MAX: usize = 64;
/// The conflation key, held for each key in the latest-only policy.
pub const KEY_BYTES_MAX: usize = 128;
/// A publisher's own id of an event, held for the whole dedupe window. A UUID has 36.
pub const ID_BYTES_MAX: usize = 128;
/// `owner` and `marketSymbol` of a trade, each. An address has 44 (Solana) to 66 (Ethereum) bytes.
pub const TRADE_TEXT_BYTES_MAX: usize = 128;
/// The largest integer literal taken: 2^53. Past it, JavaScript's numbers skip integers, so digits would be lost.
pub const INTEGER_MAX: u64 = 1 << 53;
/// How much of a field's path an error repeats, in characters: keys come from the publisher.
pub const FIELD_PATH_CHARS_MAX: usize = 128;

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
