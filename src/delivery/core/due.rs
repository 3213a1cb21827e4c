//! From the database into the lanes: deliveries whose time has come, and their bodies.

use rustix::io::Errno;

use super::super::attempt::Ticket;
use super::super::lanes::Queued;
use super::super::stats::DeliveryEnd;
use super::super::{DeliveryError, EventKind, Payload, WebhookId};
use super::Core;
use crate::journal::{Part, ReadError};
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
        let Some(due_ms) = entry.next_due else { return Ok(()) };
        if due_ms > now_ms {
            // Its lane may have had no room when it was due, before the clock was set back.
            self.calendar.insert((due_ms, id));
            return Ok(());
        }
        if room == 0 {
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
            // Also without room: there will be some when it is due, or the end of an attempt looks for it.
            self.calendar.insert((due_ms, id));
        }
        Ok(())
    }

    /// A delivery of a webhook that waited has come to its end.
    pub(super) fn note_finished(&mut self, id: WebhookId) {
        if let Some(entry) = self.webhooks.get_mut(&id) {
            entry.waiting = entry.waiting.saturating_sub(1);
        }
        self.count_finished(id, 1);
    }

    /// The body of a delivery.
    pub(super) fn payload(&mut self, ticket: Ticket, queued: Queued) -> Result<Body, DeliveryError> {
        let Some(seq) = queued.seq else {
            return Ok(match self.store.body(ticket.delivery)? {
                Some((event, kind, body)) if kind == EventKind::Operational.as_str() => {
                    Body::There(Payload { kind: EventKind::Operational.as_str(), event, body: body.into() })
                }
                _ => Body::Gone("its body is gone"),
            });
        };
        if let Some(payload) = self.payloads.get(seq) {
            return Ok(Body::There(payload.clone()));
        }
        // What comes next will be asked for next.
        let chunk = match self.events.read(seq, limits::BODIES_READ_BYTES) {
            Ok(chunk) => chunk,
            Err(error) if is_passing(&error) => return Ok(Body::Later),
            Err(error) => {
                tracing::error!(%error, seq, webhook = %ticket.webhook, "an event can't be read, so it is not delivered");
                return Ok(Body::Gone("the event can't be read from the journal"));
            }
        };
        for part in &chunk.parts {
            let Part::Events(batch) = part else { continue };
            for (event, number) in batch.events().iter().zip(batch.first_seq()..) {
                if number >= seq
                    && let Some(payload) =
                        Payload::of_trade(self.salts.of(number), event, number, batch.origin().unix_ms)
                {
                    self.payloads.put(number, payload);
                }
            }
        }
        Ok(match self.payloads.get(seq) {
            Some(payload) => Body::There(payload.clone()),
            None if chunk.next > seq => Body::Gone("the journal does not retain the event any more"),
            None => Body::Later,
        })
    }

    /// A delivery whose body is not there is dropped, or waits a moment. Others move up into its lane.
    pub(super) fn give_up(&mut self, ticket: Ticket, body: Body, now_ms: u64) -> Result<(), DeliveryError> {
        match body {
            Body::There(_) => {}
            Body::Gone(why) => {
                self.store.drop_delivery(ticket.delivery, why)?;
                self.stats.deliveries.of(DeliveryEnd::Dropped).add(1);
                self.note_finished(ticket.webhook);
            }
            Body::Later => self.postpone(ticket, now_ms)?,
        }
        self.refill(ticket.webhook, now_ms)
    }

    /// A delivery is tried again in a moment, and nobody is blamed.
    pub(super) fn postpone(&mut self, ticket: Ticket, now_ms: u64) -> Result<(), DeliveryError> {
        let passed_ms = self.webhooks.get(&ticket.webhook).map_or(0, |entry| entry.cursor.due_ms);
        let due_ms = (now_ms + limits::POSTPONED_MS).max(passed_ms + 1);
        self.store.postpone(ticket.delivery, due_ms)?;
        self.note_due(ticket.webhook, due_ms);
        Ok(())
    }

    /// Fills a lane whose queue has become short.
    pub(super) fn refill(&mut self, id: WebhookId, now_ms: u64) -> Result<(), DeliveryError> {
        match self.lanes.is_short(id) {
            true => self.fill_lane(id, now_ms),
            false => Ok(()),
        }
    }
}

/// What is to be sent.
pub(super) enum Body {
    There(Payload),
    /// There is none, and there will be none.
    Gone(&'static str),
    /// It can't be read for now.
    Later,
}

/// Whether a read may well succeed in a moment: no descriptor or no memory was free.
pub(super) fn is_passing(error: &ReadError) -> bool {
    let ReadError::Io { source, .. } = error else { return false };
    let errno = source.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS | Errno::INTR | Errno::AGAIN))
}
