//! The built `stentor`, run as its users run it: every test starts the real binary with a data directory of its own and
//! talks to it over sockets, the command line and signals.
//!
//! ```text
//!   a behaviour a file ──▶ process (the server)  ◀── socket (WebSocket), http ──▶ 127.0.0.1, a port that the kernel chose
//!                     └──▶ data_dir (accounts, keys) ──▶ the same binary's command line
//! ```
//!
//! Every wait has a deadline, and a server ends with the test that started it, also where that fails. One program holds
//! all the files, so that the slow ones (a heartbeat is a minute) run beside the others.

// What the tests stand on.
mod data_dir;
mod http;
mod jwt;
mod process;
mod socket;
mod trade;
mod wait;
mod webhook_sink;

// What they hold.
mod admin;
mod audit;
mod channels;
mod churn;
mod cli;
mod close;
mod config;
mod console;
mod crowd;
mod drain;
#[cfg(feature = "conformance")]
mod echo;
mod event_stream;
mod events;
mod failing_disk;
mod heartbeat;
mod identity;
mod install;
mod isolation;
mod journal_cli;
mod keys;
mod latest;
mod limits;
mod logs;
mod many_shards;
mod metrics;
mod publish;
mod refusals;
mod reload;
mod restart;
mod resume;
mod rooms;
mod slow_consumers;
mod start;
mod streams;
mod terms;
mod tiered;
mod tls;
mod token;
mod watchlist;
mod webhook_deliveries;
mod webhook_failures;
mod webhooks;
