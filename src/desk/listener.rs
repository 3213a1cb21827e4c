//! Who wants events without a WebSocket, and which: the key or the token, and the topics of a stream or a poll.
//!
//! A browser's `EventSource` can't set headers, so a key or a token may stand in the address, too. What is in a header comes
//! first, whether it is a good one or not.

use http::{Request, Uri};

use super::error::RestError;
use super::{Desk, auth, query};
use crate::accounts::{Identity, Role};
use crate::clock;
use crate::gate::Holder;
use crate::protocol::{Filter, SessionRules, StreamHolder, StreamTopic};
use crate::tokens::Claims;

/// Somebody who may have events.
pub enum Listener {
    Account(Identity),
    User(Claims),
}

enum Secret {
    Key(String),
    Token(String),
}

/// Whoever stands behind `X-API-Key`, `Authorization: Bearer` with a key or a token, `?api_key=`, `?apiKey=` or `?token=`.
pub fn identify<B>(desk: &Desk, request: &Request<B>) -> Result<Listener, RestError> {
    match secret(request).ok_or(RestError::KeyOrTokenMissing)? {
        Secret::Key(key) => {
            let identity = desk.directory.load().authenticate(&key).ok_or(RestError::KeyInvalid)?;
            auth::require(&identity, Role::Subscriber)?;
            Ok(Listener::Account(identity))
        }
        Secret::Token(token) => Ok(Listener::User(desk.tokens.verify(&token, clock::unix_ms() / 1000)?)),
    }
}

fn secret<B>(request: &Request<B>) -> Option<Secret> {
    let headers = request.headers();
    if let Some(secret) = auth::presented_key(headers) {
        // A token has two dots, a key has none.
        let is_token = !headers.contains_key("x-api-key") && secret.contains('.');
        return Some(if is_token { Secret::Token(secret.to_owned()) } else { Secret::Key(secret.to_owned()) });
    }
    let in_query = |name| query::value(request.uri(), name);
    let key = in_query("api_key").or_else(|| in_query("apiKey")).map(Secret::Key);
    key.or_else(|| in_query("token").map(Secret::Token))
}

impl Listener {
    /// The topics of an address, if all of them are to be had.
    pub fn topics(&self, uri: &Uri, rules: &SessionRules) -> Result<Vec<StreamTopic>, RestError> {
        let names: Vec<String> = query::values(uri, "topic").collect();
        let names = names.iter().map(String::as_str);
        Ok(match self {
            Self::Account(identity) if identity.role == Role::Admin => StreamTopic::of_operator(names, rules)?,
            Self::Account(identity) => StreamTopic::of_account(names, &identity.account, rules)?,
            Self::User(claims) => StreamTopic::of_user(names, claims, rules)?,
        })
    }

    /// Under whom its connections are counted.
    pub fn holder(&self) -> Holder {
        match self {
            Self::Account(identity) => Holder::Key(identity.key),
            Self::User(claims) => Holder::User(claims.user.clone()),
        }
    }

    pub fn into_stream_holder(self) -> StreamHolder {
        match self {
            Self::Account(Identity { key, account, .. }) => StreamHolder::Key { account: account.id, key },
            Self::User(claims) => StreamHolder::User(claims),
        }
    }

    pub fn into_filter(self, topics: Vec<StreamTopic>) -> Filter {
        match self {
            Self::Account(identity) => Filter::of_account(topics, &identity.account.watchlist),
            Self::User(claims) => Filter::of_user(topics, claims),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(uri: &str, headers: &[(&str, &str)]) -> Option<String> {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        secret(&request.body(()).expect("a request")).map(|secret| match secret {
            Secret::Key(key) => format!("key {key}"),
            Secret::Token(token) => format!("token {token}"),
        })
    }

    #[test]
    fn a_key_or_a_token_is_found_wherever_a_client_can_put_it() {
        for (uri, headers, expected) in [
            ("/e", &[("x-api-key", "stn_1")][..], Some("key stn_1")),
            ("/e", &[("authorization", "Bearer stn_1")], Some("key stn_1")),
            ("/e", &[("authorization", "bearer a.b.c")], Some("token a.b.c")),
            ("/e?api_key=stn_1", &[], Some("key stn_1")),
            ("/e?apiKey=stn_1&token=a.b.c", &[], Some("key stn_1")),
            ("/e?token=a.b.c", &[], Some("token a.b.c")),
            ("/e?token=a.b.c", &[("authorization", "Basic dTpw")], Some("token a.b.c")),
            ("/e?token=a.b.c", &[("x-api-key", "a.b")], Some("key a.b")),
            ("/e?api_key=stn_2", &[("authorization", "Bearer stn_1")], Some("key stn_1")),
            ("/e?topic=alerts", &[], None),
        ] {
            assert_eq!(presented(uri, headers).as_deref(), expected, "{uri} {headers:?}");
        }
    }
}
