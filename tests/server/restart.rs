//! A server that was stopped, killed or damaged and started again: numbers go on, what was acknowledged is there, and what is
//! not is told.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use stentor::journal::segment;
use stentor::ws::CloseCode;

use crate::data_dir::DataDir;
use crate::http::Request;
use crate::process::{OWNER, STENTOR, Server};
use crate::resume::{DOORS, Keys, event, expected, numbers_to};
use crate::socket::Socket;
use crate::start::{assert_one_sentence, serve};
use crate::trade::{numbered, padded};
use crate::wait::{SOON, until};

/// The smallest segments, so that a few megabytes are many.
const SMALL_SEGMENTS: &str = "[journal]\nsegment_bytes = 1048576\nretention_bytes = 4194304\n";

/// What a session is told from a number on.
#[derive(Debug, Default)]
struct Story {
    /// `data.number` of each event, by its own number.
    events: BTreeMap<u64, u64>,
    /// From, to, and why.
    gaps: Vec<(u64, u64, String)>,
}

impl Story {
    /// Reads up to `last_seq`. Every number after `since` must come once, as an event or within a gap, in order.
    fn read(socket: &mut Socket, since: u64, last_seq: u64) -> Self {
        let (mut story, mut next) = (Self::default(), since + 1);
        while next <= last_seq {
            let message = socket.next_message();
            let number = |name: &str| message[name].as_u64().unwrap_or_else(|| panic!("{name} in {message}"));
            if message["type"] == "gap" {
                assert_eq!(number("from"), next, "{message}");
                next = number("to") + 1;
                let reason = message["reason"].as_str().expect("a reason");
                story.gaps.push((number("from"), number("to"), reason.to_owned()));
            } else {
                assert_eq!(number("seq"), next, "{message}");
                story.events.insert(next, message["data"]["number"].as_u64().expect("a number"));
                next += 1;
            }
        }
        assert_eq!(next, last_seq + 1, "no gap reaches past what there is: {:?}", story.gaps);
        story
    }

    fn gaps(&self) -> Vec<(u64, u64, &str)> {
        self.gaps.iter().map(|(from, to, reason)| (*from, *to, &**reason)).collect()
    }
}

/// The segments' files, the oldest first.
fn segments(data_dir: &DataDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(data_dir.path().join("journal")).expect("the journal");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_segment = |path: &PathBuf| segment::parse_name(path.file_name().unwrap().to_str().unwrap()).is_some();
    let mut paths: Vec<_> = paths.filter(is_segment).collect();
    paths.sort();
    paths
}

/// Trades of the watched owner with these numbers.
fn trades(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(|number| numbered(OWNER, number)).collect()
}

#[test]
fn after_kill_9_numbers_go_on_and_what_was_acknowledged_is_there() {
    let mut server = Server::start();
    // What was acknowledged, and what was seen on a socket: the event's own number by the server's.
    let (mut acknowledged, mut seen) = (BTreeMap::new(), BTreeMap::new());
    let mut number = 0;
    for round in 1..=5 {
        let stop = AtomicBool::new(false);
        let mut live = server.connect();
        let enough = 20 * round;
        let (address, publisher) = (server.address, server.publisher.clone());
        thread::scope(|scope| {
            let publishing = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let body: String = trades(number..number + 7).iter().map(|event| format!("{event}\n")).collect();
                    let request = Request::post("/api/events")
                        .header("X-API-Key", &publisher)
                        .header("Content-Type", "application/x-ndjson")
                        .body(body);
                    // One that has no answer may be published or not.
                    if let Some(reply) = request.send_to_a_dying(address) {
                        assert_eq!(reply.status, 200, "{}", reply.text());
                        let first_seq = reply.json()["first_seq"].as_u64().expect("a number");
                        acknowledged.extend((0..7).map(|nth| (first_seq + nth, number as u64 + nth)));
                    }
                    number += 7;
                }
            });
            let mut note = |message: Value| {
                let seq = message["seq"].as_u64().expect("a number");
                let other = seen.insert(seq, message["data"]["number"].as_u64().expect("a number"));
                assert_eq!(other, None, "{seq} twice");
            };
            for _ in 0..enough {
                note(live.trade());
            }
            server.kill();
            stop.store(true, Ordering::Relaxed);
            live.read_until_lost().into_iter().for_each(&mut note);
            publishing.join().expect("all that was answered was accepted");
        });
        server.start_again();
        let newest = *seen.keys().chain(acknowledged.keys()).max().expect("some");
        let (first_seq, last_seq) = server.publish(&trades(number..number + 1));
        acknowledged.insert(first_seq, number as u64);
        number += 1;
        assert!(first_seq > newest, "{first_seq} was given out before {newest}");
        // Whoever comes back, from its last number or from the beginning, has every number accounted for.
        for since in [0, *seen.keys().max().expect("some")] {
            let story = Story::read(&mut server.connect_since(since), since, last_seq);
            assert!(story.gaps.iter().all(|(.., reason)| reason == "crash"), "{:?}", story.gaps);
            for (seq, number) in acknowledged.range(since + 1..) {
                assert_eq!(story.events.get(seq), Some(number), "{seq} was acknowledged");
            }
            for (seq, number) in seen.range(since + 1..) {
                // A number that somebody saw is that event's or nobody's.
                assert!(story.events.get(seq).is_none_or(|got| got == number), "{seq} is another event now");
            }
        }
        assert!(server.said().contains("clients that resume are told of a gap"), "{}", server.said());
        seen.insert(last_seq, number as u64 - 1);
    }
}

#[test]
fn after_an_orderly_stop_numbers_go_on_as_if_there_had_been_none() {
    let mut server = Server::start();
    let keys = Keys::new(&server);
    for round in 0..3 {
        let (first_seq, last_seq) = server.publish(&(80 * round..80 * round + 80).map(event).collect::<Vec<_>>());
        assert_eq!((first_seq, last_seq), (80 * round as u64 + 1, 80 * round as u64 + 80));
        let mut live = server.connect();
        server.terminate();
        assert_eq!(live.read_to_close().1, CloseCode::SERVICE_RESTART.get());
        drop(live);
        assert!(server.wait_for_exit(SOON).success(), "{}", server.said());
        server.start_again();
        assert_eq!(server.last_seq(), last_seq);
        assert!(!server.said().contains("WARN"), "{}", server.said());
        for since in [0, 41, last_seq - 8] {
            for door in &DOORS {
                let mut socket = (door.open)(&server, &keys, since);
                let expected = expected(door.topics, since, last_seq);
                let got = numbers_to(&mut socket, *expected.last().expect("some"));
                assert_eq!(got, expected, "{} since {since}", door.name);
            }
        }
    }
}

#[test]
fn what_retention_has_dropped_is_told_before_what_is_there() {
    let mut server = Server::configured(SMALL_SEGMENTS);
    // Ten megabytes.
    for part in 0..40 {
        server.publish(&(0..8).map(|nth| padded(OWNER, part * 8 + nth, 32 << 10)).collect::<Vec<_>>());
    }
    // What is in memory is there whatever the disk has.
    let mut socket = server.connect_since(0);
    assert_eq!(Story::read(&mut socket, 0, 320).events.len(), 320);
    server.stop();
    let bytes: u64 = segments(&server.data_dir).iter().map(|path| fs::metadata(path).expect("there").len()).sum();
    assert!(bytes <= 4 << 20, "{bytes}");
    server.start_again();
    let story = Story::read(&mut server.connect_since(0), 0, 320);
    let kept = *story.events.keys().next().expect("the newest are kept");
    assert_eq!(story.gaps(), [(1, kept - 1, "retention")]);
    assert!((160..=280).contains(&kept), "two to four segments are left: {kept}");
    // Whoever has more is told of what it has not, and nothing else.
    assert_eq!(Story::read(&mut server.connect_since(100), 100, 320).gaps(), [(101, kept - 1, "retention")]);
    assert_eq!(Story::read(&mut server.connect_since(kept - 1), kept - 1, 320).gaps(), []);
    let poll = Request::get("/api/events?topic=wallet:*&since=100&limit=1").header("X-API-Key", &server.subscriber);
    let page = poll.send(server.address).json();
    assert_eq!(page["gaps"], json!([{ "type": "gap", "from": 101, "to": kept - 1, "reason": "retention" }]));
    assert_eq!((&page["events"][0]["seq"], &page["next_since"]), (&json!(kept), &json!(kept)));
}

#[test]
fn an_id_keeps_its_number_and_the_latest_alerts_are_the_latest_over_restarts() {
    let mut server = Server::start();
    let identified = |id: usize| json!({ "type": "alert", "id": format!("order-{id}"), "data": { "id": id } });
    let (first_seq, _) = server.publish(&[identified(1), identified(2)]);
    let retried = |server: &Server| {
        let body = json!([identified(1), identified(2)]).to_string();
        let reply = server.post_events("application/json", &body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let expected = json!({ "accepted": 2, "first_seq": first_seq, "last_seq": first_seq + 1, "duplicates": 2 });
        assert_eq!(reply.json(), expected);
    };
    let latest = |server: &Server| {
        let ask = Request::get("/alerts/latest").header("X-API-Key", &server.subscriber);
        let answer = ask.send(server.address).json();
        answer["alerts"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|alert| alert["id"].as_u64().unwrap())
            .collect::<Vec<_>>()
    };
    retried(&server);
    for end in [Server::stop, Server::kill] {
        end(&mut server);
        server.start_again();
        retried(&server);
        assert_eq!(latest(&server), [2, 1]);
    }
    // One that is new beside them gets a new number, and all are what they were.
    let body = json!([identified(2), identified(3)]).to_string();
    let reply = server.post_events("application/json", &body).json();
    assert_eq!((&reply["accepted"], &reply["duplicates"]), (&json!(2), &json!(1)), "{reply}");
    assert_eq!(latest(&server), [3, 2, 1]);
    // With the account's other key it is the same publisher; with another account's it is not.
    server.data_dir.account("other", "free");
    let other = server.data_dir.key("other", "publisher");
    server.publisher = other;
    until("another publisher", SOON, || {
        let reply = server.post_events("application/json", &identified(1).to_string());
        (reply.status == 200).then(|| assert_eq!(reply.json()["duplicates"], Value::Null))
    });
}

#[test]
fn with_durable_fan_out_nobody_sees_what_is_not_in_the_journal() {
    let mut server = Server::configured("[journal]\nfanout = \"durable\"\n");
    let mut socket = server.connect();
    for number in 0..100 {
        let marker = format!("marker-{number:04}.");
        let mut event = numbered(OWNER, number);
        event["data"]["marker"] = marker.clone().into();
        thread::scope(|scope| {
            scope.spawn(|| server.publish(&[event]));
            assert_eq!(socket.trade()["data"]["number"], number);
            let journal = fs::read(segments(&server.data_dir).pop().expect("a segment")).expect("readable");
            let is_there = journal.windows(marker.len()).any(|bytes| bytes == marker.as_bytes());
            assert!(is_there, "event {number} was sent before it was written");
        });
    }
    server.kill();
    server.start_again();
    let story = Story::read(&mut server.connect_since(0), 0, 100);
    assert_eq!((story.events.len(), story.gaps()), (100, vec![]), "nothing that was seen is lost");
}

#[test]
fn a_torn_tail_is_cut_and_told() {
    let mut server = Server::start();
    for number in 0..10 {
        server.publish(&trades(number..number + 1));
    }
    server.kill();
    // The last record is not whole, as after a power cut; behind it there is room that was never written.
    let path = segments(&server.data_dir).pop().expect("a segment");
    let mut bytes = fs::read(&path).expect("readable");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("records") + 1;
    bytes[end - 40..end].fill(0);
    fs::write(&path, bytes).expect("written");
    server.start_again();
    for told in ["cut the journal's unfinished tail", "bytes of", "events 10 to "] {
        assert!(server.said().contains(told), "{told}: {}", server.said());
    }
    let (first_seq, last_seq) = server.publish(&trades(10..11));
    let story = Story::read(&mut server.connect_since(0), 0, last_seq);
    assert_eq!(story.gaps(), [(10, first_seq - 1, "crash")]);
    assert_eq!(story.events.into_values().collect::<Vec<_>>(), (0..9).chain([10]).collect::<Vec<_>>());
}

#[test]
fn damage_in_the_middle_refuses_the_start_until_it_is_repaired_and_is_told_as_a_gap() {
    let mut server = Server::start();
    for number in 0..30 {
        server.publish(&trades(number * 10..number * 10 + 10));
    }
    server.stop();
    let path = segments(&server.data_dir).pop().expect("a segment");
    let mut bytes = fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("written");

    let data_dir = &server.data_dir;
    let output = serve(data_dir, &["--listen", "127.0.0.1:0"], |_| {});
    assert_one_sentence("a damaged journal", &output, &["damaged", "byte ", "`stentor journal repair`"]);
    // Looking changes nothing; what is lost is told, and then it is done.
    let looked = data_dir.run(&["journal", "repair"]);
    assert_eq!(looked.status.code(), Some(1), "{}", String::from_utf8_lossy(&looked.stderr));
    let again = serve(data_dir, &["--listen", "127.0.0.1:0"], |_| {});
    assert_one_sentence("a damaged journal", &again, &["`stentor journal repair`"]);
    let lost = data_dir.value(&["journal", "repair", "--yes"]);
    let lost: Vec<u64> = lost.split(' ').skip(1).map(|number| number.parse().expect("a number")).collect();
    let (from, to) = (lost[0], lost[1]);
    assert!(from > 100 && to == from + 9 && to < 200, "one request of ten: {lost:?}");

    server.start_again();
    let (first_seq, _) = server.publish(&trades(300..301));
    let story = Story::read(&mut server.connect_since(0), 0, first_seq);
    assert_eq!(story.gaps()[0], (from, to, "crash"));
    assert!(story.gaps.len() == 1 || story.gaps()[1..] == [(301, first_seq - 1, "crash")], "{:?}", story.gaps);
    assert!((from..=to).all(|seq| !story.events.contains_key(&seq)) && story.events.len() == 291);
    assert_eq!(Story::read(&mut server.connect_since(to), to, 300).gaps(), []);
}

#[test]
fn damage_in_an_old_segment_ends_a_session_that_comes_to_it_and_nobody_elses() {
    // Nothing of what is damaged is needed at a start.
    let mut server = Server::configured("[journal]\nsegment_bytes = 1048576\ndedupe_seconds = 0\n");
    for part in 0..96 {
        server.publish(&(0..8).map(|nth| padded(OWNER, part * 8 + nth, 32 << 10)).collect::<Vec<_>>());
    }
    server.stop();
    let path = segments(&server.data_dir).swap_remove(0);
    let mut bytes = fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("written");
    server.start_again();
    let (messages, code, reason) = server.connect_since(0).read_to_close();
    assert_eq!((code, &*reason), (CloseCode::INTERNAL_ERROR.get(), "the journal can't be read"));
    assert!(messages.len() < 30, "{}", messages.len());
    let poll = Request::get("/api/events?topic=wallet:*&since=0").header("X-API-Key", &server.subscriber);
    let reply = poll.send(server.address);
    assert_eq!((reply.status, reply.error()["code"].as_str()), (503, Some("HISTORY_UNAVAILABLE")));
    let (_, last_seq) = server.publish(&trades(768..769));
    assert_eq!(Story::read(&mut server.connect_since(100), 100, last_seq).gaps(), []);
    // It is told in the server's words, and what helps.
    assert!(server.said().contains("stentor journal repair"), "{}", server.said());
}

#[test]
fn dump_and_tail_read_what_a_running_server_writes() {
    let server = Server::start();
    server.publish(&trades(0..20));
    let number = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["seq"].as_u64().expect("a number");
    let dumped = server.data_dir.value(&["journal", "dump", "--since", "5"]);
    assert_eq!(dumped.lines().map(number).collect::<Vec<_>>(), (6..=20).collect::<Vec<_>>());
    let mut tail = Command::new(STENTOR)
        .arg("--data-dir")
        .arg(server.data_dir.path())
        .args(["journal", "tail", "--since", "18"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    let mut next = || number(&lines.next().expect("it goes on").expect("a line"));
    assert_eq!([next(), next()], [19, 20]);
    for round in 0..5 {
        let (first_seq, last_seq) = server.publish(&trades(0..10));
        assert_eq!(
            (first_seq..=last_seq).map(|_| next()).collect::<Vec<_>>(),
            (first_seq..=last_seq).collect::<Vec<_>>()
        );
        assert_eq!(first_seq, 21 + 10 * round);
    }
    assert!(server.data_dir.run(&["journal", "verify"]).status.success(), "beside the server, too");
    tail.kill().expect("our own child");
    tail.wait().expect("it ends");
}
