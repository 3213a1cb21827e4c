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
//! * What takes long is done in pieces (`leftovers.rs`), so that a turn is short. What is not: it looks at every webhook after a start or a
//!   recovery, when the clock was set back, when all are to be told of events that they don't get, and at all of an account that goes;
//!   it carries out all commands that wait, and it drops at once what waits past a backlog whose bound was made smaller.
//! * After an error of the database nothing in memory counts: the core is made anew from what was committed.

mod commands;
mod due;
mod events;
mod leftovers;
mod matches;
mod notices;
mod operator;
mod outcomes;
mod patience;
mod payloads;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ahash::HashMap;

pub use commands::{MakeChange, MakeWebhook, PrepareTest, RecordTest};
use due::Body;
pub use events::{Events, JournalEvents};
use leftovers::Leftover;
pub use outcomes::Ended;
pub use patience::Patience;
use payloads::PayloadCache;

use super::attempt::Job;
use super::lanes::{LaneOptions, Lanes};
use super::matching::Watchers;
use super::stats::{DeliveryStats, LaneState, WebhookState};
use super::store::{Place, Salts, Store};
use super::{DeliveryError, DeliveryId, Webhook, WebhookId, WebhookOptions};
use crate::accounts::{AccountId, Directory};
use crate::limits;
use crate::metrics::Label;

/// What the core's thread owns.
pub struct Core {
    store: Store,
    options: WebhookOptions,
    salts: Salts,
    events: Box<dyn Events>,
    directory: Arc<Directory>,
    accounts_version: u64,
    webhooks: HashMap<WebhookId, Entry>,
    /// The active and the disabled ones of each account, in no order.
    by_account: HashMap<AccountId, Vec<WebhookId>>,
    watchers: Watchers,
    lanes: Lanes,
    /// When the first delivery that is in the database alone is due, of each webhook that has one; but for those that were due when
    /// there was no room in the lane, for which the end of an attempt looks.
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
    /// Webhooks whose history may have become too long.
    surplus: VecDeque<WebhookId>,
    /// Webhooks that were disabled because of what their endpoints answered, as they are then, until that is told.
    disabled: Vec<Webhook>,
    /// What is done in pieces, by turns.
    leftovers: VecDeque<(WebhookId, Leftover)>,
    /// Webhooks that were deleted, of which deliveries are left; nobody waits for these.
    deleted: VecDeque<WebhookId>,
    /// The latest time since the clock was looked at; `None`: it was not.
    latest_ms: Option<u64>,
    /// Where the jitter of retries comes from.
    random: fastrand::Rng,
    stats: Arc<DeliveryStats>,
    /// When the numbers that take a look at every webhook were told last.
    told_ms: u64,
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
    /// What waited when it was disabled is being dropped.
    is_dropping: bool,
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
        now_ms: u64,
    ) -> Result<Self, DeliveryError> {
        Self::open_with_queues(store, options, events, directory, limits::LANE_QUEUE_MAX, now_ms)
    }

    fn open_with_queues(
        store: Store,
        options: WebhookOptions,
        events: Box<dyn Events>,
        directory: Arc<Directory>,
        queue_max: usize,
        now_ms: u64,
    ) -> Result<Self, DeliveryError> {
        let lanes = Lanes::new(LaneOptions {
            queue_max,
            concurrency: options.concurrency,
            rate_per_second: options.rate_per_second,
            rate_burst: options.rate_burst,
            breaker_failures: options.breaker_failures,
            breaker_ms: options.breaker_seconds.saturating_mul(1_000),
            workers: options.workers,
        });
        let mut core = Self {
            salts: store.salts()?,
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
            surplus: VecDeque::new(),
            disabled: Vec::new(),
            leftovers: VecDeque::new(),
            deleted: VecDeque::new(),
            latest_ms: None,
            random: fastrand::Rng::new(),
            stats: Arc::default(),
            told_ms: 0,
        };
        core.load(now_ms)?;
        Ok(core)
    }

    /// See [`WebhookOptions::follow`].
    pub fn follow(&mut self, options: WebhookOptions) {
        self.options.follow(options);
    }

    /// Undoes what was not committed. Nothing in memory counts any more, up to the recovery.
    pub fn abandon(&mut self) {
        self.store.roll_back();
        self.disabled.clear();
    }

    /// Begins anew with what the database holds: nothing else in memory counts. Attempts under way are not known any more; what they
    /// were of is sent again.
    pub fn recover(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        self.abandon();
        self.begin_anew(now_ms)?;
        // A disk that can be read but not written would have the same deliveries sent again and again.
        self.store_position()?;
        self.store.commit()
    }

    fn begin_anew(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        for webhook in self.webhooks.drain() {
            self.lanes.close(webhook.0);
        }
        self.by_account.clear();
        self.calendar.clear();
        self.replays.clear();
        self.surplus.clear();
        self.leftovers.clear();
        self.deleted.clear();
        self.payloads = PayloadCache::new(limits::PAYLOADS_CACHED_BYTES);
        self.latest_ms = None;
        self.watchers = Watchers::default();
        self.accounts_version = 0;
        self.position_moved_ms = None;
        self.sent.clear();
        self.load(now_ms)
    }

    fn load(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        let kept = self.events.kept();
        let known = self.store.known_below()?;
        if known > kept {
            let (first, last) = (kept, known - 1);
            tracing::warn!(
                first,
                last,
                "the journal was brought back from before these events: webhooks go on without them"
            );
            self.store.rewind(kept)?;
            self.tell_rewound(first, last, now_ms)?;
            // Before any of them is given out again: afterwards nobody could see that it was.
            self.store.commit()?;
            self.salts = self.store.salts()?;
        }
        let stored = self.store.position()?;
        self.position = stored.unwrap_or(kept);
        if stored != Some(self.position) {
            self.store_position()?;
            self.store.commit()?;
        }
        self.stored_position = self.position;
        self.deleted.extend(self.store.deleted()?);
        let dropping = self.store.dropping()?;
        self.leftovers.extend(dropping.iter().map(|(id, to_row)| (*id, Leftover::Disabled { to_row: *to_row })));
        for webhook in self.store.webhooks()? {
            let (id, active) = (webhook.id, webhook.is_active());
            if webhook.replay.is_some() {
                self.replays.push(id);
            }
            self.enter(webhook, dropping.contains_key(&id));
            let entry = self.webhooks.get_mut(&id).expect("just entered");
            entry.waiting = self.store.waiting(id)?;
            // What it kept is not known.
            self.count_finished(id, u64::MAX >> 1);
            if active && !dropping.contains_key(&id) {
                self.look_up_due(id)?;
            }
        }
        self.follow_accounts()
    }

    /// Makes room for a webhook in memory.
    fn enter(&mut self, webhook: Webhook, is_dropping: bool) {
        let (id, account) = (webhook.id, webhook.account);
        if webhook.is_active() && !is_dropping {
            self.lanes.open(id, account);
        }
        let entry = Entry {
            webhook,
            cursor: Place::default(),
            next_due: None,
            waiting: 0,
            finished: 0,
            is_dropping,
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
        self.look_at_clock(now_ms)?;
        let mut more = self.clear_leftovers(now_ms)?;
        more |= self.take_events(now_ms)?;
        more |= self.go_on_with_replays(now_ms)?;
        self.fill_lanes(now_ms)?;
        more |= self.prune(now_ms)?;
        self.tell(now_ms);
        Ok(more)
    }

    /// What is counted, for any thread.
    pub fn stats(&self) -> Arc<DeliveryStats> {
        self.stats.clone()
    }

    fn tell(&mut self, now_ms: u64) {
        self.stats.in_flight.set(self.lanes.under_way() as u64);
        // A turn comes at least so often, whatever happens.
        if self.told_ms <= now_ms && now_ms < self.told_ms + limits::DELIVERY_TOLD_EVERY_MS {
            return;
        }
        self.told_ms = now_ms;
        let entries = self.webhooks.values();
        let (active, waiting) = entries.fold((0, 0), |(active, waiting), entry| {
            (active + u64::from(entry.webhook.is_active()), waiting + entry.waiting)
        });
        self.stats.webhooks.of(WebhookState::Active).set(active);
        self.stats.webhooks.of(WebhookState::Disabled).set(self.webhooks.len() as u64 - active);
        self.stats.waiting.set(waiting);
        for (state, lanes) in LaneState::ALL.iter().zip(self.lanes.census(now_ms)) {
            self.stats.lanes.of(*state).set(lanes);
        }
    }

    /// Whether the clock was set back so far that the next turn begins anew. On its way that turn commits what stands before it, so no
    /// command may.
    pub fn clock_was_set_back(&self, now_ms: u64) -> bool {
        self.latest_ms.is_some_and(|latest_ms| latest_ms > now_ms.saturating_add(limits::CLOCK_SET_BACK_MS))
    }

    /// A clock that was ahead has left times that are years away. So what waits is looked at after a start, and when the clock was set
    /// back far.
    fn look_at_clock(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        let latest_ms = self.latest_ms.unwrap_or(0);
        if self.clock_was_set_back(now_ms) {
            tracing::warn!(by_ms = latest_ms - now_ms, "the clock was set back: webhooks begin anew with what waits");
            // Cursors, too, stand at the time that it was.
            self.close()?;
            self.begin_anew(now_ms)?;
        }
        if self.latest_ms.is_some() {
            self.latest_ms = Some(latest_ms.max(now_ms));
            return Ok(());
        }
        self.latest_ms = Some(now_ms);
        let grace_ms = self.options.secret_grace_seconds.saturating_mul(1_000);
        for (id, entry) in &mut self.webhooks {
            let webhook = &mut entry.webhook;
            webhook.failing_since_ms = webhook.failing_since_ms.map(|since_ms| since_ms.min(now_ms));
            let latest_ms = now_ms.saturating_add(grace_ms);
            let mut ends = webhook.secrets.previous.iter().map(|(_, until_ms)| until_ms);
            if ends.any(|until_ms| *until_ms > latest_ms) {
                for (_, until_ms) in &mut webhook.secrets.previous {
                    *until_ms = latest_ms.min(*until_ms);
                }
                // Stored, or each start would give them the whole grace again.
                self.store.update_webhook(webhook)?;
            }
            if webhook.is_active() {
                self.leftovers.push_back((*id, Leftover::FarAhead));
            }
        }
        Ok(())
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

    /// The webhooks that were disabled by themselves since the last call; to be told once that is committed.
    pub fn take_disabled(&mut self) -> Vec<Webhook> {
        std::mem::take(&mut self.disabled)
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
            self.stats.in_flight.set(self.lanes.under_way() as u64);
            return Ok(Some(Job {
                number: self.begun,
                ticket,
                account: entry.webhook.account,
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
}
