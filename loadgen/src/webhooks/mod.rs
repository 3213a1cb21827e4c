//! `loadgen webhooks`: many webhooks at one server, all delivered here, and every delivery verified.
//!
//! ```text
//!   Api: create webhooks ─▶ one event to begin with ─▶ Publisher (open loop) or a flood of batches ─▶ the server
//!                                                                                                       │
//!   report ◀─ Book: what each endpoint got, which attempt, in which order ◀─ verify ◀─ Sink (epoll) ◀───┘
//!                                                                                        ▲
//!                                               floor: the same request, posted in a bare loop
//! ```
//! * Both signatures, every header and the body of each request are checked; what is wrong is answered with 401 and told.
//! * What an endpoint does wrong on purpose (never answers, answers 500, resets) is known here, so a repeated delivery is
//!   either a retry that was provoked or a duplicate.
//! * Only first attempts of a delivery are failed by chance: so every event must reach every healthy endpoint in the end.
//! * Latency counts from an event's intended time to the arrival of the first attempt's last byte.
//! * The floor posts a request that the server itself sent, from the delivery CPU to the same sink, which checks it alike.

mod api;
mod args;
mod book;
mod endpoint;
mod fault;
mod floor;
mod post;
mod report;
mod run;
mod sink;
mod table;

pub use args::WebhooksArguments;
pub use run::{WebhooksError, WebhooksRun};
pub use table::render;
