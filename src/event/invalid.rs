//! Why an event was refused, in words that the publisher can act on.

use std::fmt;

use super::{InvalidTopic, TradeKind};
use crate::accounts::InvalidOwner;
use crate::limits::{
    BATCH_EVENTS_MAX, EVENT_BYTES_MAX, EVENT_CHANNEL_BYTES_MAX, EVENT_DEPTH_MAX, EVENT_TYPE_BYTES_MAX,
    FIELD_PATH_CHARS_MAX,
};

/// The one event of a batch that made the server refuse it all, and why.
///
/// Displays as `line 3: data.leverage: expected a number, got a string`; in an array, whose events may share a line,
/// the index joins the field: `line 1: [6].data.leverage: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEvent {
    /// The line on which the event starts, from 1.
    pub line: u32,
    /// The event's place in the body's array, from 0; `None` where the body is no array.
    pub index: Option<u32>,
    /// The path of the field at fault, such as `data.legs[2].price`.
    pub field: Option<String>,
    pub reason: Reason,
}

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match (self.index, &self.field) {
            (Some(index), Some(field)) => write!(f, "[{index}].{field}: ")?,
            (Some(index), None) => write!(f, "[{index}]: ")?,
            (None, Some(field)) => write!(f, "{field}: ")?,
            (None, None) => {}
        }
        self.reason.fmt(f)
    }
}

impl std::error::Error for InvalidEvent {}

/// An [`InvalidEvent`] that does not know yet where in the body it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub field: Option<String>,
    pub reason: Reason,
}

impl Refusal {
    pub(super) fn of(field: &str, reason: impl Into<Reason>) -> Self {
        Self { field: Some(field.into()), reason: reason.into() }
    }

    pub(super) fn whole(reason: Reason) -> Self {
        Self { field: None, reason }
    }

    pub(super) fn at(self, line: u32, index: Option<u32>) -> InvalidEvent {
        InvalidEvent { line, index, field: self.field, reason: self.reason }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// `byte` counts from 1 in the event's own text.
    #[error("not valid JSON at byte {byte} of the event: {what}")]
    Syntax { byte: usize, what: &'static str },
    #[error("the body is no list of events: {what}")]
    Body { what: &'static str },
    #[error("the body holds no event")]
    Empty,
    #[error("more than {BATCH_EVENTS_MAX} events in one request: send them in several")]
    TooManyEvents,
    #[error("the event is longer than {EVENT_BYTES_MAX} bytes (or its closing bracket is missing)")]
    TooLong,
    #[error("longer than {EVENT_BYTES_MAX} bytes once its numbers are written out, as JSON.stringify does")]
    TooLongCanonical,
    #[error("nested deeper than {EVENT_DEPTH_MAX} levels")]
    TooDeep,
    #[error("a number past JavaScript's range (about 1.8e308): send it as a string")]
    NumberOutOfRange,
    #[error("an integer past 2^53, which JavaScript can't hold exactly: send it as a string")]
    IntegerTooLarge,
    #[error("half of a surrogate pair (\\ud800 to \\udfff stand only in pairs), which UTF-8 can't hold")]
    LoneSurrogate,
    #[error("expected {expected}, got {got}")]
    WrongType { expected: &'static str, got: &'static str },
    #[error("required, but missing")]
    Missing,
    #[error("given twice")]
    Twice,
    #[error("must not be empty")]
    Blank,
    #[error("longer than {bytes_max} bytes")]
    TextTooLong { bytes_max: usize },
    #[error("control characters are not allowed")]
    ControlCharacter,
    #[error(
        "must be at most {EVENT_TYPE_BYTES_MAX} bytes, start with a letter and hold only letters, digits and `_.-:/`"
    )]
    TypeNotToken,
    #[error("must be at most {EVENT_CHANNEL_BYTES_MAX} bytes and hold only letters, digits and `_.-:/`")]
    ChannelNotToken,
    #[error("expected a number that is 0 or more")]
    Negative,
    #[error("expected \"long\" or \"short\"")]
    Side,
    #[error("expected an RFC 3339 time such as 2025-01-15T10:30:00Z")]
    Timestamp,
    #[error("\"{}\" is what follows from the type: give that, or leave the field out", .0.as_str())]
    TradeTypeDisagrees(TradeKind),
    #[error("unknown field{}", suggestion(*.nearest))]
    UnknownField { nearest: Option<&'static str> },
    #[error(
        "no such trade type: there are trade.open, trade.increase, trade.close (a partial close, too) and \
         trade.liquidation"
    )]
    UnknownTrade,
    #[error("this type is one of the server's own messages: clients would take the event for one, choose another")]
    ServerType,
    #[error(
        "required for this type: no topic follows from it. Give one, such as market:BTC_USD (it follows only for \
         trade.open, trade.increase, trade.close, trade.liquidation and alert)"
    )]
    NoTopicFollows,
    #[error("a trade goes to its owner's topic: give wallet:{{data.owner}}, or leave the topic out")]
    TradeElsewhere,
    #[error("a wallet: topic carries trades only (trade.open, trade.increase, trade.close, trade.liquidation)")]
    NotATrade,
    #[error("the topic alerts carries the type alert only: its messages have no room for another")]
    NotAnAlert,
    #[error("this topic's messages are flat, and the server sets this field itself: rename it")]
    FlatCollision,
    #[error("no watchlist can hold it: {0}")]
    Owner(#[from] InvalidOwner),
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
}

/// A path as an error repeats it: keys come from the publisher, so it is bounded.
pub(super) fn cut_path(mut path: String) -> String {
    if let Some((end, _)) = path.char_indices().nth(FIELD_PATH_CHARS_MAX) {
        path.truncate(end);
        path.push('…');
    }
    path
}

fn suggestion(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!(": did you mean `{name}`?"),
        None => ": an event has type, topic, data, channel, key and id".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_line_and_field() {
        let reason = Reason::WrongType { expected: "a number", got: "a string" };
        let line = Refusal::of("data.leverage", reason.clone()).at(3, None);
        assert_eq!(line.to_string(), "line 3: data.leverage: expected a number, got a string");
        let element = Refusal::of("data.leverage", reason).at(1, Some(6));
        assert_eq!(element.to_string(), "line 1: [6].data.leverage: expected a number, got a string");
        let whole = Refusal::whole(Reason::Syntax { byte: 17, what: "expected a value" }).at(3, None);
        assert_eq!(whole.to_string(), "line 3: not valid JSON at byte 17 of the event: expected a value");
    }
}
