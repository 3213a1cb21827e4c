//! The server's REST side: webhooks are made before a run and deleted after it.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::handshake::{Answer, read_answer};
use crate::limits::SETUP_ANSWER_MS_MAX;
use crate::target::Target;

/// Every event that a trade becomes.
const EVENTS: [&str; 4] = ["trade.new", "trade.increase", "trade.close", "trade.liquidation"];

/// A webhook could not be made; the server, its configuration or the key is to blame.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("can't reach {address} to set up webhooks: {source}: is the server running there?")]
    Broken { address: SocketAddrV4, source: io::Error },
    #[error(
        "{address} did not make a webhook for {url}: HTTP {} {}: {} (the key must be of an elite account, and the server's \
         configuration must have [webhooks] allow = [\"127.0.0.0/8\"])",
        answer.status, answer.reason, answer.body
    )]
    Refused { address: SocketAddrV4, url: String, answer: Answer },
    #[error("{address} made a webhook for {url} whose answer has no id or no secret: {body}")]
    Nonsense { address: SocketAddrV4, url: String, body: String },
}

/// A new webhook, as its one answer with the secret tells it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Made {
    pub id: String,
    pub secret: String,
}

#[derive(Deserialize)]
struct Creation {
    webhook: Made,
}

/// The webhooks of a run. Dropped, it deletes them.
pub struct Webhooks {
    server: Target,
    key: Option<String>,
    stream: Option<TcpStream>,
    ids: Vec<String>,
}

impl Webhooks {
    pub fn new(server: Target, key: Option<String>) -> Self {
        Self { server, key, stream: None, ids: Vec::new() }
    }

    /// Makes a webhook for all trades.
    pub fn make(&mut self, url: String) -> Result<Made, ApiError> {
        let address = self.server.address;
        let body = json!({ "url": url, "events": EVENTS }).to_string();
        let answer = self.ask("POST", "/api/webhooks", &body);
        let answer = answer.map_err(|source| ApiError::Broken { address, source })?;
        if !(200..300).contains(&answer.status) {
            return Err(ApiError::Refused { address, url, answer });
        }
        let made: Made = match serde_json::from_str(&answer.body) {
            Ok(Creation { webhook }) => webhook,
            Err(_) => return Err(ApiError::Nonsense { address, url, body: answer.body }),
        };
        self.ids.push(made.id.clone());
        Ok(made)
    }

    /// Deletes all; how many could not be.
    pub fn delete(&mut self) -> usize {
        let mut ids = std::mem::take(&mut self.ids);
        while let Some(id) = ids.pop() {
            match self.ask("DELETE", &format!("/api/webhooks/{id}"), "") {
                // 404: somebody else deleted it.
                Ok(Answer { status: 200..300 | 404, .. }) => {}
                // A server that is gone does not come back for the others.
                _ => return ids.len() + 1,
            }
        }
        0
    }

    /// On a kept connection; where the server has closed that meanwhile, on a new one.
    fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        let key = self.key.as_ref().map(|key| format!("X-API-Key: {key}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{key}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.server.authority(),
            body.len()
        );
        if let Some(stream) = self.stream.take()
            && let Ok(answer) = self.exchange(stream, &request)
        {
            return Ok(answer);
        }
        let patience = Duration::from_millis(SETUP_ANSWER_MS_MAX);
        let stream = TcpStream::connect_timeout(&self.server.address.into(), patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        self.exchange(stream, &request)
    }

    fn exchange(&mut self, mut stream: TcpStream, request: &str) -> io::Result<Answer> {
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            if let Some((answer, _)) = read_answer(&bytes).map_err(io::Error::other)? {
                self.stream = Some(stream);
                return Ok(answer);
            }
            match stream.read(&mut chunk)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                got => bytes.extend_from_slice(&chunk[..got]),
            }
        }
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        let left = self.delete();
        if left > 0 {
            eprintln!("loadgen: {left} webhooks could not be deleted and are still the account's");
        }
    }
}
