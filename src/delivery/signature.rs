//! Signatures of a delivery. Pure.

use super::SigningSecrets;

/// The headers that prove who sent a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// `X-Webhook-Signature`: hex HMAC-SHA256 of the body, the key is the whole secret. The current one alone, since receivers compare
    /// the whole header.
    pub plain: String,
    /// `webhook-signature` of Standard Webhooks 1.0: `v1,` and base64 HMAC-SHA256 of `id.timestamp.body`; the previous secret's
    /// stands behind it, after a space, as long as it has its grace.
    pub standard: String,
}

/// Signs a body at `now_ms`, which is also `webhook-timestamp` (in seconds).
pub fn sign(_secrets: &SigningSecrets, _delivery_id: &str, _now_ms: u64, _body: &[u8]) -> Signatures {
    todo!()
}
