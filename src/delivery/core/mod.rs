//! The core: decides what is sent when, and keeps the database. It knows no threads and no clock: time (Unix milliseconds) and what
//! workers report come in, jobs go out.
//!
//! ```text
//!   step:  accounts ─▶ commands, reports ─▶ events of the journal, replays ─▶ waiting deliveries into lanes ─▶ commit
//!   then:  jobs for the workers that are free
//! ```
//!
//! Invariants:
//! * A delivery is in the database, committed, before a job is made of it.
//! * Of a webhook's deliveries that wait, those up to its *cursor* (in the order of [`Place`]) are in its lane or under way; the others
//!   are in the database alone, and the calendar knows when the first of them is due.
//! * After an error of the database nothing in memory counts: the core is made anew from what was committed.

mod commands;
mod due;
mod events;
mod matches;
mod outcomes;
mod payloads;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use ahash::HashMap;

pub use commands::{MakeChange, MakeWebhook, PrepareTest, RecordTest};
use due::Body;
pub use events::{Events, JournalEvents};
pub use outcomes::Ended;
use payloads::PayloadCache;

use super::attempt::Job;
use super::lanes::{LaneOptions, Lanes};
use super::matching::Watchers;
use super::store::{Place, Store};
use super::{DeliveryError, DeliveryId, Salt, Webhook, WebhookId, WebhookOptions};
use crate::accounts::{AccountId, Directory};
use crate::limits;

/// What the core's thread owns.
pub struct Core {
    store: Store,
    options: WebhookOptions,
    salt: Salt,
    events: Box<dyn Events>,
    directory: Arc<Directory>,
    accounts_version: u64,
    webhooks: HashMap<WebhookId, Entry>,
    /// The active and the disabled ones of each account, in no order.
    by_account: HashMap<AccountId, Vec<WebhookId>>,
    watchers: Watchers,
    lanes: Lanes,
    /// When the first delivery that is in the database alone is due, of webhooks whose lanes have room.
    calendar: BTreeSet<(u64, WebhookId)>,
    /// Attempts under way, by their numbers.
    sent: HashMap<u64, Sent>,
    /// Attempts begun.
    begun: u64,
    /// What this turn may still record: everything in it is one transaction, for which all others wait.
    budget: usize,
    /// Webhooks whose replay is under way.
    replays: Vec<WebhookId>,
    payloads: PayloadCache,
    /// The number of the first event that was not matched yet, as it is and as it is on the disk.
    position: u64,
    stored_position: u64,
    position_moved_ms: Option<u64>,
    pruned_ms: u64,
    /// Where the jitter of retries comes from.
    random: fastrand::Rng,
}

/// A webhook with what is known of its deliveries.
struct Entry {
    webhook: Webhook,
    cursor: Place,
    /// When the first of those behind the cursor is due.
    next_due: Option<u64>,
    /// How many wait in all.
    waiting: u64,
    /// Deliveries finished since its history was last looked at.
    finished: u64,
    testing: bool,
    /// Counts the endpoints that it has had: another URL, or the same one enabled again.
    life: u32,
}

/// An attempt under way.
struct Sent {
    attempt: u32,
    /// Of its webhook, when it was sent.
    life: u32,
}

impl Core {
    /// Goes on where the database ends. A database without a position is new, and begins with what comes next.
    pub fn open(
        store: Store,
        options: WebhookOptions,
        events: Box<dyn Events>,
        directory: Arc<Directory>,
    ) -> Result<Self, DeliveryError> {
        let lanes = Lanes::new(LaneOptions {
            concurrency: options.concurrency,
            rate_per_second: options.rate_per_second,
            rate_burst: options.rate_burst,
            breaker_failures: options.breaker_failures,
            breaker_ms: options.breaker_seconds.saturating_mul(1_000),
            workers: options.workers,
        });
        let mut core = Self {
            salt: store.salt(),
            store,
            options,
            events,
            directory,
            accounts_version: 0,
            webhooks: HashMap::default(),
            by_account: HashMap::default(),
            watchers: Watchers::default(),
            lanes,
            calendar: BTreeSet::new(),
            sent: HashMap::default(),
            begun: 0,
            budget: 0,
            replays: Vec::new(),
            payloads: PayloadCache::new(limits::PAYLOADS_CACHED_BYTES),
            position: 0,
            stored_position: 0,
            position_moved_ms: None,
            pruned_ms: 0,
            random: fastrand::Rng::new(),
        };
        core.load()?;
        Ok(core)
    }

    /// Undoes what was not committed. Nothing in memory counts any more, up to the recovery.
    pub fn abandon(&mut self) {
        self.store.roll_back();
    }

    /// Begins anew with what the database holds: nothing else in memory counts. Attempts under way are not known any more; what they
    /// were of is sent again.
    pub fn recover(&mut self) -> Result<(), DeliveryError> {
        self.store.roll_back();
        for webhook in self.webhooks.drain() {
            self.lanes.close(webhook.0);
        }
        self.by_account.clear();
        self.calendar.clear();
        self.replays.clear();
        self.watchers = Watchers::default();
        self.accounts_version = 0;
        self.position_moved_ms = None;
        self.sent.clear();
        self.load()?;
        // A disk that can be read but not written would have the same deliveries sent again and again.
        self.store_position()?;
        self.store.commit()
    }

    fn load(&mut self) -> Result<(), DeliveryError> {
        let kept = self.events.kept();
        // A journal that is older than the database was brought back from a backup: what it lost can't be matched.
        let stored = self.store.position()?;
        self.position = stored.unwrap_or(kept).min(kept);
        if stored != Some(self.position) {
            self.store_position()?;
            self.store.commit()?;
        }
        self.stored_position = self.position;
        for webhook in self.store.webhooks()? {
            let (id, active) = (webhook.id, webhook.is_active());
            if webhook.replay.is_some() {
                self.replays.push(id);
            }
            self.enter(webhook);
            let entry = self.webhooks.get_mut(&id).expect("just entered");
            entry.waiting = self.store.waiting(id)?;
            entry.finished = u64::MAX >> 1;
            if active {
                self.look_up_due(id)?;
            }
        }
        self.follow_accounts()
    }

    /// Makes room for a webhook in memory.
    fn enter(&mut self, webhook: Webhook) {
        let (id, account) = (webhook.id, webhook.account);
        if webhook.is_active() {
            self.lanes.open(id);
        }
        let entry = Entry {
            webhook,
            cursor: Place::default(),
            next_due: None,
            waiting: 0,
            finished: 0,
            testing: false,
            life: 0,
        };
        self.webhooks.insert(id, entry);
        self.by_account.entry(account).or_default().push(id);
    }

    /// Everything that is not a command: one turn of the loop, up to the commit. Returns whether there is more to do at once.
    pub fn turn(&mut self, ended: Vec<Ended>, now_ms: u64) -> Result<bool, DeliveryError> {
        self.budget = limits::RECORDED_PER_TURN_MAX;
        if self.directory.version() != self.accounts_version {
            self.follow_accounts()?;
        }
        for ended in ended {
            self.note_attempt(ended, now_ms)?;
        }
        let mut more = self.take_events(now_ms)?;
        more |= self.go_on_with_replays(now_ms)?;
        self.fill_lanes(now_ms)?;
        more |= self.prune(now_ms)?;
        Ok(more)
    }

    /// Brings everything so far to the disk. A position that moved past nothing that matched may wait a moment.
    pub fn commit(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        // Without webhooks nothing is missed, wherever it begins again.
        if self.position != self.stored_position && !self.webhooks.is_empty() {
            let since = *self.position_moved_ms.get_or_insert(now_ms);
            if self.store.is_changed() || now_ms.saturating_sub(since) >= limits::POSITION_COMMIT_MS || now_ms < since {
                self.store_position()?;
            }
        }
        self.store.commit()
    }

    /// The same, the position without delay: for the end.
    pub fn close(&mut self) -> Result<(), DeliveryError> {
        self.store_position()?;
        self.store.commit()
    }

    fn store_position(&mut self) -> Result<(), DeliveryError> {
        self.store.set_position(self.position)?;
        self.stored_position = self.position;
        self.position_moved_ms = None;
        Ok(())
    }

    /// The next job, if there is one and a worker for it. Everything in it is committed; what it changes (an event that is gone) is
    /// committed with the next turn.
    pub fn next_job(&mut self, now_ms: u64) -> Result<Option<Job>, DeliveryError> {
        while let Some((ticket, queued)) = self.lanes.next(now_ms) {
            let payload = match self.payload(ticket, queued) {
                Ok(Body::There(payload)) => payload,
                without => {
                    // Whatever became of it, its worker is free again.
                    self.lanes.withdraw(ticket);
                    self.give_up(ticket, without?, now_ms)?;
                    continue;
                }
            };
            let Some(entry) = self.webhooks.get(&ticket.webhook) else {
                self.lanes.withdraw(ticket);
                continue;
            };
            self.begun += 1;
            self.sent.insert(self.begun, Sent { attempt: queued.attempt, life: entry.life });
            return Ok(Some(Job {
                number: self.begun,
                ticket,
                url: Arc::new(entry.webhook.url.clone()),
                secrets: entry.webhook.secrets.clone(),
                delivery_id: DeliveryId::of(payload.event, ticket.webhook),
                attempt: queued.attempt,
                payload,
            }));
        }
        Ok(None)
    }

    /// Whether something waits to be committed.
    pub fn is_changed(&self) -> bool {
        self.store.is_changed()
    }

    /// When there is something to do though nothing comes in.
    pub fn wake_at(&self, now_ms: u64) -> Option<u64> {
        let due = self.calendar.first().map(|(due_ms, _)| *due_ms);
        let position = self.position_moved_ms.map(|since| since + limits::POSITION_COMMIT_MS);
        let prune = (!self.webhooks.is_empty()).then_some(self.pruned_ms.min(now_ms) + limits::PRUNE_EVERY_MS);
        [due, position, prune, self.lanes.wake_at()].into_iter().flatten().min()
    }

    /// How far the journal and the accounts are, where that is further than was looked at.
    pub fn news(&self) -> Option<(u64, u64)> {
        let (kept, accounts) = (self.events.kept(), self.directory.version());
        (kept > self.position || accounts != self.accounts_version).then_some((kept, accounts))
    }

    /// Attempts under way.
    pub fn under_way(&self) -> usize {
        self.lanes.under_way()
    }

    fn entry(&mut self, webhook: WebhookId) -> Option<&mut Entry> {
        self.webhooks.get_mut(&webhook)
    }

    /// Brings the watchers up to the accounts in force; webhooks of accounts that are gone go.
    fn follow_accounts(&mut self) -> Result<(), DeliveryError> {
        let snapshot = self.directory.load();
        let changed: Vec<AccountId> = match snapshot.changed_since(self.accounts_version) {
            Some(changed) if self.accounts_version != 0 => {
                changed.filter(|account| self.by_account.contains_key(account)).collect()
            }
            _ => self.by_account.keys().copied().collect(),
        };
        for account in changed {
            match snapshot.account(account) {
                None => {
                    tracing::info!(%account, "its account is gone, so its webhooks go");
                    for webhook in self.by_account.get(&account).cloned().unwrap_or_default() {
                        self.remove(webhook)?;
                    }
                }
                Some(known) if known.tier.may_webhooks() => self.watchers.set(account, &known.watchlist),
                Some(_) => self.watchers.remove(account),
            }
        }
        self.accounts_version = snapshot.version();
        Ok(())
    }

    /// Forgets a webhook and all of its deliveries.
    fn remove(&mut self, id: WebhookId) -> Result<Option<Webhook>, DeliveryError> {
        let Some(entry) = self.webhooks.remove(&id) else { return Ok(None) };
        self.store.delete_webhook(id)?;
        self.lanes.close(id);
        self.calendar.retain(|(_, other)| *other != id);
        self.replays.retain(|other| *other != id);
        let account = entry.webhook.account;
        if let Some(siblings) = self.by_account.get_mut(&account) {
            siblings.retain(|other| *other != id);
            if siblings.is_empty() {
                self.by_account.remove(&account);
                self.watchers.remove(account);
            }
        }
        Ok(Some(entry.webhook))
    }

    /// Deletes finished deliveries that are too old or too many, a slice at a time.
    fn prune(&mut self, now_ms: u64) -> Result<bool, DeliveryError> {
        if self.webhooks.is_empty() || (self.pruned_ms..self.pruned_ms + limits::PRUNE_EVERY_MS).contains(&now_ms) {
            return Ok(false);
        }
        let rows_max = limits::PRUNE_ROWS_MAX;
        let before_ms = now_ms.saturating_sub(self.options.history_hours.saturating_mul(3_600_000));
        let mut more = self.store.prune_old(before_ms, rows_max)? == rows_max;
        let kept = u64::from(self.options.history);
        let slack = (kept / 10).max(100);
        let due = |(_, entry): &(&WebhookId, &mut Entry)| entry.finished >= slack;
        if let Some((id, entry)) = self.webhooks.iter_mut().find(due) {
            match self.store.prune_webhook(*id, kept, rows_max)? {
                pruned if pruned < rows_max => entry.finished = 0,
                _ => {}
            }
            more = true;
        }
        if !more {
            self.pruned_ms = now_ms;
        }
        Ok(more)
    }
}
