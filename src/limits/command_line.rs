//! The command line.

/// `stentor.toml`: a thousand times what a full one has; past it --config names something else.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// Events of one request. At most as many as the server would rather parse between two rounds of its sockets.
pub const PUBLISH_BATCH_EVENTS_MAX: usize = 10_000;

/// How long a line may wait for company: `tail -f | stentor publish -` has to feel immediate.
pub const PUBLISH_BATCH_HOLD_MS_MAX: u64 = 50;

/// Body of one NDJSON request; far below what the server takes, and plenty for 500 events of any usual size.
pub const PUBLISH_BATCH_BYTES_MAX: usize = 1 << 20;

/// An event has at most 64 KiB; twice that leaves room for blanks and still says in time that a file isn't NDJSON.
pub const PUBLISH_LINE_BYTES_MAX: usize = 128 << 10;

/// A JSON document travels as one request, so this is what one request may carry.
pub const PUBLISH_DOCUMENT_BYTES_MAX: usize = 8 << 20;

/// Lines read ahead of the sender: 32 MiB where every one is as long as allowed.
pub const PUBLISH_LINES_AHEAD_MAX: usize = 256;

/// Tries of one batch, the first included. With the waits below, a server may be away for about half a minute.
pub const PUBLISH_TRIES_MAX: u32 = 8;

/// The longest wait that a server's `Retry-After` is honoured for; one that wants longer is told to the user.
pub const PUBLISH_RETRY_AFTER_S_MAX: u64 = 30;

/// The wait after the first failure where the server names none; it doubles with each further one.
pub const PUBLISH_RETRY_FIRST_MS: u64 = 250;

/// The longest wait of our own choosing.
pub const PUBLISH_RETRY_MS_MAX: u64 = 8_000;

/// A connection to a machine that is there takes milliseconds.
pub const PUBLISH_CONNECT_TIMEOUT_S: u64 = 5;

/// A batch is answered when the journal holds it; a server that needs longer than this is not well.
pub const PUBLISH_ANSWER_TIMEOUT_S: u64 = 60;

/// A kept connection older than this may be closed by the server at the moment when it is used again.
pub const PUBLISH_IDLE_CONNECTION_S: u64 = 5;

/// An answer is a line of JSON.
pub const PUBLISH_ANSWER_BYTES_MAX: u64 = 64 << 10;

/// One event in a thousand seconds; slower is a mistake.
pub const PUBLISH_RATE_EVENTS_PER_S_MIN: f64 = 0.001;

/// How often a line is written where stderr is no terminal.
pub const PUBLISH_PROGRESS_LINE_EVERY_S: u64 = 5;

/// Past it the demo would be a load test, which `loadgen` does better.
pub const DEMO_RATE_EVENTS_PER_S_MAX: f64 = 100_000.0;

/// Events that one step of the demo's market leads to: two trades with an alert and two of the bot each, four of the ticker, about a
/// dozen of the customer, two of the operator.
pub const DEMO_STEP_EVENTS_MAX: usize = 32;

/// The demo's printed token: whoever pastes it tomorrow morning still gets in, whoever finds it in a week does not.
pub const DEMO_TOKEN_TTL_S: u64 = 24 * 3600;

/// What `stentor health` waits for an answer. Containers ask every few seconds, and a server that needs longer is not well.
pub const HEALTH_TIMEOUT_MS: u64 = 3_000;

/// What it reads of an answer that is not the one hoped for: a sentence in JSON.
pub const HEALTH_ANSWER_BYTES_MAX: u64 = 4 << 10;

/// How often `stentor journal tail` looks for new events.
pub const JOURNAL_TAIL_MS: u64 = 100;

/// What `stentor backup` copies at a time.
pub const BACKUP_STEP_BYTES: usize = 1 << 20;

/// How often, and how soon again, a backup looks at a record that seems broken: a running server may be writing it.
pub const BACKUP_LOOKS_MAX: u32 = 20;
pub const BACKUP_LOOK_AGAIN_MS: u64 = 50;

/// A backup's list of its files: a hundred bytes each, for a journal of a hundred thousand segments.
pub const BACKUP_MANIFEST_BYTES_MAX: u64 = 16 << 20;
