//! `[tls]`: with what the server identifies itself, where its port speaks TLS.

use super::{Conflict, Key, Printed, Section};

pub static SECTION: Section = Section {
    name: "tls",
    about: "TLS, for HTTP, WebSockets and server-sent events alike: with these the port speaks https and wss, and nothing else.\n\
            Without them it speaks http and ws.",
    keys: KEYS,
    conflicts: &[
        Conflict {
            key: "cert",
            arises: |options| options.tls.cert.is_some() && options.tls.key.is_none(),
            message: "it stands there without its `key`: write both, or neither",
        },
        Conflict {
            key: "key",
            arises: |options| options.tls.key.is_some() && options.tls.cert.is_none(),
            message: "it stands there without its `cert`: write both, or neither",
        },
    ],
};

const KEYS: &[Key] = &[
    Key {
        name: "cert",
        about: "The server's certificate, a PEM file, and in the same file behind it those that lead to its authority; from the\n\
                working directory where it is relative.",
        wanted: "a file",
        example: "\"/etc/stentor/cert.pem\"",
        read: |options, value| value.path().map(|path| options.tls.cert = Some(path)),
        print: |options| Printed::or_unset(options.tls.cert.as_deref(), Printed::path),
    },
    Key {
        name: "key",
        about: "The certificate's private key, a PEM file without a passphrase: ECDSA, Ed25519, or RSA of 2048 bits or more.\n\
                ECDSA takes a tenth of the time that RSA takes in a handshake.",
        wanted: "a file",
        example: "\"/etc/stentor/key.pem\"",
        read: |options, value| value.path().map(|path| options.tls.key = Some(path)),
        print: |options| Printed::or_unset(options.tls.key.as_deref(), Printed::path),
    },
];

#[cfg(test)]
mod tests {
    use super::super::super::file::tests::told;

    #[test]
    fn one_of_the_two_alone_is_refused() {
        let expected = "line 3: `cert`: it stands there without its `key`: write both, or neither";
        assert_eq!(told("[tls]\n\ncert = \"c\""), expected);
        let expected = "line 2: `key`: it stands there without its `cert`: write both, or neither";
        assert_eq!(told("[tls]\nkey = \"k\""), expected);
    }
}
