//! A message of the rooms protocol, and the room that it names.
//!
//! Input: the text of a message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stentor::limits::OWNED_OUTPUT_BYTES_MAX;
use stentor::protocol::SocketError;
use stentor::protocol::rooms::{Command, Room, parse, subscription};
use stentor::tokens::UserId;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(Command::Subscribe { channel: name, .. } | Command::Unsubscribe(name)) => check_room(&name),
        Ok(Command::Auth { .. } | Command::ListRooms | Command::Ping) => {}
        Err(error) => check_error(&error),
    }
});

fn check_room(name: &str) {
    let user = UserId::new("u1");
    let room = Room::of(name, &user, Some(2));
    match &room {
        Ok(Room::Market(topic)) => {
            assert_eq!(topic.as_str(), name);
            assert_eq!(Room::of(name, &user, None), room, "a market is everybody's");
        }
        Ok(Room::Named(channel)) => assert_eq!(channel.as_str(), name),
        Ok(Room::Automatic) => assert!(name == "user:u1" || name.starts_with("admin:"), "in {name}"),
        Err(error) => check_error(error),
    }
    let message = message(&subscription(Some(name), "subscribed", [Value::from(name)].into_iter(), 7));
    assert_eq!((&message["channel"], &message["subscribedRooms"][0]), (&Value::from(name), &Value::from(name)));
    assert_eq!(message["seq"], 7);
}

fn check_error(error: &SocketError) {
    let frame = error.frame();
    assert_eq!(message(&frame)["code"], error.code.as_str());
    assert!(frame.len() * 8 < OWNED_OUTPUT_BYTES_MAX, "an answer of {} bytes", frame.len());
}

/// The JSON of a text frame.
fn message(frame: &[u8]) -> Value {
    let payload_at = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    serde_json::from_slice(&frame[payload_at..]).expect("what the server says is JSON")
}
