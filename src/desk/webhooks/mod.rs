//! `/api/webhooks`: where an account wants what sent.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/webhooks` | `{"success":true,"webhooks":[…]}`, the oldest first, without secrets |
//! | `POST /api/webhooks {"url","events":[…]}` | 201 `{"success":true,"webhook":{"id","url","events","secret"},"message"}`: the secret, this once |
//! | `GET /api/webhooks/{id}` | `{"success":true,"webhook":{…}}` |
//! | `PUT /api/webhooks/{id} {"url"?,"events"?,"is_active"?}` | the same; what is not named stays |
//! | `DELETE /api/webhooks/{id}` | `{"success":true,"message"}` |
//! | `POST /api/webhooks/{id}/test` | `{"success":true,"message"}`, or 502 `TEST_FAILED` with the reason |
//! | `GET /api/webhooks/{id}/deliveries?limit=N` | `{"success":true,"deliveries":[…]}`, the newest first |
//! | `POST /api/webhooks/{id}/secret` | as for a new one, with the new secret |
//! | `POST /api/webhooks/{id}/replay {"since":SEQ}` | 202 `{"success":true,"message","from","until"}` |
//!
//! * For subscriber and admin keys of accounts whose tier has webhooks, each for the key's own account.
//! * Another account's webhook is none: 404, in the words that an id of nobody gets, and one that is no id at all.
//! * When an answer comes, the change is in the database. A key that is revoked before its request's turn changes nothing.
//! * Here nothing blocks and nothing is decided: the delivery core does both, and the desk waits for its answer.
//! * A change is written into the audit log once it is committed, on the way of its answer and whether or not anybody still waits
//!   for that. The log is in another database, so a crash between the two leaves a change without its entry.

pub mod operator;
mod shown;
mod wanted;

use std::time::Duration;

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::auth::Caller;
use super::error::{Reply, RestError, json_reply, json_text_reply};
use super::{Desk, auth, body, query};
use crate::accounts::audit::{Act, Action};
use crate::accounts::{Account, AccountName, Role};
use crate::delivery::{
    Asker, AttemptRecord, Command, DeleteWebhook, DeliveryError, DeliveryRecord, GetWebhook, ListDeliveries,
    ListWebhooks, NewWebhook, RegenerateSecret, ReplayWebhook, Reply as OnAnswer, TestWebhook, Webhook, WebhookChange,
    WebhookId, recorded,
};
use crate::{executor, limits};
use wanted::Wanted;

pub async fn list(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, _) = admit(desk, request).await?;
    let asker = asker(&caller);
    let webhooks: Vec<Webhook> = ask(desk, ListWebhooks { asker }).await?;
    listed(desk, "webhooks", &webhooks, shown::webhook).await
}

pub async fn create(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, request) = admit(desk, request).await?;
    let body = body::read(desk, request, limits::WEBHOOK_BODY_BYTES_MAX, None).await?;
    let Wanted { url, events } = wanted::new(&body.bytes)?;
    let wanted = NewWebhook { asker: asker(&caller), url, events };
    let act = recorded::act(Action::WebhookCreate, &caller.account.name);
    let create = |answer| desk.delivery.create(wanted, recording(desk, &caller, act, answer));
    let webhook = patiently(desk, PERHAPS_CREATED, create).await?;
    let message = "Webhook created. Save your secret - it will only be shown once!";
    Ok(shown_once(StatusCode::CREATED, &webhook, message))
}

pub async fn get(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = admit(desk, request).await?;
    let webhook = ask(desk, GetWebhook { asker: asker(&caller), webhook: parse_id(id)? }).await?;
    Ok(one(&webhook))
}

pub async fn change(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, request) = admit(desk, request).await?;
    let body = body::read(desk, request, limits::WEBHOOK_BODY_BYTES_MAX, None).await?;
    let wanted::Change { url, events, is_active } = wanted::change(&body.bytes)?;
    let change = WebhookChange { asker: asker(&caller), webhook: parse_id(id)?, url, events, is_active };
    change_of(desk, &caller, change, &caller.account.name).await
}

/// `account`: whose webhook it is.
async fn change_of(
    desk: &Desk,
    caller: &Caller,
    change: WebhookChange,
    account: &AccountName,
) -> Result<Reply, RestError> {
    let act = recorded::change(&change, account);
    let begin = |answer| desk.delivery.change(change, recording(desk, caller, act, answer));
    let webhook = patiently(desk, PERHAPS_DONE, begin).await?;
    Ok(one(&webhook))
}

pub async fn delete(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = admit(desk, request).await?;
    let delete = DeleteWebhook { asker: asker(&caller), webhook: parse_id(id)? };
    ask_recorded(desk, &caller, delete, PERHAPS_DONE, recorded::act(Action::WebhookDelete, &caller.account.name))
        .await?;
    let message = "Webhook deleted. Nothing more is sent to it.";
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "message": message })))
}

pub async fn test(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = admit(desk, request).await?;
    test_of(desk, TestWebhook { asker: asker(&caller), webhook: parse_id(id)? }).await
}

async fn test_of(desk: &Desk, test: TestWebhook) -> Result<Reply, RestError> {
    let attempt: AttemptRecord = patiently(desk, PERHAPS_TESTED, |answer| desk.delivery.test(test, answer)).await?;
    let message = shown::test(&attempt).map_err(RestError::TestFailed)?;
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "message": message })))
}

pub async fn deliveries(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, request) = admit(desk, request).await?;
    deliveries_of(desk, request, asker(&caller), parse_id(id)?).await
}

async fn deliveries_of(
    desk: &Desk,
    request: Request<Incoming>,
    asker: Asker,
    webhook: WebhookId,
) -> Result<Reply, RestError> {
    let records_max = query::limit(request.uri(), limits::DELIVERIES_LISTED, limits::DELIVERIES_LISTED_MAX)?;
    let records: Vec<DeliveryRecord> = ask(desk, ListDeliveries { asker, webhook, records_max }).await?;
    listed(desk, "deliveries", &records, shown::delivery).await
}

pub async fn regenerate(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = admit(desk, request).await?;
    let regenerate = RegenerateSecret { asker: asker(&caller), webhook: parse_id(id)? };
    let act = recorded::act(Action::WebhookSecret, &caller.account.name);
    let webhook = ask_recorded(desk, &caller, regenerate, PERHAPS_REGENERATED, act).await?;
    Ok(shown_once(StatusCode::OK, &webhook, "Secret regenerated. Save it - it will only be shown once!"))
}

pub async fn replay(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, request) = admit(desk, request).await?;
    let since = wanted_since(desk, request).await?;
    let replay = ReplayWebhook { asker: asker(&caller), webhook: parse_id(id)?, since };
    replay_of(desk, &caller, replay, &caller.account.name).await
}

async fn wanted_since(desk: &Desk, request: Request<Incoming>) -> Result<u64, RestError> {
    let body = body::read(desk, request, limits::WEBHOOK_BODY_BYTES_MAX, None).await?;
    wanted::since(&body.bytes)
}

/// `account`: whose webhook it is.
async fn replay_of(
    desk: &Desk,
    caller: &Caller,
    replay: ReplayWebhook,
    account: &AccountName,
) -> Result<Reply, RestError> {
    let act = recorded::replay(replay.webhook, account);
    let replaying = ask_recorded(desk, caller, replay, PERHAPS_DONE, act).await?;
    Ok(json_reply(StatusCode::ACCEPTED, &shown::replaying(&replaying)))
}

const PERHAPS_DONE: &str = "it may have been done all the same; sending it again does no harm";

const PERHAPS_CREATED: &str =
    "the webhook may have been made all the same; list the webhooks, and delete one whose secret nobody has seen";

const PERHAPS_REGENERATED: &str = "there may be a new secret all the same, which nobody has seen: ask for another";

const PERHAPS_TESTED: &str = "the test may have been sent all the same; the webhook's deliveries tell";

/// Who asks, if they may have webhooks; else the body is thrown away, so that the refusal is seen.
async fn admit(desk: &Desk, request: Request<Incoming>) -> Result<(Caller, Request<Incoming>), RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Subscriber).await?;
    if let Err(error) = require_tier(&caller.account) {
        body::discard(desk, request).await;
        return Err(error);
    }
    Ok((caller, request))
}

fn asker(caller: &Caller) -> Asker {
    Asker { account: caller.account.id, key: caller.key }
}

/// An answer that is written into the audit log on its way, if it is one of success: `act` says what was done.
fn recording<T: 'static>(
    desk: &Desk,
    caller: &Caller,
    act: impl FnOnce(&T) -> Act + Send + 'static,
    answer: OnAnswer<T>,
) -> OnAnswer<T> {
    let (accounts, actor) = (desk.accounts.clone(), caller.actor());
    Box::new(move |outcome| {
        if let Ok(done) = &outcome {
            accounts.record(actor, act(done));
        }
        answer(outcome);
    })
}

fn require_tier(account: &Account) -> Result<(), RestError> {
    if account.tier.may_webhooks() {
        return Ok(());
    }
    Err(RestError::Forbidden(format!(
        "webhooks are for the tiers elite and enterprise, and this account's is {}: the operator can raise it",
        account.tier
    )))
}

/// What is no id is nobody's.
fn parse_id(text: &str) -> Result<WebhookId, RestError> {
    text.parse().map_err(|_| DeliveryError::NoSuchWebhook.into())
}

/// Has the core do what is the same whether it is done once or twice.
async fn ask<C: Command>(desk: &Desk, command: C) -> Result<C::Answer, RestError> {
    wait(desk, limits::ANSWER_MS, PERHAPS_DONE, |answer| desk.delivery.submit(command, answer)).await
}

/// Has the core change something, which the audit log is told of.
async fn ask_recorded<C: Command>(
    desk: &Desk,
    caller: &Caller,
    command: C,
    outcome: &'static str,
    act: impl FnOnce(&C::Answer) -> Act + Send + 'static,
) -> Result<C::Answer, RestError> {
    let begin = |answer| desk.delivery.submit(command, recording(desk, caller, act, answer));
    wait(desk, limits::ANSWER_MS, outcome, begin).await
}

/// The same for what an endpoint or the names of its network have a part in.
async fn patiently<T: Send + 'static>(
    desk: &Desk,
    outcome: &'static str,
    begin: impl FnOnce(OnAnswer<T>) -> Result<(), DeliveryError>,
) -> Result<T, RestError> {
    wait(desk, limits::WEBHOOK_ANSWER_MS, outcome, begin).await
}

/// Begins something and waits for its answer. `outcome` is what somebody is told who got none in time.
async fn wait<T: Send + 'static>(
    desk: &Desk,
    patience_ms: u64,
    outcome: &'static str,
    begin: impl FnOnce(OnAnswer<T>) -> Result<(), DeliveryError>,
) -> Result<T, RestError> {
    let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
    begin(Box::new(answer))?;
    let done: Option<Result<T, DeliveryError>> = ticket.answer_within(Duration::from_millis(patience_ms)).await;
    Ok(done.ok_or(RestError::Unconfirmed { waited_ms: patience_ms, outcome })??)
}

fn one(webhook: &Webhook) -> Reply {
    json_reply(StatusCode::OK, &json!({ "success": true, "webhook": shown::webhook(webhook) }))
}

/// A webhook with its secret, which nobody between us and the client keeps.
fn shown_once(status: StatusCode, webhook: &Webhook, message: &str) -> Reply {
    let answer = json!({ "success": true, "webhook": shown::with_secret(webhook), "message": message });
    let mut reply = json_reply(status, &answer);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// `{"success":true,NAME:[…]}`. It may be megabytes, so the shard serves its sockets between steps, and what such answers hold while
/// they are put together is bounded as bodies are.
async fn listed<T>(desk: &Desk, name: &str, items: &[T], shown: fn(&T) -> Value) -> Result<Reply, RestError> {
    let mut share = desk.bodies.share();
    let mut text = format!(r#"{{"success":true,"{name}":["#);
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        text += &shown(item).to_string();
        if nth % limits::LISTED_STEP == limits::LISTED_STEP - 1 {
            share.grow(text.capacity())?;
            executor::breathe(limits::BREATH_US).await;
        }
    }
    text += "]}";
    Ok(json_text_reply(StatusCode::OK, text))
}
