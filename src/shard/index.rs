//! Who gets what: topics → audiences → sockets of this shard.
//!
//! ```text
//!   wallet:DRVR… ──▶ audience of account 7 (its watchlist) ──▶ [slot 3, slot 912, …]
//!              └───▶ audience of account 9                 ──▶ [slot 44]
//! ```
//!
//! An audience is the sockets that receive exactly the same: all sessions of one account. So a watchlist of ten
//! thousand owners is in the index once a shard, however many sockets its account has. Finding an event's audiences is
//! one look-up; the cost after that is in proportion to them. Pure.

use std::collections::HashMap;

use super::log::LogRange;
use super::socket::Membership;
use crate::accounts::{Account, AccountId, Owner, Watchlist};
use crate::limits;

pub type AudienceId = u32;

pub struct Audience {
    pub account: AccountId,
    pub members: Vec<u32>,
    /// Frames matched in the ingest under way and not yet handed to the members.
    pub pending: LogRange,
    pub pending_events: u32,
    /// The account's version that the index follows.
    pub version: u64,
    watchlist: Watchlist,
}

/// An audience in the list of an owner. It outlives its audience, and is passed over from then on: when an account's last
/// socket leaves, nothing has to be searched for in the lists of its ten thousand owners.
#[derive(Clone, Copy)]
struct Listed {
    id: AudienceId,
    generation: u32,
}

#[derive(Default)]
pub struct TopicIndex {
    wallets: HashMap<Owner, Vec<Listed>, ahash::RandomState>,
    audiences: Vec<Place>,
    vacant: Vec<AudienceId>,
    by_account: HashMap<AccountId, AudienceId, ahash::RandomState>,
    /// Entries of `wallets` that count, and at most so many that don't.
    live: usize,
    dead: usize,
}

#[derive(Default)]
struct Place {
    generation: u32,
    audience: Option<Audience>,
}

impl TopicIndex {
    /// The audiences of a `wallet:` topic.
    pub fn wallet_audiences(&self, owner: &str) -> impl Iterator<Item = AudienceId> {
        let listed = self.wallets.get(owner).map_or(&[][..], Vec::as_slice);
        listed.iter().filter(|listed| is_live(&self.audiences, listed)).map(|listed| listed.id)
    }

    pub fn audience(&mut self, id: AudienceId) -> &mut Audience {
        self.audiences[id as usize].audience.as_mut().expect("an audience in use")
    }

    /// Whether `id` is still the audience of `account`.
    pub fn is_open(&self, id: AudienceId, account: AccountId) -> bool {
        self.by_account.get(&account) == Some(&id)
    }

    /// Every audience in use.
    pub fn audience_ids(&self) -> impl Iterator<Item = AudienceId> {
        self.by_account.values().copied()
    }

    /// Adds a socket to its account's audience, which is made where this is the account's first.
    pub fn join(&mut self, account: &Account, slot: u32) -> Membership {
        let id = match self.by_account.get(&account.id) {
            Some(&id) => id,
            None => self.open(account),
        };
        let members = &mut self.audience(id).members;
        members.push(slot);
        Membership { audience: id, position: members.len() as u32 - 1 }
    }

    /// Takes a socket out. Where another one moved to its position, that one's slot is returned.
    pub fn leave(&mut self, membership: Membership) -> Option<u32> {
        let audience = self.audience(membership.audience);
        audience.members.swap_remove(membership.position as usize);
        let moved = audience.members.get(membership.position as usize).copied();
        if audience.members.is_empty() {
            self.close(membership.audience);
        }
        moved
    }

    /// Brings an audience's topics up to the account's present watchlist.
    pub fn follow(&mut self, id: AudienceId, account: &Account) {
        let audience = self.audience(id);
        audience.version = account.version;
        let before = std::mem::replace(&mut audience.watchlist, account.watchlist.clone());
        if before.is_same(&account.watchlist) {
            return;
        }
        let diff = before.diff(&account.watchlist);
        for owner in diff.removed {
            if let Some(listed) = self.wallets.get_mut(owner.as_str()) {
                listed.retain(|listed| listed.id != id);
                self.live -= 1;
            }
        }
        for owner in diff.added {
            self.list(owner, id);
        }
    }

    fn open(&mut self, account: &Account) -> AudienceId {
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.audiences.push(Place::default());
            self.audiences.len() as AudienceId - 1
        });
        self.audiences[id as usize].audience = Some(Audience {
            account: account.id,
            members: Vec::new(),
            pending: LogRange::default(),
            pending_events: 0,
            version: account.version,
            watchlist: account.watchlist.clone(),
        });
        self.by_account.insert(account.id, id);
        for owner in account.watchlist.iter() {
            self.list(owner.clone(), id);
        }
        id
    }

    fn close(&mut self, id: AudienceId) {
        let place = &mut self.audiences[id as usize];
        let audience = place.audience.take().expect("an audience in use");
        place.generation = place.generation.wrapping_add(1);
        self.by_account.remove(&audience.account);
        self.vacant.push(id);
        self.live -= audience.watchlist.len();
        self.dead += audience.watchlist.len();
        if self.dead > self.live.max(limits::DEAD_LISTINGS_MIN) {
            self.forget_the_dead();
        }
    }

    fn list(&mut self, owner: Owner, id: AudienceId) {
        let generation = self.audiences[id as usize].generation;
        self.wallets.entry(owner).or_default().push(Listed { id, generation });
        self.live += 1;
    }

    /// Visits every entry, once for at least as many that died.
    fn forget_the_dead(&mut self) {
        let audiences = &self.audiences;
        self.wallets.retain(|_, listed| {
            listed.retain(|listed| is_live(audiences, listed));
            !listed.is_empty()
        });
        self.dead = 0;
    }
}

fn is_live(audiences: &[Place], listed: &Listed) -> bool {
    audiences[listed.id as usize].generation == listed.generation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{AccountName, Grants, Tier};

    fn account(number: u64, version: u64, owners: impl IntoIterator<Item = u32>) -> Account {
        let owners = owners.into_iter().map(|owner| format!("w{owner}").parse::<Owner>().unwrap());
        Account {
            id: AccountId(number),
            name: "someone".parse::<AccountName>().unwrap(),
            tier: Tier::Elite,
            grants: Grants::none(),
            watchlist: owners.collect(),
            keys: [].into(),
            version,
        }
    }

    fn accounts_of(index: &mut TopicIndex, owner: &str) -> Vec<u64> {
        let ids: Vec<_> = index.wallet_audiences(owner).collect();
        ids.into_iter().map(|id| index.audience(id).account.0).collect()
    }

    #[test]
    fn an_owner_leads_to_the_accounts_that_watch_it() {
        let mut index = TopicIndex::default();
        index.join(&account(1, 1, [1, 2]), 10);
        index.join(&account(2, 1, [2, 3]), 11);
        index.join(&account(2, 1, [2, 3]), 12);
        assert_eq!(accounts_of(&mut index, "w1"), [1]);
        assert_eq!(accounts_of(&mut index, "w2"), [1, 2]);
        assert_eq!(accounts_of(&mut index, "w9"), [] as [u64; 0]);
    }

    #[test]
    fn an_account_without_sockets_is_no_audience_even_if_its_place_is_used_again() {
        let mut index = TopicIndex::default();
        let membership = index.join(&account(1, 1, [1]), 10);
        index.leave(membership);
        index.join(&account(2, 1, [2]), 11);
        assert!(accounts_of(&mut index, "w1").is_empty());
        index.join(&account(1, 1, [1]), 12);
        assert_eq!(accounts_of(&mut index, "w1"), [1]);
    }

    #[test]
    fn a_changed_watchlist_is_followed_by_its_difference() {
        let mut index = TopicIndex::default();
        let membership = index.join(&account(1, 1, [1, 2]), 10);
        index.follow(membership.audience, &account(1, 2, [2, 3]));
        assert!(accounts_of(&mut index, "w1").is_empty());
        assert_eq!(accounts_of(&mut index, "w2"), [1]);
        assert_eq!(accounts_of(&mut index, "w3"), [1]);
    }

    #[test]
    fn the_one_that_takes_a_leavers_position_is_told() {
        let mut index = TopicIndex::default();
        let one = account(1, 1, [1]);
        let first = index.join(&one, 10);
        index.join(&one, 11);
        index.join(&one, 12);
        assert_eq!(index.leave(first), Some(12));
        assert_eq!(index.audience(first.audience).members, [12, 11]);
    }

    #[test]
    fn reconnecting_for_ever_does_not_grow_the_index() {
        let mut index = TopicIndex::default();
        index.join(&account(1, 1, 0..100), 1);
        for round in 0..2_000 {
            let membership = index.join(&account(2, 1, 0..50), 10);
            index.leave(membership);
            let membership = index.join(&account(3, 1, round * 10..round * 10 + 10), 11);
            index.leave(membership);
        }
        let entries: usize = index.wallets.values().map(Vec::len).sum();
        assert!(entries <= 100 + 2 * limits::DEAD_LISTINGS_MIN, "{entries} entries");
        assert!(index.wallets.len() <= 100 + 2 * limits::DEAD_LISTINGS_MIN);
        assert_eq!(index.live, 100);
    }
}
