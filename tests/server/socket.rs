//! A WebSocket client that shows every frame as it came, and can send what no library would.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use stentor::ws::client::{append_client_fragment, append_client_frame, client_request};
use stentor::ws::{CloseCode, Opcode};

use crate::http::Reply;
use crate::wait::SOON;

/// Any mask will do; a constant one keeps failures repeatable.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const NONCE: [u8; 16] = *b"the sample nonce";
/// What [`NONCE`] must be answered with (RFC 6455 §1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What came from the server next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The code, 1005 where there was none, and the reason.
    Close(u16, String),
    /// The stream ended between two frames.
    End,
}

#[derive(Debug)]
pub struct Socket {
    pub stream: TcpStream,
    received: Vec<u8>,
    /// Bytes of `received` that have been taken.
    taken: usize,
    /// The newest number, as the upgrade's answer told it.
    pub told_seq: u64,
}

impl Socket {
    /// Opens a WebSocket, or returns the answer that refused it.
    pub fn open(address: SocketAddr, path: &str) -> Result<Self, Reply> {
        Self::open_on(TcpStream::connect(address).expect("a connection"), path, b"")
    }

    /// The same with further headers.
    pub fn open_with(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, Reply> {
        let stream = TcpStream::connect(address).expect("a connection");
        Self::shake(stream, client_request("stentor", path, NONCE, headers))
    }

    /// The same over a connection of the caller's, with `behind` sent in the same breath as the request.
    pub fn open_on(stream: TcpStream, path: &str, behind: &[u8]) -> Result<Self, Reply> {
        let mut request = client_request("stentor", path, NONCE, &[]);
        request.extend_from_slice(behind);
        Self::shake(stream, request)
    }

    fn shake(mut stream: TcpStream, request: Vec<u8>) -> Result<Self, Reply> {
        stream.write_all(&request).expect("a request");
        let mut socket = Self { stream, received: Vec::new(), taken: 0, told_seq: 0 };
        let deadline = Instant::now() + SOON;
        let (reply, head_len) = loop {
            // A refusal has a body, an upgrade has frames behind its head.
            let head_len = socket.received.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4);
            if let (Some(head_len), Some(reply)) = (head_len, Reply::parse(&socket.received)) {
                break (reply, head_len);
            }
            assert!(socket.fill(deadline).expect("an answer"), "the connection ended before the answer");
        };
        if reply.status != 101 {
            return Err(reply);
        }
        assert_eq!(reply.header("sec-websocket-accept"), Some(ACCEPT));
        socket.taken = head_len;
        socket.told_seq = reply.header("stentor-seq").expect("a number").parse().expect("a number");
        Ok(socket)
    }

    /// The next frame, whatever it is.
    pub fn receive(&mut self) -> Received {
        self.receive_within(SOON).unwrap_or_else(|| panic!("nothing came within {SOON:?}"))
    }

    /// The next frame, or `None` where none comes in that time.
    pub fn receive_within(&mut self, patience: Duration) -> Option<Received> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.take_frame() {
                return Some(frame);
            }
            match self.fill(deadline) {
                Ok(true) => {}
                Ok(false) => {
                    let rest = self.received.len() - self.taken;
                    assert_eq!(rest, 0, "the stream ended inside a frame");
                    return Some(Received::End);
                }
                Err(error) if error.kind() == ErrorKind::TimedOut => return None,
                Err(error) => panic!("the connection broke instead of ending: {error}"),
            }
        }
    }

    /// The next message or close, with pings answered on the way.
    pub fn receive_past_pings(&mut self, patience: Duration) -> Option<Received> {
        let deadline = Instant::now() + patience;
        loop {
            match self.receive_within(deadline.saturating_duration_since(Instant::now()))? {
                Received::Ping(payload) => self.send(Opcode::Pong, &payload),
                other => return Some(other),
            }
        }
    }

    /// The next message, which must be a trade.
    pub fn trade(&mut self) -> Value {
        self.message("trade")
    }

    /// The next message, which must be of that type.
    pub fn message(&mut self, kind: &str) -> Value {
        let message = self.next_message();
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The next message, of whatever type.
    pub fn next_message(&mut self) -> Value {
        match self.receive_past_pings(SOON) {
            Some(Received::Text(text)) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The next message, which must be an error with that code. Returns its text.
    pub fn expect_error(&mut self, code: &str) -> String {
        let error = self.message("error");
        assert_eq!(error["code"], code, "{error}");
        error["message"].as_str().expect("a text").to_owned()
    }

    /// Every message until the close frame, with its code and reason.
    pub fn read_to_close(&mut self) -> (Vec<Value>, u16, String) {
        let mut messages = Vec::new();
        loop {
            match self.receive_past_pings(SOON) {
                Some(Received::Text(text)) => messages.push(serde_json::from_str(&text).expect("JSON")),
                Some(Received::Close(code, reason)) => return (messages, code, reason),
                other => panic!("expected messages and a close, got {other:?} after {messages:?}"),
            }
        }
    }

    /// Every whole message until the connection is lost, in whichever way.
    pub fn read_until_lost(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        let deadline = Instant::now() + SOON;
        loop {
            while let Some(frame) = self.take_frame() {
                if let Received::Text(text) = frame {
                    messages.push(serde_json::from_str(&text).expect("JSON"));
                }
            }
            match self.fill(deadline) {
                Ok(true) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => panic!("the connection is not lost"),
                Ok(false) | Err(_) => return messages,
            }
        }
    }

    /// Sends text messages in one segment, as a client does that waits for no answer.
    pub fn say_at_once(&mut self, texts: &[&str]) {
        self.send_raw(&text_frames(texts));
    }

    /// Sends a text message.
    pub fn say(&mut self, text: &str) {
        self.send(Opcode::Text, text.as_bytes());
    }

    /// Reads to the end of the stream, where only pings may come before the close frame. Fails on a reset.
    pub fn expect_close(&mut self, code: CloseCode) -> String {
        let reason = match self.receive_past_pings(SOON) {
            Some(Received::Close(got, reason)) if got == code.get() => reason,
            other => panic!("expected a close with {code:?}, got {other:?}"),
        };
        assert_eq!(self.receive(), Received::End, "a close frame is the last one");
        reason
    }

    pub fn send(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        append_client_frame(&mut frame, opcode, payload, MASK);
        self.send_raw(&frame);
    }

    /// Sends one frame of a fragmented message.
    pub fn send_fragment(&mut self, opcode: Opcode, fin: bool, payload: &[u8]) {
        let mut frame = Vec::new();
        append_client_fragment(&mut frame, opcode, fin, payload, MASK);
        self.send_raw(&frame);
    }

    pub fn send_close(&mut self, code: CloseCode, reason: &str) {
        self.send(Opcode::Close, &[&code.get().to_be_bytes(), reason.as_bytes()].concat());
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server reads");
    }

    /// Takes the frame at the front of what was received (RFC 6455 §5.2), if all of it is there.
    fn take_frame(&mut self) -> Option<Received> {
        let bytes = &self.received[self.taken..];
        let [first, second, ..] = *bytes else { return None };
        assert_eq!(first & 0xf0, 0x80, "Stentor fragments nothing and negotiates no reserved bit");
        assert_eq!(second & 0x80, 0, "a server's frames are not masked");
        let (header_len, payload_len) = match second {
            126 => (4, u64::from(u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?))),
            127 => (10, u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?)),
            short => (2, u64::from(short)),
        };
        let frame_len = header_len + payload_len as usize;
        let payload = bytes.get(header_len..frame_len)?.to_vec();
        self.taken += frame_len;
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Some(match first & 0x0f {
            0x1 => Received::Text(text(payload)),
            0x2 => Received::Binary(payload),
            0x8 => match payload.split_first_chunk() {
                Some((code, reason)) => Received::Close(u16::from_be_bytes(*code), text(reason.to_vec())),
                None => Received::Close(1005, String::new()),
            },
            0x9 => Received::Ping(payload),
            0xa => Received::Pong(payload),
            opcode => panic!("a frame with opcode {opcode}"),
        })
    }

    /// Reads what comes next, until the deadline; `false` at the end of the stream.
    fn fill(&mut self, deadline: Instant) -> io::Result<bool> {
        let patience = deadline.saturating_duration_since(Instant::now());
        if patience.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.received.drain(..self.taken);
        self.taken = 0;
        self.stream.set_read_timeout(Some(patience))?;
        let held = self.received.len();
        // As much as a frame of the largest event, so that a long one comes in few reads.
        self.received.resize(held + (64 << 10), 0);
        let outcome = self.stream.read(&mut self.received[held..]);
        self.received.truncate(held + *outcome.as_ref().unwrap_or(&0));
        match outcome {
            Ok(read) => Ok(read > 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::TimedOut.into()),
            // A read with a timeout is cut short when the process is stopped and goes on (signal(7)).
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// Text messages as a client sends them.
pub fn text_frames(texts: &[&str]) -> Vec<u8> {
    let mut frames = Vec::new();
    texts.iter().for_each(|text| append_client_frame(&mut frames, Opcode::Text, text.as_bytes(), MASK));
    frames
}
