//! Sealing secrets for the database, with the operator's master key.
//!
//! ```text
//!   sealed   1 │ nonce (24 random bytes) │ the secret's 32 bytes, encrypted │ tag (16 bytes)
//! ```
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), bound to the webhook: a copied database gives no secret away, and a secret can't be
//! moved to another webhook. Its nonce is long enough to be drawn at random, however often something is sealed.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use tracing::warn;

use super::Secret;
use super::secret::KEY_BYTES;
use super::{DeliveryError, MasterKeySource, WebhookId};
use crate::limits::MASTER_KEY_FILE_BYTES_MAX;

/// Of the form above. No text of a secret begins with this byte.
const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;
const MASTER_KEY_BYTES: usize = 32;
const READABLE_BY_OTHERS: u32 = 0o044;

/// Holds the master key; its `Debug` is masked.
pub struct Sealer(XChaCha20Poly1305);

impl Sealer {
    /// Reads the key: 32 bytes in base64 or hex, one line.
    pub fn open(source: &MasterKeySource) -> Result<Self, DeliveryError> {
        let MasterKeySource::File(path) = source;
        let text = read(path).map_err(|source| DeliveryError::File { path: path.clone(), source })?;
        let key = decode(&text).ok_or_else(|| DeliveryError::Invalid {
            path: path.clone(),
            reason: "a master key is 32 bytes on one line, in base64 (`openssl rand -base64 32`) or as 64 hex digits"
                .into(),
        })?;
        Ok(Self::of_key(&key))
    }

    pub(super) fn of_key(key: &[u8; MASTER_KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    pub fn seal(&self, webhook: WebhookId, secret: &Secret) -> Result<Vec<u8>, getrandom::Error> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let context = webhook.0.to_be_bytes();
        let encrypted = self
            .0
            .encrypt(&XNonce::from(nonce), Payload { msg: secret.key(), aad: &context })
            .expect("only gigabytes are too long to be sealed");
        Ok([&[VERSION], nonce.as_slice(), &encrypted].concat())
    }

    /// `None`: another key sealed it, or it is damaged.
    pub fn unseal(&self, webhook: WebhookId, sealed: &[u8]) -> Option<Secret> {
        let (&[version], sealed) = sealed.split_first_chunk()?;
        let (nonce, encrypted) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        if version != VERSION {
            return None;
        }
        let context = webhook.0.to_be_bytes();
        let key = self.0.decrypt(&XNonce::from(*nonce), Payload { msg: encrypted, aad: &context }).ok()?;
        <[u8; KEY_BYTES]>::try_from(key).ok().map(Secret::of_key)
    }
}

/// Tells what a sealer made from a secret's text.
pub(super) fn is_sealed(stored: &[u8]) -> bool {
    stored.first() == Some(&VERSION)
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(…)")
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & READABLE_BY_OTHERS != 0 {
        warn!(file = %path.display(), "others than its owner may read the master key of webhooks: chmod 600 it");
    }
    let mut text = Vec::new();
    file.take(MASTER_KEY_FILE_BYTES_MAX as u64).read_to_end(&mut text)?;
    Ok(text)
}

fn decode(text: &[u8]) -> Option<[u8; MASTER_KEY_BYTES]> {
    if text.len() >= MASTER_KEY_FILE_BYTES_MAX {
        return None;
    }
    let text = text.trim_ascii();
    let bytes = if text.len() == 2 * MASTER_KEY_BYTES { hex(text)? } else { STANDARD.decode(text).ok()? };
    bytes.try_into().ok()
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    const WEBHOOK: WebhookId = WebhookId(7);

    fn sealer(byte: u8) -> Sealer {
        Sealer::of_key(&[byte; MASTER_KEY_BYTES])
    }

    fn opened(text: impl AsRef<[u8]>) -> Result<Sealer, DeliveryError> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("master.key");
        fs::write(&path, text).expect("write");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode");
        Sealer::open(&MasterKeySource::File(path))
    }

    #[test]
    fn what_was_sealed_is_unsealed_for_the_same_webhook_with_the_same_key_alone() {
        let secret = Secret::generate().expect("random numbers");
        let sealed = sealer(1).seal(WEBHOOK, &secret).expect("random numbers");
        assert_eq!(sealer(1).unseal(WEBHOOK, &sealed), Some(secret));
        assert_eq!(sealer(1).unseal(WebhookId(8), &sealed), None);
        assert_eq!(sealer(2).unseal(WEBHOOK, &sealed), None);
    }

    #[test]
    fn a_changed_byte_anywhere_or_a_missing_one_is_noticed() {
        let sealed = sealer(1).seal(WEBHOOK, &Secret::of_key([9; KEY_BYTES])).expect("random numbers");
        assert_eq!(sealed.len(), 1 + NONCE_BYTES + KEY_BYTES + 16);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(sealer(1).unseal(WEBHOOK, &changed), None, "byte {place}");
            assert_eq!(sealer(1).unseal(WEBHOOK, &sealed[..place]), None, "{place} bytes");
        }
    }

    #[test]
    fn no_two_sealed_forms_are_equal_and_none_holds_the_secret() {
        let secret = Secret::of_key([9; KEY_BYTES]);
        let sealed = [(); 2].map(|()| sealer(1).seal(WEBHOOK, &secret).expect("random numbers"));
        assert_ne!(sealed[0], sealed[1]);
        assert!(sealed.iter().all(|sealed| !sealed.windows(8).any(|bytes| bytes == [9; 8])));
    }

    /// The vector of the draft (appendix A.3.1): key, nonce and associated data are those of this file's form but for their values.
    #[test]
    fn the_cipher_is_that_of_the_draft() {
        let key: [u8; 32] = std::array::from_fn(|place| 0x80 + place as u8);
        let nonce: [u8; 24] = std::array::from_fn(|place| 0x40 + place as u8);
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let sealed =
            Sealer::of_key(&key).0.encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad }).expect("seal");
        assert_eq!(sealed[..4], [0xbd, 0x6d, 0x17, 0x9d]);
        let tag = [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49];
        assert_eq!(sealed[text.len()..], tag);
    }

    #[test]
    fn the_key_file_holds_32_bytes_in_hex_or_base64() {
        let secret = Secret::of_key([9; KEY_BYTES]);
        let sealed = sealer(0xab).seal(WEBHOOK, &secret).expect("random numbers");
        for text in ["ab".repeat(32), "aB".repeat(32) + "\n", STANDARD.encode([0xab; 32]) + "\r\n"] {
            let sealer = opened(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(sealer.unseal(WEBHOOK, &sealed), Some(secret.clone()), "{text:?}");
        }
    }

    #[test]
    fn anything_else_in_the_key_file_is_refused_and_not_shown() {
        let key = STANDARD.encode([0xab; 32]);
        for text in [
            String::new(),
            "ab".repeat(31),
            "ab".repeat(33),
            "xy".repeat(32),
            "+a".repeat(32),
            STANDARD.encode([0xab; 31]),
            STANDARD.encode([0xab; 33]),
            format!("{key}\n{key}"),
            format!("{key}{}{key}", " ".repeat(1 << 16)),
            "é".repeat(32),
        ] {
            let refused = opened(&text).expect_err(&text);
            assert!(matches!(refused, DeliveryError::Invalid { .. }), "{refused}");
            let told = refused.to_string();
            assert!(told.contains("master.key") && told.contains("32 bytes"), "{told}");
            assert!(text.trim().is_empty() || !told.contains(text.trim()), "{told}");
        }
        assert!(opened([0xab; 32]).is_err(), "raw bytes");
    }

    #[test]
    fn a_missing_key_file_is_named() {
        let missing = Path::new("/nowhere/master.key").to_owned();
        let refused = Sealer::open(&MasterKeySource::File(missing.clone())).expect_err("missing");
        assert!(matches!(&refused, DeliveryError::File { path, .. } if *path == missing), "{refused}");
    }

    #[test]
    fn the_master_key_stays_out_of_debug_output() {
        assert_eq!(format!("{:?}", sealer(0xab)), "Sealer(…)");
    }
}
