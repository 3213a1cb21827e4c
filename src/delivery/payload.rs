//! What is sent: `{"id":"evt_…","type":"trade.new","created":1705312800,"data":{…}}`, encoded once an event, whoever it goes to.
//!
//! `data` is canonical already (what `JSON.stringify(JSON.parse(text))` gives) and the fields around it are written in that form, so a
//! receiver that parses and writes the body again has the signed bytes.

use std::fmt;

use bytes::Bytes;

use super::{EventKind, WebhookId};
use crate::event::Event;

/// Random bytes that make a server's ids its own: two servers that number their events alike send no equal ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(pub [u8; 16]);

/// `evt_` and 24 hex digits: the same event, the same id, whoever gets it and however often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventId(pub [u8; 12]);

/// `dlv_` and 24 hex digits: the same event to the same webhook, the same id; `X-Delivery-ID` and `webhook-id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryId(pub [u8; 12]);

impl EventId {
    /// Derived from the event's number, so that it survives whatever is lost.
    pub fn of(_salt: &Salt, _seq: u64) -> Self {
        todo!()
    }

    /// Of what is no event of the journal: tests, operational events.
    pub fn generate() -> Result<Self, getrandom::Error> {
        todo!()
    }
}

impl DeliveryId {
    pub fn of(_event: EventId, _webhook: WebhookId) -> Self {
        todo!()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// A body, ready to send; cheap to clone.
#[derive(Clone, Debug)]
pub struct Payload {
    /// As in `type` and `X-Event-Type`: an [`EventKind`]'s, or `webhook.test`.
    pub kind: &'static str,
    pub event: EventId,
    pub body: Bytes,
}

impl Payload {
    /// A trade's; `None` of any other event. `created_ms` is when it was published, in Unix milliseconds.
    pub fn of_trade(_salt: &Salt, _event: &Event, _seq: u64, _created_ms: u64) -> Option<Self> {
        todo!()
    }

    /// The trade of `POST …/test`: type `webhook.test` with full, plausible `data`.
    pub fn test(_event: EventId, _created_ms: u64) -> Self {
        todo!()
    }

    /// Of type `operational`: `{"kind":"webhook.disabled","webhook":"wh_…","url":…,"reason":…}` as `data`.
    pub fn disabled(_event: EventId, _created_ms: u64, _webhook: &super::Webhook) -> Self {
        todo!()
    }
}

/// The kind that a webhook has to have asked for, and the owner whose watchers get it; `None` of an event that no webhook gets.
pub fn audience(_event: &Event) -> Option<(EventKind, &str)> {
    todo!()
}
