//! Who is asking: the API key of a REST request, and the address that it comes from.

use std::net::IpAddr;
use std::ops::Deref;

use http::header::AUTHORIZATION;
use http::{HeaderMap, Request};
use hyper::body::Incoming;

use super::error::RestError;
use super::{Desk, body, query};
use crate::accounts::audit::{Actor, KeyActor};
use crate::accounts::{Identity, Role};

/// The address of the client that sent a request, which the router leaves with it.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Who asks, and from where: whose doing it is what a request changes.
#[derive(Clone, Debug)]
pub struct Caller {
    pub identity: Identity,
    address: IpAddr,
}

impl Caller {
    /// The caller of a request with a good key.
    pub fn of<B>(desk: &Desk, request: &Request<B>) -> Result<Self, RestError> {
        let identity = identify(desk, request.headers())?;
        let ClientAddress(address) =
            request.extensions().get().copied().expect("the router leaves it with each request");
        Ok(Self { identity, address })
    }

    /// As the audit log shows it.
    pub fn actor(&self) -> Actor {
        Actor::Key(KeyActor::new(&self.identity, self.address))
    }
}

/// A caller is asked for what its identity says.
impl Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

/// The identity behind `X-API-Key` or `Authorization: Bearer`.
pub fn identify(desk: &Desk, headers: &HeaderMap) -> Result<Identity, RestError> {
    let key = presented_key(headers).ok_or(RestError::KeyMissing)?;
    desk.directory.load().authenticate(key).ok_or(RestError::KeyInvalid)
}

/// The same, or behind `api_key` or `apiKey` in the address, for clients that are told to put it there. A key in a header
/// comes first, whether it is a good one or not.
pub fn identify_by_query_too<B>(desk: &Desk, request: &Request<B>) -> Result<Identity, RestError> {
    let in_query = || ["api_key", "apiKey"].into_iter().find_map(|name| query::value(request.uri(), name));
    match (presented_key(request.headers()), in_query()) {
        (None, Some(key)) => desk.directory.load().authenticate(&key).ok_or(RestError::KeyInvalid),
        _ => identify(desk, request.headers()),
    }
}

/// Who is asking, if the key has the role; else the body is thrown away, so that the refusal is seen.
pub async fn admit(
    desk: &Desk,
    request: Request<Incoming>,
    role: Role,
) -> Result<(Caller, Request<Incoming>), RestError> {
    let caller = Caller::of(desk, &request);
    match caller.and_then(|caller| require(&caller, role).map(|()| caller)) {
        Ok(caller) => Ok((caller, request)),
        Err(error) => {
            body::discard(desk, request).await;
            Err(error)
        }
    }
}

/// Lets an identity through if it has one of the roles; an admin has them all.
pub fn require(identity: &Identity, role: Role) -> Result<(), RestError> {
    if identity.role == role || identity.role == Role::Admin {
        return Ok(());
    }
    Err(RestError::Forbidden(format!("this needs a key with the role {role}, and this one is a {} key", identity.role)))
}

/// What a client sends as its key in a header.
pub fn presented_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok();
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
