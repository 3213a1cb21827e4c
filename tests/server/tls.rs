//! TLS on the server's port: HTTP, WebSockets and server-sent events through it, and who is told what where it can't be.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use serde_json::json;
use stentor::ws::client::{append_client_frame, client_request};
use stentor::ws::{CloseCode, Opcode};

use crate::process::{OWNER, STENTOR, Server};
use crate::trade::trade;
use crate::wait::{SOON, until};

/// An authority of tests, and a certificate of it for the server.
struct Identity {
    folder: tempfile::TempDir,
}

impl Identity {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new([]).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Authority of tests");
        let key = || rcgen::KeyPair::generate().expect("a key");
        let authority = rcgen::CertifiedIssuer::self_signed(params, key()).expect("an authority");
        let own = key();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).expect("names").signed_by(&own, &authority);
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).expect("a file");
        write("ca.pem", authority.pem());
        write("cert.pem", certificate.expect("a certificate").pem());
        write("key.pem", own.serialize_pem());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> String {
        format!("[tls]\ncert = {:?}\nkey = {:?}\n", self.path("cert.pem"), self.path("key.pem"))
    }

    fn server(&self) -> Server {
        Server::configured(&self.config())
    }

    fn certificate(&self) -> Vec<u8> {
        CertificateDer::from_pem_file(self.path("cert.pem")).expect("a certificate").to_vec()
    }

    fn trust(&self) -> Arc<ClientConfig> {
        trust(&[self])
    }
}

/// What a client trusts and remembers.
fn trust(identities: &[&Identity]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for identity in identities {
        let authority = CertificateDer::from_pem_file(identity.path("ca.pem")).expect("a certificate");
        roots.add(authority).expect("an authority");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// A client's end of a connection by TLS.
struct Secure {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
}

impl Secure {
    fn connect(server: &Server, trust: &Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("localhost").expect("a name");
        let tcp = TcpStream::connect(server.address).expect("a connection");
        tcp.set_read_timeout(Some(SOON)).expect("a timeout");
        let client = ClientConnection::new(trust.clone(), name).expect("a client");
        Self { stream: StreamOwned::new(client, tcp), received: Vec::new() }
    }

    /// A WebSocket of the account `watcher`.
    fn watch(server: &Server, trust: &Arc<ClientConfig>) -> Self {
        let mut secure = Self::connect(server, trust);
        let request = client_request("stentor", &server.alerts_path(), *b"the sample nonce", &[]);
        secure.write(&request);
        assert!(secure.read_to("\r\n\r\n").starts_with("HTTP/1.1 101 "));
        secure
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        append_client_frame(&mut frame, opcode, payload, [1, 2, 3, 4]);
        self.write(&frame);
    }

    /// What comes up to the end of this.
    fn read_to(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = memchr::memmem::find(&self.received, end.as_bytes()) {
                let rest = self.received.split_off(at + end.len());
                let text = std::mem::replace(&mut self.received, rest);
                return String::from_utf8_lossy(&text).into_owned();
            }
            assert!(self.fill(), "it ended before {end:?}: {}", String::from_utf8_lossy(&self.received));
        }
    }

    /// Everything up to a close_notify. An end of the stream without one fails.
    fn read_to_end(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.received)
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(read) => {
                    self.received.extend_from_slice(&chunk[..read]);
                    return read > 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error} behind {}", String::from_utf8_lossy(&self.received)),
            }
        }
    }
}

fn curl(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("curl").args(["--silent", "--show-error", "--max-time", "20"]).args(arguments).output();
    let output = output.expect("curl is installed");
    (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

/// Publishes by https; returns the answer.
fn publish(server: &Server, identity: &Identity, body: &str) -> String {
    let ca = identity.path("ca.pem");
    let key = format!("X-API-Key: {}", server.publisher);
    let url = format!("https://{}/api/events", server.address);
    let (done, answer) =
        curl(&["--cacert", path(&ca), "-H", &key, "-H", "Content-Type: application/json", "-d", body, &url]);
    assert!(done, "{answer}");
    answer
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn curl_speaks_to_it_in_both_versions_and_believes_the_certificate() {
    let identity = Identity::new();
    let server = identity.server();
    until("the word of TLS", SOON, || server.said().contains(", over TLS\n").then_some(()));
    let ca = identity.path("ca.pem");
    let url = format!("https://{}/readyz", server.address);
    for version in [&["--tlsv1.3"][..], &["--tlsv1.2", "--tls-max", "1.2"]] {
        let format = "\n%{http_version} %{num_connects} %{ssl_verify_result}";
        // Two requests on one connection.
        let arguments = [version, &["--cacert", path(&ca), "-w", format, &url, &url]].concat();
        let (done, told) = curl(&arguments);
        assert!(done && told.contains(r#""last_seq":0"#), "{told}");
        assert!(told.contains("\n1.1 1 0") && told.ends_with("\n1.1 0 0"), "{version:?}: {told}");
    }
    let (done, told) = curl(&["--tls-max", "1.1", "--ciphers", "DEFAULT@SECLEVEL=0", "--cacert", path(&ca), &url]);
    assert!(!done, "TLS 1.1 is not spoken: {told}");
    let (done, told) = curl(&[&url]);
    assert!(!done && told.contains("certificate"), "nobody believes it otherwise: {told}");
}

#[test]
fn a_large_body_and_a_large_answer_pass_whole() {
    let identity = Identity::new();
    let server = identity.server();
    let alerts: Vec<_> =
        (0..15).map(|id| json!({ "type": "alert", "data": { "id": id, "pad": "é".repeat(30_000) } })).collect();
    let body = identity.path("body.json");
    std::fs::write(&body, json!(alerts).to_string()).expect("a file");
    let answer = publish(&server, &identity, &format!("@{}", path(&body)));
    assert!(answer.contains(r#""accepted":15"#), "{answer}");
    let ca = identity.path("ca.pem");
    let key = format!("X-API-Key: {}", server.subscriber);
    let url = format!("https://{}/alerts/latest?limit=15", server.address);
    let (done, answer) = curl(&["--cacert", path(&ca), "-H", &key, &url]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    assert!(done && answer["alerts"].as_array().is_some_and(|alerts| alerts.len() == 15));
}

#[test]
fn a_websocket_gets_events_answers_pings_and_is_closed_in_order() {
    let identity = Identity::new();
    let server = identity.server();
    let trust = identity.trust();
    let mut sockets: Vec<_> = (0..5).map(|_| Secure::watch(&server, &trust)).collect();
    let resumed = sockets.iter().filter(|socket| socket.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed));
    assert_eq!(resumed.count(), 4, "later handshakes are resumptions by ticket");
    for burst in [1, 50] {
        let trades = vec![trade("trade.open", OWNER); burst];
        publish(&server, &identity, &json!(trades).to_string());
    }
    for socket in &mut sockets {
        for seq in 1..=51 {
            let message = socket.read_to(r#""tradeType":"open"}}"#);
            assert!(message.contains(&format!(r#""seq":{seq},"#)), "{message}");
        }
        socket.send(Opcode::Ping, b"anybody there?");
        socket.read_to("anybody there?");
        socket.send(Opcode::Close, &CloseCode::NORMAL.get().to_be_bytes());
        let end = socket.read_to_end();
        let mut last = &end[..];
        // The server's own heartbeats, whose first comes whenever its turn is.
        while let Some(rest) = last.strip_prefix(&[0x89, 0]) {
            last = rest;
        }
        assert_eq!(last, [0x88, 2, 0x03, 0xe8], "a close frame, then a close_notify");
    }
}

/// The certificate in its DER form that somebody new is shown.
fn presented(server: &Server, trusted: &[&Identity]) -> Vec<u8> {
    let mut newcomer = Secure::connect(server, &trust(trusted));
    newcomer.write(b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n");
    newcomer.read_to("\r\n\r\n");
    newcomer.stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

/// How many lines of the log say so.
fn told(server: &Server, words: &str) -> usize {
    server.said().matches(words).count()
}

#[test]
fn a_certificate_is_swapped_by_sighup_and_no_connection_is_dropped() {
    let (first, second, third) = (Identity::new(), Identity::new(), Identity::new());
    let all = [&first, &second, &third];
    let server = first.server();
    let mut sockets: Vec<_> = (0..20).map(|_| Secure::watch(&server, &first.trust())).collect();
    let mut kept = Secure::connect(&server, &first.trust());
    let mut seq = 0;
    let mut everybody_gets_one = |server: &Server, publisher: &Identity| {
        publish(server, publisher, &trade("trade.open", OWNER).to_string());
        seq += 1;
        for socket in &mut sockets {
            let message = socket.read_to(r#""tradeType":"open"}}"#);
            assert!(message.contains(&format!(r#""seq":{seq},"#)), "{message}");
        }
        kept.write(b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n");
        assert!(kept.read_to("\r\n\r\n").contains("HTTP/1.1 200 "), "the same connection");
    };
    everybody_gets_one(&server, &first);
    assert_eq!(presented(&server, &all), first.certificate());
    // In the place of the first, as whatever renews certificates does it: the key first, so that for a moment they don't fit.
    let swap = |name: &str, to: &Identity| {
        std::fs::copy(to.path(name), first.path(name)).expect("a copy");
    };
    swap("key.pem", &second);
    server.reload();
    until("a refusal", SOON, || (told(&server, "is not the one of the first certificate") == 1).then_some(()));
    everybody_gets_one(&server, &first);
    assert_eq!(presented(&server, &all), first.certificate(), "a bad pair changes nothing");
    swap("cert.pem", &second);
    server.reload();
    until("the second certificate", SOON, || (presented(&server, &all) == second.certificate()).then_some(()));
    everybody_gets_one(&server, &second);
    swap("key.pem", &third);
    swap("cert.pem", &third);
    server.reload();
    until("the third certificate", SOON, || (presented(&server, &all) == third.certificate()).then_some(()));
    everybody_gets_one(&server, &third);
}

#[test]
fn clients_that_come_to_no_tls_are_counted_and_the_certificates_end_is_told() {
    let identity = Identity::new();
    let server = identity.server();
    let url = format!("https://{}/metrics", server.address);
    let ca = identity.path("ca.pem");
    curl(&[&url.replace("https", "http")]);
    assert!(!curl(&[&url]).0, "nobody knows the authority");
    let mut silent = TcpStream::connect(server.address).expect("a connection");
    silent.write_all(b"\x16\x03\x01").expect("it is taken");
    drop(silent);
    let scrape = until("the counts", SOON, || {
        let (done, scrape) = curl(&["--cacert", path(&ca), &url]);
        let counts =
            |reason: &str| scrape.contains(&format!("stentor_connections_failed_total{{reason=\"{reason}\"}} 1\n"));
        (done && counts("not_tls") && counts("tls_refused") && counts("ended")).then_some(scrape)
    });
    // The year 4096 is the default of whoever made the certificate.
    assert!(scrape.contains("\nstentor_tls_certificate_expiration_timestamp_seconds 67090118400\n"), "{scrape}");
    assert_eq!(
        (told(&server, "the TLS certificate is good"), told(&server, "a connection ended in its handshake")),
        (1, 2)
    );
}

/// Its kernel is full, then ciphertext waits for it, then the journal.
#[test]
fn a_socket_that_stops_reading_misses_nothing() {
    const ROUNDS: usize = 20;
    let identity = Identity::new();
    let server = identity.server();
    let trust = identity.trust();
    let (mut slow, mut healthy) = (Secure::watch(&server, &trust), Secure::watch(&server, &trust));
    let mut long = trade("trade.open", OWNER);
    long["data"]["pad"] = "x".repeat(30_000).into();
    let body = identity.path("body.json");
    std::fs::write(&body, json!(vec![long; 15]).to_string()).expect("a file");
    let read = |socket: &mut Secure, first: usize| {
        for seq in first..first + 15 {
            let message = socket.read_to(r#""tradeType":"open"}}"#);
            assert!(message.len() > 30_000 && message.contains(&format!(r#"{{"type":"trade","seq":{seq},"#)), "{seq}");
        }
    };
    for round in 0..ROUNDS {
        publish(&server, &identity, &format!("@{}", path(&body)));
        read(&mut healthy, 1 + round * 15);
    }
    for round in 0..ROUNDS {
        read(&mut slow, 1 + round * 15);
    }
}

#[test]
fn a_stream_of_events_comes_by_https() {
    let identity = Identity::new();
    let server = identity.server();
    let mut stream = Secure::connect(&server, &identity.trust());
    let request =
        format!("GET /events/stream?topic=wallet:*&api_key={} HTTP/1.1\r\nHost: stentor\r\n\r\n", server.subscriber);
    stream.write(request.as_bytes());
    let head = stream.read_to("id: 0\n\n");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"), "{head}");
    publish(&server, &identity, &trade("trade.open", OWNER).to_string());
    assert!(stream.read_to("\n\n").starts_with("id: 1\n"));
}

#[test]
fn what_a_client_says_in_the_breath_of_its_handshake_is_heard() {
    let identity = Identity::new();
    let server = identity.server();
    let mut secure = Secure::connect(&server, &identity.trust());
    let mut request = client_request("stentor", "/v1/ws", *b"the sample nonce", &[]);
    let auth = json!({ "type": "auth", "apiKey": server.subscriber }).to_string();
    append_client_frame(&mut request, Opcode::Text, auth.as_bytes(), [9, 8, 7, 6]);
    secure.write(&request);
    secure.read_to("\r\n\r\n");
    secure.read_to(r#""type":"authenticated""#);
}

#[test]
fn the_command_line_publishes_to_whom_it_is_told_to_trust() {
    let identity = Identity::new();
    let server = identity.server();
    let file = identity.path("events.ndjson");
    std::fs::write(&file, trade("trade.open", OWNER).to_string()).expect("a file");
    let publish = |trusted: &Path| {
        let mut command = Command::new(STENTOR);
        command.args([
            "publish",
            path(&file),
            "--url",
            &format!("https://{}", server.address),
            "--key",
            &server.publisher,
        ]);
        let output = command.env("SSL_CERT_FILE", trusted).output().expect("it starts and ends");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let (code, told) = publish(&Identity::new().path("ca.pem"));
    assert!(code == Some(1) && told.contains("is not trusted") && told.contains("SSL_CERT_FILE"), "{told}");
    assert_eq!(server_last_seq(&server, &identity), 0);
    let (code, told) = publish(&identity.path("ca.pem"));
    assert!(code == Some(0) && told.starts_with("1\n"), "{told}");
}

/// As in a container: at an address that the certificate need not name, of an authority that nobody knows there.
#[test]
fn health_is_asked_by_tls_and_told_where_it_has_to_be() {
    let server = Identity::new().server();
    let ask = |url: String| {
        let output = Command::new(STENTOR).args(["health", "--url", &url]).output().expect("it starts and ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(ask(format!("https://{}", server.address)), (Some(0), String::new()));
    let (code, told) = ask(format!("http://{}", server.address));
    assert!(code == Some(1) && told.contains("connect by https://"), "{told}");
    let plain = Server::start();
    let (code, told) = ask(format!("https://{}", plain.address));
    assert!(code == Some(1) && told.contains("http://"), "{told}");
}

fn server_last_seq(server: &Server, identity: &Identity) -> u64 {
    let (_, answer) =
        curl(&["--cacert", path(&identity.path("ca.pem")), &format!("https://{}/readyz", server.address)]);
    serde_json::from_str::<serde_json::Value>(&answer).expect("JSON")["last_seq"].as_u64().expect("a number")
}

#[test]
fn a_server_that_stops_says_so_before_the_close_notify() {
    let identity = Identity::new();
    let mut server = identity.server();
    let mut socket = Secure::watch(&server, &identity.trust());
    server.terminate();
    let last = socket.read_to_end();
    assert!(
        last.windows(4).any(|bytes| bytes[0] == 0x88 && bytes[2..] == CloseCode::SERVICE_RESTART.get().to_be_bytes())
    );
    assert!(server.wait_for_exit(SOON).success());
}

#[test]
fn plain_http_is_told_that_the_port_speaks_tls() {
    let identity = Identity::new();
    let server = identity.server();
    let (done, answer) = curl(&["--include", &format!("http://{}/readyz", server.address)]);
    assert!(done && answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("this port speaks TLS: connect by https:// or wss://"), "{answer}");
    // Neither that nor anything else is a reason not to serve the next one.
    for garbage in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x00", b"\x16\x03\x01\xff\xff", b""] {
        let mut stream = TcpStream::connect(server.address).expect("a connection");
        stream.write_all(garbage).expect("it is taken");
        stream.shutdown(std::net::Shutdown::Write).expect("our end");
        stream.set_read_timeout(Some(SOON)).expect("a timeout");
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    Secure::watch(&server, &identity.trust());
}

#[test]
fn a_handshake_that_never_ends_is_given_up() {
    let identity = Identity::new();
    let server = identity.server();
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.write_all(b"\x16\x03\x01\x01\x00\x01").expect("the beginning of a hello");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    assert_eq!(stream.read(&mut [0; 64]).expect("its end, and no reset"), 0);
}

#[test]
fn a_start_without_a_good_certificate_is_refused_in_a_sentence() {
    let (one, other) = (Identity::new(), Identity::new());
    let data_dir = crate::data_dir::DataDir::new();
    let start = |arguments: &[&str]| {
        let mut command = Command::new(STENTOR);
        command.arg("--data-dir").arg(data_dir.path()).args(["serve", "--listen", "127.0.0.1:0"]).args(arguments);
        let output = command.output().expect("it starts and ends");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    let [cert, key, foreign] = [one.path("cert.pem"), one.path("key.pem"), other.path("key.pem")];
    let (code, told) = start(&["--tls-cert", path(&cert), "--tls-key", path(&foreign)]);
    let expected = format!(
        "stentor: the key in {} is not the one of the first certificate in {}: name the two that belong together\n",
        path(&foreign),
        path(&cert)
    );
    assert!(code == Some(1) && told.ends_with(&expected), "{told}");
    let (code, told) = start(&["--tls-cert", path(&cert)]);
    assert!(code == Some(2) && told.contains("--tls-key"), "{told}");
    let (code, told) = start(&["--tls-cert", path(&key), "--tls-key", path(&key)]);
    assert!(code == Some(1) && told.contains("there is no certificate in"), "{told}");
}
