//! What the front desk has the accounts thread do.

use std::time::Duration;

use serde::Deserialize;

use super::Desk;
use super::error::RestError;
use crate::accounts::{Command, Identity, InForce, StoreError};
use crate::limits;

/// Of a change that is the same whether it is made once or twice.
pub const PERHAPS_DONE: &str = "the change may have been made all the same; sending it again does no harm";

/// Has the accounts thread do it. When this returns, every shard has been told of the new snapshot. `outcome` is what
/// somebody is told who got no answer in time.
pub async fn ask<C: Command>(desk: &Desk, command: C, outcome: &'static str) -> Result<C::Answer, RestError> {
    let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
    desk.accounts.submit(command, answer)?;
    let done: Option<Result<C::Answer, StoreError>> =
        ticket.answer_within(Duration::from_millis(limits::ANSWER_MS)).await;
    Ok(done.ok_or(RestError::Unconfirmed { waited_ms: limits::ANSWER_MS, outcome })??)
}

/// The same, if the key is still in force when its turn comes.
pub async fn ask_as<C: Command>(
    desk: &Desk,
    identity: &Identity,
    command: C,
    outcome: &'static str,
) -> Result<C::Answer, RestError> {
    let done = ask(desk, InForce { key: identity.key, command }, outcome).await?;
    done.ok_or(RestError::KeyInvalid)
}

/// A body of the given shape.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8], shape: &str) -> Result<T, RestError> {
    serde_json::from_slice(body)
        .map_err(|error| RestError::InvalidRequest(format!("the body must be {shape}: {error}")))
}
