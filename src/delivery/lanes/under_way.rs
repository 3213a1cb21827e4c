//! Attempts under way, by their tickets and by the time when they are overdue.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::WebhookId;
use crate::delivery::attempt::Ticket;

/// In the order of webhooks, deliveries and attempts. A webhook that was disabled and is enabled again may send a delivery whose last
/// attempt has not ended yet: the ticket is the same, the number is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    webhook: WebhookId,
    delivery: i64,
    number: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// Of all that were ever begun.
    pub number: u64,
    /// Its lane's place among the lanes.
    pub lane: usize,
    /// When it has taken too long for a prompt endpoint.
    pub overdue_at_ms: u64,
    pub is_overdue: bool,
}

#[derive(Debug, Default)]
pub struct UnderWay {
    attempts: BTreeMap<Key, Attempt>,
    /// Those that are not overdue yet.
    in_time: BTreeSet<(u64, Key)>,
}

impl UnderWay {
    pub fn len(&self) -> usize {
        self.attempts.len()
    }

    pub fn start(&mut self, ticket: Ticket, attempt: Attempt) {
        let key = Key { webhook: ticket.webhook, delivery: ticket.delivery, number: attempt.number };
        self.attempts.insert(key, attempt);
        self.in_time.insert((attempt.overdue_at_ms, key));
    }

    /// The lane of an attempt that has just become overdue.
    pub fn next_overdue(&mut self, now_ms: u64) -> Option<usize> {
        self.in_time.first().filter(|(overdue_at_ms, _)| *overdue_at_ms <= now_ms)?;
        let (_, key) = self.in_time.pop_first()?;
        let attempt = self.attempts.get_mut(&key).expect("only attempts under way are in time");
        attempt.is_overdue = true;
        Some(attempt.lane)
    }

    /// The attempt that a ticket stands for: the oldest, where there are several.
    pub fn end(&mut self, ticket: Ticket) -> Option<Attempt> {
        let key = |number| Key { webhook: ticket.webhook, delivery: ticket.delivery, number };
        let (key, attempt) =
            self.attempts.range(key(0)..=key(u64::MAX)).next().map(|(key, attempt)| (*key, *attempt))?;
        self.attempts.remove(&key);
        self.in_time.remove(&(attempt.overdue_at_ms, key));
        Some(attempt)
    }
}
