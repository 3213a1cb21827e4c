//! One account as the shards see it.

use std::fmt;
use std::str::FromStr;

use super::{Grants, KeyHash, KeyId, KeyNumber, Role, Tier, Watchlist};
use crate::limits::ACCOUNT_NAME_BYTES_MAX;

/// An account's row in the database; never used again for another account, even one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub u64);

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An account's name: letters, digits and `. _ - + @`, beginning with a letter or digit. Names that differ only in case are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountName(Box<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    #[error("an account's name can't be empty")]
    Empty,
    #[error("the account name {0:?}… is longer than {ACCOUNT_NAME_BYTES_MAX} bytes")]
    TooLong(String),
    #[error(
        "the account name {0:?} may hold only ASCII letters, digits and . _ - + @, and begins with a letter or digit"
    )]
    Character(String),
}

impl AccountName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > ACCOUNT_NAME_BYTES_MAX {
            return Err(InvalidName::TooLong(text.chars().take(16).collect()));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte);
        if !text.bytes().all(allowed) || !text.as_bytes()[0].is_ascii_alphanumeric() {
            return Err(InvalidName::Character(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An account at one moment. Immutable: a change makes a new one, and an unchanged one is shared by successive snapshots.
#[derive(Clone, Debug)]
pub struct Account {
    pub id: AccountId,
    pub name: AccountName,
    pub tier: Tier,
    pub grants: Grants,
    pub watchlist: Watchlist,
    /// The keys that are in force; a revoked one is not here.
    pub keys: Box<[LiveKey]>,
    /// The number of the database's change that last touched this account. It differs whenever anything here does.
    pub version: u64,
}

impl Account {
    /// Whether a key of this account is an operator's.
    pub fn is_operators(&self, key: KeyNumber) -> bool {
        self.keys.iter().any(|live| live.number == key && live.role == Role::Admin)
    }
}

/// A key that opens its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveKey {
    pub number: KeyNumber,
    pub id: KeyId,
    pub role: Role,
    pub hash: KeyHash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_and_addresses_are_accepted() {
        for name in ["a", "alice", "copy-trader_2", "ops+ci@example.com", &"x".repeat(ACCOUNT_NAME_BYTES_MAX)] {
            assert_eq!(name.parse::<AccountName>().expect(name).as_str(), name);
        }
    }

    #[test]
    fn names_that_would_break_a_table_or_a_command_line_are_refused() {
        assert_eq!("".parse::<AccountName>(), Err(InvalidName::Empty));
        assert!(matches!("x".repeat(ACCOUNT_NAME_BYTES_MAX + 1).parse::<AccountName>(), Err(InvalidName::TooLong(_))));
        for wrong in ["-rf", ".", "a b", "a\n", "é", "a/b", "\u{1b}[31m", "@a"] {
            assert!(matches!(wrong.parse::<AccountName>(), Err(InvalidName::Character(_))), "{wrong:?}");
        }
    }
}
