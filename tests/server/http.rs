//! One HTTP request on a connection of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// The slowest answer is that to a request which never ends: 10 s.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Request {
    head: String,
    body: Vec<u8>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    pub fn new(method: &str, path: &str) -> Self {
        Self { head: format!("{method} {path} HTTP/1.1\r\nHost: stentor\r\nConnection: close\r\n"), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    pub fn send(&self, address: SocketAddr) -> Reply {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.write_all(&[self.head.as_bytes(), b"\r\n", &self.body].concat()).expect("the server reads it all");
        Reply::read(&mut stream)
    }

    /// The same over a connection of the caller's.
    pub fn send_over(&self, stream: &mut TcpStream) -> Reply {
        stream.write_all(&[self.head.as_bytes(), b"\r\n", &self.body].concat()).expect("the server reads it all");
        Reply::read(stream)
    }

    /// The same to a server that may end meanwhile: none where no whole answer came.
    pub fn send_to_a_dying(&self, address: SocketAddr) -> Option<Reply> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.write_all(&[self.head.as_bytes(), b"\r\n", &self.body].concat()).ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        Reply::parse(&bytes)
    }
}

impl Reply {
    /// Reads an answer to its end.
    pub fn read(stream: &mut TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            if let Some(reply) = Self::parse(&bytes) {
                return reply;
            }
            match stream.read(&mut chunk) {
                Ok(0) => panic!("the connection ended in the middle of an answer: {}", String::from_utf8_lossy(&bytes)),
                Ok(read) => bytes.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("no whole answer ({error}): {}", String::from_utf8_lossy(&bytes)),
            }
        }
    }

    /// The answer at the start of `bytes`, once all of it is there.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut head = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head_len) = head.parse(bytes).expect("HTTP") else { return None };
        let status = head.code.expect("a status");
        let headers = head.headers.iter();
        let headers: Vec<_> = headers
            .map(|header| (header.name.to_lowercase(), String::from_utf8_lossy(header.value).into_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        let body = bytes.get(head_len..head_len + length)?.to_vec();
        Some(Self { status, headers, body })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The error of a refusal, which must be in the server's one form.
    pub fn error(&self) -> Value {
        let json = self.json();
        assert_eq!(json["success"], false, "{json}");
        assert!(json["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        json["error"].clone()
    }
}
