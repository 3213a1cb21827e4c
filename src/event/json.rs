//! simd-json's tape, read as values.
//!
//! The reader copies an element into a buffer of its own (simd-json unescapes strings in place and wants padding), so
//! the caller's bytes stay as they came and a refusal can be explained from them. Buffers and tape are kept from one
//! element to the next.

use std::mem;

use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape, fill_tape_padded};

use super::Refusal;
use super::diagnosis::diagnose;
use crate::limits::EVENT_DEPTH_MAX;

pub(super) struct JsonReader {
    text: Vec<u8>,
    buffers: Buffers,
    /// Empty between two reads: only its allocation is kept.
    tape: Tape<'static>,
}

impl JsonReader {
    pub(super) fn new() -> Self {
        Self { text: Vec::new(), buffers: Buffers::with_max_depth(0, EVENT_DEPTH_MAX), tape: Tape(Vec::new()) }
    }

    /// Parses `text` and lends its value to `visit`. The caller bounds the length of `text`.
    pub(super) fn read<T>(
        &mut self,
        text: &[u8],
        visit: impl FnOnce(Json<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.text.clear();
        self.text.reserve(text.len() + INPUT_PADDING);
        self.text.extend_from_slice(text);
        self.text.extend_from_slice(&[b' '; INPUT_PADDING]);
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let filled = fill_tape_padded(&mut self.text, text.len(), &mut self.buffers, &mut tape);
        // simd-json tells that the text is wrong, but not reliably where: its positions inside strings are relative.
        let result = match filled {
            Ok(()) => visit(Json { nodes: &tape.0, at: 0 }),
            Err(_) => Err(diagnose(text)),
        };
        self.tape = tape.reset();
        result
    }
}

/// One value on the tape.
#[derive(Clone, Copy)]
pub(super) struct Json<'t> {
    nodes: &'t [Node<'t>],
    at: usize,
}

impl<'t> Json<'t> {
    pub(super) fn node(self) -> Node<'t> {
        self.nodes[self.at]
    }

    /// Where the value stands on its tape: what [`Self::beside`] takes back.
    pub(super) fn position(self) -> usize {
        self.at
    }

    /// The value at another position of the same tape.
    pub(super) fn beside(self, position: usize) -> Self {
        Self { nodes: self.nodes, at: position }
    }

    /// The position behind this value and all that it holds.
    fn end(self) -> usize {
        match self.node() {
            Node::Object { count, .. } | Node::Array { count, .. } => self.at + 1 + count,
            Node::String(_) | Node::Static(_) => self.at + 1,
        }
    }

    /// With its article, for messages.
    pub(super) fn type_name(self) -> &'static str {
        match self.node() {
            Node::Object { .. } => "an object",
            Node::Array { .. } => "an array",
            Node::String(_) => "a string",
            Node::Static(StaticNode::Null) => "null",
            Node::Static(StaticNode::Bool(_)) => "a boolean",
            Node::Static(_) => "a number",
        }
    }

    pub(super) fn is_null(self) -> bool {
        matches!(self.node(), Node::Static(StaticNode::Null))
    }

    pub(super) fn as_str(self) -> Option<&'t str> {
        match self.node() {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// A number, rounded to a double where it is a longer integer.
    pub(super) fn as_f64(self) -> Option<f64> {
        match self.node() {
            Node::Static(StaticNode::F64(number)) => Some(number),
            Node::Static(StaticNode::U64(number)) => Some(number as f64),
            Node::Static(StaticNode::I64(number)) => Some(number as f64),
            _ => None,
        }
    }

    /// An object's keys and values in the order of the text, duplicates included. `None` for what is no object.
    pub(super) fn members(self) -> Option<Members<'t>> {
        let Node::Object { len, .. } = self.node() else { return None };
        Some(Members { next: self.beside(self.at + 1), left: len })
    }

    /// An array's values. `None` for what is no array.
    pub(super) fn elements(self) -> Option<Elements<'t>> {
        let Node::Array { len, .. } = self.node() else { return None };
        Some(Elements { next: self.beside(self.at + 1), left: len })
    }
}

pub(super) struct Members<'t> {
    next: Json<'t>,
    left: usize,
}

impl<'t> Iterator for Members<'t> {
    type Item = (&'t str, Json<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.next.as_str().expect("a tape's object alternates keys and values");
        let value = self.next.beside(self.next.at + 1);
        self.next = self.next.beside(value.end());
        Some((key, value))
    }
}

pub(super) struct Elements<'t> {
    next: Json<'t>,
    left: usize,
}

impl<'t> Iterator for Elements<'t> {
    type Item = Json<'t>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = self.next;
        self.next = self.next.beside(value.end());
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Reason;

    fn accepts(text: &[u8]) -> bool {
        JsonReader::new().read(text, |_| Ok(())).is_ok()
    }

    #[test]
    fn members_and_elements_step_over_nested_values() {
        let text = br#"{"a":[1,[2,3],{"b":4}],"c":{"d":{}},"e":"f"}"#;
        let keys = JsonReader::new().read(text, |json| {
            let array = json.members().unwrap().next().unwrap().1;
            assert_eq!(
                array.elements().unwrap().map(Json::type_name).collect::<Vec<_>>(),
                ["a number", "an array", "an object"]
            );
            Ok(json.members().unwrap().map(|(key, _)| key.to_owned()).collect::<Vec<_>>())
        });
        assert_eq!(keys.unwrap(), ["a", "c", "e"]);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(accepts(&nested(EVENT_DEPTH_MAX)));
        let refusal = JsonReader::new().read(&nested(EVENT_DEPTH_MAX + 1), |_| Ok(())).unwrap_err();
        assert_eq!(refusal.reason, Reason::TooDeep);
        assert!(!accepts(&b"[".repeat(60_000)));
    }

    #[test]
    fn a_reader_forgets_what_it_read_before() {
        let mut reader = JsonReader::new();
        reader.read(br#"{"long":"\u0041 text that was here before"}"#, |_| Ok(())).unwrap();
        reader.read(br#"{"broken"#, |_| Ok(())).unwrap_err();
        let text = reader.read(br#"{"a":"b"}"#, |json| Ok(json.members().unwrap().next().unwrap().0.to_owned()));
        assert_eq!(text.unwrap(), "a");
    }

    /// JSON-like bytes: pieces of the grammar and of what breaks it, in any order.
    fn shards() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            &b"{"[..],
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"",
            b"\\",
            b"\\u",
            b"\\ud83d",
            b"\\ude00",
            b"\\n",
            b"a",
            b"0",
            b"-",
            b"1",
            b".",
            b"e",
            b"E+",
            b"1e400",
            b"12345678901234567890123",
            b"true",
            b"false",
            b"null",
            b" ",
            b"\n",
            b"\t",
            b"\0",
            b"\x7f",
            b"\xff",
            b"\xc3\xa9",
            b"\"k\":",
            b"\"v\"",
            b"{}",
            b"[]",
            b"-0",
            b"0.5",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        /// Against a parser of another make. serde_json takes integers past 2^64 (as doubles), this one does not.
        #[test]
        fn accepts_the_same_texts_as_serde_json(text in shards()) {
            let theirs = serde_json::from_slice::<serde_json::Value>(&text).is_ok();
            match JsonReader::new().read(&text, |_| Ok(())) {
                Ok(()) => prop_assert!(theirs, "taken: {:?}", String::from_utf8_lossy(&text)),
                Err(Refusal { reason: Reason::IntegerTooLarge, .. }) => {}
                Err(refusal) => prop_assert!(!theirs, "{:?}: {refusal:?}", String::from_utf8_lossy(&text)),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = accepts(&text);
        }
    }
}
