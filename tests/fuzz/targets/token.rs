//! A token of the rooms protocol.
//!
//! Input: a first byte whose lowest bit is 0 where a token follows as it is; where it is 1, a header's and a payload's JSON
//! follow, a line each, and get the right signature. So what stands behind the signature is reached, too.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use libfuzzer_sys::fuzz_target;
use stentor::event::{Namespace, Topic};
use stentor::tokens::{KeySource, TokenError, TokenSettings, Verifier};

const SECRET: &str = "a secret of the fuzz target, 32 bytes";
const NOW_S: u64 = 1_800_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let settings = TokenSettings { source: KeySource::Secret(SECRET.into()), ..TokenSettings::default() };
    Verifier::open(&settings, Path::new("/nonexistent")).expect("a secret needs no file")
});

fuzz_target!(|input: &[u8]| {
    let Some((how, rest)) = input.split_first() else { return };
    let token = match how & 1 {
        0 => std::str::from_utf8(rest).ok().map(str::to_owned),
        _ => rest.iter().position(|byte| *byte == b'\n').map(|line| signed(&rest[..line], &rest[line + 1..])),
    };
    let Some(token) = token else { return };
    let Ok(claims) = VERIFIER.verify(&token, NOW_S) else { return };
    assert!(how & 1 == 1, "a forged token was believed");
    assert!(claims.expires_at_s > NOW_S);
    assert_eq!(VERIFIER.verify(&token, claims.expires_at_s), Err(TokenError::Expired));
    let room = Topic::parse(&format!("user:{}", claims.user)).expect("every user has a room");
    assert_eq!((room.namespace(), room.name()), (Namespace::User, claims.user.as_str()));
    // Without its last byte, the signature is another one.
    assert!(VERIFIER.verify(&token[..token.len() - 1], NOW_S).is_err());
});

fn signed(header: &[u8], payload: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{signed}.{signature}")
}
