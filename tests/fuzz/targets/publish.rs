//! A publish body: JSON or NDJSON, read in steps.
//!
//! Input: 0 for JSON or 1 for NDJSON in the lowest bit of the first byte, whose other bits are a step's bytes; then the
//! body.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stentor::event::{BatchParser, Event, Format, InvalidEvent, Reason, canonical};
use stentor::hub::envelope::append_frame;
use stentor::ws::frame_len_at;

fuzz_target!(|input: &[u8]| {
    let Some((how, body)) = input.split_first() else { return };
    let format = if how & 1 == 1 { Format::Ndjson } else { Format::Json };
    let whole = parse(body, format, usize::MAX >> 1);
    assert_eq!(parse(body, format, usize::from(how >> 1)), whole, "the steps matter");
    for event in whole.into_iter().flatten() {
        check_envelope(&event);
        check_fixed_point(&event);
    }
});

fn parse(body: &[u8], format: Format, step_bytes: usize) -> Result<Vec<Event>, InvalidEvent> {
    let mut batch = BatchParser::new(body, format);
    while !batch.step(step_bytes)? {}
    Ok(batch.finish())
}

/// What was let in is let in again, as the same.
fn check_fixed_point(event: &Event) {
    let again = parse(&body_of(event), Format::Json, 100);
    // The one exception: `1e20` is a double, but its canonical form is spelled like an integer, and too large for one.
    if again.as_ref().is_err_and(|error| error.reason == Reason::IntegerTooLarge) {
        let digits = event.data.split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).max();
        assert!(digits >= Some("9007199254740992".len()), "{event:?}");
        return;
    }
    assert_eq!(again.as_deref(), Ok(std::slice::from_ref(event)), "published again, it differs");
    assert_eq!(canonical(&event.data).as_deref(), Ok(&*event.data), "the canonical form changes once more");
}

/// The event as a publisher would have written it who writes canonically.
fn body_of(event: &Event) -> Vec<u8> {
    let text = |text: &str| Value::from(text).to_string();
    let data = std::str::from_utf8(&event.data).expect("JSON is UTF-8");
    let mut body = format!(r#"{{"type":{},"topic":{},"data":{data}"#, text(&event.kind), text(event.topic.as_str()));
    for (name, value) in [("channel", &event.channel), ("key", &event.key), ("id", &event.id)] {
        if let Some(value) = value {
            body += &format!(r#","{name}":{}"#, text(value));
        }
    }
    (body + "}").into_bytes()
}

/// Every event that is let in can be sent: one whole text frame of JSON with its number.
fn check_envelope(event: &Event) {
    const SEQ: u64 = 9_007_199_254_740_991;
    let mut frame = Vec::new();
    append_frame(event, SEQ, &mut frame);
    assert_eq!(frame_len_at(&frame), Some(frame.len()));
    let payload_at = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let message: Value = serde_json::from_slice(&frame[payload_at..]).expect("an envelope is JSON");
    assert_eq!(message["seq"], SEQ);
    if let Some(id) = &event.id {
        assert_eq!(message["event_id"], **id);
    }
}
