//! A journal that is older than this database: somebody brought back one without the other. Numbers past its end are given out again,
//! to other events.

use super::Store;
use super::columns::Number;
use crate::delivery::{DeliveryError, Salt};

/// What the ids of events are made with: the salt of the database, and another one from each number on that was given out again.
#[derive(Clone, Debug)]
pub struct Salts {
    first: Salt,
    /// By the number that each begins with.
    later: Vec<(u64, Salt)>,
}

impl Salts {
    pub fn of(&self, seq: u64) -> &Salt {
        let later = self.later.iter().rev().find(|(from, _)| *from <= seq);
        later.map_or(&self.first, |(_, salt)| salt)
    }
}

impl Store {
    pub fn salts(&self) -> Result<Salts, DeliveryError> {
        let mut select = self.connection.prepare_cached("SELECT from_seq, salt FROM salts ORDER BY from_seq")?;
        let later = select.query_map((), |row| Ok((row.get::<_, Number>(0)?.0, row.get(1)?)))?;
        Ok(Salts { first: self.salt, later: later.collect::<Result<_, _>>()? })
    }

    /// The database knows of no event with this number or a higher one.
    pub fn known_below(&self) -> Result<u64, DeliveryError> {
        // Deliveries are of events before the position, or before the end of a replay.
        let sql = "SELECT max(coalesce((SELECT position FROM server), 0), coalesce((SELECT
            max(max(from_seq, coalesce(disabled_from_seq, 0), coalesce(replay_end, 0))) FROM webhooks), 0))";
        let known: Number = self.connection.prepare_cached(sql)?.query_row((), |row| row.get(0))?;
        Ok(known.0)
    }

    /// The numbers from `kept` on are free again: nothing that is here stands in the way of the events that get them. What waited for
    /// those that had them is dropped.
    pub fn rewind(&mut self, kept: u64) -> Result<(), DeliveryError> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let kept = || Number(kept);
        let change = self.change()?;
        change.execute("UPDATE server SET position = ?1", [kept()])?;
        change.execute(
            "UPDATE webhooks SET from_seq = min(from_seq, ?1), disabled_from_seq = min(disabled_from_seq, ?1),
                 replay_end = iif(replay_next < ?1, min(replay_end, ?1), NULL),
                 replay_next = iif(replay_next < ?1, replay_next, NULL)",
            [kept()],
        )?;
        // Without a number they don't count as deliveries of its next event.
        change.execute(
            "UPDATE deliveries SET seq = NULL, state = iif(state = 'pending', 'dropped', state),
                 note = iif(state = 'pending', 'event ' || seq || ' is not in the journal, which was brought back from earlier', note)
             WHERE seq >= ?1",
            [kept()],
        )?;
        change.execute("DELETE FROM salts WHERE from_seq >= ?1", [kept()])?;
        change.execute("INSERT INTO salts (from_seq, salt) VALUES (?1, ?2)", (kept(), Salt(salt)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Fixture, W, attempt, webhook};
    use super::super::{NewDelivery, Next};
    use crate::delivery::DeliveryState::{Delivered, Dropped, Pending};
    use crate::delivery::{DisableReason, Disabled, Webhook};

    #[test]
    fn what_lies_past_the_end_is_let_go_and_what_lies_before_it_stays() {
        let mut fixture = Fixture::new();
        let disabled = Some(Disabled { reason: DisableReason::Gone, at_ms: 6, from_seq: 12 });
        let far = Webhook { from_seq: 15, disabled, replay: Some((3, 14)), ..webhook(W) };
        fixture.store.update_webhook(&far).expect("update");
        assert_eq!(fixture.store.known_below().expect("known"), 15);
        fixture.store.set_position(20).expect("position");
        assert_eq!(fixture.store.known_below().expect("known"), 20);
        fixture.waits(W, 9, 2_000);
        let finished = fixture.waits(W, 10, 2_000);
        fixture.store.attempted(finished, &attempt(1, 200), Next::Delivered).expect("attempted");
        fixture.waits(W, 11, 2_000);
        fixture.store.rewind(10).expect("rewind");
        fixture.store.commit().expect("commit");

        assert_eq!(fixture.states(W), [(Dropped, None), (Delivered, None), (Pending, Some(9))]);
        let note = fixture.store.history(W, 1).expect("history").remove(0).note.expect("a note");
        assert!(note.contains("event 11"), "{note}");
        assert_eq!(
            (fixture.store.known_below().expect("known"), fixture.store.position().expect("it")),
            (10, Some(10))
        );
        let kept = fixture.store.webhooks().expect("webhooks").remove(0);
        assert_eq!((kept.from_seq, kept.disabled.expect("it is").from_seq, kept.replay), (10, 10, Some((3, 10))));
        fixture.waits(W, 10, 2_000);

        fixture.store.update_webhook(&Webhook { replay: Some((8, 10)), ..webhook(W) }).expect("update");
        fixture.store.rewind(8).expect("rewind");
        assert_eq!(fixture.store.webhooks().expect("webhooks").remove(0).replay, None);
    }

    #[test]
    fn numbers_that_are_given_out_again_make_other_ids_and_the_others_the_same() {
        let mut fixture = Fixture::new();
        let first = fixture.store.salt();
        let mut after = |kept| {
            fixture.store.rewind(kept).expect("rewind");
            fixture.store.salts().expect("salts")
        };
        let once = after(10);
        assert_eq!((*once.of(0), *once.of(9)), (first, first));
        assert!(*once.of(10) != first && once.of(u64::MAX) == once.of(10));
        let twice = after(20);
        assert!(twice.of(9) == &first && twice.of(19) == once.of(10) && twice.of(20) != once.of(10));
        let thrice = after(10);
        assert!(thrice.of(9) == &first && thrice.of(10) != once.of(10) && thrice.of(20) == thrice.of(10));
    }

    #[test]
    fn a_delivery_without_a_number_is_none_of_any_event() {
        let mut fixture = Fixture::new();
        let test = NewDelivery { body: Some(b"{}"), ..super::super::fixture::delivery(W, None) };
        fixture.store.insert_delivery(&test).expect("insert");
        fixture.store.rewind(1).expect("rewind");
        assert_eq!(fixture.states(W), [(Pending, None)]);
    }
}
