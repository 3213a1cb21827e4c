//! What was done, on its way into the log and out of it.

use std::fmt::Display;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Action, ActionFilter};
use crate::limits::{AUDIT_DETAIL_BYTES_MAX, AUDIT_NAMES_MAX, AUDIT_TARGET_CHARS_MAX};

/// Something that was done. Its text is bounded, and holds nothing that would break a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Act {
    pub action: Action,
    /// What it was done to: a name, an id, a path.
    target: String,
    /// An object; its fields depend on the action.
    detail: Value,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    /// Counts up, in the order of the changes; never used again.
    pub id: u64,
    pub at: Timestamp,
    pub actor: String,
    pub action: String,
    pub target: String,
    pub detail: Value,
}

/// Which entries are wanted; what is `None` bounds nothing.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    pub since: Option<Timestamp>,
    /// Later than this one.
    pub after: Option<u64>,
    /// Earlier than this one.
    pub before: Option<u64>,
    /// A part of the actor's words, in any case.
    pub actor: Option<String>,
    pub action: Option<ActionFilter>,
    pub entries_max: usize,
    /// The oldest of them, the oldest first; else the newest, the newest first.
    pub oldest_first: bool,
}

impl Act {
    /// `detail` is an object without anything secret.
    pub fn new(action: Action, target: impl Display, detail: Value) -> Self {
        debug_assert!(detail.is_object(), "{detail}");
        let detail = match detail.to_string().len() {
            bytes if bytes <= AUDIT_DETAIL_BYTES_MAX => detail,
            bytes => json!({ "bytes_left_out": bytes }),
        };
        Self { action, target: line(&target.to_string()), detail }
    }

    pub fn target(&self) -> &str {
        &self.target
    }

    pub fn detail(&self) -> &Value {
        &self.detail
    }
}

impl AuditEntry {
    /// As answers and `--json` show it.
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "at": self.at.to_string(),
            "actor": self.actor,
            "action": self.action,
            "target": self.target,
            "detail": self.detail,
        })
    }
}

/// Names for a detail: the first of them, and how many more there are.
pub fn named(names: impl Iterator<Item = impl Display>) -> Value {
    let mut names = names.map(|name| name.to_string());
    let mut told: Vec<String> = names.by_ref().take(AUDIT_NAMES_MAX).collect();
    match names.count() {
        0 => {}
        more => told.push(format!("and {more} more")),
    }
    told.into()
}

/// One line of bounded length, cut where it is longer.
fn line(text: &str) -> String {
    let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut chars = text.chars().map(clean);
    let mut line: String = chars.by_ref().take(AUDIT_TARGET_CHARS_MAX).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_recorded_is_one_bounded_line() {
        let long = Act::new(Action::BackupCreate, format!("a\nb\u{1b}[0m{}", "x".repeat(1000)), json!({}));
        assert_eq!(long.target().chars().count(), AUDIT_TARGET_CHARS_MAX + 1);
        assert!(long.target().starts_with("a\u{fffd}b\u{fffd}[0mx") && long.target().ends_with("x…"));
    }

    #[test]
    fn a_detail_that_is_too_long_is_left_out_by_its_length() {
        let fits = json!({ "a": "x".repeat(AUDIT_DETAIL_BYTES_MAX - r#"{"a":""}"#.len()) });
        assert_eq!(Act::new(Action::TokenMint, "u", fits.clone()).detail(), &fits);
        let more = json!({ "a": "x".repeat(AUDIT_DETAIL_BYTES_MAX) });
        let left_out = json!({ "bytes_left_out": more.to_string().len() });
        assert_eq!(Act::new(Action::TokenMint, "u", more).detail(), &left_out);
    }

    #[test]
    fn of_many_names_the_first_are_told_and_how_many_more() {
        assert_eq!(named(std::iter::empty::<&str>()), json!([]));
        assert_eq!(named(["a", "b"].iter()), json!(["a", "b"]));
        let many = named(0..AUDIT_NAMES_MAX + 3);
        let many = many.as_array().expect("an array");
        assert_eq!((many.len(), many.last()), (AUDIT_NAMES_MAX + 1, Some(&json!("and 3 more"))));
    }
}
