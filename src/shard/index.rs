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

pub type AudienceId = u32;

pub struct Audience {
    pub account: AccountId,
    pub members: Vec<u32>,
    /// Frames matched in the ingest under way and not yet handed to the members.
    pub pending: LogRange,
    pub pending_events: u32,
    watchlist: Watchlist,
    version: u64,
}

#[derive(Default)]
pub struct TopicIndex {
    wallets: HashMap<Owner, Vec<AudienceId>, ahash::RandomState>,
    audiences: Vec<Option<Audience>>,
    vacant: Vec<AudienceId>,
    by_account: HashMap<AccountId, AudienceId, ahash::RandomState>,
}

impl TopicIndex {
    /// The audiences of a `wallet:` topic.
    pub fn wallet_audiences(&self, owner: &str) -> &[AudienceId] {
        self.wallets.get(owner).map_or(&[], Vec::as_slice)
    }

    pub fn audience(&mut self, id: AudienceId) -> &mut Audience {
        self.audiences[id as usize].as_mut().expect("an audience in use")
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
        if audience.version == account.version {
            return;
        }
        audience.version = account.version;
        let before = std::mem::replace(&mut audience.watchlist, account.watchlist.clone());
        if before.is_same(&account.watchlist) {
            return;
        }
        let diff = before.diff(&account.watchlist);
        for owner in diff.removed {
            self.unlist(owner.as_str(), id);
        }
        for owner in diff.added {
            self.wallets.entry(owner).or_default().push(id);
        }
    }

    fn open(&mut self, account: &Account) -> AudienceId {
        let id = self.vacant.pop().unwrap_or_else(|| {
            self.audiences.push(None);
            self.audiences.len() as AudienceId - 1
        });
        self.audiences[id as usize] = Some(Audience {
            account: account.id,
            members: Vec::new(),
            pending: LogRange::default(),
            pending_events: 0,
            watchlist: account.watchlist.clone(),
            version: account.version,
        });
        self.by_account.insert(account.id, id);
        for owner in account.watchlist.iter() {
            self.wallets.entry(owner.clone()).or_default().push(id);
        }
        id
    }

    fn close(&mut self, id: AudienceId) {
        let audience = self.audiences[id as usize].take().expect("an audience in use");
        self.by_account.remove(&audience.account);
        for owner in audience.watchlist.iter() {
            self.unlist(owner.as_str(), id);
        }
        self.vacant.push(id);
    }

    fn unlist(&mut self, owner: &str, id: AudienceId) {
        let Some(audiences) = self.wallets.get_mut(owner) else { return };
        audiences.retain(|&other| other != id);
        if audiences.is_empty() {
            self.wallets.remove(owner);
        }
    }
}
