//! The certificate and its key: two PEM files, and what of them is no use to a server.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, ServerConfig};

use crate::limits::TLS_FILE_BYTES_MAX;
use crate::protocol::UnixMs;

/// Where the certificate and its key are. Both, or none for a server that speaks no TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and behind it those that lead to its authority.
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// Why a server can't identify itself with these files. Each message is one sentence that ends with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("a certificate is given without its key: name the key's file, too (--tls-key, or `key` of [tls])")]
    NoKeyFile,
    #[error(
        "a key is given without its certificate: name the certificate's file, too (--tls-cert, or `cert` of [tls])"
    )]
    NoCertificateFile,
    #[error("can't read {} ({source}): check its owner and mode, or name another file", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{} has more than {TLS_FILE_BYTES_MAX} bytes: name a PEM file that holds a certificate or a key and nothing else", .path.display())]
    TooLong { path: PathBuf },
    /// In our own words: the library's error quotes the file, and that may be the key.
    #[error("{} is no PEM file ({why}): convert it with `openssl x509` or `openssl pkey`", .path.display())]
    NoPem { path: PathBuf, why: &'static str },
    #[error("there is no certificate in {} (BEGIN CERTIFICATE): name the file that holds the server's, with its chain behind it", .path.display())]
    NoCertificate { path: PathBuf },
    #[error(
        "there is no private key in {} (BEGIN PRIVATE KEY): name the certificate's, and take a passphrase off it with `openssl pkey`",
        .path.display()
    )]
    NoKey { path: PathBuf },
    #[error("the key in {} is not the one of the first certificate in {}: name the two that belong together", .key.display(), .cert.display())]
    Mismatch { cert: PathBuf, key: PathBuf },
    #[error("{} and {} can't be used ({source}): make a certificate with an ECDSA, Ed25519 or RSA key of 2048 bits or more", .cert.display(), .key.display())]
    Unusable { cert: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("can't make the keys of session tickets ({source}): check that the system has random numbers")]
    Tickets { source: rustls::Error },
}

/// What the two files come to.
pub(super) struct Identification {
    pub config: Arc<ServerConfig>,
    /// When the server's own certificate ends; none where that can't be read. Of those behind it a client may pass one over.
    pub expires_at: Option<UnixMs>,
}

/// Reads both files and makes of them what connections are made with.
pub(super) fn identification(
    cert: &Path,
    key: &Path,
    tickets: Arc<dyn ProducesTickets>,
) -> Result<Identification, CertificateError> {
    let chain = certificates(cert)?;
    let private = private_key(key)?;
    let expires_at = chain.first().and_then(|certificate| expiry(certificate));
    let refused = |source| {
        let (cert, key) = (cert.to_owned(), key.to_owned());
        match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch { cert, key },
            source => CertificateError::Unusable { cert, key, source },
        }
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has suites for both")
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(refused)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A ticket holds all that a session is resumed by, so nothing has to be remembered here.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = tickets;
    Ok(Identification { config: Arc::new(config), expires_at })
}

/// The end of a certificate's validity (RFC 5280 §4.1.2.5).
fn expiry(certificate: &[u8]) -> Option<UnixMs> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()?.checked_mul(1_000)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    match found {
        Ok(chain) if chain.is_empty() => Err(CertificateError::NoCertificate { path: path.to_owned() }),
        Ok(chain) => Ok(chain),
        Err(error) => Err(CertificateError::NoPem { path: path.to_owned(), why: fault(&error) }),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => CertificateError::NoKey { path: path.to_owned() },
        error => CertificateError::NoPem { path: path.to_owned(), why: fault(&error) },
    })
}

/// What is wrong, without a word of what stands there.
fn fault(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "an END line is missing or another's",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line does not end with ----- and a line break",
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64",
        _ => "it can't be decoded",
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(TLS_FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|source| CertificateError::Unreadable { path: path.to_owned(), source })?;
    if bytes.len() as u64 > TLS_FILE_BYTES_MAX {
        return Err(CertificateError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}
