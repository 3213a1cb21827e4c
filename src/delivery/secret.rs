//! Signing secrets.
//!
//! ```text
//!   Secret   whsec_ + base64 of 32 random bytes, shown once
//! ```
//! The whole text is the key of `X-Webhook-Signature`; the bytes behind the mark are that of `webhook-signature` (Standard Webhooks
//! 1.0, "Signature scheme").

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const SECRET_MARK: &str = "whsec_";
pub(super) const KEY_BYTES: usize = 32;

/// A webhook's secret, in the clear. It has no `Display` and its `Debug` is masked, so that it reaches no log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: Box<str>,
    key: [u8; KEY_BYTES],
}

impl Secret {
    /// A new one from the kernel's random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key)?;
        Ok(Self::of_key(key))
    }

    /// `None`: not in the one form that a secret has.
    pub fn parse(text: &str) -> Option<Self> {
        let key: [u8; KEY_BYTES] = STANDARD.decode(text.strip_prefix(SECRET_MARK)?).ok()?.try_into().ok()?;
        Some(Self::of_key(key))
    }

    pub(super) fn of_key(key: [u8; KEY_BYTES]) -> Self {
        // With its padding, as the libraries of Standard Webhooks want it.
        Self { text: format!("{SECRET_MARK}{}", STANDARD.encode(key)).into(), key }
    }

    /// The secret itself: for the one time it is shown, and as the key of `X-Webhook-Signature`.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The key of Standard Webhooks.
    pub fn key(&self) -> &[u8; KEY_BYTES] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_mark_and_the_padded_base64_of_32_bytes() {
        let secret = Secret::generate().expect("random numbers");
        assert_eq!(secret.expose().len(), SECRET_MARK.len() + 44);
        assert!(secret.expose().ends_with('='));
        assert_eq!(STANDARD.decode(&secret.expose()[SECRET_MARK.len()..]).expect("base64"), secret.key());
        assert_eq!(Secret::parse(secret.expose()).expect("its own text"), secret);
        assert_ne!(Secret::generate().expect("random numbers"), secret);
    }

    #[test]
    fn a_secret_has_one_text() {
        let text = |key: &str| format!("{SECRET_MARK}{key}");
        let key = STANDARD.encode([0xfb; KEY_BYTES]);
        assert!(Secret::parse(&text(&key)).is_some() && key.contains('+'));
        for other in [
            key.clone(),
            text(key.trim_end_matches('=')),
            text(&key.replace('+', "-")),
            text(&STANDARD.encode([0xfb; KEY_BYTES - 1])),
            text(&STANDARD.encode([0xfb; KEY_BYTES + 1])),
            // The same bytes, but bits set that stand for none.
            text(&key.replace("s=", "t=")),
            text(&format!("{key}\n")),
            text(""),
        ] {
            assert_ne!(other, text(&key), "the case says nothing");
            assert!(Secret::parse(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_secret_stays_out_of_debug_output() {
        let secret = Secret::of_key([7; KEY_BYTES]);
        let secrets = SigningSecrets { current: Arc::new(secret.clone()), previous: Some((Arc::new(secret), 5)) };
        assert_eq!(format!("{secrets:?}"), "SigningSecrets { current: Secret(…), previous: Some((Secret(…), 5)) }");
    }
}
