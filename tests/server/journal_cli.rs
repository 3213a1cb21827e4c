//! `stentor journal`, `backup` and `restore`, on journals that are made here.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use futures_lite::future::block_on;
use serde_json::{Value, json};
use stentor::event::{Event, EventParser};
use stentor::hub::{EncodedBatch, Origin};
use stentor::journal::disk::BlockingDisk;
use stentor::journal::lease::{self, Lease};
use stentor::journal::record;
use stentor::journal::segment::{self, SegmentHeader};

use crate::data_dir::DataDir;
use crate::process::{STENTOR, Server};

const UNIX_MS: u64 = 1_800_000_000_123;

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}

fn event(body: &str) -> Event {
    EventParser::new().parse(body.as_bytes(), 1, None).expect("a sound event")
}

/// A request of one event.
fn request(seq: u64, body: &str) -> Vec<u8> {
    let batch = EncodedBatch::encode(vec![event(body)], seq, 0, Origin { publisher: 7, unix_ms: UNIX_MS });
    let mut bytes = Vec::new();
    record::append(&batch, seq - 1, &mut bytes);
    bytes
}

fn alert(seq: u64) -> Vec<u8> {
    request(seq, &format!(r#"{{"type":"alert","data":{{"n":{seq}}}}}"#))
}

fn path(data_dir: &Path, first_seq: u64) -> PathBuf {
    data_dir.join("journal").join(segment::name(first_seq))
}

/// Writes a segment of the alerts with these numbers; returns where each of their records begins, and the end.
fn write_segment(data_dir: &Path, follows: u64, numbers: std::ops::Range<u64>) -> Vec<usize> {
    fs::create_dir_all(data_dir.join("journal")).expect("a directory");
    let header = SegmentHeader { first_seq: numbers.start, follows, created_unix_ms: UNIX_MS };
    let (mut bytes, mut ends) = (header.to_block(), Vec::new());
    let first_seq = numbers.start;
    for seq in numbers {
        ends.push(bytes.len());
        bytes.extend(alert(seq));
    }
    ends.push(bytes.len());
    fs::write(path(data_dir, first_seq), bytes).expect("written");
    ends
}

fn write_lease(data_dir: &Path, lease: Lease) {
    block_on(lease::write(&BlockingDisk::new(data_dir.join("journal")), lease)).expect("written");
}

/// Changes a byte of a segment.
fn damage(data_dir: &Path, first_seq: u64, at: usize) {
    let mut bytes = fs::read(path(data_dir, first_seq)).expect("there");
    bytes[at] ^= 1;
    fs::write(path(data_dir, first_seq), bytes).expect("written");
}

/// 1 to 9 and 10 to 14 in segments, 100 to 102 after a crash.
fn journal() -> (DataDir, Vec<usize>) {
    let data_dir = DataDir::new();
    let ends = write_segment(data_dir.path(), 1, 1..10);
    write_segment(data_dir.path(), 10, 10..15);
    write_segment(data_dir.path(), 15, 100..103);
    write_lease(data_dir.path(), Lease { through: 5_000, clean: None });
    (data_dir, ends)
}

/// The numbers of the lines that were printed.
fn numbers(output: &Output) -> Vec<u64> {
    let number = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_u64().expect("a number");
    stdout(output).lines().map(number).collect()
}

#[test]
fn verify_counts_what_is_there_in_one_line() {
    let (data_dir, _) = journal();
    let bytes: u64 =
        [1, 10, 100].map(|first| fs::metadata(path(data_dir.path(), first)).expect("there").len()).iter().sum();
    let output = data_dir.run(&["journal", "verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("segments=3 events=17 first=1 last=102 bytes={bytes} holes=1 faults=0\n"));
    let output = DataDir::new().run(&["journal", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("there is no journal in"), "{}", stderr(&output));
}

#[test]
fn verify_names_each_fault_and_takes_a_torn_tail_for_none() {
    let (data_dir, ends) = journal();
    let mut last = OpenOptions::new().append(true).open(path(data_dir.path(), 100)).expect("there");
    last.write_all(&alert(103)[..50]).expect("written");
    let output = data_dir.run(&["journal", "verify"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("bytes are not whole"), "{}", stderr(&output));
    damage(data_dir.path(), 1, ends[2] + 30);
    damage(data_dir.path(), 1, ends[6] + 30);
    let output = data_dir.run(&["journal", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("events=15 ") && stdout(&output).contains("faults=2"), "{}", stdout(&output));
    for part in [&format!("byte {}", ends[2]), "event 3 ", "event 7 ", "2 faults"] {
        assert!(stderr(&output).contains(part), "{part}: {}", stderr(&output));
    }
}

#[test]
fn repair_says_what_is_lost_and_acts_only_when_told_to() {
    let (data_dir, ends) = journal();
    damage(data_dir.path(), 1, ends[2] + 30);
    damage(data_dir.path(), 1, ends[8] + 30);
    let before = fs::read(path(data_dir.path(), 1)).expect("there");
    let output = data_dir.run(&["journal", "repair"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), "lost 3 3\nlost 9 9\n"), "{}", stderr(&output));
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
    assert_eq!(fs::read(path(data_dir.path(), 1)).expect("there"), before);

    let output = data_dir.run(&["journal", "repair", "--yes"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), "lost 3 3\nlost 9 9\n"), "{}", stderr(&output));
    let kept = data_dir.path().join("journal/damaged").join(segment::name(1));
    assert_eq!(fs::read(kept).expect("it is kept"), before);
    assert_eq!(data_dir.run(&["journal", "verify"]).status.code(), Some(0));
    let output = data_dir.run(&["journal", "dump"]);
    assert_eq!(numbers(&output), (1..3).chain(4..9).chain(10..15).chain(100..103).collect::<Vec<_>>());
    for gap in ["gap from 3 to 3: crash", "gap from 9 to 9: crash", "gap from 15 to 99: crash"] {
        assert!(stderr(&output).contains(gap), "{gap}: {}", stderr(&output));
    }
    let output = data_dir.run(&["journal", "repair", "--yes"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(0), ""), "{}", stderr(&output));
}

#[test]
fn repair_does_nothing_beside_a_running_server() {
    let server = Server::start();
    fs::create_dir_all(server.data_dir.path().join("journal")).expect("a directory");
    let output = server.data_dir.run(&["journal", "repair", "--yes"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another Stentor runs"), "{}", stderr(&output));
}

#[test]
fn dump_prints_what_was_published_and_by_whom() {
    let data_dir = DataDir::new();
    write_segment(data_dir.path(), 1, 1..3);
    let body = r#"{"type":"tick","topic":"market:BTC_USD","data":{"price":1},"key":"k","id":"\"i\"","channel":"c"}"#;
    let mut file = OpenOptions::new().append(true).open(path(data_dir.path(), 1)).expect("there");
    file.write_all(&request(3, body)).expect("written");
    file.write_all(&alert(4)).expect("written");
    let dump = |more: &[&str]| {
        let output = data_dir.run(&[&["journal", "dump"], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        output
    };
    assert_eq!(
        stdout(&dump(&["--topic", "market:BTC_USD"])),
        "{\"seq\":3,\"time\":\"2027-01-15T08:00:00.123Z\",\"topic\":\"market:BTC_USD\",\"type\":\"tick\",\"channel\":\"c\",\
         \"key\":\"k\",\"id\":\"\\\"i\\\"\",\"publisher\":7,\"data\":{\"price\":1}}\n"
    );
    assert_eq!(numbers(&dump(&[])), [1, 2, 3, 4]);
    assert_eq!(numbers(&dump(&["--since", "2"])), [3, 4]);
    assert_eq!(numbers(&dump(&["--since", "1", "--limit", "2"])), [2, 3]);
    assert_eq!(numbers(&dump(&["--topic", "alerts", "--limit", "3"])), [1, 2, 4]);
    assert_eq!(numbers(&dump(&["--since", "4"])), [] as [u64; 0]);
    assert_eq!(data_dir.run(&["journal", "dump", "--topic", "nonsense"]).status.code(), Some(2));
}

#[test]
fn dump_tells_damage_after_all_that_is_sound() {
    let (data_dir, ends) = journal();
    damage(data_dir.path(), 1, ends[4] + 30);
    let output = data_dir.run(&["journal", "dump", "--since", "1"]);
    assert_eq!((output.status.code(), numbers(&output)), (Some(1), vec![2, 3, 4]));
    assert!(stderr(&output).contains(&format!("byte {}", ends[4])), "{}", stderr(&output));
}

fn spawn(data_dir: &DataDir, arguments: &[&str]) -> std::process::Child {
    let mut command = Command::new(STENTOR);
    command.arg("--data-dir").arg(data_dir.path()).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

#[test]
fn a_closed_pipe_ends_dump_quietly() {
    let data_dir = DataDir::new();
    // Far more than a pipe holds.
    write_segment(data_dir.path(), 1, 1..20_000);
    let mut child = spawn(&data_dir, &["journal", "dump"]);
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    assert!(line.starts_with(r#"{"seq":1,"#), "{line}");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
}

#[test]
fn tail_follows_what_is_written_from_segment_to_segment() {
    let data_dir = DataDir::new();
    write_segment(data_dir.path(), 1, 1..4);
    let mut child = spawn(&data_dir, &["journal", "tail", "--since", "2"]);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || {
        let line = lines.next().expect("it goes on").expect("a line");
        serde_json::from_str::<Value>(&line).expect("JSON")["seq"].as_u64().expect("a number")
    };
    assert_eq!(next(), 3);
    let mut file = OpenOptions::new().append(true).open(path(data_dir.path(), 1)).expect("there");
    file.write_all(&alert(4)).expect("written");
    assert_eq!(next(), 4);
    file.write_all(&alert(5)).expect("written");
    write_segment(data_dir.path(), 6, 6..8);
    assert_eq!([next(), next(), next()], [5, 6, 7]);
    child.kill().expect("our own child");
    child.wait().expect("it ends");
}

#[test]
fn a_backup_of_a_running_server_is_restored_as_it_was() {
    let server = Server::start();
    let data_dir = &server.data_dir;
    data_dir.value(&["token", "mint", "--user", "u1"]);
    let alerts: Vec<_> = (1..=11).map(|n| json!({ "type": "alert", "data": { "n": n } })).collect();
    assert_eq!(server.publish(&alerts), (1, 11));
    let place = tempfile::tempdir().expect("a directory");
    let (backup, restored) = (place.path().join("backup"), place.path().join("restored"));
    let [backup_text, restored_text] = [&backup, &restored].map(|path| path.to_str().expect("UTF-8").to_owned());
    data_dir.value(&["backup", &backup_text]);
    data_dir.account("later", "free");
    let output = data_dir.run(&["backup", &backup_text]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("is not empty"), "{}", stderr(&output));

    let run = |arguments: &[&str]| {
        let command = [&["--data-dir", &restored_text], arguments].concat();
        Command::new(STENTOR).args(command).output().expect("the binary starts")
    };
    let output = run(&["restore", &backup_text]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("events=11 first=1 last=11"), "{}", stderr(&output));
    let mut files = Vec::new();
    for directory in [&restored, &restored.join("journal")] {
        for entry in fs::read_dir(directory).expect("there") {
            let entry = entry.expect("an entry");
            let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
            files.push((entry.file_name().into_string().expect("UTF-8"), mode));
        }
    }
    files.sort();
    let expected = [
        (segment::name(1), 0o600),
        ("accounts.db".to_owned(), 0o600),
        ("journal".to_owned(), 0o700),
        ("jwt-secret".to_owned(), 0o600),
        ("lease".to_owned(), 0o600),
        ("webhooks.db".to_owned(), 0o600),
    ];
    assert_eq!(files, expected);
    for file in ["jwt-secret", "journal/lease"] {
        assert_eq!(fs::read(restored.join(file)).expect("there"), fs::read(data_dir.path().join(file)).expect("there"));
    }
    let accounts = run(&["account", "list"]);
    assert!(stdout(&accounts).contains("watcher") && !stdout(&accounts).contains("later"), "{}", stdout(&accounts));
    let log = run(&["audit", "--json", "--action", "backup.restore"]);
    let log = stdout(&log);
    let entry: Value = serde_json::from_str(log).unwrap_or_else(|error| panic!("{error}: {log}"));
    assert_eq!(entry["target"], backup_text);
    assert!(entry["actor"].as_str().is_some_and(|actor| actor.starts_with("cli by ")), "{entry}");
    assert!(entry["detail"]["created"].is_string() && entry["detail"]["bytes"].as_u64() > Some(0), "{entry}");
    assert_eq!(run(&["journal", "verify"]).status.code(), Some(0));
    let output = run(&["restore", &backup_text]);
    assert!(output.status.code() == Some(1) && stderr(&output).contains("is not empty"), "{}", stderr(&output));
}

/// A server writes records into room that it took before, and may be in the middle of one.
#[test]
fn of_the_newest_segment_a_backup_has_every_whole_record_and_nothing_behind_them() {
    let data_dir = DataDir::new();
    write_segment(data_dir.path(), 1, 1..10);
    let ends = write_segment(data_dir.path(), 10, 10..15);
    write_lease(data_dir.path(), Lease { through: 5_000, clean: None });
    let room = [0; 3_000];
    // What an earlier server left behind the end is not looked at, as nobody writes it.
    let full = [fs::read(path(data_dir.path(), 1)).expect("there"), room.to_vec()].concat();
    fs::write(path(data_dir.path(), 1), &full).expect("written");
    let whole = fs::read(path(data_dir.path(), 10)).expect("there");
    let (last, end) = (ends[4], ends[5]);
    let place = tempfile::tempdir().expect("a directory");
    for (nth, (growing, kept)) in [
        (whole.clone(), end),
        ([&whole[..], &room].concat(), end),
        (whole[..end - 8].to_vec(), last),
        (whole[..last + 5].to_vec(), last),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(path(data_dir.path(), 10), growing).expect("written");
        let (backup, restored) = (place.path().join(format!("backup-{nth}")), place.path().join(format!("{nth}")));
        let [backup_text, restored_text] = [&backup, &restored].map(|path| path.to_str().expect("UTF-8").to_owned());
        data_dir.value(&["backup", &backup_text]);
        assert_eq!(fs::read(path(&backup, 1)).expect("there"), full);
        let copied = fs::read(path(&backup, 10)).expect("there");
        assert!(copied == whole[..kept], "{nth}: {} bytes of {kept}", copied.len());
        let run = |arguments: &[&str]| {
            let command = [&["--data-dir", &restored_text], arguments].concat();
            let output = Command::new(STENTOR).args(command).output().expect("the binary starts");
            assert_eq!(output.status.code(), Some(0), "{nth}: {}", stderr(&output));
            output
        };
        run(&["restore", &backup_text]);
        run(&["journal", "verify"]);
        let events = if kept == end { 1..15 } else { 1..14 };
        assert_eq!(numbers(&run(&["journal", "dump"])), events.collect::<Vec<_>>());
    }
}

#[test]
fn a_backup_of_a_journal_that_grows_has_all_that_was_kept_before_it_began() {
    let server = Server::start();
    let place = tempfile::tempdir().expect("a directory");
    let pad = "x".repeat(20_000);
    let events: Vec<_> = (0..20).map(|n| json!({ "type": "alert", "data": { "n": n, "pad": pad } })).collect();
    let (kept, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                kept.store(server.publish(&events).1, Ordering::Relaxed);
            }
        });
        let backups = panic::catch_unwind(AssertUnwindSafe(|| {
            for nth in 0..5 {
                let (backup, restored) =
                    (place.path().join(format!("backup-{nth}")), place.path().join(nth.to_string()));
                let [backup, restored] = [&backup, &restored].map(|path| path.to_str().expect("UTF-8"));
                let before = kept.load(Ordering::Relaxed);
                server.data_dir.value(&["backup", backup]);
                let restore = ["--data-dir", restored, "restore", backup];
                let output = Command::new(STENTOR).args(restore).output().expect("the binary starts");
                assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
                let last = stderr(&output).split_once(" last=").expect("a count").1;
                let last: u64 = last.split_whitespace().next().expect("a number").parse().expect("a number");
                assert!(last >= before, "{last} of {before}");
            }
        }));
        // The publisher ends also where this is no success.
        ended.store(true, Ordering::Relaxed);
        backups.unwrap_or_else(|failure| panic::resume_unwind(failure));
    });
}

#[test]
fn a_backup_that_was_changed_is_not_restored() {
    let (data_dir, ends) = journal();
    data_dir.account("alice", "free");
    let place = tempfile::tempdir().expect("a directory");
    let backup = place.path().join("backup");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    data_dir.value(&["backup", &text(&backup)]);
    let refused = |told: &str| {
        let target = place.path().join("restored");
        let arguments = ["--data-dir".to_owned(), text(&target), "restore".to_owned(), text(&backup)];
        let output = Command::new(STENTOR).args(arguments).output().expect("the binary starts");
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
        assert!(!target.exists(), "nothing is made of it");
    };
    damage(&backup, 1, ends[2] + 30);
    refused("its length or its checksum differs");
    damage(&backup, 1, ends[2] + 30);
    fs::remove_file(backup.join("journal/lease")).expect("there");
    refused("journal/lease");
    let manifest = fs::read_to_string(backup.join("manifest.json")).expect("there");
    fs::write(backup.join("manifest.json"), manifest.replace("journal/lease", "../elsewhere")).expect("written");
    refused("../elsewhere");
    fs::remove_file(backup.join("manifest.json")).expect("there");
    refused("was not finished");
}

/// What was damaged before it was copied has the right checksums in the manifest.
#[test]
fn a_backup_of_a_damaged_journal_is_not_restored() {
    let (data_dir, ends) = journal();
    damage(data_dir.path(), 1, ends[2] + 30);
    let place = tempfile::tempdir().expect("a directory");
    let backup = place.path().join("backup").to_str().expect("UTF-8").to_owned();
    data_dir.value(&["backup", &backup]);
    let target = place.path().join("restored").to_str().expect("UTF-8").to_owned();
    let output = Command::new(STENTOR).args(["--data-dir", &target, "restore", &backup]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("journal is damaged") && stderr(&output).contains("event 3 "),
        "{}",
        stderr(&output)
    );
}
