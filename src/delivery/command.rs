//! What the front desk may ask of the core: one type a command, with the type of its answer. Each names the account that asks, and
//! another account's webhook is no webhook.

use super::core::Core;
use super::{DeliveryError, DeliveryRecord, EventKinds, Webhook, WebhookId};
use crate::accounts::{AccountId, KeyNumber};

/// Something to be done by the core's thread. It is answered once it is committed.
pub trait Command: Send + 'static {
    type Answer: Send + 'static;
    /// An error of the database is nobody's but the asker's: nothing was begun.
    const ONLY_READS: bool = false;

    fn execute(self, core: &mut Core, now_ms: u64) -> Result<Self::Answer, DeliveryError>;
}

/// Gets a command's answer, on the core's thread: it should do no more than hand it on.
pub type Reply<T> = Box<dyn FnOnce(Result<T, DeliveryError>) + Send>;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    pub account: AccountId,
    /// Has to be in force still when the command's turn comes.
    pub key: KeyNumber,
}

/// A webhook to be made; its URL is text that nobody has looked at. The answer's secret is to be shown.
#[derive(Clone, Debug)]
pub struct NewWebhook {
    pub asker: Asker,
    pub url: String,
    pub events: EventKinds,
}

/// What is `None` stays. `is_active: true` enables, and forgets earlier failures.
#[derive(Clone, Debug)]
pub struct WebhookChange {
    pub asker: Asker,
    pub webhook: WebhookId,
    pub url: Option<String>,
    pub events: Option<EventKinds>,
    pub is_active: Option<bool>,
}

/// By the time they were made.
#[derive(Clone, Debug)]
pub struct ListWebhooks {
    pub asker: Asker,
}

#[derive(Clone, Debug)]
pub struct GetWebhook {
    pub asker: Asker,
    pub webhook: WebhookId,
}

/// Answers with what it was.
#[derive(Clone, Debug)]
pub struct DeleteWebhook {
    pub asker: Asker,
    pub webhook: WebhookId,
}

/// A new secret; the answer's is to be shown.
#[derive(Clone, Debug)]
pub struct RegenerateSecret {
    pub asker: Asker,
    pub webhook: WebhookId,
}

/// The newest first.
#[derive(Clone, Debug)]
pub struct ListDeliveries {
    pub asker: Asker,
    pub webhook: WebhookId,
    pub records_max: usize,
}

/// Sends again what the journal has after `since` and the account's watchlist holds now.
#[derive(Clone, Debug)]
pub struct ReplayWebhook {
    pub asker: Asker,
    pub webhook: WebhookId,
    pub since: u64,
}

/// The numbers that a replay looks at: from the first to before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaying {
    pub from: u64,
    pub until: u64,
}

/// A webhook's place among all, by when it was made. It stays when the webhook goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Made {
    pub at_ms: u64,
    pub webhook: WebhookId,
}

/// Webhooks of every account, or of one: the newest `webhooks_max`, each with its `records_max` newest deliveries.
#[derive(Clone, Debug)]
pub struct ListEveryWebhook {
    /// An operator's; whether it is one is for whoever asks to know.
    pub key: KeyNumber,
    pub account: Option<AccountId>,
    /// Only those that were made before this one.
    pub before: Option<Made>,
    pub webhooks_max: usize,
    pub records_max: usize,
}

/// What an operator sees of the webhooks.
#[derive(Clone, Debug)]
pub struct EveryWebhook {
    /// How many there are, listed or not.
    pub total: usize,
    pub webhooks: Vec<WatchedWebhook>,
}

#[derive(Clone, Debug)]
pub struct WatchedWebhook {
    pub webhook: Webhook,
    /// Deliveries that wait.
    pub waiting: u64,
    pub recent: Vec<DeliveryRecord>,
}

/// One webhook of any account, with its `records_max` newest deliveries.
#[derive(Clone, Debug)]
pub struct WatchWebhook {
    /// An operator's, as above.
    pub key: KeyNumber,
    pub webhook: WebhookId,
    pub records_max: usize,
}

/// Whose webhook it is, for an operator, who then asks in the name of that account.
#[derive(Clone, Debug)]
pub struct FindOwner {
    pub key: KeyNumber,
    pub webhook: WebhookId,
}

/// One attempt, now, whatever the webhook's state; the answer tells how it went.
#[derive(Clone, Debug)]
pub struct TestWebhook {
    pub asker: Asker,
    pub webhook: WebhookId,
}

/// Commands and the type of their answers, for those that the core answers by itself.
macro_rules! commands {
    ($($command:ident => $answer:ty, $method:ident, $only_reads:literal;)*) => {$(
        impl Command for $command {
            type Answer = $answer;
            const ONLY_READS: bool = $only_reads;

            fn execute(self, core: &mut Core, now_ms: u64) -> Result<$answer, DeliveryError> {
                core.$method(self, now_ms)
            }
        }
    )*};
}

commands! {
    ListWebhooks => Vec<Webhook>, list, true;
    GetWebhook => Webhook, get, true;
    DeleteWebhook => Webhook, delete, false;
    RegenerateSecret => Webhook, regenerate, false;
    ListDeliveries => Vec<DeliveryRecord>, deliveries, true;
    ReplayWebhook => Replaying, replay, false;
    ListEveryWebhook => EveryWebhook, list_every, true;
    WatchWebhook => WatchedWebhook, watch, true;
    FindOwner => AccountId, find_owner, true;
}
