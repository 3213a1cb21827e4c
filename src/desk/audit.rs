//! `GET /api/admin/audit`: who changed what, and when. Takes an admin key.
//!
//! Answers `{"success":true,"entries":[{"id","at","actor","action","target","detail":{…}}]}`, the newest first.
//!
//! | parameter | |
//! |---|---|
//! | `limit` | how many, 1 to 200 |
//! | `before` | an entry's id: only earlier ones, for the next page |
//! | `action` | an action such as `key.create`, or its first word |
//! | `actor` | a part of the actor's words, in any case: an account, a key's id, an address, `cli` |

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::accounts::{PERHAPS_DONE, ask_as};
use super::error::{Reply, RestError, json_reply};
use super::{Desk, auth, query};
use crate::accounts::audit::{AuditEntry, AuditQuery, UnknownAction};
use crate::accounts::{ListAudit, Role};
use crate::limits;

pub async fn list(desk: &Desk, request: Request<Incoming>) -> Result<Reply, RestError> {
    let (caller, request) = auth::admit(desk, request, Role::Admin).await?;
    let uri = request.uri();
    let action = query::value(uri, "action").map(|text| text.parse()).transpose();
    let wanted = AuditQuery {
        before: query::value(uri, "before").map(|text| parse_id(&text)).transpose()?,
        actor: query::value(uri, "actor"),
        action: action.map_err(|unknown: UnknownAction| RestError::InvalidRequest(unknown.to_string()))?,
        entries_max: query::limit(uri, limits::AUDIT_PAGE, limits::AUDIT_PAGE_MAX)?,
        ..AuditQuery::default()
    };
    let entries = ask_as(desk, &caller, ListAudit(wanted), PERHAPS_DONE).await?;
    let entries: Vec<Value> = entries.iter().map(AuditEntry::to_json).collect();
    Ok(json_reply(StatusCode::OK, &json!({ "success": true, "entries": entries })))
}

fn parse_id(text: &str) -> Result<u64, RestError> {
    let digits = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let id = digits.and_then(|digits| digits.parse().ok());
    id.ok_or_else(|| RestError::InvalidRequest("before must be the id of an entry: a whole number".to_owned()))
}
