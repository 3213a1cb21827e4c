//! What the operator's page asks of the server.

/// Streams of samples from one desk at a time: an operator has a page or two open. Each is a connection with a process
/// descriptor, and a sample a second.
pub const STATUS_STREAMS_MAX: u32 = 4;

/// Between two samples of a stream.
pub const STATUS_PERIOD_MS: u64 = 1_000;

/// How long a sample may take. It is made by a thread that waits for nothing.
pub const STATUS_ANSWER_MS: u64 = 5_000;

/// Topics whose events are counted in one slice of time. A topic that has more than one in so many of a slice's events is
/// among them for certain, and its count is short by less than that.
pub const TOPICS_COUNTED_MAX: usize = 512;

/// The last minute is counted in so many slices of so long, the present one included.
pub const TOPIC_SLICES: u64 = 6;
pub const TOPIC_SLICE_MS: u64 = 10_000;

/// Topics in one answer where the request does not say how many, and at most.
pub const TOPICS_LISTED: usize = 10;
pub const TOPICS_LISTED_MAX: usize = 50;

/// Topics whose receivers are counted for one answer, the busiest: one of them that few publish and many receive may be
/// the one with the most deliveries.
pub const TOPICS_SURVEYED_MAX: usize = 256;

/// Sessions in one answer where the request does not say how many, and at most.
pub const SLOW_LISTED: usize = 20;
pub const SLOW_LISTED_MAX: usize = 100;

/// What a survey looks at in one turn of a shard, slots and topics: a tenth of a millisecond, or what an event of each of these
/// topics takes to find its receivers.
pub const SURVEY_SLOTS: u32 = 4_096;
pub const SURVEY_TOPICS: usize = 32;

/// How long a request waits for a shard's survey. The longest walks some fifty turns, and a shard that is too busy for that
/// has better things to do.
pub const SURVEY_MS: u64 = 2_000;

/// Webhooks in one answer to an operator, and the deliveries of each by which it is judged.
pub const OPERATOR_WEBHOOKS_MAX: usize = 200;
pub const RECENT_DELIVERIES: usize = 20;
