//! What operators ask for: the webhooks of all accounts.

use std::cmp::Reverse;

use super::super::DeliveryError;
use super::super::command::{EveryWebhook, FindOwner, ListEveryWebhook, WatchWebhook, WatchedWebhook};
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
        entries.retain(|entry| list.before.is_none_or(|before| entry.webhook.made() < before));
        entries.sort_unstable_by_key(|entry| Reverse(entry.webhook.made()));
        entries.truncate(list.webhooks_max);
        let watched = |entry| self.watched(entry, list.records_max);
        let webhooks = entries.into_iter().map(watched).collect::<Result<_, DeliveryError>>()?;
        Ok(EveryWebhook { total, webhooks })
    }

    pub(in super::super) fn watch(
        &mut self,
        watch: WatchWebhook,
        _now_ms: u64,
    ) -> Result<WatchedWebhook, DeliveryError> {
        self.require_key(watch.key)?;
        let entry = self.webhooks.get(&watch.webhook).ok_or(DeliveryError::NoSuchWebhook)?;
        self.watched(entry, watch.records_max)
    }

    fn watched(&self, entry: &Entry, records_max: usize) -> Result<WatchedWebhook, DeliveryError> {
        let recent = self.store.history(entry.webhook.id, records_max)?;
        Ok(WatchedWebhook { webhook: entry.webhook.clone(), waiting: entry.waiting, recent })
    }

    pub(in super::super) fn find_owner(&mut self, find: FindOwner, _now_ms: u64) -> Result<AccountId, DeliveryError> {
        self.require_key(find.key)?;
        let entry = self.webhooks.get(&find.webhook).ok_or(DeliveryError::NoSuchWebhook)?;
        Ok(entry.webhook.account)
    }
}
