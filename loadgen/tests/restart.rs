//! `loadgen restart` against Stentor itself, which is restarted meanwhile, and against a small server that paces its goodbyes, or gets a
//! resume wrong.

mod http;
mod outcome;
mod place;
mod websocket;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{header, ok, read_head};
use outcome::{assert_code, said};
use place::Place;
use serde_json::Value;
use websocket::{text_frame, upgraded};

/// What the first socket that comes back gets instead of what it missed.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// The event that it had last comes again.
    RepeatLast,
    /// The first one that it missed is missing.
    LoseFirst,
    /// It is told of a crash, though its connection was ended in order.
    Crash,
}

/// How the server ends its sessions, once it has published so many events.
const RESTART_AFTER_EVENTS: usize = 40;
const APART_MS: u64 = 20;
const AWAY_MS: u64 = 500;

struct Server {
    state: Mutex<State>,
    fault: Fault,
}

#[derive(Default)]
struct State {
    /// Frames, from number 1.
    journal: Vec<Vec<u8>>,
    sockets: Vec<TcpStream>,
    /// Sockets that came back, when, and behind which number.
    returned: Vec<(Instant, u64)>,
}

fn serve(fault: Fault) -> (u16, Arc<Server>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Arc::new(Server { state: Mutex::default(), fault });
    let served = Arc::clone(&server);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (server, stream) = (Arc::clone(&served), stream.unwrap());
            std::thread::spawn(move || server.connection(stream));
        }
    });
    (port, server)
}

impl Server {
    fn connection(self: Arc<Self>, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        while let Some(head) = read_head(&mut reader) {
            let line = head.lines().next().unwrap().to_owned();
            if line.starts_with("GET /ws/") {
                return self.socket(&head, &line, reader.into_inner());
            }
            let mut body = vec![0; header(&head, "Content-Length").unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let answer = self.publish(std::str::from_utf8(&body).unwrap());
            if reader.get_mut().write_all(ok(&answer).as_bytes()).is_err() {
                return;
            }
            let state = self.state.lock().unwrap();
            if state.journal.len() >= RESTART_AFTER_EVENTS && state.returned.is_empty() && state.sockets.len() > 1 {
                drop(state);
                self.say_goodbye();
            }
        }
    }

    fn publish(&self, body: &str) -> String {
        let state = &mut *self.state.lock().unwrap();
        let first = state.journal.len() + 1;
        for line in body.lines() {
            let id = line.split_once(r#""id":""#).unwrap().1.split_once('"').unwrap().0;
            let data = line.split_once(r#""data":{"#).unwrap().1.strip_suffix("}}").unwrap();
            let seq = state.journal.len() + 1;
            let message =
                format!(r#"{{"type":"trade","seq":{seq},"event_id":"{id}","data":{{{data},"tradeType":"open"}}}}"#);
            let frame = text_frame(&message);
            for socket in &mut state.sockets {
                let _ = socket.write_all(&frame);
            }
            state.journal.push(frame);
        }
        let last = state.journal.len();
        format!(r#"{{"accepted":{},"first_seq":{first},"last_seq":{last}}}"#, last + 1 - first)
    }

    /// Tells all sessions when to come back, one after the other at an even pace, and closes them at once.
    fn say_goodbye(&self) {
        let state = &mut *self.state.lock().unwrap();
        let since = state.journal.len();
        for (place, mut socket) in (0..).zip(state.sockets.drain(..)) {
            let after_ms = AWAY_MS + place * APART_MS;
            let message = format!(r#"{{"type":"reconnect","after_ms":{after_ms},"since":{since}}}"#);
            let goodbye = [text_frame(&message), vec![0x88, 2, 0x03, 0xF4]].concat();
            socket.write_all(&goodbye).unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
        }
    }

    fn socket(&self, head: &str, line: &str, mut stream: TcpStream) {
        let state = &mut *self.state.lock().unwrap();
        let mut answer = upgraded(header(head, "Sec-WebSocket-Key").unwrap());
        answer.insert_str(answer.len() - 2, &format!("stentor-seq: {}\r\n", state.journal.len()));
        let mut frames: Vec<Vec<u8>> = Vec::new();
        let query = line.split(' ').nth(1).unwrap().split_once('?').unwrap().1;
        if let Some(since) = query.split('&').find_map(|pair| pair.strip_prefix("since=")) {
            let since: usize = since.parse().unwrap();
            frames.extend(state.journal[since..].iter().cloned());
            if state.returned.is_empty() {
                match self.fault {
                    Fault::None => {}
                    Fault::RepeatLast => frames.insert(0, state.journal[since - 1].clone()),
                    Fault::LoseFirst => drop(frames.remove(0)),
                    Fault::Crash => frames.insert(0, text_frame(r#"{"type":"gap","from":1,"to":2,"reason":"crash"}"#)),
                }
            }
            state.returned.push((Instant::now(), since as u64));
        }
        stream.write_all(answer.as_bytes()).unwrap();
        stream.write_all(&frames.concat()).unwrap();
        state.sockets.push(stream);
    }
}

/// Fifty sockets, and a server that sends them all away in mid-run.
fn restarted(fault: Fault, more: &str) -> (Output, Arc<Server>) {
    let (port, server) = serve(fault);
    let line = format!(
        "restart --host 127.0.0.1:{port} --key k --publish-key p --sockets 50 --rate 100 --for 4s --settle 50ms \
         --drain 500ms --json - {more}"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(line.split_whitespace()).output().unwrap();
    (output, server)
}

#[test]
fn sockets_that_are_told_so_come_back_at_the_pace_that_they_were_told_and_miss_nothing() {
    let (output, server) = restarted(Fault::None, "");
    assert_code(&output, 0);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["deliveries"], 50 * 400);
    let [restart] = &report["restarts"].as_array().unwrap()[..] else { panic!("{report}") };
    for (figure, value) in
        [("told", 50), ("closed_1012", 50), ("reconnects", 50), ("ended_otherwise", 0), ("refused", 0)]
    {
        assert_eq!(restart[figure], value, "{figure}: {restart}");
    }
    assert_eq!((&restart["live_again"]["count"], &restart["never_live_again"]), (&50.into(), &0.into()));
    let paced = restart["paced_per_second"].as_f64().unwrap();
    assert!((25.0..100.0).contains(&paced), "50 sockets, {APART_MS} ms apart: {paced}");
    let state = server.state.lock().unwrap();
    let (first, last) = (state.returned[0], state.returned[49]);
    assert!(last.0 - first.0 > Duration::from_millis(300), "they did not come back at once");
    assert!(state.returned.iter().all(|(_, since)| *since >= RESTART_AFTER_EVENTS as u64));
}

#[test]
fn what_a_resume_gets_wrong_for_one_socket_fails_the_run() {
    for (fault, words) in [
        (Fault::RepeatLast, "1 duplicated"),
        (Fault::LoseFirst, "1 deliveries lost"),
        (Fault::Crash, "1 gaps with the reason crash"),
    ] {
        let (output, _) = restarted(fault, "");
        assert_code(&output, 3);
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

#[test]
fn a_pace_that_is_not_held_fails_the_run() {
    let (output, _) = restarted(Fault::None, "--max-pace 0.2");
    assert_code(&output, 3);
    assert!(said(&output).contains("times the paced"), "{}", said(&output));
}

/// Waits for a word of loadgen's on its standard error, and reads on so that its pipe does not fill.
fn wait_for(process: &mut Child, word: &str) -> std::thread::JoinHandle<String> {
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut all = String::new();
    while !all.contains(word) {
        all += &(lines.next().unwrap_or_else(|| panic!("loadgen ended: {all}")).unwrap() + "\n");
    }
    std::thread::spawn(move || {
        lines.map_while(Result::ok).for_each(|line| all += &(line + "\n"));
        all
    })
}

#[test]
fn three_hundred_sockets_outlive_a_restart_of_stentor_with_every_event() {
    let place = Place::new();
    place.run("account create listener --tier elite");
    place.run("account watch listener Stentor1oadgenWa11et777777777777777777777777");
    let (key, publisher) = (place.run("key create listener"), place.run("key create listener --role publisher"));
    let server = place.serve();
    let line = format!(
        "restart --host 127.0.0.1:{} --key {key} --publish-key {publisher} --sockets 300 --rate 200 --for 12s --settle 50ms \
         --json -",
        place.port
    );
    let mut loadgen = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(line.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let words = wait_for(&mut loadgen, "connecting to the server: 300 of 300");
    std::thread::sleep(Duration::from_secs(1));
    assert!(server.stop().success(), "it stops in order");
    let _server = place.serve();
    let mut stdout = String::new();
    loadgen.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    let (ended, words) = (loadgen.wait().unwrap(), words.join().unwrap());
    assert!(ended.success(), "{words}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["deliveries"], &report["publisher"]["events"]), (&(300 * 2_400).into(), &2_400.into()));
    let restart = &report["restarts"][0];
    assert_eq!((&restart["closed_1012"], &restart["ended_otherwise"]), (&300.into(), &0.into()), "{restart}");
    assert!(
        restart["reconnects"].as_u64() >= Some(300) && report["restarts"].as_array().unwrap().len() == 1,
        "{restart}"
    );
    assert!(report["publisher"]["outages"].as_u64() >= Some(1), "{report}");
}
