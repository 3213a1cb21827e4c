//! `/api/keys`: the keys of the account that asks.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/keys` | `{"success":true,"keys":[{"id","role","prefix","created","revoked"}]}`, revoked ones included, oldest first |
//! | `POST /api/keys {"role":"subscriber"}` | 201 `{"success":true,"key":{…,"secret":"stn_…"},"message"}`: the secret, this once |
//! | `DELETE /api/keys/{id}` | `{"success":true,"key":{…}}`; a repeat changes nothing |
//!
//! Who may do what:
//! * A subscriber key lists the keys of its account, and makes and revokes subscriber keys of it. A key is in the address of
//!   every WebSocket, so it is the first to leak: with it nobody can get at more rights, nor stop the account's publishers.
//! * An admin key makes and revokes any key. Those of other accounts are under `/api/admin/accounts`, in the same form.
//! * A publisher key may publish and nothing else, so it gets 403 here, for the list too.
//! * A key may revoke itself; the answer still comes.
//! * Another account's key is no key here: 404, in the words that an id of nobody gets.

use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::{PERHAPS_DONE, ask_as, parse};
use super::auth::Caller;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth, body};
use crate::accounts::{AccountId, CreateKey, CreatedKey, KeyId, KeyRecord, ListKeys, RevokeKey, Role, StoreError};
use crate::limits;

pub async fn list(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Subscriber).await?;
    list_of(desk, &caller, caller.account.id).await
}

pub async fn create(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Subscriber).await?;
    let role = wanted_role(desk, request).await?;
    create_for(desk, &caller, caller.account.id, role).await
}

pub async fn revoke(desk: &Desk, request: Request<Incoming>, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Subscriber).await?;
    revoke_of(desk, &caller, caller.account.id, id).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    role: String,
}

/// The role that the body of a request for a new key names.
pub(super) async fn wanted_role(desk: &Desk, request: Request<Incoming>) -> Result<Role, RestError> {
    let body = body::read(desk, request, limits::KEY_BODY_BYTES_MAX, None).await?;
    let Wanted { role } = parse(&body.bytes, r#"{"role":"subscriber"}"#)?;
    role.parse().map_err(|unknown: crate::accounts::UnknownRole| RestError::InvalidRequest(unknown.to_string()))
}

pub(super) async fn list_of(desk: &Desk, caller: &Caller, account: AccountId) -> Result<Reply, RestError> {
    let keys = ask_as(desk, caller, ListKeys { account }, PERHAPS_DONE).await?;
    let keys: Vec<Value> = keys.iter().map(listed).collect();
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "keys": keys })))
}

pub(super) async fn create_for(
    desk: &Desk,
    caller: &Caller,
    account: AccountId,
    role: Role,
) -> Result<Reply, RestError> {
    require_right_to(caller, role)?;
    let CreatedKey { key, record } = ask_as(desk, caller, CreateKey { account, role }, PERHAPS_MADE).await?;
    let mut shown = listed(&record);
    shown["secret"] = key.expose().into();
    let answer = json!({ "success": true, "key": shown, "message": SHOWN_ONCE });
    let mut reply = json_reply(StatusCode::CREATED, &answer);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

pub(super) async fn revoke_of(desk: &Desk, caller: &Caller, account: AccountId, id: &str) -> Result<Reply, RestError> {
    let key = id.parse().map_err(|_| no_such_key(id))?;
    // A key's account and role never change, so what is read here still holds when the key is revoked.
    let keys = ask_as(desk, caller, ListKeys { account }, PERHAPS_DONE).await?;
    let found = keys.iter().find(|record| record.id == key).ok_or_else(|| no_such_key(id))?;
    require_right_to(caller, found.role)?;
    let revoked = ask_as(desk, caller, RevokeKey { account, key }, PERHAPS_DONE).await?;
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "key": listed(&revoked) })))
}

const SHOWN_ONCE: &str = "Key created. Save its secret: it is only shown once.";

const PERHAPS_MADE: &str =
    "the key may have been made all the same; list the keys, and revoke one that nobody has seen";

/// Nobody makes or revokes a key that may do what its own may not.
fn require_right_to(caller: &Caller, role: Role) -> Result<(), RestError> {
    let own = caller.role;
    if own == role || own == Role::Admin {
        return Ok(());
    }
    Err(RestError::Forbidden(format!(
        "a {own} key makes and revokes {own} keys only: use an admin key for others, such as a key with the role {role}"
    )))
}

/// Told by its beginning at most: it may be a secret, and a message may be logged.
fn no_such_key(id: &str) -> RestError {
    let shown = id.chars().take(KeyId(0).to_string().len()).collect();
    RestError::Store(StoreError::NoSuchKey { key: shown })
}

/// A key as every list shows it: without anything that opens a door.
fn listed(key: &KeyRecord) -> Value {
    json!({
        "id": key.id.to_string(),
        "role": key.role.as_str(),
        "prefix": key.prefix.as_str(),
        "created": key.created.to_string(),
        "revoked": key.revoked.map(|moment| moment.to_string()),
    })
}
