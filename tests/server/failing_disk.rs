//! A disk that takes no more of the journal: publishers are told, nobody else notices, and it goes on by itself.
//!
//! A limit on the size of files does it for every user; what a full disk is told as is tested beside the writer.

use std::io;
use std::os::unix::process::CommandExt;
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::http::Request;
use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::tiered;
use crate::trade::{numbered, padded};
use crate::wait::{SOON, until};

/// Lets a write past the limit fail instead of ending the process (setrlimit(2)). It is inherited.
fn ignore_file_size_signals() -> io::Result<()> {
    // SAFETY: one system call, which touches this process only.
    match unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// How large the running server's files may become.
fn limit_files(server: &Server, bytes: Option<u64>) {
    let pid = Pid::from_raw(server.pid().cast_signed());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a limit for our own child");
}

#[test]
fn a_disk_that_fails_stops_publishing_and_nothing_else_until_it_works_again() {
    let mut server = Server::start_with(&["--shards", "2"], |command| {
        // SAFETY: one system call between fork and exec.
        unsafe { command.pre_exec(ignore_file_size_signals) };
    });
    // The journal is longer than the limit, and everything else shorter.
    server.publish(&[padded(OWNER, 0, 60_000), padded(OWNER, 1, 60_000)]);
    let mut live = server.connect();
    limit_files(&server, Some(64 << 10));
    let publish = |number: usize| server.post_events("application/json", &numbered(OWNER, number).to_string());
    let first = thread::scope(|scope| {
        // What has a number when the disk fails waits for it.
        let waits = scope.spawn(|| publish(2));
        assert_eq!(live.trade()["data"]["number"], 2);
        until("the failure", SOON, || server.said().contains("the journal can't be written").then_some(()));
        let refused = publish(3);
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(refused.error()["code"], "JOURNAL_FAILED", "{}", refused.text());
        assert_eq!(refused.header("retry-after"), Some("5"));
        // History, new sessions, answers: as ever.
        let mut back = server.connect_since(0);
        (0..3).for_each(|number| assert_eq!(back.trade()["data"]["number"], number));
        let mut tiered = tiered::greeted(&server, &server.subscriber);
        tiered.say("ping");
        tiered.message("pong");
        let poll = Request::get("/api/events?topic=wallet:*&since=2").header("X-API-Key", &server.subscriber);
        assert_eq!(poll.send(server.address).json()["events"][0]["data"]["number"], 2);
        assert_eq!(Request::get("/healthz").send(server.address).status, 200);
        limit_files(&server, None);
        waits.join().expect("an answer")
    });
    assert_eq!((first.status, &first.json()["first_seq"]), (200, &json!(3)), "{}", first.text());
    let again = until("publishing goes on", SOON, || Some(publish(4)).filter(|reply| reply.status == 200));
    let last_seq = again.json()["last_seq"].as_u64().expect("a number");
    assert_eq!(live.trade()["data"]["number"], 4, "nothing that was refused was sent");
    assert!(server.said().contains("the journal takes events again"), "{}", server.said());
    server.kill();
    server.start_again();
    let mut socket: Socket = server.connect_since(0);
    for (seq, number) in [(1, 0), (2, 1), (3, 2), (last_seq, 4)] {
        let trade = socket.trade();
        assert_eq!((&trade["seq"], &trade["data"]["number"]), (&json!(seq), &json!(number)));
    }
}
