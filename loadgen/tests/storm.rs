//! `loadgen storm` against a small server with a journal in memory that can be told to misbehave.

mod http;
mod outcome;
mod websocket;

use std::collections::{HashMap, HashSet};
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use http::{header, ok, read_head};
use outcome::{assert_code, said};
use serde_json::Value;
use websocket::{text_frame, upgraded};

/// What the first socket that resumes gets instead of its history.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The last event of its history is missing.
    LoseLast,
    /// The last event of its history comes again.
    RepeatLast,
    /// Its first two events change places.
    SwapFirst,
    /// It is told of a gap besides.
    Gap,
    /// The numbers of events are others than the publisher was told.
    Renumber,
}

struct Server {
    state: Mutex<State>,
    fault: Fault,
}

#[derive(Default)]
struct State {
    watchlists: HashMap<String, HashSet<String>>,
    /// Owner and frame, from number 1.
    journal: Vec<(String, Vec<u8>)>,
    sockets: Vec<(String, TcpStream)>,
    spoilt: bool,
}

fn serve(fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Arc::new(Server { state: Mutex::default(), fault });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (server, stream) = (Arc::clone(&server), stream.unwrap());
            std::thread::spawn(move || server.connection(stream));
        }
    });
    port
}

impl Server {
    fn connection(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(head) = read_head(&mut reader) {
            let line = head.lines().next().unwrap().to_owned();
            if line.starts_with("GET /ws/") {
                return self.socket(&head, &line, reader.into_inner());
            }
            let length = header(&head, "Content-Length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = match line.split(' ').next().unwrap() {
                "POST" => self.publish(std::str::from_utf8(&body).unwrap()),
                method => self.watchlist(method, header(&head, "X-API-Key").unwrap(), &body),
            };
            if reader.get_mut().write_all(ok(&answer).as_bytes()).is_err() {
                return;
            }
        }
    }

    fn watchlist(&self, method: &str, key: &str, body: &[u8]) -> String {
        let mut state = self.state.lock().unwrap();
        if method == "PUT" {
            let body: Value = serde_json::from_slice(body).unwrap();
            let owners = body["owners"].as_array().unwrap().iter().map(|owner| owner.as_str().unwrap().to_owned());
            state.watchlists.insert(key.to_owned(), owners.collect());
        }
        serde_json::json!({ "owners": state.watchlists[key] }).to_string()
    }

    fn publish(&self, body: &str) -> String {
        let mut state = self.state.lock().unwrap();
        let first = state.journal.len() + 1;
        for line in body.lines() {
            let data = line.split_once("\"data\":{").unwrap().1.strip_suffix("}}").unwrap();
            let owner = data.split_once("\"owner\":\"").unwrap().1.split_once('"').unwrap().0.to_owned();
            let seq = state.journal.len() + 1 + usize::from(self.fault == Fault::Renumber);
            let frame = text_frame(&format!(r#"{{"type":"trade","seq":{seq},"data":{{{data},"tradeType":"open"}}}}"#));
            let State { watchlists, sockets, .. } = &mut *state;
            for (_, socket) in sockets.iter_mut().filter(|(key, _)| watchlists[key].contains(&owner)) {
                let _ = socket.write_all(&frame);
            }
            state.journal.push((owner, frame));
        }
        let last = state.journal.len();
        format!(r#"{{"accepted":{},"first_seq":{first},"last_seq":{last}}}"#, last + 1 - first)
    }

    /// History and what comes next, without anything in between.
    fn socket(&self, head: &str, line: &str, mut stream: TcpStream) {
        let answer = upgraded(header(head, "Sec-WebSocket-Key").unwrap());
        let query = line.split(' ').nth(1).unwrap().split_once('?').unwrap().1;
        let named = |name| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let key = named("apiKey").unwrap().to_owned();
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        let mut frames: Vec<Vec<u8>> = Vec::new();
        if let Some(since) = named("since") {
            let after = &state.journal[since.parse().unwrap()..];
            let matching = after.iter().filter(|(owner, _)| state.watchlists[&key].contains(owner));
            frames.extend(matching.map(|(_, frame)| frame.clone()));
            if !std::mem::replace(&mut state.spoilt, true) {
                spoil(self.fault, &mut frames);
            }
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.write_all(&frames.concat()).unwrap();
        state.sockets.push((key, stream));
    }
}

fn spoil(fault: Fault, frames: &mut Vec<Vec<u8>>) {
    match fault {
        Fault::None | Fault::Renumber => {}
        Fault::LoseLast => drop(frames.pop()),
        Fault::RepeatLast => frames.extend(frames.last().cloned()),
        Fault::SwapFirst => frames.swap(0, 1),
        Fault::Gap => frames.insert(0, text_frame(r#"{"type":"gap","from":1,"to":2,"reason":"retention"}"#)),
    }
}

fn storm(fault: Fault, more: &str) -> Output {
    let line = format!(
        "storm --url http://127.0.0.1:{} --publisher-key p --subscriber-key live --subscriber-key one \
         --subscriber-key two --subscriber-key three --sockets 60 --live 5 --events 2500 --matching 100 --rate 100 \
         --marker-every 100ms --before 300ms --settle 100ms --drain 500ms --json - {more}",
        serve(fault)
    );
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(line.split_whitespace()).output().unwrap()
}

#[test]
fn a_faithful_server_brings_every_socket_its_history_and_then_live_events() {
    let output = storm(Fault::None, "");
    assert_code(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let resuming = &report["resuming"];
    assert_eq!((&resuming["live"]["count"], &resuming["never_live"]), (&60.into(), &0.into()));
    assert!(resuming["deliveries"].as_u64() >= Some(60 * 100), "{resuming}");
    assert!(resuming["all_live_seconds"].as_f64() > Some(0.0));
    assert!(report["live"]["before"]["count"].as_u64() > Some(0) && report["live"]["p99_ratio"].is_number());
    assert!(said(&output).contains("every socket got each of its events once"), "{}", said(&output));
}

#[test]
fn what_one_socket_of_sixty_misses_or_gets_twice_fails_the_run() {
    for (fault, words) in [
        (Fault::LoseLast, "1 deliveries lost"),
        (Fault::RepeatLast, "1 duplicated"),
        (Fault::SwapFirst, "1 reordered"),
        (Fault::Gap, "1 gaps told"),
    ] {
        let output = storm(fault, "--patience 2s");
        assert_code(&output, 3);
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

#[test]
fn numbers_that_the_publisher_was_not_told_fail_the_run() {
    let output = storm(Fault::Renumber, "--patience 2s");
    assert_code(&output, 3);
    assert!(said(&output).contains("under another number"), "{}", said(&output));
}

#[test]
fn one_account_is_too_few_for_a_storm() {
    let words = ["storm", "--publisher-key", "p", "--subscriber-key", "s"];
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(words).output().unwrap();
    assert_code(&output, 2);
    assert!(said(&output).contains("too few"), "{}", said(&output));
}
