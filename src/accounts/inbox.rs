//! What has come for the accounts thread: commands that wait for their turn, and acts that are to be written into the audit log.
//!
//! Each kind has places of its own, so however many commands come, none of them takes the place of an act. A command that finds no
//! place is refused. An act was done already, so it can't be: whoever brings it waits until the thread has taken those before it,
//! which is one command and one transaction away at most.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::audit::{Act, Author};
use crate::limits::{ACCOUNT_COMMANDS_QUEUED_MAX, AUDIT_ACTS_QUEUED_MAX};

/// Why a command was not taken. Its answer will not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("{ACCOUNT_COMMANDS_QUEUED_MAX} account commands are waiting already: try again in a second")]
    Overloaded,
    #[error("the accounts service has stopped: the server is shutting down")]
    Stopped,
}

pub struct Inbox<C> {
    queue: Mutex<Queue<C>>,
    /// Something has come, or nothing will come any more.
    mail: Condvar,
    /// Acts were taken, or none will be taken any more.
    room: Condvar,
}

struct Queue<C> {
    commands: VecDeque<C>,
    acts: Vec<(Act, Author)>,
    is_open: bool,
}

/// What the thread does next: all acts that wait, then a command.
pub struct Mail<C> {
    pub acts: Vec<(Act, Author)>,
    pub command: Option<C>,
}

impl<C> Inbox<C> {
    pub fn new() -> Self {
        let queue = Queue { commands: VecDeque::new(), acts: Vec::new(), is_open: true };
        Self { queue: Mutex::new(queue), mail: Condvar::new(), room: Condvar::new() }
    }

    /// Adds a command, without waiting.
    pub fn submit(&self, command: C) -> Result<(), SubmitError> {
        let mut queue = self.queue();
        if !queue.is_open {
            return Err(SubmitError::Stopped);
        }
        if queue.commands.len() >= ACCOUNT_COMMANDS_QUEUED_MAX {
            return Err(SubmitError::Overloaded);
        }
        queue.commands.push_back(command);
        self.mail.notify_one();
        Ok(())
    }

    /// Adds an act; waits for a place where none is free. It comes back where nothing is taken in any more.
    pub fn record(&self, act: Act, by: Author) -> Option<(Act, Author)> {
        let is_full = |queue: &mut Queue<C>| queue.is_open && queue.acts.len() >= AUDIT_ACTS_QUEUED_MAX;
        let mut queue = self.room.wait_while(self.queue(), is_full).expect("no holder panics");
        if !queue.is_open {
            return Some((act, by));
        }
        queue.acts.push((act, by));
        self.mail.notify_one();
        None
    }

    /// Waits for something to do, for so long. `None`: it was closed, and everything was taken.
    pub fn take(&self, patience: Duration) -> Option<Mail<C>> {
        let is_empty = |queue: &mut Queue<C>| queue.is_open && queue.commands.is_empty() && queue.acts.is_empty();
        let (mut queue, _) = self.mail.wait_timeout_while(self.queue(), patience, is_empty).expect("no holder panics");
        let mail = Mail { acts: std::mem::take(&mut queue.acts), command: queue.commands.pop_front() };
        self.room.notify_all();
        (queue.is_open || mail.command.is_some() || !mail.acts.is_empty()).then_some(mail)
    }

    /// From now on nothing is taken in.
    pub fn close(&self) {
        self.queue().is_open = false;
        self.mail.notify_all();
        self.room.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue<C>> {
        self.queue.lock().expect("no holder panics")
    }
}
