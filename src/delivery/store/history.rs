//! Finished deliveries: what their owner may look up, and how it is kept short.

use rusqlite::{OptionalExtension, Row};

use super::Store;
use super::columns::Number;
use crate::database::DatabaseError;
use crate::delivery::{DeliveryError, DeliveryId, DeliveryRecord, DeliveryState, WebhookId};

/// The newest of webhook ?1 that one more than ?2 finished ones leave out.
pub(super) const FIRST_TOO_MANY: &str = "SELECT row FROM deliveries INDEXED BY finished_by_row
    WHERE webhook = ?1 AND state <> 'pending' ORDER BY row DESC LIMIT 1 OFFSET ?2";

/// Up to ?3 that are as old as row ?2, or older.
pub(super) const SURPLUS: &str = "SELECT row FROM deliveries INDEXED BY finished_by_row
    WHERE webhook = ?1 AND state <> 'pending' AND row <= ?2 ORDER BY row LIMIT ?3";

impl Store {
    /// The newest first, notices included.
    pub fn history(&self, webhook: WebhookId, records_max: usize) -> Result<Vec<DeliveryRecord>, DeliveryError> {
        let sql = "SELECT * FROM deliveries WHERE row IN (
                SELECT row FROM (SELECT row FROM deliveries INDEXED BY waiting_by_row
                    WHERE webhook = ?1 AND state = 'pending' ORDER BY row DESC LIMIT ?2)
                UNION ALL
                SELECT row FROM (SELECT row FROM deliveries INDEXED BY finished_by_row
                    WHERE webhook = ?1 AND state <> 'pending' ORDER BY row DESC LIMIT ?2)
            ) ORDER BY row DESC LIMIT ?2";
        let mut select = self.connection.prepare_cached(sql)?;
        let mut rows = select.query((webhook, Number(records_max as u64)))?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record(row, webhook)?);
        }
        Ok(records)
    }

    /// Deletes up to `rows_max` finished deliveries made before `before_ms`; how many there were. Those that were made after `now_ms`,
    /// by a clock that was ahead, stand in nobody's way.
    ///
    /// It looks at no more than `rows_max`, and the next call goes on behind them: what waits may be old, and much.
    pub fn prune_old(&mut self, before_ms: u64, now_ms: u64, rows_max: usize) -> Result<usize, DeliveryError> {
        let mut old = Vec::new();
        let mut looked_at = 0;
        {
            // Rows are in the order in which deliveries were made.
            let sql = "SELECT row, created_ms, state <> 'pending' FROM deliveries WHERE row > ?1 ORDER BY row LIMIT ?2";
            let mut select = self.connection.prepare_cached(sql)?;
            let mut rows = select.query((self.pruned_to, Number(rows_max as u64)))?;
            while let Some(row) = rows.next()? {
                let (delivery, created, finished): (i64, Number, bool) = row.try_into()?;
                if (before_ms..=now_ms).contains(&created.0) {
                    break;
                }
                looked_at += 1;
                self.pruned_to = delivery;
                if finished && created.0 < before_ms {
                    old.push(delivery);
                }
            }
        }
        if looked_at < rows_max {
            self.pruned_to = 0;
        }
        self.delete_all(&old)
    }

    /// Deletes up to `rows_max` of the oldest finished deliveries of a webhook, so that `kept` are left; how many there were.
    pub fn prune_webhook(&mut self, webhook: WebhookId, kept: u64, rows_max: usize) -> Result<usize, DeliveryError> {
        let surplus: Vec<i64> = {
            let mut select = self.connection.prepare_cached(FIRST_TOO_MANY)?;
            let first: Option<i64> = select.query_row((webhook, Number(kept)), |row| row.get(0)).optional()?;
            let Some(first) = first else { return Ok(0) };
            let mut select = self.connection.prepare_cached(SURPLUS)?;
            let surplus = select.query_map((webhook, first, Number(rows_max as u64)), |row| row.get(0))?;
            surplus.collect::<Result<_, _>>()?
        };
        self.delete_all(&surplus)
    }

    pub(super) fn delete_all(&mut self, deliveries: &[i64]) -> Result<usize, DeliveryError> {
        if !deliveries.is_empty() {
            let mut delete = self.change()?.prepare_cached("DELETE FROM deliveries WHERE row = ?1")?;
            for delivery in deliveries {
                delete.execute([delivery])?;
            }
        }
        Ok(deliveries.len())
    }
}

fn record(row: &Row<'_>, webhook: WebhookId) -> Result<DeliveryRecord, DeliveryError> {
    let number = |column| row.get::<_, Number>(column).map(|number| number.0);
    let event = row.get("event")?;
    let state = row.get("state")?;
    let attempts = serde_json::from_str(row.get_ref("attempts")?.as_str().map_err(rusqlite::Error::from)?);
    Ok(DeliveryRecord {
        id: DeliveryId::of(event, webhook),
        event,
        kind: row.get("kind")?,
        seq: row.get::<_, Option<Number>>("seq")?.map(|number| number.0),
        state,
        created_ms: number("created_ms")?,
        due_ms: (state == DeliveryState::Pending).then(|| number("due_ms")).transpose()?,
        attempts: attempts
            .map_err(|error| DatabaseError::Corrupt { detail: format!("attempts of a delivery: {error}") })?,
        note: row.get("note")?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, OTHER, W, attempt, delivery};
    use super::super::{NewDelivery, Next};
    use super::*;
    use crate::delivery::DeliveryState::{Delivered, Notice, Pending};
    use crate::delivery::EventId;

    /// `finished` deliveries that were made at 1, 2, 3, … ms, numbered alike.
    fn finished(fixture: &mut Fixture, webhook: WebhookId, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            let made = NewDelivery { created_ms: seq, ..delivery(webhook, Some(seq)) };
            let row = fixture.store.insert_delivery(&made).expect("insert").expect("a new one");
            fixture.store.attempted(row, &attempt(seq, 200), Next::Delivered).expect("attempted");
        }
    }

    fn seqs(fixture: &Fixture, webhook: WebhookId) -> Vec<u64> {
        fixture.states(webhook).into_iter().filter_map(|(_, seq)| seq).collect()
    }

    #[test]
    fn the_newest_come_first_whatever_their_state_and_notices_are_among_them() {
        let mut fixture = Fixture::new();
        fixture.waits(W, 1, 2_000);
        finished(&mut fixture, W, 2..=3);
        let notice = NewDelivery {
            event: EventId([9; 12]),
            kind: "operational",
            state: Notice,
            note: Some("it failed too often"),
            ..delivery(W, None)
        };
        fixture.store.insert_delivery(&notice).expect("insert");
        fixture.waits(W, 4, 2_000);
        fixture.waits(OTHER, 5, 2_000);
        let all = [(Pending, Some(4)), (Notice, None), (Delivered, Some(3)), (Delivered, Some(2)), (Pending, Some(1))];
        assert_eq!(fixture.states(W), all);
        for records_max in 0..5 {
            assert_eq!(fixture.store.history(W, records_max).expect("history").len(), records_max);
        }
        let records = fixture.store.history(W, 2).expect("history");
        let expected = DeliveryRecord {
            id: DeliveryId::of(EventId([9; 12]), W),
            event: EventId([9; 12]),
            kind: "operational".into(),
            seq: None,
            state: Notice,
            created_ms: 2_000,
            due_ms: None,
            attempts: Vec::new(),
            note: Some("it failed too often".into()),
        };
        assert_eq!(records[1], expected);
        assert_eq!((records[0].due_ms, records[0].seq), (Some(2_000), Some(4)));
    }

    #[test]
    fn of_a_webhook_so_many_finished_ones_are_kept_and_all_that_wait() {
        let mut fixture = Fixture::new();
        fixture.waits(W, 100, 2_000);
        finished(&mut fixture, W, 1..=10);
        finished(&mut fixture, OTHER, 1..=10);
        assert_eq!(fixture.store.prune_webhook(W, 10, 99).expect("prune"), 0);
        assert_eq!(fixture.store.prune_webhook(W, 4, 5).expect("prune"), 5, "in slices");
        assert_eq!(seqs(&fixture, W), [10, 9, 8, 7, 6, 100]);
        assert_eq!(fixture.store.prune_webhook(W, 4, 5).expect("prune"), 1);
        assert_eq!(seqs(&fixture, W), [10, 9, 8, 7, 100]);
        assert_eq!(fixture.store.prune_webhook(W, 0, 99).expect("prune"), 4);
        assert_eq!(seqs(&fixture, W), [100]);
        assert_eq!(seqs(&fixture, OTHER).len(), 10);
    }

    #[test]
    fn finished_ones_are_deleted_by_age_and_those_that_wait_are_not() {
        let mut fixture = Fixture::new();
        let old = NewDelivery { created_ms: 0, ..delivery(OTHER, Some(1)) };
        fixture.store.insert_delivery(&old).expect("insert");
        finished(&mut fixture, W, 1..=10);
        assert_eq!(fixture.store.prune_old(1, 5_000, 99).expect("prune"), 0);
        assert_eq!(fixture.store.prune_old(5, 5_000, 99).expect("prune"), 4);
        assert_eq!(seqs(&fixture, W), [10, 9, 8, 7, 6, 5]);
        assert_eq!(fixture.store.prune_old(99, 5_000, 99).expect("prune"), 6);
        assert_eq!(fixture.states(OTHER), [(Pending, Some(1))]);
    }

    #[test]
    fn what_a_clock_that_was_ahead_has_made_keeps_no_old_ones() {
        let mut fixture = Fixture::new();
        finished(&mut fixture, W, 900..=901);
        finished(&mut fixture, W, 1..=4);
        assert_eq!(fixture.store.prune_old(3, 100, 99).expect("prune"), 2);
        assert_eq!(seqs(&fixture, W), [4, 3, 901, 900], "they wait for their time");
        assert_eq!(fixture.store.prune_old(901, 1_000, 99).expect("prune"), 1);
    }

    #[test]
    fn a_look_for_old_ones_is_bounded_and_the_next_goes_on_behind_it() {
        let mut fixture = Fixture::new();
        let waits: Vec<i64> = (1..=6)
            .map(|seq| {
                let made = NewDelivery { created_ms: seq, ..delivery(OTHER, Some(seq)) };
                fixture.store.insert_delivery(&made).expect("insert").expect("a new one")
            })
            .collect();
        finished(&mut fixture, W, 7..=9);
        let looks: Vec<usize> = (0..4).map(|_| fixture.store.prune_old(99, 5_000, 3).expect("prune")).collect();
        assert_eq!(looks, [0, 0, 3, 0], "what waits stands in front");
        // It begins again in the end: what waited then may have finished since.
        fixture.store.attempted(waits[0], &attempt(1, 200), Next::Delivered).expect("attempted");
        assert_eq!(fixture.store.prune_old(99, 5_000, 3).expect("prune"), 1);
    }

    #[test]
    fn a_delivery_without_a_trace_of_sense_is_told_as_damage() {
        let mut fixture = Fixture::new();
        for nonsense in ["attempts = '[{}]'", "attempts = '{'", "event = x'000000000000000000000000', due_ms = -1"] {
            fixture.waits(W, 1, 2_000);
            let sql = format!("UPDATE deliveries SET {nonsense}");
            fixture.store.connection.execute(&sql, ()).expect("sql");
            let refused = fixture.store.history(W, 10).expect_err(nonsense);
            assert!(matches!(refused, DeliveryError::Database(DatabaseError::Corrupt { .. })), "{refused}");
            fixture.store.roll_back();
        }
    }
}
