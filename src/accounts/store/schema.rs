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
    // 3: of customers' entries each account's are bounded, too.
    //
    // `account` is whose key it was, on the customers' side; of entries from before it is not known. As the oldest of an account may go
    // before older ones of others, a side's entries have no numbers without holes any more: they are counted as they come and go.
    "DROP INDEX audit_by_side;
     ALTER TABLE audit DROP COLUMN nth;
     ALTER TABLE audit ADD COLUMN account INTEGER;
     CREATE INDEX audit_by_side ON audit (side);
     CREATE INDEX audit_by_account ON audit (account) WHERE account IS NOT NULL;

     CREATE TABLE audit_kept (
         side INTEGER PRIMARY KEY,
         entries INTEGER NOT NULL
     ) STRICT;
     INSERT INTO audit_kept VALUES
         (0, (SELECT count(*) FROM audit WHERE side = 0)),
         (1, (SELECT count(*) FROM audit WHERE side = 1));
     CREATE TRIGGER audit_comes AFTER INSERT ON audit BEGIN
         UPDATE audit_kept SET entries = entries + 1 WHERE side = new.side;
     END;
     CREATE TRIGGER audit_goes AFTER DELETE ON audit BEGIN
         UPDATE audit_kept SET entries = entries - 1 WHERE side = old.side;
     END;",
];

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::accounts::{Role, Tier};
    use crate::limits::OWNER_BYTES_MAX;

    #[test]
    fn an_audit_log_from_before_accounts_were_counted_stays_and_is_counted() {
        let mut connection = Connection::open_in_memory().expect("in memory");
        Schema { file: SCHEMA.file, migrations: &MIGRATIONS[..2] }.migrate(&mut connection).expect("schema 2");
        let before = "INSERT INTO audit (at_ms, side, nth, actor, action, target, detail) VALUES
            (1, 0, 1, 'server', 'server.start', 'here', '{}'),
            (2, 1, 1, 'a key', 'watchlist.add', 'alice', '{}'),
            (3, 1, 2, 'a key', 'watchlist.add', 'bob', '{}')";
        connection.execute(before, []).expect("entries");
        SCHEMA.migrate(&mut connection).expect("it migrates");
        let kept = |connection: &Connection| {
            let mut select = connection.prepare("SELECT entries FROM audit_kept ORDER BY side").expect("sound");
            let counts = select.query_map([], |row| row.get(0)).expect("a query");
            counts.collect::<Result<Vec<i64>, _>>().expect("numbers")
        };
        assert_eq!(kept(&connection), [1, 2]);
        connection.execute("DELETE FROM audit WHERE target = 'alice'", []).expect("delete");
        let after = "INSERT INTO audit (at_ms, side, account, actor, action, target, detail)
            VALUES (4, 0, NULL, 'server', 'server.stop', 'here', '{}')";
        connection.execute(after, []).expect("an entry");
        assert_eq!(kept(&connection), [2, 1]);
        let newest: i64 = connection.query_row("SELECT max(id) FROM audit", [], |row| row.get(0)).expect("a number");
        assert_eq!(newest, 4, "numbers go on");
    }

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
