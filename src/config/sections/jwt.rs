//! `[jwt]`: which tokens of the rooms protocol are believed.

use super::super::error::Misplaced;
use super::super::value::Value;
use super::{Key, Printed, Section};
use crate::limits;
use crate::server::ServerOptions;
use crate::tokens::KeySource;

pub static SECTION: Section = Section {
    name: "jwt",
    about: "Tokens of the rooms protocol. Their key is one of secret, public_key_file and jwks_file. Without any, it is a secret\n\
            that the server made in its data directory and that `stentor token mint` signs with.",
    keys: KEYS,
    conflicts: &[],
};

const KEYS: &[Key] = &[
    Key {
        name: "secret",
        about: "The secret shared with your issuer, for HS256. RFC 7518 wants 32 bytes or more, and they should be random.",
        wanted: "a text in quotes",
        example: "\"32 random bytes or more\"",
        read: |options, value| match value.some_text()? {
            // Everybody knows it, and it is only a # away from being one.
            "32 random bytes or more" => Err(value.wrong("it is the example: write a secret of your own".to_owned())),
            secret => set_source(options, value, KeySource::Secret(secret.to_owned())),
        },
        print: |options| match options.tokens.source {
            KeySource::Secret(_) => Printed::Secret,
            _ => Printed::Unset,
        },
    },
    Key {
        name: "public_key_file",
        about: "Your issuer's public key, a PEM file, for RS256 or ES256 as the key is; from the working directory where it is\n\
                relative.",
        wanted: "a file",
        example: "\"/etc/stentor/issuer.pem\"",
        read: |options, value| {
            let path = value.path()?;
            set_source(options, value, KeySource::PublicKeyFile(path))
        },
        print: |options| match &options.tokens.source {
            KeySource::PublicKeyFile(path) => Printed::path(path),
            _ => Printed::Unset,
        },
    },
    Key {
        name: "jwks_file",
        about: "Your issuer's public keys, a JWK set (RFC 7517); from the working directory where it is relative. A token's `kid`\n\
                names the key, and the key the algorithm.",
        wanted: "a file",
        example: "\"/etc/stentor/jwks.json\"",
        read: |options, value| {
            let path = value.path()?;
            set_source(options, value, KeySource::JwksFile(path))
        },
        print: |options| match &options.tokens.source {
            KeySource::JwksFile(path) => Printed::path(path),
            _ => Printed::Unset,
        },
    },
    Key {
        name: "issuer",
        about: "What a token's `iss` must be; another one is refused. Unset: it is not looked at.",
        wanted: "a text in quotes",
        example: "\"https://login.example\"",
        read: |options, value| value.some_text().map(|issuer| options.tokens.issuer = Some(issuer.to_owned())),
        print: |options| Printed::or_unset(options.tokens.issuer.as_ref(), Printed::text),
    },
    Key {
        name: "audience",
        about: "What a token's `aud` must be or hold; another one is refused. Unset: a token that names an audience is refused.",
        wanted: "a text in quotes",
        example: "\"stentor\"",
        read: |options, value| value.some_text().map(|audience| options.tokens.audience = Some(audience.to_owned())),
        print: |options| Printed::or_unset(options.tokens.audience.as_ref(), Printed::text),
    },
    Key {
        name: "leeway_seconds",
        about: "How far your issuer's clock may be ahead, in seconds: that long before its start (nbf) a token counts. Past its\n\
                end (exp) none does. 0: not at all.",
        wanted: "a number of seconds",
        example: "5",
        read: |options, value| {
            options.tokens.leeway_s = value.number(0..=limits::CONFIGURED_LEEWAY_S_MAX)?;
            Ok(())
        },
        print: |options| Printed::number(options.tokens.leeway_s),
    },
];

/// Tokens have one key: whichever comes second is refused.
fn set_source(options: &mut ServerOptions, value: Value<'_>, source: KeySource) -> Result<(), Misplaced> {
    let first = match &options.tokens.source {
        KeySource::DataDirectory => {
            options.tokens.source = source;
            return Ok(());
        }
        KeySource::Secret(_) => "secret",
        KeySource::PublicKeyFile(_) => "public_key_file",
        KeySource::JwksFile(_) => "jwks_file",
    };
    Err(value.wrong(format!("the key is in `{first}` already: write one of the two, not both")))
}

#[cfg(test)]
mod tests {
    use super::super::super::File;
    use super::super::super::file::tests::told;
    use super::*;

    #[test]
    fn each_source_of_the_token_key_is_read() {
        for (text, expected) in [
            ("secret = \"s\"", KeySource::Secret("s".into())),
            ("public_key_file = \"k.pem\"", KeySource::PublicKeyFile("k.pem".into())),
            ("jwks_file = \"/k.json\"", KeySource::JwksFile("/k.json".into())),
            ("issuer = \"i\"", KeySource::DataDirectory),
        ] {
            let file = File::parse(format!("[jwt]\n{text}").as_bytes()).expect(text);
            assert_eq!(file.server.tokens.source, expected, "{text}");
        }
    }

    #[test]
    fn the_leeway_is_bounded() {
        assert_eq!(File::parse(b"[jwt]\nleeway_seconds = 300").expect("valid").server.tokens.leeway_s, 300);
        assert_eq!(
            told("[jwt]\nleeway_seconds = 301"),
            "line 2: `leeway_seconds`: 301 is out of range: write 0 to 300"
        );
    }

    #[test]
    fn the_example_of_a_secret_is_none() {
        let secret = KEYS.iter().find(|key| key.name == "secret").expect("it is there");
        let expected = "line 2: `secret`: it is the example: write a secret of your own";
        assert_eq!(told(&format!("[jwt]\nsecret = {}", secret.example)), expected);
        assert_eq!(told("[jwt]\nsecret = \"\"").split(": write").next(), Some("line 2: `secret`: it is empty"));
    }

    #[test]
    fn of_two_keys_the_second_is_refused() {
        for (text, expected) in [
            (
                "[jwt]\njwks_file = \"a\"\nissuer = \"i\"\nsecret = \"b\"",
                "line 4: `secret`: the key is in `jwks_file` already: write one of the two, not both",
            ),
            (
                "[jwt]\nsecret = \"a\"\npublic_key_file = \"b\"\njwks_file = \"c\"",
                "line 3: `public_key_file`: the key is in `secret` already: write one of the two, not both",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn a_secret_is_never_repeated_in_a_fault() {
        for text in [
            "[jwt]\njwks_file = \"j\"\nsecret = \"hush\"",
            "[jwt]\nsecret = [\"hush\"]",
            "[jwt]\nsecret = \"hush",
            "[jwt]\nsecret = hush",
        ] {
            assert!(!told(text).contains("hush"), "{}", told(text));
        }
    }
}
