//! API keys: what a client presents, what the database keeps of it, and how people name it.
//!
//! ```text
//!   ApiKey    stn_ + 43 letters and digits (256 bits), shown once, never stored
//!   KeyHash   its SHA-256: what the database and the snapshot hold, and look it up by
//!   KeyPrefix its first 12 characters, so that people recognise it in a list
//!   KeyId     key_ + 16 hex digits, random: how it is listed and revoked
//! ```
//!
//! A key is 256 random bits, so a plain hash is enough: there is nothing to guess, and so nothing that salt or stretching
//! would protect. A look-up by hash compares no secret bytes, so its timing tells nothing about any key.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

const KEY_MARK: &str = "stn_";
/// 62^43 > 2^256.
const KEY_SECRET_CHARS: usize = 43;
const KEY_BYTES: usize = KEY_MARK.len() + KEY_SECRET_CHARS;
/// Leaves 35 characters (208 bits) unshown.
const PREFIX_BYTES: usize = KEY_MARK.len() + 8;
const ID_MARK: &str = "key_";
const ID_DIGITS: usize = 16;

/// Letters and digits only: a double click selects the whole key, and it needs no escaping in a URL.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A whole key, in the clear. It has no `Display` and its `Debug` is masked, so that it reaches no log by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(Box<str>);

impl ApiKey {
    /// A new key from the kernel's random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut text = String::with_capacity(KEY_BYTES);
        text.push_str(KEY_MARK);
        let mut random = [0u8; 64];
        while text.len() < KEY_BYTES {
            getrandom::fill(&mut random)?;
            // 248 = 4 × 62: the bytes past it would make the first letters of the alphabet likelier.
            let letters =
                random.iter().filter(|byte| **byte < 248).map(|byte| ALPHABET[usize::from(byte % 62)] as char);
            text.extend(letters.take(KEY_BYTES - text.len()));
        }
        Ok(Self(text.into()))
    }

    /// What a client presented, if it has the shape of a key. Nothing longer than a key is ever hashed.
    pub fn parse(presented: &str) -> Option<Self> {
        let secret = presented.strip_prefix(KEY_MARK)?;
        let well_formed = secret.len() == KEY_SECRET_CHARS && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
        well_formed.then(|| Self(presented.into()))
    }

    /// The key itself: for the one time it is shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.as_bytes()).into())
    }

    pub fn prefix(&self) -> KeyPrefix {
        KeyPrefix(self.0[..PREFIX_BYTES].into())
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({}…)", &self.0[..PREFIX_BYTES])
    }
}

/// The SHA-256 of a key's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash(pub [u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "KeyHash({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// A key's first 12 characters, `stn_` included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(Box<str>);

impl KeyPrefix {
    pub fn parse(text: &str) -> Option<Self> {
        let shown = text.strip_prefix(KEY_MARK)?;
        let well_formed = text.len() == PREFIX_BYTES && shown.bytes().all(|byte| byte.is_ascii_alphanumeric());
        well_formed.then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A key's public name: it may be logged and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key id: one is key_ and 16 hex digits")]
pub struct NotAKeyId(pub String);

impl KeyId {
    pub fn generate() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{ID_MARK}{:0width$x}", self.0, width = ID_DIGITS))
    }
}

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        text.strip_prefix(ID_MARK)
            // from_str_radix alone would also take a sign and capitals: one id, one text.
            .filter(|digits| {
                digits.len() == ID_DIGITS && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
            })
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| NotAKeyId(text.chars().take(64).collect()))
    }
}

/// A key's row in the database; never used again for another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyNumber(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_has_the_shape_that_parse_accepts_and_hashes_the_same() {
        for _ in 0..200 {
            let key = ApiKey::generate().expect("random numbers");
            let parsed = ApiKey::parse(key.expose()).expect("a generated key parses");
            assert_eq!(parsed.hash(), key.hash());
            assert_eq!(KeyPrefix::parse(key.prefix().as_str()), Some(key.prefix()));
        }
    }

    #[test]
    fn two_keys_differ_and_use_the_whole_alphabet() {
        let keys: String =
            (0..200).map(|_| ApiKey::generate().expect("random numbers").expose()[4..].to_owned()).collect();
        for letter in ALPHABET {
            assert!(keys.contains(*letter as char), "{} never came in {} characters", *letter as char, keys.len());
        }
        assert_ne!(keys[..43], keys[43..86]);
    }

    #[test]
    fn the_hash_is_plain_sha_256_of_the_text() {
        let key = ApiKey::parse(&format!("stn_{}", "a".repeat(43))).expect("well formed");
        let expected: [u8; 32] = Sha256::digest(key.expose()).into();
        assert_eq!(key.hash(), KeyHash(expected));
        assert_ne!(key.hash(), ApiKey::parse(&format!("stn_{}", "b".repeat(43))).expect("well formed").hash());
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_hashing_it() {
        let (short, long) = ("a".repeat(42), "a".repeat(44));
        let million = "a".repeat(1_000_000);
        let bad_letter = format!("{}-", "a".repeat(42));
        let wide_letter = format!("{}é", "a".repeat(41));
        for secret in ["", &short, &long, &million, &bad_letter, &wide_letter] {
            assert_eq!(ApiKey::parse(&format!("stn_{secret}")), None);
        }
        assert_eq!(ApiKey::parse(&"a".repeat(47)), None);
    }

    #[test]
    fn debug_output_does_not_hold_the_secret() {
        let key = ApiKey::generate().expect("random numbers");
        assert!(!format!("{key:?}").contains(&key.expose()[PREFIX_BYTES..]));
    }

    #[test]
    fn a_key_id_survives_its_text_form_and_has_only_one() {
        for id in [KeyId(0), KeyId(u64::MAX), KeyId::generate().expect("random numbers")] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for wrong in ["", "key_", "key_1", "key_+000000000000001", "key_00000000000000AB", "stn_0000000000000001"] {
            wrong.parse::<KeyId>().expect_err(wrong);
        }
    }
}
