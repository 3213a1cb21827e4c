//! A public key as a PEM file (RFC 7468).

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};

use super::KeyError;
use super::key::{Key, KeyFault};

/// The one key in the file's bytes; `path` is only for what is told.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Key, KeyError> {
    let owned = || path.to_owned();
    let labels = labels(bytes);
    if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
        return Err(KeyError::PrivateKey { path: owned() });
    }
    match labels.as_slice() {
        [] => Err(KeyError::NotPem { path: owned() }),
        ["PUBLIC KEY" | "RSA PUBLIC KEY"] => key(bytes).map_err(|fault| KeyError::Unusable { path: owned(), fault }),
        [label] if label.ends_with("CERTIFICATE") => Err(KeyError::Certificate { path: owned() }),
        [_] => Err(KeyError::NotPem { path: owned() }),
        [..] => Err(KeyError::SeveralKeys { path: owned() }),
    }
}

/// What stands between BEGIN and the dashes, of each block.
fn labels(bytes: &[u8]) -> Vec<&str> {
    let text = str::from_utf8(bytes).unwrap_or_default();
    text.lines().filter_map(|line| line.trim().strip_prefix("-----BEGIN ")?.strip_suffix("-----")).collect()
}

fn key(pem: &[u8]) -> Result<Key, KeyFault> {
    if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        return Key::elliptic(key);
    }
    let key = DecodingKey::from_rsa_pem(pem).map_err(|_| KeyFault::Kind)?;
    let Ok(AlgorithmParameters::RSA(numbers)) = Jwk::from_decoding_key(&key, None).map(|jwk| jwk.algorithm) else {
        return Err(KeyFault::BrokenRsa);
    };
    let number = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| KeyFault::BrokenRsa);
    Key::rsa(&number(&numbers.n)?, &number(&numbers.e)?)
}

#[cfg(test)]
mod tests {
    use super::super::forge::corpus;
    use super::super::key::Algorithm;
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Algorithm, KeyError> {
        parse(Path::new("key.pem"), bytes).map(|key| key.algorithm)
    }

    #[test]
    fn the_key_fixes_the_algorithm() {
        for (file, algorithm) in [
            ("rsa-public.pem", Algorithm::Rs256),
            ("rsa-public-pkcs1.pem", Algorithm::Rs256),
            ("p256-public.pem", Algorithm::Es256),
        ] {
            assert_eq!(parsed(&corpus(file)).expect(file), algorithm, "{file}");
        }
    }

    #[test]
    fn a_key_that_is_too_weak_too_long_or_of_another_kind_is_told_apart() {
        for (file, expected) in [
            ("rsa-1024-public.pem", KeyFault::WeakRsa(1024)),
            ("rsa-8192-public.pem", KeyFault::BrokenRsa),
            ("p384-public.pem", KeyFault::Curve),
            ("secp256k1-public.pem", KeyFault::Curve),
            ("ed25519-public.pem", KeyFault::Kind),
        ] {
            match parsed(&corpus(file)) {
                Err(KeyError::Unusable { fault, .. }) => assert_eq!(fault, expected, "{file}"),
                other => panic!("{file}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_public_key_file_is_told_with_the_remedy() {
        let two = [corpus("rsa-public.pem"), corpus("p256-public.pem")].concat();
        for (bytes, told) in [
            (corpus("rsa-private.pem"), "private key"),
            (corpus("p256-private.pem"), "private key"),
            (corpus("certificate.pem"), "openssl x509"),
            (two, "jwks_file"),
            (Vec::new(), "PEM"),
            (b"{\"keys\":[]}".to_vec(), "PEM"),
            (vec![0x30, 0x82, 0xff], "PEM"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n".to_vec(), "RS256"),
            (b"-----BEGIN PUBLIC KEY-----\n".to_vec(), "RS256"),
            (b"-----BEGIN MESSAGE-----\nAAAA\n-----END MESSAGE-----\n".to_vec(), "PEM"),
        ] {
            let message = parsed(&bytes).expect_err(told).to_string();
            assert!(message.contains("key.pem") && message.contains(told), "{told}: {message}");
        }
    }
}
