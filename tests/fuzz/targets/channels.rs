//! A message of the channels protocol.
//!
//! Input: the text of a message.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use stentor::limits::{AUTH_TOPICS_MAX, OWNED_OUTPUT_BYTES_MAX};
use stentor::protocol::channels::{Channel, Command, parse, subscribed};
use stentor::ws::{Opcode, append_header};

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(Command::Subscribe { channel, .. } | Command::Unsubscribe(channel)) => {
            check(&channel);
            // The acknowledgement names the channel as a client would.
            let mut message = message(&subscribed(&channel, 7));
            assert_eq!(message["seq"], 7);
            message["type"] = json!("subscribe");
            assert_eq!(parse(&message.to_string()), Ok(Command::Subscribe { channel, since: None }));
        }
        Ok(Command::Auth { topics, .. }) => {
            assert!(topics.len() <= AUTH_TOPICS_MAX);
            topics.iter().for_each(check);
        }
        Ok(Command::Ping) => {}
        Err(error) => {
            let frame = error.frame();
            assert_eq!(message(&frame)["type"], "error");
            assert!(frame.len() * 8 < OWNED_OUTPUT_BYTES_MAX, "an answer of {} bytes", frame.len());
        }
    }
});

/// A channel is what its topic says.
fn check(channel: &Channel) {
    assert_eq!(Channel::of(channel.topic.as_str()).as_ref(), Some(channel));
}

/// The JSON of a whole text frame.
fn message(frame: &[u8]) -> Value {
    let payload_at = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let (header, payload) = frame.split_at(payload_at);
    let mut expected = Vec::new();
    append_header(&mut expected, Opcode::Text, true, payload.len());
    assert_eq!(header, expected);
    serde_json::from_slice(payload).expect("what the server says is JSON")
}
