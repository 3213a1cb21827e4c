//! Changes of many deliveries, so many at a time: each returns how many there were, and fewer than it may change says that it has come
//! to its end.

use std::collections::HashMap;

use rusqlite::OptionalExtension;

use super::Store;
use super::columns::Number;
use crate::delivery::{DeliveryError, WebhookId};

pub(super) const DROPPED: &str = "SELECT row FROM deliveries INDEXED BY waiting_by_row
    WHERE webhook = ?1 AND state = 'pending' AND row <= ?2 LIMIT ?3";
pub(super) const FORGOTTEN: &str =
    "SELECT row FROM deliveries INDEXED BY deliveries_by_seq WHERE webhook = ?1 LIMIT ?2";
pub(super) const FAR_AHEAD: &str = "SELECT row FROM deliveries INDEXED BY waiting_by_due
    WHERE webhook = ?1 AND state = 'pending' AND due_ms > ?2 LIMIT ?3";
/// Finished ones stand before it, as many as history keeps.
pub(super) const LOWEST: &str = "SELECT seq FROM deliveries INDEXED BY deliveries_by_seq
    WHERE webhook = ?1 AND seq > 0 AND state = 'pending' ORDER BY seq LIMIT 1";

impl Store {
    /// The lowest number of an event that waits.
    pub fn lowest_waiting(&self, webhook: WebhookId) -> Result<Option<u64>, DeliveryError> {
        let mut select = self.connection.prepare_cached(LOWEST)?;
        Ok(select.query_row([webhook], |row| row.get::<_, Number>(0)).optional()?.map(|number| number.0))
    }

    /// All that wait now are to be dropped, by [`Self::drop_waiting`] up to the row that it returns.
    pub fn begin_dropping(&mut self, webhook: WebhookId) -> Result<i64, DeliveryError> {
        let change = self.change()?;
        let to_row = self.next_row.get() - 1;
        change.prepare_cached("UPDATE webhooks SET dropped_to = ?2 WHERE id = ?1")?.execute((webhook, to_row))?;
        Ok(to_row)
    }

    pub fn drop_waiting(
        &mut self,
        webhook: WebhookId,
        to_row: i64,
        rows_max: usize,
        note: &str,
    ) -> Result<usize, DeliveryError> {
        let rows = self.rows(DROPPED, (webhook, to_row, Number(rows_max as u64)))?;
        for row in &rows {
            self.drop_delivery(*row, note)?;
        }
        Ok(rows.len())
    }

    pub fn end_dropping(&mut self, webhook: WebhookId) -> Result<(), DeliveryError> {
        self.change()?.prepare_cached("UPDATE webhooks SET dropped_to = NULL WHERE id = ?1")?.execute([webhook])?;
        Ok(())
    }

    /// The webhooks of which some are still to be dropped, and up to which row.
    pub fn dropping(&self) -> Result<HashMap<WebhookId, i64>, DeliveryError> {
        let sql = "SELECT id, dropped_to FROM webhooks WHERE dropped_to IS NOT NULL AND NOT is_deleted";
        let mut select = self.connection.prepare(sql)?;
        let dropping = select.query_map((), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(dropping.collect::<Result<_, _>>()?)
    }

    /// Deletes deliveries of a webhook that was deleted, and with the last of them what is left of itself.
    pub fn forget(&mut self, webhook: WebhookId, rows_max: usize) -> Result<usize, DeliveryError> {
        let rows = self.rows(FORGOTTEN, (webhook, Number(rows_max as u64)))?;
        let forgotten = self.delete_all(&rows)?;
        if forgotten < rows_max {
            self.change()?.prepare_cached("DELETE FROM webhooks WHERE id = ?1")?.execute([webhook])?;
        }
        Ok(forgotten)
    }

    /// The webhooks that were deleted, of which something is left.
    pub fn deleted(&self) -> Result<Vec<WebhookId>, DeliveryError> {
        let mut select = self.connection.prepare("SELECT id FROM webhooks WHERE is_deleted")?;
        let deleted = select.query_map((), |row| row.get(0))?;
        Ok(deleted.collect::<Result<_, _>>()?)
    }

    /// What is due later than `latest_ms` is due then.
    pub fn bring_near(&mut self, webhook: WebhookId, latest_ms: u64, rows_max: usize) -> Result<usize, DeliveryError> {
        let rows = self.rows(FAR_AHEAD, (webhook, Number(latest_ms), Number(rows_max as u64)))?;
        for row in &rows {
            self.postpone(*row, latest_ms)?;
        }
        Ok(rows.len())
    }

    fn rows(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<i64>, DeliveryError> {
        let mut select = self.connection.prepare_cached(sql)?;
        Ok(select.query_map(parameters, |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Next;
    use super::super::fixture::{Fixture, OTHER, START, W, attempt};
    use super::*;
    use crate::delivery::DeliveryState::{Dropped, Pending};

    #[test]
    fn what_waited_is_dropped_in_pieces_and_what_comes_meanwhile_is_not() {
        let mut fixture = Fixture::new();
        for seq in [5, 4, 6] {
            fixture.waits(W, seq, 2_000);
        }
        fixture.waits(OTHER, 1, 2_000);
        assert_eq!(fixture.store.lowest_waiting(W).expect("lowest"), Some(4));
        let to_row = fixture.store.begin_dropping(W).expect("begin");
        fixture.waits(W, 7, 2_000);
        fixture.store.commit().expect("commit");
        fixture = fixture.reopen();
        assert_eq!(fixture.store.dropping().expect("dropping"), HashMap::from([(W, to_row)]));
        let mut dropped = || fixture.store.drop_waiting(W, to_row, 2, "disabled").expect("drop");
        assert_eq!([dropped(), dropped(), dropped()], [2, 1, 0]);
        let states = [(Pending, Some(7)), (Dropped, Some(6)), (Dropped, Some(4)), (Dropped, Some(5))];
        assert_eq!((fixture.states(W), fixture.states(OTHER)), (states.to_vec(), vec![(Pending, Some(1))]));
        fixture.store.end_dropping(W).expect("end");
        assert!(fixture.store.dropping().expect("dropping").is_empty());
    }

    #[test]
    fn a_deleted_webhook_goes_in_pieces_and_is_none_from_the_first_moment() {
        let mut fixture = Fixture::new();
        let finished = fixture.waits(W, 1, 2_000);
        fixture.store.attempted(finished, &attempt(1, 200), Next::Delivered).expect("attempted");
        for seq in 2..=5 {
            fixture.waits(W, seq, 2_000);
        }
        fixture.waits(OTHER, 1, 2_000);
        fixture.store.delete_webhook(W).expect("delete");
        fixture.store.commit().expect("commit");
        fixture = fixture.reopen();
        assert_eq!(fixture.store.webhooks().expect("webhooks").len(), 1);
        assert_eq!(fixture.store.deleted().expect("deleted"), [W]);
        let mut forgotten = || fixture.store.forget(W, 2).expect("forget");
        assert_eq!([forgotten(), forgotten(), forgotten()], [2, 2, 1]);
        assert_eq!(fixture.store.deleted().expect("deleted"), []);
        assert_eq!((fixture.states(W), fixture.states(OTHER)), (vec![], vec![(Pending, Some(1))]));
    }

    #[test]
    fn what_is_due_after_all_time_is_due_at_the_latest() {
        let mut fixture = Fixture::new();
        for (seq, due_ms) in [(1, 5_000), (2, 9_000), (3, u64::MAX), (4, 9_001)] {
            fixture.waits(W, seq, due_ms);
        }
        let mut brought = || fixture.store.bring_near(W, 9_000, 1).expect("bring near");
        assert_eq!([brought(), brought(), brought()], [1, 1, 0]);
        assert_eq!(fixture.waiting(W), [1, 2, 3, 4]);
        assert_eq!(fixture.store.due(W, START, 9_000, 9).expect("due").len(), 4);
    }
}
