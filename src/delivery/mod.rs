//! The delivery core: each event as a signed POST to every webhook that asked for it, however badly some of them behave.
//!
//! ```text
//!   journal ── kept events ──▶ matching ──▶ store (position and deliveries, one transaction)
//!                                              │
//!   desk ── commands ──▶ core ◀────────────────┘
//!                         │ ▲
//!                    job  │ │ outcome                 lanes: one a webhook, with its own queue, pace and breaker
//!                         ▼ │
//!                       crew of workers ── guard (addresses) ── ureq ──▶ the customer's endpoint
//! ```
//!
//! All of it lives on the delivery CPU, niced: the core is one thread that owns the database and decides, the workers block.
//!
//! Invariants:
//! * An event that matched is recorded in the transaction that moves the position past it, before it is sent. So after any end it is
//!   sent at least once, always under the same delivery id, and an event is matched once.
//! * A lane waits for itself only: what is slow or dead fills its own queue, and at most a part of the workers.
//! * No address is connected to that the guard has not seen.
//! * A secret leaves the process in two ways: shown once to its owner, and as the key of signatures.

pub mod attempt;
mod command;
mod core;
mod courier;
mod error;
pub mod guard;
mod history;
pub mod lanes;
mod matching;
mod options;
mod payload;
pub mod recorded;
mod retry;
mod sealer;
mod secret;
mod service;
pub mod signature;
pub mod stats;
mod store;
mod webhook;
mod workers;

pub use command::{
    Asker, Command, DeleteWebhook, EveryWebhook, FindOwner, GetWebhook, ListDeliveries, ListEveryWebhook, ListWebhooks,
    Made, NewWebhook, RegenerateSecret, ReplayWebhook, Replaying, Reply, TestWebhook, WatchWebhook, WatchedWebhook,
    WebhookChange,
};
pub use error::DeliveryError;
pub use history::{AttemptRecord, DeliveryRecord, DeliveryState};
pub use options::{MasterKeySource, PortRange, WebhookOptions};
pub use payload::{DeliveryId, EventId, Payload, Salt};
pub use secret::{Secret, SigningSecrets};
pub use service::{DeliveryHandle, DeliveryService, DeliveryWaker, OnDisabled, Surroundings};
pub use stats::DeliveryStats;
pub use webhook::{
    DisableReason, Disabled, EventKind, EventKinds, NotAWebhookId, UnknownEventKind, Webhook, WebhookId,
};
