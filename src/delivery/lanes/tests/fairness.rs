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
    /// Of prompt lanes (`true`) and of slow ones, of each account that has some ready: the look since which it has had some, and no
    /// turn. And the lanes.
    accounts: BTreeMap<(bool, AccountId), (u64, BTreeSet<usize>)>,
    prompt_was_last: bool,
    /// How often a slow lane went before one of another account that had waited for longer: as its account held fewer workers, and by
    /// turns of accounts. And the same of prompt lanes.
    pub passed: [[usize; 2]; 2],
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
        for prompt in [false, true] {
            for account in model.accounts_of(prompt, &ready) {
                let lives = model.lanes_of(prompt, account, &ready);
                // One that had to stop waiting meanwhile has nobody here who was here before.
                let before = self.accounts.get(&(prompt, account)).filter(|(_, before)| !before.is_disjoint(&lives));
                accounts.insert((prompt, account), (before.map_or(self.looks, |(since, _)| *since), lives));
            }
        }
        self.accounts = accounts;
    }

    /// The look since which the first of some lanes waits, and those that may be it.
    fn first(&self, lives: &BTreeSet<usize>) -> (u64, BTreeSet<usize>) {
        let since = lives.iter().map(|life| self.lanes[life]).min().unwrap_or(u64::MAX);
        (since, lives.iter().copied().filter(|life| self.lanes[life] == since).collect())
    }

    /// Of each account that may be the first of a line, its first lane.
    fn line(&self, model: &Model, prompt: bool, usable: &BTreeSet<usize>) -> Vec<(u64, BTreeSet<usize>)> {
        let rank = |account: &AccountId| (model.share(*account, prompt), self.accounts[&(prompt, *account)].0);
        let accounts = model.accounts_of(prompt, usable);
        let first = accounts.iter().map(rank).min();
        let firsts = accounts.iter().filter(|account| Some(rank(account)) == first);
        firsts.map(|account| self.first(&model.lanes_of(prompt, *account, usable))).collect()
    }

    /// `gone` has been chosen of those that are usable.
    pub fn turn(&mut self, model: &Model, usable: &BTreeSet<usize>, gone: usize) {
        let prompt = model.is_prompt(gone);
        let (own, other) = (self.line(model, prompt, usable), self.line(model, !prompt, usable));
        let account = model.account(gone);
        let is_first = own.iter().any(|(_, lives)| lives.contains(&gone));
        assert!(is_first, "lane {gone} of {account:?}, prompt: {prompt}, went before {own:?}");
        if !other.is_empty() {
            let may = match model.options.workers {
                1 => prompt != self.prompt_was_last,
                _ => other.iter().any(|(since, _)| self.lanes[&gone] <= *since),
            };
            assert!(may, "it was not the turn of lane {gone}'s line");
        }
        self.prompt_was_last = prompt;
        let share = model.share(account, prompt);
        let passes = |other: &AccountId| self.first(&model.lanes_of(prompt, *other, usable)).0 < self.lanes[&gone];
        let accounts = model.accounts_of(prompt, usable);
        let passed: Vec<_> =
            accounts.iter().filter(|other| passes(other)).map(|other| model.share(*other, prompt)).collect();
        let counts = &mut self.passed[usize::from(prompt)];
        counts[0] += usize::from(passed.iter().any(|other| *other > share));
        counts[1] += usize::from(passed.contains(&share));
        // It stands behind all others that are here, and before those that come.
        self.looks += 1;
        let (since, lives) = self.accounts.get_mut(&(prompt, account)).expect("it had a lane");
        *since = self.looks;
        lives.remove(&gone);
        self.lanes.remove(&gone);
    }
}
