//! What operators ask for: the webhooks of all accounts.

use std::cmp::Reverse;

use super::super::DeliveryError;
use super::super::command::{EveryWebhook, FindOwner, ListEveryWebhook, WatchedWebhook};
use super::{Core, Entry};
use crate::accounts::AccountId;

impl Core {
    pub(in super::super) fn list_every(
        &mut self,
        list: ListEveryWebhook,
        _now_ms: u64,
    ) -> Result<EveryWebhook, DeliveryError> {
        self.require_key(list.key)?;
        let is_listed = |entry: &&Entry| list.account.is_none_or(|account| entry.webhook.account == account);
        let mut entries: Vec<&Entry> = self.webhooks.values().filter(is_listed).collect();
        let total = entries.len();
        entries.sort_unstable_by_key(|entry| Reverse((entry.webhook.created_ms, entry.webhook.id)));
        entries.truncate(list.webhooks_max);
        let watched = |entry: &Entry| {
            let recent = self.store.history(entry.webhook.id, list.records_max)?;
            Ok(WatchedWebhook { webhook: entry.webhook.clone(), waiting: entry.waiting, recent })
        };
        let webhooks = entries.into_iter().map(watched).collect::<Result<_, DeliveryError>>()?;
        Ok(EveryWebhook { total, webhooks })
    }

    pub(in super::super) fn find_owner(&mut self, find: FindOwner, _now_ms: u64) -> Result<AccountId, DeliveryError> {
        self.require_key(find.key)?;
        let entry = self.webhooks.get(&find.webhook).ok_or(DeliveryError::NoSuchWebhook)?;
        Ok(entry.webhook.account)
    }
}
