//! The front desk of a shard: accepts connections, speaks HTTP, upgrades WebSockets and hands them into the ring.
//!
//! ```text
//!   listener ─▶ acceptor ─▶ connection ─▶ router ─┬─▶ publish    POST /api/events
//!               PROXY header,   (cors)            ├─▶ events     GET /api/events         ◀── journal
//!                                                 ├─▶ alerts     GET /alerts/latest
//!                      hyper 1                    ├─▶ watchlist  /api/watchlist
//!                                │                ├─▶ keys       /api/keys
//!                                │                ├─▶ admin      /api/admin/accounts
//!                                │                ├─▶ audit      /api/admin/audit
//!                                │                ├─▶ webhooks   /api/webhooks           ◀── delivery core
//!                                │                ├─▶ status     /api/admin/status       ◀── observer
//!                                │                ├─▶ topics     /api/admin/topics       ◀── hub, shards
//!                                │                ├─▶ slow       /api/admin/slow         ◀── shards
//!                                │                ├─▶ console    /console
//!                                │                ├─▶ contract   /openapi.json, /asyncapi.json
//!                                │                ├─▶ metrics    /metrics                ◀── observer
//!                                │                ├─▶ upgrade       /ws…  ─▶ gate::Entry + Seat + Admission + Terms
//!                                │                └─▶ event_stream  /events/stream     (the same, unanswered)
//!                                └── 101 sent, or nothing: socket, leftover, entry, seat ─▶ shard mailbox
//! ```
//!
//! Each connection here costs a process descriptor, so there is a bound on them (`places`), and each has a deadline for
//! whatever it is doing (`phase`): sending a head, sending a body, or nothing. When the desk is crowded, doing nothing has
//! a short one. What all requests together hold in memory is bounded, too (`budget`), and so is every wait for another
//! thread's answer.

mod acceptor;
mod accepts;
mod accounts;
mod admin;
mod alerts;
mod answers;
mod audit;
mod auth;
mod body;
mod budget;
mod connection;
mod console;
mod contract;
mod cors;
mod door;
mod error;
mod event_stream;
mod events;
mod keys;
mod listener;
mod metrics;
mod phase;
mod places;
mod publish;
mod query;
mod refusals;
mod router;
mod secure_stream;
mod slow;
mod source;
mod stats;
mod status;
mod stream;
mod streamed;
mod survey;
mod terms;
mod topics;
mod upgrade;
mod watchlist;
mod webhooks;

pub use acceptor::accept;
pub use answers::{Answer, Answers};
pub use budget::Budget;
pub use door::Door;
pub use error::RestError;
pub use places::Places;
pub use router::Route;
pub use stats::DeskStats;
pub use status::StatusStreams;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use async_lock::Mutex;

use crate::accounts::{AccountsClient, Directory};
use crate::delivery::DeliveryHandle;
use crate::gate::{Gate, Network, Publishers, Refusals};
use crate::hub::HubHandle;
use crate::journal::{JournalHandle, Window};
use crate::metrics::ObserverHandle;
use crate::protocol::LiveRules;
use crate::shard::ShardHandle;
use crate::tls::Tls;
use crate::tokens::Verifier;

/// What the front desk of one shard works with.
pub struct Desk {
    /// The index of its shard.
    pub shard: usize,
    /// All shards, so that a full one can pass sockets on.
    pub shards: Arc<[ShardHandle]>,
    pub directory: Arc<Directory>,
    pub accounts: AccountsClient,
    pub hub: HubHandle,
    /// For clients that poll.
    pub window: Arc<Window>,
    /// The journal on the disk.
    pub history: JournalHandle,
    /// The accounts' webhooks.
    pub delivery: DeliveryHandle,
    /// What sessions may ask for.
    pub rules: Arc<LiveRules>,
    /// Who reads all counters.
    pub observer: ObserverHandle,
    /// Networks that may have the metrics without a key.
    pub scrapers: Arc<[Network]>,
    pub refusals: Arc<Refusals>,
    /// Who may open a WebSocket, and whose word on a client's address counts.
    pub gate: Arc<Gate>,
    pub tokens: Arc<Verifier>,
    /// Where the port speaks TLS, and nothing else.
    pub tls: Option<Arc<Tls>>,
    /// Whose turn it is to compute a handshake.
    pub handshake: Mutex<()>,
    /// What each publisher has under way.
    pub publishers: Arc<Publishers>,
    pub answers: Rc<Answers>,
    /// Closed when the server begins to end: nobody is upgraded any more.
    pub door: Rc<Door>,
    /// Set when the shard's sessions are gone or about to go: no event is accepted that nobody would be sent.
    pub stopping: Rc<Cell<bool>>,
    /// Whether more connections are likely to wait for being accepted: the shard does not rest then.
    pub rush: Rc<Cell<bool>>,
    /// Of its connections, each with a process descriptor.
    pub places: Rc<Places>,
    /// Open streams of the server's status.
    pub status_streams: Rc<StatusStreams>,
    /// For request bodies and what is parsed from them.
    pub bodies: Rc<Budget>,
}
