//! Sockets that come and go: neither process descriptors nor slots of the ring are lost, and a full server says so.

use std::fs;
use std::io::Write;
use std::net::TcpStream;

use stentor::ws::CloseCode;

use crate::http::Request;
use crate::process::{OWNER, Server};
use crate::socket::Socket;
use crate::trade::trade;
use crate::wait::{SOON, until};

/// RLIMIT_NOFILE for a server whose shard then has as many slots: enough for the plan's reserve, few enough to run out.
const OPEN_FILES: u64 = 640;

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("our own child").count()
}

/// A server of one shard with few descriptors.
pub fn small_server() -> Server {
    use std::os::unix::process::CommandExt;

    Server::start_with(&["--shards", "1"], |command| {
        let limit = rustix::process::Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
        // SAFETY: one system call, which touches this process only.
        unsafe { command.pre_exec(move || Ok(rustix::process::setrlimit(rustix::process::Resource::Nofile, limit)?)) };
    })
}

#[test]
fn a_thousand_visits_leave_no_descriptor_and_no_slot_behind() {
    let server = small_server();
    let mut resident = server.connect();
    let before = descriptors(&server);
    // More visits than slots, in each of the ways in which one can end.
    for _ in 0..200 {
        let mut polite = server.connect();
        polite.send_close(CloseCode::NORMAL, "");
        polite.expect_close(CloseCode::NORMAL);
        drop(server.connect());
        let mut rude = server.connect();
        rude.send_raw(b"garbage, not a frame");
        rude.expect_close(CloseCode::PROTOCOL_ERROR);
        drop(Socket::open(server.address, "/ws/alerts?apiKey=unknown").expect_err("a bad key"));
        let mut half = TcpStream::connect(server.address).expect("a connection");
        half.write_all(b"GET /ws/alerts HTTP/1.1\r\n").expect("half a head");
    }
    until("the descriptors of before", SOON, || (descriptors(&server) <= before).then_some(()));
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    assert_eq!(resident.trade()["seq"], seq);
}

#[test]
fn a_full_server_refuses_newcomers_and_serves_those_it_has() {
    let server = small_server();
    let path = server.alerts_path();
    let mut sockets = Vec::new();
    let refusal = loop {
        assert!(sockets.len() as u64 <= OPEN_FILES, "more sockets than slots");
        match Socket::open(server.address, &path) {
            Ok(socket) => sockets.push(socket),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!((refusal.status, refusal.error()["code"].as_str()), (503, Some("SERVER_FULL")));
    assert!(refusal.header("retry-after").is_some());
    assert_eq!(sockets.len() as u64, OPEN_FILES, "a slot each");
    assert_eq!(Request::get("/healthz").send(server.address).status, 200);
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    assert!(sockets.iter_mut().all(|socket| socket.trade()["seq"] == seq));
    // One leaves, and somebody else may come.
    drop(sockets.pop());
    until("a free slot", SOON, || Socket::open(server.address, &path).ok());
}
