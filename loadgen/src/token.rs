//! Tokens of the rooms protocol (RFC 7519), signed with the server's own HS256 secret.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::args::UsageError;

/// A run is over long before.
const LIFE_S: u64 = 24 * 3600;

/// The server's secret, as it stands in its data directory.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, UsageError> {
    let unreadable = |why| UsageError::Secret { path: path.display().to_string(), why };
    let text = std::fs::read_to_string(path).map_err(|source| unreadable(source.to_string()))?;
    match text.trim() {
        "" => Err(unreadable("it is empty".into())),
        secret => Ok(secret.as_bytes().to_vec()),
    }
}

/// Unix seconds, from which a token counts.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A token of `user` from `now_s` (Unix seconds) on; level 0 is no administrator.
pub fn mint(secret: &[u8], user: &str, admin_level: u8, now_s: u64) -> String {
    let level = if admin_level > 0 { format!(r#","admin_level":{admin_level}"#) } else { String::new() };
    let claims = format!(r#"{{"sub":"{user}"{level},"iat":{now_s},"exp":{}}}"#, now_s + LIFE_S);
    let signed =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#), URL_SAFE_NO_PAD.encode(claims));
    format!("{signed}.{}", signature(secret, &signed))
}

fn signature(secret: &[u8], signed: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_rfc_7515_appendix_a_1() {
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                      eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let secret = URL_SAFE_NO_PAD.decode(key).unwrap();
        assert_eq!(signature(&secret, signed), "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn a_token_is_three_parts_whose_last_signs_the_others() {
        let token = mint(b"secret", "mixed_user_7", 2, 1_700_000_000);
        let parts: Vec<&str> = token.split('.').collect();
        let decode = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(decode(parts[0]), r#"{"alg":"HS256","typ":"JWT"}"#);
        assert_eq!(decode(parts[1]), r#"{"sub":"mixed_user_7","admin_level":2,"iat":1700000000,"exp":1700086400}"#);
        assert_ne!(mint(b"other", "mixed_user_7", 2, 1_700_000_000).split('.').nth(2), Some(parts[2]));
        assert!(!decode(mint(b"s", "u", 0, 0).split('.').nth(1).unwrap()).contains("admin_level"));
    }
}
