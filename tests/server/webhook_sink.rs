//! An endpoint for webhooks: it records what it is sent, and answers as it is told. And what its owner does to check a signature.
//!
//! It speaks plain HTTP/1.1 and keeps connections open; each has a thread, which ends with it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::wait::{SOON, until};

pub struct Sink {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Post>>>,
    stops: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

/// One request that came.
#[derive(Clone, Debug)]
pub struct Post {
    pub method: String,
    pub path: String,
    /// The names in lower case.
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub header: Option<(&'static str, String)>,
    /// Before anything is sent.
    pub delay: Duration,
}

impl Answer {
    pub fn of(status: u16) -> Self {
        Self { status, header: None, delay: Duration::ZERO }
    }
}

impl Sink {
    /// One that is content with everything.
    pub fn start() -> Self {
        Self::answering(|_, _| Answer::of(200))
    }

    /// One that answers with these statuses in their order, and then with the last one for ever.
    pub fn scripted(statuses: &[u16]) -> Self {
        let statuses = statuses.to_vec();
        Self::answering(move |nth, _| Answer::of(statuses[nth.min(statuses.len() - 1)]))
    }

    /// One that is asked for its answer to each request, with the number of those before it.
    pub fn answering(answer: impl Fn(usize, &Post) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::<Mutex<Vec<Post>>>::default();
        let stops = Arc::<AtomicBool>::default();
        let accepting = {
            let (received, stops, answer) = (received.clone(), stops.clone(), Arc::new(answer));
            std::thread::spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    if stops.load(Ordering::Acquire) {
                        return;
                    }
                    let (received, answer) = (received.clone(), answer.clone());
                    std::thread::spawn(move || serve(stream, &received, &*answer));
                }
            })
        };
        Self { address, received, stops, accepting: Some(accepting) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until so many requests have come to a path; returns all that have, in their order.
    pub fn posts(&self, path: &str, least: usize) -> Vec<Post> {
        until(&format!("{least} requests to {path}"), 2 * SOON, || {
            let posts = self.posts_so_far(path);
            (posts.len() >= least).then_some(posts)
        })
    }

    pub fn posts_so_far(&self, path: &str) -> Vec<Post> {
        let received = self.received.lock().expect("no holder panics");
        received.iter().filter(|post| post.path == path).cloned().collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// Serves a connection until its client has enough.
fn serve(mut stream: TcpStream, received: &Mutex<Vec<Post>>, answer: &(dyn Fn(usize, &Post) -> Answer + Send + Sync)) {
    let mut bytes = Vec::new();
    while let Some(post) = next(&mut stream, &mut bytes) {
        let nth = {
            let mut received = received.lock().expect("no holder panics");
            received.push(post.clone());
            received.len() - 1
        };
        let Answer { status, header, delay } = answer(nth, &post);
        std::thread::sleep(delay);
        let header = header.map_or(String::new(), |(name, value)| format!("{name}: {value}\r\n"));
        let head = format!("HTTP/1.1 {status} Told\r\n{header}Content-Length: 2\r\n\r\nok");
        if stream.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next request of a connection. `bytes` are those that have come of it, and then those that came behind it.
fn next(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Post> {
    loop {
        if let Some((post, length)) = parse(bytes) {
            bytes.drain(..length);
            return Some(post);
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// The request at the start of `bytes` and its length, once all of it is there.
fn parse(bytes: &[u8]) -> Option<(Post, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_len) = head.parse(bytes).expect("HTTP") else { return None };
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|header| (header.name.to_lowercase(), String::from_utf8(header.value.to_vec()).expect("text")))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").expect("a delivery says how long it is");
    let end = head_len + length.1.parse::<usize>().expect("a length");
    let body = bytes.get(head_len..end)?.to_vec();
    let text = |part: Option<&str>| part.expect("a whole head").to_owned();
    Some((Post { method: text(head.method), path: text(head.path), headers, body }, end))
}

impl Post {
    /// A header that stands there once.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(known, _)| known == name);
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            panic!("not one {name}: {:?}", self.headers);
        };
        value
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Fails unless `X-Webhook-Signature` is that of this secret.
    pub fn assert_signed(&self, secret: &str) {
        assert_eq!(self.header("x-webhook-signature"), plain_signature(secret, &self.body));
    }

    /// What the header of Standard Webhooks has to hold for a secret.
    pub fn standard_signature(&self, secret: &str) -> String {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a mark")).expect("base64");
        let [id, timestamp] = ["webhook-id", "webhook-timestamp"].map(|name| self.header(name).as_bytes());
        let signed = [id, b".", timestamp, b".", &self.body].concat();
        format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &signed)))
    }
}

/// The signature of a body as the printed receivers make it: the key is the secret's whole text.
pub fn plain_signature(secret: &str, body: &[u8]) -> String {
    hmac_sha256(secret.as_bytes(), body).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac_sha256(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(bytes);
    mac.finalize().into_bytes().to_vec()
}
