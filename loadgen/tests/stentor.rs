//! `loadgen mixed` against Stentor itself, in a data directory of its own.

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Stentor's binary beside loadgen's. Cargo builds only this package's for its tests, so the other is built here.
fn stentor() -> PathBuf {
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "stentor", "--bin", "stentor"]).status();
    assert!(built.unwrap().success(), "stentor can be built");
    Path::new(env!("CARGO_BIN_EXE_loadgen")).with_file_name("stentor")
}

/// A data directory, removed when it is dropped, and a port for its server.
struct Place {
    binary: PathBuf,
    data: PathBuf,
    port: u16,
}

/// A server, ended when it is dropped.
struct Server(Child);

impl Place {
    fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stentor-{port}"));
        Self { binary: stentor(), data, port }
    }

    fn serve(&self) -> Server {
        let mut process = Command::new(&self.binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data-dir"])
            .arg(&self.data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if process.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let _ = process.kill();
                let mut said = String::new();
                process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                panic!("the server did not start: {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // What it says later goes nowhere, but its pipe must not fill.
        let mut said = process.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Server(process)
    }

    /// Runs a command on the data directory; its standard output, trimmed.
    fn run(&self, line: &str) -> String {
        let output =
            Command::new(&self.binary).args(line.split(' ')).arg("--data-dir").arg(&self.data).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_socket_of_all_four_protocols_gets_exactly_what_it_should() {
    let place = Place::new();
    let mut words: Vec<String> =
        ["mixed", "--sockets-per-protocol", "20", "--rate", "400", "--duration", "3s"].map(str::to_owned).into();
    for (number, option) in ["--subscriber-key", "--subscriber-key", "--bot-key"].into_iter().enumerate() {
        let grant = if option == "--bot-key" { " --grant bot:*" } else { "" };
        place.run(&format!("account create mixed-{number} --tier elite{grant}"));
        words.extend([option.to_owned(), place.run(&format!("key create mixed-{number}"))]);
    }
    place.run("account create publisher --tier free");
    words.extend(["--publisher-key".to_owned(), place.run("key create publisher --role publisher")]);
    words.extend(["--url".to_owned(), format!("http://127.0.0.1:{}", place.port)]);
    words.extend(["--json".to_owned(), "-".to_owned(), "--timeout".to_owned(), "60s".to_owned()]);
    // Only now, so that it knows every key from its start.
    let _server = place.serve();
    let secret = place.data.join("jwt-secret");
    let output =
        Command::new(env!("CARGO_BIN_EXE_loadgen")).args(&words).arg("--jwt-secret-file").arg(&secret).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for protocol in report["protocols"].as_array().unwrap() {
        assert!(protocol["deliveries_due"].as_u64() > Some(100), "{protocol}");
        assert_eq!(protocol["latency"]["count"], protocol["deliveries_due"], "{protocol}");
    }
}
