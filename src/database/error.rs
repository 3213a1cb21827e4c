//! What can go wrong with a database file, told so that the reader knows who mends it.

use std::io;
use std::path::PathBuf;

use http::StatusCode;
use rusqlite::ErrorCode;

/// The messages say what the database does or is; whoever carries them puts its name in front: "the accounts database …".
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    // The operator mends these:
    #[error("can't use the data directory {} ({source}): check its owner and mode, or choose another with --data-dir", .path.display())]
    DataDir { path: PathBuf, source: io::Error },
    #[error(
        "can't keep a write-ahead log beside {} (SQLite stayed in mode {mode:?}): put the data directory on a local file system",
        .path.display()
    )]
    NoWriteAheadLog { path: PathBuf, mode: String },
    #[error("was written by a newer Stentor (schema {found}, this one knows {known}): run that version")]
    NewerSchema { found: i64, known: i64 },
    #[error("is damaged ({detail}): restore the data directory from a backup")]
    Corrupt { detail: String },
    #[error("is on a disk that is full: make room on it")]
    DiskFull,
    #[error("can't be written ({detail}): check the owner and the mode of its file and directory")]
    NotWritable { detail: String },
    #[error(
        "failed (SQLite: {0}): check the disk that holds it (`dmesg`), or restore the data directory from a backup"
    )]
    Sqlite(rusqlite::Error),

    // Passing:
    #[error("is kept locked by another process: try again once that has ended")]
    Busy,
}

impl DatabaseError {
    /// The status of a REST answer that carries this error.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::DataDir { .. }
            | Self::NoWriteAheadLog { .. }
            | Self::NewerSchema { .. }
            | Self::Corrupt { .. }
            | Self::NotWritable { .. }
            | Self::Sqlite(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, SqliteFailure};
        match &error {
            SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt { detail: error.to_string() },
                ErrorCode::DiskFull => Self::DiskFull,
                ErrorCode::ReadOnly | ErrorCode::CannotOpen => Self::NotWritable { detail: error.to_string() },
                _ => Self::Sqlite(error),
            },
            // The schema and our own writes allow no such value.
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => {
                Self::Corrupt { detail: error.to_string() }
            }
            _ => Self::Sqlite(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    fn failure(sql: &str) -> DatabaseError {
        let connection = Connection::open_in_memory().expect("in memory");
        connection.execute_batch(sql).expect_err(sql).into()
    }

    #[test]
    fn a_full_disk_a_file_that_can_t_be_written_and_the_rest_are_told_apart() {
        let full = failure("PRAGMA max_page_count = 2; CREATE TABLE a (x); CREATE TABLE b (x)");
        assert!(matches!(full, DatabaseError::DiskFull), "{full}");
        let read_only = failure("PRAGMA query_only = 1; CREATE TABLE a (x)");
        assert!(matches!(read_only, DatabaseError::NotWritable { .. }), "{read_only}");
        let other = failure("nonsense");
        assert!(matches!(other, DatabaseError::Sqlite(_)), "{other}");
        let missing: DatabaseError =
            Connection::open_with_flags("/nowhere/test.db", rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
                .expect_err("no such file")
                .into();
        assert!(matches!(missing, DatabaseError::NotWritable { .. }), "{missing}");
    }

    #[test]
    fn a_value_that_the_schema_does_not_allow_is_told_as_damage() {
        let connection = Connection::open_in_memory().expect("in memory");
        let read = |sql| DatabaseError::from(connection.query_row(sql, (), |row| row.get::<_, u8>(0)).expect_err(sql));
        for sql in ["SELECT 'text'", "SELECT NULL", "SELECT 256"] {
            assert!(matches!(read(sql), DatabaseError::Corrupt { .. }), "{sql}");
        }
    }
}
