//! Endpoints by https, with authorities that are made for each test.

use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::endpoint::{Endpoint, OK, Received};
use super::*;
use crate::delivery::DeliveryError;
use crate::limits;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Authorities are looked up by name.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        params.distinguished_name.push(DnType::CommonName, format!("Authority {number} of tests"));
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    /// A file with its certificate, as an operator would name it.
    fn file(&self, folder: &Path) -> std::path::PathBuf {
        let path = folder.join("ca.pem");
        std::fs::write(&path, self.0.pem()).expect("a file");
        path
    }

    /// An endpoint that calls itself by this name, until the end of this year. `requests` are answered on each connection.
    fn endpoint(&self, name: &str, until_year: i32, requests: usize) -> Endpoint {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until_year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate with its key");
        let config = Arc::new(config);
        Endpoint::serving(move |_, stream| serve(config.clone(), stream, requests))
    }
}

fn serve(config: Arc<ServerConfig>, stream: TcpStream, requests: usize) {
    let connection = ServerConnection::new(config).expect("a connection");
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    for _ in 0..requests {
        if Received::read(&mut stream).is_none() || stream.get_mut().write_all(OK.as_bytes()).is_err() {
            return;
        }
    }
    // The next one is taken, and not answered.
    Received::read(&mut stream);
}

fn trusting(ca_file: Option<std::path::PathBuf>) -> Courier {
    courier(&WebhookOptions { ca_file, ..options() })
}

fn outcome(courier: &Courier, endpoint: &Endpoint) -> Outcome {
    courier.attempt(&job(endpoint.https_url())).outcome
}

fn refusal(courier: &Courier, endpoint: &Endpoint) -> String {
    match outcome(courier, endpoint) {
        Outcome::Failed(AttemptError::Tls(reason)) => reason,
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn an_authority_of_the_operator_is_trusted_and_another_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let endpoint = authority.endpoint(HOST, 2100, usize::MAX);
    let trusting_it = trusting(Some(authority.file(folder.path())));
    for _ in 0..5 {
        assert!(outcome(&trusting_it, &endpoint).is_success());
    }
    assert_eq!(endpoint.accepted(), 1, "connections are kept with TLS, too");
    let reason = refusal(&trusting(None), &endpoint);
    // As it is put depends on whether this machine trusts anybody.
    let expected = ["the certificate is signed by nobody", "the sender knows no authority"];
    assert!(expected.iter().any(|expected| reason.starts_with(expected)), "{reason}");

    let another = Authority::new().endpoint(HOST, 2100, usize::MAX);
    let reason = refusal(&trusting_it, &another);
    assert!(reason.starts_with("the certificate is signed by nobody whom the sender trusts"), "{reason}");
}

#[test]
fn a_certificate_for_another_host_or_from_another_time_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let courier = trusting(Some(authority.file(folder.path())));
    let reason = refusal(&courier, &authority.endpoint("other.example", 2100, 1));
    assert!(reason.contains("not valid for name"), "{reason}");
    let reason = refusal(&courier, &authority.endpoint(HOST, 2021, 1));
    assert!(reason.contains("expired"), "{reason}");
}

#[test]
fn an_endpoint_that_speaks_no_tls_is_told_as_that() {
    let courier = trusting(None);
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let endpoint = Endpoint::serving(move |_, mut stream| {
            let _ = std::io::Read::read(&mut stream, &mut [0; 4_096]);
            let _ = stream.write_all(answer.as_bytes());
        });
        refusal(&courier, &endpoint);
    }
    let silent = Endpoint::serving(|_, mut stream| drop(std::io::copy(&mut stream, &mut std::io::sink())));
    let courier = super::courier(&hasty());
    let started = std::time::Instant::now();
    let outcome = outcome(&courier, &silent);
    assert!(matches!(outcome, Outcome::Failed(AttemptError::Timeout(1))), "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_connection_that_is_closed_at_the_moment_of_its_use_costs_nothing_with_tls_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let endpoint = authority.endpoint(HOST, 2100, 1);
    let courier = trusting(Some(authority.file(folder.path())));
    for attempts in 1..=4 {
        let outcome = outcome(&courier, &endpoint);
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(endpoint.accepted(), attempts);
    }
}

#[test]
fn a_worker_s_stack_is_enough_for_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let endpoint = authority.endpoint(HOST, 2100, 1);
    let courier = trusting(Some(authority.file(folder.path())));
    // A quarter, in a build that takes more of it than a release does.
    let thread = std::thread::Builder::new().stack_size(limits::DELIVERY_STACK_BYTES / 4);
    let attempt = move || assert!(outcome(&courier, &endpoint).is_success());
    thread.spawn(attempt).expect("a thread").join().expect("no overflow");
}

#[test]
fn a_file_of_certificates_that_is_not_one_is_refused_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    let refusal = || {
        let options = WebhookOptions { ca_file: Some(path.clone()), ..options() };
        Courier::new(&options, FakeNames::new()).err().expect("a refusal")
    };
    assert!(matches!(refusal(), DeliveryError::File { .. }));
    for (text, expected) in [
        ("", "there is no certificate in it"),
        ("hello\n", "there is no certificate in it"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", "this is no PEM file"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 in it can't be used"),
    ] {
        std::fs::write(&path, text).expect("a file");
        let error = refusal();
        assert!(matches!(&error, DeliveryError::Invalid { reason, .. } if reason.starts_with(expected)), "{error}");
    }
    std::fs::write(&path, vec![b'\n'; limits::CA_FILE_BYTES_MAX as usize + 1]).expect("a file");
    assert!(matches!(refusal(), DeliveryError::File { .. }));
}
