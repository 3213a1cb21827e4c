//! One endpoint: what it does with what it gets, and the keys by which it knows who sent it.

use std::time::Duration;

use ahash::RandomState;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::post::Post;

/// What stands before the key of Standard Webhooks in a secret.
const SECRET_MARK: &str = "whsec_";

/// How an endpoint treats everything that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    /// Answers 200, but for the mischief that chance does.
    Healthy,
    /// Takes it and never answers.
    Hang,
    /// Answers 500.
    Fail,
}

/// What befalls healthy endpoints.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mischief {
    pub delay: Duration,
    /// Shares of the deliveries, from 0 to 1.
    pub errors: f64,
    pub resets: f64,
    pub seed: u64,
}

/// What the sink does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    Accept,
    Error,
    Reset,
    Hang,
}

impl Mischief {
    /// What becomes of one attempt of a delivery; the same seed, the same mischief.
    pub fn reaction(&self, conduct: Conduct, endpoint: u32, event: u32, first: bool) -> Reaction {
        match conduct {
            Conduct::Hang => return Reaction::Hang,
            Conduct::Fail => return Reaction::Error,
            Conduct::Healthy if !first || self.errors + self.resets == 0.0 => return Reaction::Accept,
            Conduct::Healthy => {}
        }
        let chance = RandomState::with_seeds(self.seed, 1, 2, 3).hash_one((endpoint, event));
        let chance = (chance >> 11) as f64 / (1u64 << 53) as f64;
        match chance {
            error if error < self.errors => Reaction::Error,
            reset if reset < self.errors + self.resets => Reaction::Reset,
            _ => Reaction::Accept,
        }
    }
}

/// A webhook as the server told of it.
#[derive(Debug)]
pub struct Endpoint {
    pub conduct: Conduct,
    pub webhook_id: String,
    keys: Keys,
}

/// Both keys, with the half of HMAC that is the same for every body done.
struct Keys {
    /// Of `X-Webhook-Signature`: the whole secret.
    plain: Hmac<Sha256>,
    /// Of `webhook-signature`: the bytes behind the mark.
    standard: Hmac<Sha256>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Endpoint {
    /// `None`: the secret is none.
    pub fn new(conduct: Conduct, webhook_id: String, secret: &str) -> Option<Self> {
        let key = STANDARD.decode(secret.strip_prefix(SECRET_MARK)?).ok().filter(|key| !key.is_empty())?;
        let mac = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        Some(Self { conduct, webhook_id, keys: Keys { plain: mac(secret.as_bytes()), standard: mac(&key) } })
    }

    /// Whether `X-Webhook-Signature` is the hexadecimal HMAC-SHA256 of the body, and nothing else.
    pub fn signed_plainly(&self, post: &Post<'_>) -> bool {
        let mut mac = self.keys.plain.clone();
        mac.update(post.body);
        post.headers.plain_signature == hex(&mac.finalize().into_bytes().into()).as_slice()
    }

    /// Whether `webhook-signature` holds the signature of `id.timestamp.body` (Standard Webhooks 1.0, "Signature scheme").
    pub fn signed_by_standard(&self, post: &Post<'_>) -> bool {
        let mut mac = self.keys.standard.clone();
        for part in [post.headers.id, b".", post.headers.timestamp, b".", post.body] {
            mac.update(part);
        }
        let expected = STANDARD.encode(mac.finalize().into_bytes());
        let given = post.headers.standard_signature.split(|byte| *byte == b' ');
        given.filter_map(|one| one.strip_prefix(b"v1,")).any(|one| one == expected.as_bytes())
    }
}

fn hex(digest: &[u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(digest) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::post::Headers;

    /// The example of the Standard Webhooks specification, and the same body's plain signature as Python's hmac gives it.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const STANDARD_SIGNATURE: &[u8] = b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    const PLAIN_SIGNATURE: &[u8] = b"80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c";

    fn post(body: &'static [u8], plain: &'static [u8], standard: &'static [u8]) -> Post<'static> {
        let headers = Headers {
            id: b"msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp: b"1614265330",
            plain_signature: plain,
            standard_signature: standard,
            ..Headers::default()
        };
        Post { path: "/hook/0", headers, body, bytes: 0 }
    }

    #[test]
    fn the_published_example_is_signed_rightly_and_a_changed_byte_is_not() {
        let endpoint = Endpoint::new(Conduct::Healthy, "wh_1".into(), SECRET).unwrap();
        let good = post(BODY, PLAIN_SIGNATURE, STANDARD_SIGNATURE);
        assert!(endpoint.signed_plainly(&good) && endpoint.signed_by_standard(&good));
        let changed = post(br#"{"test": 2432232315}"#, PLAIN_SIGNATURE, STANDARD_SIGNATURE);
        assert!(!endpoint.signed_plainly(&changed) && !endpoint.signed_by_standard(&changed));
    }

    #[test]
    fn one_of_several_standard_signatures_is_enough_but_the_plain_one_stands_alone() {
        let endpoint = Endpoint::new(Conduct::Healthy, "wh_1".into(), SECRET).unwrap();
        let two = b"v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert!(endpoint.signed_by_standard(&post(BODY, b"", two)));
        assert!(!endpoint.signed_by_standard(&post(BODY, b"", b"v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")));
        assert!(!endpoint.signed_plainly(&post(BODY, PLAIN_SIGNATURE.split_at(32).0, b"")));
        assert!(!endpoint.signed_plainly(&post(BODY, b"", b"")));
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for wrong in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"] {
            assert!(Endpoint::new(Conduct::Healthy, String::new(), wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn chance_fails_about_the_share_that_was_asked_for_first_attempts_only_and_always_the_same_ones() {
        let mischief = Mischief { delay: Duration::ZERO, errors: 0.05, resets: 0.01, seed: 9 };
        let of = |first| {
            let all = (0..100).flat_map(|endpoint| (0..100).map(move |event| (endpoint, event)));
            all.map(|(endpoint, event)| mischief.reaction(Conduct::Healthy, endpoint, event, first)).collect::<Vec<_>>()
        };
        let count = |reaction| of(true).iter().filter(|one| **one == reaction).count();
        assert!((400..600).contains(&count(Reaction::Error)), "{}", count(Reaction::Error));
        assert!((50..150).contains(&count(Reaction::Reset)), "{}", count(Reaction::Reset));
        assert!(of(false).iter().all(|one| *one == Reaction::Accept));
        assert_eq!(of(true), of(true));
        assert_eq!(mischief.reaction(Conduct::Hang, 1, 1, false), Reaction::Hang);
        assert_eq!(mischief.reaction(Conduct::Fail, 1, 1, false), Reaction::Error);
    }
}
