//! A data directory and the command line on it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::process::STENTOR;

pub struct DataDir(tempfile::TempDir);

impl DataDir {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `stentor --data-dir HERE arguments…` to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(STENTOR)
            .arg("--data-dir")
            .arg(self.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        // A command that refuses its arguments may end before it has read anything.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        child.wait_with_output().expect("the command ends")
    }

    /// Runs a command that must succeed; returns its standard output without the last line break.
    pub fn value(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "stentor {}: {words}", arguments.join(" "));
        String::from_utf8(output.stdout).expect("UTF-8").trim_end().to_owned()
    }

    pub fn account(&self, name: &str, tier: &str) {
        self.value(&["account", "create", name, "--tier", tier]);
    }

    pub fn key(&self, account: &str, role: &str) -> String {
        self.value(&["key", "create", account, "--role", role])
    }

    pub fn watch(&self, account: &str, owners: &[&str]) {
        self.value(&[&["account", "watch", account], owners].concat());
    }
}
