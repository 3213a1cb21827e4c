//! Stentor itself, in a data directory of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Stentor's binary beside loadgen's. Cargo builds only this package's for its tests, so the other is built here.
fn stentor() -> PathBuf {
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "--package", "stentor", "--bin", "stentor"]).status();
    assert!(built.unwrap().success(), "stentor can be built");
    Path::new(env!("CARGO_BIN_EXE_loadgen")).with_file_name("stentor")
}

/// A data directory, removed when it is dropped, and a port for its server.
pub struct Place {
    binary: PathBuf,
    pub data: PathBuf,
    pub port: u16,
}

/// A server, ended when it is dropped.
pub struct Server(Child);

impl Place {
    pub fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stentor-{port}"));
        Self { binary: stentor(), data, port }
    }

    pub fn serve(&self) -> Server {
        let mut process = Command::new(&self.binary)
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--data-dir"])
            .arg(&self.data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
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
    pub fn run(&self, line: &str) -> String {
        let output =
            Command::new(&self.binary).args(line.split(' ')).arg("--data-dir").arg(&self.data).output().unwrap();
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// One request to the server; its answer, which must be a good one.
    #[allow(dead_code, reason = "not every test file asks the server")]
    pub fn call(&self, method: &str, path: &str, key: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {path}: {answer}");
        answer
    }
}

#[allow(dead_code, reason = "not every test file asks for it")]
impl Server {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Has it stop in order, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_raw(self.0.id() as i32).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.0.wait().unwrap()
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
