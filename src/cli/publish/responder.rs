//! A small HTTP server for the tests: it keeps what it was sent and answers by script.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// One answer.
#[derive(Clone)]
pub struct Reply {
    status: u16,
    header: &'static str,
    body: String,
    hangs_up: bool,
}

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    headers: Vec<String>,
    pub body: String,
}

/// Runs until the test process ends.
pub struct Responder {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    connections: usize,
    requests: Vec<Request>,
    events: u64,
    script: Option<std::vec::IntoIter<Reply>>,
}

impl Reply {
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, header: "X-Nothing: 0", body: body.to_owned(), hangs_up: false }
    }

    pub fn accepted(accepted: u64, last_seq: u64) -> Self {
        let first_seq = last_seq + 1 - accepted;
        Self::new(200, &format!(r#"{{"accepted":{accepted},"first_seq":{first_seq},"last_seq":{last_seq}}}"#))
    }

    /// Reads the request and closes without an answer.
    pub fn hang_up() -> Self {
        Self { hangs_up: true, ..Self::new(0, "") }
    }

    pub fn with_header(self, header: &'static str) -> Self {
        Self { header, ..self }
    }
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|header| {
            let (key, value) = header.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Responder {
    /// Accepts whatever comes and numbers it from 1, a line an event.
    pub fn accepting() -> Self {
        Self::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None)
    }

    /// Gives these answers in turn, and closes the connection when they are used up.
    pub fn scripted(script: Vec<Reply>) -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    pub fn at(address: SocketAddr, script: Vec<Reply>) -> Self {
        Self::start(address, Some(script))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.seen.state.lock().expect("no panic").requests.clone()
    }

    pub fn connections(&self) -> usize {
        self.seen.state.lock().expect("no panic").connections
    }

    /// Blocks until `count` requests have come.
    pub fn wait_for(&self, count: usize, timeout: Duration) {
        let state = self.seen.state.lock().expect("no panic");
        let (state, waited) = self
            .seen
            .changed
            .wait_timeout_while(state, timeout, |state| state.requests.len() < count)
            .expect("no panic");
        assert!(!waited.timed_out(), "{} of {count} requests after {timeout:?}", state.requests.len());
    }

    fn start(address: SocketAddr, script: Option<Vec<Reply>>) -> Self {
        let listener = TcpListener::bind(address).expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        seen.state.lock().expect("no panic").script = script.map(Vec::into_iter);
        let serving = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serving.state.lock().expect("no panic").connections += 1;
                let serving = Arc::clone(&serving);
                thread::spawn(move || serve(stream, &serving));
            }
        });
        Self { address, seen }
    }
}

/// One connection, until either side closes it.
fn serve(stream: TcpStream, seen: &Seen) -> Option<()> {
    let mut input = BufReader::new(stream.try_clone().ok()?);
    let mut output = stream;
    loop {
        let request = read_request(&mut input)?;
        let reply = {
            let mut state = seen.state.lock().expect("no panic");
            state.events += request.body.lines().count() as u64;
            let accepted = Reply::accepted(request.body.lines().count() as u64, state.events);
            state.requests.push(request);
            seen.changed.notify_all();
            match &mut state.script {
                Some(script) => script.next()?,
                None => accepted,
            }
        };
        if reply.hangs_up {
            return None;
        }
        let Reply { status, header, body, .. } = reply;
        let head = format!("HTTP/1.1 {status} Scripted\r\n{header}\r\nContent-Length: {}\r\n\r\n", body.len());
        output.write_all((head + &body).as_bytes()).ok()?;
    }
}

fn read_request(input: &mut impl BufRead) -> Option<Request> {
    let mut head = input.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let mut request = Request { line: head.next()?, headers: head.collect(), body: String::new() };
    let length: u64 = request.header("content-length").expect("a length").parse().expect("a number");
    input.take(length).read_to_string(&mut request.body).ok()?;
    Some(request)
}
