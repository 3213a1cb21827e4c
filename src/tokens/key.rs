//! Keys that signatures are checked with, each bound to the one algorithm that it is for.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jsonwebtoken::{DecodingKey, crypto};

use super::{KeySource, jwks, pem, secret};
use crate::limits::{RSA_BITS_MAX, RSA_BITS_MIN, RSA_EXPONENT_MAX, TOKEN_KEY_FILE_BYTES_MAX, TOKEN_SECRET_BYTES_MIN};

/// Why the server has no key to check tokens with. All of it is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there is no {}: put the key file there, or name another one in [jwt]", path.display())]
    Missing { path: PathBuf },
    #[error("can't read {} ({source}): let the user who runs stentor read it", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} is longer than {TOKEN_KEY_FILE_BYTES_MAX} bytes: name a file that holds keys alone", path.display())]
    TooLong { path: PathBuf },
    #[error(
        "the secret for tokens has {bytes} bytes, and HS256 wants at least {TOKEN_SECRET_BYTES_MIN} (RFC 7518 §3.2): \
         make one with `openssl rand -hex 32`"
    )]
    WeakSecret { bytes: usize },
    #[error("can't make {} ({source}): let the user who runs stentor write there", path.display())]
    SecretNotMade { path: PathBuf, source: io::Error },
    #[error(
        "{} does not hold the 64 hex digits of a token secret: restore them, or delete the file and a new secret is made, \
         for which tokens have to be minted anew",
        path.display()
    )]
    NotASecret { path: PathBuf },
    #[error("{} is not in PEM form: it has to hold one key between BEGIN PUBLIC KEY and END PUBLIC KEY", path.display())]
    NotPem { path: PathBuf },
    #[error(
        "{} holds a private key, which this server has no use for: name a file with the public one (`openssl pkey -pubout`)",
        path.display()
    )]
    PrivateKey { path: PathBuf },
    #[error(
        "{} holds a certificate: name a file with its public key (`openssl x509 -pubkey -noout`)",
        path.display()
    )]
    Certificate { path: PathBuf },
    #[error("{} holds several keys: leave one, or name a JWK set as [jwt] jwks_file", path.display())]
    SeveralKeys { path: PathBuf },
    #[error("the key in {} can't be used: {fault}", path.display())]
    Unusable { path: PathBuf, fault: KeyFault },
    #[error("{} is not a JWK set (RFC 7517 §5): it has to be a JSON object with an array `keys`", path.display())]
    NotJwks { path: PathBuf },
    #[error(
        "{} holds a secret or private key ({name}), and a public key set holds none: remove it, and make a new one \
         where it was in use",
        path.display()
    )]
    SecretInJwks { path: PathBuf, name: String },
    #[error("{} names several keys {kid:?}: give each a `kid` of its own", path.display())]
    SameKid { path: PathBuf, kid: String },
    #[error("{} holds no key that this server can use: add one for RS256 or ES256", path.display())]
    NoUsableKey { path: PathBuf },
}

/// What is wrong with a public key itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("it is an RSA key of {0} bits, and fewer than {RSA_BITS_MIN} are too weak: use a longer one")]
    WeakRsa(usize),
    #[error(
        "it is an RSA key that is broken or longer than {RSA_BITS_MAX} bits: use one of {RSA_BITS_MIN} to {RSA_BITS_MAX}"
    )]
    BrokenRsa,
    #[error("it is an elliptic-curve key, but not a valid one on P-256: use that curve")]
    Curve,
    #[error("it is neither RSA nor on the elliptic curve P-256: use one for RS256 or ES256")]
    Kind,
    #[error("it is for another algorithm ({0}): use one for RS256 or ES256")]
    Algorithm(String),
    #[error("it is not for checking signatures: use one that is")]
    Use,
    #[error("its members are no JSON Web Key (RFC 7517 §4): write it as one")]
    NotAJwk,
}

/// The algorithms that keys are for here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Hs256,
    Rs256,
    Es256,
}

impl Algorithm {
    /// As a header's `alg` spells it (RFC 7518 §3.1).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    const fn of_crate(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
        }
    }
}

/// A key and the one algorithm that it checks.
pub(super) struct Key {
    pub algorithm: Algorithm,
    key: DecodingKey,
}

impl Key {
    pub fn secret(bytes: &[u8]) -> Self {
        Self { algorithm: Algorithm::Hs256, key: DecodingKey::from_secret(bytes) }
    }

    /// `modulus` and `exponent` as big-endian bytes.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyFault> {
        let bits = bits(modulus);
        if bits < RSA_BITS_MIN {
            return Err(KeyFault::WeakRsa(bits));
        }
        // The crate would take these and then refuse every signature.
        let exponent_number =
            exponent.iter().try_fold(0u64, |number, byte| Some(number.checked_mul(256)? + u64::from(*byte)));
        let sound = exponent_number.is_some_and(|e| e % 2 == 1 && (3..=RSA_EXPONENT_MAX).contains(&e));
        if bits > RSA_BITS_MAX || !sound || modulus.last().is_none_or(|last| last % 2 == 0) {
            return Err(KeyFault::BrokenRsa);
        }
        Ok(Self { algorithm: Algorithm::Rs256, key: DecodingKey::from_rsa_raw_components(modulus, exponent) })
    }

    /// A key of some elliptic curve.
    pub fn elliptic(key: DecodingKey) -> Result<Self, KeyFault> {
        let key = Self { algorithm: Algorithm::Es256, key };
        // Only a point of P-256 makes a verifier, which then finds this signature wrong. A point of another curve of the
        // same size lies on P-256 as good as never.
        match crypto::verify("", &[], &key.key, key.algorithm.of_crate()) {
            Ok(_) => Ok(key),
            Err(_) => Err(KeyFault::Curve),
        }
    }

    /// Whether `signature`, in base64url, is this key's over `message` (RFC 7515 §5.2). What is no signature at all isn't.
    pub fn signed(&self, message: &str, signature: &str) -> bool {
        crypto::verify(signature, message.as_bytes(), &self.key, self.algorithm.of_crate()).unwrap_or(false)
    }
}

/// Which key a token is checked with.
pub(super) enum Keys {
    /// This one, whatever key the token names: there is no other.
    One(Key),
    /// The one that the token names; one key at least.
    Set(Vec<NamedKey>),
}

pub(super) struct NamedKey {
    pub kid: Option<String>,
    pub key: Key,
}

impl Keys {
    pub fn open(source: &KeySource, data_dir: &Path) -> Result<Self, KeyError> {
        Ok(match source {
            KeySource::DataDirectory => Self::One(Key::secret(&secret::of_data_dir(data_dir)?)),
            KeySource::Secret(secret) => Self::One(Key::secret(&secret::configured(secret)?)),
            KeySource::PublicKeyFile(path) => Self::One(pem::parse(path, &read(path)?)?),
            KeySource::JwksFile(path) => Self::Set(jwks::parse(path, &read(path)?)?),
        })
    }

    /// The key that `kid` names. Without a name: the only one.
    pub fn find(&self, kid: Option<&str>) -> Option<&Key> {
        match (self, kid) {
            (Self::One(key), _) => Some(key),
            (Self::Set(keys), Some(kid)) => {
                keys.iter().find(|named| named.kid.as_deref() == Some(kid)).map(|named| &named.key)
            }
            (Self::Set(keys), None) => match keys.as_slice() {
                [only] => Some(&only.key),
                _ => None,
            },
        }
    }
}

impl KeyError {
    pub(super) fn of_io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.to_owned() },
            _ => Self::Unreadable { path: path.to_owned(), source },
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    let unreadable = |source| KeyError::of_io(path, source);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(TOKEN_KEY_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > TOKEN_KEY_FILE_BYTES_MAX {
        return Err(KeyError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

/// The length of a big-endian number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros).map_or(0, |first| (number.len() - zeros) * 8 - first.leading_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_first_one() {
        for (number, expected) in
            [(&[][..], 0), (&[0, 0], 0), (&[1], 1), (&[0, 0x80], 8), (&[1, 0], 9), (&[0xff, 0, 0], 24)]
        {
            assert_eq!(bits(number), expected, "{number:?}");
        }
    }

    #[test]
    fn rsa_keys_that_the_crate_would_only_fail_with_are_refused() {
        let modulus = |bytes| vec![0xff; bytes];
        for (bytes, exponent, fault) in [
            (255, &[1, 0, 1][..], Some(KeyFault::WeakRsa(2040))),
            (256, &[1, 0, 1], None),
            (512, &[0, 0, 1, 0, 1], None),
            (513, &[1, 0, 1], Some(KeyFault::BrokenRsa)),
            (256, &[], Some(KeyFault::BrokenRsa)),
            (256, &[1], Some(KeyFault::BrokenRsa)),
            (256, &[1, 0, 0], Some(KeyFault::BrokenRsa)),
            (256, &[3, 0, 0, 0, 1], Some(KeyFault::BrokenRsa)),
            (256, &[0xff; 9], Some(KeyFault::BrokenRsa)),
        ] {
            assert_eq!(Key::rsa(&modulus(bytes), exponent).err(), fault, "{bytes} {exponent:?}");
        }
        let even = [modulus(255), vec![2]].concat();
        assert_eq!(Key::rsa(&even, &[1, 0, 1]).err(), Some(KeyFault::BrokenRsa));
    }

    #[test]
    fn a_key_file_is_bounded_and_has_to_be_there() {
        let path = Path::new("/dev/zero");
        assert!(matches!(read(path), Err(KeyError::TooLong { .. })));
        let message = read(Path::new("/nonexistent/key.pem")).expect_err("not there").to_string();
        assert!(message.contains("/nonexistent/key.pem") && message.contains("[jwt]"), "{message}");
        assert!(matches!(read(Path::new("/")), Err(KeyError::Unreadable { .. })));
    }
}
