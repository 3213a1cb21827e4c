//! The audit log: how much of it is kept, shown and written at a time.

/// Entries that are kept of what the operator did (the command line, admin keys, the server itself), and as many again of what
/// customers did with their own keys: about 40 MB each. Apart, so that nobody pushes the operator's out by doing a lot.
pub const AUDIT_ENTRIES_MAX: u64 = 100_000;

/// Entries that are kept of what an account's keys did: so it takes a hundred accounts that do a lot to push out what another
/// customer did.
pub const AUDIT_ENTRIES_PER_ACCOUNT_MAX: u64 = AUDIT_ENTRIES_MAX / 100;

/// How long an entry is kept, in days: a year, and the weeks that its review takes.
pub const AUDIT_DAYS_MAX: u64 = 400;

/// What an entry is about, in characters: the longest account name, user or webhook's id, and most paths.
pub const AUDIT_TARGET_CHARS_MAX: usize = 200;

/// An entry's detail, in bytes. More is left out, and its length told.
pub const AUDIT_DETAIL_BYTES_MAX: usize = 8 << 10;

/// Grants of one change that are named; of more the number is told.
pub const AUDIT_NAMES_MAX: usize = 16;

/// The name of a Unix user, in characters; useradd(8) makes none longer than 32.
pub const AUDIT_USER_CHARS_MAX: usize = 32;

/// Acts that wait for the accounts thread, which writes all of them at once: some 20 ms. With details of the longest they are 2 MiB.
pub const AUDIT_ACTS_QUEUED_MAX: usize = 256;

/// Entries of one answer over HTTP, unless it asks otherwise, and at most.
pub const AUDIT_PAGE: usize = 50;
pub const AUDIT_PAGE_MAX: usize = 200;

/// Entries that `stentor audit` prints, unless it is asked otherwise: some screens.
pub const AUDIT_PRINTED: usize = 100;

/// Entries that `stentor audit --follow` reads at a time, and how often it looks, in milliseconds.
pub const AUDIT_FOLLOWED_MAX: usize = 1_000;
pub const AUDIT_FOLLOW_MS: u64 = 200;

/// What a filter for actors may hold, in characters: more than any actor's own words.
pub const AUDIT_FILTER_CHARS_MAX: usize = 256;
