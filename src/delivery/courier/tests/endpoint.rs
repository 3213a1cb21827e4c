//! An endpoint as its owner may have written it: well, badly or with malice.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};

use super::HOST;

pub(super) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK";

/// A listening socket whose connections are served by a thread each.
pub(super) struct Endpoint {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// `serve` gets each connection and its number, from 0.
    pub(super) fn serving(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        Self::listening(TcpListener::bind("127.0.0.1:0").expect("a port"), serve)
    }

    pub(super) fn listening(listener: TcpListener, serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("its address");
        let (accepted, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, over, serve) = (accepted.clone(), is_over.clone(), Arc::new(serve));
        let accept = move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = serve.clone();
                thread::spawn(move || serve(number, stream.expect("a connection")));
            }
        };
        Self { address, accepted, is_over, thread: Some(thread::spawn(accept)) }
    }

    /// Answers each request of each connection with these bytes.
    pub(super) fn answering(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::serving(move |_, stream| {
            let mut stream = BufReader::new(stream);
            while Received::read(&mut stream).is_some() && stream.get_mut().write_all(answer.as_ref()).is_ok() {}
        })
    }

    /// Reads one request of each connection, writes these bytes, and ends the connection in good order.
    pub(super) fn answering_once(answer: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::serving(move |_, stream| {
            let mut stream = BufReader::new(stream);
            if Received::read(&mut stream).is_some() {
                // The courier may have gone before the last byte.
                let _ = stream.get_mut().write_all(answer.as_ref());
            }
        })
    }

    /// Answers well, and passes on what it was sent.
    pub(super) fn recording() -> (Self, Receiver<Received>) {
        let (sender, received) = channel();
        let endpoint = Self::serving(move |_, stream| {
            let mut stream = BufReader::new(stream);
            while let Some(request) = Received::read(&mut stream) {
                if sender.send(request).is_err() || stream.get_mut().write_all(OK.as_bytes()).is_err() {
                    return;
                }
            }
        });
        (endpoint, received)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self) -> String {
        format!("http://{HOST}:{}/hook?a=b", self.address.port())
    }

    pub(super) fn https_url(&self) -> String {
        format!("https://{HOST}:{}/hook", self.address.port())
    }

    /// Connections so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the accept.
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// A request as it arrived.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Received {
    pub(super) fn read(stream: &mut impl BufRead) -> Option<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok().filter(|&read| read > 0)?;
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.remove(0);
        let headers = lines.iter().map(|line| line.split_once(": ").expect("a name and a value"));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut request = Self { line, headers, body: Vec::new() };
        let length = request.header("content-length").expect("a length").parse().expect("a number");
        request.body = vec![0; length];
        stream.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    /// The value of a header that is there once.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name).map(|header| header.1.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice");
        value
    }
}

/// Has the connection end with a reset.
pub(super) fn reset(stream: TcpStream) {
    let socket = socket2::Socket::from(stream);
    socket.set_linger(Some(std::time::Duration::ZERO)).expect("a socket");
}
