//! Signing secrets: making them, and sealing them for the database.
//!
//! ```text
//!   Secret   whsec_ + base64 of 32 random bytes, shown once
//! ```
//! The whole text is the key of `X-Webhook-Signature`; the bytes behind the mark are that of `webhook-signature` (Standard Webhooks
//! 1.0, "Signature scheme").

use std::fmt;
use std::sync::Arc;

/// A webhook's secret, in the clear. It has no `Display` and its `Debug` is masked, so that it reaches no log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: Box<str>,
    key: [u8; 32],
}

impl Secret {
    /// A new one from the kernel's random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        todo!()
    }

    pub fn parse(_text: &str) -> Option<Self> {
        todo!()
    }

    /// The secret itself: for the one time it is shown, and as the key of `X-Webhook-Signature`.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The key of Standard Webhooks.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a webhook's deliveries are signed with; cheap to clone.
#[derive(Clone, Debug)]
pub struct SigningSecrets {
    pub current: Arc<Secret>,
    /// The one before, and until when it signs too, in Unix milliseconds.
    pub previous: Option<(Arc<Secret>, u64)>,
}

/// Seals secrets with the operator's master key (XChaCha20-Poly1305, draft-irtf-cfrg-xchacha-03), bound to their webhook, so that a
/// copied database gives none away and a secret can't be moved to another webhook.
pub struct Sealer {}

impl Sealer {
    /// Reads the key: 32 bytes in base64 or hex, one line.
    pub fn open(_source: &super::MasterKeySource) -> Result<Self, super::DeliveryError> {
        todo!()
    }

    pub fn seal(&self, _webhook: super::WebhookId, _secret: &Secret) -> Result<Vec<u8>, getrandom::Error> {
        todo!()
    }

    /// `None`: another key sealed it, or it is damaged.
    pub fn unseal(&self, _webhook: super::WebhookId, _sealed: &[u8]) -> Option<Secret> {
        todo!()
    }
}
