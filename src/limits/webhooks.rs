//! Webhooks: lanes, attempts, endpoints, history.

use super::{ANSWER_MS, CONFIGURED_DELIVERY_TIMEOUT_S_MAX, STORE_BUSY_TIMEOUT_MS};

/// Of one account.
pub const WEBHOOKS_PER_ACCOUNT_MAX: usize = 10_000;

/// Secrets before the newest that sign still. Each makes `webhook-signature` 48 bytes longer.
pub const PREVIOUS_SECRETS_MAX: usize = 4;

/// Threads that send, by default: a thread is busy for as long as its endpoint takes, and mostly sleeps.
pub const DELIVERY_WORKERS: u32 = 128;

/// Checks of URLs and tests under way, each on a thread of its own.
pub const ASIDE_THREADS_MAX: usize = 16;
pub const ASIDE_THREADS_PER_ACCOUNT_MAX: usize = 4;

/// Commands that wait for the core. Each has a request at a desk that waits for it.
pub const DELIVERY_COMMANDS_MAX: usize = 1_024;

/// The stack of a thread that sends: four times what a debug build needs for TLS. It is address space until it is used.
pub const DELIVERY_STACK_BYTES: usize = 512 << 10;

/// What a worker holds while it sends: its stack as far as it is touched, and the buffers of its connection.
pub const DELIVERY_BYTES_PER_WORKER: usize = 96 << 10;

/// How far below the others (nice(1)) delivery threads run.
pub const DELIVERY_NICE: i32 = 10;

/// Deliveries of one webhook in memory; the others wait in the database. Enough to keep its concurrency busy.
pub const LANE_QUEUE_MAX: usize = 256;

/// Deliveries that one turn of the core records: some 50 ms of the database's time, for which everything else waits.
pub const RECORDED_PER_TURN_MAX: usize = 2_000;

/// Deliveries of one webhook that wait while a replay adds to them: two queues' worth.
pub const REPLAYED_WAITING_MAX: u64 = 2 * LANE_QUEUE_MAX as u64;

/// What is read of the journal for the bodies of deliveries that are due late: the next ones will be asked for next.
pub const BODIES_READ_BYTES: usize = 64 << 10;

/// How long a delivery waits that could not be tried for a reason of the server's own.
pub const POSTPONED_MS: u64 = 1_000;

/// Webhooks of an account that are told when another one of it is disabled.
pub const OPERATIONAL_TOLD_MAX: usize = 100;

/// A lane whose endpoint takes longer than this to answer is slow.
pub const PROMPT_MS_MAX: u64 = 1_000;

/// The file that holds the webhooks' master key: 64 digits, and what an editor may put around them.
pub const MASTER_KEY_FILE_BYTES_MAX: usize = 1_024;

/// Prompt successes in a row that make a lane prompt. One would let an endpoint that fails every other time pass for prompt.
pub const PROMPT_AFTER: u32 = 3;

/// The longest that an open circuit breaker keeps an endpoint from being tried.
pub const BREAKER_OPEN_MS_MAX: u64 = 300_000;

/// A webhook's URL. Browsers and proxies take no longer ones either.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;

/// The body of a request about a webhook: its URL, with every byte escaped, and its events.
pub const WEBHOOK_BODY_BYTES_MAX: usize = 16 << 10;

/// What is read of an endpoint's answer. A longer body costs it its connection.
pub const ANSWER_HEAD_BYTES_MAX: usize = 16 << 10;
pub const ANSWER_BODY_BYTES_MAX: u64 = 64 << 10;

/// How long the body of an answer is read, once its status is known. It is read so that the connection can be kept; a slow one is
/// worth less than the worker that waits for it.
pub const ANSWER_BODY_MS_MAX: u64 = 1_000;

/// What a connection reads at once: the largest head, and the byte by which one is too large.
pub const ANSWER_BUFFER_BYTES: usize = ANSWER_HEAD_BYTES_MAX + 1_024;

/// What a connection gathers to be sent at once: a request with the longest URL (3 KiB) and the body of a usual trade (0.5 KiB) in one
/// packet. A longer body takes several.
pub const REQUEST_BUFFER_BYTES: usize = 8 << 10;

/// A name in the DNS, as text, and one of its labels (RFC 1035).
pub const HOST_NAME_BYTES_MAX: usize = 253;
pub const HOST_LABEL_BYTES_MAX: usize = 63;

/// Addresses of one name that are looked at, and connected to: as many as ureq takes.
pub const NAME_ADDRESSES_MAX: usize = 16;

/// Names that are being looked up, each on a thread of its own. The system's resolver can't be called off: one that gets no answer
/// keeps its thread for half a minute. As many as all workers by default may wait for.
pub const NAME_LOOKUPS_MAX: usize = 128;

/// Of one account: whoever owns names that never answer waits for them alone, and the others still find threads.
pub const NAME_LOOKUPS_PER_ACCOUNT_MAX: usize = NAME_LOOKUPS_MAX / 4;

/// The last of them, for accounts that have none under way: else four with such names would take them all.
pub const NAME_LOOKUPS_LAST: usize = NAME_LOOKUPS_MAX / 4;

/// How long an address that a name had is good: shorter than an operator takes to change it, long enough that a busy endpoint does
/// not cost a look-up each time.
pub const NAME_CACHED_MS: u64 = 10_000;
pub const NAMES_CACHED_MAX: usize = 10_000;

/// How long the addresses of a name are used that can't be looked up again: a resolver is mended by then. The guard looks at them with
/// each use all the same.
pub const NAME_KEPT_MS: u64 = 600_000;

/// How long a look-up is waited for that can be done without. A resolver that takes longer has the answer ready for the next one, and
/// with more an endpoint would no longer count as prompt.
pub const NAME_REFRESH_MS: u64 = 500;
const _: () = assert!(NAME_REFRESH_MS < PROMPT_MS_MAX);

/// Connections kept open between deliveries: in all, to one host, and for how long.
pub const IDLE_CONNECTIONS_MAX: usize = 256;
pub const IDLE_CONNECTIONS_PER_HOST_MAX: usize = 16;
pub const IDLE_CONNECTION_MS_MAX: u64 = 15_000;

/// How often those that are too old are looked for: a look at all of them takes a few microseconds.
pub const IDLE_SWEEP_MS: u64 = 1_000;

/// How soon after a request a kept connection fails that had been closed while it was idle: its end answers the first bytes with a
/// reset, so that takes a round trip, on the slowest links less than a second. Later the endpoint may have been at work on the request.
pub const STALE_MS_MAX: u64 = 1_000;

/// A file with certificates to trust. Those of all the authorities of the web take 0.2 MiB.
pub const CA_FILE_BYTES_MAX: u64 = 4 << 20;

/// Bodies of recent events, for lanes that are near the present.
pub const PAYLOADS_CACHED_BYTES: usize = 32 << 20;

/// What SQLite keeps in memory of the webhooks database: the indexes of some hundred thousand deliveries that wait.
pub const DELIVERY_PAGES_CACHED_BYTES: usize = 32 << 20;

/// Attempts of one delivery that are remembered, the newest.
pub const ATTEMPTS_RECORDED_MAX: u32 = 20;

/// What the core reads of the journal in one step, for the present and for a replay.
pub const DELIVERY_READ_BYTES: usize = 256 << 10;

/// How long a position that moved past events that matched nothing may wait for the disk.
pub const POSITION_COMMIT_MS: u64 = 50;

/// How often finished deliveries that are too old or too many are deleted, and how many at a time.
pub const PRUNE_EVERY_MS: u64 = 1_000;
pub const PRUNE_ROWS_MAX: usize = 2_000;

/// A clock that was set back further than this makes the core begin anew with what waits; within it, deliveries wait that long.
pub const CLOCK_SET_BACK_MS: u64 = 60_000;

/// Deliveries that one answer lists, unless it is asked for another number, and at most.
pub const DELIVERIES_LISTED: usize = 50;
pub const DELIVERIES_LISTED_MAX: usize = 1_000;

/// Before the first try to go on with a database that failed; twice as long before each further one, up to the second.
pub const DELIVERY_RECOVER_MS: u64 = 500;
pub const DELIVERY_RECOVER_MS_MAX: u64 = 60_000;

/// Between two looks at what should be there in a moment: events that are kept but not shown yet, the end of the last attempts.
pub const DELIVERY_LOOK_AGAIN_MS: u64 = 10;

/// How long workers have to end that have nothing under way.
pub const DELIVERY_CREW_STOP_MS: u64 = 500;

/// The longest that the core rests: so that a clock that was set does not leave it asleep.
pub const DELIVERY_REST_MS: u64 = 1_000;

/// How often the core counts what there is of webhooks, lanes and waiting deliveries: a look at each webhook, a millisecond for a
/// hundred thousand. As often as it looks around when nothing happens.
pub const DELIVERY_TOLD_EVERY_MS: u64 = DELIVERY_REST_MS;

/// How long its thread may stand still before the watchman tells of it: a rest, a wait for a lock of its database, and for a place in the
/// audit log, which is a transaction and a command of the accounts' database away; with room for a slow disk.
pub const DELIVERY_STILL_MS: u64 = 3 * STORE_BUSY_TIMEOUT_MS + 2 * DELIVERY_REST_MS;

/// Of webhooks or deliveries, those that a desk writes into an answer before the shard's sockets get their turn: some 60 KB.
pub const LISTED_STEP: usize = 128;

/// How long a request waits for a test, or for a look at a URL: the longest attempt, and some time for the threads around it.
pub const WEBHOOK_ANSWER_MS: u64 = CONFIGURED_DELIVERY_TIMEOUT_S_MAX * 1_000 + ANSWER_MS;

/// How long the end of the server waits for attempts under way: somewhat longer than an endpoint may take by default.
pub const DELIVERY_STOP_MS: u64 = 12_000;
