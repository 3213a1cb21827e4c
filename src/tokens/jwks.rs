//! A JWK set (RFC 7517 §5): the public keys of an identity provider, by name.
//!
//! A set may hold keys that other programs use, so what is of no use here is passed over with a warning. A secret in it is
//! another matter: whoever may read the set could mint tokens.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::KeyError;
use super::key::{Key, KeyFault, NamedKey};

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// Members of a key (RFC 7517 §4, RFC 7518 §6).
#[derive(Deserialize)]
struct Members {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys in the file's bytes, one at least; `path` is only for what is told.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<NamedKey>, KeyError> {
    let owned = || path.to_owned();
    let set: Set = serde_json::from_slice(bytes).map_err(|_| KeyError::NotJwks { path: owned() })?;
    let mut keys: Vec<NamedKey> = Vec::new();
    for (place, jwk) in set.keys.iter().enumerate() {
        let name = match jwk["kid"].as_str() {
            Some(kid) => format!("{kid:?}"),
            None => format!("number {}", place + 1),
        };
        if jwk["kty"] == "oct" || ["k", "d"].iter().any(|private| jwk.get(private).is_some()) {
            return Err(KeyError::SecretInJwks { path: owned(), name });
        }
        match key(jwk) {
            Err(fault) => tracing::warn!("passing over key {name} of {}: {fault}", path.display()),
            Ok(key) => match &key.kid {
                Some(kid) if keys.iter().any(|other| other.kid.as_ref() == Some(kid)) => {
                    return Err(KeyError::SameKid { path: owned(), kid: kid.clone() });
                }
                _ => keys.push(key),
            },
        }
    }
    if keys.is_empty() { Err(KeyError::NoUsableKey { path: owned() }) } else { Ok(keys) }
}

fn key(jwk: &Value) -> Result<NamedKey, KeyFault> {
    let members = Members::deserialize(jwk).map_err(|_| KeyFault::NotAJwk)?;
    let verifies = members.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"));
    if !verifies || members.purpose.as_ref().is_some_and(|purpose| purpose != "sig") {
        return Err(KeyFault::Use);
    }
    // `alg` is optional, and some providers leave it out. Nothing is open without it: a kind has one algorithm here.
    let pinned = |algorithm| match &members.alg {
        Some(other) if other != algorithm => Err(KeyFault::Algorithm(other.chars().take(32).collect())),
        _ => Ok(()),
    };
    let key = match members.kty.as_str() {
        "RSA" => {
            pinned("RS256")?;
            Key::rsa(&number(members.n.as_ref())?, &number(members.e.as_ref())?)?
        }
        "EC" => {
            pinned("ES256")?;
            let (x, y) = (number(members.x.as_ref())?, number(members.y.as_ref())?);
            if members.crv.as_deref() != Some("P-256") || (x.len(), y.len()) != (32, 32) {
                return Err(KeyFault::Curve);
            }
            // An uncompressed point (SEC 1 §2.3.3).
            Key::elliptic(DecodingKey::from_ec_der(&[&[4], &x[..], &y[..]].concat()))?
        }
        _ => return Err(KeyFault::Kind),
    };
    Ok(NamedKey { kid: members.kid, key })
}

fn number(text: Option<&String>) -> Result<Vec<u8>, KeyFault> {
    text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(KeyFault::NotAJwk)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::jwk::Jwk;
    use serde_json::json;

    use super::super::forge::{NOW_S, Signer, corpus, corpus_path, good};
    use super::super::key::Algorithm;
    use super::super::{KeySource, TokenError, TokenSettings, Verifier};
    use super::*;

    /// The corpus's public key as a JWK, with `more` members.
    fn jwk(signer: Signer, more: &Value) -> Value {
        let key = match signer {
            Signer::Rsa => DecodingKey::from_rsa_pem(&corpus("rsa-public.pem")),
            Signer::P256 => DecodingKey::from_ec_pem(&corpus("p256-public.pem")),
            Signer::Secret => panic!("not public"),
        };
        let jwk = Jwk::from_decoding_key(&key.expect("a key"), None).expect("a JWK");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        for (name, value) in more.as_object().expect("an object") {
            jwk[name.as_str()] = value.clone();
        }
        jwk
    }

    fn parsed(keys: &[Value]) -> Result<Vec<NamedKey>, KeyError> {
        parse(Path::new("jwks.json"), json!({ "keys": keys }).to_string().as_bytes())
    }

    fn kids(keys: &[Value]) -> Vec<String> {
        parsed(keys).expect("keys").into_iter().map(|key| key.kid.unwrap_or_default()).collect()
    }

    fn verifier(keys: &[Value]) -> Verifier {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), json!({ "keys": keys }).to_string()).expect("written");
        let source = KeySource::JwksFile(file.path().to_owned());
        Verifier::open(&TokenSettings { source, ..TokenSettings::default() }, Path::new("/nonexistent")).expect("keys")
    }

    fn signed(signer: Signer, header: &Value) -> String {
        signer.sign(header.to_string(), good().to_string())
    }

    #[test]
    fn a_tokens_kid_picks_the_key_and_the_key_its_algorithm() {
        let (rsa, p256) = (jwk(Signer::Rsa, &json!({ "kid": "r" })), jwk(Signer::P256, &json!({ "kid": "p" })));
        let both = verifier(&[rsa.clone(), p256]);
        for (signer, header, outcome) in [
            (Signer::Rsa, json!({ "alg": "RS256", "kid": "r" }), Ok(())),
            (Signer::P256, json!({ "alg": "ES256", "kid": "p" }), Ok(())),
            (Signer::Rsa, json!({ "alg": "RS256", "kid": "p" }), Err(TokenError::Algorithm("ES256"))),
            (Signer::P256, json!({ "alg": "RS256", "kid": "r" }), Err(TokenError::Signature)),
            (Signer::Rsa, json!({ "alg": "none", "kid": "r" }), Err(TokenError::Algorithm("RS256"))),
            (Signer::Rsa, json!({ "alg": "RS256", "kid": "R" }), Err(TokenError::UnknownKey)),
            (Signer::Rsa, json!({ "alg": "RS256" }), Err(TokenError::UnknownKey)),
        ] {
            assert_eq!(both.verify(&signed(signer, &header), NOW_S).map(drop), outcome, "{header}");
        }
        let one = verifier(&[rsa]);
        assert!(one.verify(&signed(Signer::Rsa, &json!({ "alg": "RS256" })), NOW_S).is_ok(), "the only one");
        let other = one.verify(&signed(Signer::Rsa, &json!({ "alg": "RS256", "kid": "x" })), NOW_S);
        assert_eq!(other, Err(TokenError::UnknownKey), "a name that is given counts");
    }

    #[test]
    fn a_key_without_kid_is_found_only_where_it_is_alone() {
        let (unnamed, named) = (jwk(Signer::Rsa, &json!({})), jwk(Signer::P256, &json!({ "kid": "p" })));
        let token = signed(Signer::Rsa, &json!({ "alg": "RS256" }));
        assert!(verifier(std::slice::from_ref(&unnamed)).verify(&token, NOW_S).is_ok());
        assert_eq!(verifier(&[unnamed, named]).verify(&token, NOW_S), Err(TokenError::UnknownKey));
    }

    #[test]
    fn a_rsa_or_p256_key_has_one_algorithm_also_where_it_names_none() {
        for (signer, more, algorithm) in [
            (Signer::Rsa, json!({}), Algorithm::Rs256),
            (Signer::Rsa, json!({ "alg": "RS256", "use": "sig", "key_ops": ["verify"] }), Algorithm::Rs256),
            (Signer::P256, json!({}), Algorithm::Es256),
            (Signer::P256, json!({ "alg": "ES256", "x5t": "any" }), Algorithm::Es256),
        ] {
            assert_eq!(parsed(&[jwk(signer, &more)]).expect("a key")[0].key.algorithm, algorithm, "{more}");
        }
    }

    #[test]
    fn keys_of_no_use_here_are_passed_over() {
        let good = jwk(Signer::Rsa, &json!({ "kid": "good" }));
        for other in [
            jwk(Signer::Rsa, &json!({ "use": "enc" })),
            jwk(Signer::Rsa, &json!({ "key_ops": ["encrypt"] })),
            jwk(Signer::Rsa, &json!({ "alg": "RS512" })),
            jwk(Signer::Rsa, &json!({ "alg": "HS256" })),
            jwk(Signer::Rsa, &json!({ "alg": "none" })),
            jwk(Signer::Rsa, &json!({ "n": "AQAB" })),
            jwk(Signer::Rsa, &json!({ "n": "not base64!" })),
            jwk(Signer::Rsa, &json!({ "e": "AQ" })),
            jwk(Signer::Rsa, &json!({ "kty": "EC" })),
            jwk(Signer::P256, &json!({ "alg": "ES384" })),
            jwk(Signer::P256, &json!({ "crv": "P-384" })),
            jwk(Signer::P256, &json!({ "crv": "secp256k1" })),
            jwk(Signer::P256, &json!({ "x": "AQAB" })),
            jwk(Signer::P256, &json!({ "x": URL_SAFE_NO_PAD.encode([1; 32]) })),
            json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode([1; 32]) }),
            json!({ "kty": 7 }),
            json!({}),
            json!("key"),
        ] {
            assert_eq!(kids(&[other.clone(), good.clone()]), ["good"], "{other}");
            assert!(matches!(parsed(std::slice::from_ref(&other)), Err(KeyError::NoUsableKey { .. })), "{other}");
        }
        assert!(matches!(parsed(&[]), Err(KeyError::NoUsableKey { .. })));
    }

    #[test]
    fn a_public_key_set_holds_no_secrets() {
        let good = jwk(Signer::Rsa, &json!({ "kid": "good" }));
        for secret in [
            json!({ "kty": "oct", "alg": "HS256", "kid": "s", "k": URL_SAFE_NO_PAD.encode([7; 32]) }),
            json!({ "kty": "oct", "kid": "s" }),
            jwk(Signer::Rsa, &json!({ "kid": "s", "d": "AQAB" })),
            jwk(Signer::P256, &json!({ "kid": "s", "d": "AQAB" })),
        ] {
            let message = parsed(&[good.clone(), secret.clone()]).err().expect("a secret").to_string();
            assert!(message.contains("jwks.json") && message.contains("\"s\""), "{message}");
            assert!(!message.contains("BwcH") && !message.contains("AQAB"), "{message}");
        }
    }

    #[test]
    fn two_keys_of_one_name_are_refused() {
        let keys = [jwk(Signer::Rsa, &json!({ "kid": "k" })), jwk(Signer::P256, &json!({ "kid": "k" }))];
        assert!(matches!(parsed(&keys), Err(KeyError::SameKid { kid, .. }) if kid == "k"));
    }

    #[test]
    fn what_is_no_key_set_is_told() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, "{\"keys\":[]} x", "-----BEGIN PUBLIC KEY-----"] {
            let error = parse(Path::new("jwks.json"), text.as_bytes()).err().expect(text);
            assert!(matches!(error, KeyError::NotJwks { .. }), "{text}: {error}");
        }
        let source = KeySource::JwksFile(corpus_path("gone.json"));
        let error = Verifier::open(&TokenSettings { source, ..TokenSettings::default() }, Path::new("/")).err();
        assert!(matches!(error, Some(KeyError::Missing { .. })), "{error:?}");
    }
}
