//! A value's canonical text: what `JSON.stringify(JSON.parse(text))` gives in JavaScript.
//!
//! A webhook's receiver parses the body, prints it again and checks the signature over its own print. So `data` is
//! brought to that print once, when it is published, and everyone sees the same bytes. The rules (ECMA-262):
//!
//! * numbers as `Number::toString` prints a double, the shortest that reads back (§6.1.6.1.20); -0 is `0`;
//! * an object's keys that are array indices (0 to 2^32 - 2, written plainly) first, ascending, then the others in the
//!   order in which they came (§10.1.11.1); of duplicates the last value wins, at the place of the first;
//! * strings escape only `"`, `\` and what is below U+0020 (§25.5.2.3).
//!
//! Integer literals past 2^53 are refused, as their digits would be lost. A literal with a fraction or an exponent was a
//! double to begin with and is taken as one: `1e20` becomes `100000000000000000000`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use simd_json::{Node, StaticNode};

use super::diagnosis::diagnose;
use super::json::{Json, JsonReader};
use super::{INTEGER_MAX, Refusal};

/// The canonical form of any JSON text.
pub fn canonical(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    JsonReader::new().read(text, |json| {
        let mut out = Vec::with_capacity(text.len());
        CanonicalWriter::default().write(json, None, &mut out).map_err(|IntegerTooLarge| diagnose(text))?;
        Ok(out)
    })
}

/// A literal past 2^53 was met. Where, [`diagnose`] finds out.
#[derive(Debug)]
pub(super) struct IntegerTooLarge;

/// Writes values; keeps its scratch from one to the next.
#[derive(Default)]
pub(super) struct CanonicalWriter {
    /// The members of the objects being written, innermost last.
    members: Vec<Member>,
}

/// One key of an object that stays after duplicates are gone.
struct Member {
    /// The key as an array index, or [`NO_INDEX`].
    index: u32,
    /// Where on the tape the key and the value that won stand.
    key: usize,
    value: usize,
}

/// Sorts behind every array index, the highest of which is 2^32 - 2.
const NO_INDEX: u32 = u32::MAX;
/// Objects up to this many keys look for duplicates by comparing, larger ones by hashing.
const COMPARED_KEYS_MAX: usize = 16;

impl CanonicalWriter {
    /// Appends `json`'s text to `out`. If it is an object, its own key `omit` is left out.
    ///
    /// Recurses as deep as the value nests, which the reader has bounded.
    pub(super) fn write(
        &mut self,
        json: Json<'_>,
        omit: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Result<(), IntegerTooLarge> {
        match json.node() {
            Node::String(text) => append_string(text, out),
            Node::Static(scalar) => append_scalar(scalar, out)?,
            Node::Array { .. } => {
                out.push(b'[');
                for (place, element) in json.elements().into_iter().flatten().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.write(element, None, out)?;
                }
                out.push(b']');
            }
            Node::Object { len, .. } => {
                let base = self.members.len();
                self.collect(json, len, omit);
                let written = self.write_members(json, base, out);
                self.members.truncate(base);
                written?;
            }
        }
        Ok(())
    }

    fn write_members(&mut self, object: Json<'_>, base: usize, out: &mut Vec<u8>) -> Result<(), IntegerTooLarge> {
        out.push(b'{');
        for place in base..self.members.len() {
            let Member { key, value, .. } = self.members[place];
            if place > base {
                out.push(b',');
            }
            append_string(object.beside(key).as_str().expect("a key is a string"), out);
            out.push(b':');
            self.write(object.beside(value), None, out)?;
        }
        out.push(b'}');
        Ok(())
    }

    /// Pushes the object's members in the order in which they are to be written.
    fn collect(&mut self, object: Json<'_>, len: usize, omit: Option<&str>) {
        let base = self.members.len();
        let mut places: HashMap<&str, usize, ahash::RandomState> = HashMap::default();
        let mut any_index = false;
        for (key, value) in object.members().into_iter().flatten() {
            if omit == Some(key) {
                continue;
            }
            let first = if len <= COMPARED_KEYS_MAX {
                let same = |member: &Member| object.beside(member.key).as_str() == Some(key);
                self.members[base..].iter().position(same).map(|place| base + place)
            } else {
                match places.entry(key) {
                    Entry::Occupied(first) => Some(*first.get()),
                    Entry::Vacant(place) => {
                        place.insert(self.members.len());
                        None
                    }
                }
            };
            match first {
                Some(first) => self.members[first].value = value.position(),
                None => {
                    let index = array_index(key).unwrap_or(NO_INDEX);
                    any_index |= index != NO_INDEX;
                    self.members.push(Member { index, key: value.position() - 1, value: value.position() });
                }
            }
        }
        if any_index {
            self.members[base..].sort_by_key(|member| member.index);
        }
    }
}

/// The key as an array index (ECMA-262 §6.1.7): digits without a leading zero, at most 2^32 - 2.
fn array_index(key: &str) -> Option<u32> {
    let plain = matches!(key.as_bytes(), [b'0'] | [b'1'..=b'9', ..]) && key.len() <= 10;
    if !plain { None } else { key.parse().ok().filter(|index| *index != NO_INDEX) }
}

fn append_scalar(scalar: StaticNode, out: &mut Vec<u8>) -> Result<(), IntegerTooLarge> {
    match scalar {
        StaticNode::Null => out.extend_from_slice(b"null"),
        StaticNode::Bool(true) => out.extend_from_slice(b"true"),
        StaticNode::Bool(false) => out.extend_from_slice(b"false"),
        StaticNode::U64(number) if number <= INTEGER_MAX => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        StaticNode::I64(number) if number.unsigned_abs() <= INTEGER_MAX => {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        }
        StaticNode::U64(_) | StaticNode::I64(_) => return Err(IntegerTooLarge),
        StaticNode::F64(number) => out.extend_from_slice(ryu_js::Buffer::new().format_finite(number).as_bytes()),
    }
    Ok(())
}

/// Appends `text` as a JSON string, quotes included, with the escapes of `JSON.stringify`.
pub(crate) fn append_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.push(b'"');
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !matches!(byte, 0..=0x1f | b'"' | b'\\') {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::Reason;

    fn of(text: &str) -> String {
        String::from_utf8(canonical(text.as_bytes()).unwrap_or_else(|refusal| panic!("{text}: {refusal:?}"))).unwrap()
    }

    #[test]
    fn numbers_print_as_javascript_prints_doubles() {
        for (text, expected) in [
            ("1.0", "1"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("-0e9", "0"),
            ("15000.50", "15000.5"),
            ("1E3", "1000"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("123456789012345678901.5", "123456789012345680000"),
            ("1e-6", "0.000001"),
            ("1e-7", "1e-7"),
            ("0.1000000000000000055511151231257827", "0.1"),
            ("5e-324", "5e-324"),
            ("1e-400", "0"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("9007199254740992", "9007199254740992"),
            ("-9007199254740992", "-9007199254740992"),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn what_javascript_cannot_hold_is_refused() {
        for (text, reason) in [
            ("9007199254740993", Reason::IntegerTooLarge),
            ("-9007199254740993", Reason::IntegerTooLarge),
            ("18446744073709551615", Reason::IntegerTooLarge),
            ("184467440737095516150", Reason::IntegerTooLarge),
            ("1e400", Reason::NumberOutOfRange),
            ("-1e309", Reason::NumberOutOfRange),
            (r#""\ud800""#, Reason::LoneSurrogate),
        ] {
            let refusal = canonical(format!(r#"{{"a":[{text}]}}"#).as_bytes()).unwrap_err();
            assert_eq!(refusal, Refusal::of("a[0]", reason), "{text}");
        }
    }

    #[test]
    fn index_keys_come_first_and_the_last_duplicate_wins_at_the_first_place() {
        assert_eq!(of(r#"{"b":1,"10":2,"9":3,"a":4,"0":5}"#), r#"{"0":5,"9":3,"10":2,"b":1,"a":4}"#);
        assert_eq!(
            of(r#"{"01":1,"4294967295":2,"4294967294":3,"-1":4}"#),
            r#"{"4294967294":3,"01":1,"4294967295":2,"-1":4}"#
        );
        assert_eq!(of(r#"{"a":1,"b":2,"a":3,"\u0061":4}"#), r#"{"a":4,"b":2}"#);
        assert_eq!(of(r#"{"a":{"2":1,"1":{"c":1,"c":2}},"":{}}"#), r#"{"a":{"1":{"c":2},"2":1},"":{}}"#);
    }

    #[test]
    fn large_objects_follow_the_same_rules() {
        let members =
            |values: &dyn Fn(u32) -> u32| (0..40).map(|n| format!(r#""k{n}":{}"#, values(n))).collect::<Vec<_>>();
        let once = members(&|n| n + 100).join(",");
        let text = format!("{{{},\"7\":0,{once}}}", members(&|n| n).join(","));
        assert_eq!(of(&text), format!("{{\"7\":0,{once}}}"));
    }

    #[test]
    fn strings_escape_as_json_stringify_does() {
        let text = r#""\u0000\u001F\b\f\n\r\t\"\\\/\u007f\u2028\u00e9\ud83d\ude00""#;
        assert_eq!(of(text), "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\u{7f}\u{2028}é😀\"");
    }

    #[test]
    fn an_omitted_key_is_left_out_of_the_outer_object_only() {
        let mut out = Vec::new();
        let text = br#"{"x":1,"a":{"x":2},"x":3}"#;
        JsonReader::new()
            .read(text, |json| {
                CanonicalWriter::default().write(json, Some("x"), &mut out).unwrap();
                Ok(())
            })
            .unwrap();
        assert_eq!(out, br#"{"a":{"x":2}}"#);
    }

    /// JSON texts with everything that canonical form changes: number spellings, escapes, index keys, duplicates.
    fn json_text() -> impl Strategy<Value = String> {
        let string = prop::collection::vec(
            prop_oneof![
                any::<char>().prop_map(|c| {
                    let quoted = serde_json::to_string(&c.to_string()).unwrap();
                    quoted[1..quoted.len() - 1].to_owned()
                }),
                any::<u8>().prop_map(|byte| format!("\\u00{byte:02X}")),
                Just("\\/".to_owned()),
                Just("\\ud83d\\ude00".to_owned()),
            ],
            0..4,
        )
        .prop_map(|pieces| format!("\"{}\"", pieces.concat()));
        let number = prop_oneof![
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
            (-(1i64 << 53)..=1 << 53).prop_map(|number| number.to_string()),
            (-99_999i32..99_999, -9i32..9).prop_map(|(digits, exponent)| format!("{digits}.50e{exponent}")),
        ];
        let key = prop_oneof![string.clone(), (0u64..5_000_000_000).prop_map(|n| format!("\"{n}\"")), "\"[ab01]\""];
        let scalar = prop_oneof![string, number, Just("true".into()), Just("false".into()), Just("null".into())];
        scalar.prop_recursive(4, 64, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[ {} ]", items.join(" ,\n"))),
                prop::collection::vec((key.clone(), inner), 0..24).prop_map(|members| {
                    let members: Vec<_> = members.into_iter().map(|(key, value)| format!("{key} : {value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    /// Doubles that print as an integer past 2^53: taken from `1e20`, refused from the digits.
    fn holds_long_integer(text: &[u8]) -> bool {
        matches!(canonical(text), Err(Refusal { reason: Reason::IntegerTooLarge, .. }))
    }

    /// Equal as values, in whatever order their members stand; numbers as doubles, and nearly, as serde_json may miss the nearest one by a little.
    fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
        use serde_json::Value::{Array, Number, Object};
        match (a, b) {
            (Number(a), Number(b)) => {
                let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
                (a - b).abs() <= a.abs() * 1e-14
            }
            (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Object(a), Object(b)) => {
                let is_in_b = |(key, a)| b.get(key).is_some_and(|b| same(a, b));
                a.len() == b.len() && a.iter().all(is_in_b)
            }
            _ => a == b,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn canonical_form_is_a_fixed_point_and_keeps_the_meaning(text in json_text()) {
            let once = canonical(text.as_bytes()).unwrap();
            let value = |text: &[u8]| -> serde_json::Value { serde_json::from_slice(text).unwrap() };
            prop_assert!(same(&value(text.as_bytes()), &value(&once)), "{}", String::from_utf8_lossy(&once));
            if !holds_long_integer(&once) {
                prop_assert_eq!(&canonical(&once).unwrap(), &once);
            }
        }

        /// simd-json's float parser against the standard library's, over many spellings.
        #[test]
        fn floats_are_read_exactly(digits in "[0-9]{1,25}", fraction in "[0-9]{1,25}", exponent in -340i32..300) {
            let literal = format!("{}.{fraction}e{exponent}", digits.trim_start_matches('0').to_owned() + "1");
            let number: f64 = literal.parse().unwrap();
            match canonical(literal.as_bytes()) {
                Ok(text) => prop_assert_eq!(std::str::from_utf8(&text).unwrap().parse::<f64>().unwrap().to_bits(), number.to_bits()),
                Err(refusal) => prop_assert!(number.is_infinite(), "{:?}", refusal),
            }
        }

        #[test]
        fn printed_doubles_read_back(bits in any::<u64>()) {
            let number = f64::from_bits(bits);
            prop_assume!(number.is_finite() && number != 0.0);
            let text = canonical(format!("{number:e}").as_bytes()).unwrap();
            prop_assert_eq!(std::str::from_utf8(&text).unwrap().parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
