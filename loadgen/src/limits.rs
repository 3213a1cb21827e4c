//! Every bound of the load generator, with its unit in its name and its reason beside it.

/// Upgrades sent and not yet answered, over all client threads. Far below the smallest accept queue in use
/// (`somaxconn` is 4096 on a stock kernel), so that no SYN is dropped and retried a second later.
pub const HANDSHAKES_IN_FLIGHT_MAX: u32 = 256;

/// Sockets of one run, both sides of a pair together.
pub const SOCKETS_MAX: u32 = 4_000_000;

/// Ports of the kernel's range that a run leaves free, so that other programs can still connect.
pub const PORTS_LEFT: u16 = 1024;

/// Direct descriptors of one ring. The kernel's own bound is RLIMIT_NOFILE; this one keeps a ring's table modest where
/// that limit is very high.
pub const RING_SLOTS_MAX: u32 = 65_536;

/// Submissions of one `io_uring_enter`: re-armed receives and pongs, which are few.
pub const RING_SUBMISSION_ENTRIES: u32 = 256;

/// Completions that a ring holds between two looks. The kernel runs about 20 deferred receives an enter, so this is
/// ample; past it, it queues them itself.
pub const RING_COMPLETION_ENTRIES: u32 = 4096;

/// Completions that the kernel brings in one enter where more wait (`IO_LOCAL_TW_DEFAULT_MAX`, Linux 6.13).
pub const COMPLETIONS_A_REAP: usize = 20;

/// Receive buffers of one ring: 2 MiB in all. The kernel fills about 20 an enter and gets them back before the next.
pub const RECEIVE_BUFFERS_PER_RING: u16 = 64;

/// One receive buffer. A burst of 100 frames of 300 bytes fits in one, so it costs one receive.
pub const RECEIVE_BUFFER_BYTES: u32 = 32 * 1024;

/// The longest frame taken from a server; a longer one is told as a broken stream. Stentor's events end at 64 KiB.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// The longest answer to a handshake or a publish, head and body: a refusal's JSON is far shorter.
pub const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// What the checker keeps of each event's frame, to compare every socket's copy with. Past it, it starts anew.
pub const CATALOGUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Gaps remembered (over all sockets) to tell a late event from a duplicate. Past it, late ones count as duplicates.
pub const GAPS_REMEMBERED_MAX: usize = 1_000_000;

/// How late an event may come to a socket that is about to go, so that it is not lost yet.
pub const CHURN_LATE_MS_MAX: u64 = 2_000;

/// How long the sockets listen on when every delivery has come: for what comes a second time.
pub const REPEATS_AWAITED_MS: u64 = 500;

/// A client whose own lateness is a greater part of p99 than this is told to be the bottleneck.
pub const CLIENT_LATE_SHARE_MAX: f64 = 0.25;

/// The same for the median lateness of a publisher, of the median latency.
pub const PUBLISHER_LATE_SHARE_MAX: f64 = 0.1;

/// Events of one run and side: 72 bytes of bookkeeping each, and for each client thread as many again.
pub const EVENTS_MAX: u64 = 10_000_000;

/// Events of one burst, which is one request.
pub const BURST_EVENTS_MAX: u32 = 10_000;

/// The longest published event, as Stentor takes it.
pub const EVENT_BYTES_MAX: usize = 64 * 1024;

/// The longest latency that a histogram tells apart; longer ones count as this.
pub const LATENCY_NS_MAX: u64 = 600 * 1_000_000_000;

/// Stretches into which a load's time is divided for the plot of latency over time: as many as a plot shows apart.
pub const WINDOWS_MAX: u64 = 240;

/// The shortest such stretch.
pub const WINDOW_NS_MIN: u64 = 1_000_000_000;

/// Threads of a server that are told apart; the others are added up.
pub const THREADS_TOLD_MAX: usize = 32;

/// How long a sleeping client thread may miss a command.
pub const CLIENT_SLEEP_MS_MAX: u64 = 10;

/// How long the closing handshakes of all sockets may take at the end, and the one of a socket that another takes the place of.
pub const CLOSING_MS_MAX: u64 = 5_000;

/// After this long without a close by the server, the rest is closed from our side.
pub const CLOSING_QUIET_MS_MAX: u64 = 300;

/// How long the floor's server waits for one client's upgrade request.
pub const FLOOR_HANDSHAKE_MS_MAX: u64 = 5_000;

/// Descriptors left for everything that is not a floor socket: standard streams, rings, listeners, the publisher.
pub const DESCRIPTORS_RESERVED: u64 = 128;

/// A waiter sleeps until this long before its time and spins the rest: a timer wakes tens of microseconds late.
pub const SPIN_BEFORE_NS: u64 = 60_000;

/// How often a tiered client says `ping`, as its document has it: within every rolling 30 s.
pub const TIERED_PING_MS: u64 = 25_000;

/// How often a channels client says `ping`, as its document has it.
pub const CHANNELS_PING_MS: u64 = 30_000;

/// A `ping` that was not answered for this long by the end of a run counts as unanswered.
pub const PONG_MS_MAX: u64 = 2_000;

/// How often a socket that does not read says that it lives: twice within the shortest time after which the server closes.
pub const STALLED_PONG_MS: u64 = 10_000;

/// How long a socket lives that comes and goes: long enough to get what most clients get between two reconnects.
pub const CHURN_LIFE_S: f64 = 10.0;

/// The greatest share of the sockets that may come and go each second: at most half of all do, and each is to live for a second.
pub const CHURN_PERCENT_MAX: f64 = 50.0;

/// Subscriber keys of a mixed run: each is an account with a watchlist to be set.
pub const SUBSCRIBER_KEYS_MAX: usize = 1000;

/// How long the server may take to set one watchlist.
pub const SETUP_ANSWER_MS_MAX: u64 = 10_000;

/// The file into which the disk's floor writes; it begins again from its front when it is full.
pub const FLOOR_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// What a journal record of one event holds beside the event: its header, the request's fields and the archive's pointers.
pub const JOURNAL_RECORD_OVERHEAD_BYTES: usize = 120;

/// Publish requests that are built ahead of being sent, so that building them takes no time from publishing.
pub const REQUESTS_AHEAD: usize = 4;

/// Events of one request of a storm's history: its body stays under half a megabyte.
pub const HISTORY_BATCH_EVENTS: u32 = 1_000;

/// Webhooks of one run, as many as Stentor gives an account.
pub const WEBHOOK_ENDPOINTS_MAX: u32 = 10_000;

/// Endpoints times events of one run over webhooks: 24 bytes of bookkeeping each.
pub const WEBHOOK_DELIVERIES_MAX: u64 = 16_000_000;

/// A delivery's head and body. An event is at most 64 KiB, and its canonical form not much longer.
pub const WEBHOOK_POST_HEAD_BYTES_MAX: usize = 16 * 1024;
pub const WEBHOOK_POST_BODY_BYTES_MAX: usize = 256 * 1024;

/// Room that a connection of the sink has for the next read: a usual delivery takes one.
pub const WEBHOOK_READ_BYTES: usize = 4 * 1024;

/// Connections that wait to be accepted; a server may open all of its at once. The kernel lowers it to `somaxconn`.
pub const WEBHOOK_SINK_BACKLOG: i32 = 4096;

/// Sockets of one look at epoll: each is a request, after some 256 of which the answers that wait get their turn.
pub const WEBHOOK_SINK_EVENTS: usize = 256;

/// How far a signature's time may be from now, as Standard Webhooks has it.
pub const WEBHOOK_AGE_S_MAX: u64 = 300;

/// Wrong requests that are told in words; the others are counted.
pub const WEBHOOK_FAULTS_TOLD_MAX: usize = 5;

/// How long the first event may take to every healthy endpoint.
pub const FIRST_DELIVERY_MS_MAX: u64 = 10_000;

/// How long a run over webhooks waits, once all is there, for what should not come.
pub const LATE_DELIVERY_MS: u64 = 500;

/// Where a search stops at the latest: nearer rates than these do not differ by more than noise.
pub const PRECISION_MIN: f64 = 0.005;

/// How long each rate of a search warms up: checked and not timed.
pub const PROBE_WARMUP_S: f64 = 1.0;

/// How long a rate of a search may take beside twice its time: for connecting many sockets, and for a server that has fallen behind
/// to bring what is left. After that the rate has failed.
pub const PROBE_SLACK_S_MAX: u64 = 120;

/// A publisher whose median lateness is more intervals between events than this sends clumps instead of a steady rate.
pub const PUBLISHER_LATE_INTERVALS_MAX: f64 = 1.0;

/// How long all sockets of a soak may take to connect.
pub const CONNECTING_S_MAX: u64 = 600;

/// Events of a soak: their index has four bytes. 49 days at a thousand a second.
pub const SOAK_EVENTS_MAX: u64 = 4_000_000_000;

/// Events per second of a soak, at least: a publisher's connection that is idle for longer than 75 s is closed by Stentor.
pub const SOAK_RATE_MIN: f64 = 0.1;

/// How long the publisher keeps its books in one piece: 8 bytes an event.
pub const SOAK_SEGMENT_S: f64 = 60.0;

/// Segments that are ordered before their time: the one under way, and the next.
pub const SOAK_SEGMENTS_AHEAD: u32 = 2;

/// Events whose frames are kept to compare copies with: 20 s at 200 a second, far longer than a delivery takes.
pub const SOAK_WINDOW_EVENTS: usize = 4096;

/// What a server's envelope may add to a published event. A longer frame is not kept, and so not compared.
pub const SOAK_ENVELOPE_BYTES_MAX: usize = 1024;

/// The shortest time between two samples: one costs a millisecond.
pub const SOAK_SAMPLE_MS_MIN: u64 = 100;

/// Samples of one soak, of some 200 bytes each: ten days of one every 10 s.
pub const SOAK_SAMPLES_MAX: u128 = 100_000;

// Of a calibration.

/// Sockets of its larger loads at least: with fewer a send drowns in what the event costs as such.
pub const CALIBRATED_SOCKETS_MIN: u32 = 400;

/// The same at most: with more, events would have to be further apart than 200 ms, past which every send is acknowledged at once.
pub const CALIBRATED_SOCKETS_MAX: u32 = 9_000;

/// Shards of the server: with more, not all threads would be told apart ([`THREADS_TOLD_MAX`]).
pub const CALIBRATED_SHARDS_MAX: u32 = 24;

/// Bytes of its events, and of those by which the cost of a byte is told: longer ones take further pages and cost otherwise.
pub const CALIBRATED_PAYLOAD_BYTES: u32 = 250;
pub const CALIBRATED_LONG_PAYLOAD_BYTES: u32 = 2_000;

/// Events of its bursts, as many as fit into a send of usual clients.
pub const CALIBRATED_BURST: u32 = 100;

/// What a send is thought to cost at most, to set events far enough apart.
pub const CALIBRATED_SEND_NS: u64 = 10_000;

/// The least time between its events.
pub const CALIBRATED_STEP_MS_MIN: u64 = 20;

/// Events after which a connection that was just made acknowledges with a delay: the first 16 at once (TCP_MAX_QUICKACKS).
pub const CALIBRATED_QUICK_STEPS: u32 = 16;

/// How long its sockets only live, to tell heartbeats: a seventh of them is due in it.
pub const CALIBRATED_HEARTBEATS_MS: u64 = 3_000;

/// How long the server is left alone to tell its timers, once it has had the time to be rid of the sockets before.
pub const CALIBRATED_IDLE_MS: u64 = 1_500;
pub const CALIBRATED_REST_MS: u64 = 500;

/// By how much of the greater of two loads their difference may be wrong without anybody's fault.
pub const CALIBRATED_NOISE_SHARE_MAX: f64 = 0.2;

/// The spread of rounds, of their median, past which they tell nothing.
pub const CALIBRATED_SPREAD_MAX: f64 = 0.6;

/// What a session takes at the very least in the server.
pub const CALIBRATED_SOCKET_BYTES_MIN: f64 = 64.0;

// Of a restart.

/// How many connections a socket makes in a run, over all sockets on average: source ports are set aside for as many. One is its first, and a
/// restart that goes well takes one more.
pub const CONNECTIONS_A_SOCKET_MAX: u32 = 16;

/// How long a socket that was told nothing waits before it comes back, at least, as the clients of the README do; twice as long
/// each time.
pub const BACK_OFF_MS: u64 = 1_000;
pub const BACK_OFF_MS_MAX: u64 = 30_000;

/// Restarts of one run that are told apart; later ones count as the last.
pub const RESTARTS_MAX: usize = 64;

/// Reasons that are told in words; the others are counted.
pub const ENDS_TOLD_MAX: usize = 5;

/// Events that have gathered while the server was away go in requests of at most this, an eighth of what Stentor takes.
pub const GATHERED_BYTES_MAX: usize = 1024 * 1024;

/// After which time a publisher tries again that was not answered: often enough that an outage is told to a tenth of a second.
pub const PUBLISH_AGAIN_MS: u64 = 100;

/// How long an answer may take. Stentor gives up after 10 s, and says so.
pub const PUBLISH_ANSWER_MS_MAX: u64 = 15_000;
