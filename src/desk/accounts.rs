//! What the front desk has the accounts thread do.

use std::fmt::Display;
use std::time::Duration;

use serde::Deserialize;

use super::Desk;
use super::auth::Caller;
use super::error::RestError;
use crate::accounts::{Command, InForce, StoreError};
use crate::limits;

/// Of a change that is the same whether it is made once or twice.
pub const PERHAPS_DONE: &str = "the change may have been made all the same; sending it again does no harm";

/// Has the accounts thread do it, as the caller's doing, if its key is still in force when its turn comes. When this returns,
/// every shard has been told of the new snapshot. `outcome` is what somebody is told who got no answer in time.
pub async fn ask_as<C: Command>(
    desk: &Desk,
    caller: &Caller,
    command: C,
    outcome: &'static str,
) -> Result<C::Answer, RestError> {
    let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
    desk.accounts.submit(caller.actor(), InForce { key: caller.key, command }, answer)?;
    let done: Option<Result<Option<C::Answer>, StoreError>> =
        ticket.answer_within(Duration::from_millis(limits::ANSWER_MS)).await;
    let done = done.ok_or(RestError::Unconfirmed { waited_ms: limits::ANSWER_MS, outcome })??;
    done.ok_or(RestError::KeyInvalid)
}

/// A body of the given shape, which is an object's.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], shape: &str) -> Result<T, RestError> {
    let refused = |why: &dyn Display| RestError::InvalidRequest(format!("the body must be {shape}: {why}"));
    // Serde would take an array for an object, by the order of its fields.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(refused(&"it is an array"));
    }
    serde_json::from_slice(body).map_err(|error| refused(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Shape {
        role: Option<String>,
    }

    #[test]
    fn a_body_is_an_object_and_no_list_of_its_fields() {
        let parsed = |body: &str| parse::<Shape>(body.as_bytes(), r#"{"role":"…"}"#);
        assert_eq!(parsed(r#" {"role":"admin"}"#).expect("an object").role.as_deref(), Some("admin"));
        for body in [r#"["admin"]"#, "[null]", " \n[]", "null", "\"admin\"", ""] {
            let refused = parsed(body).expect_err(body);
            assert_eq!((refused.status().as_u16(), refused.code()), (400, "INVALID_REQUEST"), "{body}");
            assert!(refused.to_string().starts_with(r#"the body must be {"role":"…"}: "#), "{refused}");
        }
    }
}
