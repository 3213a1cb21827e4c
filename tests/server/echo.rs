//! The echo route of conformance builds: what comes back over the real socket plane is what was sent.

use std::time::Duration;

use stentor::limits;
use stentor::ws::client::append_client_frame;
use stentor::ws::{CloseCode, Opcode};

use crate::process::Server;
use crate::socket::{Received, Socket};

fn connect(server: &Server) -> Socket {
    Socket::open(server.address, "/echo").expect("an upgrade without a key")
}

#[test]
fn text_and_binary_come_back_at_every_length_of_header() {
    let server = Server::start();
    let mut socket = connect(&server);
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537] {
        let text: String = ('a'..='z').cycle().take(length).collect();
        socket.send(Opcode::Text, text.as_bytes());
        assert_eq!(socket.receive(), Received::Text(text));
        let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
        socket.send(Opcode::Binary, &bytes);
        assert_eq!(socket.receive(), Received::Binary(bytes));
    }
}

#[test]
fn fragments_come_back_as_one_message_with_pings_answered_between_them() {
    let server = Server::start();
    let mut socket = connect(&server);
    let text = "κόσμε, 😀";
    // A cut between any two bytes, also inside a character.
    for cut in 0..=text.len() {
        let (head, tail) = text.as_bytes().split_at(cut);
        socket.send_fragment(Opcode::Text, false, head);
        socket.send(Opcode::Ping, &[cut as u8]);
        socket.send_fragment(Opcode::Continuation, true, tail);
        assert_eq!(socket.receive(), Received::Pong(vec![cut as u8]));
        assert_eq!(socket.receive(), Received::Text(text.to_owned()));
    }
    socket.send_fragment(Opcode::Continuation, true, b"nothing to go on with");
    socket.expect_close(CloseCode::PROTOCOL_ERROR);
}

#[test]
fn sixteen_mebibytes_come_back_whole() {
    let server = Server::start();
    let mut socket = connect(&server);
    let bytes: Vec<u8> = (0..16_u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    socket.send(Opcode::Binary, &bytes);
    let echoed = socket.receive_within(Duration::from_secs(60)).expect("an echo");
    assert!(echoed == Received::Binary(bytes), "the echo differs");
}

#[test]
fn messages_in_one_segment_come_back_in_order() {
    let server = Server::start();
    let mut socket = connect(&server);
    let mut bytes = Vec::new();
    for number in 0..500 {
        append_client_frame(&mut bytes, Opcode::Text, format!("{number}").as_bytes(), [1, 2, 3, 4]);
    }
    socket.send_raw(&bytes);
    for number in 0..500 {
        assert_eq!(socket.receive(), Received::Text(number.to_string()));
    }
    socket.send_close(CloseCode::NORMAL, "");
    socket.expect_close(CloseCode::NORMAL);
}

#[test]
fn a_message_before_a_mistake_comes_back_before_the_close() {
    let server = Server::start();
    let mut socket = connect(&server);
    let mut bytes = Vec::new();
    append_client_frame(&mut bytes, Opcode::Text, b"well said", [1, 2, 3, 4]);
    // A reserved opcode, and behind it a ping that must not be answered.
    bytes.extend_from_slice(&[0x83, 0x80, 0, 0, 0, 0]);
    append_client_frame(&mut bytes, Opcode::Ping, b"", [1, 2, 3, 4]);
    socket.send_raw(&bytes);
    assert_eq!(socket.receive(), Received::Text("well said".to_owned()));
    socket.expect_close(CloseCode::PROTOCOL_ERROR);
}

#[test]
fn a_deadline_of_the_slots_socket_before_ends_nothing() {
    let server = Server::start_with(&["--shards", "1"], |_| {});
    // Each leaves the deadline of its close in the wheel.
    let mut before: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    before.iter_mut().for_each(|socket| socket.send_close(CloseCode::NORMAL, ""));
    before.iter_mut().for_each(|socket| _ = socket.expect_close(CloseCode::NORMAL));
    drop(before);
    let mut sockets: Vec<_> = (0..20).map(|_| connect(&server)).collect();
    let past_the_deadline = Duration::from_millis(u64::from(limits::CLOSE_DRAIN_MS) + 500);
    assert_eq!(sockets[0].receive_within(past_the_deadline), None);
    for socket in &mut sockets {
        socket.send(Opcode::Text, b"still there");
        assert_eq!(socket.receive(), Received::Text("still there".to_owned()));
    }
}
