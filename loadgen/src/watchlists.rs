//! What a run sets up on the server before the first socket: the watchlist of each subscriber key's account.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::handshake::{Answer, read_answer};
use crate::limits::SETUP_ANSWER_MS_MAX;
use crate::target::Target;

/// The server could not be set up; its address or the keys are to blame.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("can't set a watchlist at {address}: {source}: is the server running there?")]
    Broken { address: SocketAddrV4, source: io::Error },
    #[error("{address} did not set the watchlist of subscriber key {number}: HTTP {} {}: {}", answer.status, answer.reason, answer.body)]
    Refused { address: SocketAddrV4, number: usize, answer: Answer },
    #[error(
        "subscriber key {number} has another watchlist than it was given: each key must be of an account of its own"
    )]
    Shared { number: usize },
}

/// What an account watches, and a key of it.
pub struct Watchlist<'a> {
    pub key: &'a str,
    pub owners: BTreeSet<String>,
}

/// Gives every account its watchlist, and looks that it has it.
pub fn set_watchlists(server: &Target, watchlists: &[Watchlist<'_>]) -> Result<(), SetupError> {
    let ask = |method, number: usize, body: String| {
        let answer = exchange(server, method, watchlists[number].key, &body)
            .map_err(|source| SetupError::Broken { address: server.address, source })?;
        match answer.status {
            200..300 => Ok(answer.body),
            _ => Err(SetupError::Refused { address: server.address, number: number + 1, answer }),
        }
    };
    for (number, watchlist) in watchlists.iter().enumerate() {
        ask("PUT", number, json!({ "owners": watchlist.owners }).to_string())?;
    }
    for (number, watchlist) in watchlists.iter().enumerate() {
        let body: Value = serde_json::from_str(&ask("GET", number, String::new())?).unwrap_or_default();
        let listed = body["owners"].as_array().into_iter().flatten().filter_map(Value::as_str);
        if listed.map(str::to_owned).collect::<BTreeSet<_>>() != watchlist.owners {
            return Err(SetupError::Shared { number: number + 1 });
        }
    }
    Ok(())
}

fn exchange(server: &Target, method: &str, key: &str, body: &str) -> io::Result<Answer> {
    let patience = Duration::from_millis(SETUP_ANSWER_MS_MAX);
    let mut stream = TcpStream::connect_timeout(&server.address.into(), patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let host = server.authority();
    stream.write_all(
        format!(
            "{method} /api/watchlist HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .as_bytes(),
    )?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some((answer, _)) = read_answer(&bytes).map_err(io::Error::other)? {
            return Ok(answer);
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            got => bytes.extend_from_slice(&chunk[..got]),
        }
    }
}
