//! The tables.

use crate::database::Schema;

pub(super) const SCHEMA: Schema = Schema { file: "accounts.db", migrations: MIGRATIONS };

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
    // 2: the audit log.
    //
    // `side` is whose entry it is, and `nth` counts those of a side, so that each is bounded by itself: 0 the operator's, 1 customers'.
    "CREATE TABLE audit (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         at_ms INTEGER NOT NULL,
         side INTEGER NOT NULL CHECK (side IN (0, 1)),
         nth INTEGER NOT NULL,
         actor TEXT NOT NULL,
         action TEXT NOT NULL,
         target TEXT NOT NULL,
         detail TEXT NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX audit_by_side ON audit (side, nth);
     CREATE INDEX audit_by_time ON audit (at_ms);",
];

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::accounts::{Role, Tier};
    use crate::limits::OWNER_BYTES_MAX;

    #[test]
    fn the_schema_allows_just_the_tiers_roles_and_lengths_that_the_code_knows() {
        let mut connection = Connection::open_in_memory().expect("in memory");
        SCHEMA.migrate(&mut connection).expect("an empty database migrates");
        let quoted = |texts: &[&str]| texts.iter().map(|text| format!("'{text}'")).collect::<Vec<_>>().join(", ");
        let sql = MIGRATIONS.concat();
        assert!(sql.contains(&quoted(&Tier::ALL.map(Tier::as_str))));
        assert!(sql.contains(&quoted(&Role::ALL.map(Role::as_str))));
        assert!(sql.contains(&format!("length(owner) BETWEEN 1 AND {OWNER_BYTES_MAX}")));
        assert!(connection.execute("INSERT INTO accounts VALUES (1, 'a', 'gold', 0, 0, 0)", []).is_err());
    }
}
