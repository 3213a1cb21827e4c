//! What would take longer than a turn may: for its end everybody else waits. So it is done in pieces, one a turn.

use super::super::stats::DeliveryEnd;
use super::super::{DeliveryError, Webhook, WebhookId};
use super::Core;
use crate::limits;

/// What is left to be done about the deliveries of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// It was disabled: what waited up to this row is dropped. Until that is done nothing of it is sent and no replay goes on, also if
    /// it is enabled meanwhile.
    Disabled { to_row: i64 },
    /// Some may be due later than anything is: the clock was far ahead when that was written down.
    FarAhead,
}

impl Core {
    /// Does the next piece. Returns whether there are more.
    pub(super) fn clear_leftovers(&mut self, now_ms: u64) -> Result<bool, DeliveryError> {
        let mut rows_left = limits::PRUNE_ROWS_MAX;
        while rows_left > 0 {
            let rows = if let Some((id, leftover)) = self.leftovers.pop_front() {
                let rows = match leftover {
                    Leftover::Disabled { to_row } => self.drop_waiting(id, to_row, rows_left)?,
                    Leftover::FarAhead => self.bring_near(id, now_ms, rows_left)?,
                };
                if rows == rows_left {
                    // The others need not wait for all of it.
                    self.leftovers.push_back((id, leftover));
                }
                rows
            } else if let Some(id) = self.deleted.pop_front() {
                let rows = self.store.forget(id, rows_left)?;
                if rows == rows_left {
                    self.deleted.push_back(id);
                }
                rows
            } else {
                return Ok(false);
            };
            // A look that finds nothing costs something, too.
            rows_left = rows_left.saturating_sub(rows.max(1));
        }
        Ok(!self.leftovers.is_empty() || !self.deleted.is_empty())
    }

    /// Forgets a webhook and, by and by, all of its deliveries.
    pub(super) fn remove(&mut self, id: WebhookId) -> Result<Option<Webhook>, DeliveryError> {
        let Some(entry) = self.webhooks.remove(&id) else { return Ok(None) };
        self.store.delete_webhook(id)?;
        self.lanes.close(id);
        if let Some(due_ms) = entry.next_due {
            self.calendar.remove(&(due_ms, id));
        }
        self.replays.retain(|other| *other != id);
        self.leftovers.retain(|(other, _)| *other != id);
        self.deleted.push_back(id);
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

    /// Nothing that waits of a webhook now is sent.
    pub(super) fn begin_dropping(&mut self, id: WebhookId) -> Result<(), DeliveryError> {
        let to_row = self.store.begin_dropping(id)?;
        self.leftovers.retain(|left| !matches!(left, (other, Leftover::Disabled { .. }) if *other == id));
        self.leftovers.push_back((id, Leftover::Disabled { to_row }));
        if let Some(entry) = self.webhooks.get_mut(&id) {
            entry.is_dropping = true;
        }
        Ok(())
    }

    fn drop_waiting(&mut self, id: WebhookId, to_row: i64, rows_max: usize) -> Result<usize, DeliveryError> {
        let dropped = self.store.drop_waiting(id, to_row, rows_max, "the webhook was disabled")?;
        self.count_finished(id, dropped as u64);
        self.stats.deliveries.of(DeliveryEnd::Dropped).add(dropped as u64);
        if dropped == rows_max {
            return Ok(dropped);
        }
        self.store.end_dropping(id)?;
        // What came since, if it was enabled.
        let waiting = self.store.waiting(id)?;
        let Some(entry) = self.webhooks.get_mut(&id) else { return Ok(dropped) };
        (entry.is_dropping, entry.waiting) = (false, waiting);
        if entry.webhook.is_active() {
            self.lanes.open(id, entry.webhook.account);
            self.look_up_due(id)?;
        }
        Ok(dropped)
    }

    fn bring_near(&mut self, id: WebhookId, now_ms: u64, rows_max: usize) -> Result<usize, DeliveryError> {
        let latest_ms = now_ms.saturating_add(self.longest_wait_ms());
        let rows = self.store.bring_near(id, latest_ms, rows_max)?;
        if rows > 0 {
            self.note_due(id, latest_ms);
        }
        Ok(rows)
    }

    /// The longest that a delivery waits for its next attempt, by the schedule or as its endpoint asked.
    fn longest_wait_ms(&self) -> u64 {
        let options = &self.options;
        let scheduled_s = options.retry_seconds.iter().copied().max().unwrap_or(0);
        let scheduled_ms = scheduled_s.saturating_mul(10).saturating_mul(100 + u64::from(options.jitter_percent));
        let asked_ms = options.retry_after_max_seconds.saturating_mul(1_000);
        scheduled_ms.max(asked_ms).max(limits::POSTPONED_MS)
    }

    /// Deletes finished deliveries that are too old or too many, a slice at a time.
    pub(super) fn prune(&mut self, now_ms: u64) -> Result<bool, DeliveryError> {
        if self.webhooks.is_empty() || (self.pruned_ms..self.pruned_ms + limits::PRUNE_EVERY_MS).contains(&now_ms) {
            return Ok(false);
        }
        let rows_max = limits::PRUNE_ROWS_MAX;
        let before_ms = now_ms.saturating_sub(self.options.history_hours.saturating_mul(3_600_000));
        let mut more = self.store.prune_old(before_ms, now_ms, rows_max)? == rows_max;
        more |= self.prune_surplus(rows_max)?;
        if !more {
            self.pruned_ms = now_ms;
        }
        Ok(more)
    }

    /// Of the webhooks that may have too many, and of no others.
    fn prune_surplus(&mut self, mut rows_left: usize) -> Result<bool, DeliveryError> {
        let kept = u64::from(self.options.history);
        while rows_left > 0 {
            let Some(id) = self.surplus.front().copied() else { return Ok(false) };
            let pruned = self.store.prune_webhook(id, kept, rows_left)?;
            if pruned < rows_left {
                self.surplus.pop_front();
                if let Some(entry) = self.webhooks.get_mut(&id) {
                    entry.finished = 0;
                }
            }
            rows_left = rows_left.saturating_sub(pruned.max(1));
        }
        Ok(!self.surplus.is_empty())
    }

    /// So many more stand in a webhook's history.
    pub(super) fn count_finished(&mut self, id: WebhookId, deliveries: u64) {
        let slack = (u64::from(self.options.history) / 10).max(100);
        let Some(entry) = self.webhooks.get_mut(&id) else { return };
        let before = entry.finished;
        entry.finished = before.saturating_add(deliveries);
        if before < slack && entry.finished >= slack {
            self.surplus.push_back(id);
        }
    }
}
