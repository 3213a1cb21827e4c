//! Accounts, keys and watchlists.

/// An account's name, in bytes: room for an e-mail address, short enough for a table.
pub const ACCOUNT_NAME_BYTES_MAX: usize = 64;

/// A grant's name or prefix, in bytes. The longest names that the protocols know are wallet addresses (44) and bot ids.
pub const GRANT_NAME_BYTES_MAX: usize = 128;

/// A subscribe looks at each grant of the account in turn; 256 short comparisons are a few microseconds.
pub const GRANTS_PER_ACCOUNT_MAX: usize = 256;

/// An owner, in bytes. Wallet addresses have 32 to 66; the rest is room for publishers with names of their own.
pub const OWNER_BYTES_MAX: usize = 128;

/// Owners in one watchlist: what a copy-trader can plausibly follow, and a reload of which takes about 5 ms.
pub const WATCHLIST_OWNERS_MAX: usize = 10_000;

/// How long a change waits for another process to finish its own, in milliseconds. A change takes about 4, a whole
/// new watchlist about 35.
pub const STORE_BUSY_TIMEOUT_MS: u64 = 5_000;

/// How often opening is tried again inside that time, in milliseconds: about what the other's opening takes.
pub const OPEN_RETRY_MS: u64 = 10;

/// Statements that a connection to a database keeps compiled: all of its store's, with room, so that each is compiled once.
pub const STATEMENTS_CACHED: usize = 48;

/// An account's keys in force: a few programs and people, each with its own.
pub const LIVE_KEYS_PER_ACCOUNT_MAX: usize = 100;

/// Revoked keys that are still listed; the oldest are forgotten first, so that rotating keys can't fill the disk.
pub const REVOKED_KEYS_LISTED_PER_ACCOUNT_MAX: usize = 100;

/// Commands that wait for the accounts thread. One takes about 4 ms, a whole new watchlist 35: a full queue is at most some
/// two seconds of work, and some 50 MB of owners.
pub const ACCOUNT_COMMANDS_QUEUED_MAX: usize = 64;

/// How often another process's change is looked for, in milliseconds: it is to be live within a second, and a look costs
/// a few microseconds.
pub const FOREIGN_CHANGE_POLL_MS: u64 = 200;

/// Changes of accounts that a snapshot tells shards which come from an earlier one. With more between two looks, a shard
/// looks at every account that has sessions.
pub const RECENT_ACCOUNT_CHANGES_MAX: usize = 256;

/// What is read from standard input, in bytes: a full watchlist of the longest owners, each on its line.
pub const OWNERS_INPUT_BYTES_MAX: u64 = (WATCHLIST_OWNERS_MAX * (OWNER_BYTES_MAX + 2)) as u64;
