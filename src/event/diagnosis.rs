//! Why a text is not an event's JSON: the first mistake, its byte, the field it is in, and words for it.
//!
//! A second, slow reading of a text that the fast path refused. It keeps the path of keys as it goes, without
//! recursion. Bounded by the element's length and by [`EVENT_DEPTH_MAX`].

use std::ops::Range;

use super::invalid::cut_path;
use super::{Reason, Refusal};
use crate::limits::{EVENT_DEPTH_MAX, INTEGER_MAX};

/// The first mistake in `text`. What it finds no fault with is still refused, as not valid at its first byte: the fast
/// path has the last word.
pub(super) fn diagnose(text: &[u8]) -> Refusal {
    let mut scan = Scan { text, at: 0, path: Vec::new() };
    let reason = match std::str::from_utf8(text) {
        Err(error) => Reason::Syntax { byte: error.valid_up_to() + 1, what: "not UTF-8" },
        Ok(_) => scan.document().err().unwrap_or(Reason::Syntax { byte: 1, what: "not JSON" }),
    };
    Refusal { field: scan.field(), reason }
}

/// A container that is open: where in it the scan stands.
enum Step {
    /// An object, at the value of the key whose raw text this is.
    Key(Range<usize>),
    Index(usize),
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    path: Vec<Step>,
}

impl Scan<'_> {
    fn document(&mut self) -> Result<(), Reason> {
        loop {
            if self.value()? && self.after_value()? {
                return Ok(());
            }
        }
    }

    /// Reads a scalar, an empty container, or the opening of a container up to its first value. True when a value is
    /// complete.
    fn value(&mut self) -> Result<bool, Reason> {
        match self.next_byte() {
            Some(b'{') => {
                self.open()?;
                if self.next_byte() == Some(b'}') {
                    self.at += 1;
                    return Ok(true);
                }
                self.key()?;
                return Ok(false);
            }
            Some(b'[') => {
                self.open()?;
                if self.next_byte() == Some(b']') {
                    self.at += 1;
                    return Ok(true);
                }
                self.path.push(Step::Index(0));
                return Ok(false);
            }
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true")?,
            Some(b'f') => self.word(b"false")?,
            Some(b'n') => self.word(b"null")?,
            None => return self.fail("the text ends where a value should stand"),
            Some(_) => return self.fail("expected a value"),
        }
        Ok(true)
    }

    /// Reads what follows a value: closes containers, up to the next value's start. True at the end of the document.
    fn after_value(&mut self) -> Result<bool, Reason> {
        loop {
            let byte = self.next_byte();
            match (self.path.last_mut(), byte) {
                (None, None) => return Ok(true),
                (None, Some(_)) => return self.fail("text after the end of the event"),
                (Some(Step::Key(_)), Some(b',')) => {
                    self.at += 1;
                    self.path.pop();
                    self.key()?;
                    return Ok(false);
                }
                (Some(Step::Index(index)), Some(b',')) => {
                    *index += 1;
                    self.at += 1;
                    return Ok(false);
                }
                (Some(Step::Key(_)), Some(b'}')) | (Some(Step::Index(_)), Some(b']')) => {
                    self.at += 1;
                    self.path.pop();
                }
                (Some(Step::Key(_)), None) => return self.fail("an object is not closed"),
                (Some(Step::Index(_)), None) => return self.fail("an array is not closed"),
                (Some(Step::Key(_)), Some(_)) => return self.fail("expected a comma or } after a value"),
                (Some(Step::Index(_)), Some(_)) => return self.fail("expected a comma or ] after a value"),
            }
        }
    }

    fn open(&mut self) -> Result<(), Reason> {
        if self.path.len() == EVENT_DEPTH_MAX {
            return Err(Reason::TooDeep);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads `"key" :` and steps into its value.
    fn key(&mut self) -> Result<(), Reason> {
        match self.next_byte() {
            Some(b'"') => {}
            None => return self.fail("an object is not closed"),
            Some(_) => return self.fail("expected a key in double quotes"),
        }
        let key = self.string()?;
        if self.next_byte() != Some(b':') {
            return self.fail("expected a colon after a key");
        }
        self.at += 1;
        self.path.push(Step::Key(key));
        Ok(())
    }

    /// Reads a string from its opening quote; the range of what stands between the quotes.
    fn string(&mut self) -> Result<Range<usize>, Reason> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek(0) {
                None => return self.fail("a string is not closed"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(start..self.at - 1);
                }
                Some(b'\\') => self.escape()?,
                Some(0..=0x1f) => return self.fail("a control character in a string: write it as an escape"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), Reason> {
        match self.peek(1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match (self.code_unit(0)?, self.peek(6), self.peek(7)) {
                (0xd800..=0xdbff, Some(b'\\'), Some(b'u')) => match self.code_unit(6)? {
                    0xdc00..=0xdfff => self.at += 12,
                    _ => return Err(Reason::LoneSurrogate),
                },
                (0xd800..=0xdfff, ..) => return Err(Reason::LoneSurrogate),
                _ => self.at += 6,
            },
            _ => return self.fail("no such escape in a string"),
        }
        Ok(())
    }

    /// The four hex digits of the `\u` that starts `ahead` bytes from here.
    fn code_unit(&mut self, ahead: usize) -> Result<u32, Reason> {
        let mut unit = 0;
        for digit in 2..6 {
            match self.peek(ahead + digit).and_then(|byte| char::from(byte).to_digit(16)) {
                Some(value) => unit = unit << 4 | value,
                None => return self.fail("expected four hex digits after \\u"),
            }
        }
        Ok(unit)
    }

    fn number(&mut self) -> Result<(), Reason> {
        let start = self.at;
        let mut integer = true;
        self.at += usize::from(self.peek(0) == Some(b'-'));
        if self.peek(0) == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek(0) == Some(b'.') {
            integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek(0) {
            integer = false;
            self.at += 1;
            self.at += usize::from(matches!(self.peek(0), Some(b'+' | b'-')));
            self.digits()?;
        }
        if !matches!(self.peek(0), None | Some(b',' | b'}' | b']' | b':' | b'[' | b'{' | b' ' | b'\t' | b'\n' | b'\r'))
        {
            return self.fail("not a number");
        }
        let literal = std::str::from_utf8(&self.text[start..self.at]).expect("digits are ASCII");
        if integer && !literal.trim_start_matches('-').parse().is_ok_and(|magnitude: u64| magnitude <= INTEGER_MAX) {
            return Err(Reason::IntegerTooLarge);
        }
        if literal.parse().is_ok_and(f64::is_infinite) {
            return Err(Reason::NumberOutOfRange);
        }
        Ok(())
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Reason> {
        if !matches!(self.peek(0), Some(b'0'..=b'9')) {
            return self.fail("not a number");
        }
        while let Some(b'0'..=b'9') = self.peek(0) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Reason> {
        let ends = !matches!(self.peek(word.len()), Some(b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_'));
        if !(self.text[self.at..].starts_with(word) && ends) {
            return self.fail("expected a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// The next byte that is not white space (RFC 8259 §2); the scan stands at it.
    fn next_byte(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek(0) {
            self.at += 1;
        }
        self.peek(0)
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, Reason> {
        Err(Reason::Syntax { byte: self.at + 1, what })
    }

    /// The path of open containers, such as `data.legs[2].price`.
    fn field(&self) -> Option<String> {
        let mut field = String::new();
        for step in &self.path {
            match step {
                Step::Key(raw) => {
                    let dot = if field.is_empty() { "" } else { "." };
                    field = field + dot + &String::from_utf8_lossy(&self.text[raw.clone()]);
                }
                Step::Index(index) => field = format!("{field}[{index}]"),
            }
        }
        (!field.is_empty()).then(|| cut_path(field))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::FIELD_PATH_CHARS_MAX;

    fn of(text: &str) -> (Option<String>, Reason) {
        let Refusal { field, reason } = diagnose(text.as_bytes());
        (field, reason)
    }

    #[test]
    fn a_mistake_is_named_with_its_byte_and_field() {
        for (text, field, byte, what) in [
            ("", None, 1, "the text ends where a value should stand"),
            (r#"{"a":}"#, Some("a"), 6, "expected a value"),
            (r#"{"a":1"#, Some("a"), 7, "an object is not closed"),
            (r#"{"a":1 "b":2}"#, Some("a"), 8, "expected a comma or } after a value"),
            (r#"{"a":1,}"#, None, 8, "expected a key in double quotes"),
            (r#"{'a':1}"#, None, 2, "expected a key in double quotes"),
            (r#"{"a" 1}"#, None, 6, "expected a colon after a key"),
            (r#"{"a":{"b":[1,{"c":tru}]}}"#, Some("a.b[1].c"), 19, "expected a value"),
            (r#"{"a":[1,]}"#, Some("a[1]"), 9, "expected a value"),
            (r#"{"a":01}"#, Some("a"), 7, "not a number"),
            (r#"{"a":1.}"#, Some("a"), 8, "not a number"),
            (r#"{"a":.5}"#, Some("a"), 6, "expected a value"),
            (r#"{"a":"\x"}"#, Some("a"), 7, "no such escape in a string"),
            (r#"{"a":"\u12g4"}"#, Some("a"), 7, "expected four hex digits after \\u"),
            ("{\"a\":\"\n\"}", Some("a"), 7, "a control character in a string: write it as an escape"),
            (r#"{"a":"b"#, Some("a"), 8, "a string is not closed"),
            (r#"{} {}"#, None, 4, "text after the end of the event"),
        ] {
            assert_eq!(of(text), (field.map(Into::into), Reason::Syntax { byte, what }), "{text}");
        }
        let bad_utf8 = diagnose(b"{\"a\":\"\xff\"}");
        assert_eq!(bad_utf8.reason, Reason::Syntax { byte: 7, what: "not UTF-8" });
    }

    #[test]
    fn what_javascript_cannot_hold_is_named() {
        let field = Some("a.b[1]".to_owned());
        assert_eq!(of(r#"{"a":{"b":[0,1e400]}}"#), (field.clone(), Reason::NumberOutOfRange));
        assert_eq!(of(r#"{"a":{"b":[0,-9007199254740993]}}"#), (field.clone(), Reason::IntegerTooLarge));
        assert_eq!(
            of(r#"{"a":{"b":[9007199254740992,98765432109876543210]}}"#),
            (field.clone(), Reason::IntegerTooLarge)
        );
        for lone in [r"\ud800", r"\udc00", r"\ud800\u0041", r"\ud800\ud800", r"\ud800\n"] {
            assert_eq!(
                of(&format!(r#"{{"a":{{"b":[0,"{lone}"]}}}}"#)),
                (field.clone(), Reason::LoneSurrogate),
                "{lone}"
            );
        }
    }

    #[test]
    fn a_long_path_is_cut() {
        let (field, _) = of(&format!(r#"{{"{}":!}}"#, "é".repeat(500)));
        assert_eq!(field.unwrap(), "é".repeat(FIELD_PATH_CHARS_MAX) + "…");
    }
}
