//! Slow lanes that are ready, and the workers that slow lanes hold: both by account.
//!
//! Invariants:
//! * The next to go is of the account whose slow lanes hold the fewest workers, among equals of the one that has waited longest since
//!   it last went, or since it has had a lane here at all. Within an account, lanes go in the order of their turns.
//! * Nothing goes while slow lanes hold all workers that they may, nor of an account that has its part of them. Either may hold more
//!   all the same: lanes become slow that were prompt when they were lent theirs.
//! * An account without a lane here and without a worker is not known.

use std::collections::{BTreeMap, BTreeSet};

use crate::accounts::AccountId;

#[derive(Debug)]
pub struct SlowLine {
    /// Workers that slow lanes hold, and may.
    under_way: usize,
    under_way_max: usize,
    account_under_way_max: usize,
    accounts: BTreeMap<AccountId, Account>,
    /// Those that have a lane here, by their workers and their turns.
    waiting: BTreeSet<(usize, u64, AccountId)>,
    /// Turns given out to accounts.
    turns: u64,
}

#[derive(Debug, Default)]
struct Account {
    /// Workers that its slow lanes hold.
    under_way: usize,
    /// Its own, not one of its lanes': else the many lanes of one account would have their turns before the first of another.
    turn: u64,
    /// By their turns.
    lanes: BTreeMap<u64, usize>,
}

impl SlowLine {
    /// For so many workers in all.
    pub fn new(workers: usize) -> Self {
        let under_way_max = (workers / 2).max(1);
        Self {
            under_way: 0,
            under_way_max,
            // What is left finds the next account at once, however long the attempts of one take. Of fewer than four nothing is left:
            // then the next that ends is the newcomer's.
            account_under_way_max: under_way_max - under_way_max / 4,
            accounts: BTreeMap::new(),
            waiting: BTreeSet::new(),
            turns: 0,
        }
    }

    /// The next to go, if one may: its turn and its key.
    pub fn first(&self) -> Option<(u64, usize)> {
        let (under_way, _, account) = self.waiting.first()?;
        // Where the one with the fewest has its part, all have.
        if self.under_way >= self.under_way_max || *under_way >= self.account_under_way_max {
            return None;
        }
        self.accounts[account].lanes.first_key_value().map(|(turn, lane)| (*turn, *lane))
    }

    pub fn insert(&mut self, account: AccountId, turn: u64, lane: usize) {
        self.change(account, |account, next_turn| {
            if account.lanes.is_empty() {
                account.turn = next_turn;
            }
            account.lanes.insert(turn, lane);
        });
    }

    pub fn remove(&mut self, account: AccountId, turn: u64) {
        self.change(account, |account, _| {
            account.lanes.remove(&turn);
        });
    }

    /// An account has had its turn, and stands behind all others.
    pub fn pass(&mut self, account: AccountId) {
        self.change(account, |account, next_turn| account.turn = next_turn);
    }

    /// A lane of an account holds so many workers now, and held so many before, as far as it was slow.
    pub fn lend(&mut self, account: AccountId, before: usize, now: usize) {
        if before != now {
            self.under_way = self.under_way - before + now;
            self.change(account, |account, _| account.under_way = account.under_way - before + now);
        }
    }

    /// Changes an account, and where it stands; the change is told the turn behind all others.
    fn change(&mut self, key: AccountId, change: impl FnOnce(&mut Account, u64)) {
        let account = self.accounts.entry(key).or_default();
        self.waiting.remove(&(account.under_way, account.turn, key));
        self.turns += 1;
        change(account, self.turns);
        if !account.lanes.is_empty() {
            self.waiting.insert((account.under_way, account.turn, key));
        } else if account.under_way == 0 {
            self.accounts.remove(&key);
        }
    }

    /// Accounts that are known, with the workers that their slow lanes hold.
    #[cfg(test)]
    pub fn shares(&self) -> Vec<(AccountId, usize)> {
        self.accounts.iter().map(|(account, known)| (*account, known.under_way)).collect()
    }

    #[cfg(test)]
    pub fn under_way(&self) -> usize {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: AccountId = AccountId(1);
    const B: AccountId = AccountId(2);
    const C: AccountId = AccountId(3);

    /// The account of the first lane; lanes here are named after their accounts, in hundreds.
    fn first(line: &SlowLine) -> Option<u64> {
        line.first().map(|(_, lane)| lane as u64 / 100)
    }

    #[test]
    fn the_account_with_the_fewest_workers_goes_first() {
        let mut line = SlowLine::new(64);
        line.insert(A, 1, 100);
        line.insert(B, 2, 200);
        assert_eq!(first(&line), Some(1));
        line.lend(A, 0, 2);
        line.lend(B, 0, 1);
        assert_eq!(first(&line), Some(2));
        line.lend(A, 2, 0);
        assert_eq!(first(&line), Some(1));
    }

    #[test]
    fn equals_go_by_turns_of_their_own_however_many_lanes_they_have() {
        let mut line = SlowLine::new(64);
        (1..=50).for_each(|turn| line.insert(A, turn, 100));
        line.insert(B, 51, 200);
        line.insert(C, 52, 300);
        let mut gone = Vec::new();
        for _ in 0..5 {
            let (turn, lane) = line.first().expect("somebody waits");
            let account = AccountId(lane as u64 / 100);
            line.remove(account, turn);
            line.pass(account);
            gone.push(account);
        }
        assert_eq!(gone, [A, B, C, A, A]);
    }

    #[test]
    fn a_lane_that_joins_or_leaves_others_costs_its_account_no_turn() {
        let mut line = SlowLine::new(64);
        line.insert(A, 10, 110);
        line.insert(B, 11, 200);
        line.insert(A, 12, 112);
        line.remove(A, 10);
        assert_eq!(line.first(), Some((12, 112)));
        line.remove(A, 12);
        line.insert(A, 10, 110);
        assert_eq!(first(&line), Some(2), "the only one's leaving does");
    }

    #[test]
    fn an_account_gets_three_quarters_rounded_up_of_what_slow_lanes_may_hold() {
        for (workers, account_max) in [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (8, 3), (10, 4), (16, 6), (128, 48)] {
            let mut line = SlowLine::new(workers);
            line.insert(A, 1, 100);
            line.lend(A, 0, account_max - 1);
            assert_eq!(first(&line), Some(1), "{workers} workers");
            line.lend(A, account_max - 1, account_max);
            assert_eq!(first(&line), None, "{workers} workers");
            line.insert(B, 2, 200);
            let slow_max = (workers / 2).max(1);
            assert_eq!(first(&line), (account_max < slow_max).then_some(2), "{workers} workers");
            line.lend(B, 0, slow_max - account_max);
            assert_eq!(first(&line), None, "{workers} workers");
        }
    }

    #[test]
    fn accounts_are_known_while_they_have_a_lane_or_a_worker() {
        let mut line = SlowLine::new(64);
        line.insert(A, 1, 100);
        line.lend(B, 0, 2);
        assert_eq!(line.shares(), [(A, 0), (B, 2)]);
        line.insert(B, 2, 200);
        line.remove(A, 1);
        line.lend(B, 2, 0);
        assert_eq!(line.shares(), [(B, 0)]);
        line.remove(B, 2);
        line.pass(B);
        line.lend(B, 0, 0);
        assert_eq!((line.shares(), line.waiting.len()), (vec![], 0));
    }
}
