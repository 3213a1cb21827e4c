//! What owners ask for, carried out. Another account's webhook is no webhook.

use std::sync::Arc;

use super::super::attempt::{Job, Report, Ticket};
use super::super::command::{
    Asker, Command, DeleteWebhook, GetWebhook, ListDeliveries, ListWebhooks, NewWebhook, RegenerateSecret,
    ReplayWebhook, Replaying, TestWebhook, WebhookChange,
};
use super::super::guard::WebhookUrl;
use super::super::store::{NewDelivery, Next};
use super::super::{
    AttemptRecord, DeliveryError, DeliveryId, DeliveryRecord, DeliveryState, DisableReason, EventId, Payload, Secret,
    SigningSecrets, Webhook, WebhookId,
};
use super::outcomes::attempt_record;
use super::{Core, Entry};
use crate::accounts::KeyNumber;
use crate::journal::Part;
use crate::limits;

/// [`NewWebhook`] with its URL looked at.
pub struct MakeWebhook {
    pub wanted: NewWebhook,
    pub url: WebhookUrl,
}

/// [`WebhookChange`] with its URL, if there is one, looked at.
pub struct MakeChange {
    pub wanted: WebhookChange,
    pub url: Option<WebhookUrl>,
}

/// The first half of [`TestWebhook`]: what is to be sent. Until [`RecordTest`] no other test of the webhook begins.
pub struct PrepareTest(pub TestWebhook);

/// The second half: what came of it.
pub struct RecordTest {
    pub ticket: Ticket,
    pub event: EventId,
    /// `None`: it was not made, as too much else was under way.
    pub report: Option<Report>,
}

impl Command for MakeWebhook {
    type Answer = Webhook;

    fn execute(self, core: &mut Core, now_ms: u64) -> Result<Webhook, DeliveryError> {
        core.make(self, now_ms)
    }
}

impl Command for MakeChange {
    type Answer = Webhook;

    fn execute(self, core: &mut Core, now_ms: u64) -> Result<Webhook, DeliveryError> {
        core.change(self, now_ms)
    }
}

impl Command for PrepareTest {
    type Answer = Job;

    fn execute(self, core: &mut Core, now_ms: u64) -> Result<Job, DeliveryError> {
        core.prepare_test(self.0, now_ms)
    }
}

impl Command for RecordTest {
    type Answer = AttemptRecord;

    fn execute(self, core: &mut Core, now_ms: u64) -> Result<AttemptRecord, DeliveryError> {
        core.record_test(self, now_ms)
    }
}

impl Core {
    fn make(&mut self, MakeWebhook { wanted, url }: MakeWebhook, now_ms: u64) -> Result<Webhook, DeliveryError> {
        self.require(wanted.asker)?;
        if wanted.events.is_empty() {
            return Err(DeliveryError::NoEvents);
        }
        let account = wanted.asker.account;
        if self.by_account.get(&account).map_or(0, Vec::len) >= limits::WEBHOOKS_PER_ACCOUNT_MAX {
            return Err(DeliveryError::TooManyWebhooks);
        }
        let webhook = Webhook {
            id: WebhookId::generate()?,
            account,
            url,
            events: wanted.events,
            secrets: SigningSecrets { current: Arc::new(Secret::generate()?), previous: Vec::new() },
            created_ms: now_ms,
            from_seq: self.events.kept(),
            disabled: None,
            failures: 0,
            failing_since_ms: None,
            replay: None,
        };
        self.store.insert_webhook(&webhook)?;
        self.enter(webhook.clone(), false);
        self.watch_account(account);
        Ok(webhook)
    }

    fn change(&mut self, MakeChange { wanted, url }: MakeChange, now_ms: u64) -> Result<Webhook, DeliveryError> {
        let id = wanted.webhook;
        let kept = self.events.kept();
        let webhook = &mut self.owned(wanted.asker, id)?.webhook;
        if wanted.events.is_some_and(|events| events.is_empty()) {
            return Err(DeliveryError::NoEvents);
        }
        webhook.events = wanted.events.unwrap_or(webhook.events);
        let moved = url.as_ref().is_some_and(|url| *url != webhook.url);
        if let Some(url) = url {
            webhook.url = url;
        }
        let was_active = webhook.is_active();
        let enabled = wanted.is_active == Some(true) && !was_active;
        if enabled {
            webhook.disabled = None;
            webhook.from_seq = kept;
        }
        if enabled || moved {
            (webhook.failures, webhook.failing_since_ms) = (0, None);
        }
        let changed = webhook.clone();
        self.store.update_webhook(&changed)?;
        if enabled && !self.webhooks[&id].is_dropping {
            self.lanes.open(id, changed.account);
            // What the attempts have left that were under way when it was disabled.
            self.look_up_due(id)?;
        }
        if enabled || moved {
            self.lanes.reset(id);
            // What is under way tells nothing of the endpoint as it is from now on.
            self.webhooks.get_mut(&id).expect("it was just changed").life += 1;
        }
        if wanted.is_active == Some(false) && was_active {
            self.disable(id, DisableReason::Owner, now_ms)?;
        }
        Ok(self.webhooks[&id].webhook.clone())
    }

    pub(in super::super) fn list(&mut self, list: ListWebhooks, _now_ms: u64) -> Result<Vec<Webhook>, DeliveryError> {
        self.require(list.asker)?;
        let ids = self.by_account.get(&list.asker.account).into_iter().flatten();
        let mut webhooks: Vec<Webhook> = ids.map(|id| self.webhooks[id].webhook.clone()).collect();
        webhooks.sort_by_key(|webhook| (webhook.created_ms, webhook.id));
        Ok(webhooks)
    }

    pub(in super::super) fn get(&mut self, get: GetWebhook, _now_ms: u64) -> Result<Webhook, DeliveryError> {
        Ok(self.owned(get.asker, get.webhook)?.webhook.clone())
    }

    pub(in super::super) fn delete(&mut self, delete: DeleteWebhook, _now_ms: u64) -> Result<Webhook, DeliveryError> {
        self.owned(delete.asker, delete.webhook)?;
        self.remove(delete.webhook)?.ok_or(DeliveryError::NoSuchWebhook)
    }

    pub(in super::super) fn regenerate(
        &mut self,
        regenerate: RegenerateSecret,
        now_ms: u64,
    ) -> Result<Webhook, DeliveryError> {
        let grace_ms = self.options.secret_grace_seconds.saturating_mul(1_000);
        let current = Arc::new(Secret::generate()?);
        let webhook = &mut self.owned(regenerate.asker, regenerate.webhook)?.webhook;
        webhook.secrets.replace(current, now_ms, grace_ms);
        let webhook = webhook.clone();
        self.store.update_webhook(&webhook)?;
        Ok(webhook)
    }

    pub(in super::super) fn deliveries(
        &mut self,
        list: ListDeliveries,
        _now_ms: u64,
    ) -> Result<Vec<DeliveryRecord>, DeliveryError> {
        self.owned(list.asker, list.webhook)?;
        self.store.history(list.webhook, list.records_max)
    }

    pub(in super::super) fn replay(&mut self, replay: ReplayWebhook, _now_ms: u64) -> Result<Replaying, DeliveryError> {
        let (id, since) = (replay.webhook, replay.since);
        let (position, kept) = (self.position, self.events.kept());
        let webhook = &self.owned(replay.asker, id)?.webhook;
        if !webhook.is_active() {
            return Err(DeliveryError::Inactive);
        }
        if since >= kept {
            return match since == kept - 1 {
                true => Ok(Replaying { from: kept, until: kept }),
                false => Err(DeliveryError::SinceInFuture { since, last_seq: kept - 1 }),
            };
        }
        // What comes from here on comes by itself.
        let until = position.max(webhook.from_seq);
        let from = self.retained_from(since + 1).min(until);
        let webhook = &mut self.webhooks.get_mut(&id).expect("it was just found").webhook;
        let (before, after) = webhook.replay.unwrap_or((from, until));
        webhook.replay = Some((before.min(from), after.max(until)));
        let webhook = webhook.clone();
        self.store.update_webhook(&webhook)?;
        if !self.replays.contains(&id) {
            self.replays.push(id);
        }
        Ok(Replaying { from, until })
    }

    /// The first number from `from` on that the journal still has.
    fn retained_from(&mut self, from: u64) -> u64 {
        let chunk = self.events.read(from, 1);
        match chunk.as_ref().ok().and_then(|chunk| chunk.parts.first()) {
            Some(Part::Gap(gap)) => gap.to + 1,
            _ => from,
        }
    }

    fn prepare_test(&mut self, test: TestWebhook, now_ms: u64) -> Result<Job, DeliveryError> {
        let event = EventId::generate()?;
        let entry = self.owned(test.asker, test.webhook)?;
        if std::mem::replace(&mut entry.testing, true) {
            return Err(DeliveryError::TestUnderWay);
        }
        Ok(Job {
            number: 0,
            ticket: Ticket { webhook: test.webhook, delivery: 0 },
            account: entry.webhook.account,
            url: Arc::new(entry.webhook.url.clone()),
            secrets: entry.webhook.secrets.clone(),
            delivery_id: DeliveryId::of(event, test.webhook),
            attempt: 1,
            payload: Payload::test(event, now_ms),
        })
    }

    fn record_test(&mut self, test: RecordTest, now_ms: u64) -> Result<AttemptRecord, DeliveryError> {
        let id = test.ticket.webhook;
        let Some(entry) = self.entry(id) else { return Err(DeliveryError::NoSuchWebhook) };
        entry.testing = false;
        let report = test.report.ok_or(DeliveryError::Busy)?;
        let duration_ms = u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX);
        let record = attempt_record(&report.outcome, duration_ms, now_ms);
        let delivery = NewDelivery {
            webhook: id,
            event: test.event,
            seq: None,
            kind: "webhook.test",
            state: DeliveryState::Pending,
            created_ms: now_ms,
            due_ms: now_ms,
            body: None,
            note: None,
        };
        if let Some(row) = self.store.insert_delivery(&delivery)? {
            let next = if report.outcome.is_success() { Next::Delivered } else { Next::Failed };
            self.store.attempted(row, &record, next)?;
            self.count_finished(id, 1);
        }
        Ok(record)
    }

    /// An account's webhooks get the events of its watchlist from now on.
    fn watch_account(&mut self, account: crate::accounts::AccountId) {
        if let Some(known) = self.directory.load().account(account).filter(|known| known.tier.may_webhooks()) {
            self.watchers.set(account, &known.watchlist);
        }
    }

    /// Whose key was revoked since it was looked at, must leave nothing behind.
    fn require(&self, asker: Asker) -> Result<(), DeliveryError> {
        self.require_key(asker.key)
    }

    pub(super) fn require_key(&self, key: KeyNumber) -> Result<(), DeliveryError> {
        match self.directory.load().key_is_live(key) {
            true => Ok(()),
            false => Err(DeliveryError::KeyRevoked),
        }
    }

    fn owned(&mut self, asker: Asker, id: WebhookId) -> Result<&mut Entry, DeliveryError> {
        self.require(asker)?;
        let owned = |entry: &&mut Entry| entry.webhook.account == asker.account;
        self.webhooks.get_mut(&id).filter(owned).ok_or(DeliveryError::NoSuchWebhook)
    }
}
