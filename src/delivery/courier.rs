//! Carries one delivery to its endpoint, by ureq. It blocks for as long as an attempt may take.

use std::sync::Arc;

use super::attempt::{Job, Report};
use super::guard::{GuardRefusal, Names, WebhookUrl};
use super::{DeliveryError, WebhookOptions};

/// Shared by all workers: one pool of connections.
pub struct Courier {}

impl Courier {
    /// Reads the certificates that are trusted.
    pub fn new(_options: &WebhookOptions, _names: Arc<dyn Names>) -> Result<Self, DeliveryError> {
        todo!()
    }

    /// Signs, sends, and reads the answer as far as it matters.
    pub fn attempt(&self, _job: &Job) -> Report {
        todo!()
    }

    /// Looks at a URL that somebody wants to be sent to: its text, and every address of its host now.
    pub fn check(&self, _url: &str) -> Result<WebhookUrl, GuardRefusal> {
        todo!()
    }
}
