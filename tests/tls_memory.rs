//! What TLS costs a socket that is idle, in this process's memory and with the allocator that the server has. Alone in its program,
//! as it looks at the process as a whole.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use stentor::limits::TLS_BYTES_PER_SOCKET;
use stentor::tls::{Engine, Tls, TlsFiles};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SOCKETS: usize = 5_000;

#[test]
fn an_idle_socket_takes_what_the_plan_says() {
    let identity = rcgen::generate_simple_self_signed(["stentor.test".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    std::fs::write(&cert, identity.cert.pem()).expect("a file");
    std::fs::write(&key, identity.signing_key.serialize_pem()).expect("a file");
    let tls = Tls::open(TlsFiles { cert: Some(cert), key: Some(key) }).expect("good files").expect("files were named");
    let mut roots = RootCertStore::empty();
    roots.add(identity.cert.der().clone()).expect("a certificate");
    let client = |version: &'static SupportedProtocolVersion| {
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        Arc::new(config)
    };
    // All of them stay, so that nothing is counted twice or as freed.
    let mut all = Vec::with_capacity(2 * (SOCKETS + 100));
    for (version, config) in [("1.3", client(&TLS13)), ("1.2", client(&TLS12))] {
        // What the allocator takes for handshakes, it has taken.
        all.extend((0..100).map(|_| connected(&tls, &config)));
        let before = resident_bytes();
        all.extend((0..SOCKETS).map(|_| connected(&tls, &config)));
        let each = (resident_bytes() - before) / SOCKETS as u64;
        println!("TLS {version}: {each} bytes for each of {SOCKETS} idle sockets");
        assert!((1_000..=TLS_BYTES_PER_SOCKET).contains(&each), "TLS {version}: {each} bytes");
    }
}

/// The server's end of a connection whose handshake is done; the client's is dropped.
fn connected(tls: &Tls, config: &Arc<ClientConfig>) -> Box<Engine> {
    let name = ServerName::try_from("stentor.test").expect("a name");
    let (mut client, mut engine) =
        (ClientConnection::new(config.clone(), name).expect("a client"), Box::new(tls.engine()));
    while client.is_handshaking() || client.wants_write() {
        let (mut bytes, mut plaintext, mut outgoing) = (Vec::new(), Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("a Vec takes all");
        }
        engine.receive(&mut bytes, &mut plaintext, &mut outgoing).expect("a handshake");
        let mut rest = &outgoing[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("room");
            client.process_new_packets().expect("a handshake");
        }
    }
    assert!(!engine.is_handshaking());
    engine
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string(Path::new("/proc/self/statm")).expect("statm");
    let pages: u64 = statm.split(' ').nth(1).expect("a second field").parse().expect("a number");
    pages * rustix::param::page_size() as u64
}
