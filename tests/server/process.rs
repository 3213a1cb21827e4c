//! A running server, which ends with its guard.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::data_dir::DataDir;
use crate::http::{Reply, Request};
use crate::socket::Socket;
use crate::wait::{SOON, until};

/// The binary under test.
pub const STENTOR: &str = env!("CARGO_BIN_EXE_stentor");

/// The owner that the account of [`Server::start`] watches.
pub const OWNER: &str = "DRVRvzf8pSiMJi5BY1NmZu5STahBYKMVcfkPp3vxPump";

pub struct Server {
    child: Child,
    pub address: SocketAddr,
    pub data_dir: DataDir,
    /// A key of `watcher`, an elite account that watches [`OWNER`].
    pub subscriber: String,
    /// A key of `feed`.
    pub publisher: String,
    words: Arc<Mutex<String>>,
    flags: Vec<String>,
    /// Where its `stentor.toml` is, which is read at each start.
    config: Option<tempfile::TempDir>,
}

impl Server {
    /// A server of two shards with the accounts `watcher` and `feed`.
    pub fn start() -> Self {
        Self::start_with(&["--shards", "2"], |_| {})
    }

    /// The same with other flags, and a chance to prepare the process.
    pub fn start_with(flags: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let data_dir = DataDir::new();
        data_dir.account("watcher", "elite");
        data_dir.account("feed", "free");
        data_dir.watch("watcher", &[OWNER]);
        let subscriber = data_dir.key("watcher", "subscriber");
        let publisher = data_dir.key("feed", "publisher");
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (child, address, words) = serve(&data_dir, &flags, prepare);
        Self { child, address, data_dir, subscriber, publisher, words, flags, config: None }
    }

    /// A server of two shards with this `stentor.toml`.
    pub fn configured(config: &str) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("stentor.toml");
        std::fs::write(&file, config).expect("a file");
        let mut server = Self::start_with(&["--shards", "2", "--config", file.to_str().expect("UTF-8")], |_| {});
        server.config = Some(place);
        server
    }

    /// Ends it as a service manager does, and waits until it has ended.
    pub fn stop(&mut self) {
        self.terminate();
        let status = self.wait_for_exit(SOON);
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// Has it read its configuration again, as a service manager does.
    pub fn reload(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("a signal to our own child");
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("it ends");
    }

    /// Starts it once more, after its end. It listens on another port.
    pub fn start_again(&mut self) {
        (self.child, self.address, self.words) = serve(&self.data_dir, &self.flags, |_| {});
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its `stentor.toml` is.
    pub fn config_file(&self) -> std::path::PathBuf {
        self.config.as_ref().expect("it has a configuration").path().join("stentor.toml")
    }

    /// A socket of the account `watcher`.
    pub fn connect(&self) -> Socket {
        Socket::open(self.address, &self.alerts_path()).expect("an upgrade")
    }

    /// One that gets what follows that number.
    pub fn connect_since(&self, since: u64) -> Socket {
        Socket::open(self.address, &format!("{}&since={since}", self.alerts_path())).expect("an upgrade")
    }

    pub fn alerts_path(&self) -> String {
        format!("/ws/alerts?apiKey={}", self.subscriber)
    }

    /// Makes an account with grants beside the usual ones; returns its subscriber key once that is in force.
    pub fn member(&self, account: &str, tier: &str, grants: &[&str]) -> String {
        let grants = grants.iter().flat_map(|grant| ["--grant", grant]);
        let create: Vec<&str> = ["account", "create", account, "--tier", tier].into_iter().chain(grants).collect();
        self.data_dir.value(&create);
        let key = self.data_dir.key(account, "subscriber");
        self.await_key(&key);
        key
    }

    /// Waits until a subscriber key that was made on the command line opens something.
    pub fn await_key(&self, key: &str) {
        let ask = Request::get("/alerts/latest").header("X-API-Key", key);
        until("the new key", SOON, || (ask.send(self.address).status == 200).then_some(()));
    }

    /// A token for that user, made as an operator makes one. `more` are further flags.
    pub fn token(&self, user: &str, more: &[&str]) -> String {
        self.data_dir.value(&[&["token", "mint", "--user", user], more].concat())
    }

    /// Publishes a JSON document or NDJSON, as `content_type` says.
    pub fn post_events(&self, content_type: &str, body: &str) -> Reply {
        Request::post("/api/events")
            .header("X-API-Key", &self.publisher)
            .header("Content-Type", content_type)
            .body(body)
            .send(self.address)
    }

    /// A connection on which so many bytes of events are announced, and sent only when the server asks for them.
    pub fn announce_events(&self, bytes: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        let head = format!(
            "POST /api/events HTTP/1.1\r\nHost: stentor\r\nX-API-Key: {}\r\nContent-Length: {bytes}\r\nExpect: 100-continue\r\n\r\n",
            self.publisher
        );
        stream.write_all(head.as_bytes()).expect("a head");
        stream
    }

    /// Publishes events that must be accepted, as NDJSON; returns the first and the last number.
    pub fn publish(&self, events: &[Value]) -> (u64, u64) {
        let body: String = events.iter().map(|event| format!("{event}\n")).collect();
        let reply = self.post_events("application/x-ndjson", &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.json();
        assert_eq!(answer["accepted"], events.len());
        let number = |name: &str| answer[name].as_u64().expect("a number");
        (number("first_seq"), number("last_seq"))
    }

    /// The newest number, as `/readyz` tells it.
    pub fn last_seq(&self) -> u64 {
        Request::get("/readyz").send(self.address).json()["last_seq"].as_u64().expect("a number")
    }

    /// Waits until it has said that.
    pub fn await_word(&self, word: &str) {
        until(word, SOON, || self.said().contains(word).then_some(()));
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.words.lock().expect("no holder panics").clone()
    }

    /// Asks it to stop, as a service manager does.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal to our own child");
    }

    pub fn wait_for_exit(&mut self, patience: Duration) -> ExitStatus {
        until("the server's end", patience, || self.child.try_wait().expect("our own child"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a server and waits until it listens. Returns where, and what it says on stderr from now on.
fn serve(
    data_dir: &DataDir,
    flags: &[String],
    prepare: impl FnOnce(&mut Command),
) -> (Child, SocketAddr, Arc<Mutex<String>>) {
    let mut command = Command::new(STENTOR);
    command.arg("--data-dir").arg(data_dir.path()).arg("serve").args(flags);
    // Where the drain is not what is tested, nobody waits for it.
    for (flag, value) in [("--listen", "127.0.0.1:0"), ("--drain-seconds", "0")] {
        if !flags.iter().any(|given| given == flag) {
            command.args([flag, value]);
        }
    }
    prepare(&mut command);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let stderr = child.stderr.take().expect("a pipe");
    let (listens, address) = channel();
    let words = Arc::<Mutex<String>>::default();
    let heard = words.clone();
    std::thread::spawn(move || relay(stderr, &listens, &heard));
    let Ok(address) = address.recv_timeout(SOON) else {
        let _ = child.kill();
        panic!("the server does not listen: {:?}", child.wait());
    };
    (child, address, words)
}

/// Finds the address in what the server says, and passes its words on to the test's own output.
fn relay(stderr: ChildStderr, listens: &Sender<SocketAddr>, words: &Mutex<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        // By itself in a log for people, and in an object else.
        let told = line.split_once("stentor listens on ").and_then(|(_, rest)| rest.split_once(','));
        if let Some((address, _)) = told {
            let _ = listens.send(address.parse().expect("an address"));
        }
        eprintln!("server: {line}");
        *words.lock().expect("no holder panics") += &(line + "\n");
    }
}
