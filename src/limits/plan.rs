//! The plan: what the machine has, and what is taken of it.

use super::{ASIDE_THREADS_MAX, DELIVERY_WORKERS, IDLE_CONNECTIONS_MAX, NAME_LOOKUPS_MAX};

/// Shards of one process. More than any machine has CPUs for; past it a typing mistake is likelier than a wish.
pub const SHARDS_MAX: usize = 256;

/// Process descriptors that a shard holds before its first connection: glommio's three rings, its event and timer
/// descriptors, our ring and its doorbell (measured: 7.5 a shard), and the listening socket with the duplicate by which it is shut.
pub const OWN_DESCRIPTORS_PER_SHARD: u32 = 10;

/// Connections that one shard's front desk serves at a time, each with a process descriptor of its own until its
/// socket moves into the ring. Handshakes take about a millisecond, so this many are a storm.
pub const DESK_CONNECTIONS_MAX: u32 = 1024;

/// Fewer than this and a handful of slow clients would keep everyone else out of a shard.
pub const DESK_CONNECTIONS_MIN: u32 = 16;

/// Process descriptors kept for everything that isn't a shard: journal segments, SQLite and its WAL, webhook
/// connections and look-ups of names (a socket each), the standard streams.
pub const DESCRIPTORS_RESERVED: u32 = 512;
const _: () = assert!(
    IDLE_CONNECTIONS_MAX + WORKERS_OR_LOOKUPS + ASIDE_THREADS_MAX + 100 <= DESCRIPTORS_RESERVED as usize,
    "more workers than the default take theirs from what is left"
);

/// A worker holds no connection while it waits for a look-up, which has a socket then. Look-ups that nobody waits for any more come on
/// top, for half a minute: where they leave none to others, that is put down to no endpoint.
const WORKERS_OR_LOOKUPS: usize =
    if DELIVERY_WORKERS as usize > NAME_LOOKUPS_MAX { DELIVERY_WORKERS as usize } else { NAME_LOOKUPS_MAX };

/// From this many CPUs the hub moves off shard 0 and shares the delivery CPU. Below it, the only CPU beside the
/// shards' is also where the machine's other work runs (webhook workers, a load generator), and each event would
/// wait there for a time slice. This constant is the whole rule: change it when a measurement says otherwise.
pub const HUB_BESIDE_DELIVERY_CPUS_MIN: usize = 3;

/// Submission and completion queues of a shard's ring, the message headers beside them, and glommio's own rings.
pub const RING_BYTES_PER_SHARD: u64 = 1 << 20;

/// One entry of the ring's table of direct descriptors: a pointer.
pub const RING_BYTES_PER_SLOT: u64 = 8;

/// The target for a connected, idle socket in user space.
pub const USER_BYTES_PER_SOCKET: u64 = 400;

/// What the kernel keeps for one end of an idle TCP connection (measured): socket, file, inode, hash entries.
pub const KERNEL_BYTES_PER_SOCKET: u64 = 3_500;

/// While an event is on its way the kernel charges `tcp_mem` a page a socket: it counts in whole pages.
pub const QUEUED_BYTES_PER_SOCKET: u64 = 4_096;

/// The highest CPU number. `sched_setaffinity` masks hold 1,024 CPUs (`CPU_SETSIZE`), which also bounds what a range
/// like `0-4000000000` can make of memory.
pub const CPU_NUMBER_MAX: usize = 1023;

/// The document of `loadgen calibrate` is 4 KiB long.
pub const CALIBRATION_BYTES_MAX: u64 = 64 << 10;

/// How busy a CPU may be planned to be. Above it what comes at random waits longer than it takes: bursts, reconnects, other work.
pub const PLANNED_BUSY_MAX: f64 = 0.7;

/// What a further shard has resident before its first socket: measured, 4 and 8 shards beside one. Its log and its buffers are not
/// touched then.
pub const SHARD_START_BYTES: u64 = 1 << 20;

/// CPUs up to which a plan counts, over all servers that it would take.
pub const PLANNED_CPUS_MAX: u64 = 16_384;

/// Events a second of a plan; one hub does not number more.
pub const PLANNED_RATE_MAX: f64 = 1e7;

/// A send to a socket whose state is in no cache costs no more than so many times one in the middle of a calibration: from there on
/// every line comes from memory.
pub const COLD_SEND_FACTOR_MAX: f64 = 2.0;

/// A connection that got nothing for so long acknowledges what comes next at once, and not with some delay (TCP's least
/// retransmission time; measured on Linux 6.18: a third more of a send).
pub const ACKNOWLEDGED_AT_ONCE_AFTER_US: f64 = 200_000.0;

/// What an envelope of the watchlist protocol and its frame add to a published event.
pub const ENVELOPE_MORE_BYTES: u32 = 30;

/// TCP's payload of one Ethernet frame of 1,500 bytes, with timestamps.
pub const SEGMENT_PAYLOAD_BYTES: u32 = 1448;

/// What a segment takes on the wire beside its payload: preamble 8, Ethernet 14, IP 20, TCP with timestamps 32, check sum 4, gap 12.
pub const SEGMENT_WIRE_OVERHEAD_BYTES: u32 = 90;

/// What the kernel holds for a byte that waits in a socket: the unused ends of pages, and what describes them.
pub const QUEUED_BYTES_A_BYTE: u64 = 2;
