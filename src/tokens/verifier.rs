//! Which tokens are believed (RFC 7515 §5.2, RFC 7519 §7.2, and what RFC 8725 warns of).

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

pub use super::key::KeyError;
use super::key::Keys;
use super::payload::Expected;
use super::{Claims, InvalidUserId, TokenSettings};
use crate::limits::TOKEN_BYTES_MAX;

/// Why a token is not believed. A client may read it: there is nothing of any key or token in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error(
        "that is not a JSON Web Token: one is three base64url parts with dots between, and the first two are JSON objects"
    )]
    Malformed,
    #[error("the token's header demands extensions (crit) that this server does not know")]
    Critical,
    #[error("the token names no key (kid) that this server knows")]
    UnknownKey,
    #[error("the token must be signed with {0}")]
    Algorithm(&'static str),
    #[error("the token's signature is wrong")]
    Signature,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token does not say when it expires (exp)")]
    NoExpiry,
    #[error("the token's {0} is not a number of seconds since 1970")]
    Date(&'static str),
    #[error("the token is not from the issuer (iss) that this server trusts")]
    Issuer,
    #[error("the token is not meant for this server (aud)")]
    Audience,
    #[error("the token names no user (sub)")]
    NoUser,
    #[error("the token names two users (sub and userId)")]
    TwoUsers,
    #[error("the token's user (sub) is none: {InvalidUserId}")]
    User,
    #[error("the token's admin_level is not a whole number from 0 to {max}", max = u32::MAX)]
    AdminLevel,
}

/// Checks tokens; for all shards at once.
pub struct Verifier {
    keys: Keys,
    expected: Expected,
}

impl Verifier {
    /// Reads the key. Blocks on the disk, and makes the data directory's secret where that is the source and there is none.
    pub fn open(settings: &TokenSettings, data_dir: &Path) -> Result<Self, KeyError> {
        let TokenSettings { source, issuer, audience, leeway_s } = settings;
        let keys = Keys::open(source, data_dir)?;
        Ok(Self {
            keys,
            expected: Expected { issuer: issuer.clone(), audience: audience.clone(), leeway_s: *leeway_s },
        })
    }

    /// What the token says, if it is to be believed at `now_s` (Unix seconds).
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let header = object(header)?;
        // RFC 7515 §4.1.11: no extension is understood here, and an empty list is no list.
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(TokenError::Malformed)?),
        };
        let key = self.keys.find(kid).ok_or(TokenError::UnknownKey)?;
        if header.get("alg").and_then(Value::as_str) != Some(key.algorithm.as_str()) {
            return Err(TokenError::Algorithm(key.algorithm.as_str()));
        }
        if !key.signed(signed, signature) {
            return Err(TokenError::Signature);
        }
        self.expected.claims(&object(payload)?, now_s)
    }
}

/// A part of a token as JSON. Of members with one name the last counts, as RFC 7519 §4 allows.
fn object(part: &str) -> Result<Map<String, Value>, TokenError> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::forge::{NOW_S, SECRET, Signer, corpus, corpus_path, good, signed_with, with};
    use super::super::{KeySource, UserId};
    use super::*;

    fn open(settings: TokenSettings) -> Verifier {
        Verifier::open(&settings, Path::new("/nonexistent")).expect("a key")
    }

    fn verifier(signer: Signer) -> Verifier {
        let source = match signer {
            Signer::Secret => KeySource::Secret(SECRET.into()),
            Signer::Rsa => KeySource::PublicKeyFile(corpus_path("rsa-public.pem")),
            Signer::P256 => KeySource::PublicKeyFile(corpus_path("p256-public.pem")),
        };
        open(TokenSettings { source, leeway_s: 5, ..TokenSettings::default() })
    }

    const HS256: &str = r#"{"alg":"HS256"}"#;
    const SIGNERS: [Signer; 3] = [Signer::Secret, Signer::Rsa, Signer::P256];

    /// What comes of a signed payload at [`NOW_S`].
    fn judged(payload: &str) -> Result<Claims, TokenError> {
        verifier(Signer::Secret).verify(&Signer::Secret.sign(HS256, payload), NOW_S)
    }

    fn judged_under(header: &str) -> Result<Claims, TokenError> {
        verifier(Signer::Secret).verify(&Signer::Secret.sign(header, good().to_string()), NOW_S)
    }

    #[test]
    fn a_token_of_each_algorithm_is_believed_by_its_key_alone() {
        let claims = Claims { user: UserId::new("user_123"), admin_level: Some(2), expires_at_s: NOW_S + 60 };
        for signer in SIGNERS {
            let token = signer.token(&with(&json!({ "admin_level": 2 })));
            for other in SIGNERS {
                let outcome = verifier(other).verify(&token, NOW_S);
                let expected = match other == signer {
                    true => Ok(claims.clone()),
                    false => Err(TokenError::Algorithm(other.algorithm())),
                };
                assert_eq!(outcome, expected, "{signer:?} to {other:?}");
            }
        }
    }

    #[test]
    fn an_example_of_another_implementation_is_believed() {
        // RFC 7515 §A.1: its secret, its token; and its signature is over line breaks inside of the JSON.
        const TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0\
            dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        const KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let secret = URL_SAFE_NO_PAD.decode(KEY).expect("base64url");
        let keys = Keys::One(super::super::key::Key::secret(&secret));
        let verifier =
            Verifier { keys, expected: Expected { issuer: Some("joe".into()), audience: None, leeway_s: 0 } };
        assert_eq!(verifier.verify(TOKEN, 1_300_819_379), Err(TokenError::NoUser), "all but the user is right");
        assert_eq!(verifier.verify(TOKEN, 1_300_819_380), Err(TokenError::Expired));
        assert_eq!(verifier.verify(&TOKEN.replace("dBjf", "dBjg"), 0), Err(TokenError::Signature));
    }

    #[test]
    fn alg_none_is_refused_in_any_spelling_with_and_without_signature() {
        for signer in SIGNERS {
            let verifier = verifier(signer);
            for none in ["none", "None", "NONE", "nOnE", ""] {
                let signed = signer.sign(json!({ "alg": none }).to_string(), good().to_string());
                let (unsigned, _) = signed.rsplit_once('.').expect("parts");
                for token in [format!("{unsigned}."), signed.clone()] {
                    let refused = Err(TokenError::Algorithm(signer.algorithm()));
                    assert_eq!(verifier.verify(&token, NOW_S), refused, "{none} {signer:?}");
                }
            }
        }
    }

    #[test]
    fn a_public_key_is_not_taken_for_a_secret() {
        for (signer, file) in [(Signer::Rsa, "rsa-public.pem"), (Signer::P256, "p256-public.pem")] {
            let verifier = verifier(signer);
            let key = EncodingKey::from_secret(&corpus(file));
            let hs256 = jsonwebtoken::Algorithm::HS256;
            let confused = signed_with(&key, hs256, r#"{"alg":"HS256"}"#, good().to_string());
            assert_eq!(verifier.verify(&confused, NOW_S), Err(TokenError::Algorithm(signer.algorithm())), "{file}");
            let header = json!({ "alg": signer.algorithm() }).to_string();
            let disguised = signed_with(&key, hs256, header, good().to_string());
            assert_eq!(verifier.verify(&disguised, NOW_S), Err(TokenError::Signature), "{file}");
        }
    }

    #[test]
    fn the_algorithm_is_spelled_as_registered_and_there() {
        for header in [r#"{"alg":"hs256"}"#, r#"{"alg":"HS384"}"#, r#"{"alg":["HS256"]}"#, r#"{"alg":null}"#, "{}"] {
            assert_eq!(judged_under(header), Err(TokenError::Algorithm("HS256")), "{header}");
        }
    }

    #[test]
    fn a_critical_extension_is_refused_whatever_it_is() {
        for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", "\"b64\""] {
            let header = format!(r#"{{"alg":"HS256","b64":true,"crit":{crit}}}"#);
            assert_eq!(judged_under(&header), Err(TokenError::Critical), "{crit}");
        }
        assert!(judged_under(r#"{"alg":"HS256","typ":"JWT","kid":"any","x5t":1}"#).is_ok(), "others are passed over");
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let token = Signer::Secret.token(&good());
        let parts: Vec<_> = token.split('.').collect();
        let (header, payload, signature) = (parts[0], parts[1], parts[2]);
        for text in [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            header,
            &format!("{header}.{payload}"),
            &format!(" {token}"),
            &format!("Bearer {token}"),
            &format!("{header}=.{payload}.{signature}"),
            &format!("{header}\n.{payload}.{signature}"),
            &token.replace('.', " "),
        ] {
            assert_eq!(verifier(Signer::Secret).verify(text, NOW_S), Err(TokenError::Malformed), "{text:?}");
        }
        for header in ["", "[]", r#"["HS256"]"#, "null", "{", r#"{"alg":"HS256"} x"#, r#"{"alg":"HS256","kid":7}"#] {
            assert_eq!(judged_under(header), Err(TokenError::Malformed), "{header}");
        }
        let deep = format!(r#"{{"x":{}"#, "[".repeat(4000));
        for payload in ["", "[]", "7", "{", r#"["user_123"]"#, r#"{"sub":"u","exp":1e999}"#, &deep] {
            assert_eq!(judged(payload), Err(TokenError::Malformed), "{payload}");
        }
    }

    #[test]
    fn a_signature_has_one_spelling() {
        for signer in SIGNERS {
            let (verifier, token) = (verifier(signer), signer.token(&good()));
            assert!(verifier.verify(&token, NOW_S).is_ok());
            let (signed, signature) = token.rsplit_once('.').expect("parts");
            for other in [
                String::new(),
                format!("{signature}="),
                format!("{signature}A"),
                signature[1..].to_owned(),
                format!("{signature}.{signature}"),
                "A".repeat(signature.len()),
            ] {
                let outcome = verifier.verify(&format!("{signed}.{other}"), NOW_S);
                assert!(matches!(outcome, Err(TokenError::Signature | TokenError::Malformed)), "{other}: {outcome:?}");
            }
        }
    }

    #[test]
    fn a_longer_token_than_the_bound_is_refused_before_it_is_read() {
        let sized = |bytes| {
            let sized = |pad| Signer::Secret.token(&with(&json!({ "pad": "p".repeat(pad) })));
            (bytes / 2..bytes).map(sized).find(|token| token.len() >= bytes).expect("long enough")
        };
        let longest = sized(TOKEN_BYTES_MAX - 1);
        assert!((TOKEN_BYTES_MAX - 1..=TOKEN_BYTES_MAX).contains(&longest.len()));
        assert!(verifier(Signer::Secret).verify(&longest, NOW_S).is_ok());
        let verify = |text: &str| verifier(Signer::Secret).verify(text, NOW_S);
        assert_eq!(verify(&sized(TOKEN_BYTES_MAX + 1)), Err(TokenError::TooLong));
        assert_eq!(verify(&".".repeat(TOKEN_BYTES_MAX + 1)), Err(TokenError::TooLong));
        assert_eq!(verify(&".".repeat(TOKEN_BYTES_MAX)), Err(TokenError::Malformed));
    }

    #[test]
    fn nothing_of_a_payload_is_told_to_who_did_not_sign_it() {
        let expired = Signer::Secret.token(&with(&json!({ "exp": 1 })));
        let (signed, _) = expired.rsplit_once('.').expect("parts");
        assert_eq!(verifier(Signer::Secret).verify(&format!("{signed}.AAAA"), NOW_S), Err(TokenError::Signature));
    }

    #[test]
    fn one_verifier_serves_all_shards() {
        fn shared<T: Send + Sync>() {}
        shared::<Verifier>();
    }

    proptest! {
        #[test]
        fn no_text_is_believed(text in ".*", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,60}", 3)) {
            for text in [text, parts.join(".")] {
                for signer in SIGNERS {
                    prop_assert!(verifier(signer).verify(&text, NOW_S).is_err());
                }
            }
        }

        #[test]
        fn no_signed_bytes_panic(header in any::<Vec<u8>>(), payload in any::<Vec<u8>>(), text in "\\{(\"(sub|exp|aud)\":[0-9.e-]{0,20},?){0,3}\\}") {
            let verifier = verifier(Signer::Secret);
            prop_assert!(verifier.verify(&Signer::Secret.sign(header, good().to_string()), NOW_S).is_err());
            prop_assert!(verifier.verify(&Signer::Secret.sign(HS256, payload), NOW_S).is_err());
            prop_assert!(verifier.verify(&Signer::Secret.sign(HS256, text), NOW_S).is_err());
        }

        #[test]
        fn a_valid_token_with_any_change_is_not_believed(signer in 0..3usize, at in any::<prop::sample::Index>(), by in 1u8..128) {
            let signer = SIGNERS[signer];
            let mut bytes = signer.token(&good()).into_bytes();
            let at = at.index(bytes.len());
            bytes[at] = (bytes[at] + by) % 128;
            let text = String::from_utf8(bytes).expect("ASCII");
            prop_assert!(verifier(signer).verify(&text, NOW_S).is_err(), "{text}");
        }

        #[test]
        fn a_valid_token_that_lost_or_gained_something_is_not_believed(signer in 0..3usize, at in any::<prop::sample::Index>(), gained in ".{0,3}") {
            let signer = SIGNERS[signer];
            let token = signer.token(&good());
            let at = at.index(token.len());
            let text = match gained.as_str() {
                "" => token[..at].to_owned(),
                _ => format!("{}{gained}{}", &token[..at], &token[at..]),
            };
            prop_assert!(verifier(signer).verify(&text, NOW_S).is_err(), "{text}");
        }
    }
}
