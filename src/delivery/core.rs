//! The core: decides what is sent when, and keeps the database.

use super::command::*;
use super::{DeliveryError, DeliveryRecord, Webhook};

/// What the core's thread owns.
pub struct Core {}

impl Core {
    pub(super) fn list(&mut self, _: ListWebhooks, _now_ms: u64) -> Result<Vec<Webhook>, DeliveryError> {
        todo!()
    }

    pub(super) fn get(&mut self, _: GetWebhook, _now_ms: u64) -> Result<Webhook, DeliveryError> {
        todo!()
    }

    pub(super) fn delete(&mut self, _: DeleteWebhook, _now_ms: u64) -> Result<Webhook, DeliveryError> {
        todo!()
    }

    pub(super) fn regenerate(&mut self, _: RegenerateSecret, _now_ms: u64) -> Result<Webhook, DeliveryError> {
        todo!()
    }

    pub(super) fn deliveries(&mut self, _: ListDeliveries, _now_ms: u64) -> Result<Vec<DeliveryRecord>, DeliveryError> {
        todo!()
    }

    pub(super) fn replay(&mut self, _: ReplayWebhook, _now_ms: u64) -> Result<Replaying, DeliveryError> {
        todo!()
    }
}
