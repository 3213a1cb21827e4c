//! Lanes of one line that are ready, and the workers that count for that line: both by account.
//!
//! Invariants:
//! * The next to go is of the account that holds the fewest workers, among equals of the one that has waited longest since it last went,
//!   or since it has had a lane here at all. Within an account, lanes go in the order of their turns.
//! * Nothing goes of an account that has its part of the workers, nor while accounts hold all of them.
//! * An account may hold more than its part all the same: workers come to count for slow lanes that were lent to prompt ones. What it
//!   holds beyond its part takes nothing from others here: it does not count towards all.
//! * An account without a lane here and without a worker is not known.

use std::collections::{BTreeMap, BTreeSet};

use crate::accounts::AccountId;

#[derive(Debug)]
pub struct AccountLine {
    /// Workers that accounts hold, of each no more than its part; and may.
    under_way: usize,
    under_way_max: usize,
    /// An account's part.
    account_under_way_max: usize,
    accounts: BTreeMap<AccountId, Account>,
    /// Those that have a lane here, by their workers and their turns.
    waiting: BTreeSet<(usize, u64, AccountId)>,
    /// Turns given out to accounts.
    turns: u64,
}

#[derive(Debug, Default)]
struct Account {
    /// Workers that it holds, those beyond its part too.
    under_way: usize,
    /// Its own, not one of its lanes': else the many lanes of one account would have their turns before the first of another.
    turn: u64,
    /// By their turns.
    lanes: BTreeMap<u64, usize>,
}

impl AccountLine {
    pub fn new(under_way_max: usize, account_under_way_max: usize) -> Self {
        Self {
            under_way: 0,
            under_way_max,
            account_under_way_max,
            accounts: BTreeMap::new(),
            waiting: BTreeSet::new(),
            turns: 0,
        }
    }

    /// The next to go, if one may: its turn and its key. Accounts that may not for a reason of the caller's are passed over, and cost a
    /// step each.
    pub fn first(&self, may: impl Fn(AccountId) -> bool) -> Option<(u64, usize)> {
        let (under_way, _, account) = self.waiting.iter().find(|(_, _, account)| may(*account))?;
        // Where the one with the fewest has its part, all that follow have.
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

    /// Whether an account holds less than its part.
    pub fn has_part_left(&self, account: AccountId) -> bool {
        self.accounts.get(&account).is_none_or(|account| account.under_way < self.account_under_way_max)
    }

    /// A lane of an account holds so many workers now that count here, and held so many before.
    pub fn lend(&mut self, account: AccountId, before: usize, now: usize) {
        if before != now {
            let held = self.accounts.get(&account).map_or(0, |account| account.under_way);
            let holds = held - before + now;
            self.under_way -= held.min(self.account_under_way_max);
            self.under_way += holds.min(self.account_under_way_max);
            self.change(account, |account, _| account.under_way = holds);
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

    /// Accounts that are known, with the workers that they hold.
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
    fn first(line: &AccountLine) -> Option<u64> {
        line.first(|_| true).map(|(_, lane)| lane as u64 / 100)
    }

    #[test]
    fn the_account_with_the_fewest_workers_goes_first() {
        let mut line = AccountLine::new(32, 24);
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
        let mut line = AccountLine::new(32, 24);
        (1..=50).for_each(|turn| line.insert(A, turn, 100));
        line.insert(B, 51, 200);
        line.insert(C, 52, 300);
        let mut gone = Vec::new();
        for _ in 0..5 {
            let (turn, lane) = line.first(|_| true).expect("somebody waits");
            let account = AccountId(lane as u64 / 100);
            line.remove(account, turn);
            line.pass(account);
            gone.push(account);
        }
        assert_eq!(gone, [A, B, C, A, A]);
    }

    #[test]
    fn a_lane_that_joins_or_leaves_others_costs_its_account_no_turn() {
        let mut line = AccountLine::new(32, 24);
        line.insert(A, 10, 110);
        line.insert(B, 11, 200);
        line.insert(A, 12, 112);
        line.remove(A, 10);
        assert_eq!(line.first(|_| true), Some((12, 112)));
        line.remove(A, 12);
        line.insert(A, 10, 110);
        assert_eq!(first(&line), Some(2), "the only one's leaving does");
    }

    #[test]
    fn nothing_goes_of_an_account_that_has_its_part_nor_once_all_are_held() {
        let mut line = AccountLine::new(8, 6);
        line.insert(A, 1, 100);
        line.lend(A, 0, 5);
        assert_eq!((first(&line), line.has_part_left(A)), (Some(1), true));
        line.lend(A, 5, 6);
        assert_eq!((first(&line), line.has_part_left(A)), (None, false));
        line.insert(B, 2, 200);
        line.lend(B, 0, 1);
        assert_eq!((first(&line), line.has_part_left(B)), (Some(2), true));
        line.lend(B, 1, 2);
        assert_eq!((first(&line), line.has_part_left(B)), (None, true));
    }

    #[test]
    fn what_an_account_holds_beyond_its_part_takes_nothing_from_others() {
        let mut line = AccountLine::new(8, 6);
        line.insert(B, 1, 200);
        line.lend(A, 0, 4);
        line.lend(A, 0, 4);
        assert_eq!((first(&line), line.under_way(), line.shares()), (Some(2), 6, vec![(A, 8), (B, 0)]));
        line.lend(B, 0, 2);
        assert_eq!((first(&line), line.under_way()), (None, 8));
        line.lend(A, 4, 2);
        assert_eq!((first(&line), line.under_way()), (None, 8), "it has its part still");
        line.lend(A, 2, 1);
        assert_eq!((first(&line), line.under_way()), (Some(2), 7));
    }

    #[test]
    fn accounts_that_may_not_go_are_passed_over() {
        let mut line = AccountLine::new(8, 6);
        line.insert(A, 1, 100);
        assert_eq!(line.first(|account| account != A), None);
        line.insert(B, 2, 200);
        line.lend(B, 0, 1);
        assert_eq!(line.first(|account| account != A), Some((2, 200)));
        line.lend(B, 1, 6);
        assert_eq!(line.first(|account| account != A), None, "it has its part");
    }

    #[test]
    fn accounts_are_known_while_they_have_a_lane_or_a_worker() {
        let mut line = AccountLine::new(32, 24);
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
