//! `loadgen fanout` against a small server that can be told to misbehave: what is measured, what is found out, and the
//! exit codes.

mod http;
mod outcome;
mod websocket;

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use http::{header, ok, read_head};
use outcome::{assert_code, said};
use websocket::{text_frame, upgraded};

/// How the server treats one socket's copy of one event.
#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    /// Socket 3 never gets event 2.
    Lose,
    /// Socket 3 gets event 2 twice.
    Repeat,
    /// Socket 3 gets the last event, number 8 with the warm-up, once more when all is over.
    RepeatLate,
    /// Socket 3 gets event 2 after event 3.
    Swap,
    /// Socket 3 gets event 2 with one byte changed.
    Damage,
    /// Socket 3 is closed with 4409 instead of getting event 2.
    Close,
    /// Socket 3 is told of a gap instead of getting event 2.
    Gap,
    /// Every upgrade is answered with 401.
    Refuse,
    /// Every publish is answered with 403.
    RefusePublish,
}

struct Server {
    sockets: Mutex<Vec<TcpStream>>,
    seq: Mutex<u64>,
    held_back: Mutex<Option<Vec<u8>>>,
    fault: Fault,
}

/// Starts a server on a port of its own; it serves until the test's process ends.
fn serve(fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Arc::new(Server { sockets: Mutex::default(), seq: Mutex::new(7), held_back: Mutex::default(), fault });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let server = Arc::clone(&server);
            server.connection(stream.unwrap());
        }
    });
    port
}

impl Server {
    /// Handshakes are answered here, one after another; a publisher gets a thread.
    fn connection(self: Arc<Self>, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream);
        let Some(head) = read_head(&mut reader) else { return };
        if head.starts_with("POST") {
            std::thread::spawn(move || self.publisher(reader, head));
            return;
        }
        let stream = reader.get_mut();
        if self.fault == Fault::Refuse {
            let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 17\r\n\r\n{\"success\":false}");
            return;
        }
        let key = header(&head, "Sec-WebSocket-Key").unwrap();
        stream.write_all(upgraded(key).as_bytes()).unwrap();
        // A ping in the same breath, so that every run sees one.
        stream.write_all(b"\x89\x01!").unwrap();
        self.sockets.lock().unwrap().push(reader.into_inner());
    }

    fn publisher(&self, mut reader: BufReader<TcpStream>, mut head: String) {
        loop {
            let mut body = vec![0; header(&head, "Content-Length").unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            if self.fault == Fault::RefusePublish {
                let _ = reader.get_mut().write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nno right");
                return;
            }
            let lines: Vec<&str> = std::str::from_utf8(&body).unwrap().lines().collect();
            let first = *self.seq.lock().unwrap();
            lines.iter().for_each(|line| self.fan_out(line));
            let answer = format!(
                r#"{{"accepted":{},"first_seq":{first},"last_seq":{}}}"#,
                lines.len(),
                first + lines.len() as u64 - 1
            );
            let _ = reader.get_mut().write_all(ok(&answer).as_bytes());
            match read_head(&mut reader) {
                Some(next) => head = next,
                None => return,
            }
        }
    }

    fn fan_out(&self, event: &str) {
        let mut seq = self.seq.lock().unwrap();
        let data = event.split_once("\"data\":{").unwrap().1.strip_suffix("}}").unwrap();
        let text = format!(r#"{{"type":"trade","seq":{seq},"data":{{{data},"tradeType":"open"}}}}"#);
        let index = *seq - 7;
        *seq += 1;
        let frame = text_frame(&text);
        for (number, mut socket) in self.sockets.lock().unwrap().iter().enumerate() {
            let bytes = if number == 3 { self.spoil(index, &frame) } else { frame.clone() };
            let _ = socket.write_all(&bytes);
            if (self.fault, index, number) == (Fault::RepeatLate, 8, 3) {
                let mut again = socket.try_clone().unwrap();
                std::thread::spawn(move || {
                    std::thread::sleep(std::time::Duration::from_millis(200));
                    let _ = again.write_all(&bytes);
                });
            }
        }
    }

    fn spoil(&self, index: u64, frame: &[u8]) -> Vec<u8> {
        match (self.fault, index) {
            (Fault::Lose, 2) => Vec::new(),
            (Fault::Gap, 2) => text_frame(r#"{"type":"gap","from":9,"to":9,"reason":"retention"}"#),
            (Fault::Repeat, 2) => [frame, frame].concat(),
            (Fault::Damage, 2) => frame.iter().map(|byte| if *byte == b'S' { b'T' } else { *byte }).collect(),
            (Fault::Close, 2) => b"\x88\x06\x11\x39slow".to_vec(),
            (Fault::Close, 3..) => Vec::new(),
            (Fault::Swap, 2) => {
                *self.held_back.lock().unwrap() = Some(frame.to_vec());
                Vec::new()
            }
            (Fault::Swap, 3) => [frame, &self.held_back.lock().unwrap().take().unwrap()].concat(),
            _ => frame.to_vec(),
        }
    }
}

fn loadgen(port: u16, more: &str) -> Output {
    limited(port, more, None)
}

/// Runs loadgen, with at most `files` open files.
fn limited(port: u16, more: &str, files: Option<u32>) -> Output {
    let limit = files.map(|files| format!("ulimit -n {files}; ")).unwrap_or_default();
    let interval = if more.contains("--interval") { "" } else { "--interval 5ms" };
    let line = format!(
        "{limit}exec {} fanout --url ws://127.0.0.1:{port}/ws --settle 20ms --drain 300ms --timeout 30s {interval} {more}",
        env!("CARGO_BIN_EXE_loadgen")
    );
    Command::new("sh").args(["-c", &line]).output().unwrap()
}

#[test]
fn every_delivery_of_a_faithful_server_is_accounted_for() {
    let output = loadgen(serve(Fault::None), "--sockets 50 --events 20 --json -");
    assert_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let side = &report["sides"][0];
    assert_eq!((&side["lost"], &side["duplicated"], &side["events"]), (&0.into(), &0.into(), &21.into()));
    assert_eq!(side["latency"]["count"], 20 * 50);
    assert_eq!(side["incomplete_steps"], 0);
    assert!(side["full_fanout_us"]["median"].as_f64() >= side["latency"]["p50_us"].as_f64());
}

#[test]
fn bursts_go_out_as_one_request_and_are_timed_as_a_whole() {
    let output = loadgen(serve(Fault::None), "--sockets 20 --burst 100 --bursts 3 --rounds 2 --json -");
    assert_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let side = &report["sides"][0];
    assert_eq!((&side["timed_steps"], &side["latency"]["count"]), (&4.into(), &(4 * 100 * 20).into()));
}

#[test]
fn more_sockets_than_open_files_are_held_by_several_rings_and_threads() {
    let output = limited(serve(Fault::None), "--sockets 1500 --threads 2 --events 5", Some(200));
    assert_code(&output, 0);
}

#[test]
fn sockets_that_stop_reading_for_a_while_still_get_everything_and_are_timed_apart() {
    let output =
        loadgen(serve(Fault::None), "--sockets 20 --events 100 --interval 10ms --stalled 25% --stall 500ms --json -");
    assert_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let side = &report["sides"][0];
    let stalled = &side["stalled"];
    assert_eq!((&stalled["sockets"], &stalled["never_whole"], &side["lost"]), (&5.into(), &0.into(), &0.into()));
    assert_eq!((&side["latency"]["count"], &stalled["latency"]["count"]), (&(15 * 100).into(), &(5 * 100).into()));
    assert_eq!(stalled["whole_again"]["count"], 5);
    // The first event is published when they stop, and half a second passes until they read it.
    assert!(stalled["latency"]["max_us"].as_f64() > Some(400_000.0), "{stalled}");
    assert_eq!((&side["incomplete_steps"], &side["gaps_told"]), (&0.into(), &0.into()));
}

#[test]
fn an_event_that_only_stalled_sockets_miss_is_found() {
    // Socket 3 is the first of every four.
    let output = loadgen(serve(Fault::Lose), "--sockets 20 --events 60 --interval 10ms --stalled 5 --stall 300ms");
    assert_code(&output, 3);
    assert!(said(&output).contains("1 deliveries lost"), "{}", said(&output));
}

#[test]
fn a_server_that_does_not_let_go_of_who_said_goodbye_is_found() {
    // This one never reads what its sockets say.
    let output = loadgen(serve(Fault::None), "--sockets 20 --events 60 --interval 20ms --churn 25%/s --json -");
    assert_code(&output, 3);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (side, churned) = (&report["sides"][0], &report["sides"][0]["churned"]);
    assert_eq!((&churned["sockets"], &churned["reconnects"]), (&10.into(), &0.into()));
    assert!(churned["never_back"].as_u64() > Some(0), "{churned}");
    assert_eq!((&side["latency"]["count"], &side["lost"]), (&(10 * 60).into(), &0.into()));
    assert!(said(&output).contains("sockets that left never back"), "{}", said(&output));
}

#[test]
fn a_gap_that_is_told_is_counted_and_its_events_are_still_lost() {
    let output = loadgen(serve(Fault::Gap), "--sockets 10 --events 8 --json -");
    assert_code(&output, 3);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let side = &report["sides"][0];
    assert_eq!((&side["gaps_told"], &side["gap_numbers"], &side["lost"]), (&1.into(), &1.into(), &1.into()));
}

#[test]
fn a_pair_gives_the_ratio_of_server_to_floor() {
    let output = loadgen(serve(Fault::None), "--sockets 30 --events 10 --rounds 3 --vs floor --json -");
    assert_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["sides"][1]["name"], "floor");
    assert_eq!(report["sides"][1]["latency"]["count"], 12 * 30);
    assert_eq!(report["pairs"][0]["versus"], "floor");
    let ratio = &report["pairs"][0]["full_fanout"];
    assert!(ratio["min"].as_f64() > Some(0.0) && ratio["min"].as_f64() <= ratio["median"].as_f64(), "{ratio}");
    assert!(said(&output).contains("server ÷ floor"));
}

#[test]
fn several_rivals_take_turns_and_each_is_checked() {
    let (good, lossy) = (serve(Fault::None), serve(Fault::Lose));
    let rival = |name: &str, port: u16| format!("--vs {name}=ws://127.0.0.1:{port}/ws");
    let line = format!("--sockets 12 --events 8 --rounds 2 {} --vs floor --json -", rival("twin", good));
    let output = loadgen(serve(Fault::None), &line);
    assert_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let versus: Vec<_> = report["pairs"].as_array().unwrap().iter().map(|pair| pair["versus"].clone()).collect();
    assert_eq!(versus, ["twin", "floor"]);
    for side in 0..3 {
        assert_eq!(report["sides"][side]["latency"]["count"], 8 * 12, "side {side}");
    }
    let output = loadgen(serve(Fault::None), &format!("--sockets 12 --events 8 {}", rival("lossy", lossy)));
    assert_code(&output, 3);
    assert!(said(&output).contains("lossy: 1 deliveries lost"), "{}", said(&output));
    let twice = format!("--sockets 12 {} {}", rival("twin", good), rival("twin", lossy));
    assert_code(&loadgen(good, &twice), 2);
}

#[test]
fn what_a_server_does_wrong_is_counted_and_exits_with_3() {
    for (fault, words) in [
        (Fault::Lose, "1 deliveries lost"),
        (Fault::Repeat, "1 duplicated"),
        (Fault::RepeatLate, "1 duplicated"),
        (Fault::Swap, "1 reordered"),
        (Fault::Damage, "1 damaged"),
        (Fault::Close, "1 sockets ended early"),
    ] {
        let output = loadgen(serve(fault), "--sockets 10 --events 8");
        assert_code(&output, 3);
        assert!(said(&output).contains(words), "{}", said(&output));
    }
}

#[test]
fn an_assertion_that_does_not_hold_is_one_line_and_exits_with_3() {
    let output = loadgen(serve(Fault::None), "--sockets 10 --events 8 --assert 'p50<9m' --assert lost=0");
    assert_code(&output, 2);
    let output = loadgen(serve(Fault::None), "--sockets 10 --events 8 --assert 'p50<9s' --assert lost=0");
    assert_code(&output, 0);
    let line = "--sockets 10 --events 9 --rounds 3 --vs floor --assert 'p50<1us' --assert 'ratio.floor.p50<0.001' --assert lost=0";
    let output = loadgen(serve(Fault::None), line);
    assert_code(&output, 3);
    let told = said(&output);
    let last = told.lines().last().unwrap();
    assert!(last.contains("p50 < 1.0 µs was asked") && last.contains("ratio.floor.p50 < 0.001"), "{told}");
    for wrong in ["ratio.floor.p50<1.1", "memory<1GiB", "speed<1"] {
        let output = loadgen(serve(Fault::None), &format!("--sockets 10 --assert '{wrong}'"));
        assert_code(&output, 2);
        assert!(said(&output).contains("--assert"), "{}", said(&output));
    }
}

#[test]
fn a_run_is_held_against_an_earlier_one() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("fanout-baseline.json");
    let load = "--sockets 10 --events 9 --rounds 3 --vs floor";
    assert_code(&loadgen(serve(Fault::None), &format!("{load} --json {}", path.display())), 0);
    let against = |more: &str| loadgen(serve(Fault::None), &format!("{load} --baseline {} {more}", path.display()));
    assert_code(&against("--max-regression 1000%"), 0);
    let mut report: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    report["pairs"][0]["p50"]["median"] = 1e-6.into();
    std::fs::write(&path, report.to_string()).unwrap();
    let output = against("--max-regression 1000%");
    assert_code(&output, 3);
    assert!(said(&output).contains("above the baseline's"), "{}", said(&output));
    let output = against("--payload 300");
    assert_code(&output, 2);
    assert!(said(&output).contains("bytes of an event"), "{}", said(&output));
}

#[test]
fn a_run_leaves_a_page_and_percentile_files_of_each_side() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("fanout-files");
    std::fs::create_dir_all(&dir).unwrap();
    let at = |name: &str| dir.join(name).display().to_string();
    let line = format!("--sockets 10 --events 9 --vs floor --report {} --hgrm {}", at("run.html"), at("run.hgrm"));
    assert_code(&loadgen(serve(Fault::None), &line), 0);
    let page = std::fs::read_to_string(at("run.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>") && page.contains("floor"), "{page}");
    for file in ["run.hgrm", "run.floor.hgrm"] {
        let percentiles = std::fs::read_to_string(at(file)).unwrap();
        assert!(percentiles.contains("Total count    =          100]"), "{percentiles}");
    }
    let output = loadgen(serve(Fault::None), "--sockets 10 --events 3 --report /nowhere/run.html");
    assert_code(&output, 1);
    assert!(said(&output).contains("/nowhere/run.html"), "{}", said(&output));
}

#[test]
fn a_refusal_is_told_with_status_and_body_and_exits_with_1() {
    let output = loadgen(serve(Fault::Refuse), "--sockets 10");
    assert_code(&output, 1);
    assert!(said(&output).contains("401 Unauthorized: {\"success\":false}"), "{}", said(&output));
    let output = loadgen(serve(Fault::RefusePublish), "--sockets 10 --events 3");
    assert_code(&output, 1);
    assert!(said(&output).contains("403 Forbidden: no right"), "{}", said(&output));
}

#[test]
fn nobody_there_and_wrong_words_have_their_own_exit_codes() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = loadgen(nobody, "--sockets 1");
    assert_code(&output, 1);
    assert!(said(&output).contains("refused"), "{}", said(&output));
    for wrong in ["--sockets 0", "--payload 10", "--burst 5", "--publish http://192.0.2.1/", "--nonsense"] {
        assert_code(&loadgen(nobody, wrong), 2);
    }
}

#[test]
fn ctrl_c_ends_a_run_and_gives_what_whole_rounds_there_were() {
    let port = serve(Fault::None);
    let child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["fanout", "--url", &format!("ws://127.0.0.1:{port}/ws"), "--sockets", "5", "--events", "4"])
        .args(["--rounds", "2", "--interval", "400ms", "--settle", "10ms"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_code(&output, 1);
    assert!(said(&output).contains("interrupted"), "{}", said(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("full fan-out"));
}
