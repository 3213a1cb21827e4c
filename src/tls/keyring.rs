//! The certificate in force, which another one can replace while the server runs.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::ring::Ticketer;
use rustls::server::ProducesTickets;

use super::certificate::{CertificateError, Identification, TlsFiles, identification};
use super::engine::Engine;
use crate::limits::TLS_EXPIRY_WARNED_DAYS;
use crate::protocol::UnixMs;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What new connections are made with. All shards share it.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    /// Whoever has a ticket resumes with it also after a reload. Its keys change by themselves every six hours.
    tickets: Arc<dyn ProducesTickets>,
    current: ArcSwap<Identification>,
}

impl Tls {
    /// Reads the files; `None` where none are named.
    pub fn open(files: TlsFiles) -> Result<Option<Self>, CertificateError> {
        let (cert, key) = match (files.cert, files.key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(CertificateError::NoKeyFile),
            (None, Some(_)) => return Err(CertificateError::NoCertificateFile),
        };
        let tickets = Ticketer::new().map_err(|source| CertificateError::Tickets { source })?;
        let current = ArcSwap::from_pointee(identification(&cert, &key, tickets.clone())?);
        Ok(Some(Self { cert, key, tickets, current }))
    }

    /// Reads the files again. Handshakes that begin later get the new certificate; those under way and connections that exist
    /// keep theirs. An error changes nothing.
    pub fn reload(&self) -> Result<(), CertificateError> {
        self.current.store(Arc::new(identification(&self.cert, &self.key, self.tickets.clone())?));
        Ok(())
    }

    /// When the certificate ends; none where the file doesn't tell.
    pub fn expires_at(&self) -> Option<UnixMs> {
        self.current.load().expires_at
    }

    /// Says in the log how long the certificate lasts.
    pub fn tell_expiry(&self, now: UnixMs) {
        let (cert, Some(expires_at)) = (self.cert.display(), self.expires_at()) else { return };
        match Validity::of(expires_at, now) {
            Validity::Good { days } => tracing::info!(%cert, days, "the TLS certificate is good"),
            Validity::EndsSoon { days } => {
                tracing::warn!(%cert, days, "the TLS certificate ends soon: put a new one in its place and reload");
            }
            Validity::Ended => {
                tracing::warn!(%cert, "the TLS certificate has ended, and clients refuse it: put a new one in its place and reload");
            }
        }
    }

    /// The server's end of a new connection.
    pub fn engine(&self) -> Engine {
        Engine::new(self.current.load().config.clone())
    }
}

/// How long a certificate lasts, in whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validity {
    Good { days: u64 },
    EndsSoon { days: u64 },
    Ended,
}

impl Validity {
    fn of(expires_at: UnixMs, now: UnixMs) -> Self {
        match expires_at.checked_sub(now) {
            None | Some(0) => Self::Ended,
            Some(left) if left < TLS_EXPIRY_WARNED_DAYS * DAY_MS => Self::EndsSoon { days: left / DAY_MS },
            Some(left) => Self::Good { days: left / DAY_MS },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::fixture::{HOST, Identity, Peer, shake_hands};
    use super::*;
    use crate::limits::TLS_FILE_BYTES_MAX;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).expect("a file");
            path
        }

        fn holding(&self, identity: &Identity) -> TlsFiles {
            let cert = self.write("cert.pem", &identity.certificate_pem);
            let key = self.write("key.pem", &identity.key_pem);
            TlsFiles { cert: Some(cert), key: Some(key) }
        }
    }

    fn open(files: TlsFiles) -> Tls {
        Tls::open(files).expect("good files").expect("files were named")
    }

    fn refusal(files: TlsFiles) -> String {
        Tls::open(files).err().expect("a refusal").to_string()
    }

    /// The certificate that somebody new is shown.
    fn presented(tls: &Tls, trusted: &[&Identity]) -> Vec<u8> {
        let (mut client, mut engine) = (Peer::trusting(trusted).client(), tls.engine());
        shake_hands(&mut client, &mut engine).expect("a handshake");
        client.peer_certificates().expect("a certificate")[0].to_vec()
    }

    #[test]
    fn a_reload_changes_the_certificate_of_later_handshakes_and_a_bad_one_changes_nothing() {
        let folder = Folder::new();
        let (first, second) = (Identity::new(), Identity::new());
        let both = [&first, &second];
        let tls = open(folder.holding(&first));
        let mut earlier = Peer::trusting(&both).client();
        let mut engine = tls.engine();
        folder.write("cert.pem", &second.certificate_pem);
        let told = tls.reload().expect_err("the key is still the first one's").to_string();
        assert!(told.contains("key.pem") && told.contains("is not the one of the first certificate in"), "{told}");
        assert_eq!(presented(&tls, &both), first.certificate_der());
        folder.write("key.pem", &second.key_pem);
        tls.reload().expect("they fit");
        assert_eq!(presented(&tls, &both), second.certificate_der());
        shake_hands(&mut earlier, &mut engine).expect("one that had begun goes on");
        assert_eq!(earlier.peer_certificates().expect("one")[0].to_vec(), first.certificate_der());
    }

    #[test]
    fn the_end_of_its_validity_is_read_and_follows_a_reload() {
        let folder = Folder::new();
        let ending = |year| {
            let key = rcgen::KeyPair::generate().expect("a key");
            let mut params = rcgen::CertificateParams::new([HOST.to_owned()]).expect("a name");
            params.not_after = rcgen::date_time_ymd(year, 2, 3);
            let certificate_pem = params.self_signed(&key).expect("a certificate").pem();
            Identity { certificate_pem, key_pem: key.serialize_pem() }
        };
        let tls = open(folder.holding(&ending(2030)));
        assert_eq!(tls.expires_at(), Some(1_896_307_200_000));
        folder.holding(&ending(2031));
        tls.reload().expect("good files");
        assert_eq!(tls.expires_at(), Some(1_927_843_200_000));
    }

    #[test]
    fn a_certificate_is_warned_of_in_its_last_fourteen_days() {
        const NOW: UnixMs = 1_800_000_000_000;
        for (left, expected) in [
            (15 * DAY_MS - 1, Validity::Good { days: 14 }),
            (14 * DAY_MS, Validity::Good { days: 14 }),
            (14 * DAY_MS - 1, Validity::EndsSoon { days: 13 }),
            (1, Validity::EndsSoon { days: 0 }),
            (0, Validity::Ended),
        ] {
            assert_eq!(Validity::of(NOW + left, NOW), expected, "{left} ms");
        }
        assert_eq!(Validity::of(NOW - DAY_MS, NOW), Validity::Ended);
    }

    #[test]
    fn a_ticket_from_before_a_reload_still_resumes() {
        let folder = Folder::new();
        let (first, second) = (Identity::new(), Identity::new());
        let peer = Peer::trusting(&[&first]);
        let tls = open(folder.holding(&first));
        let (mut client, mut engine) = (peer.client(), tls.engine());
        shake_hands(&mut client, &mut engine).expect("a handshake");
        folder.holding(&second);
        tls.reload().expect("good files");
        // It never sees the new certificate, which it would not trust.
        let (mut client, mut engine) = (peer.client(), tls.engine());
        shake_hands(&mut client, &mut engine).expect("a resumption");
        assert_eq!(client.handshake_kind(), Some(rustls::HandshakeKind::Resumed));
    }

    #[test]
    fn files_that_are_no_use_are_refused_with_the_remedy() {
        let folder = Folder::new();
        let good = folder.holding(&Identity::new());
        let other = folder.write("other.pem", &Identity::new().key_pem);
        let empty = folder.write("empty.pem", "");
        let text = folder.write("text.pem", "-----BEGIN CERTIFICATE-----\n**********\n-----END CERTIFICATE-----\n");
        let hollow = folder.write("hollow.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        // One line, as some dashboards paste it, and with its line breaks spelled out, as environment variables have it.
        let one_line = folder.write("line.pem", &Identity::new().key_pem.replace('\n', ""));
        let escaped = folder.write("escaped.pem", &Identity::new().key_pem.replace('\n', "\\n"));
        let long = folder.write("long.pem", &" ".repeat(TLS_FILE_BYTES_MAX as usize + 1));
        let with_cert = |path: &Path| TlsFiles { cert: Some(path.to_owned()), ..good.clone() };
        let with_key = |path: &Path| TlsFiles { key: Some(path.to_owned()), ..good.clone() };
        for (files, expected) in [
            (TlsFiles { key: None, ..good.clone() }, "without its key: name the key's file"),
            (TlsFiles { cert: None, ..good.clone() }, "without its certificate: name the certificate's file"),
            (with_cert(Path::new("/nonexistent/cert.pem")), "can't read /nonexistent/cert.pem"),
            (with_cert(&empty), "there is no certificate in"),
            (with_cert(&text), "is no PEM file"),
            (with_cert(&hollow), "can't be used"),
            (with_cert(&long), "has more than 262144 bytes"),
            (with_key(&empty), "there is no private key in"),
            (with_key(good.cert.as_ref().expect("one")), "there is no private key in"),
            (with_key(&one_line), "is no PEM file"),
            (with_key(&escaped), "is no PEM file"),
            (with_key(&other), "is not the one of the first certificate in"),
        ] {
            let told = refusal(files.clone());
            assert!(told.contains(expected) && told.contains(": ") && !told.contains('\n'), "{files:?}: {told}");
            assert!(told.len() < 300 + 2 * folder.0.path().as_os_str().len(), "nothing of a key is quoted: {told}");
        }
        assert!(Tls::open(TlsFiles::default()).expect("nothing is wrong").is_none());
    }
}
