//! Making tokens, where the key is a secret of this machine's: for trying things out, and for services beside the server.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Map, Value};

use super::{KeyError, KeySource, TokenSettings, UserId, secret};

#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "{} holds public keys, which check tokens but can't sign any: have them made by whoever has the private key, or \
         set [jwt] secret instead",
        path.display()
    )]
    PublicKey { path: PathBuf },
}

/// What a token is to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    pub user: UserId,
    pub admin_level: Option<u32>,
    /// From now to its end.
    pub ttl_s: u64,
}

/// Signs with HS256.
pub struct Minter {
    key: EncodingKey,
    issuer: Option<String>,
    audience: Option<String>,
}

impl Minter {
    /// Reads the secret, or makes the data directory's where that is the source and there is none.
    pub fn open(settings: &TokenSettings, data_dir: &Path) -> Result<Self, MintError> {
        let secret = match &settings.source {
            KeySource::DataDirectory => secret::of_data_dir(data_dir)?,
            KeySource::Secret(secret) => secret::configured(secret)?,
            KeySource::PublicKeyFile(path) | KeySource::JwksFile(path) => {
                return Err(MintError::PublicKey { path: path.clone() });
            }
        };
        let (issuer, audience) = (settings.issuer.clone(), settings.audience.clone());
        Ok(Self { key: EncodingKey::from_secret(&secret), issuer, audience })
    }

    /// A token that a server with the same settings believes from `now_s` (Unix seconds) on, for its time.
    pub fn mint(&self, token: &NewToken, now_s: u64) -> String {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let claims = [
            ("sub", Some(token.user.as_str().into())),
            ("admin_level", token.admin_level.map(Value::from)),
            ("iss", text(&self.issuer)),
            ("aud", text(&self.audience)),
            ("iat", Some(now_s.into())),
            ("exp", Some(now_s.saturating_add(token.ttl_s).into())),
        ];
        let payload: Map<_, _> =
            claims.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
        let signed =
            format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(&Value::Object(payload).to_string()));
        let signature =
            crypto::sign(signed.as_bytes(), &self.key, Algorithm::HS256).expect("HMAC signs with every secret");
        format!("{signed}.{signature}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::forge::{AUDIENCE, ISSUER, NOW_S, SECRET, corpus_path};
    use super::super::{Claims, TokenError, Verifier};
    use super::*;

    fn settings(source: KeySource) -> TokenSettings {
        TokenSettings { source, issuer: Some(ISSUER.into()), audience: Some(AUDIENCE.into()), leeway_s: 5 }
    }

    fn token(admin_level: Option<u32>) -> NewToken {
        NewToken { user: UserId::new("user_123"), admin_level, ttl_s: 60 }
    }

    #[test]
    fn a_minted_token_is_believed_for_its_time() {
        let dir = tempfile::tempdir().expect("a directory");
        for source in [KeySource::DataDirectory, KeySource::Secret(SECRET.into())] {
            for settings in [settings(source.clone()), TokenSettings { source, ..TokenSettings::default() }] {
                let minter = Minter::open(&settings, dir.path()).expect("a minter");
                let verifier = Verifier::open(&settings, dir.path()).expect("a verifier");
                for admin_level in [None, Some(0), Some(u32::MAX)] {
                    let minted = minter.mint(&token(admin_level), NOW_S);
                    let claims = Claims { user: UserId::new("user_123"), admin_level, expires_at_s: NOW_S + 60 };
                    for now_s in [NOW_S, NOW_S + 59] {
                        assert_eq!(verifier.verify(&minted, now_s).as_ref(), Ok(&claims));
                    }
                    assert_eq!(verifier.verify(&minted, NOW_S + 60), Err(TokenError::Expired));
                }
            }
        }
    }

    #[test]
    fn a_token_says_what_it_was_made_with_and_no_more() {
        let mint = |settings: &TokenSettings, admin_level| {
            let minter = Minter::open(settings, Path::new("/nonexistent")).expect("a minter");
            let minted = minter.mint(&token(admin_level), 7);
            let payload = minted.split('.').nth(1).expect("a payload");
            String::from_utf8(URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("UTF-8")
        };
        let secret = || KeySource::Secret(SECRET.into());
        let bare = TokenSettings { source: secret(), ..TokenSettings::default() };
        assert_eq!(mint(&bare, None), r#"{"sub":"user_123","iat":7,"exp":67}"#);
        assert_eq!(
            mint(&settings(secret()), Some(2)),
            format!(r#"{{"sub":"user_123","admin_level":2,"iss":"{ISSUER}","aud":"{AUDIENCE}","iat":7,"exp":67}}"#)
        );
    }

    #[test]
    fn a_public_key_mints_nothing_and_says_so() {
        let file = corpus_path("rsa-public.pem");
        for source in [KeySource::PublicKeyFile(file.clone()), KeySource::JwksFile(file)] {
            let message =
                Minter::open(&settings(source), Path::new("/nonexistent")).err().expect("no minter").to_string();
            assert!(message.contains("rsa-public.pem") && message.contains("can't sign"), "{message}");
        }
    }

    #[test]
    fn a_weak_secret_is_refused_here_too() {
        let error = Minter::open(&settings(KeySource::Secret("short".into())), Path::new("/nonexistent")).err();
        assert!(matches!(error, Some(MintError::Key(KeyError::WeakSecret { bytes: 5 }))), "{error:?}");
    }
}
