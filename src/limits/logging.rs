//! The log: how much of it others can cause.

/// Lines of one kind that strangers can cause, of the whole server, in so long: what a person reads, and a disk holds for years.
pub const LINES_PER_WINDOW_MAX: u64 = 5;
pub const LINES_WINDOW_MS: u64 = 10_000;

/// Lines about accounts and keys that changed together.
pub const ACCOUNT_LINES_MAX: usize = 20;
