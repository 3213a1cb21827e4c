//! Signatures of a delivery. Pure.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::SigningSecrets;

/// The headers that prove who sent a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signatures {
    /// `X-Webhook-Signature`: hex HMAC-SHA256 of the body, the key is the whole secret. The current one alone, since receivers compare
    /// the whole header.
    pub plain: String,
    /// `webhook-signature` of Standard Webhooks 1.0: `v1,` and base64 HMAC-SHA256 of `id.timestamp.body`; those of previous
    /// secrets stand behind it, each after a space, as long as they have their grace.
    pub standard: String,
}

/// Signs a body at `now_ms`, which is also `webhook-timestamp` (in seconds).
pub fn sign(secrets: &SigningSecrets, delivery_id: &str, now_ms: u64, body: &[u8]) -> Signatures {
    let timestamp = now_ms / 1000;
    let mut standard = standard(secrets.current.key(), delivery_id, timestamp, body);
    for (previous, _) in secrets.previous.iter().filter(|(_, until_ms)| now_ms < *until_ms) {
        standard.push(' ');
        standard.push_str(&self::standard(previous.key(), delivery_id, timestamp, body));
    }
    Signatures { plain: plain(secrets.current.expose().as_bytes(), body), standard }
}

fn plain(key: &[u8], body: &[u8]) -> String {
    hmac_sha256(key, &[body]).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn standard(key: &[u8], delivery_id: &str, timestamp: u64, body: &[u8]) -> String {
    let mac = hmac_sha256(key, &[delivery_id.as_bytes(), b".", timestamp.to_string().as_bytes(), b".", body]);
    format!("v1,{}", STANDARD.encode(mac))
}

/// Of the pieces in a row.
fn hmac_sha256(key: &[u8], pieces: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::delivery::Secret;

    /// RFC 4231 §4.3, test case 2.
    #[test]
    fn the_primitive_is_hmac_sha256() {
        let told = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(plain(b"Jefe", b"what do ya want for nothing?"), told);
        assert_eq!(hmac_sha256(b"Jefe", &[b"what do ya want ", b"", b"for nothing?"])[..2], [0x5b, 0xdc]);
    }

    /// The example that the libraries of Standard Webhooks test themselves with; its key is shorter than ours.
    #[test]
    fn a_standard_signature_is_that_of_the_published_example() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signature = standard(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    fn secrets(previous: &[u64]) -> SigningSecrets {
        let secret = |byte| Arc::new(Secret::of_key([byte; 32]));
        let previous = (2..).zip(previous).map(|(byte, until_ms)| (secret(byte), *until_ms)).collect();
        SigningSecrets { current: secret(1), previous }
    }

    /// The values are OpenSSL's: `openssl dgst -sha256 -mac HMAC -macopt hexkey:…`.
    #[test]
    fn the_plain_key_is_the_whole_text_and_the_standard_key_the_bytes_behind_the_mark() {
        let signatures = sign(&secrets(&[]), "dlv_1", 1_705_312_800_999, b"{}");
        assert_eq!(signatures.plain, "e932e979856513dda4c9a46d886d8095356e73e185a4aeeb8042b45bec48523b");
        assert_eq!(signatures.standard, "v1,rnQDGNbFEioLAHpCtF7hFFE+5q3DK272cjycC90TyF8=");
    }

    #[test]
    fn previous_secrets_sign_behind_the_current_one_until_their_grace_ends_and_only_in_the_standard_header() {
        let alone = sign(&secrets(&[]), "dlv_1", 4_999, b"{}");
        let all = sign(&secrets(&[6_000, 4_999, 5_000]), "dlv_1", 4_999, b"{}");
        assert_eq!(all.plain, alone.plain);
        let [newest, oldest] = [2, 4].map(|byte| standard(&[byte; 32], "dlv_1", 4, b"{}"));
        assert_eq!(all.standard, format!("{} {newest} {oldest}", alone.standard));
        assert_eq!(sign(&secrets(&[4_999]), "dlv_1", 4_999, b"{}"), alone);
    }

    #[test]
    fn id_time_and_body_are_all_signed() {
        let of = |id, now_ms, body: &[u8]| sign(&secrets(&[]), id, now_ms, body).standard;
        let one = of("dlv_1", 4_999, b"{}");
        assert_eq!(of("dlv_1", 4_000, b"{}"), one, "the header tells seconds");
        for other in [of("dlv_2", 4_999, b"{}"), of("dlv_1", 5_000, b"{}"), of("dlv_1", 4_999, b"{ }")] {
            assert_ne!(other, one);
        }
    }
}
