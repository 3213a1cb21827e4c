//! `/api/watchlist`: which wallets an account sees. Live sessions follow at once.

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use super::accounts::parse;
use super::auth::Caller;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, accounts, auth, body};
use crate::accounts::{Command, GetWatchlist, InvalidOwner, Owner, ReplaceWatchlist, Role, StoreError};
use crate::accounts::{Unwatch, Watch, Watchlist};
use crate::limits;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Owners {
    owners: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneOwner {
    owner: String,
}

/// `GET` lists, `PUT {"owners":[…]}` replaces, `POST {"owner":…}` adds.
pub async fn collection(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Subscriber).await?;
    let account = caller.account.id;
    let method = request.method().clone();
    if method == Method::GET {
        let watchlist = ask(desk, &caller, GetWatchlist { account }).await?;
        let owners: Vec<&str> = watchlist.iter().map(Owner::as_str).collect();
        return Ok(json_reply(StatusCode::OK, &json!({ "success": true, "owners": owners })));
    }
    let body = body::read(desk, request, limits::WATCHLIST_BODY_BYTES_MAX, None).await?;
    let edit = if method == Method::PUT {
        let Owners { owners } = parse(&body.bytes, r#"{"owners":["…"]}"#)?;
        ask(desk, &caller, ReplaceWatchlist { account, owners: each_once(&owners)? }).await?
    } else {
        let OneOwner { owner } = parse(&body.bytes, r#"{"owner":"…"}"#)?;
        let owner = owner.parse().map_err(StoreError::InvalidOwner)?;
        ask(desk, &caller, Watch { account, owners: vec![owner] }).await?
    };
    Ok(json_reply(
        StatusCode::OK,
        &json!({ "success": true, "added": edit.added, "removed": edit.removed, "total": edit.total }),
    ))
}

/// `DELETE /api/watchlist/{owner}`, with `owner` as it stands in the path. One that is not on the list is no error, so that
/// a repeat is none.
pub async fn remove(desk: &Desk, request: &Request<Incoming>, owner: &str) -> Result<Reply, RestError> {
    let caller = Caller::of(desk, request)?;
    auth::require(&caller, Role::Subscriber)?;
    // What is not UTF-8 becomes a character that no owner holds, and is refused with the others.
    let owner = percent_decode_str(owner).decode_utf8_lossy().parse().map_err(StoreError::InvalidOwner)?;
    let edit = ask(desk, &caller, Unwatch { account: caller.account.id, owners: vec![owner] }).await?;
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "removed": edit.removed, "total": edit.total })))
}

/// A body has room for many more names than a watchlist, and the accounts thread's queue has not.
fn each_once(owners: &[String]) -> Result<Vec<Owner>, StoreError> {
    let owners = owners.iter().map(|owner| owner.parse()).collect::<Result<Watchlist, InvalidOwner>>()?;
    if owners.len() > limits::WATCHLIST_OWNERS_MAX {
        return Err(StoreError::WatchlistFull);
    }
    Ok(owners.iter().cloned().collect())
}

/// Nothing here is worse for being done twice.
async fn ask<C: Command>(desk: &Desk, caller: &Caller, command: C) -> Result<C::Answer, RestError> {
    accounts::ask_as(desk, caller, command, accounts::PERHAPS_DONE).await
}
