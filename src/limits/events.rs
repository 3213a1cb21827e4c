//! Events: their size and their parts.

use crate::ws::frame::SERVER_HEADER_BYTES_MAX;

/// An event as it is published, and its `data` once it is canonical (`1e20` grows to 21 digits).
pub const EVENT_BYTES_MAX: usize = 64 << 10;

/// How deep an event may nest, the event's own object counted. Real ones stay under ten; the canonical writer recurses
/// this far at most.
pub const EVENT_DEPTH_MAX: usize = 64;

/// The most events in one request: at 250 bytes each, 25 MB, and every one of them is held until the last has parsed.
pub const BATCH_EVENTS_MAX: usize = 100_000;

/// A topic with its namespace. A wallet address is under 100 bytes, a user id of an identity provider under 200.
pub const TOPIC_BYTES_MAX: usize = 256;

/// An event's `type`: it is also an HTTP header's value (webhooks) and is repeated in every frame.
pub const EVENT_TYPE_BYTES_MAX: usize = 64;

/// `channel` of the rooms envelope: repeated in every frame.
pub const EVENT_CHANNEL_BYTES_MAX: usize = 64;

/// The conflation key, held for each key in the latest-only policy.
pub const EVENT_KEY_BYTES_MAX: usize = 128;

/// A publisher's own id of an event, held for the whole dedupe window. A UUID has 36.
pub const EVENT_ID_BYTES_MAX: usize = 128;

/// `owner` and `marketSymbol` of a trade, each. An address has 44 (Solana) to 66 (Ethereum) bytes.
pub const TRADE_TEXT_BYTES_MAX: usize = 128;

/// The largest integer literal taken: 2^53. Past it, JavaScript's numbers skip integers, so digits would be lost.
pub const INTEGER_MAX: u64 = 1 << 53;

/// How much of a field's path an error repeats, in characters: keys come from the publisher.
pub const FIELD_PATH_CHARS_MAX: usize = 128;

/// The longest frame: the header, the longest `data`, and what the envelope puts around it (a type and a channel of 64
/// bytes each, which are tokens and so need no escapes, an id of 128 bytes, each of which may need one, a number of 20
/// digits, and under 80 bytes of names).
pub const FRAME_BYTES_MAX: usize = SERVER_HEADER_BYTES_MAX + EVENT_BYTES_MAX + 512;
