//! TLS: what one connection may hold, and what it takes.

use super::SEND_BATCH_SOCKETS;

/// A certificate's or a key's file. A chain of three with RSA keys has 6 KB.
pub const TLS_FILE_BYTES_MAX: u64 = 256 << 10;

/// A certificate that ends within so many days is warned of. Automatic ones are renewed a month before.
pub const TLS_EXPIRY_WARNED_DAYS: u64 = 14;

/// Plaintext of one record (RFC 8446 §5.1).
pub const TLS_RECORD_BYTES_MAX: usize = 16 << 10;

/// What a record has more than its plaintext, at most: header 5, explicit nonce of TLS 1.2 8, type 1, tag 16.
pub const TLS_RECORD_MORE_BYTES_MAX: usize = 30;

/// What a peer may have sent of a record, or of a handshake message, whose rest has not come: the longest record of TLS 1.2. The
/// only long message that a client has to send is its hello, some 2 KB.
pub const TLS_UNFINISHED_BYTES_MAX: usize = 5 + TLS_RECORD_BYTES_MAX + 2048;

/// Plaintext that is encrypted at a time for a socket in a ring. What the kernel refuses of it stays in memory until it is sent, so
/// this bounds what a socket that does not read costs. The kernel takes about as much (`UNSENT_BYTES_MAX`) where it takes anything.
pub const TLS_SEND_BYTES_MAX: usize = 64 << 10;

/// What a socket of a ring may hold beside what it holds when idle: records that the kernel has not taken, and what came of one
/// whose rest has not.
pub const TLS_HELD_BYTES_MAX: usize = TLS_SEND_BYTES_MAX
    + TLS_SEND_BYTES_MAX / TLS_RECORD_BYTES_MAX * TLS_RECORD_MORE_BYTES_MAX
    + TLS_UNFINISHED_BYTES_MAX;

/// Emptied buffers for records that a shard keeps: one for each send of a batch.
pub const TLS_SPARE_BUFFERS_MAX: usize = SEND_BATCH_SOCKETS;

/// One that grew larger is freed instead. A burst of fifty events fits.
pub const TLS_SPARE_BUFFER_BYTES_MAX: usize = 16 << 10;

/// What a connected, idle socket takes in user space for its TLS beside what it takes without: keys of both directions, the
/// handshake's state. Measured as resident memory: 3,360 with TLS 1.3 by `tests/tls_memory.rs`, which holds it to this; 4,160 of a server
/// after 5,000 handshakes by `scripts/bench-tls`.
pub const TLS_BYTES_PER_SOCKET: u64 = 4_200;
