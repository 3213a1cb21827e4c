//! The tables, and how an older database becomes a current one.
//!
//! `PRAGMA user_version` counts the migrations that a file has been through. They run in one transaction each, under the write lock. A
//! file from a newer Stentor is refused: an older one would write rows that the newer would misread.

use rusqlite::{Connection, TransactionBehavior};

use crate::delivery::DeliveryError;

/// Each entry brings a database from schema n to n + 1. An entry that was released is never edited: add another.
const MIGRATIONS: &[&str] = &[
    // 1: the position, webhooks, deliveries.
    //
    // `server.unsealed_left` is set while secrets that were not sealed may still stand in unused parts of the files.
    //
    // A secret is its text, or what a sealer made of it, which begins with another byte.
    //
    // Of the deliveries' indexes the two over what waits and the one over what is finished hold each row once: what waits in the order
    // in which it is due, the rest (and what waits, too) in the order in which it came, for history and for what is dropped and deleted
    // from the old end. `deliveries_by_seq` keeps an event from being recorded twice, and finds a deleted webhook's rows.
    "CREATE TABLE server (
         one INTEGER PRIMARY KEY CHECK (one = 1),
         salt BLOB NOT NULL CHECK (length(salt) = 16),
         position INTEGER,
         unsealed_left INTEGER NOT NULL DEFAULT 0
     ) STRICT;

     CREATE TABLE webhooks (
         id INTEGER PRIMARY KEY,
         account INTEGER NOT NULL,
         url TEXT NOT NULL,
         events INTEGER NOT NULL,
         secret BLOB NOT NULL,
         previous_secret BLOB,
         previous_until_ms INTEGER,
         created_ms INTEGER NOT NULL,
         from_seq INTEGER NOT NULL,
         disabled_reason TEXT CHECK (disabled_reason IN ('owner', 'failures', 'gone')),
         disabled_ms INTEGER,
         disabled_from_seq INTEGER,
         failures INTEGER NOT NULL,
         failing_since_ms INTEGER,
         replay_next INTEGER,
         replay_end INTEGER
     ) STRICT;

     CREATE TABLE deliveries (
         row INTEGER PRIMARY KEY,
         webhook INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
         event BLOB NOT NULL CHECK (length(event) = 12),
         seq INTEGER,
         kind TEXT NOT NULL,
         state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dropped', 'notice')),
         created_ms INTEGER NOT NULL,
         due_ms INTEGER NOT NULL,
         attempts_made INTEGER NOT NULL DEFAULT 0,
         attempts TEXT NOT NULL DEFAULT '[]',
         note TEXT,
         body BLOB
     ) STRICT;
     CREATE UNIQUE INDEX deliveries_by_seq ON deliveries (webhook, seq);
     CREATE INDEX waiting_by_due ON deliveries (webhook, due_ms) WHERE state = 'pending';
     CREATE INDEX waiting_by_row ON deliveries (webhook) WHERE state = 'pending';
     CREATE INDEX finished_by_row ON deliveries (webhook) WHERE state <> 'pending';",
    // 2: every secret that signs still, salts of numbers that were given out twice, and what is done in pieces.
    //
    // `salts` has the numbers from which on another salt than the server's makes the ids.
    //
    // A webhook with `is_deleted` is none any more: it goes with the last of its deliveries. `dropped_to` is set while deliveries up to
    // that row are still to be dropped, as the webhook was disabled.
    "CREATE TABLE previous_secrets (
         webhook INTEGER NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
         age INTEGER NOT NULL,
         secret BLOB NOT NULL,
         until_ms INTEGER NOT NULL,
         PRIMARY KEY (webhook, age)
     ) STRICT, WITHOUT ROWID;
     INSERT INTO previous_secrets
         SELECT id, 0, previous_secret, previous_until_ms FROM webhooks
         WHERE previous_secret IS NOT NULL AND previous_until_ms IS NOT NULL;
     ALTER TABLE webhooks DROP COLUMN previous_secret;
     ALTER TABLE webhooks DROP COLUMN previous_until_ms;
     ALTER TABLE webhooks ADD COLUMN is_deleted INTEGER NOT NULL DEFAULT 0;
     ALTER TABLE webhooks ADD COLUMN dropped_to INTEGER;

     CREATE TABLE salts (
         from_seq INTEGER PRIMARY KEY,
         salt BLOB NOT NULL CHECK (length(salt) = 16)
     ) STRICT;",
];

/// The schema that this build reads and writes.
pub(super) const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the database to [`SCHEMA_VERSION`], or refuses it.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), DeliveryError> {
    if version(connection)? == SCHEMA_VERSION {
        return Ok(());
    }
    loop {
        let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read under the write lock: another process may have migrated meanwhile.
        let done = version(&migration)?;
        let Some(next) = usize::try_from(done).ok().and_then(|done| MIGRATIONS.get(done)) else {
            return Ok(());
        };
        migration.execute_batch(next)?;
        migration.pragma_update(None, "user_version", done + 1)?;
        migration.commit()?;
    }
}

fn version(connection: &Connection) -> Result<i64, DeliveryError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(DeliveryError::NewerSchema { found, known: SCHEMA_VERSION });
    }
    if found < 0 {
        return Err(DeliveryError::Corrupt { detail: format!("schema {found}") });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeliveryState, DisableReason};

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().expect("in memory");
        migrate(&mut connection).expect("an empty database migrates");
        connection
    }

    #[test]
    fn an_empty_database_reaches_the_current_schema_and_stays_there() {
        let mut connection = migrated();
        assert_eq!(version(&connection).expect("version"), SCHEMA_VERSION);
        migrate(&mut connection).expect("a current database is left alone");
    }

    #[test]
    fn what_an_older_stentor_kept_signs_on() {
        let mut connection = Connection::open_in_memory().expect("in memory");
        connection.execute_batch(MIGRATIONS[0]).expect("schema 1");
        connection.pragma_update(None, "user_version", 1).expect("pragma");
        let sql = "INSERT INTO webhooks (id, account, url, events, secret, previous_secret, previous_until_ms, created_ms, from_seq, failures)
            VALUES (7, 1, '', 1, x'01', x'02', 77, 0, 1, 0), (8, 1, '', 1, x'03', NULL, NULL, 0, 1, 0)";
        connection.execute_batch(sql).expect("webhooks");
        migrate(&mut connection).expect("it migrates");
        let sql = "SELECT webhook, secret, until_ms FROM previous_secrets";
        let previous: Vec<(i64, Vec<u8>, i64)> = {
            let mut select = connection.prepare(sql).expect(sql);
            let rows = select.query_map((), |row| row.try_into()).expect(sql);
            rows.collect::<Result<_, _>>().expect(sql)
        };
        assert_eq!(previous, [(7, vec![2], 77)]);
        let left = "SELECT count(*) FROM webhooks WHERE NOT is_deleted AND dropped_to IS NULL";
        assert_eq!(connection.query_row(left, (), |row| row.get::<_, i64>(0)).expect(left), 2);
    }

    #[test]
    fn a_newer_schema_and_a_senseless_one_are_refused() {
        let mut connection = migrated();
        connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("pragma");
        let refused = migrate(&mut connection).expect_err("newer");
        assert!(matches!(refused, DeliveryError::NewerSchema { found, known } if found == known + 1), "{refused}");
        connection.pragma_update(None, "user_version", -1).expect("pragma");
        assert!(matches!(migrate(&mut connection), Err(DeliveryError::Corrupt { .. })));
    }

    #[test]
    fn the_schema_allows_just_the_states_and_reasons_that_the_code_knows() {
        let quoted = |texts: &[&str]| texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ");
        let sql = MIGRATIONS.concat();
        assert!(sql.contains(&quoted(&DeliveryState::ALL.map(DeliveryState::as_str))));
        assert!(sql.contains(&quoted(&DisableReason::ALL.map(DisableReason::as_str))));
    }

    fn plan(sql: &str) -> String {
        let connection = migrated();
        let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
        let parameters = vec![0; explain.parameter_count()];
        let steps = explain.query_map(rusqlite::params_from_iter(parameters), |row| row.get(3)).expect("plan");
        steps.collect::<Result<Vec<String>, _>>().expect("plan").join("; ")
    }

    /// What is asked over and over reads no more than it answers with.
    #[test]
    fn frequent_questions_scan_and_sort_nothing() {
        use super::super::{deliveries, history, pieces};
        for sql in [
            deliveries::DUE,
            deliveries::NEXT_DUE,
            deliveries::OLDEST,
            history::FIRST_TOO_MANY,
            history::SURPLUS,
            pieces::DROPPED,
            pieces::FORGOTTEN,
            pieces::FAR_AHEAD,
            pieces::LOWEST,
        ] {
            let plan = plan(sql);
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
        assert!(plan(deliveries::DUE).contains("due_ms=? AND rowid>?"), "{}", plan(deliveries::DUE));
    }
}
