//! A publisher that waits: one keep-alive HTTP/1.1 connection, one request at a time, the next when the last is answered.
//!
//! The open loop of [`publisher`](crate::publisher) tells how events travel under a given load; this one tells how many the
//! server takes when somebody has many, and how long one answer takes.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use serde::Deserialize;

use crate::handshake::{Answer, read_answer};
use crate::publisher::PublishError;
use crate::secure::Wire;
use crate::target::Target;

/// One event as a JSON object.
pub const JSON: &str = "application/json";
/// An event a line.
pub const NDJSON: &str = "application/x-ndjson";

/// What the server answers once it has the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Accepted {
    pub accepted: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    /// How many of them it had already.
    #[serde(default)]
    pub duplicates: u64,
}

/// Appends a whole publish request.
pub fn write_request(target: &Target, key: Option<&str>, kind: &str, body: &[u8], request: &mut Vec<u8>) {
    let key = key.map(|key| format!("X-API-Key: {key}\r\n")).unwrap_or_default();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\n{key}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        target.path,
        target.authority(),
        body.len()
    );
    request.extend(head.bytes());
    request.extend(body);
}

/// The connection.
pub struct Courier {
    target: Target,
    wire: Wire,
    bytes: Vec<u8>,
    patience: Duration,
}

impl Courier {
    /// `patience`: how long connecting, and each answer, may take.
    pub fn connect(target: Target, patience: Duration) -> Result<Self, PublishError> {
        let address = target.address;
        let connect = || {
            let stream = TcpStream::connect_timeout(&address.into(), patience)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(patience))?;
            stream.set_write_timeout(Some(patience))?;
            Wire::new(stream, address, target.trust.as_ref())
        };
        let wire = connect().map_err(|source| PublishError::Connect { address, source })?;
        Ok(Self { target, wire, bytes: Vec::new(), patience })
    }

    pub fn address(&self) -> SocketAddrV4 {
        self.target.address
    }

    /// Sends a request of `events` events and waits for its answer.
    pub fn post(&mut self, request: &[u8], events: u32) -> Result<Accepted, PublishError> {
        let address = self.target.address;
        self.wire.write_all(request).map_err(|source| PublishError::Broken { address, source })?;
        let answer = self.answer()?;
        if !(200..300).contains(&answer.status) {
            return Err(PublishError::Refused { address, answer });
        }
        let what = "the answer does not number the events";
        let accepted: Accepted =
            serde_json::from_str(&answer.body).map_err(|_| PublishError::Nonsense { address, what })?;
        if accepted.accepted != u64::from(events) {
            return Err(PublishError::Partly { address, accepted: accepted.accepted, sent: events });
        }
        if accepted.last_seq.checked_sub(accepted.first_seq) != u64::from(events).checked_sub(1) {
            let what = "the numbers of a request's events do not follow one another";
            return Err(PublishError::Nonsense { address, what });
        }
        Ok(accepted)
    }

    fn answer(&mut self) -> Result<Answer, PublishError> {
        let address = self.target.address;
        let mut chunk = [0; 4096];
        loop {
            if let Some((answer, taken)) =
                read_answer(&self.bytes).map_err(|what| PublishError::Nonsense { address, what })?
            {
                self.bytes.drain(..taken);
                return Ok(answer);
            }
            match self.wire.read(&mut chunk) {
                Ok(0) => {
                    let what = "the server closed the connection";
                    return Err(PublishError::Nonsense { address, what });
                }
                Ok(got) => self.bytes.extend_from_slice(&chunk[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(PublishError::Silent { address, seconds: self.patience.as_secs() });
                }
                Err(source) => return Err(PublishError::Broken { address, source }),
            }
        }
    }
}
