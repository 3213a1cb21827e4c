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

use crate::limits;

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
    /// Those before, the newest first, and until when each signs too, in Unix milliseconds.
    pub previous: Vec<(Arc<Secret>, u64)>,
}

impl SigningSecrets {
    /// Another secret signs from now on. Receivers may still have any of those before, each until its own grace ends; a grace of 0
    /// leaves none.
    pub fn replace(&mut self, with: Arc<Secret>, now_ms: u64, grace_ms: u64) {
        let before = std::mem::replace(&mut self.current, with);
        self.previous.insert(0, (before, now_ms.saturating_add(grace_ms)));
        self.previous.retain(|(_, until_ms)| grace_ms > 0 && now_ms < *until_ms);
        self.previous.truncate(limits::PREVIOUS_SECRETS_MAX);
    }
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
        let secrets = SigningSecrets { current: Arc::new(secret.clone()), previous: vec![(Arc::new(secret), 5)] };
        assert_eq!(format!("{secrets:?}"), "SigningSecrets { current: Secret(…), previous: [(Secret(…), 5)] }");
    }

    #[test]
    fn every_secret_signs_until_its_own_grace_ends_and_of_too_many_the_oldest_goes() {
        let secret = |byte| Arc::new(Secret::of_key([byte; KEY_BYTES]));
        let kept = |secrets: &SigningSecrets| -> Vec<(u8, u64)> {
            secrets.previous.iter().map(|(secret, until_ms)| (secret.key()[0], *until_ms)).collect()
        };
        let mut secrets = SigningSecrets { current: secret(1), previous: Vec::new() };
        secrets.replace(secret(2), 0, 100);
        secrets.replace(secret(3), 10, 100);
        assert_eq!((secrets.current.key()[0], kept(&secrets)), (3, vec![(2, 110), (1, 100)]));
        secrets.replace(secret(4), 100, 100);
        assert_eq!(kept(&secrets), [(3, 200), (2, 110)], "the first one's has ended");
        for byte in 5..=7 {
            secrets.replace(secret(byte), 101, 100);
        }
        assert_eq!(kept(&secrets), [(6, 201), (5, 201), (4, 201), (3, 200)]);
        secrets.replace(secret(8), 102, 0);
        assert_eq!(kept(&secrets), []);
    }
}
