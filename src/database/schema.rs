//! How an older database becomes a current one.
//!
//! `PRAGMA user_version` counts the migrations that a file has been through. They run in one transaction each, under the write lock, so
//! that two processes that open the same old file at once migrate it once. A file from a newer Stentor is refused: an older one would
//! write rows that the newer would misread.

use rusqlite::{Connection, TransactionBehavior};

use super::DatabaseError;

/// What a database is called, and how its tables came about.
pub struct Schema {
    /// Its name in the data directory.
    pub file: &'static str,
    /// Each entry brings a database from schema n to n + 1. An entry that was released is never edited: another is added.
    pub migrations: &'static [&'static str],
}

impl Schema {
    /// The schema that this build reads and writes.
    pub const fn version(&self) -> i64 {
        self.migrations.len() as i64
    }

    /// Brings the database to [`Self::version`], or refuses it.
    pub fn migrate(&self, connection: &mut Connection) -> Result<(), DatabaseError> {
        if self.version_of(connection)? == self.version() {
            return Ok(());
        }
        loop {
            let migration = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Read under the write lock: another process may have migrated meanwhile.
            let done = self.version_of(&migration)?;
            let Some(next) = usize::try_from(done).ok().and_then(|done| self.migrations.get(done)) else {
                return Ok(());
            };
            migration.execute_batch(next)?;
            migration.pragma_update(None, "user_version", done + 1)?;
            migration.commit()?;
        }
    }

    fn version_of(&self, connection: &Connection) -> Result<i64, DatabaseError> {
        let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > self.version() {
            return Err(DatabaseError::NewerSchema { found, known: self.version() });
        }
        if found < 0 {
            return Err(DatabaseError::Corrupt { detail: format!("schema {found}") });
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEPS: &[&str] = &[
        "CREATE TABLE numbers (number INTEGER NOT NULL) STRICT; INSERT INTO numbers VALUES (1)",
        "UPDATE numbers SET number = number + 1",
        "UPDATE numbers SET number = number * 10",
    ];

    fn schema(steps: usize) -> Schema {
        Schema { file: "test.db", migrations: &STEPS[..steps] }
    }

    fn migrated(steps: usize) -> Connection {
        let mut connection = Connection::open_in_memory().expect("in memory");
        schema(steps).migrate(&mut connection).expect("an empty database migrates");
        connection
    }

    fn number(connection: &Connection) -> i64 {
        connection.query_row("SELECT number FROM numbers", (), |row| row.get(0)).expect("a number")
    }

    #[test]
    fn each_migration_runs_once_and_in_its_turn_wherever_a_database_begins() {
        for steps in 1..=STEPS.len() {
            let mut connection = migrated(steps);
            for _ in 0..2 {
                schema(STEPS.len()).migrate(&mut connection).expect("an older database migrates");
                assert_eq!(schema(STEPS.len()).version_of(&connection).expect("version"), 3);
                assert_eq!(number(&connection), 20, "from schema {steps}");
            }
        }
    }

    #[test]
    fn a_migration_that_fails_leaves_the_schema_before_it() {
        const BROKEN: &[&str] = &[STEPS[0], "UPDATE numbers SET number = 7; nonsense"];
        let (mut connection, broken) = (migrated(1), Schema { file: "test.db", migrations: BROKEN });
        broken.migrate(&mut connection).expect_err("nonsense");
        assert_eq!((broken.version_of(&connection).expect("version"), number(&connection)), (1, 1));
    }

    #[test]
    fn a_newer_schema_and_a_senseless_one_are_refused_and_left_as_they_are() {
        let mut connection = migrated(3);
        let refused = schema(2).migrate(&mut connection).expect_err("newer");
        assert!(matches!(refused, DatabaseError::NewerSchema { found: 3, known: 2 }), "{refused}");
        assert_eq!(number(&connection), 20);
        connection.pragma_update(None, "user_version", -1).expect("pragma");
        assert!(matches!(schema(3).migrate(&mut connection), Err(DatabaseError::Corrupt { .. })));
    }
}
