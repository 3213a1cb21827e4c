//! For tests: identities made on the spot, and rustls' own client at the other end of an engine.

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::crypto::ring::{cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuiteCommon, ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion, Tls12CipherSuite,
};

use super::certificate::TlsFiles;
use super::engine::{Engine, TlsError};
use super::keyring::Tls;

/// The name that every certificate of tests is for.
pub const HOST: &str = "stentor.test";

/// A certificate that signed itself, with its key.
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Identity {
    pub fn new() -> Self {
        let made = rcgen::generate_simple_self_signed([HOST.to_owned()]).expect("a certificate");
        Self { certificate_pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem() }
    }

    pub fn certificate_der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect("a certificate").to_vec()
    }
}

/// Whoever connects: what it trusts, and the tickets that it was given.
pub struct Peer(Arc<ClientConfig>);

impl Peer {
    pub fn trusting(identities: &[&Identity]) -> Self {
        Self::speaking(&[&TLS13, &TLS12], identities)
    }

    pub fn speaking(versions: &[&'static SupportedProtocolVersion], identities: &[&Identity]) -> Self {
        let mut roots = RootCertStore::empty();
        for identity in identities {
            roots.add(identity.certificate_der().into()).expect("a certificate");
        }
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// One that offers this in place of `http/1.1`.
    pub fn offering(self, protocol: &str) -> Self {
        let mut config = (*self.0).clone();
        config.alpn_protocols = vec![protocol.into()];
        Self(Arc::new(config))
    }

    pub fn client(&self) -> ClientConnection {
        ClientConnection::new(self.0.clone(), ServerName::try_from(HOST).expect("a name")).expect("a client")
    }
}

/// A server with an identity of its own.
pub fn server(identity: &Identity) -> Tls {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        Some(path)
    };
    let files = TlsFiles { cert: file("cert.pem", &identity.certificate_pem), key: file("key.pem", &identity.key_pem) };
    Tls::open(files).expect("good files").expect("files were named")
}

/// Both ends of a connection that is open, of one server for all tests that don't care.
pub fn connected() -> (ClientConnection, Engine) {
    static BOTH: OnceLock<(Tls, Peer)> = OnceLock::new();
    let (tls, peer) = BOTH.get_or_init(|| {
        let identity = Identity::new();
        (server(&identity), Peer::trusting(&[&identity]))
    });
    let (mut client, mut engine) = (peer.client(), tls.engine());
    shake_hands(&mut client, &mut engine).expect("a handshake");
    (client, engine)
}

/// Both ends of a connection whose server encrypts so many records and no more: of TLS 1.2, with a suite like those that have AES-GCM.
pub fn enduring(records: u64) -> (ClientConnection, Engine) {
    let SupportedCipherSuite::Tls12(suite) = TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 else {
        panic!("it is of TLS 1.2")
    };
    let Tls12CipherSuite { ref common, prf_provider, kx, sign, aead_alg } = *suite;
    let common = CipherSuiteCommon { confidentiality_limit: records, ..*common };
    let tired = Box::leak(Box::new(Tls12CipherSuite { common, prf_provider, kx, sign, aead_alg }));
    let mut provider = default_provider();
    provider.cipher_suites = vec![SupportedCipherSuite::Tls12(tired)];
    let identity = Identity::new();
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&TLS12])
        .expect("a suite for it")
        .with_no_client_auth()
        .with_single_cert(
            vec![identity.certificate_der().into()],
            PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes()).expect("a key"),
        )
        .expect("they belong together");
    let (mut client, mut engine) = (Peer::trusting(&[&identity]).client(), Engine::new(Arc::new(config)));
    shake_hands(&mut client, &mut engine).expect("a handshake");
    (client, engine)
}

/// Carries bytes between both until the handshake is done and the tickets have come.
pub fn shake_hands(client: &mut ClientConnection, engine: &mut Engine) -> Result<(), TlsError> {
    while client.is_handshaking() || engine.is_handshaking() || client.wants_write() {
        let mut plaintext = Vec::new();
        let mut outgoing = Vec::new();
        let outcome = engine.receive(&mut to_send(client), &mut plaintext, &mut outgoing);
        take_in(client, &outgoing);
        outcome?;
        assert!(plaintext.is_empty(), "nobody has said anything");
    }
    Ok(())
}

/// What the client has to send.
pub fn to_send(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).expect("a Vec takes all");
    }
    bytes
}

/// What the client sends when it says this; one whose connection has failed says nothing.
pub fn said(client: &mut ClientConnection, mut plaintext: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !plaintext.is_empty() {
        let Ok(taken) = client.writer().write(plaintext) else { return bytes };
        plaintext = &plaintext[taken..];
        bytes.extend(to_send(client));
    }
    bytes
}

/// Gives bytes to the client and returns what they say. Panics where they are no TLS.
pub fn take_in(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plaintext = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).expect("room, as all is read at once");
        match client.process_new_packets() {
            Ok(_) => {}
            // A test of a refusal looks at the engine's error.
            Err(rustls::Error::AlertReceived(_)) => return plaintext,
            Err(error) => panic!("the server broke TLS: {error}"),
        }
        match client.reader().read_to_end(&mut plaintext) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    plaintext
}
