//! Who is asking: the API key of a REST request.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Desk;
use super::error::RestError;
use crate::accounts::{Identity, Role};

/// The identity behind `X-API-Key` or `Authorization: Bearer`.
pub fn identify(desk: &Desk, headers: &HeaderMap) -> Result<Identity, RestError> {
    let key = presented_key(headers).ok_or(RestError::KeyMissing)?;
    desk.directory.load().authenticate(key).ok_or(RestError::KeyInvalid)
}

/// Lets an identity through if it has one of the roles; an admin has them all.
pub fn require(identity: &Identity, role: Role) -> Result<(), RestError> {
    if identity.role == role || identity.role == Role::Admin {
        return Ok(());
    }
    Err(RestError::Forbidden(format!("this needs a key with the role {role}, and this one is a {} key", identity.role)))
}

fn presented_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(key) = headers.get("x-api-key") {
        return key.to_str().ok();
    }
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
