//! Tokens made by hand, right ones and such as no library would make; for tests.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

pub const NOW_S: u64 = 1_800_000_000;
pub const SECRET: &str = "a secret of the tests, 32 bytes and more";
pub const ISSUER: &str = "https://id.example";
pub const AUDIENCE: &str = "stentor";

/// Whose signature a token gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    Secret,
    Rsa,
    P256,
}

impl Signer {
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::Secret => "HS256",
            Self::Rsa => "RS256",
            Self::P256 => "ES256",
        }
    }

    /// Signs header and payload as they are.
    pub fn sign(self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        let (key, algorithm) = match self {
            Self::Secret => (EncodingKey::from_secret(SECRET.as_bytes()), Algorithm::HS256),
            Self::Rsa => (EncodingKey::from_rsa_pem(&corpus("rsa-private.pem")).expect("a key"), Algorithm::RS256),
            Self::P256 => (EncodingKey::from_ec_pem(&corpus("p256-private.pem")).expect("a key"), Algorithm::ES256),
        };
        signed_with(&key, algorithm, header, payload)
    }

    /// Signs a payload under the plain header.
    pub fn token(self, payload: &Value) -> String {
        self.sign(json!({ "alg": self.algorithm() }).to_string(), payload.to_string())
    }
}

pub fn signed_with(
    key: &EncodingKey,
    algorithm: Algorithm,
    header: impl AsRef<[u8]>,
    payload: impl AsRef<[u8]>,
) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = crypto::sign(signed.as_bytes(), key, algorithm).expect("signed");
    format!("{signed}.{signature}")
}

/// What every verifier without issuer and audience believes at [`NOW_S`].
pub fn good() -> Value {
    json!({ "sub": "user_123", "exp": NOW_S + 60 })
}

/// [`good`] with some members changed; null takes one away.
pub fn with(changes: &Value) -> Value {
    let mut payload = good();
    let members = payload.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(members.remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    payload
}

pub fn corpus_path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/corpus/tokens", name].iter().collect()
}

pub fn corpus(name: &str) -> Vec<u8> {
    std::fs::read(corpus_path(name)).expect(name)
}
