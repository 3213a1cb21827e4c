//! The certificates that endpoints are verified by: the system's, and the operator's own.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use ureq::tls::{Certificate, RootCerts};

use crate::delivery::DeliveryError;
use crate::limits;

pub(super) struct Trust {
    pub(super) roots: RootCerts,
    /// Every attempt by https will fail.
    pub(super) trusts_nobody: bool,
}

impl Trust {
    /// A machine without certificates is one that can still deliver by http, so it is only told; an operator's file has to be right.
    pub(super) fn load(ca_file: Option<&Path>) -> Result<Self, DeliveryError> {
        let native = rustls_native_certs::load_native_certs();
        let mut trusted = native.certs;
        if let Some(error) = native.errors.first() {
            tracing::warn!(%error, errors = native.errors.len(), "some of the system's certificates can't be read");
        }
        if let Some(path) = ca_file {
            trusted.extend(read(path)?);
        }
        let trusts_nobody = trusted.is_empty();
        if trusts_nobody {
            tracing::warn!(
                "this machine has no certificates to verify webhooks' endpoints by, so deliveries by https will fail: install \
                 ca-certificates, or name a file in [webhooks] ca_file"
            );
        }
        let roots = RootCerts::from(trusted.iter().map(|certificate| Certificate::from_der(certificate).to_owned()));
        Ok(Self { roots, trusts_nobody })
    }
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, DeliveryError> {
    let file = |source| DeliveryError::File { path: path.to_owned(), source };
    let invalid = |reason: String| DeliveryError::Invalid { path: path.to_owned(), reason };

    let mut pem = Vec::new();
    File::open(path).and_then(|file| file.take(limits::CA_FILE_BYTES_MAX + 1).read_to_end(&mut pem)).map_err(file)?;
    if pem.len() as u64 > limits::CA_FILE_BYTES_MAX {
        return Err(file(io::ErrorKind::FileTooLarge.into()));
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| invalid(format!("this is no PEM file ({error})")))?;
    if found.is_empty() {
        return Err(invalid("there is no certificate in it (BEGIN CERTIFICATE)".to_owned()));
    }
    let mut store = RootCertStore::empty();
    for (index, certificate) in found.iter().enumerate() {
        let number = index + 1;
        store
            .add(certificate.clone())
            .map_err(|error| invalid(format!("certificate {number} in it can't be used ({error})")))?;
    }
    Ok(found)
}
