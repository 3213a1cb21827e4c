//! The client's half of TLS: whom it believes, and one connection's records. Bytes in, bytes out, but for [`Wire`].
//!
//! ```text
//!   crowd:      received ─▶ Session ─▶ what the server said     (what TLS itself has to say goes out with the next bytes)
//!               to send  ─▶ Session ─▶ records
//!   publisher:  Wire, which reads and writes like the TCP stream that it has
//! ```
//! Each session of a run resumes none other, so every connection is a full handshake: what a crowd of strangers costs.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Whom to believe is unknown. The caller mends it.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("can't read {}: {why}: name a PEM file with the authority's certificate", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("there is no certificate in {}: name a PEM file with the authority's certificate", .0.display())]
    Empty(PathBuf),
    #[error("this system trusts no authority: name the server's with --ca, or install the ca-certificates")]
    NoSystem,
}

/// The authorities whose word on a server counts.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Absent: the system's.
    ca: Option<PathBuf>,
    config: Arc<ClientConfig>,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.ca == other.ca
    }
}

impl Eq for Trust {}

impl Trust {
    /// The authority of a PEM file, or those that the system trusts.
    pub fn new(ca: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        match ca {
            Some(path) => {
                let unreadable = |why: String| TrustError::Unreadable { path: path.to_owned(), why };
                let certificates =
                    CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))?;
                for certificate in certificates {
                    let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                    roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(TrustError::Empty(path.to_owned()));
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TrustError::NoSystem);
                }
            }
        }
        let mut config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for both versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { ca: ca.map(Path::to_owned), config: config.into() })
    }

    fn connection(&self, server: Ipv4Addr) -> ClientConnection {
        let name = ServerName::from(std::net::IpAddr::from(server));
        ClientConnection::new(self.config.clone(), name).expect("the configuration is whole")
    }

    /// A connection to be made.
    pub fn session(&self, server: Ipv4Addr) -> Session {
        Session(self.connection(server))
    }
}

/// One connection of a crowd.
pub struct Session(ClientConnection);

impl Session {
    /// Takes what came; appends what the server said to `said`.
    pub fn receive(&mut self, mut bytes: &[u8], said: &mut Vec<u8>) -> Result<(), rustls::Error> {
        while !bytes.is_empty() {
            if self.0.read_tls(&mut bytes).unwrap_or(0) == 0 {
                // The server has said that it says no more.
                return Ok(());
            }
            let news = self.0.process_new_packets()?.plaintext_bytes_to_read();
            let old = said.len();
            said.resize(old + news, 0);
            self.0.reader().read_exact(&mut said[old..]).expect("as many as there are");
        }
        Ok(())
    }

    /// Has `bytes` sent as soon as the handshake is done; what is to go out now is taken with [`outgoing`](Self::outgoing).
    pub fn say(&mut self, bytes: &[u8]) {
        self.0.writer().write_all(bytes).expect("a request or a frame, which its buffer has room for");
    }

    /// All that is to go out now.
    pub fn outgoing(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.0.wants_write() {
            self.0.write_tls(&mut records).expect("memory takes all");
        }
        records
    }
}

/// A connection that reads and writes for itself, with TLS or without.
pub enum Wire {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    /// Makes the handshake, where there is one; the stream blocks until then.
    pub fn new(mut stream: TcpStream, address: SocketAddrV4, trust: Option<&Trust>) -> io::Result<Self> {
        let Some(trust) = trust else { return Ok(Self::Plain(stream)) };
        let mut connection = trust.connection(*address.ip());
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(Self::Secure(StreamOwned::new(connection, stream).into()))
    }

    pub fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure(secure) => &secure.sock,
        }
    }

    /// Whether records wait for the kernel to take them: [`Write::flush`] sends them.
    pub fn has_unsent(&self) -> bool {
        matches!(self, Self::Secure(secure) if secure.conn.wants_write())
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(bytes),
            Self::Secure(secure) => secure.read(bytes),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            // It takes nothing while its buffer is full of what the kernel has not taken.
            Self::Secure(secure) => match secure.write(bytes)? {
                0 if !bytes.is_empty() => Err(io::ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            },
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Secure(secure) => secure.flush(),
        }
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    /// A server's configuration, and the file that has it believed.
    fn server() -> (Arc<ServerConfig>, tempfile::NamedTempFile) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), cert.pem()).unwrap();
        (config.into(), file)
    }

    /// Hands over what each side has to say until neither has anything; returns what the server and the client heard.
    fn talk(server: &mut ServerConnection, client: &mut Session, bytes_at_a_time: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut heard, mut said) = (Vec::new(), Vec::new());
        loop {
            let to_server = client.outgoing();
            let mut to_client = Vec::new();
            for mut some in to_server.chunks(bytes_at_a_time) {
                while !some.is_empty() {
                    server.read_tls(&mut some).unwrap();
                    server.process_new_packets().unwrap();
                    let _ = server.reader().read_to_end(&mut heard);
                }
            }
            while server.wants_write() {
                server.write_tls(&mut to_client).unwrap();
            }
            if to_server.is_empty() && to_client.is_empty() {
                return (heard, said);
            }
            to_client.chunks(bytes_at_a_time).for_each(|some| client.receive(some, &mut said).unwrap());
        }
    }

    #[test]
    fn what_is_said_before_the_handshake_arrives_after_it_however_the_bytes_are_cut() {
        let (config, ca) = server();
        for bytes_at_a_time in [1, 100, 1 << 20] {
            let mut server = ServerConnection::new(config.clone()).unwrap();
            let mut client = Trust::new(Some(ca.path())).unwrap().session(Ipv4Addr::LOCALHOST);
            client.say(b"GET / HTTP/1.1\r\n\r\n");
            let (heard, said) = talk(&mut server, &mut client, bytes_at_a_time);
            assert_eq!((&heard[..], &said[..]), (&b"GET / HTTP/1.1\r\n\r\n"[..], &b""[..]), "{bytes_at_a_time}");
            let long = vec![b'x'; 50_000];
            server.writer().write_all(&long).unwrap();
            client.say(b"pong");
            assert_eq!(talk(&mut server, &mut client, bytes_at_a_time), (b"pong".to_vec(), long));
        }
    }

    #[test]
    fn a_server_that_nobody_vouches_for_is_not_believed() {
        let ((config, _), (_, other_ca)) = (server(), server());
        let mut server = ServerConnection::new(config).unwrap();
        let mut client = Trust::new(Some(other_ca.path())).unwrap().session(Ipv4Addr::LOCALHOST);
        server.read_tls(&mut &client.outgoing()[..]).unwrap();
        server.process_new_packets().unwrap();
        let mut answer = Vec::new();
        server.write_tls(&mut answer).unwrap();
        let error = client.receive(&answer, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
    }

    #[test]
    fn a_wire_carries_both_ways_without_blocking() {
        let (config, ca) = server();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!("IPv4") };
        let echo = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
            let mut all = vec![0; 300_000];
            stream.read_exact(&mut all).unwrap();
            stream.write_all(&all[..1_000]).unwrap();
        });
        let trust = Trust::new(Some(ca.path())).unwrap();
        let mut wire = Wire::new(TcpStream::connect(address).unwrap(), address, Some(&trust)).unwrap();
        wire.stream().set_nonblocking(true).unwrap();
        let sent: Vec<u8> = (0..300_000u32).map(|at| at as u8).collect();
        let (mut left, mut got) = (&sent[..], Vec::new());
        while got.len() < 1_000 {
            match if left.is_empty() { wire.flush().map(|()| 0) } else { wire.write(left) } {
                Ok(taken) => left = &left[taken..],
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
            let mut chunk = [0; 500];
            match wire.read(&mut chunk) {
                Ok(more) => got.extend_from_slice(&chunk[..more]),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!((got, wire.has_unsent()), (sent[..1_000].to_vec(), false));
        echo.join().unwrap();
    }

    #[test]
    fn a_file_without_a_certificate_is_told() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(Trust::new(Some(file.path())), Err(TrustError::Empty(_))));
        let message = Trust::new(Some(Path::new("/nowhere/ca.pem"))).unwrap_err().to_string();
        assert!(message.contains("/nowhere/ca.pem"), "{message}");
    }
}
