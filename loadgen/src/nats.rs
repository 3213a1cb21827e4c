//! The client protocol of NATS, as far as a publisher and a subscriber need it: lines of text, and payloads of a told length.
//!
//! ```text
//!   server: INFO {…}            client: CONNECT {…}, SUB subject sid, PUB subject length ⏎ payload
//!   server: MSG subject sid [reply] length ⏎ payload          either: PING ⇄ PONG
//! ```
//! Over WebSocket the same stream comes in binary frames, which begin and end anywhere in it.

use crate::frame::{self, OPCODE_BINARY};
use crate::limits::FRAME_BYTES_MAX;

/// The longest line that is waited for; a longer one is no NATS. `INFO` is the longest, with some 500 bytes.
const LINE_BYTES_MAX: usize = 32 * 1024;

/// What the server says next.
#[derive(Debug, PartialEq, Eq)]
pub enum Said<'a> {
    /// `whole` with its line, `payload` without.
    Message {
        whole: &'a [u8],
        payload: &'a [u8],
    },
    Ping,
    Pong,
    Error(&'a [u8]),
    /// `INFO`, `+OK`: nothing that has to be heeded.
    Other,
}

/// Reads what the bytes begin with, and how many bytes that is. `None` where it is not whole yet.
pub fn read(bytes: &[u8]) -> Result<Option<(Said<'_>, usize)>, &'static str> {
    let Some(at) = memchr::memchr(b'\n', &bytes[..bytes.len().min(LINE_BYTES_MAX)]) else {
        return if bytes.len() >= LINE_BYTES_MAX { Err("a line of the NATS protocol does not end") } else { Ok(None) };
    };
    let (line, used) = (bytes[..at].trim_ascii_end(), at + 1);
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let said = match verb {
        b"MSG" => {
            let length =
                line.rsplit(|byte| *byte == b' ').next().and_then(number).ok_or("a NATS message tells no length")?;
            let end =
                used.checked_add(length).and_then(|end| end.checked_add(2)).ok_or("a NATS message is too long")?;
            let Some(whole) = bytes.get(..end) else { return Ok(None) };
            return Ok(Some((Said::Message { whole, payload: &whole[used..end - 2] }, end)));
        }
        b"PING" => Said::Ping,
        b"PONG" => Said::Pong,
        b"-ERR" => Said::Error(line),
        b"INFO" | b"+OK" => Said::Other,
        _ => return Err("the server does not speak NATS"),
    };
    Ok(Some((said, used)))
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|length| *length <= FRAME_BYTES_MAX)
}

/// How a client begins.
pub const CONNECT: &str =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"loadgen\",\"version\":\"1\",\"protocol\":1}\r\n";

pub const PING: &str = "PING\r\n";
pub const PONG: &str = "PONG\r\n";

/// All that a subscriber says: it hears `PONG` once the subscription is in force.
pub fn subscribe(subject: &str) -> Vec<u8> {
    client_frame(format!("{CONNECT}SUB {subject} 1\r\n{PING}").as_bytes())
}

/// What a client says over WebSocket.
pub fn client_frame(text: &[u8]) -> Vec<u8> {
    frame::client_frame(OPCODE_BINARY, text)
}

/// Appends one publish.
pub fn publish(subject: &str, payload: &[u8], out: &mut Vec<u8>) {
    out.extend(format!("PUB {subject} {}\r\n", payload.len()).bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"INFO {\"server_id\":\"x\"}\r\nPONG\r\nMSG alerts 1 5\r\nab\r\nc\r\nMSG alerts 1 _INBOX.1 0\r\n\r\nPING\r\n-ERR 'no'\r\n+OK\r\n";

    #[test]
    fn a_stream_is_read_word_by_word_wherever_it_is_cut() {
        let mut at = 0;
        let mut said = Vec::new();
        while at < STREAM.len() {
            let (word, used) = read(&STREAM[at..]).unwrap().unwrap();
            for cut in 0..used {
                assert_eq!(read(&STREAM[at..at + cut]), Ok(None), "cut after {cut}");
            }
            said.push(word);
            at += used;
        }
        let message = Said::Message { whole: b"MSG alerts 1 5\r\nab\r\nc\r\n", payload: b"ab\r\nc" };
        let empty = Said::Message { whole: b"MSG alerts 1 _INBOX.1 0\r\n\r\n", payload: b"" };
        assert_eq!(said, [Said::Other, Said::Pong, message, empty, Said::Ping, Said::Error(b"-ERR 'no'"), Said::Other]);
    }

    #[test]
    fn what_is_not_nats_and_what_has_no_end_is_refused() {
        assert!(read(b"HTTP/1.1 400 Bad Request\r\n").is_err());
        assert!(read(b"MSG alerts 1 many\r\n").is_err());
        assert!(read(b"MSG alerts 1 99999999999999999999\r\n").is_err());
        assert!(read(&vec![b'x'; LINE_BYTES_MAX]).is_err());
    }

    #[test]
    fn a_publish_tells_its_length() {
        let mut out = Vec::new();
        publish("alerts", b"{}", &mut out);
        assert_eq!(out, b"PUB alerts 2\r\n{}\r\n");
    }
}
