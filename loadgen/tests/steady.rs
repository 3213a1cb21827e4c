//! `loadgen search` and `loadgen soak` against Stentor itself.

mod outcome;
mod place;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use outcome::{assert_code, said};
use place::{Place, Server};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const OWNER: &str = "SteadyWa11et";

/// A server with a subscriber who watches [`OWNER`], and a publisher.
struct Stage {
    place: Place,
    server: Server,
    subscriber: String,
    publisher: String,
}

impl Stage {
    fn new() -> Self {
        let place = Place::new();
        place.run("account create subscriber --tier elite");
        place.run("account create publisher --tier free");
        let subscriber = place.run("key create subscriber");
        let publisher = place.run("key create publisher --role publisher");
        let server = place.serve();
        place.call("PUT", "/api/watchlist", &subscriber, &format!(r#"{{"owners":["{OWNER}"]}}"#));
        Self { place, server, subscriber, publisher }
    }

    fn start(&self, line: &str) -> Child {
        let (command, options) = line.split_once(' ').unwrap();
        let port = self.place.port;
        Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args([command, "--host", &format!("127.0.0.1:{port}"), "--owner", OWNER])
            .args(["--key", &self.subscriber, "--publish-key", &self.publisher, "--json", "-"])
            .args(options.split(' '))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn loadgen(&self, line: &str) -> Output {
        self.start(line).wait_with_output().unwrap()
    }

    /// Publishes a trade that looks like event `index` of a run of loadgen.
    fn publish(&self, index: u32) {
        let event = format!(
            r#"{{"type":"trade.open","data":{{"n":{index},"owner":"{OWNER}","marketSymbol":"SOL-PERP","side":"long","sizeUsd":1,"leverage":5.2,"entryPrice":185.42,"timestamp":"2025-01-15T10:30:00Z"}}}}"#
        );
        self.place.call("POST", "/api/events", &self.publisher, &event);
    }

    fn csv(&self) -> PathBuf {
        self.place.data.join("soak.csv")
    }

    /// A soak whose figures may do what they want, but for what `more` says; without a bound on the descriptors' number.
    fn soak(&self, more: &str) -> String {
        let csv = self.csv();
        format!(
            "soak --sockets 20 --rate 50 --sample 200ms --drain 1s --server-pid {} --max-rss-growth 1000% --max-p99-growth 1000% \
             --csv {} {more}",
            self.server.pid(),
            csv.display()
        )
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)))
}

/// Waits until a soak has written so many samples.
fn wait_for_samples(csv: &Path, count: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while std::fs::read_to_string(csv).unwrap_or_default().lines().count() < count + 1 {
        assert!(Instant::now() < deadline, "{count} samples in {}", csv.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_soak_of_a_faithful_server_tells_every_sample_and_holds() {
    let stage = Stage::new();
    let output = stage.loadgen(&stage.soak("--for 3s --threads 2 --max-descriptor-growth 100"));
    assert_code(&output, 0);
    let report = json(&output);
    assert_eq!((&report["events"], &report["latency"]["count"]), (&150.into(), &3000.into()));
    assert_eq!(report["faults"]["lost"].as_u64(), Some(0));
    let samples = report["samples"].as_array().unwrap();
    assert!(samples.len() >= 2, "a machine that is busy elsewhere has fewer than 15: {}", samples.len());
    for sample in samples {
        assert_eq!(sample["sockets_alive"], 20, "{sample}");
        assert!(
            sample["server"]["rss_bytes"].as_u64() > Some(1 << 20)
                && sample["server"]["descriptors"].as_u64() > Some(3)
        );
        assert!(sample["loadgen_rss_bytes"].as_u64() > Some(1 << 20), "{sample}");
    }
    let followed: Vec<&str> =
        report["drifts"].as_array().unwrap().iter().map(|drift| drift["figure"].as_str().unwrap()).collect();
    assert!(followed.starts_with(&["rss_bytes", "anonymous_bytes", "descriptors", "p50_us", "p99_us"]), "{followed:?}");
    let csv = std::fs::read_to_string(stage.csv()).unwrap();
    assert_eq!(csv.lines().count(), samples.len() + 1);
    // A plain line for each, since this is no terminal.
    assert_eq!(said(&output).matches("20 sockets, server").count(), samples.len(), "{}", said(&output));
}

#[test]
fn a_soak_finds_what_comes_twice_and_what_never_comes() {
    let stage = Stage::new();
    let soak = stage.start(&stage.soak("--for 6s --max-descriptor-growth 100"));
    wait_for_samples(&stage.csv(), 3);
    stage.publish(2);
    // The last one's index comes early: from here to there all seem skipped, and then come late.
    stage.publish(299);
    let output = soak.wait_with_output().unwrap();
    assert_code(&output, 3);
    let faults = &json(&output)["faults"];
    // Event 2 came again to all, and so did the true event 299.
    assert_eq!((&faults["duplicated"], &faults["lost"]), (&40.into(), &0.into()), "{faults}");
    assert!(faults["reordered"].as_u64() > Some(20), "{faults}");
    assert!(faults["damaged"].as_u64() >= Some(20), "the copies differ: {faults}");
    assert!(said(&output).contains("40 duplicated"), "{}", said(&output));
}

#[test]
fn descriptors_that_the_server_keeps_break_a_soak() {
    let stage = Stage::new();
    let soak = stage.start(&stage.soak("--for 4s"));
    wait_for_samples(&stage.csv(), 4);
    let kept: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(("127.0.0.1", stage.place.port)).unwrap()).collect();
    let output = soak.wait_with_output().unwrap();
    drop(kept);
    assert_code(&output, 3);
    assert!(said(&output).contains("server descriptors went from"), "{}", said(&output));
    let report = json(&output);
    let descriptors =
        report["drifts"].as_array().unwrap().iter().find(|drift| drift["figure"] == "descriptors").unwrap();
    assert_eq!(descriptors["holds"], false);
    assert!(descriptors["per_hour"].as_f64() > Some(0.0), "{descriptors}");
}

#[test]
fn a_soak_that_is_interrupted_tells_what_it_knows_and_calls_nothing_lost() {
    let stage = Stage::new();
    let soak = stage.start(&stage.soak("--for 1h --max-descriptor-growth 100"));
    wait_for_samples(&stage.csv(), 4);
    kill_process(Pid::from_child(&soak), Signal::INT).unwrap();
    let output = soak.wait_with_output().unwrap();
    assert_code(&output, 1);
    let report = json(&output);
    assert!(report["stopped_by"].as_str().unwrap().contains("interrupted"), "{}", report["stopped_by"]);
    let events = report["events"].as_u64().unwrap();
    assert_eq!((report["latency"]["count"].as_u64(), report["faults"]["lost"].as_u64()), (Some(events * 20), Some(0)));
    assert!(events >= 10, "{events}");
}

#[test]
fn a_soak_whose_server_dies_tells_until_when_it_lived() {
    let stage = Stage::new();
    let soak = stage.start(&stage.soak("--for 1h"));
    wait_for_samples(&stage.csv(), 4);
    let Stage { server, .. } = &stage;
    kill_process(Pid::from_raw(server.pid() as i32).unwrap(), Signal::KILL).unwrap();
    let output = soak.wait_with_output().unwrap();
    assert_code(&output, 1);
    let report = json(&output);
    assert!(report["stopped_by"].is_string() && report["samples"].as_array().unwrap().len() >= 4);
    assert_eq!(report["ended"], 20);
}

#[test]
fn a_search_says_that_the_highest_rate_holds_and_confirms_it() {
    let stage = Stage::new();
    let output = stage.loadgen("search --sockets 20 --assert p99<60s --min-rate 5 --max-rate 40 --for 1s");
    assert_code(&output, 0);
    let report = json(&output);
    assert_eq!((&report["holds_events_per_second"], &report["confirmed"]), (&40.0.into(), &true.into()));
    assert!(report["fails_events_per_second"].is_null());
    let purposes: Vec<&Value> = report["probes"].as_array().unwrap().iter().map(|probe| &probe["purpose"]).collect();
    assert_eq!(purposes, ["search", "search", "confirm"]);
    assert_eq!(report["probes"][2]["figures"]["events"], 80, "a second to warm up, and one that is timed");
    assert!(said(&output).contains("holds at least up to 40.0 events a second (confirmed"), "{}", said(&output));
}

#[test]
fn a_search_where_the_lowest_rate_fails_says_so_after_a_second_look() {
    let stage = Stage::new();
    let output = stage.loadgen("search --sockets 20 --assert p50<1us --min-rate 5 --max-rate 40 --for 1s");
    assert_code(&output, 3);
    assert!(said(&output).contains("even the lowest rate, 5.00/s, fails: p50 is"), "{}", said(&output));
    let report = json(&output);
    assert_eq!(report["probes"].as_array().unwrap().len(), 2);
    assert!(report["holds_events_per_second"].is_null());
}

#[test]
fn a_search_that_is_interrupted_tells_what_it_knows() {
    let stage = Stage::new();
    let mut search = stage.start("search --sockets 20 --assert p99<60s --min-rate 5 --max-rate 40 --for 3s");
    let mut told = std::io::BufReader::new(search.stderr.take().unwrap());
    let mut text = String::new();
    while !text.contains("rate 5.00/s: p99") {
        assert!(std::io::BufRead::read_line(&mut told, &mut text).unwrap() > 0, "{text}");
    }
    kill_process(Pid::from_child(&search), Signal::INT).unwrap();
    std::io::Read::read_to_string(&mut told, &mut text).unwrap();
    let output = search.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["holds_events_per_second"], &report["confirmed"]), (&5.0.into(), &Value::Null));
    assert!(text.contains("not confirmed") && text.contains("interrupted"), "{text}");
}

#[test]
fn a_search_with_a_wrong_key_fails_at_once() {
    let stage = Stage::new();
    let line = "search --sockets 2 --assert p99<60s --for 1s --min-rate 5".to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(line.split(' '))
        .args(["--host", &format!("127.0.0.1:{}", stage.place.port), "--key", "wrong", "--publish-key", "wrong"])
        .output()
        .unwrap();
    assert_code(&output, 1);
    assert!(said(&output).contains("401"), "{}", said(&output));
}
