//! Deliveries that wait: how they come, what attempts make of them, and in which order they are due.

use rusqlite::{OptionalExtension, Params, ffi};

use super::columns::Number;
use super::{NewDelivery, Next, Place, Store, Waiting};
use crate::delivery::{AttemptRecord, DeliveryError, EventId, WebhookId};
use crate::limits::ATTEMPTS_RECORDED_MAX;

/// Those of webhook ?1 that stand behind the place (?2, ?3). Of a pair of columns SQLite would search for the first alone, and many may be
/// due at the same moment.
macro_rules! behind {
    ($and:literal) => {
        concat!(
            "SELECT due_ms, row, seq, attempts_made FROM deliveries INDEXED BY waiting_by_due
             WHERE webhook = ?1 AND state = 'pending' AND due_ms = ?2 AND row > ?3",
            $and,
            " UNION ALL
             SELECT due_ms, row, seq, attempts_made FROM deliveries INDEXED BY waiting_by_due
             WHERE webhook = ?1 AND state = 'pending' AND due_ms > ?2",
            $and,
            " ORDER BY due_ms, row"
        )
    };
}

pub(super) const DUE: &str = concat!(behind!(" AND due_ms <= ?4"), " LIMIT ?5");
pub(super) const NEXT_DUE: &str = concat!(behind!(""), " LIMIT 1");

/// By their row: those that are not behind the place are few, since their webhook's lane holds them in memory.
pub(super) const OLDEST: &str = "SELECT row FROM deliveries INDEXED BY waiting_by_row
    WHERE webhook = ?1 AND state = 'pending' AND (due_ms > ?2 OR (due_ms = ?2 AND row > ?3)) ORDER BY row LIMIT ?4";

impl Store {
    /// Returns its row; `None` where this webhook has one of this number already. Errors: `NoSuchWebhook`.
    pub fn insert_delivery(&mut self, delivery: &NewDelivery<'_>) -> Result<Option<i64>, DeliveryError> {
        let change = self.change()?;
        let row = self.next_row.get();
        let sql = "INSERT INTO deliveries (row, webhook, event, seq, kind, state, created_ms, due_ms, note, body)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (webhook, seq) DO NOTHING";
        let inserted = change
            .prepare_cached(sql)?
            .execute((
                row,
                delivery.webhook,
                delivery.event,
                delivery.seq.map(Number),
                delivery.kind,
                delivery.state,
                Number(delivery.created_ms),
                Number(delivery.due_ms),
                delivery.note,
                delivery.body,
            ))
            .map_err(|error| match error.sqlite_error().map(|error| error.extended_code) {
                Some(ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => DeliveryError::NoSuchWebhook,
                _ => error.into(),
            })?;
        if inserted == 0 {
            return Ok(None);
        }
        self.next_row.set(row + 1);
        Ok(Some(row))
    }

    /// As [`Self::insert_delivery`], but one of this number that is finished waits again, with no attempts, as if it had come now: under
    /// a new row. `None`: it waits already.
    pub fn insert_or_revive(&mut self, delivery: &NewDelivery<'_>) -> Result<Option<i64>, DeliveryError> {
        let sql = "DELETE FROM deliveries WHERE webhook = ?1 AND seq = ?2 AND state <> 'pending'";
        self.change()?.prepare_cached(sql)?.execute((delivery.webhook, delivery.seq.map(Number)))?;
        self.insert_delivery(delivery)
    }

    /// Adds an attempt to a delivery that waits, and says how it goes on. `false`: it waits no more (it was dropped, or is gone); then
    /// only [`Next::Delivered`] is noted.
    pub fn attempted(&mut self, delivery: i64, record: &AttemptRecord, next: Next) -> Result<bool, DeliveryError> {
        /// The newest stay. `attempts_made` counts all of them.
        macro_rules! attempt_added {
            () => {
                "attempts_made = attempts_made + 1,
                 attempts = json_insert(
                     iif(attempts_made >= ?3, json_remove(attempts, '$[0]'), attempts), '$[#]', json(?2))"
            };
        }
        const DELIVERED: &str = concat!(
            "UPDATE deliveries SET state = 'delivered', ",
            attempt_added!(),
            " WHERE row = ?1 AND state = 'pending'"
        );
        const FAILED: &str = concat!(
            "UPDATE deliveries SET state = 'failed', ",
            attempt_added!(),
            " WHERE row = ?1 AND state = 'pending'"
        );
        const RETRY: &str =
            concat!("UPDATE deliveries SET due_ms = ?4, ", attempt_added!(), " WHERE row = ?1 AND state = 'pending'");
        const AFTER_ALL: &str = concat!(
            "UPDATE deliveries SET state = 'delivered', note = NULL, ",
            attempt_added!(),
            " WHERE row = ?1 AND state = 'dropped'"
        );
        let record = serde_json::to_string(record).expect("numbers and text are JSON");
        let attempt = (delivery, record.as_str(), ATTEMPTS_RECORDED_MAX);
        let waited = match next {
            Next::Delivered => self.changed(DELIVERED, attempt)?,
            Next::Failed => self.changed(FAILED, attempt)?,
            Next::Retry { due_ms } => {
                self.changed(RETRY, (delivery, record.as_str(), ATTEMPTS_RECORDED_MAX, Number(due_ms)))?
            }
        };
        if waited == 0 && next == Next::Delivered {
            self.changed(AFTER_ALL, attempt)?;
        }
        Ok(waited > 0)
    }

    /// A delivery waits for its next attempt until then, without having had one.
    pub fn postpone(&mut self, delivery: i64, due_ms: u64) -> Result<(), DeliveryError> {
        let sql = "UPDATE deliveries SET due_ms = ?2 WHERE row = ?1 AND state = 'pending'";
        self.changed(sql, (delivery, Number(due_ms))).map(drop)
    }

    /// A delivery that waits ends without another attempt.
    pub fn drop_delivery(&mut self, delivery: i64, note: &str) -> Result<(), DeliveryError> {
        let sql = "UPDATE deliveries SET state = 'dropped', note = ?2 WHERE row = ?1 AND state = 'pending'";
        self.changed(sql, (delivery, note)).map(drop)
    }

    /// The `deliveries` oldest (by row) of those that wait behind a place end without another attempt; how many there were.
    pub fn drop_oldest(
        &mut self,
        webhook: WebhookId,
        behind: Place,
        deliveries: u64,
        note: &str,
    ) -> Result<u64, DeliveryError> {
        let oldest: Vec<i64> = {
            let mut select = self.change()?.prepare_cached(OLDEST)?;
            let wanted = (webhook, Number(behind.due_ms), behind.delivery, Number(deliveries));
            select.query_map(wanted, |row| row.get(0))?.collect::<Result<_, _>>()?
        };
        for delivery in &oldest {
            self.drop_delivery(*delivery, note)?;
        }
        Ok(oldest.len() as u64)
    }

    /// The first `deliveries_max` that stand behind a place and are due by `due_ms`, in their order.
    pub fn due(
        &self,
        webhook: WebhookId,
        behind: Place,
        due_ms: u64,
        deliveries_max: usize,
    ) -> Result<Vec<Waiting>, DeliveryError> {
        let mut select = self.connection.prepare_cached(DUE)?;
        let wanted = (webhook, Number(behind.due_ms), behind.delivery, Number(due_ms), Number(deliveries_max as u64));
        let due = select.query_map(wanted, |row| {
            Ok(Waiting {
                place: Place { due_ms: row.get::<_, Number>(0)?.0, delivery: row.get(1)? },
                seq: row.get::<_, Option<Number>>(2)?.map(|number| number.0),
                attempts: row.get(3)?,
            })
        })?;
        Ok(due.collect::<Result<_, _>>()?)
    }

    /// When the first of those behind a place is due.
    pub fn next_due(&self, webhook: WebhookId, behind: Place) -> Result<Option<u64>, DeliveryError> {
        let mut select = self.connection.prepare_cached(NEXT_DUE)?;
        let wanted = (webhook, Number(behind.due_ms), behind.delivery);
        Ok(select.query_row(wanted, |row| row.get::<_, Number>(0)).optional()?.map(|number| number.0))
    }

    /// How many wait.
    pub fn waiting(&self, webhook: WebhookId) -> Result<u64, DeliveryError> {
        let sql = "SELECT count(*) FROM deliveries INDEXED BY waiting_by_row WHERE webhook = ?1 AND state = 'pending'";
        let waiting: Number = self.connection.prepare_cached(sql)?.query_row([webhook], |row| row.get(0))?;
        Ok(waiting.0)
    }

    /// The stored body and kind of a delivery without a number, with its event's id.
    pub fn body(&self, delivery: i64) -> Result<Option<(EventId, String, Vec<u8>)>, DeliveryError> {
        let sql = "SELECT event, kind, body FROM deliveries WHERE row = ?1 AND body IS NOT NULL";
        let mut select = self.connection.prepare_cached(sql)?;
        Ok(select.query_row([delivery], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?)
    }

    /// Runs a statement inside the transaction; how many rows it changed.
    fn changed(&self, sql: &str, parameters: impl Params) -> Result<usize, DeliveryError> {
        Ok(self.change()?.prepare_cached(sql)?.execute(parameters)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, OTHER, START, W, attempt, delivery};
    use super::*;
    use crate::delivery::DeliveryState::{Delivered, Dropped, Failed, Pending};

    #[test]
    fn a_webhook_has_one_delivery_of_a_number() {
        let mut fixture = Fixture::new();
        let first = fixture.waits(W, 5, 2_000);
        assert_eq!(fixture.store.insert_delivery(&delivery(W, Some(5))).expect("insert"), None);
        fixture.waits(OTHER, 5, 2_000);
        fixture.store.attempted(first, &attempt(1, 200), Next::Delivered).expect("attempted");
        assert_eq!(fixture.store.insert_delivery(&delivery(W, Some(5))).expect("insert"), None, "finished ones count");
        assert_eq!(fixture.states(W), [(Delivered, Some(5))]);
    }

    #[test]
    fn there_may_be_any_number_of_deliveries_without_a_number_and_they_have_a_body() {
        let mut fixture = Fixture::new();
        let test = NewDelivery { kind: "webhook.test", body: Some(b"{}"), ..delivery(W, None) };
        let rows = [(); 2].map(|()| fixture.store.insert_delivery(&test).expect("insert").expect("a new one"));
        assert!(rows[0] < rows[1]);
        let body = fixture.store.body(rows[0]).expect("body");
        assert_eq!(body, Some((test.event, "webhook.test".into(), b"{}".to_vec())));
        let numbered = fixture.waits(W, 1, 2_000);
        assert_eq!(fixture.store.body(numbered).expect("body"), None);
        assert!(fixture.store.insert_or_revive(&test).expect("insert").is_some());
    }

    #[test]
    fn a_finished_delivery_waits_again_with_no_attempts_and_a_waiting_one_stays() {
        let mut fixture = Fixture::new();
        let first = fixture.waits(W, 5, 2_000);
        assert_eq!(fixture.store.insert_or_revive(&delivery(W, Some(5))).expect("revive"), None);
        fixture.store.attempted(first, &attempt(1, 500), Next::Failed).expect("attempted");
        let again = NewDelivery { created_ms: 9_000, due_ms: 9_000, ..delivery(W, Some(5)) };
        let revived = fixture.store.insert_or_revive(&again).expect("revive").expect("waits again");
        let place = Place { due_ms: 9_000, delivery: revived };
        let due = fixture.store.due(W, START, u64::MAX, 10).expect("due");
        assert_eq!(due, [Waiting { place, seq: Some(5), attempts: 0 }]);
        let history = fixture.store.history(W, 10).expect("history");
        assert_eq!((history.len(), history[0].created_ms, history[0].attempts.len()), (1, 9_000, 0));
        assert_eq!(fixture.store.insert_or_revive(&again).expect("revive"), None);
        // An answer that comes for what it was before changes nothing.
        assert!(!fixture.store.attempted(first, &attempt(2, 500), Next::Failed).expect("attempted"));
        assert!(fixture.store.insert_or_revive(&delivery(W, Some(6))).expect("revive").is_some(), "a new one");
        assert_eq!(fixture.store.waiting(W).expect("waiting"), 2);
    }

    #[test]
    fn attempts_gather_until_one_ends_the_delivery() {
        let mut fixture = Fixture::new();
        let row = fixture.waits(W, 5, 2_000);
        let unanswered =
            AttemptRecord { at_ms: 1, duration_ms: 2, status: None, error: Some("no \"answer\"\u{0}é".into()) };
        assert!(fixture.store.attempted(row, &unanswered, Next::Retry { due_ms: 30_000 }).expect("attempted"));
        let due = fixture.store.due(W, START, u64::MAX, 10).expect("due");
        assert_eq!((due[0].place.due_ms, due[0].attempts), (30_000, 1));
        assert!(fixture.store.attempted(row, &attempt(30_001, 204), Next::Delivered).expect("attempted"));
        let history = fixture.store.history(W, 10).expect("history");
        assert_eq!((history[0].state, history[0].due_ms), (Delivered, None));
        assert_eq!(history[0].attempts, [unanswered, attempt(30_001, 204)]);
        assert_eq!(fixture.store.waiting(W).expect("waiting"), 0);
    }

    #[test]
    fn of_very_many_attempts_the_newest_are_remembered_and_all_are_counted() {
        let mut fixture = Fixture::new();
        let row = fixture.waits(W, 5, 2_000);
        let most = u64::from(ATTEMPTS_RECORDED_MAX);
        for at_ms in 0..most + 5 {
            fixture.store.attempted(row, &attempt(at_ms, 500), Next::Retry { due_ms: 3_000 }).expect("attempted");
        }
        let attempts = fixture.store.history(W, 1).expect("history").swap_remove(0).attempts;
        assert_eq!(attempts.iter().map(|attempt| attempt.at_ms).collect::<Vec<_>>(), (5..most + 5).collect::<Vec<_>>());
        assert_eq!(fixture.store.due(W, START, u64::MAX, 1).expect("due")[0].attempts, ATTEMPTS_RECORDED_MAX + 5);
    }

    #[test]
    fn of_what_waits_no_more_only_a_delivery_after_all_is_noted() {
        let mut fixture = Fixture::new();
        let row = fixture.waits(W, 5, 2_000);
        fixture.store.drop_delivery(row, "disabled").expect("drop");
        for next in [Next::Failed, Next::Retry { due_ms: 9 }] {
            assert!(!fixture.store.attempted(row, &attempt(1, 500), next).expect("attempted"));
        }
        let history = fixture.store.history(W, 1).expect("history");
        assert_eq!((history[0].state, history[0].attempts.len()), (Dropped, 0));
        assert_eq!(history[0].note.as_deref(), Some("disabled"));
        assert!(!fixture.store.attempted(row, &attempt(1, 200), Next::Delivered).expect("attempted"));
        let history = fixture.store.history(W, 1).expect("history");
        assert_eq!((history[0].state, history[0].attempts.len(), &history[0].note), (Delivered, 1, &None));
        fixture.store.drop_delivery(row, "too late").expect("drop");
        assert_eq!(fixture.states(W), [(Delivered, Some(5))], "what is finished stays so");
        assert!(!fixture.store.attempted(999, &attempt(1, 200), Next::Delivered).expect("no such row"));
    }

    #[test]
    fn what_waits_comes_by_its_time_then_by_its_row_and_in_pieces() {
        let mut fixture = Fixture::new();
        for (seq, due_ms) in [(1, 50), (2, 40), (3, 50), (4, 50), (5, 60)] {
            fixture.waits(W, seq, due_ms);
        }
        fixture.waits(OTHER, 9, 1);
        assert_eq!(fixture.waiting(W), [2, 1, 3, 4, 5]);
        let mut behind = START;
        let mut pieces = Vec::new();
        for _ in 0..3 {
            let piece = fixture.store.due(W, behind, 50, 2).expect("due");
            behind = piece.last().map_or(behind, |last| last.place);
            pieces.push(piece.iter().filter_map(|waiting| waiting.seq).collect::<Vec<_>>());
        }
        assert_eq!(pieces, [vec![2, 1], vec![3, 4], vec![]]);
        assert_eq!(fixture.store.next_due(W, behind).expect("next"), Some(60));
        assert_eq!(fixture.store.next_due(W, START).expect("next"), Some(40));
        let last = Place { due_ms: 60, delivery: i64::MAX };
        assert_eq!(fixture.store.next_due(W, last).expect("next"), None);
        assert_eq!(fixture.store.next_due(W, Place { due_ms: 50, delivery: 3 }).expect("next"), Some(50));
    }

    #[test]
    fn all_that_wait_are_dropped_and_counted_with_the_lowest_number() {
        let mut fixture = Fixture::new();
        let done = fixture.waits(W, 1, 2_000);
        fixture.store.attempted(done, &attempt(1, 500), Next::Failed).expect("attempted");
        for seq in [7, 3, 5] {
            fixture.waits(W, seq, 2_000);
        }
        fixture.store.insert_delivery(&delivery(W, None)).expect("insert");
        fixture.waits(OTHER, 2, 2_000);
        assert_eq!(fixture.store.lowest_waiting(W).expect("lowest"), Some(3));
        let to_row = fixture.store.begin_dropping(W).expect("begin");
        assert_eq!(fixture.store.drop_waiting(W, to_row, 99, "disabled").expect("drop"), 4);
        assert_eq!(fixture.store.lowest_waiting(W).expect("lowest"), None);
        assert_eq!(fixture.states(W).last(), Some(&(Failed, Some(1))));
        assert!(fixture.states(W).iter().take(4).all(|(state, _)| *state == Dropped));
        assert_eq!(fixture.states(OTHER), [(Pending, Some(2))]);
    }

    #[test]
    fn the_oldest_behind_a_place_are_dropped_whenever_they_are_due() {
        let mut fixture = Fixture::new();
        // The second is old and due late: it has had an attempt.
        let rows = [(1, 10), (2, 90), (3, 30), (4, 30), (5, 40)].map(|(seq, due_ms)| fixture.waits(W, seq, due_ms));
        let behind = Place { due_ms: 30, delivery: rows[2] };
        assert_eq!(fixture.store.drop_oldest(W, behind, 2, "backlog").expect("drop"), 2);
        assert_eq!(fixture.waiting(W), [1, 3, 5]);
        assert_eq!(fixture.store.drop_oldest(W, behind, 9, "backlog").expect("drop"), 1);
        assert_eq!(fixture.waiting(W), [1, 3], "what stands in memory stays");
        let notes = fixture.store.history(W, 10).expect("history").into_iter().filter_map(|record| record.note);
        assert_eq!(notes.collect::<Vec<_>>(), ["backlog"; 3]);
    }
}
