//! `loadgen restart`: thousands of sockets under load while somebody restarts the server, and whether each ends with every event.
//!
//! ```text
//!   Publisher ─ open loop, an id an event, sent again until answered ─▶ server ─▶ client threads: Inbox ─▶ OrderCheck, Catalogue
//!        ▲ (nobody answers: an outage)                                             │
//!        └──────────────── SIGTERM, start again: the script's ────────────────▶    ├─ reconnect, 1012, a broken stream: Standing
//!                                                                                  └─ when to come back ─▶ Crowd, with ?since=
//!   run: connect ─▶ publish for so long ─▶ all are back and have everything ─▶ books: a Wave a restart ─▶ report: table, JSON
//! ```
//! * A socket does as its server says: told `reconnect`, it goes on listening until it is closed, and comes back when it was told to, behind
//!   the last number that it has had. One that was told nothing comes back with an exponential back-off.
//! * A socket is held to every event, once, in order, over all of its connections together. So an event that a resume repeats is as much a
//!   fault as one that it leaves out.
//! * The pace is the server's own: the sockets that were told when to come back, by the time between the first and the last of these
//!   moments. What is held against it is the most connections that were begun in any one second, refused ones and all.

mod args;
mod comeback;
mod event;
mod inbox;
mod pace;
mod publisher;
mod report;
mod run;
mod said;
mod table;

pub use args::RestartArguments;
pub use run::RestartRun;
pub use table::render;
