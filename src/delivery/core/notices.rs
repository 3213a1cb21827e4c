//! What the owner of a webhook is told beside its deliveries, in their history.

use super::super::store::NewDelivery;
use super::super::{DeliveryError, DeliveryState, EventId, EventKind, Webhook, WebhookId};
use super::Core;

/// Of a notice about events that a webhook does not get.
const MISSED: &str = "webhook.missed";

/// Why events are not delivered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missed {
    Unreadable,
    NotRetained,
}

impl Core {
    pub(super) fn notice(
        &mut self,
        id: WebhookId,
        event: EventId,
        kind: &str,
        note: &str,
        now_ms: u64,
    ) -> Result<(), DeliveryError> {
        let notice = NewDelivery {
            webhook: id,
            event,
            seq: None,
            kind,
            state: DeliveryState::Notice,
            created_ms: now_ms,
            due_ms: now_ms,
            body: None,
            note: Some(note),
        };
        if self.store.insert_delivery(&notice)?.is_some() {
            self.count_finished(id, 1);
        }
        Ok(())
    }

    /// A webhook does not get events from one number to another, and some of them may have been for it.
    pub(super) fn tell_missed(
        &mut self,
        id: WebhookId,
        from: u64,
        to: u64,
        missed: Missed,
        now_ms: u64,
    ) -> Result<(), DeliveryError> {
        if from > to {
            return Ok(());
        }
        let note = match missed {
            Missed::Unreadable => {
                format!("events {from} to {to} could not be read from the journal and were not delivered")
            }
            Missed::NotRetained => {
                format!("events {from} to {to} were dropped by the journal's retention before they could be delivered")
            }
        };
        self.notice(id, EventId::generate()?, MISSED, &note, now_ms)
    }

    /// The same for every webhook that may have wanted some of them.
    pub(super) fn tell_all_missed(
        &mut self,
        from: u64,
        to: u64,
        missed: Missed,
        now_ms: u64,
    ) -> Result<(), DeliveryError> {
        let wants = |webhook: &Webhook| {
            let asked = webhook.events.iter().any(|kind| kind != EventKind::Operational);
            asked && webhook.is_active() && webhook.from_seq <= to && self.watchers.has(webhook.account)
        };
        let wanting = self.webhooks.values().map(|entry| &entry.webhook).filter(|webhook| wants(webhook));
        let wanting: Vec<(WebhookId, u64)> = wanting.map(|webhook| (webhook.id, from.max(webhook.from_seq))).collect();
        for (id, from) in wanting {
            self.tell_missed(id, from, to, missed, now_ms)?;
        }
        Ok(())
    }

    /// The journal came back without the events from one number to another: their numbers are given out again.
    pub(super) fn tell_rewound(&mut self, from: u64, to: u64, now_ms: u64) -> Result<(), DeliveryError> {
        let note = format!(
            "the journal was brought back from before events {from} to {to}: what waited of them is dropped, and their numbers are given out again"
        );
        // Those in memory may not be there yet.
        for webhook in self.store.webhooks()? {
            self.notice(webhook.id, EventId::generate()?, MISSED, &note, now_ms)?;
        }
        Ok(())
    }
}
