//! Tokens made by hand, right ones and such as no library would make.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

pub fn corpus(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/corpus/tokens", name].iter().collect()
}

/// The private key to the corpus's `rsa-public.pem`.
pub fn rsa() -> EncodingKey {
    let pem = std::fs::read(corpus("rsa-private.pem")).expect("a file");
    EncodingKey::from_rsa_pem(&pem).expect("a key")
}

/// Signs a payload with `algorithm`, under a header that claims `alg`.
pub fn signed(alg: &str, payload: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let signed = unsigned(alg, payload);
    let signature = crypto::sign(signed.as_bytes(), key, algorithm).expect("a signature");
    format!("{signed}.{signature}")
}

/// Header and payload, without the last dot and the signature.
pub fn unsigned(alg: &str, payload: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", part(&json!({ "alg": alg, "typ": "JWT" })), part(payload))
}

/// What a token says.
pub fn payload(token: &str) -> Value {
    let part = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// The Unix time in seconds.
pub fn now_s() -> u64 {
    stentor::clock::unix_ms() / 1000
}
