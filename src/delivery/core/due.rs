//! From the database into the lanes: deliveries whose time has come, and their bodies.

use super::super::attempt::Ticket;
use super::super::lanes::Queued;
use super::super::{DeliveryError, EventKind, Payload, WebhookId};
use super::Core;
use crate::journal::Part;
use crate::limits;

impl Core {
    /// Moves what is due into the lanes that have room.
    pub(super) fn fill_lanes(&mut self, now_ms: u64) -> Result<(), DeliveryError> {
        while let Some((due_ms, id)) = self.calendar.first().copied() {
            if due_ms > now_ms {
                break;
            }
            self.calendar.pop_first();
            self.fill_lane(id, now_ms)?;
        }
        Ok(())
    }

    /// The same for one lane. One without room is filled again when it has some.
    pub(super) fn fill_lane(&mut self, id: WebhookId, now_ms: u64) -> Result<(), DeliveryError> {
        let room = self.lanes.room(id);
        let Some(entry) = self.webhooks.get_mut(&id) else { return Ok(()) };
        if room == 0 || entry.next_due.is_none_or(|due_ms| due_ms > now_ms) {
            return Ok(());
        }
        for waiting in self.store.due(id, entry.cursor, now_ms, room)? {
            entry.cursor = waiting.place;
            let queued = Queued { delivery: waiting.place.delivery, seq: waiting.seq, attempt: waiting.attempts + 1 };
            self.lanes.push(id, queued);
        }
        self.look_up_due(id)
    }

    /// A delivery of a webhook waits in the database alone, due then.
    pub(super) fn note_due(&mut self, id: WebhookId, due_ms: u64) {
        let Some(entry) = self.webhooks.get_mut(&id) else { return };
        if entry.next_due.is_some_and(|known_ms| known_ms <= due_ms) {
            return;
        }
        if let Some(known_ms) = entry.next_due.replace(due_ms) {
            self.calendar.remove(&(known_ms, id));
        }
        self.calendar.insert((due_ms, id));
    }

    /// Asks the database when the first of those behind the cursor is due.
    pub(super) fn look_up_due(&mut self, id: WebhookId) -> Result<(), DeliveryError> {
        let Some(entry) = self.webhooks.get_mut(&id) else { return Ok(()) };
        if let Some(known_ms) = entry.next_due.take() {
            self.calendar.remove(&(known_ms, id));
        }
        if let Some(due_ms) = self.store.next_due(id, entry.cursor)? {
            entry.next_due = Some(due_ms);
            // Without room it would come up again and again; the end of an attempt looks for it.
            if self.lanes.room(id) > 0 {
                self.calendar.insert((due_ms, id));
            }
        }
        Ok(())
    }

    /// A delivery of a webhook has come to its end.
    pub(super) fn note_finished(&mut self, id: WebhookId) {
        if let Some(entry) = self.webhooks.get_mut(&id) {
            entry.waiting = entry.waiting.saturating_sub(1);
            entry.finished = entry.finished.saturating_add(1);
        }
    }

    /// The body of a delivery; or why there is none.
    pub(super) fn payload(&mut self, ticket: Ticket, queued: Queued) -> Result<Result<Payload, String>, DeliveryError> {
        let Some(seq) = queued.seq else {
            let stored = self.store.body(ticket.delivery)?;
            return Ok(match stored {
                Some((event, kind, body)) if kind == EventKind::Operational.as_str() => {
                    Ok(Payload { kind: EventKind::Operational.as_str(), event, body: body.into() })
                }
                _ => Err("its body is gone".to_owned()),
            });
        };
        if let Some(payload) = self.payloads.get(seq) {
            return Ok(Ok(payload.clone()));
        }
        // What comes next will be asked for next.
        let chunk = match self.events.read(seq, limits::DELIVERY_READ_BYTES / 4) {
            Ok(chunk) => chunk,
            Err(error) => {
                tracing::error!(%error, seq, webhook = %ticket.webhook, "an event can't be read, so it is not delivered");
                return Ok(Err("the event can't be read from the journal".to_owned()));
            }
        };
        for part in &chunk.parts {
            let Part::Events(batch) = part else { continue };
            for (event, number) in batch.events().iter().zip(batch.first_seq()..) {
                if number >= seq
                    && let Some(payload) = Payload::of_trade(&self.salt, event, number, batch.origin().unix_ms)
                {
                    self.payloads.put(number, payload);
                }
            }
        }
        let payload = self.payloads.get(seq).cloned();
        Ok(payload.ok_or_else(|| "the journal does not retain the event any more".to_owned()))
    }
}
