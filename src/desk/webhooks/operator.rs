//! `/api/admin/webhooks`: the webhooks of all accounts, for an admin key.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/admin/webhooks?account=NAME&before=…&limit=N` | `{"success":true,"total":N,"webhooks":[…],"next":… or null}`, the newest first, of every account or of one; `next` is the `before` of the next page |
//! | `GET /api/admin/webhooks/{id}` | `{"success":true,"webhook":{…}}`, as the list has it |
//! | `PUT /api/admin/webhooks/{id} {"is_active":…}` | `{"success":true,"webhook":{…}}` |
//! | `POST …/{id}/test`, `GET …/{id}/deliveries`, `POST …/{id}/replay` | as under `/api/webhooks` |
//!
//! * A webhook is as its owner sees it, and `account`, `waiting` (deliveries that wait) and `recent`: of its newest finished deliveries
//!   how many there are and how many were delivered, and the newest failed attempt among them. Never its secret.
//! * An operator acts in the name of the account, so what its owner could not do, an operator can't either.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{PERHAPS_DONE, ask, change_of, deliveries_of, parse_id, replay_of, shown, test_of, wanted, wanted_since};
use crate::accounts::{AccountName, FindAccount, Role, Snapshot, StoreError};
use crate::delivery::{
    Asker, DeliveryError, DeliveryRecord, DeliveryState, EveryWebhook, FindOwner, ListEveryWebhook, Made,
    ReplayWebhook, TestWebhook, WatchWebhook, WatchedWebhook, WebhookChange, WebhookId,
};
use crate::desk::accounts::ask_as;
use crate::desk::auth::Caller;
use crate::desk::error::{Reply, RestError, json_reply};
use crate::desk::{Desk, auth, body, query};
use crate::limits;
use crate::protocol::rfc3339;

pub async fn list(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let webhooks_max = query::limit(request.uri(), limits::OPERATOR_WEBHOOKS_MAX, limits::OPERATOR_WEBHOOKS_MAX)?;
    let account = match query::value(request.uri(), "account") {
        Some(name) => {
            let name: AccountName =
                name.parse().map_err(|invalid| RestError::Store(StoreError::InvalidName(invalid)))?;
            Some(ask_as(desk, &caller, FindAccount { name }, PERHAPS_DONE).await?.id)
        }
        None => None,
    };
    let before = query::value(request.uri(), "before").map(|text| parse_place(&text)).transpose()?;
    let (key, records_max) = (caller.key, limits::RECENT_DELIVERIES);
    // One more tells whether there are more.
    let list = ListEveryWebhook { key, account, before, webhooks_max: webhooks_max + 1, records_max };
    let EveryWebhook { total, mut webhooks } = ask(desk, list).await?;
    let more = webhooks.len() > webhooks_max;
    webhooks.truncate(webhooks_max);
    let next = webhooks.last().filter(|_| more).map(|last| place(last.webhook.made()));
    let accounts = desk.directory.load();
    let webhooks: Vec<Value> = webhooks.iter().map(|webhook| watched(webhook, &accounts)).collect();
    let answer = json!({ "success": true, "total": total, "webhooks": webhooks, "next": next });
    Ok(json_reply(StatusCode::OK, &answer))
}

pub async fn show(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Admin).await?;
    let (key, webhook) = (caller.key, parse_id(id)?);
    let found = ask(desk, WatchWebhook { key, webhook, records_max: limits::RECENT_DELIVERIES }).await?;
    let shown = watched(&found, &desk.directory.load());
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "webhook": shown })))
}

pub async fn change(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let body = body::read(desk, request, limits::WEBHOOK_BODY_BYTES_MAX, None).await?;
    let is_active = Some(wanted::is_active(&body.bytes)?);
    let Owned { asker, webhook, account } = owned(desk, &caller, id).await?;
    let change = WebhookChange { asker, webhook, url: None, events: None, is_active };
    change_of(desk, &caller, change, &account).await
}

pub async fn test(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Admin).await?;
    let Owned { asker, webhook, .. } = owned(desk, &caller, id).await?;
    test_of(desk, TestWebhook { asker, webhook }).await
}

pub async fn deliveries(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let Owned { asker, webhook, .. } = owned(desk, &caller, id).await?;
    deliveries_of(desk, request, asker, webhook).await
}

pub async fn replay(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let since = wanted_since(desk, request).await?;
    let Owned { asker, webhook, account } = owned(desk, &caller, id).await?;
    replay_of(desk, &caller, ReplayWebhook { asker, webhook, since }, &account).await
}

/// A webhook, whose it is, and the operator in the name of that account.
struct Owned {
    asker: Asker,
    webhook: WebhookId,
    account: AccountName,
}

async fn owned(desk: &Desk, caller: &Caller, id: &str) -> Result<Owned, RestError> {
    let webhook = parse_id(id)?;
    let owner = ask(desk, FindOwner { key: caller.key, webhook }).await?;
    let asker = Asker { account: owner, key: caller.key };
    // An account that is gone meanwhile takes its webhooks along.
    let accounts = desk.directory.load();
    let account = accounts.account(owner).ok_or(DeliveryError::NoSuchWebhook)?.name.clone();
    Ok(Owned { asker, webhook, account })
}

/// A webhook's place in the list, as `next` tells it.
fn place(made: Made) -> String {
    format!("{}.{}", made.at_ms, made.webhook)
}

fn parse_place(text: &str) -> Result<Made, RestError> {
    let made = || {
        let (at_ms, webhook) = text.split_once('.')?;
        let digits = Some(at_ms).filter(|at_ms| at_ms.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some(Made { at_ms: digits.parse().ok()?, webhook: webhook.parse().ok()? })
    };
    made().ok_or_else(|| RestError::InvalidRequest("before must be the next of the page before".to_owned()))
}

fn watched(watched: &WatchedWebhook, accounts: &Snapshot) -> Value {
    let mut shown = shown::webhook(&watched.webhook);
    shown["account"] = accounts.account(watched.webhook.account).map(|account| account.name.as_str()).into();
    shown["waiting"] = watched.waiting.into();
    shown["recent"] = recent(&watched.recent);
    shown
}

/// What the newest deliveries, newest first, say of an endpoint.
fn recent(records: &[DeliveryRecord]) -> Value {
    let count = |state: DeliveryState| records.iter().filter(|record| record.state == state).count();
    let delivered = count(DeliveryState::Delivered);
    let failures = records.iter().flat_map(|record| record.attempts.iter().rev()).filter_map(|attempt| {
        let answered = |status: u16| format!("answered {status}");
        let failed = !matches!(attempt.status, Some(200..=299));
        let told = attempt.error.clone().or_else(|| attempt.status.filter(|_| failed).map(answered));
        told.map(|error| json!({ "at": rfc3339(attempt.at_ms), "error": error }))
    });
    json!({
        "finished": delivered + count(DeliveryState::Failed) + count(DeliveryState::Dropped),
        "delivered": delivered,
        "last_failure": failures.take(1).next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{AttemptRecord, DeliveryId, EventId};

    fn record(state: DeliveryState, attempts: &[(u64, Option<u16>, Option<&str>)]) -> DeliveryRecord {
        let attempts = attempts.iter().map(|&(at_ms, status, error)| AttemptRecord {
            at_ms,
            duration_ms: 1,
            status,
            error: error.map(str::to_owned),
        });
        DeliveryRecord {
            id: DeliveryId([0; 12]),
            event: EventId([0; 12]),
            kind: "trade.new".to_owned(),
            seq: None,
            state,
            created_ms: 0,
            due_ms: None,
            attempts: attempts.collect(),
            note: None,
        }
    }

    #[test]
    fn a_place_in_the_list_has_one_text() {
        let made = Made { at_ms: 1_736_937_000_000, webhook: WebhookId(0xabc) };
        assert_eq!(place(made), "1736937000000.wh_0000000000000abc");
        assert_eq!(parse_place(&place(made)).expect("its text"), made);
        for wrong in
            ["", ".", "1.", "1", "wh_0000000000000abc", "-1.wh_0000000000000abc", "1.wh_abc", "+1.wh_0000000000000abc"]
        {
            assert!(matches!(parse_place(wrong), Err(RestError::InvalidRequest(_))), "{wrong}");
        }
    }

    #[test]
    fn an_endpoint_is_judged_by_what_is_finished_and_by_its_newest_failure() {
        let records = [
            record(DeliveryState::Pending, &[]),
            record(
                DeliveryState::Delivered,
                &[(1_736_937_000_000, Some(503), None), (1_736_937_001_000, Some(204), None)],
            ),
            record(DeliveryState::Failed, &[(1_736_936_000_000, None, Some("no answer within 10 s"))]),
            record(DeliveryState::Notice, &[]),
        ];
        let expected = json!({
            "finished": 2,
            "delivered": 1,
            "last_failure": { "at": "2025-01-15T10:30:00.000Z", "error": "answered 503" },
        });
        assert_eq!(recent(&records), expected);
        assert_eq!(recent(&records[2..])["last_failure"]["error"], "no answer within 10 s");
        assert_eq!(recent(&[]), json!({ "finished": 0, "delivered": 0, "last_failure": null }));
    }
}
