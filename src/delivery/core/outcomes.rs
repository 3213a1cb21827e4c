//! What came of attempts: success, another attempt later, the end of a delivery, the end of a webhook.

use super::super::attempt::{AttemptError, Outcome, Report, Ticket};
use super::super::lanes::Verdict;
use super::super::stats::DeliveryEnd;
use super::super::store::{NewDelivery, Next, Place};
use super::super::{
    AttemptRecord, DeliveryError, DeliveryState, DisableReason, Disabled, EventId, EventKind, Payload, WebhookId, retry,
};
use super::{Core, Sent};
use crate::limits;

/// The status that says that an endpoint is gone for good (RFC 9110 §15.5.11).
const GONE: u16 = 410;

/// An attempt that has ended.
pub struct Ended {
    report: Report,
    attempt: u32,
    life: u32,
    duration_ms: u64,
    /// How long the endpoint has asked to be left alone.
    asked_ms: Option<u64>,
}

impl Core {
    /// Gives back the workers of attempts that have ended, whatever becomes of the rest, and says which of them are known.
    pub fn end_attempts(&mut self, reports: impl IntoIterator<Item = Report>, now_ms: u64) -> Vec<Ended> {
        let mut known = Vec::new();
        for report in reports {
            let duration_ms = u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX);
            self.stats.attempts.of((&report.outcome).into()).add(1);
            self.stats.attempt.record(u64::try_from(report.duration.as_nanos()).unwrap_or(u64::MAX));
            let (verdict, asked_ms) = self.verdict(&report.outcome);
            match report.outcome {
                // It says nothing of the endpoint.
                Outcome::Failed(AttemptError::Sender) => self.lanes.withdraw(report.ticket),
                _ => self.lanes.finish(report.ticket, verdict, duration_ms, now_ms),
            }
            // One from before a recovery is not known: its delivery is made again.
            if let Some(Sent { attempt, life }) = self.sent.remove(&report.number) {
                known.push(Ended { report, attempt, life, duration_ms, asked_ms });
            }
        }
        known
    }

    /// Records what came of an attempt, and what follows.
    pub(super) fn note_attempt(&mut self, ended: Ended, now_ms: u64) -> Result<(), DeliveryError> {
        let Ended { report: Report { ticket, outcome, .. }, attempt, life, duration_ms, asked_ms } = ended;
        if matches!(outcome, Outcome::Failed(AttemptError::Sender)) {
            self.postpone(ticket, now_ms)?;
            return self.refill(ticket.webhook, now_ms);
        }
        let record = attempt_record(&outcome, duration_ms, now_ms);
        let next = self.next(ticket, attempt, &outcome, asked_ms, now_ms);
        if self.store.attempted(ticket.delivery, &record, next)? {
            match next {
                Next::Retry { due_ms } => self.note_due(ticket.webhook, due_ms),
                Next::Delivered => self.note_end(ticket.webhook, DeliveryEnd::Delivered),
                Next::Failed => self.note_end(ticket.webhook, DeliveryEnd::Failed),
            }
        }
        if self.webhooks.get(&ticket.webhook).is_some_and(|entry| entry.life == life) {
            self.note_health(ticket.webhook, &outcome, now_ms)?;
        }
        self.refill(ticket.webhook, now_ms)
    }

    fn note_end(&mut self, id: WebhookId, end: DeliveryEnd) {
        self.stats.deliveries.of(end).add(1);
        self.note_finished(id);
    }

    /// What the lane is told, and how long the endpoint has asked to be left alone.
    fn verdict(&self, outcome: &Outcome) -> (Verdict, Option<u64>) {
        if outcome.is_success() {
            return (Verdict::Success, None);
        }
        let asked_ms = match outcome {
            Outcome::Answered { retry_after: Some(asked), .. } => {
                let max_ms = self.options.retry_after_max_seconds.saturating_mul(1_000);
                Some(u64::try_from(asked.as_millis()).unwrap_or(u64::MAX).min(max_ms))
            }
            _ => None,
        };
        (Verdict::Failure { pause_ms: asked_ms }, asked_ms)
    }

    fn next(&mut self, ticket: Ticket, attempt: u32, outcome: &Outcome, asked_ms: Option<u64>, now_ms: u64) -> Next {
        if outcome.is_success() {
            return Next::Delivered;
        }
        let (random, options) = (self.random.u32(..), &self.options);
        let asked_max_ms = options.retry_after_max_seconds.saturating_mul(1_000);
        let delay_ms =
            retry::delay_ms(&options.retry_seconds, attempt, options.jitter_percent, random, asked_ms, asked_max_ms);
        let Some(delay_ms) = delay_ms else { return Next::Failed };
        let passed_ms = self.webhooks.get(&ticket.webhook).map_or(0, |entry| entry.cursor.due_ms);
        Next::Retry { due_ms: now_ms.saturating_add(delay_ms).max(passed_ms + 1) }
    }

    /// Counts failures in a row, and disables a webhook that has had too many of them for too long.
    fn note_health(&mut self, id: WebhookId, outcome: &Outcome, now_ms: u64) -> Result<(), DeliveryError> {
        let (failures_max, failing_max_ms) =
            (self.options.disable_failures, self.options.disable_seconds.saturating_mul(1_000));
        let Some(entry) = self.entry(id) else { return Ok(()) };
        let webhook = &mut entry.webhook;
        if outcome.is_success() {
            if webhook.failures == 0 {
                return Ok(());
            }
            (webhook.failures, webhook.failing_since_ms) = (0, None);
        } else {
            webhook.failures = webhook.failures.saturating_add(1);
            webhook.failing_since_ms.get_or_insert(now_ms);
        }
        let gone = matches!(outcome, Outcome::Answered { status: GONE, .. });
        let failing_ms = webhook.failing_since_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
        let failed = failures_max > 0 && webhook.failures >= failures_max && failing_ms >= failing_max_ms;
        let (is_active, copy) = (webhook.is_active(), webhook.clone());
        match (is_active, gone, failed) {
            (true, true, _) => self.disable(id, DisableReason::Gone, now_ms),
            (true, _, true) => self.disable(id, DisableReason::Failures, now_ms),
            _ => self.store.update_webhook(&copy),
        }
    }

    /// Nothing is sent any more until its owner enables it. What waited is dropped: a replay brings it.
    pub(super) fn disable(&mut self, id: WebhookId, reason: DisableReason, now_ms: u64) -> Result<(), DeliveryError> {
        let lowest = self.store.lowest_waiting(id)?;
        self.begin_dropping(id)?;
        self.lanes.close(id);
        let (position, kept) = (self.position, self.events.kept());
        let Some(entry) = self.entry(id) else { return Ok(()) };
        // Also what a replay had not come to yet.
        let replayed = entry.webhook.replay.take().map(|(next, _)| next);
        let from_seq = [lowest, replayed].into_iter().flatten().fold(position.min(kept), u64::min);
        entry.webhook.disabled = Some(Disabled { reason, at_ms: now_ms, from_seq });
        entry.waiting = 0;
        entry.life += 1;
        let webhook = entry.webhook.clone();
        if let Some(due_ms) = entry.next_due.take() {
            self.calendar.remove(&(due_ms, id));
        }
        self.replays.retain(|other| *other != id);
        self.store.update_webhook(&webhook)?;
        if reason == DisableReason::Owner {
            return Ok(());
        }
        let failures = webhook.failures;
        let why = match reason {
            DisableReason::Gone => "its endpoint answered 410 Gone".to_owned(),
            _ => format!("{failures} attempts in a row failed"),
        };
        let since = from_seq - 1;
        tracing::warn!(webhook = %id, account = %webhook.account, "disabled: {why}");
        let event = EventId::generate()?;
        let note = format!("disabled: {why}; once it is enabled, a replay with since={since} brings what it missed");
        self.notice(id, event, "webhook.disabled", &note, now_ms)?;
        let (account, payload) = (webhook.account, Payload::disabled(event, now_ms, &webhook));
        self.disabled.push(webhook);
        self.tell_siblings(&account, &payload, now_ms)
    }

    /// Sends an operational event to the account's webhooks that have asked for them.
    fn tell_siblings(
        &mut self,
        account: &crate::accounts::AccountId,
        payload: &Payload,
        now_ms: u64,
    ) -> Result<(), DeliveryError> {
        let asked = |id: &&WebhookId| {
            let webhook = &self.webhooks[*id].webhook;
            webhook.is_active() && webhook.events.contains(EventKind::Operational)
        };
        let siblings = self.by_account.get(account).into_iter().flatten().filter(asked);
        let siblings: Vec<WebhookId> = siblings.take(limits::OPERATIONAL_TOLD_MAX).copied().collect();
        for id in siblings {
            let entry = &self.webhooks[&id];
            let due_ms = now_ms.max(entry.cursor.due_ms);
            let delivery = NewDelivery {
                webhook: id,
                event: payload.event,
                seq: None,
                kind: payload.kind,
                state: DeliveryState::Pending,
                created_ms: now_ms,
                due_ms,
                body: Some(&payload.body),
                note: None,
            };
            if let Some(row) = self.store.insert_delivery(&delivery)? {
                self.admit(id, Place { due_ms, delivery: row }, None, now_ms)?;
            }
        }
        Ok(())
    }
}

/// An attempt as history keeps it.
pub(super) fn attempt_record(outcome: &Outcome, duration_ms: u64, now_ms: u64) -> AttemptRecord {
    let (status, error) = match outcome {
        Outcome::Answered { status, .. } if outcome.is_success() => (Some(*status), None),
        Outcome::Answered { status, .. } => (Some(*status), Some(format!("the endpoint answered {status}"))),
        Outcome::Failed(error) => (None, Some(error.to_string())),
    };
    AttemptRecord { at_ms: now_ms, duration_ms: u32::try_from(duration_ms).unwrap_or(u32::MAX), status, error }
}
