//! What can be wrong with one request, and the looking.

use serde::{Deserialize, Serialize};

use super::endpoint::Endpoint;
use super::post::Post;
use crate::limits::WEBHOOK_AGE_S_MAX;

/// A request that no server of ours should have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub enum Fault {
    #[error("X-Webhook-Signature is not the hexadecimal HMAC-SHA256 of the body")]
    PlainSignature,
    #[error("webhook-signature is not that of Standard Webhooks")]
    StandardSignature,
    #[error("Content-Type is not application/json")]
    ContentType,
    #[error("X-Webhook-ID is not the webhook's")]
    WebhookId,
    #[error("X-Delivery-ID is missing, or webhook-id is another")]
    DeliveryId,
    #[error("X-Delivery-Attempt is no number from 1 on")]
    Attempt,
    #[error("webhook-timestamp is not about now")]
    Timestamp,
    #[error("X-Event-Type is not the type in the body")]
    EventType,
    #[error("the body is not a trade in JSON as it was published")]
    Body,
    #[error("the body's id is no evt_ id")]
    EventId,
    #[error("the event is none of this run")]
    Unknown,
    #[error("the body is another than the same event's before")]
    OtherBody,
    #[error("a repeated delivery has another X-Delivery-ID than before")]
    OtherDeliveryId,
    #[error("a repeated delivery's X-Delivery-Attempt has not grown, though its connection was not reset")]
    AttemptOrder,
    #[error("the request is none that a webhook is sent")]
    Request,
}

/// A delivery that is what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    pub event: u32,
    pub delivery_id: &'a [u8],
    pub attempt: u32,
}

#[derive(Deserialize)]
struct Body<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    created: u64,
    data: Trade,
}

#[derive(Deserialize)]
struct Trade {
    n: u32,
}

impl Endpoint {
    /// Looks at all that a request to this endpoint says. `now_s`: Unix seconds, `None` for a request that is sent again and
    /// may be old.
    pub fn verify<'a>(&self, post: &Post<'a>, now_s: Option<u64>) -> Result<Delivery<'a>, Fault> {
        let headers = &post.headers;
        let is_now = |time: u64| now_s.is_none_or(|now| now.abs_diff(time) <= WEBHOOK_AGE_S_MAX);
        check(self.signed_plainly(post), Fault::PlainSignature)?;
        check(self.signed_by_standard(post), Fault::StandardSignature)?;
        check(headers.content_type == b"application/json", Fault::ContentType)?;
        check(headers.webhook_id == self.webhook_id.as_bytes(), Fault::WebhookId)?;
        check(!headers.delivery_id.is_empty() && headers.delivery_id == headers.id, Fault::DeliveryId)?;
        let attempt = number(headers.attempt).filter(|attempt| *attempt > 0).ok_or(Fault::Attempt)?;
        check(number(headers.timestamp).is_some_and(is_now), Fault::Timestamp)?;
        let body: Body<'_> = serde_json::from_slice(post.body).map_err(|_| Fault::Body)?;
        check(headers.event_type == body.kind.as_bytes() && body.kind == "trade.new", Fault::EventType)?;
        check(body.id.strip_prefix("evt_").is_some_and(|rest| !rest.is_empty()), Fault::EventId)?;
        check(is_now(body.created), Fault::Body)?;
        Ok(Delivery { event: body.data.n, delivery_id: headers.delivery_id, attempt: attempt.min(1 << 30) as u32 })
    }
}

fn check(holds: bool, fault: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(fault) }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
