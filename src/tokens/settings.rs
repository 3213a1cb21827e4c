//! Which tokens are believed: the `[jwt]` section of the configuration.

use std::fmt;
use std::path::PathBuf;

use crate::limits;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSettings {
    pub source: KeySource,
    /// What `iss` must be; None: it is not looked at.
    pub issuer: Option<String>,
    /// What `aud` must be or hold; None: a token that names an audience is still refused, as RFC 7519 §4.1.3 wants.
    pub audience: Option<String>,
    /// How far the issuer's clock may be ahead: so long before its `nbf` a token is believed. Past its `exp` none is.
    pub leeway_s: u64,
}

/// Where the key is that tokens are checked with. It pins the algorithm: a token never chooses its own.
#[derive(Clone, PartialEq, Eq)]
pub enum KeySource {
    /// HS256 with a secret that the server made in its data directory, so that `stentor token mint` works by itself.
    DataDirectory,
    /// HS256 with this secret.
    Secret(String),
    /// RS256 or ES256, as the PEM file's key is.
    PublicKeyFile(PathBuf),
    /// A JWK set (RFC 7517); a token's `kid` names the key, the key its algorithm.
    JwksFile(PathBuf),
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self { source: KeySource::DataDirectory, issuer: None, audience: None, leeway_s: limits::TOKEN_LEEWAY_S }
    }
}

/// Without the secret, so that it reaches no log by accident.
impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDirectory => f.write_str("DataDirectory"),
            Self::Secret(_) => f.write_str("Secret(…)"),
            Self::PublicKeyFile(path) => f.debug_tuple("PublicKeyFile").field(path).finish(),
            Self::JwksFile(path) => f.debug_tuple("JwksFile").field(path).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_does_not_hold_the_secret() {
        let settings = TokenSettings { source: KeySource::Secret("hunter2".into()), ..TokenSettings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
