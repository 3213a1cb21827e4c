//! What the tests of this part begin with: a database of their own, and short names for its values.

use std::path::Path;

use jiff::Timestamp;
use tempfile::TempDir;

use super::audit::{Actor, Author};
use super::{AccountId, AccountName, Grant, Grants, NewAccount, Owner, Store, Tier};

pub struct Fixture {
    pub store: Store,
    data_dir: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let data_dir = tempfile::tempdir().expect("temporary directory");
        Self { store: Store::open(data_dir.path()).expect("open"), data_dir }
    }

    /// An elite account of that name.
    pub fn account(&mut self, text: &str) -> AccountId {
        let account = NewAccount { name: name(text), tier: Tier::Elite, grants: Grants::of_a_new_account() };
        self.store.create_account(&account, &by()).expect(text).id
    }

    /// Another connection to the same file, as another process has it.
    pub fn second_store(&self) -> Store {
        Store::open(self.data_dir()).expect("open")
    }

    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }
}

/// Somebody, at [`now`].
pub fn by() -> Author {
    Author { actor: Actor::Server, at: now() }
}

pub fn now() -> Timestamp {
    Timestamp::from_second(1_760_000_000).expect("a moment in 2025")
}

pub fn name(text: &str) -> AccountName {
    text.parse().expect(text)
}

pub fn owner(text: &str) -> Owner {
    text.parse().expect(text)
}

pub fn owners(texts: &[&str]) -> Vec<Owner> {
    texts.iter().map(|text| owner(text)).collect()
}

pub fn grants(texts: &[&str]) -> Grants {
    texts.iter().map(|text| text.parse::<Grant>().expect(text)).collect()
}
