//! Owners and the audiences that watch them.
//!
//! An entry outlives its audience and is passed over from then on: when an account's last socket leaves, nothing has to be
//! searched for in the lists of its ten thousand owners. When the dead outnumber the living, all are cleaned away at once.

use std::collections::HashMap;

use super::AudienceId;
use crate::accounts::Owner;
use crate::limits;

/// An audience in the list of an owner, alive as long as its place has the same generation.
#[derive(Clone, Copy)]
pub struct Listed {
    pub id: AudienceId,
    pub generation: u32,
}

#[derive(Default)]
pub struct WalletLists {
    lists: HashMap<Owner, Vec<Listed>, ahash::RandomState>,
    /// Entries that count, and at most so many that don't.
    live: usize,
    dead: usize,
}

impl WalletLists {
    /// Whoever ever watched this owner, the gone among them.
    pub fn of(&self, owner: &str) -> &[Listed] {
        self.lists.get(owner).map_or(&[], Vec::as_slice)
    }

    pub fn add(&mut self, owner: Owner, listed: Listed) {
        self.lists.entry(owner).or_default().push(listed);
        self.live += 1;
    }

    pub fn remove(&mut self, owner: &Owner, id: AudienceId) {
        if let Some(listed) = self.lists.get_mut(owner.as_str()) {
            listed.retain(|listed| listed.id != id);
            self.live -= 1;
            if listed.is_empty() {
                self.lists.remove(owner.as_str());
            }
        }
    }

    /// An audience with so many entries is gone. Where the dead have become too many, all entries that `is_live` does not
    /// know are dropped: one visit of each, for at least as many that died.
    pub fn forget(&mut self, entries: usize, is_live: impl Fn(&Listed) -> bool) {
        self.live -= entries;
        self.dead += entries;
        if self.dead > self.live.max(limits::DEAD_LISTINGS_MIN) {
            self.lists.retain(|_, listed| {
                listed.retain(&is_live);
                !listed.is_empty()
            });
            self.dead = 0;
        }
    }

    /// Entries, owners, and entries that count.
    #[cfg(test)]
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.lists.values().map(Vec::len).sum(), self.lists.len(), self.live)
    }
}
