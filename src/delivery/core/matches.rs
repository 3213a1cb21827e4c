//! From events to deliveries: each event is matched once, in the order of the journal; replays match again, for one webhook.

use super::super::lanes::Queued;
use super::super::payload::{Payload, audience};
use super::super::stats::DeliveryEnd;
use super::super::store::{NewDelivery, Place};
use super::super::{DeliveryError, DeliveryState, WebhookId};
use super::due::is_passing;
use super::notices::Missed;
use super::{Core, Entry};
use crate::event::Event;
use crate::hub::EncodedBatch;
use crate::journal::{Gap, GapReason, Part};
use crate::limits;

/// Why a delivery that waited is not made.
const BACKLOG_FULL: &str = "too many deliveries waited: the oldest were dropped";

impl Core {
    /// Matches the next kept events. Returns whether there are more.
    pub(super) fn take_events(&mut self, now_ms: u64) -> Result<bool, DeliveryError> {
        let kept = self.events.kept();
        if self.position >= kept {
            return Ok(false);
        }
        if self.webhooks.is_empty() {
            self.position = kept;
            return Ok(false);
        }
        let chunk = match self.events.read(self.position, limits::DELIVERY_READ_BYTES) {
            Ok(chunk) => chunk,
            Err(error) if is_passing(&error) => return Ok(false),
            Err(error) => {
                // Nothing better can be done than to go on with what is new; the damage is the journal's to tell of.
                tracing::error!(%error, from = self.position, to = kept - 1, "webhooks don't get events that can't be read");
                self.tell_all_missed(self.position, kept - 1, Missed::Unreadable, now_ms)?;
                self.position = kept;
                return Ok(false);
            }
        };
        let from = self.position;
        for part in &chunk.parts {
            match part {
                Part::Gap(gap) => {
                    self.tell_all_of_gap(gap, kept, now_ms)?;
                    self.position = (gap.to + 1).min(kept).max(self.position);
                }
                Part::Events(batch) => {
                    for (event, seq) in wanted(batch, self.position, kept) {
                        if self.budget == 0 {
                            return Ok(true);
                        }
                        self.position = seq + 1;
                        self.take_event(event, seq, batch.origin().unix_ms, now_ms)?;
                    }
                }
            }
        }
        Ok(self.position < kept && self.position > from)
    }

    /// The numbers of a crash were never acknowledged, but for those that `journal repair` cut: that told its operator which. Notices
    /// of each crash's numbers that were only leased would tell owners of losses that there were none.
    fn tell_all_of_gap(&mut self, gap: &Gap, kept: u64, now_ms: u64) -> Result<(), DeliveryError> {
        let (from, to) = (self.position.max(gap.from), gap.to.min(kept - 1));
        if gap.reason != GapReason::Retention || from > to {
            return Ok(());
        }
        tracing::error!(
            from,
            to,
            "webhooks don't get events that the journal dropped before they were looked at: raise its retention"
        );
        self.tell_all_missed(from, to, Missed::NotRetained, now_ms)
    }

    fn take_event(&mut self, event: &Event, seq: u64, created_ms: u64, now_ms: u64) -> Result<(), DeliveryError> {
        let Some((kind, owner)) = audience(event) else { return Ok(()) };
        let mut payload = None;
        for account in 0..self.watchers.of(owner).len() {
            let account = self.watchers.of(owner)[account];
            for index in 0..self.by_account.get(&account).map_or(0, Vec::len) {
                let id = self.by_account[&account][index];
                let webhook = &self.webhooks[&id].webhook;
                if !webhook.is_active() || !webhook.events.contains(kind) || seq < webhook.from_seq {
                    continue;
                }
                let payload = payload.get_or_insert_with(|| {
                    Payload::of_trade(self.salts.of(seq), event, seq, created_ms).expect("it has an audience")
                });
                self.payloads.put(seq, payload.clone());
                let event = payload.event;
                let entry = &self.webhooks[&id];
                // Behind all that has been taken into the lane, even where the clock was set back.
                let due_ms = now_ms.max(entry.cursor.due_ms);
                let delivery = NewDelivery {
                    webhook: id,
                    event,
                    seq: Some(seq),
                    kind: kind.as_str(),
                    state: DeliveryState::Pending,
                    created_ms: now_ms,
                    due_ms,
                    body: None,
                    note: None,
                };
                if let Some(row) = self.store.insert_delivery(&delivery)? {
                    self.admit(id, Place { due_ms, delivery: row }, Some(seq), now_ms)?;
                }
            }
        }
        Ok(())
    }

    /// A delivery that was just recorded goes into its lane, or waits in the database behind others that are due.
    pub(super) fn admit(
        &mut self,
        id: WebhookId,
        place: Place,
        seq: Option<u64>,
        now_ms: u64,
    ) -> Result<(), DeliveryError> {
        let has_room = self.has_room(id, now_ms);
        let backlog_max = u64::from(self.options.backlog);
        self.budget = self.budget.saturating_sub(1);
        let Some(entry) = self.entry(id) else { return Ok(()) };
        entry.waiting += 1;
        let excess = entry.waiting.saturating_sub(backlog_max);
        if has_room {
            entry.cursor = entry.cursor.max(place);
            self.lanes.push(id, Queued { delivery: place.delivery, seq, attempt: 1 });
        } else {
            self.note_due(id, place.due_ms);
        }
        if excess > 0 {
            let cursor = self.webhooks[&id].cursor;
            let dropped = self.store.drop_oldest(id, cursor, excess, BACKLOG_FULL)?;
            let entry = self.entry(id).expect("it is there");
            entry.waiting = entry.waiting.saturating_sub(dropped);
            self.count_finished(id, dropped);
            self.stats.deliveries.of(DeliveryEnd::Dropped).add(dropped);
            self.look_up_due(id)?;
        }
        Ok(())
    }

    /// Whether a delivery may go straight into the lane: nothing that is due stands before it in the database.
    fn has_room(&self, id: WebhookId, now_ms: u64) -> bool {
        // What is recorded now may be due a little later than now: the clock may have been set back.
        let waits = |entry: &Entry| entry.next_due.is_some_and(|due_ms| due_ms <= now_ms.max(entry.cursor.due_ms));
        !self.webhooks.get(&id).is_some_and(waits) && self.lanes.room(id) > 0
    }

    /// Goes on with the replays that have room for more. Returns whether one of them can go on at once.
    pub(super) fn go_on_with_replays(&mut self, now_ms: u64) -> Result<bool, DeliveryError> {
        let mut more = false;
        for index in (0..self.replays.len()).rev() {
            let id = self.replays[index];
            let Some(entry) = self.webhooks.get(&id) else { continue };
            // What it would bring may be what is about to be dropped: that waits already.
            if entry.is_dropping {
                continue;
            }
            // It must not fill the backlog, which drops the oldest.
            if self.budget == 0 || entry.waiting >= self.replay_room() {
                more |= self.budget == 0;
                continue;
            }
            more |= self.go_on_with_replay(id, now_ms)?;
            let entry = self.entry(id).expect("it is there");
            if entry.webhook.replay.is_none() {
                self.replays.swap_remove(index);
            }
        }
        Ok(more)
    }

    /// How many of a webhook's deliveries may wait while a replay adds to them.
    fn replay_room(&self) -> u64 {
        limits::REPLAYED_WAITING_MAX.min(u64::from(self.options.backlog) / 2).max(1)
    }

    fn go_on_with_replay(&mut self, id: WebhookId, now_ms: u64) -> Result<bool, DeliveryError> {
        let webhook = &self.webhooks[&id].webhook;
        let (account, kinds) = (webhook.account, webhook.events);
        let Some((from, until)) = webhook.replay else { return Ok(false) };
        let (mut next, mut failed) = (from, false);
        let chunk = (from < until).then(|| self.events.read(from, limits::DELIVERY_READ_BYTES)).transpose();
        match chunk {
            Ok(chunk) => {
                'chunk: for part in chunk.iter().flat_map(|chunk| &chunk.parts) {
                    let batch = match part {
                        Part::Gap(gap) => {
                            if gap.reason == GapReason::Retention {
                                let to = gap.to.min(until - 1);
                                self.tell_missed(id, next.max(gap.from), to, Missed::NotRetained, now_ms)?;
                            }
                            next = next.max(gap.to + 1);
                            continue;
                        }
                        Part::Events(batch) => batch,
                    };
                    for (event, seq) in wanted(batch, next, until) {
                        if self.budget == 0 || self.webhooks[&id].waiting >= self.replay_room() {
                            break 'chunk;
                        }
                        next = seq + 1;
                        let Some((kind, owner)) = audience(event) else { continue };
                        if kinds.contains(kind) && self.watchers.watches(account, owner) {
                            self.deliver_again(id, event, seq, batch.origin().unix_ms, now_ms)?;
                        }
                    }
                }
            }
            Err(error) if is_passing(&error) => return Ok(false),
            Err(error) => {
                tracing::error!(%error, webhook = %id, from, "a replay ends where events can't be read");
                self.tell_missed(id, from, until - 1, Missed::Unreadable, now_ms)?;
                failed = true;
            }
        }
        // Nothing came though there should be more: the journal is stopping, and the next start goes on.
        let ended = failed || next >= until;
        let webhook = &mut self.entry(id).expect("it is there").webhook;
        webhook.replay = (!ended).then_some((next, until));
        let webhook = webhook.clone();
        self.store.update_webhook(&webhook)?;
        Ok(!ended && next > from)
    }

    fn deliver_again(
        &mut self,
        id: WebhookId,
        event: &Event,
        seq: u64,
        created_ms: u64,
        now_ms: u64,
    ) -> Result<(), DeliveryError> {
        let Some(payload) = Payload::of_trade(self.salts.of(seq), event, seq, created_ms) else { return Ok(()) };
        let due_ms = now_ms.max(self.webhooks[&id].cursor.due_ms);
        let delivery = NewDelivery {
            webhook: id,
            event: payload.event,
            seq: Some(seq),
            kind: payload.kind,
            state: DeliveryState::Pending,
            created_ms: now_ms,
            due_ms,
            body: None,
            note: None,
        };
        self.payloads.put(seq, payload.clone());
        if let Some(row) = self.store.insert_or_revive(&delivery)? {
            self.admit(id, Place { due_ms, delivery: row }, Some(seq), now_ms)?;
        }
        Ok(())
    }
}

/// The events of a batch from one number to before another, with their numbers.
fn wanted(batch: &EncodedBatch, from: u64, until: u64) -> impl Iterator<Item = (&Event, u64)> {
    let numbered = batch.events().iter().zip(batch.first_seq()..);
    numbered.filter(move |(_, seq)| (from..until).contains(seq))
}
