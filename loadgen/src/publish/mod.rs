//! `loadgen publish`: how fast one publisher's events become durable, beside what the disk itself takes.
//!
//! ```text
//!   batches:  NDJSON requests, back to back ─▶ events a second, time of an answer
//!   round 1:  single events │ bare write + fdatasync   round 2: single events │ bare write + fdatasync   …
//! ```
//! * A single event's answer can't be faster than one write and one `fdatasync` of as many bytes, so that is the floor; both
//!   are measured in turns on the same disk, and the ratio is taken round by round.
//! * Every answer is checked: all events accepted, and their numbers later than those before.

mod args;
mod disk;
mod report;
mod run;

pub use args::PublishArguments;
pub use disk::DiskError;
pub use report::render;
pub use run::PublishRun;
