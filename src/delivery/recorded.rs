//! What the audit log says of a webhook: whose it is, and of its URL the host alone, as paths of such URLs often hold a secret.

use serde_json::{Map, Value, json};
use url::Url;

use super::{EventKind, Replaying, Webhook, WebhookChange, WebhookId};
use crate::accounts::AccountName;
use crate::accounts::audit::{Act, Action};

/// What was done, told of the webhook as it is then.
pub fn act(action: Action, account: &AccountName) -> impl FnOnce(&Webhook) -> Act + Send + use<> {
    with(action, account.to_string(), Map::new())
}

/// A change: what of the webhook was asked to be another.
pub fn change(change: &WebhookChange, account: &AccountName) -> impl FnOnce(&Webhook) -> Act + Send + use<> {
    let asked =
        [("url", change.url.is_some()), ("events", change.events.is_some()), ("is_active", change.is_active.is_some())];
    let asked: Vec<&str> = asked.iter().filter(|(_, asked)| *asked).map(|(name, _)| *name).collect();
    let more = Map::from_iter([("changed".to_owned(), json!(asked))]);
    with(Action::WebhookChange, account.to_string(), more)
}

pub fn replay(webhook: WebhookId, account: &AccountName) -> impl FnOnce(&Replaying) -> Act + Send + use<> {
    let account = account.to_string();
    move |Replaying { from, until }| {
        Act::new(Action::WebhookReplay, webhook, json!({ "account": account, "from": from, "until": until }))
    }
}

/// The end that a webhook came to by what its endpoint answered. `account` is whose it was.
pub fn disabled(webhook: &Webhook, account: String) -> Act {
    let reason = webhook.disabled.map(|disabled| disabled.reason.as_str());
    let more = json!({ "reason": reason, "failures": webhook.failures });
    with(Action::WebhookDisable, account, more.as_object().expect("an object").clone())(webhook)
}

fn with(action: Action, account: String, more: Map<String, Value>) -> impl FnOnce(&Webhook) -> Act + Send {
    move |webhook| {
        let events: Vec<&str> = webhook.events.iter().map(EventKind::as_str).collect();
        let url = Url::parse(webhook.url.as_str()).ok();
        let host = url.as_ref().and_then(Url::host_str);
        let mut detail =
            json!({ "account": account, "host": host, "events": events, "is_active": webhook.is_active() });
        detail.as_object_mut().expect("an object").extend(more);
        Act::new(action, webhook.id, detail)
    }
}
