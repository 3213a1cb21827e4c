//! Accounts and keys that came, changed and went, as the snapshots tell: whoever changed them, by whatever way.

use std::sync::{Arc, Mutex};

use crate::accounts::{Account, Snapshot};
use crate::limits::ACCOUNT_LINES_MAX;

/// Compares each snapshot with the one before. The first is no news.
#[derive(Default)]
pub struct AccountNews(Mutex<Option<Arc<Snapshot>>>);

impl AccountNews {
    /// Logs what is new in a snapshot. No more than some lines: somebody may load thousands of accounts.
    pub fn tell(&self, snapshot: &Arc<Snapshot>) {
        let before = self.0.lock().expect("no holder panics").replace(snapshot.clone());
        let news = before.map_or_else(Vec::new, |before| news(&before, snapshot));
        news.iter().take(ACCOUNT_LINES_MAX).for_each(|line| tracing::info!("{line}"));
        if news.len() > ACCOUNT_LINES_MAX {
            tracing::info!(more = news.len() - ACCOUNT_LINES_MAX, "more accounts and keys changed");
        }
    }
}

fn news(before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let mut changed: Vec<_> = match after.changed_since(before.version()) {
        Some(changed) => changed.collect(),
        None => before.accounts().chain(after.accounts()).map(|account| account.id).collect(),
    };
    changed.sort_unstable();
    changed.dedup();
    let mut lines = Vec::new();
    for id in changed {
        match (before.account(id), after.account(id)) {
            (None, Some(account)) => {
                lines.push(format!("account {} was created, tier {}", account.name, account.tier));
                tell_keys(None, account, &mut lines);
            }
            (Some(account), None) => lines.push(format!("account {} was deleted", account.name)),
            (Some(was), Some(is)) => {
                if was.tier != is.tier {
                    lines.push(format!("account {}: tier {} instead of {}", is.name, is.tier, was.tier));
                }
                if was.grants != is.grants {
                    lines.push(format!("account {}: its grants changed", is.name));
                }
                tell_keys(Some(was), is, &mut lines);
            }
            (None, None) => {}
        }
    }
    lines
}

fn tell_keys(was: Option<&Account>, is: &Account, lines: &mut Vec<String>) {
    let had = |number| was.is_some_and(|was| was.keys.iter().any(|key| key.number == number));
    for key in is.keys.iter().filter(|key| !had(key.number)) {
        lines.push(format!("account {}: {} key {} was created", is.name, key.role, key.id));
    }
    let has = |number| is.keys.iter().any(|key| key.number == number);
    for key in was.iter().flat_map(|was| was.keys.iter()).filter(|key| !has(key.number)) {
        lines.push(format!("account {}: {} key {} was revoked", is.name, key.role, key.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::{AccountId, ApiKey, Grants, KeyId, KeyNumber, LiveKey, Role, Tier};

    fn account(id: u64, tier: Tier, keys: &[u64], version: u64) -> Arc<Account> {
        let key = |number: &u64| LiveKey {
            number: KeyNumber(*number),
            id: KeyId(*number),
            role: Role::Subscriber,
            hash: ApiKey::parse(&format!("stn_{number:0>43}")).expect("shaped like a key").hash(),
        };
        Arc::new(Account {
            id: AccountId(id),
            name: format!("account-{id}").parse().expect("a name"),
            tier,
            grants: Grants::none(),
            watchlist: std::iter::empty().collect(),
            keys: keys.iter().map(key).collect(),
            version,
        })
    }

    #[test]
    fn what_came_changed_and_went_is_told_and_no_key() {
        let first = Snapshot::empty().with_changes(1, [account(1, Tier::Pro, &[1, 2], 1)]);
        let second = first.with_changes(2, [account(1, Tier::Elite, &[2, 3], 2), account(2, Tier::Free, &[], 2)]);
        let told = news(&first, &second);
        let key = |number| KeyId(number).to_string();
        assert_eq!(
            told,
            [
                "account account-1: tier elite instead of pro".to_owned(),
                format!("account account-1: subscriber key {} was created", key(3)),
                format!("account account-1: subscriber key {} was revoked", key(1)),
                "account account-2 was created, tier free".to_owned(),
            ]
        );
        assert!(!told.iter().any(|line| line.contains("stn_")));
        let third = second.with_changes(3, []).without_others(&[AccountId(1)].into_iter().collect());
        assert_eq!(news(&second, &third), ["account account-2 was deleted"]);
        assert_eq!(news(&third, &third), Vec::<String>::new());
    }
}
