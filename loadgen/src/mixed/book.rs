//! What went wrong, counted by protocol and kind, with one example of each.

use std::fmt;

use super::protocol::Protocol;

/// What a server can do to a socket that it should not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An event never came.
    Missing,
    /// An event came again.
    Duplicated,
    /// An event came after a later one.
    Reordered,
    /// An event of a topic that the socket does not hear.
    Foreign,
    /// Its bytes are not those that the event must become.
    Altered,
    /// A message or frame that is no event of the run and no answer that was due.
    Unexpected,
    /// An event came whose number the server had already named as passed, so that a client who resumes there loses it.
    Overtaken,
    /// An event came under another number than its publisher was told. Counted by event, not by delivery.
    Renumbered,
    /// A ping was not answered.
    Unanswered,
    /// The socket ended before it was told to.
    Ended,
}

impl Fault {
    pub const ALL: [Self; 10] = [
        Self::Missing,
        Self::Duplicated,
        Self::Reordered,
        Self::Foreign,
        Self::Altered,
        Self::Unexpected,
        Self::Overtaken,
        Self::Renumbered,
        Self::Unanswered,
        Self::Ended,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Foreign => "foreign",
            Self::Altered => "altered",
            Self::Unexpected => "unexpected",
            Self::Overtaken => "overtaken",
            Self::Renumbered => "renumbered",
            Self::Unanswered => "unanswered",
            Self::Ended => "ended",
        }
    }

    /// As it stands after a number.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Missing => "deliveries missing",
            Self::Duplicated => "duplicated",
            Self::Reordered => "reordered",
            Self::Foreign => "of topics that the socket does not hear",
            Self::Altered => "altered",
            Self::Unexpected => "unexpected messages",
            Self::Overtaken => "overtaken by a number that the server told",
            Self::Renumbered => "events under another number than the publisher was told",
            Self::Unanswered => "pings unanswered",
            Self::Ended => "sockets ended early",
        }
    }
}

/// Counts and examples of one run.
#[derive(Debug, Default)]
pub struct Book {
    counts: [[u64; Fault::ALL.len()]; Protocol::ALL.len()],
    pub examples: Vec<String>,
}

/// How much of a strange message an example shows.
const EXAMPLE_BYTES_MAX: usize = 400;

impl Book {
    /// Enters a fault; `example` says what happened, and is asked only for the first of its kind and protocol.
    pub fn enter(&mut self, protocol: Protocol, fault: Fault, example: impl FnOnce() -> String) {
        self.enter_many(protocol, fault, 1, example);
    }

    pub fn enter_many(&mut self, protocol: Protocol, fault: Fault, count: u64, example: impl FnOnce() -> String) {
        let entry = &mut self.counts[protocol as usize][fault as usize];
        if *entry == 0 && count > 0 {
            self.examples.push(format!("{}, {}: {}", protocol.name(), fault.name(), example()));
        }
        *entry += count;
    }

    pub fn count(&self, protocol: Protocol, fault: Fault) -> u64 {
        self.counts[protocol as usize][fault as usize]
    }

    /// A sentence a kind of fault; none where all went well.
    pub fn broken(&self) -> Vec<String> {
        let of = |(protocol, fault): (Protocol, Fault)| {
            let count = self.count(protocol, fault);
            (count > 0).then(|| format!("{}: {count} {}", protocol.name(), fault.words()))
        };
        let all = Protocol::ALL.into_iter().flat_map(|protocol| Fault::ALL.map(|fault| (protocol, fault)));
        all.filter_map(of).collect()
    }
}

/// Bytes of a peer as a person can read them, cut to a bearable length.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = &self.0[..self.0.len().min(EXAMPLE_BYTES_MAX)];
        let text = String::from_utf8_lossy(cut);
        write!(f, "{}", text.escape_debug().to_string().replace("\\\"", "\""))?;
        if cut.len() < self.0.len() { write!(f, "… ({} bytes)", self.0.len()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_kind_and_shown_once() {
        let mut book = Book::default();
        assert!(book.broken().is_empty());
        for _ in 0..3 {
            book.enter(Protocol::Rooms, Fault::Foreign, || "an example".into());
        }
        book.enter_many(Protocol::Tiered, Fault::Missing, 0, || "none".into());
        assert_eq!(book.broken(), ["rooms: 3 of topics that the socket does not hear"]);
        assert_eq!(book.examples, ["rooms, foreign: an example"]);
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(Shown(b"{\"a\":1}\n\x1b").to_string(), "{\"a\":1}\\n\\u{1b}");
        assert!(Shown(&[b'x'; 5000]).to_string().len() < 500);
    }
}
