//! One SQLite database file of ours in the data directory: how it is made and opened, how an older one becomes a current one
//! (`schema`), and what can go wrong with it (`error`). What is in it is its store's: each has its own tables and statements.
//!
//! Invariants:
//! * The file and its log are readable by their owner alone from their first moment on.
//! * The log is write-ahead and a commit is on the disk: what was committed survives a power cut.
//! * What [`open`] returns has the schema that this build reads and writes.

mod error;
mod schema;

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::limits::{OPEN_RETRY_MS, STATEMENTS_CACHED, STORE_BUSY_TIMEOUT_MS};

pub use error::DatabaseError;
pub use schema::Schema;

/// Opens the database of a data directory; makes both where they are missing, readable by their owner alone.
pub fn open(data_dir: &Path, schema: &Schema) -> Result<Connection, DatabaseError> {
    let io_error = |source| DatabaseError::DataDir { path: data_dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(io_error)?;
    let path = data_dir.join(schema.file);
    // SQLite gives its log and index files the mode of the database file. Only `create_new` is safe here: to open a file that this
    // process has open in SQLite and close it again would drop SQLite's POSIX locks on it.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(io_error(error)),
    }
    connect(&path, schema)
}

/// As [`open`], but makes nothing: `None` where there is no such database.
pub fn open_existing(data_dir: &Path, schema: &Schema) -> Result<Option<Connection>, DatabaseError> {
    let path = data_dir.join(schema.file);
    match path.try_exists() {
        Ok(true) => connect(&path, schema).map(Some),
        Ok(false) => Ok(None),
        Err(source) => Err(DatabaseError::DataDir { path: data_dir.to_owned(), source }),
    }
}

/// Waits while others open or close the same fresh file: to switch it to WAL, to recover its log and to remove that log at the last
/// close, SQLite upgrades locks, and there it answers "busy" at once, whatever the busy timeout is.
fn connect(path: &Path, schema: &Schema) -> Result<Connection, DatabaseError> {
    let deadline = Instant::now() + Duration::from_millis(STORE_BUSY_TIMEOUT_MS);
    loop {
        match try_connect(path, schema) {
            Err(DatabaseError::Busy) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(OPEN_RETRY_MS));
            }
            outcome => return outcome,
        }
    }
}

fn try_connect(path: &Path, schema: &Schema) -> Result<Connection, DatabaseError> {
    // No SQLITE_OPEN_URI: a directory may be called `file:…`. A connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(STORE_BUSY_TIMEOUT_MS))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(DatabaseError::NoWriteAheadLog { path: path.to_owned(), mode });
    }
    // NORMAL would let a power cut undo the last changes: a revoked key must not come back, and matches that were told as recorded must
    // not go.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    schema.migrate(&mut connection)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Barrier;

    use super::*;

    const SCHEMA: Schema =
        Schema { file: "test.db", migrations: &["CREATE TABLE numbers (number INTEGER NOT NULL) STRICT"] };

    fn insert(connection: &Connection) -> Result<(), DatabaseError> {
        connection.execute("INSERT INTO numbers VALUES (1)", ())?;
        Ok(())
    }

    #[test]
    fn the_data_directory_and_its_files_are_readable_by_their_owner_alone() {
        let above = tempfile::tempdir().expect("temporary directory");
        let data_dir = above.path().join("new/stentor-data");
        let connection = open(&data_dir, &SCHEMA).expect("a fresh data directory");
        insert(&connection).expect("insert");
        let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode(&data_dir), 0o700);
        for file in ["test.db", "test.db-wal", "test.db-shm"] {
            assert_eq!(mode(&data_dir.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn commits_are_durable_foreign_keys_hold_and_the_log_is_write_ahead() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let connection = open(dir.path(), &SCHEMA).expect("open");
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).expect("pragma");
        assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (2, 1));
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).expect("pragma");
        assert_eq!(mode, "wal");
    }

    #[test]
    fn what_is_there_is_opened_and_what_is_missing_is_not_made() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let missing = dir.path().join("nowhere");
        assert!(open_existing(&missing, &SCHEMA).expect("nothing there").is_none());
        assert!(!missing.exists());
        assert!(open_existing(dir.path(), &SCHEMA).expect("an empty directory").is_none());
        assert_eq!(fs::read_dir(dir.path()).expect("directory").count(), 0);

        insert(&open(dir.path(), &SCHEMA).expect("made")).expect("insert");
        let connection = open_existing(dir.path(), &SCHEMA).expect("open").expect("it is there");
        let count: i64 = connection.query_row("SELECT count(*) FROM numbers", (), |row| row.get(0)).expect("count");
        assert_eq!(count, 1);
    }

    #[test]
    fn a_file_that_is_no_database_is_told_as_damage() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join(SCHEMA.file), [b'x'; 4096]).expect("write");
        let refused = open(dir.path(), &SCHEMA).expect_err("not a database");
        assert!(matches!(refused, DatabaseError::Corrupt { .. }), "{refused}");
    }

    #[test]
    fn a_newer_database_is_refused() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let connection = open(dir.path(), &SCHEMA).expect("open");
        connection.pragma_update(None, "user_version", SCHEMA.version() + 1).expect("pragma");
        let refused = open(dir.path(), &SCHEMA).expect_err("newer");
        assert!(matches!(refused, DatabaseError::NewerSchema { .. }), "{refused}");
    }

    #[test]
    fn a_data_directory_that_is_a_file_is_refused_by_its_path() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("write");
        let refused = open(&file, &SCHEMA).expect_err("a file").to_string();
        assert!(refused.contains(&file.display().to_string()), "{refused}");
    }

    #[test]
    fn many_may_open_and_close_a_fresh_database_at_once() {
        for _ in 0..10 {
            let dir = tempfile::tempdir().expect("temporary directory");
            let start = Barrier::new(8);
            thread::scope(|scope| {
                let open_often = || {
                    start.wait();
                    (0..10).try_for_each(|_| open(dir.path(), &SCHEMA).map(drop))
                };
                let openings: Vec<_> = (0..8).map(|_| scope.spawn(open_often)).collect();
                for opening in openings {
                    opening.join().expect("no panic").expect("open");
                }
            });
        }
    }

    #[test]
    fn a_lock_that_another_holds_is_told_as_busy() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let holder = open(dir.path(), &SCHEMA).expect("open");
        let waiter = open(dir.path(), &SCHEMA).expect("open");
        waiter.busy_timeout(Duration::from_millis(10)).expect("timeout");
        holder.execute_batch("BEGIN IMMEDIATE").expect("lock");
        let refused = insert(&waiter).expect_err("locked");
        assert!(matches!(refused, DatabaseError::Busy), "{refused}");
        holder.execute_batch("COMMIT").expect("unlock");
        insert(&waiter).expect("the lock is free");
    }
}
