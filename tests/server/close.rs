//! How a session is refused or ends: the status or close code of each, a clean end of the stream, and the server's own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use stentor::ws::{CloseCode, Opcode};

use crate::http::{Reply, Request};
use crate::process::{OWNER, Server};
use crate::socket::{Received, Socket};
use crate::trade::trade;
use crate::wait::{SOON, until};

#[test]
fn a_bad_key_is_refused_before_the_upgrade() {
    let server = Server::start();
    for path in ["/ws/alerts?apiKey=stn_unknown", "/ws/alerts?apiKey=", "/ws/alerts"] {
        let refusal = Socket::open(server.address, path).expect_err(path);
        assert_eq!((refusal.status, refusal.error()["code"].as_str()), (401, Some("AUTHENTICATION_FAILED")), "{path}");
    }
    let revoked = server.data_dir.key("watcher", "subscriber");
    server.data_dir.value(&["key", "revoke", &revoked]);
    // The server may have seen that it was made and not yet that it was revoked.
    let path = format!("/ws/alerts?apiKey={revoked}");
    let refusal = until("its revocation", SOON, || Socket::open(server.address, &path).err());
    assert_eq!(refusal.status, 401);
}

#[test]
fn a_missing_key_is_told_where_this_route_takes_one() {
    let server = Server::start();
    let refusal = Socket::open(server.address, "/ws/alerts").expect_err("no key");
    let message = refusal.error()["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("/ws/alerts?apiKey=KEY") && !message.contains("Bearer"), "{message}");
    assert_eq!(refusal.header("www-authenticate"), Some("ApiKey"));
}

#[test]
fn a_publishers_key_does_not_open_the_stream() {
    let server = Server::start();
    let path = format!("/ws/alerts?apiKey={}", server.publisher);
    let refusal = Socket::open(server.address, &path).expect_err("a publisher's key");
    assert_eq!((refusal.status, refusal.error()["code"].as_str()), (403, Some("FORBIDDEN")));
}

#[test]
fn a_request_that_is_no_upgrade_is_told_what_it_lacks() {
    let server = Server::start();
    let plain = Request::get(&server.alerts_path()).send(server.address);
    assert_eq!(plain.status, 426, "{}", plain.text());
    assert_eq!(plain.header("upgrade").map(str::to_lowercase).as_deref(), Some("websocket"));
    let upgrade = |version: &str| {
        let request = Request::get(&server.alerts_path()).header("Upgrade", "websocket");
        let request = request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").header("Connection", "Upgrade");
        request.header("Sec-WebSocket-Version", version).send(server.address)
    };
    let old = upgrade("8");
    assert_eq!((old.status, old.header("sec-websocket-version")), (426, Some("13")), "{}", old.text());
}

#[test]
fn a_tier_that_is_too_low_is_told_once_by_close_code_and_then_by_status() {
    let server = Server::start();
    let mut path = String::new();
    for tier in ["free", "pro"] {
        server.data_dir.account(tier, tier);
        path = format!("/ws/alerts?apiKey={}", server.data_dir.key(tier, "subscriber"));
    }
    // The keys were made while the server runs: until it knows them, they are unknown.
    let mut socket = until("an upgrade", SOON, || Socket::open(server.address, &path).ok());
    let reason = socket.expect_close(CloseCode::TIER);
    assert!(reason.contains("pro") && reason.contains("elite"), "{reason}");
    for _ in 0..2 {
        let repeat = Socket::open(server.address, &path).expect_err("a repeat within a minute");
        assert_eq!((repeat.status, repeat.error()["code"].as_str()), (403, Some("FORBIDDEN")));
        let seconds: u64 = repeat.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    // From the same address, but a key that is good.
    server.connect();
}

#[test]
fn a_revoked_key_and_a_lowered_tier_end_connected_sessions() {
    let server = Server::start();
    let key = server.data_dir.key("watcher", "subscriber");
    let path = format!("/ws/alerts?apiKey={key}");
    let mut revoked = until("a session", SOON, || Socket::open(server.address, &path).ok());
    let mut remaining = server.connect();
    server.data_dir.value(&["key", "revoke", &key]);
    revoked.expect_close(CloseCode::AUTHENTICATION);
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    assert_eq!(remaining.trade()["seq"], seq, "the account's other key is in force");
    server.data_dir.value(&["account", "set", "watcher", "--tier", "pro"]);
    remaining.expect_close(CloseCode::TIER);
}

#[test]
fn a_breach_of_the_protocol_is_closed_with_its_own_code() {
    let server = Server::start();
    let unmasked_text = b"\x81\x02hi";
    let reserved_bit = b"\xc1\x80\x00\x00\x00\x00";
    let reserved_opcode = b"\x83\x80\x00\x00\x00\x00";
    let lone_continuation = b"\x80\x80\x00\x00\x00\x00";
    let fragmented_ping = b"\x09\x80\x00\x00\x00\x00";
    let long_ping = b"\x89\xfe\x00\x7e\x00\x00\x00\x00";
    let close_of_one_byte = b"\x88\x81\x00\x00\x00\x00\x03";
    let close_with_1005 = b"\x88\x82\x00\x00\x00\x00\x03\xed";
    let invalid_utf8 = b"\x81\x82\x00\x00\x00\x00\xc3\x28";
    let close_with_invalid_utf8 = b"\x88\x84\x00\x00\x00\x00\x03\xe8\xc3\x28";
    let announced_exabytes = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00";
    let cases: [(&str, &[u8], CloseCode); 11] = [
        ("an unmasked frame", unmasked_text, CloseCode::PROTOCOL_ERROR),
        ("a reserved bit", reserved_bit, CloseCode::PROTOCOL_ERROR),
        ("a reserved opcode", reserved_opcode, CloseCode::PROTOCOL_ERROR),
        ("a continuation of nothing", lone_continuation, CloseCode::PROTOCOL_ERROR),
        ("a fragmented ping", fragmented_ping, CloseCode::PROTOCOL_ERROR),
        ("a ping of 126 bytes", long_ping, CloseCode::PROTOCOL_ERROR),
        ("half a close code", close_of_one_byte, CloseCode::PROTOCOL_ERROR),
        ("a close code that no frame may have", close_with_1005, CloseCode::PROTOCOL_ERROR),
        ("text that is not UTF-8", invalid_utf8, CloseCode::INVALID_PAYLOAD),
        ("a reason that is not UTF-8", close_with_invalid_utf8, CloseCode::INVALID_PAYLOAD),
        ("an announced message of exabytes", announced_exabytes, CloseCode::MESSAGE_TOO_BIG),
    ];
    for (what, bytes, code) in cases {
        eprintln!("{what}");
        let mut socket = server.connect();
        socket.send_raw(bytes);
        if code == CloseCode::MESSAGE_TOO_BIG {
            socket.expect_error("MESSAGE_TOO_LARGE");
        }
        socket.expect_close(code);
    }
}

#[test]
fn a_message_of_a_megabyte_is_read_away_and_closed_with_1009() {
    let server = Server::start();
    let mut socket = server.connect();
    socket.send(Opcode::Text, &vec![b'x'; 1 << 20]);
    socket.expect_error("MESSAGE_TOO_LARGE");
    socket.expect_close(CloseCode::MESSAGE_TOO_BIG);
    // In fragments, none of which is too large by itself.
    let mut socket = server.connect();
    socket.send_fragment(Opcode::Text, false, &[b'x'; 3 << 10]);
    socket.send_fragment(Opcode::Continuation, true, &[b'x'; 3 << 10]);
    socket.expect_error("MESSAGE_TOO_LARGE");
    socket.expect_close(CloseCode::MESSAGE_TOO_BIG);
}

#[test]
fn messages_within_the_bound_are_taken_and_pings_between_fragments_answered() {
    let server = Server::start();
    let mut socket = server.connect();
    socket.send(Opcode::Text, &[b'x'; 4 << 10]);
    socket.send_fragment(Opcode::Text, false, "Grüße, ".as_bytes());
    socket.send(Opcode::Ping, b"between");
    socket.send_fragment(Opcode::Continuation, true, "Stentor".as_bytes());
    socket.send(Opcode::Binary, b"\x00\xff");
    assert_eq!(socket.receive_past_pings(SOON), Some(Received::Pong(b"between".to_vec())));
    let (seq, _) = server.publish(&[trade("trade.open", OWNER)]);
    assert_eq!(socket.trade()["seq"], seq);
}

#[test]
fn a_clients_close_is_echoed_and_the_stream_ends() {
    let server = Server::start();
    let private = CloseCode::from_peer(4000).expect("for anyone");
    for (code, reason) in [(CloseCode::NORMAL, ""), (CloseCode::GOING_AWAY, "the page was left"), (private, "bye")] {
        let mut socket = server.connect();
        socket.send_close(code, reason);
        assert_eq!(socket.expect_close(code), "");
    }
    let mut socket = server.connect();
    socket.send(Opcode::Close, b"");
    assert_eq!(socket.receive_past_pings(SOON), Some(Received::Close(1005, String::new())));
    assert_eq!(socket.receive(), Received::End);
}

#[test]
fn a_server_that_is_stopped_closes_with_1012_and_exits_with_0() {
    let mut server = Server::start();
    let mut sockets: Vec<Socket> = (0..20).map(|_| server.connect()).collect();
    server.terminate();
    for socket in &mut sockets {
        socket.message("reconnect");
        match socket.receive_past_pings(SOON) {
            Some(Received::Close(code, _)) => assert_eq!(code, CloseCode::SERVICE_RESTART.get()),
            other => panic!("expected a close, got {other:?}"),
        }
        socket.send_close(CloseCode::SERVICE_RESTART, "");
        assert_eq!(socket.receive(), Received::End);
    }
    assert_eq!(server.wait_for_exit(SOON).code(), Some(0));
}

#[test]
fn sockets_that_answer_nothing_hold_a_stop_up_for_seconds_only() {
    let mut server = Server::start();
    let silent: Vec<Socket> = (0..5).map(|_| server.connect()).collect();
    let began = Instant::now();
    server.terminate();
    assert_eq!(server.wait_for_exit(Duration::from_secs(20)).code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn a_second_signal_stops_at_once() {
    let mut server = Server::start();
    let mut silent = server.connect();
    // What it has received says that its shard has it.
    server.publish(&[trade("trade.open", OWNER)]);
    silent.trade();
    server.terminate();
    until("its word on the first", SOON, || server.said().contains("stopping: closing 1 sockets").then_some(()));
    server.terminate();
    assert_eq!(server.wait_for_exit(SOON).code(), Some(128 + 15));
    drop(silent);
}

#[test]
fn a_shard_that_has_ended_is_not_taken_for_one_that_sleeps() {
    let mut server = Server::start();
    // Its shard waits for it, while the other has nothing to wait for.
    let mut silent = server.connect();
    server.publish(&[trade("trade.open", OWNER)]);
    silent.trade();
    server.terminate();
    assert_eq!(server.wait_for_exit(Duration::from_secs(20)).code(), Some(0));
    drop(silent);
    // Four times a second if it were; a busy machine may really hold a shard up once or twice.
    let alarms = server.said().matches("stood still").count();
    assert!(alarms < 4, "{alarms} alarms");
}

#[test]
fn a_stopping_server_upgrades_nobody() {
    let mut server = Server::start_with(&["--shards", "1"], |_| {});
    // Nobody new is let in, so this one is here already.
    let mut early = TcpStream::connect(server.address).expect("a connection");
    keep(&mut early);
    // It answers nothing, so the server stays for the closing deadline.
    let mut silent = server.connect();
    server.terminate();
    silent.message("reconnect");
    assert!(matches!(silent.receive_past_pings(SOON), Some(Received::Close(1012, _))));
    let refusal = Socket::open_on(early, &server.alerts_path(), b"").expect_err("a server that stops");
    assert_eq!((refusal.status, refusal.error()["code"].as_str()), (503, Some("SHUTTING_DOWN")));
    assert!(refusal.header("retry-after").is_some());
    assert_eq!(server.wait_for_exit(Duration::from_secs(20)).code(), Some(0));
}

/// Has a request answered on a connection, which goes on.
fn keep(stream: &mut TcpStream) {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: stentor\r\n\r\n").expect("a request");
    assert_eq!(Reply::read(stream).status, 200);
}

#[test]
fn a_stopping_server_takes_no_events_that_nobody_would_be_sent() {
    let mut server = Server::start_with(&["--shards", "1"], |_| {});
    let event = trade("trade.open", OWNER).to_string();
    // One whose body the server waits for when it is stopped, as its 100 says.
    let mut begun = server.announce_events(event.len());
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    begun.read_exact(&mut go_on).expect("an interim answer");
    assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go_on));
    let mut kept = TcpStream::connect(server.address).expect("a connection");
    keep(&mut kept);
    // It answers nothing, so the server stays for the closing deadline.
    let mut silent = server.connect();
    server.terminate();
    silent.message("reconnect");
    assert!(matches!(silent.receive_past_pings(SOON), Some(Received::Close(1012, _))));
    begun.write_all(event.as_bytes()).expect("a body");
    let again = Request::post("/api/events").header("X-API-Key", &server.publisher).body(event);
    for refusal in [Reply::read(&mut begun), again.send_over(&mut kept)] {
        assert_eq!((refusal.status, refusal.error()["code"].as_str()), (503, Some("SHUTTING_DOWN")));
        assert!(refusal.header("retry-after").is_some());
    }
    assert_eq!(server.wait_for_exit(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn clients_that_come_back_at_once_do_not_keep_a_stopping_server_up() {
    let mut server = Server::start();
    let (address, path) = (server.address, server.alerts_path());
    // It answers nothing, so the server stays for the closing deadline.
    let silent = server.connect();
    server.terminate();
    let coming_back = std::thread::spawn(move || {
        // Until nobody listens any more. Some meet a shard in its last moment, and are cut off in the middle.
        while std::net::TcpStream::connect(address).is_ok() {
            let _ = std::panic::catch_unwind(|| drop(Socket::open(address, &path)));
        }
    });
    assert_eq!(server.wait_for_exit(Duration::from_secs(20)).code(), Some(0));
    coming_back.join().expect("no panic");
    drop(silent);
}
