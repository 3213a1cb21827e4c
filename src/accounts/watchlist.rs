//! The owners (wallets) whose trades an account wants to see.

use crate::limits::OWNER_BYTES_MAX;
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

/// One owner: 1 to [`OWNER_BYTES_MAX`] bytes of printable ASCII without blanks, compared byte by byte.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(Arc<str>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOwner {
    #[error("an owner can't be empty: name a wallet")]
    Empty,
    #[error("the owner {0:?}… is longer than {OWNER_BYTES_MAX} bytes")]
    TooLong(String),
    #[error("the owner {0:?} may hold only printable ASCII without blanks")]
    Character(String),
}

impl Owner {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = InvalidOwner;

    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        if text.is_empty() {
            return Err(InvalidOwner::Empty);
        }
        if text.len() > OWNER_BYTES_MAX {
            return Err(InvalidOwner::TooLong(text.chars().take(16).collect()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidOwner::Character(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl Deref for Owner {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Owner {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The owners of one account, sorted, each once; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Watchlist(Arc<[Owner]>);

impl Watchlist {
    pub fn empty() -> Self {
        Self(Arc::new([]))
    }

    pub fn contains(&self, owner: &str) -> bool {
        self.0.binary_search_by(|held| held.as_str().cmp(owner)).is_ok()
    }

    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Owner> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the very same list in memory. A snapshot keeps a list that did not change, so this spares a diff.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What turns `self` into `new`.
    pub fn diff(&self, new: &Self) -> WatchlistDiff {
        let mut diff = WatchlistDiff::default();
        if self.is_same(new) {
            return diff;
        }
        // Both are sorted, so the lesser of two heads is in one list only.
        let (mut before, mut after) = (self.iter().peekable(), new.iter().peekable());
        loop {
            match (before.peek(), after.peek()) {
                (Some(old), Some(new)) if old == new => {
                    before.next();
                    after.next();
                }
                (Some(old), Some(new)) if old < new => diff.removed.extend(before.next().cloned()),
                (Some(_), None) => diff.removed.extend(before.next().cloned()),
                (_, Some(_)) => diff.added.extend(after.next().cloned()),
                (None, None) => return diff,
            }
        }
    }
}

impl FromIterator<Owner> for Watchlist {
    fn from_iter<I: IntoIterator<Item = Owner>>(owners: I) -> Self {
        let mut owners: Vec<Owner> = owners.into_iter().collect();
        owners.sort_unstable();
        owners.dedup();
        Self(owners.into())
    }
}

impl fmt::Debug for Watchlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watchlist({} owners)", self.len())
    }
}

/// The difference of two watchlists, each side in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchlistDiff {
    pub added: Vec<Owner>,
    pub removed: Vec<Owner>,
}

impl WatchlistDiff {
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn owner(text: &str) -> Owner {
        text.parse().expect(text)
    }

    fn watchlist(owners: &[&str]) -> Watchlist {
        owners.iter().map(|text| owner(text)).collect()
    }

    #[test]
    fn an_owner_that_is_empty_too_long_or_blank_is_refused() {
        assert_eq!("".parse::<Owner>(), Err(InvalidOwner::Empty));
        assert!(matches!("x".repeat(OWNER_BYTES_MAX + 1).parse::<Owner>(), Err(InvalidOwner::TooLong(_))));
        assert!("x".repeat(OWNER_BYTES_MAX).parse::<Owner>().is_ok());
        for wrong in ["a b", "a\n", "\u{7f}", "é", "a\0"] {
            assert!(matches!(wrong.parse::<Owner>(), Err(InvalidOwner::Character(_))), "{wrong:?}");
        }
    }

    #[test]
    fn an_owner_is_found_by_its_exact_text() {
        let list = watchlist(&["b", "a", "c", "a"]);
        assert_eq!(list.len(), 3);
        assert!(list.contains("a") && list.contains("c") && !list.contains("A") && !list.contains(""));
    }

    #[test]
    fn a_diff_names_what_came_and_what_went() {
        let diff = watchlist(&["a", "b", "d"]).diff(&watchlist(&["b", "c", "d", "e"]));
        assert_eq!(diff, WatchlistDiff { added: vec![owner("c"), owner("e")], removed: vec![owner("a")] });
    }

    #[test]
    fn equal_lists_differ_in_nothing() {
        assert!(watchlist(&["a", "b"]).diff(&watchlist(&["b", "a"])).is_empty());
        assert!(Watchlist::empty().diff(&Watchlist::empty()).is_empty());
    }

    proptest! {
        #[test]
        fn a_diff_agrees_with_set_difference(old: BTreeSet<u8>, new: BTreeSet<u8>) {
            let list = |set: &BTreeSet<u8>| set.iter().map(|n| owner(&format!("w{n:03}"))).collect::<Watchlist>();
            let diff = list(&old).diff(&list(&new));
            prop_assert_eq!(diff.added, list(&(&new - &old)).iter().cloned().collect::<Vec<_>>());
            prop_assert_eq!(diff.removed, list(&(&old - &new)).iter().cloned().collect::<Vec<_>>());
        }
    }
}
