//! The doctor: what it calls short.

/// Room for a few journal segments and the accounts; below it the journal would stop within minutes.
pub const DISK_AVAILABLE_BYTES_MIN: u64 = 256 << 20;

/// Room that lets retention keep a useful stretch of events.
pub const DISK_AVAILABLE_BYTES_WANTED: u64 = 2 << 30;

/// The share of the available memory, in percent, past which the server would leave the machine nothing to breathe.
pub const MEMORY_PERCENT_MAX: u64 = 80;

/// Connections that wait to be accepted. A reconnect storm brings thousands within one accept round, and one that
/// finds the queue full is told nothing: it tries again after a second.
pub const LISTEN_BACKLOG_MIN: u64 = 4096;

/// Files that the machine's other processes are left with when the sockets have theirs.
pub const SYSTEM_FILES_RESERVED: u64 = 10_000;

/// A default larger than this lets each idle-looking socket take that much before anything bounds it.
pub const SOCKET_BUFFER_DEFAULT_BYTES_MAX: u64 = 1 << 20;

/// Client ports an address of 127.0.0.0/8 should have, so that a local load test gets by with few addresses.
pub const LOCAL_PORTS_MIN: u64 = 20_000;

/// More sockets than one machine's memory could hold; past it the figures mean nothing.
pub const DOCTOR_SOCKETS_MAX: u64 = 1_000_000_000;

/// Packets that wait for a CPU before the kernel drops more (sysctl net.core.netdev_max_backlog; its default is 1,000). A fan-out to
/// 100,000 sockets is acknowledged by as many packets within tens of milliseconds.
pub const NETDEV_BACKLOG_MIN: u64 = 8_192;

/// The default of a socket's buffer that the doctor advises where a larger one is in force: the kernel's own for receiving.
pub const SOCKET_BUFFER_DEFAULT_BYTES: u64 = 128 << 10;
