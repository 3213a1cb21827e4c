//! `/api/admin/accounts`: the operator's side. Every route here takes an admin key.
//!
//! | request | answer |
//! |---|---|
//! | `GET /api/admin/accounts?after=NAME&limit=N` | `{"success":true,"accounts":[…],"next":NAME or null}`, by name; `next` is the `after` of the next page |
//! | `POST /api/admin/accounts {"name","tier","grants"?}` | 201 `{"success":true,"account":{…}}` |
//! | `GET`, `PATCH`, `DELETE /api/admin/accounts/{name}` | `{"success":true,"account":{…}}`; what it was, for `DELETE` |
//! | `GET`, `POST /api/admin/accounts/{name}/keys` | as under `/api/keys` |
//! | `DELETE /api/admin/accounts/{name}/keys/{id}` | as under `/api/keys` |
//!
//! * An account is `{"name","tier","grants":[…],"watchlist_size","live_keys","created"}`. Names are found in any case.
//! * `PATCH` takes `tier`, and either `grants`, which replaces them all, or `grant` and `revoke`, which add and take away; what
//!   is not named stays. A new account without `grants` gets the usual ones.
//! * When an answer comes, the change is in force in every shard.
//! * A name is resolved to its account first, and the account's number is never used again: a request never ends up at
//!   another account that took the name meanwhile.
//! * An admin can't delete the account of the key in use, and so not the last one with an admin key by mistake. It may
//!   revoke its own key; `stentor key create` on the server's machine always makes another.

use http::{Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json};

use super::accounts::{PERHAPS_DONE, ask_as, parse};
use super::auth::Caller;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth, body, keys, query};
use crate::accounts::{
    AccountChange, AccountName, AccountRecord, ChangeAccount, DeleteAccount, FindAccount, Grant, GrantChange, Grants,
    InvalidGrant, ListAccounts, NewAccount, Role, StoreError, Tier, UnknownTier,
};
use crate::limits;

pub async fn list(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let after = query::value(request.uri(), "after").map(|name| parse_name(&name)).transpose()?;
    let page = query::limit(request.uri(), limits::ACCOUNTS_PAGE_MAX, limits::ACCOUNTS_PAGE_MAX)?;
    // One more tells whether there are more.
    let command = ListAccounts { after, accounts_max: page + 1 };
    let mut accounts = ask_as(desk, &caller, command, PERHAPS_DONE).await?;
    let more = accounts.len() > page;
    accounts.truncate(page);
    let next = accounts.last().filter(|_| more).map(|last| last.name.as_str());
    let shown: Vec<Value> = accounts.iter().map(shown).collect();
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "accounts": shown, "next": next })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    name: String,
    tier: String,
    grants: Option<Vec<String>>,
}

pub async fn create(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let body = body::read(desk, request, limits::ACCOUNT_BODY_BYTES_MAX, None).await?;
    let wanted: Wanted = parse(&body.bytes, r#"{"name":"…","tier":"…"}, with "grants":["…"] or without"#)?;
    let account = NewAccount {
        name: parse_name(&wanted.name)?,
        tier: parse_tier(&wanted.tier)?,
        grants: match wanted.grants {
            Some(grants) => parse_grants(&grants)?.into_iter().collect(),
            None => Grants::of_a_new_account(),
        },
    };
    answer(StatusCode::CREATED, &ask_as(desk, &caller, account, PERHAPS_CREATED).await?)
}

pub async fn show(desk: &Desk, request: Request<Incoming>, name: &str) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Admin).await?;
    answer(StatusCode::OK, &find(desk, &caller, name).await?)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    tier: Option<String>,
    grants: Option<Vec<String>>,
    #[serde(default)]
    grant: Vec<String>,
    #[serde(default)]
    revoke: Vec<String>,
}

pub async fn change(desk: &Desk, request: Request<Incoming>, name: &str) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let body = body::read(desk, request, limits::ACCOUNT_BODY_BYTES_MAX, None).await?;
    let wanted: Change = parse(&body.bytes, r#"an object with "tier", "grants", "grant" or "revoke""#)?;
    let change = AccountChange {
        tier: wanted.tier.as_deref().map(parse_tier).transpose()?,
        grants: Some(match wanted.grants {
            Some(_) if !(wanted.grant.is_empty() && wanted.revoke.is_empty()) => {
                let message = "grants replaces them all: send it alone, or grant and revoke to add and take away";
                return Err(RestError::InvalidRequest(message.to_owned()));
            }
            Some(grants) => GrantChange::Replace(parse_grants(&grants)?.into_iter().collect()),
            None => GrantChange::Edit { add: parse_grants(&wanted.grant)?, remove: parse_grants(&wanted.revoke)? },
        }),
    };
    let account = find(desk, &caller, name).await?.id;
    answer(StatusCode::OK, &ask_as(desk, &caller, ChangeAccount { account, change }, PERHAPS_DONE).await?)
}

pub async fn delete(desk: &Desk, request: Request<Incoming>, name: &str) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Admin).await?;
    let account = find(desk, &caller, name).await?.id;
    if account == caller.account.id {
        return Err(RestError::OwnAccount);
    }
    answer(StatusCode::OK, &ask_as(desk, &caller, DeleteAccount { account }, PERHAPS_DONE).await?)
}

pub async fn list_keys(desk: &Desk, request: Request<Incoming>, name: &str) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Admin).await?;
    let account = find(desk, &caller, name).await?.id;
    keys::list_of(desk, &caller, account).await
}

pub async fn create_key(desk: &Desk, request: Request<Incoming>, name: &str) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let role = keys::wanted_role(desk, request).await?;
    let account = find(desk, &caller, name).await?.id;
    keys::create_for(desk, &caller, account, role).await
}

pub async fn revoke_key(desk: &Desk, request: Request<Incoming>, name: &str, id: &str) -> Result<Reply, RestError> {
    let (caller, _) = auth::admit(desk, request, Role::Admin).await?;
    let account = find(desk, &caller, name).await?.id;
    keys::revoke_of(desk, &caller, account, id).await
}

const PERHAPS_CREATED: &str = "the account may have been made all the same; asking for it by its name tells";

/// The account of a name as it stands in a path.
async fn find(desk: &Desk, caller: &Caller, name: &str) -> Result<AccountRecord, RestError> {
    // What is not UTF-8 becomes a character that no name holds.
    let name = parse_name(&percent_decode_str(name).decode_utf8_lossy())?;
    ask_as(desk, caller, FindAccount { name }, PERHAPS_DONE).await
}

fn parse_name(text: &str) -> Result<AccountName, RestError> {
    text.parse().map_err(|invalid| RestError::Store(StoreError::InvalidName(invalid)))
}

fn parse_tier(text: &str) -> Result<Tier, RestError> {
    text.parse().map_err(|unknown: UnknownTier| RestError::InvalidRequest(unknown.to_string()))
}

fn parse_grants(texts: &[String]) -> Result<Vec<Grant>, RestError> {
    let grants = texts.iter().map(|text| text.parse()).collect::<Result<_, InvalidGrant>>();
    grants.map_err(|invalid| RestError::Store(StoreError::InvalidGrant(invalid)))
}

fn answer(status: StatusCode, account: &AccountRecord) -> Result<Reply, RestError> {
    Ok(json_reply(status, &json!({ "success": true, "account": shown(account) })))
}

fn shown(account: &AccountRecord) -> Value {
    json!({
        "name": account.name.as_str(),
        "tier": account.tier.as_str(),
        "grants": account.grants.iter().map(Grant::to_string).collect::<Vec<_>>(),
        "watchlist_size": account.owners,
        "live_keys": account.live_keys,
        "created": account.created.to_string(),
    })
}
