//! The hub without its thread, letter by letter: what a simulation drives.

use std::collections::VecDeque;

use super::*;

pub(crate) struct ByHand {
    hub: Hub,
    letters: VecDeque<HubMail>,
}

/// What was in a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    Publish,
    Kept,
    Stop,
}

impl ByHand {
    pub fn new(hub: Hub) -> Self {
        Self { hub, letters: VecDeque::new() }
    }

    /// Acts on the next letter, if there is one, as the thread does.
    pub fn step(&mut self) -> Option<Letter> {
        self.hub.dedupe.forget(clock::unix_ms());
        if self.letters.is_empty() {
            let mut letters = Vec::new();
            self.hub.handle.mailbox.collect(&mut letters);
            self.letters.extend(letters);
        }
        let mail = self.letters.pop_front()?;
        let letter = match mail {
            HubMail::Publish(_) => Letter::Publish,
            HubMail::Kept(_) => Letter::Kept,
            HubMail::Stop(_) => Letter::Stop,
        };
        self.hub.receive(mail);
        Some(letter)
    }

    /// Whether somebody waits for an answer.
    pub fn is_awaited(&self) -> bool {
        !self.hub.pending.is_empty()
    }

    /// Whether its thread would end now.
    pub fn is_done(&self) -> bool {
        self.letters.is_empty() && self.hub.is_done(clock::now())
    }

    pub fn end(&mut self) {
        self.hub.end();
    }
}
