//! How the types of this part stand in SQLite's columns. A value that doesn't convert back means a damaged database.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};

use crate::delivery::{DeliveryState, DisableReason, EventId, EventKinds, Salt, WebhookId};

/// An event's number, a time, a count.
pub(super) struct Number(pub u64);

impl ToSql for Number {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // Nothing is numbered past 2^63, and u64::MAX as a time means the end of all.
        Ok(i64::try_from(self.0).unwrap_or(i64::MAX).into())
    }
}

impl FromSql for Number {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Self).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for WebhookId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        // No id is past 2^63, and -1 is nobody's either.
        Ok(i64::try_from(self.0).unwrap_or(-1).into())
    }
}

impl FromSql for WebhookId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Number::column_result(value).map(|number| Self(number.0))
    }
}

impl ToSql for EventKinds {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.bits().into())
    }
}

impl FromSql for EventKinds {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_bits(FromSql::column_result(value)?).ok_or(FromSqlError::InvalidType)
    }
}

/// TEXT columns that hold one of a few words.
macro_rules! word_columns {
    ($($word:ident),*) => {$(
        impl ToSql for $word {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $word {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                let text = value.as_str()?;
                Self::ALL.into_iter().find(|word| word.as_str() == text).ok_or(FromSqlError::InvalidType)
            }
        }
    )*};
}

word_columns!(DeliveryState, DisableReason);

/// BLOB columns of a fixed length.
macro_rules! bytes_columns {
    ($($bytes:ident),*) => {$(
        impl ToSql for $bytes {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.0.as_slice().into())
            }
        }

        impl FromSql for $bytes {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                FromSql::column_result(value).map(Self)
            }
        }
    )*};
}

bytes_columns!(EventId, Salt);
