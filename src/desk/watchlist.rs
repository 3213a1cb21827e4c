//! `/api/watchlist`: which wallets an account sees. Live sessions follow at once.

use std::collections::BTreeSet;
use std::fmt;

use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde_json::json;

use super::accounts::parse;
use super::auth::Caller;
use super::error::{Reply, RestError, json_reply};
use super::{Desk, accounts, auth, body};
use crate::accounts::{Command, GetWatchlist, Owner, ReplaceWatchlist, Role, StoreError, Unwatch, Watch};
use crate::limits;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Owners {
    owners: EachOnce,
}

/// The owners that a list names, each once, or what is wrong with it. A body has room for many more names than a watchlist, so it is
/// gone through without keeping more than that.
struct EachOnce(Result<BTreeSet<Owner>, StoreError>);

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
        let owners = owners.0?.into_iter().collect();
        ask(desk, &caller, ReplaceWatchlist { account, owners }).await?
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

impl<'de> Deserialize<'de> for EachOnce {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = EachOnce;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of owners")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<EachOnce, A::Error> {
                let mut owners = BTreeSet::new();
                let fault = loop {
                    match list.next_element_seed(OneMore(&mut owners))? {
                        None => return Ok(EachOnce(Ok(owners))),
                        Some(Err(fault)) => break fault,
                        Some(Ok(())) if owners.len() > limits::WATCHLIST_OWNERS_MAX => break StoreError::WatchlistFull,
                        Some(Ok(())) => {}
                    }
                };
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(EachOnce(Err(fault)))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Takes one more name into the set. One that is there already costs no memory.
struct OneMore<'a>(&'a mut BTreeSet<Owner>);

impl<'de> DeserializeSeed<'de> for OneMore<'_> {
    type Value = Result<(), StoreError>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for OneMore<'_> {
    type Value = Result<(), StoreError>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an owner's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        if self.0.contains(name) {
            return Ok(Ok(()));
        }
        Ok(name.parse().map_err(StoreError::InvalidOwner).map(|owner| {
            self.0.insert(owner);
        }))
    }
}

/// Nothing here is worse for being done twice.
async fn ask<C: Command>(desk: &Desk, caller: &Caller, command: C) -> Result<C::Answer, RestError> {
    accounts::ask_as(desk, caller, command, accounts::PERHAPS_DONE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &str) -> Result<BTreeSet<Owner>, StoreError> {
        parse::<Owners>(format!(r#"{{"owners":{list}}}"#).as_bytes(), "{}").expect("a list of names").owners.0
    }

    #[test]
    fn each_owner_is_taken_once_however_often_it_is_named() {
        let owners = named(r#"["b","a","\u0062","a"]"#).expect("good names");
        assert_eq!(owners.iter().map(Owner::as_str).collect::<Vec<_>>(), ["a", "b"]);
        assert!(named("[]").expect("an empty list is one").is_empty());
    }

    #[test]
    fn the_bound_is_on_different_owners_and_nothing_past_it_is_kept() {
        let list = |count: usize| {
            let names: Vec<_> =
                (0..count).map(|number| format!("w{}", number % (limits::WATCHLIST_OWNERS_MAX + 1))).collect();
            json!(names).to_string()
        };
        assert_eq!(named(&list(limits::WATCHLIST_OWNERS_MAX)).expect("they fit").len(), limits::WATCHLIST_OWNERS_MAX);
        for count in [1, 1_000] {
            assert!(matches!(named(&list(limits::WATCHLIST_OWNERS_MAX + count)), Err(StoreError::WatchlistFull)));
        }
    }

    #[test]
    fn the_first_bad_name_is_told_and_a_list_of_something_else_is_none() {
        assert!(matches!(named(r#"["good","a blank",""]"#), Err(StoreError::InvalidOwner(_))));
        for list in ["[1]", r#"["a",null]"#, r#"[["a"]]"#, r#"{"a":1}"#, r#""a""#, r#"["a""#] {
            let body = format!(r#"{{"owners":{list}}}"#);
            assert_eq!(parse::<Owners>(body.as_bytes(), "{}").err().expect(list).status(), StatusCode::BAD_REQUEST);
        }
    }
}
