//! A table of what a client may and may not send, ordered like the families of the Autobahn test suite. Each case is
//! fed whole, byte by byte, cut in two at every place and in random pieces; the outcome must be the same, and an error
//! must come with the very byte that makes it certain.

use super::frame::append_masked_frame;
use super::test_drive::{Received, decode};
use super::{Opcode, ProtocolError};

const MESSAGE_BYTES_MAX: usize = 70_000;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// One row: a wire, and what it must come to.
struct Case {
    name: String,
    wire: Vec<u8>,
    items: Vec<Received>,
    error: Option<ProtocolError>,
    /// The byte, counted from 1, with which the decoding ends; `None` where it stays open.
    ends_with_byte: Option<usize>,
}

/// Frames that leave the connection open.
fn good(name: impl Into<String>, frames: &[Vec<u8>], items: &[Received]) -> Case {
    Case { name: name.into(), wire: frames.concat(), items: items.to_vec(), error: None, ends_with_byte: None }
}

/// Good frames, then one whose `nth` byte is wrong, then one more that must be ignored.
fn bad(
    name: impl Into<String>,
    good: &[Vec<u8>],
    items: &[Received],
    bad: Vec<u8>,
    nth: usize,
    error: ProtocolError,
) -> Case {
    let good = good.concat();
    let ends_with_byte = Some(good.len() + nth);
    let wire = [good, bad, text(b"ignored")].concat();
    Case { name: name.into(), wire, items: items.to_vec(), error: Some(error), ends_with_byte }
}

/// A close frame that is answered, and a text behind it that is ignored.
fn closed(name: impl Into<String>, payload: &[u8], told: Option<(u16, &str)>) -> Case {
    let close = control(Opcode::Close, payload);
    let ends_with_byte = Some(close.len());
    let told = told.map(|(code, reason)| (code, reason.to_owned()));
    let wire = [close, text(b"ignored")].concat();
    Case { name: name.into(), wire, items: vec![Received::Close(told)], error: None, ends_with_byte }
}

fn frame(opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![];
    append_masked_frame(&mut bytes, opcode, fin, payload, KEY);
    bytes
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(Opcode::Text, true, payload)
}

fn control(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    frame(opcode, true, payload)
}

fn with_first_byte(first: u8, mut frame: Vec<u8>) -> Vec<u8> {
    frame[0] = first;
    frame
}

fn got_text(text: &str) -> Received {
    Received::Text(text.to_owned())
}

/// The bytes of a masked text frame's header whose length takes the short forms; its payload starts behind.
const SHORT_HEADER_BYTES: usize = 6;

fn check(cases: impl IntoIterator<Item = Case>) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for case in cases {
        let len = case.wire.len();
        case.check_fed(&[len]);
        case.check_fed(&[1]);
        if len < 600 {
            (1..len).for_each(|cut| case.check_fed(&[cut, len]));
        }
        for _ in 0..20 {
            let longest = 1 + random.below(len.min(5000));
            let sizes: Vec<usize> = (0..len).map(|_| 1 + random.below(longest)).collect();
            case.check_fed(&sizes);
        }
    }
}

impl Case {
    fn check_fed(&self, sizes: &[usize]) {
        let outcome = decode(&self.wire, sizes, MESSAGE_BYTES_MAX);
        let told = format!("{} fed as {:?}", self.name, &sizes[..sizes.len().min(20)]);
        assert!(outcome.items == self.items, "{told}: {:.300?}", outcome.items);
        assert_eq!(outcome.error, self.error, "{told}");
        match self.ends_with_byte {
            None => assert_eq!(outcome.finished_within, (self.wire.len(), self.wire.len()), "{told}"),
            Some(byte) => {
                let (before, with) = outcome.finished_within;
                assert!((before + 1..=with).contains(&byte), "{told}: ended in {before}..{with}, not at {byte}");
            }
        }
    }
}

/// A xorshift generator: fixed pieces on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn family_1_messages_of_every_length_form_are_delivered() {
    let lengths = [0, 1, 3, 124, 125, 126, 127, 128, 65_535, 65_536, MESSAGE_BYTES_MAX];
    check(lengths.into_iter().flat_map(|len| {
        let words: String = "rise and fall ".chars().cycle().take(len).collect();
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        [
            good(format!("text of {len}"), &[text(words.as_bytes())], &[got_text(&words)]),
            good(
                format!("binary of {len}"),
                &[frame(Opcode::Binary, true, &bytes)],
                &[Received::Binary(bytes.clone())],
            ),
        ]
    }));
}

#[test]
fn family_1_lengths_are_minimal_and_bounded_and_frames_are_masked() {
    let announce = |bytes: &[u8]| [bytes, &KEY].concat();
    let too_big = ProtocolError::MessageTooBig { message_bytes_max: MESSAGE_BYTES_MAX };
    check([
        bad("125 in 16 bits", &[], &[], announce(b"\x82\xfe\x00\x7d"), 4, ProtocolError::NonMinimalLength),
        bad("0 in 16 bits", &[], &[], announce(b"\x82\xfe\x00\x00"), 4, ProtocolError::NonMinimalLength),
        bad(
            "65535 in 64 bits",
            &[],
            &[],
            announce(b"\x82\xff\0\0\0\0\0\0\xff\xff"),
            10,
            ProtocolError::NonMinimalLength,
        ),
        bad("5 in 64 bits", &[], &[], announce(b"\x82\xff\0\0\0\0\0\0\0\x05"), 10, ProtocolError::NonMinimalLength),
        bad("top bit", &[], &[], announce(b"\x82\xff\x80\0\0\0\0\x01\0\0"), 3, ProtocolError::LengthTopBit),
        bad("2^63 - 1 bytes", &[], &[], announce(b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), 14, too_big),
        bad("one past the limit", &[], &[], announce(b"\x81\xff\0\0\0\0\0\x01\x11\x71"), 14, too_big),
        bad("unmasked text", &[text(b"a")], &[got_text("a")], b"\x81\x01b".to_vec(), 2, ProtocolError::Unmasked),
        bad("unmasked ping", &[], &[], b"\x89\x00".to_vec(), 2, ProtocolError::Unmasked),
    ]);
}

#[test]
fn family_1_the_limit_is_summed_over_fragments() {
    let too_big = ProtocolError::MessageTooBig { message_bytes_max: MESSAGE_BYTES_MAX };
    let part = vec![b'x'; 40_000];
    let last = vec![b'x'; 30_000];
    let whole = "x".repeat(MESSAGE_BYTES_MAX);
    let cut_in_a_character = [&whole.as_bytes()[1..], &"é".as_bytes()[..1]].concat();
    let start = frame(Opcode::Text, false, &part);
    let ping = control(Opcode::Ping, &[1; 125]);
    let got_ping = Received::Ping(vec![1; 125]);
    check([
        good(
            "fragments that fill the limit, with a ping between",
            &[start.clone(), ping.clone(), frame(Opcode::Continuation, true, &last)],
            &[got_ping.clone(), got_text(&whole)],
        ),
        bad(
            "the second fragment is too long",
            &[start.clone(), ping],
            &[got_ping],
            frame(Opcode::Continuation, true, &part),
            8,
            too_big,
        ),
        bad(
            "a character that the limit cuts in two",
            &[frame(Opcode::Text, false, &cut_in_a_character)],
            &[],
            frame(Opcode::Continuation, true, &"é".as_bytes()[1..]),
            6,
            too_big,
        ),
        bad(
            "one byte after the limit was filled",
            &[start, frame(Opcode::Continuation, false, &last)],
            &[],
            frame(Opcode::Continuation, true, b"x"),
            6,
            too_big,
        ),
    ]);
}

#[test]
fn family_2_pings_and_pongs_are_delivered_with_their_payload() {
    let ping = |payload: &[u8]| good("ping", &[control(Opcode::Ping, payload)], &[Received::Ping(payload.to_vec())]);
    let ten: Vec<Vec<u8>> = (0..10).map(|i| control(Opcode::Ping, &[i])).collect();
    let got_ten: Vec<Received> = (0..10).map(|i| Received::Ping(vec![i])).collect();
    check([
        ping(b""),
        ping(b"Hello, world!"),
        ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"),
        ping(&[0xfe; 125]),
        good("unasked pong", &[control(Opcode::Pong, b"hi")], &[Received::Pong(b"hi".to_vec())]),
        good("ten pings", &ten, &got_ten),
        bad(
            "ping of 126",
            &ten,
            &got_ten,
            with_first_byte(0x89, frame(Opcode::Binary, true, &[0; 126])),
            2,
            ProtocolError::ControlTooLong,
        ),
        bad(
            "pong of 65536",
            &[],
            &[],
            with_first_byte(0x8a, frame(Opcode::Binary, true, &[0; 65_536])),
            2,
            ProtocolError::ControlTooLong,
        ),
    ]);
}

#[test]
fn family_3_a_reserved_bit_is_refused_at_the_first_byte() {
    let before = [text(b"good")];
    check([0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70].into_iter().flat_map(|bits| {
        [0x81, 0x82, 0x88, 0x89, 0x8a].map(|first| {
            let frame = with_first_byte(first | bits, text(b"x"));
            bad(format!("{:x}", first | bits), &before, &[got_text("good")], frame, 1, ProtocolError::ReservedBit)
        })
    }));
}

#[test]
fn family_4_a_reserved_opcode_is_refused_at_the_first_byte() {
    let before = [text(b"good")];
    check([3, 4, 5, 6, 7, 11, 12, 13, 14, 15].into_iter().flat_map(|opcode| {
        [b"".as_slice(), b"payload"].map(|payload| {
            let frame = with_first_byte(0x80 | opcode, text(payload));
            let error = ProtocolError::ReservedOpcode(opcode);
            bad(format!("opcode {opcode}"), &before, &[got_text("good")], frame, 1, error)
        })
    }));
}

#[test]
fn family_5_fragments_join_and_control_frames_pass_between() {
    let start = |payload: &[u8]| frame(Opcode::Text, false, payload);
    let more = |payload: &[u8]| frame(Opcode::Continuation, false, payload);
    let end = |payload: &[u8]| frame(Opcode::Continuation, true, payload);
    let ping = || control(Opcode::Ping, b"between");
    let got_ping = || Received::Ping(b"between".to_vec());
    let pong = || control(Opcode::Pong, b"");
    check([
        good("two fragments", &[start(b"frag"), end(b"ment")], &[got_text("fragment")]),
        good("ping between", &[start(b"frag"), ping(), end(b"ment")], &[got_ping(), got_text("fragment")]),
        good(
            "controls between many",
            &[start(b"a"), ping(), more(b"b"), pong(), ping(), more(b""), end(b"c"), ping(), text(b"d")],
            &[got_ping(), Received::Pong(vec![]), got_ping(), got_text("abc"), got_ping(), got_text("d")],
        ),
        good("empty fragments", &[start(b""), more(b""), end(b"")], &[got_text("")]),
        good("only the middle has bytes", &[start(b""), more(b"middle"), end(b"")], &[got_text("middle")]),
        good(
            "binary, then text",
            &[frame(Opcode::Binary, false, &[0xff]), end(&[0xfe]), start(b"t"), end(b"")],
            &[Received::Binary(vec![0xff, 0xfe]), got_text("t")],
        ),
        good("an unfinished message is not delivered", &[start(b"never"), ping()], &[got_ping()]),
    ]);
}

#[test]
fn family_5_fragments_out_of_order_are_refused() {
    let start = |payload: &[u8]| frame(Opcode::Text, false, payload);
    let more = |payload: &[u8]| frame(Opcode::Continuation, false, payload);
    let end = |payload: &[u8]| frame(Opcode::Continuation, true, payload);
    let fragmented = |opcode| frame_of_control(opcode, false);
    check([
        bad("a fragmented ping", &[], &[], fragmented(Opcode::Ping), 1, ProtocolError::FragmentedControl),
        bad("a fragmented pong", &[start(b"a")], &[], fragmented(Opcode::Pong), 1, ProtocolError::FragmentedControl),
        bad("a fragmented close", &[], &[], fragmented(Opcode::Close), 1, ProtocolError::FragmentedControl),
        bad("a continuation of nothing", &[], &[], more(b"x"), 6, ProtocolError::UnexpectedContinuation),
        bad("an end of nothing", &[], &[], end(b""), 6, ProtocolError::UnexpectedContinuation),
        bad(
            "an end after the end",
            &[start(b"a"), end(b"b")],
            &[got_text("ab")],
            end(b"c"),
            6,
            ProtocolError::UnexpectedContinuation,
        ),
        bad(
            "an end after a whole text",
            &[text(b"a")],
            &[got_text("a")],
            end(b"c"),
            6,
            ProtocolError::UnexpectedContinuation,
        ),
        bad("a text inside a message", &[start(b"a")], &[], text(b"b"), 6, ProtocolError::ExpectedContinuation),
        bad("a start inside a message", &[start(b"")], &[], start(b""), 6, ProtocolError::ExpectedContinuation),
        bad(
            "a binary inside a text",
            &[start(b"a"), more(b"b")],
            &[],
            frame(Opcode::Binary, true, b"c"),
            6,
            ProtocolError::ExpectedContinuation,
        ),
    ]);
}

fn frame_of_control(opcode: Opcode, fin: bool) -> Vec<u8> {
    with_first_byte(opcode as u8 | if fin { 0x80 } else { 0 }, text(b"part"))
}

#[test]
fn family_6_text_may_be_cut_inside_its_characters() {
    let words = "Hëllö-µ@ßöä 漢字 😀 κόσμε \u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}";
    let bytes = words.as_bytes();
    let by_byte: Vec<Vec<u8>> = std::iter::once(frame(Opcode::Text, false, b""))
        .chain(bytes.iter().map(|byte| frame(Opcode::Continuation, false, &[*byte])))
        .chain(std::iter::once(frame(Opcode::Continuation, true, b"")))
        .collect();
    let whole = good("in one frame", &[text(bytes)], &[got_text(words)]);
    let split = (0..=bytes.len()).map(|cut| {
        let frames = [
            frame(Opcode::Text, false, &bytes[..cut]),
            control(Opcode::Pong, b"\xff"),
            frame(Opcode::Continuation, true, &bytes[cut..]),
        ];
        good(format!("cut at {cut}"), &frames, &[Received::Pong(vec![0xff]), got_text(words)])
    });
    check([whole, good("a frame a byte", &by_byte, &[got_text(words)])].into_iter().chain(split));
}

#[test]
fn family_6_the_first_impossible_byte_of_a_text_is_refused_at_once() {
    // Each with the place, counted from 1, of the byte after which no continuation can mend the text.
    let sequences: [(&[u8], usize); 18] = [
        (b"\x80", 1),
        (b"\xbf", 1),
        (b"\xfe", 1),
        (b"\xff", 1),
        (b"\xc0\xaf", 1),
        (b"\xc1\xbf", 1),
        (b"\xe0\x80\xaf", 2),
        (b"\xe0\x9f\xbf", 2),
        (b"\xed\xa0\x80", 2),
        (b"\xed\xbf\xbf", 2),
        (b"\xf0\x80\x80\xaf", 2),
        (b"\xf0\x8f\xbf\xbf", 2),
        (b"\xf4\x90\x80\x80", 2),
        (b"\xf5\x80\x80\x80", 1),
        (b"\xf8\x88\x80\x80\x80", 1),
        (b"\xc3\xc3", 2),
        (b"\xe2\x82\x28", 3),
        (b"\xf0\x9f\x98\xf0", 4),
    ];
    let around = "κόσμε";
    check(sequences.into_iter().flat_map(|(sequence, nth)| {
        let name = format!("{sequence:x?}");
        let payload = [around.as_bytes(), sequence, b"edited"].concat();
        let bad_at = around.len() + nth;
        let start = frame(Opcode::Text, false, &payload[..bad_at - 1]);
        [
            // A whole frame in one read is judged as a whole, which is the same or a later byte of the same read.
            bad(&name, &[], &[], text(&payload), SHORT_HEADER_BYTES + bad_at, ProtocolError::InvalidUtf8),
            bad(
                format!("{name} in the next fragment"),
                &[start],
                &[],
                frame(Opcode::Continuation, false, &payload[bad_at - 1..]),
                SHORT_HEADER_BYTES + 1,
                ProtocolError::InvalidUtf8,
            ),
        ]
    }));
}

#[test]
fn family_6_a_text_that_ends_inside_a_character_is_refused_at_its_end() {
    check([&b"\xce"[..], b"\xe1\xbd", b"\xf0\x9f\x98"].into_iter().flat_map(|cut| {
        let payload = [b"ok ", cut].concat();
        let last = SHORT_HEADER_BYTES + payload.len();
        let start = frame(Opcode::Text, false, &payload);
        let end = frame(Opcode::Continuation, true, b"");
        [
            bad("in one frame", &[], &[], text(&payload), last, ProtocolError::InvalidUtf8),
            bad("before an empty end", &[start], &[], end, SHORT_HEADER_BYTES, ProtocolError::InvalidUtf8),
        ]
    }));
}

#[test]
fn family_7_a_close_is_delivered_and_ends_everything() {
    let longest = "r".repeat(123);
    let payload = [b"\x03\xe8", longest.as_bytes()].concat();
    check([
        closed("empty", b"", None),
        closed("a code", b"\x03\xe8", Some((1000, ""))),
        closed("a reason", b"\x03\xe9bye \xc3\xa9", Some((1001, "bye é"))),
        closed("the longest reason", &payload, Some((1000, &longest))),
    ]);
    let allowed = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    check(allowed.map(|code: u16| closed(format!("code {code}"), &code.to_be_bytes(), Some((code, "")))));
}

#[test]
fn family_7_a_close_inside_a_message_drops_the_message() {
    let start = frame(Opcode::Text, false, b"unfinished");
    let close = control(Opcode::Close, b"\x03\xe8");
    let ends_with_byte = Some(start.len() + close.len());
    let wire = [start, close, frame(Opcode::Continuation, true, b"late")].concat();
    let items = vec![Received::Close(Some((1000, String::new())))];
    check([Case { name: "close inside a message".into(), wire, items, error: None, ends_with_byte }]);
}

#[test]
fn family_7_a_close_that_says_what_it_may_not_is_refused() {
    let refused = |payload: &[u8], error| {
        let close = control(Opcode::Close, payload);
        let last = close.len();
        bad(format!("{payload:x?}"), &[], &[], close, last, error)
    };
    let forbidden = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535];
    check(forbidden.map(|code: u16| refused(&code.to_be_bytes(), ProtocolError::ForbiddenCloseCode(code))));
    check([
        refused(b"\x03", ProtocolError::TruncatedCloseCode),
        refused(b"\x03\xe8\xce\xba\xed\xa0\x80", ProtocolError::InvalidUtf8),
        refused(b"\x03\xe8\xce", ProtocolError::InvalidUtf8),
        bad(
            "a close of 126",
            &[],
            &[],
            with_first_byte(0x88, frame(Opcode::Binary, true, &[3; 126])),
            2,
            ProtocolError::ControlTooLong,
        ),
    ]);
}
