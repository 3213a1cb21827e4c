//! The tables, and how an older database becomes a current one.
//!
//! `PRAGMA user_version` counts the migrations that a file has been through. They run in one transaction each, under the
//! write lock, so that two processes that open the same old file at once migrate it once. A file from a newer Stentor is
//! refused: an older one would write rows that the newer would misread.

use rusqlite::{Connection, TransactionBehavior};

use crate::accounts::StoreError;

/// Each entry brings a database from schema n to n + 1. An entry that was released is never edited: add another.
const MIGRATIONS: &[&str] = &[
    // 1: accounts, grants, keys, watchlists.
    //
    // Ids are AUTOINCREMENT because they must never come back: a session may outlive its account in memory.
    // `change.version` numbers every change of the database; `accounts.version` says which one last touched an account,
    // and `watchlist_version` which one last touched its watchlist, so that a reader fetches only what is new to it.
    "CREATE TABLE change (
         one INTEGER PRIMARY KEY CHECK (one = 1),
         version INTEGER NOT NULL
     ) STRICT;
     INSERT INTO change VALUES (1, 1);

     CREATE TABLE accounts (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT NOT NULL UNIQUE COLLATE NOCASE,
         tier TEXT NOT NULL CHECK (tier IN ('free', 'pro', 'elite', 'enterprise')),
         created_ms INTEGER NOT NULL,
         version INTEGER NOT NULL,
         watchlist_version INTEGER NOT NULL
     ) STRICT;
     CREATE INDEX accounts_by_version ON accounts (version);

     CREATE TABLE grants (
         account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
         pattern TEXT NOT NULL,
         PRIMARY KEY (account, pattern)
     ) STRICT, WITHOUT ROWID;

     CREATE TABLE keys (
         number INTEGER PRIMARY KEY AUTOINCREMENT,
         id TEXT NOT NULL UNIQUE,
         account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
         role TEXT NOT NULL CHECK (role IN ('publisher', 'subscriber', 'admin')),
         hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
         prefix TEXT NOT NULL,
         created_ms INTEGER NOT NULL,
         revoked_ms INTEGER
     ) STRICT;
     CREATE INDEX keys_by_account ON keys (account);
     CREATE INDEX keys_by_prefix ON keys (prefix);

     CREATE TABLE watchlist (
         account INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
         owner TEXT NOT NULL CHECK (length(owner) BETWEEN 1 AND 128),
         PRIMARY KEY (account, owner)
     ) STRICT, WITHOUT ROWID;",
];

/// The schema that this build reads and writes.
pub(super) const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// Brings the database to [`SCHEMA_VERSION`], or refuses it.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
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

fn version(connection: &Connection) -> Result<i64, StoreError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > SCHEMA_VERSION {
        return Err(StoreError::NewerSchema { found, known: SCHEMA_VERSION });
    }
    if found < 0 {
        return Err(StoreError::Corrupt { detail: format!("schema {found}") });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{Role, Tier};
    use crate::limits::OWNER_BYTES_MAX;

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
    fn a_newer_schema_is_refused_and_left_as_it_is() {
        let mut connection = migrated();
        connection.pragma_update(None, "user_version", SCHEMA_VERSION + 1).expect("pragma");
        let refused = migrate(&mut connection).expect_err("newer");
        assert!(matches!(refused, StoreError::NewerSchema { found, known } if found == known + 1), "{refused}");
    }

    #[test]
    fn the_schema_allows_just_the_tiers_roles_and_lengths_that_the_code_knows() {
        let connection = migrated();
        let quoted = |texts: &[&str]| texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ");
        let sql = MIGRATIONS.concat();
        assert!(sql.contains(&quoted(&Tier::ALL.map(Tier::as_str))));
        assert!(sql.contains(&quoted(&Role::ALL.map(Role::as_str))));
        assert!(sql.contains(&format!("length(owner) BETWEEN 1 AND {OWNER_BYTES_MAX}")));
        assert!(connection.execute("INSERT INTO accounts VALUES (1, 'a', 'gold', 0, 0, 0)", []).is_err());
    }
}
