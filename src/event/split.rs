//! Cuts a publish body into its events' texts, without parsing them.
//!
//! ```text
//!   JSON     {…}            one event
//!            [{…}, {…}]     events with commas between
//!   NDJSON   {…}\n{…}\n     an event a line, blank lines skipped
//! ```
//!
//! The scanner knows strings, brackets and lines, no more: what stands between two cuts is for the parser to judge. It
//! looks at most [`EVENT_BYTES_MAX`] bytes ahead for an event's end, and it stops where the caller says, so a body of
//! any size is read in pieces of bounded work.

use std::ops::Range;

use super::{InvalidEvent, Reason, Refusal};
use crate::limits::EVENT_BYTES_MAX;

/// How a body holds its events: by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `application/json`: one object, or an array of objects.
    Json,
    /// `application/x-ndjson`: one object a line.
    Ndjson,
}

/// Where in a body an event stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its bytes, without white space around them.
    pub range: Range<usize>,
    /// The line on which it starts, from 1.
    pub line: u32,
    /// Its place in the array, from 0; `None` where the body is no array.
    pub index: Option<u32>,
}

/// What [`Splitter::next`] came upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Element(Element),
    /// The caller's stop, between two events.
    Paused,
    /// The body's end; all of it was read.
    End,
}

/// Walks over one body. It holds a position only: the caller passes the same body each time.
#[derive(Clone, Debug)]
pub struct Splitter {
    expected: Expected,
    at: usize,
    line: u32,
    /// The place of the array's next element.
    index: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// The first byte of a JSON body that is not white space.
    Body,
    /// An array's first element, or its end.
    FirstElement,
    /// An array's element, after a comma.
    Element,
    /// A comma, or the array's end.
    Comma,
    /// Nothing but white space.
    End,
    /// A line of NDJSON.
    Line,
}

impl Splitter {
    pub fn new(format: Format) -> Self {
        let expected = match format {
            Format::Json => Expected::Body,
            Format::Ndjson => Expected::Line,
        };
        Self { expected, at: 0, line: 1, index: 0 }
    }

    /// Bytes of the body that are behind it.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The line it stands on, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The next event's place. White space between events is skipped as far as `stop_at`, an event is always taken
    /// whole.
    pub fn next(&mut self, body: &[u8], stop_at: usize) -> Result<Next, InvalidEvent> {
        if self.at == 0 && body.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
        }
        loop {
            let Some(byte) = self.skip_white_space(body, stop_at) else {
                return if self.at < body.len() { Ok(Next::Paused) } else { self.end() };
            };
            match (self.expected, byte) {
                (Expected::Line, _) => return self.line_element(body).map(Next::Element),
                (Expected::Body, b'[') => self.step(Expected::FirstElement),
                (Expected::Body, b'{') => return self.element(body, Expected::End).map(Next::Element),
                (Expected::Body, _) => return self.fail("it is neither a JSON object nor an array of objects"),
                (Expected::FirstElement | Expected::Comma, b']') => self.step(Expected::End),
                (Expected::FirstElement | Expected::Element, b',' | b']') => {
                    return self.fail("an event is missing before this comma or bracket");
                }
                (Expected::FirstElement | Expected::Element, _) => {
                    return self.element(body, Expected::Comma).map(Next::Element);
                }
                (Expected::Comma, b',') => self.step(Expected::Element),
                (Expected::Comma, _) => return self.fail("expected a comma or ] after an event"),
                (Expected::End, b'{') => {
                    return self.fail(
                        "a second object follows the first: for an event a line, send Content-Type: application/x-ndjson",
                    );
                }
                (Expected::End, _) => return self.fail("text after its end"),
            }
        }
    }

    /// Takes a punctuation mark.
    fn step(&mut self, expected: Expected) {
        self.at += 1;
        self.expected = expected;
    }

    /// Takes the value that starts here.
    fn element(&mut self, body: &[u8], then: Expected) -> Result<Element, InvalidEvent> {
        let window = &body[self.at..body.len().min(self.at + EVENT_BYTES_MAX + 1)];
        let len = value_len(window).unwrap_or(window.len());
        let index = (then == Expected::Comma).then_some(self.index);
        let element = self.take(body, len, index)?;
        self.index += 1;
        self.expected = then;
        Ok(element)
    }

    /// Takes the line that starts here, up to its last byte that is not white space.
    fn line_element(&mut self, body: &[u8]) -> Result<Element, InvalidEvent> {
        let window = &body[self.at..body.len().min(self.at + EVENT_BYTES_MAX + 2)];
        let line = &window[..memchr::memchr(b'\n', window).unwrap_or(window.len())];
        self.take(body, line.trim_ascii_end().len(), None)
    }

    fn take(&mut self, body: &[u8], len: usize, index: Option<u32>) -> Result<Element, InvalidEvent> {
        let element = Element { range: self.at..self.at + len, line: self.line, index };
        if len > EVENT_BYTES_MAX {
            return Err(Refusal::whole(Reason::TooLong).at(self.line, index));
        }
        self.line += line_breaks(&body[element.range.clone()]);
        self.at = element.range.end;
        Ok(element)
    }

    fn end(&self) -> Result<Next, InvalidEvent> {
        match self.expected {
            Expected::FirstElement | Expected::Element | Expected::Comma => self.fail("its array is not closed"),
            Expected::Body | Expected::End | Expected::Line => Ok(Next::End),
        }
    }

    /// The first byte before `stop_at` that is not white space (RFC 8259 §2).
    fn skip_white_space(&mut self, body: &[u8], stop_at: usize) -> Option<u8> {
        let ahead = body.get(self.at..stop_at.min(body.len()))?;
        let blank = ahead.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).unwrap_or(ahead.len());
        self.line += line_breaks(&ahead[..blank]);
        self.at += blank;
        ahead.get(blank).copied()
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, InvalidEvent> {
        Err(Refusal::whole(Reason::Body { what }).at(self.line, None))
    }
}

/// Editors on Windows start a file with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

fn line_breaks(text: &[u8]) -> u32 {
    memchr::memchr_iter(b'\n', text).count() as u32
}

/// The length of the JSON value at the start of `text`, or `None` if it does not end there.
///
/// Brackets are counted, not matched: what is wrong inside is found by the parser, which gets the same cut.
fn value_len(text: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += string_len(&text[at..])?;
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return Some(at + depth),
            b'}' | b']' => depth -= 1,
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The length of the string at the start of `text`, quotes included.
fn string_len(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Each element's text, line and index; stops every `stride` bytes on the way.
    fn split(body: &[u8], format: Format, stride: usize) -> Result<Vec<(String, u32, Option<u32>)>, InvalidEvent> {
        let mut splitter = Splitter::new(format);
        let mut elements = Vec::new();
        loop {
            match splitter.next(body, splitter.position() + stride)? {
                Next::Element(Element { range, line, index }) => {
                    elements.push((String::from_utf8_lossy(&body[range]).into_owned(), line, index));
                }
                Next::Paused => {}
                Next::End => return Ok(elements),
            }
        }
    }

    fn found(elements: &[(&str, u32, Option<u32>)]) -> Vec<(String, u32, Option<u32>)> {
        elements.iter().map(|(text, line, index)| (text.to_string(), *line, *index)).collect()
    }

    #[test]
    fn json_bodies_are_one_object_or_an_array() {
        for stride in [1, 2, 1000] {
            let one = split(b"\n {\"a\":\n1} \n", Format::Json, stride).unwrap();
            assert_eq!(one, found(&[("{\"a\":\n1}", 2, None)]));
            let array = b"[ {\"a\":\"]},{\\\"\"},\n\n{\"b\":[{}]}\n,7, \"x,]\" ]\n";
            assert_eq!(
                split(array, Format::Json, stride).unwrap(),
                found(&[
                    (r#"{"a":"]},{\""}"#, 1, Some(0)),
                    (r#"{"b":[{}]}"#, 3, Some(1)),
                    ("7", 4, Some(2)),
                    (r#""x,]""#, 4, Some(3)),
                ])
            );
            assert_eq!(split(b"[]", Format::Json, stride).unwrap(), []);
        }
    }

    #[test]
    fn ndjson_bodies_are_an_object_a_line() {
        let body = b"\xef\xbb\xbf{\"a\":1}\r\n\r\n  \n {\"b\":2} \t\n{\"c\":3}";
        for stride in [1, 5, 1000] {
            assert_eq!(
                split(body, Format::Ndjson, stride).unwrap(),
                found(&[("{\"a\":1}", 1, None), ("{\"b\":2}", 4, None), ("{\"c\":3}", 5, None)])
            );
        }
    }

    #[test]
    fn a_body_that_is_no_list_of_events_is_refused_with_its_line() {
        for (body, line, what) in [
            ("\n7", 2, "it is neither a JSON object nor an array of objects"),
            ("[{}\n{}]", 2, "expected a comma or ] after an event"),
            ("[{},\n]", 2, "an event is missing before this comma or bracket"),
            ("[,{}]", 1, "an event is missing before this comma or bracket"),
            ("[{}", 1, "its array is not closed"),
            ("[{}] x", 1, "text after its end"),
            (
                "{}\n{}",
                2,
                "a second object follows the first: for an event a line, send Content-Type: application/x-ndjson",
            ),
        ] {
            let expected = Refusal::whole(Reason::Body { what }).at(line, None);
            assert_eq!(split(body.as_bytes(), Format::Json, 1000), Err(expected), "{body}");
        }
    }

    #[test]
    fn an_event_that_never_ends_is_cut_off_for_the_parser_or_refused() {
        let open = split(b"[{\"a\":\"b", Format::Json, 1000).unwrap_err();
        assert_eq!(open.reason, Reason::Body { what: "its array is not closed" });
        let mut splitter = Splitter::new(Format::Json);
        let Next::Element(element) = splitter.next(b"[{\"a\":\"b", 1000).unwrap() else { panic!("an element") };
        assert_eq!(element.range, 1..8);
        let endless = [b"\n[{\"a\":\"".as_slice(), &[b'x'; EVENT_BYTES_MAX]].concat();
        let expected = Refusal::whole(Reason::TooLong).at(2, Some(0));
        assert_eq!(split(&endless, Format::Json, 1000), Err(expected));
        assert_eq!(split(&endless, Format::Ndjson, 1000).unwrap_err().reason, Reason::TooLong);
    }

    #[test]
    fn the_longest_line_may_end_in_a_carriage_return() {
        let longest = [b"{\"a\":\"".as_slice(), &[b'x'; EVENT_BYTES_MAX - 8], b"\"}"].concat();
        let lines = [&longest[..], b"\r\n", &longest, b"\n", &longest].concat();
        assert_eq!(split(&lines, Format::Ndjson, 1000).unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(
            pieces in prop::collection::vec(prop::sample::select(vec!["{", "}", "[", "]", ",", "\"", "\\", "\n", " ", "7", "é"]), 0..60),
            stride in 1usize..9,
            ndjson in any::<bool>(),
        ) {
            let format = if ndjson { Format::Ndjson } else { Format::Json };
            let body = pieces.concat();
            prop_assert_eq!(split(body.as_bytes(), format, stride), split(body.as_bytes(), format, 1_000));
        }
    }
}
