//! The audit log: who changed what, and when; kept beside what was changed.
//!
//! ```text
//!   desk: a key, from an address ──┐
//!   command line: a Unix user ─────┼──▶ Author ──▶ Store: a change and its entry, in one transaction ──▶ accounts.db
//!   the server itself ─────────────┘               Act: what was done elsewhere ──▶ Store::record ────────┘
//!                                                                          AuditQuery ──▶ [AuditEntry] ◀──┘
//! ```
//!
//! Invariants:
//! * What changes an account, a key or a watchlist can't be called without an [`Author`], and commits its entry with the change.
//! * An entry holds nothing that opens a door: a key by its id and its prefix, a webhook by its host, a token by its user.
//! * What changed nothing, and what was refused, leaves no entry.
//! * The operator's entries and those of customers' own keys are bounded each by themselves, and so are those of each customer's
//!   account: nobody can push out what others did by doing a lot.

mod action;
mod actor;
mod entry;

pub use action::{Action, ActionFilter, UnknownAction};
pub use actor::{Actor, Author, KeyActor, Side, UnixUser};
pub use entry::{Act, AuditEntry, AuditQuery, named};
