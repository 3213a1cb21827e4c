//! Whose turn it should be.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Model;
use super::*;

/// Who has waited for how long. What has come between two looks has come at once: the order of those is the lanes' own affair.
#[derive(Default)]
pub struct Fairness {
    looks: u64,
    /// The look at which each lane was first ready since its last turn.
    lanes: BTreeMap<usize, u64>,
    /// Of each account that has slow lanes ready: the look since which it has had some, and no turn. And the lanes.
    accounts: BTreeMap<AccountId, (u64, BTreeSet<usize>)>,
    prompt_was_last: bool,
    /// How often a lane went before one of another account that had waited for longer: as its account held fewer workers, and by turns
    /// of accounts.
    pub passed: [usize; 2],
}

impl Fairness {
    pub fn look(&mut self, model: &Model) {
        self.looks += 1;
        let ready = model.ready();
        self.lanes.retain(|life, _| ready.contains(life));
        for life in &ready {
            self.lanes.entry(*life).or_insert(self.looks);
        }
        let mut accounts = BTreeMap::new();
        for account in model.slow_accounts(&ready) {
            let lives = model.slow_of(account, &ready);
            // One that had to stop waiting meanwhile has nobody here who was here before.
            let before = self.accounts.get(&account).filter(|(_, before)| !before.is_disjoint(&lives));
            accounts.insert(account, (before.map_or(self.looks, |(since, _)| *since), lives));
        }
        self.accounts = accounts;
    }

    /// The look since which the first of some lanes waits, and those that may be it.
    fn first(&self, lives: &BTreeSet<usize>) -> (u64, BTreeSet<usize>) {
        let since = lives.iter().map(|life| self.lanes[life]).min().unwrap_or(u64::MAX);
        (since, lives.iter().copied().filter(|life| self.lanes[life] == since).collect())
    }

    /// `gone` has been chosen of those that are usable.
    pub fn turn(&mut self, model: &Model, usable: &BTreeSet<usize>, gone: usize) {
        let (prompt_since, prompt) =
            self.first(&usable.iter().copied().filter(|life| model.is_prompt(*life)).collect());
        let rank = |account: &AccountId| (model.share(*account), self.accounts[account].0);
        let accounts = model.slow_accounts(usable);
        let first = accounts.iter().map(rank).min();
        // Of each account that may be the first, its first lane.
        let slow: Vec<_> = (accounts.iter().filter(|account| Some(rank(account)) == first))
            .map(|account| self.first(&model.slow_of(*account, usable)))
            .collect();
        let mut slow_since = slow.iter().map(|(since, _)| *since);
        let is_prompt = model.is_prompt(gone);
        if is_prompt {
            assert!(prompt.contains(&gone), "prompt lane {gone} went before {prompt:?}");
        } else {
            let is_first = slow.iter().any(|(_, lives)| lives.contains(&gone));
            assert!(is_first, "slow lane {gone} of {:?} went before {slow:?}", model.account(gone));
        }
        if !prompt.is_empty() && !slow.is_empty() {
            let may = match (model.options.workers, is_prompt) {
                (1, _) => is_prompt != self.prompt_was_last,
                (_, true) => slow_since.any(|since| prompt_since <= since),
                (_, false) => self.lanes[&gone] <= prompt_since,
            };
            assert!(may, "it was not the turn of lane {gone}'s line");
        }
        self.prompt_was_last = is_prompt;
        if !is_prompt {
            let account = model.account(gone);
            let share = model.share(account);
            let passes = |other: &AccountId| self.first(&model.slow_of(*other, usable)).0 < self.lanes[&gone];
            let passed: Vec<_> =
                accounts.iter().filter(|other| passes(other)).map(|other| model.share(*other)).collect();
            self.passed[0] += usize::from(passed.iter().any(|other| *other > share));
            self.passed[1] += usize::from(passed.contains(&share));
            // It stands behind all others that are here, and before those that come.
            self.looks += 1;
            let (since, lives) = self.accounts.get_mut(&account).expect("it had a lane");
            *since = self.looks;
            lives.remove(&gone);
        }
        self.lanes.remove(&gone);
    }
}
