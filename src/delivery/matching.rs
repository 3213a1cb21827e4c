//! Whose webhooks an event is for: owners and the accounts that watch them, of accounts that have webhooks.

use ahash::HashMap;

use crate::accounts::{AccountId, Owner, Watchlist};

/// Who watches whom. What stands here follows the accounts' snapshot, one account at a time.
#[derive(Debug, Default)]
pub struct Watchers {
    lists: HashMap<AccountId, Watchlist>,
    by_owner: HashMap<Owner, Vec<AccountId>>,
}

impl Watchers {
    /// An account watches these owners from now on, and no others.
    pub fn set(&mut self, account: AccountId, watchlist: &Watchlist) {
        let before = self.lists.insert(account, watchlist.clone()).unwrap_or_else(Watchlist::empty);
        let diff = before.diff(watchlist);
        for owner in &diff.removed {
            self.forget(account, owner);
        }
        for owner in diff.added {
            self.by_owner.entry(owner).or_default().push(account);
        }
    }

    /// An account watches nobody any more.
    pub fn remove(&mut self, account: AccountId) {
        for owner in self.lists.remove(&account).iter().flat_map(Watchlist::iter) {
            self.forget(account, owner);
        }
    }

    /// The accounts that watch an owner, each once.
    pub fn of(&self, owner: &str) -> &[AccountId] {
        self.by_owner.get(owner).map_or(&[], Vec::as_slice)
    }

    /// Whether this account watches anybody.
    pub fn has(&self, account: AccountId) -> bool {
        self.lists.get(&account).is_some_and(|list| list.iter().next().is_some())
    }

    /// Whether this account watches the owner.
    pub fn watches(&self, account: AccountId, owner: &str) -> bool {
        self.lists.get(&account).is_some_and(|list| list.contains(owner))
    }

    fn forget(&mut self, account: AccountId, owner: &Owner) {
        let Some(accounts) = self.by_owner.get_mut(owner) else { return };
        accounts.retain(|other| *other != account);
        if accounts.is_empty() {
            self.by_owner.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(owners: &[&str]) -> Watchlist {
        owners.iter().map(|owner| owner.parse::<Owner>().expect("an owner")).collect()
    }

    #[test]
    fn watchers_follow_their_lists_and_leave_nothing_behind() {
        let mut watchers = Watchers::default();
        let (alice, bob) = (AccountId(1), AccountId(2));
        watchers.set(alice, &list(&["a", "b"]));
        watchers.set(bob, &list(&["b"]));
        assert_eq!((watchers.of("a"), watchers.of("b"), watchers.of("c")), (&[alice][..], &[alice, bob][..], &[][..]));
        watchers.set(alice, &list(&["b", "c"]));
        assert_eq!((watchers.of("a"), watchers.of("b"), watchers.of("c")), (&[][..], &[alice, bob][..], &[alice][..]));
        assert!(watchers.watches(alice, "c") && !watchers.watches(alice, "a") && !watchers.watches(bob, "c"));
        watchers.remove(alice);
        watchers.remove(alice);
        assert_eq!((watchers.of("b"), watchers.of("c")), (&[bob][..], &[][..]));
        watchers.remove(bob);
        assert!(watchers.by_owner.is_empty() && watchers.lists.is_empty());
    }
}
