//! A value as it stands in the file, and the few kinds that keys ask it for. It knows its place and what its key wants, so
//! each fault is told with its line and the remedy.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;
use toml::de::DeValue;

use super::Fault;
use super::error::Misplaced;
use super::sections::Key;
use crate::limits::CONFIGURED_LIST_ENTRIES_MAX;

#[derive(Clone, Copy)]
pub struct Value<'t> {
    key: &'static Key,
    value: &'t Spanned<DeValue<'t>>,
    in_array: bool,
}

impl<'t> Value<'t> {
    pub fn new(key: &'static Key, value: &'t Spanned<DeValue<'t>>) -> Self {
        Self { key, value, in_array: false }
    }

    /// What would be right here; it ends a sentence that says "write".
    pub fn wanted(&self) -> String {
        format!("{}, such as {}", self.key.wanted, self.key.example)
    }

    /// It is of the right type, and wrong all the same. The message ends with the remedy.
    pub fn wrong(&self, message: String) -> Misplaced {
        (self.value.span().start, Fault::WrongValue { key: self.key.name, message })
    }

    /// Any text, in quotes.
    pub fn text(&self) -> Result<&'t str, Misplaced> {
        self.value.get_ref().as_str().ok_or_else(|| self.wrong_type(self.wanted()))
    }

    /// A text that says something.
    pub fn some_text(&self) -> Result<&'t str, Misplaced> {
        match self.text()? {
            "" => Err(self.wrong(format!("it is empty: write {}", self.wanted()))),
            text => Ok(text),
        }
    }

    /// A path. A relative one counts from the working directory.
    pub fn path(&self) -> Result<PathBuf, Misplaced> {
        self.some_text().map(PathBuf::from)
    }

    /// A text in a form of its own, whose error ends with the remedy.
    pub fn parsed<T: FromStr<Err: Display>>(&self) -> Result<T, Misplaced> {
        self.text()?.parse().map_err(|error: T::Err| self.wrong(error.to_string()))
    }

    /// A whole number.
    pub fn number<T: Whole>(&self, allowed: RangeInclusive<T>) -> Result<T, Misplaced> {
        self.whole(format!("{} to {}", allowed.start(), allowed.end()), |number| allowed.contains(number))
    }

    /// A whole number that is 0 or large enough.
    pub fn zero_or<T: Whole>(&self, allowed: RangeInclusive<T>) -> Result<T, Misplaced> {
        let ranges = format!("0, or {} to {}", allowed.start(), allowed.end());
        self.whole(ranges, |number| *number == T::default() || allowed.contains(number))
    }

    /// `true` or `false`.
    pub fn switch(&self) -> Result<bool, Misplaced> {
        self.value.get_ref().as_bool().ok_or_else(|| self.wrong_type("true or false".to_owned()))
    }

    /// The entries of an array, each with its own place.
    pub fn entries(&self) -> Result<impl Iterator<Item = Self>, Misplaced> {
        let entries = self.value.get_ref().as_array().ok_or_else(|| self.wrong_type(self.wanted()))?;
        if entries.len() > CONFIGURED_LIST_ENTRIES_MAX {
            let message = format!("it has {} entries: write {CONFIGURED_LIST_ENTRIES_MAX} at most", entries.len());
            return Err(self.wrong(message));
        }
        let key = self.key;
        Ok(entries.iter().map(move |value| Self { key, value, in_array: true }))
    }

    fn whole<T: Whole>(&self, ranges: String, allowed: impl Fn(&T) -> bool) -> Result<T, Misplaced> {
        let integer = self.value.get_ref().as_integer().ok_or_else(|| self.wrong_type(self.wanted()))?;
        // What is negative or overflows lies outside as well.
        let number =
            u64::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|number| number.try_into().ok());
        let out_of_range = || self.wrong(format!("{integer} is out of range: write {ranges}"));
        number.filter(allowed).ok_or_else(out_of_range)
    }

    fn wrong_type(&self, wanted: String) -> Misplaced {
        let got = kind(self.value.get_ref());
        let got = if self.in_array { format!("an array with {got} in it") } else { got.to_owned() };
        (self.value.span().start, Fault::WrongType { key: self.key.name, got, wanted })
    }
}

/// The whole numbers that options hold.
pub trait Whole: TryFrom<u64> + PartialOrd + Default + Display {}
impl Whole for u32 {}
impl Whole for u64 {}
impl Whole for usize {}

/// A value's type in words.
pub fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
