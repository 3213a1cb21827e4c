//! `loadgen publish` against a small server that can be told to misnumber.

mod http;
mod outcome;

use std::io::{BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

use http::{header, ok, read_head};
use outcome::{assert_code, said};

/// Answers every request; `number` makes the first and the last number from those before and the events of the request.
fn serve(number: fn(u64, u64) -> (u64, u64)) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut last = 0;
        while let Some(head) = read_head(&mut stream) {
            let mut body = vec![0; header(&head, "Content-Length").unwrap().parse().unwrap()];
            stream.read_exact(&mut body).unwrap();
            let events = std::str::from_utf8(&body).unwrap().lines().count() as u64;
            let (first_seq, last_seq) = number(last, events);
            last = last_seq;
            let answer = format!(r#"{{"accepted":{events},"first_seq":{first_seq},"last_seq":{last_seq}}}"#);
            if stream.get_mut().write_all(ok(&answer).as_bytes()).is_err() {
                return;
            }
        }
    });
    port
}

fn publish(port: u16, more: &str) -> Output {
    let line = format!("publish --url http://127.0.0.1:{port} --events 950 --batch 100 --singles 40 --rounds 2 {more}");
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(line.split_whitespace()).output().unwrap()
}

#[test]
fn batches_and_single_events_are_counted_and_timed_beside_the_floor() {
    let dir = env!("CARGO_TARGET_TMPDIR");
    let output = publish(serve(|last, events| (last + 1, last + events)), &format!("--floor-dir {dir} --json -"));
    assert_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["batches"]["events"], &report["batches"]["answered"]["count"]), (&1000.into(), &10.into()));
    assert_eq!((&report["singles"]["count"], &report["floor"]["took"]["count"]), (&40.into(), &40.into()));
    assert!(report["batches"]["events_per_second"].as_f64() > Some(0.0));
    assert!(report["floor"]["p50_ratio"]["median"].as_f64() > Some(0.0));
    assert!(said(&output).contains("single ÷ write + fdatasync"), "{}", said(&output));
}

#[test]
fn a_rate_is_kept() {
    let output = publish(serve(|last, events| (last + 1, last + events)), "--rate 5000 --json -");
    assert_code(&output, 0);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report["batches"]["seconds"].as_f64() >= Some(0.18), "ten batches of 100 take nine intervals of 20 ms");
    assert!(report["floor"].is_null(), "nobody said where");
}

#[test]
fn numbers_that_come_twice_or_with_holes_fail_the_run() {
    let output = publish(serve(|_, events| (1, events)), "");
    assert_code(&output, 1);
    assert!(said(&output).contains("not later than"), "{}", said(&output));
    let output = publish(serve(|last, events| (last + 1, last + events + 1)), "");
    assert_code(&output, 1);
    assert!(said(&output).contains("do not follow one another"), "{}", said(&output));
}
