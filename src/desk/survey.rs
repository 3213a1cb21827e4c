//! Asking all shards at once what an operator wants to know of them.

use std::time::Duration;

use super::Desk;
use crate::limits;
use crate::shard::ShardMail;
use crate::shard::survey::{Reply, Survey};

/// The answer of each shard, by its index; none of one that has not answered in time: it is busy, or about to end.
pub async fn of_every_shard<T: Send + 'static>(desk: &Desk, ask: impl Fn(Reply<T>) -> Survey) -> Vec<Option<T>> {
    // All of them first: they answer beside each other.
    let mut tickets = Vec::with_capacity(desk.shards.len());
    for shard in desk.shards.iter() {
        let (ticket, answer) = desk.answers.ticket(&desk.shards[desk.shard].mailbox);
        shard.mailbox.post(ShardMail::Survey(ask(Box::new(answer))));
        tickets.push(ticket);
    }
    let mut answers = Vec::with_capacity(tickets.len());
    for ticket in tickets {
        answers.push(ticket.answer_within(Duration::from_millis(limits::SURVEY_MS)).await);
    }
    answers
}
