//! The delivery core's thread, and the way to it for any other.

use std::path::Path;
use std::sync::Arc;

use super::AttemptRecord;
use super::command::{Command, Reply};
use super::guard::Names;
use super::{DeliveryError, NewWebhook, TestWebhook, Webhook, WebhookChange, WebhookOptions};
use crate::accounts::{Directory, Snapshot};
use crate::journal::{JournalHandle, Window};

/// What the core works with.
pub struct Surroundings {
    pub directory: Arc<Directory>,
    pub window: Arc<Window>,
    pub history: JournalHandle,
    pub names: Arc<dyn Names>,
    pub cpu: usize,
}

/// The running thread and its workers.
pub struct DeliveryService {}

/// The way to it; cheap to clone.
#[derive(Clone)]
pub struct DeliveryHandle {}

impl DeliveryService {
    /// Opens the database and goes on where it ended.
    pub fn start(_data_dir: &Path, _options: WebhookOptions, _with: Surroundings) -> Result<Self, DeliveryError> {
        todo!()
    }

    pub fn handle(&self) -> DeliveryHandle {
        todo!()
    }

    /// Waits for what is under way, up to [`limits::DELIVERY_STOP_MS`](crate::limits::DELIVERY_STOP_MS), and ends. What has not been
    /// sent is sent after the next start.
    pub fn finish(self) {
        todo!()
    }
}

impl DeliveryHandle {
    /// The journal keeps every number below `next`.
    pub fn kept(&self, _next: u64) {
        todo!()
    }

    /// A new snapshot of the accounts is in force.
    pub fn accounts_changed(&self, _snapshot: &Arc<Snapshot>) {
        todo!()
    }

    /// Has a command carried out, without waiting.
    pub fn submit<C: Command>(&self, _command: C, _reply: Reply<C::Answer>) -> Result<(), DeliveryError> {
        todo!()
    }

    /// Makes a webhook, once its URL has been looked at.
    pub fn create(&self, _wanted: NewWebhook, _reply: Reply<Webhook>) -> Result<(), DeliveryError> {
        todo!()
    }

    /// Changes one; a new URL is looked at first.
    pub fn change(&self, _change: WebhookChange, _reply: Reply<Webhook>) -> Result<(), DeliveryError> {
        todo!()
    }

    /// Makes one attempt of a test; the answer tells how it went.
    pub fn test(&self, _test: TestWebhook, _reply: Reply<AttemptRecord>) -> Result<(), DeliveryError> {
        todo!()
    }
}
