//! ureq's errors in the words of an endpoint's owner. They tell of the endpoint, never of our network: no address, no local port.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustls::CertificateError;
use ureq::Error;

use super::dial::Fault;
use crate::delivery::attempt::AttemptError;
use crate::delivery::guard::{GuardRefusal, ResolveError};
use crate::limits;

/// `timeout` is an attempt's; with `trusts_nobody` a certificate that was not accepted is our fault.
pub(super) fn explain(error: Error, timeout: Duration, trusts_nobody: bool) -> AttemptError {
    match error {
        Error::Timeout(_) => AttemptError::Timeout(timeout.as_secs()),
        Error::LargeResponseHeader(..) => AttemptError::HeadTooLarge(limits::ANSWER_HEAD_BYTES_MAX),
        Error::Protocol(error) => AttemptError::Protocol(error.to_string()),
        Error::Io(error) => broken(&error),
        Error::BadUri(reason) => AttemptError::Refused(GuardRefusal::Unreadable(reason)),
        Error::Other(inner) => match inner.downcast::<ResolveError>() {
            Ok(unresolved) => match *unresolved {
                ResolveError::Refused(refusal) => AttemptError::Refused(refusal),
                ResolveError::Sender { .. } => AttemptError::Sender,
                unresolved => AttemptError::Name(unresolved),
            },
            Err(inner) => match inner.downcast::<Fault>() {
                Ok(fault) => of_fault(*fault, trusts_nobody),
                Err(inner) => AttemptError::Broken(inner.to_string()),
            },
        },
        error => AttemptError::Broken(error.to_string()),
    }
}

fn of_fault(fault: Fault, trusts_nobody: bool) -> AttemptError {
    match fault {
        Fault::Connect(error) => unconnected(&error),
        Fault::Handshake(error) => AttemptError::Tls(untrusted(error, trusts_nobody)),
        // Never told: it is tried again, and then on a new connection.
        Fault::Stale => AttemptError::Broken(fault.to_string()),
        Fault::TooMuch => AttemptError::HeadTooLarge(limits::ANSWER_HEAD_BYTES_MAX),
    }
}

fn unconnected(error: &io::Error) -> AttemptError {
    let reason = match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => "the endpoint's machine refused it, nothing listens on that port",
        Some(Errno::CONNRESET) => "the endpoint's machine reset it",
        Some(Errno::HOSTUNREACH | Errno::NETUNREACH) => "there is no way to the endpoint's machine",
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::ADDRNOTAVAIL | Errno::AGAIN) => {
            tracing::warn!(%error, "a webhook's delivery has no socket: raise LimitNOFILE= of the service's unit, or use fewer workers");
            return AttemptError::Sender;
        }
        _ => return AttemptError::Connect(error.kind().to_string()),
    };
    AttemptError::Connect(reason.to_owned())
}

fn broken(error: &io::Error) -> AttemptError {
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return AttemptError::Tls(error.to_string());
    }
    AttemptError::Broken(match error.kind() {
        io::ErrorKind::UnexpectedEof => "the endpoint closed it".to_owned(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "the endpoint reset it".to_owned()
        }
        kind => kind.to_string(),
    })
}

fn untrusted(error: Error, trusts_nobody: bool) -> String {
    let error = match error {
        Error::Io(error) => match error.downcast::<rustls::Error>() {
            Ok(error) => error,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::UnexpectedEof => "the endpoint closed the connection in the handshake".to_owned(),
                    kind => kind.to_string(),
                };
            }
        },
        Error::Rustls(error) => error,
        error => return error.to_string(),
    };
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) if trusts_nobody => {
            "the sender knows no authority to verify it by, its operator has to install certificates".to_owned()
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the certificate is signed by nobody whom the sender trusts, or the endpoint leaves out an intermediate one"
                .to_owned()
        }
        rustls::Error::InvalidCertificate(error) => error.to_string(),
        error => error.to_string(),
    }
}
