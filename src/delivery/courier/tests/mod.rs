//! The courier against real sockets on this machine, each behind a name of a scripted resolver.

mod answers;
mod connections;
mod endpoint;
mod hostile;
mod tls;

use std::sync::Arc;

use bytes::Bytes;

use self::endpoint::Endpoint;
use super::Courier;
use crate::accounts::AccountId;
use crate::delivery::attempt::{AttemptError, Job, Outcome, Report, Ticket};
use crate::delivery::guard::WebhookUrl;
use crate::delivery::guard::fake_names::FakeNames;
use crate::delivery::{DeliveryId, EventId, Payload, Secret, SigningSecrets, WebhookId, WebhookOptions};

const BODY: &str = r#"{"id":"evt_020202020202020202020202","type":"trade.new","created":1705312800,"data":{}}"#;

/// Whose webhooks they are.
const OWNER: AccountId = AccountId(5);

/// The name that all tests deliver to.
const HOST: &str = "hooks.example";

fn options() -> WebhookOptions {
    WebhookOptions { allow: vec!["127.0.0.0/8".parse().expect("a network")], ..WebhookOptions::default() }
}

/// One whose attempts end after a second.
fn hasty() -> WebhookOptions {
    WebhookOptions { timeout_seconds: 1, ..options() }
}

fn courier(options: &WebhookOptions) -> Courier {
    let names = FakeNames::new();
    names.answer(HOST, &["127.0.0.1"]);
    Courier::new(options, names).expect("a courier")
}

fn job(url: String) -> Job {
    Job {
        number: 1,
        ticket: Ticket { webhook: WebhookId(0xabc), delivery: 7 },
        account: OWNER,
        url: Arc::new(WebhookUrl::stored(url)),
        secrets: SigningSecrets {
            current: Arc::new(Secret::generate().expect("random numbers")),
            previous: Vec::new(),
        },
        delivery_id: DeliveryId([1; 12]),
        attempt: 2,
        payload: Payload { kind: "trade.new", event: EventId([2; 12]), body: Bytes::from_static(BODY.as_bytes()) },
    }
}

fn attempt(courier: &Courier, endpoint: &Endpoint) -> Report {
    courier.attempt(&job(endpoint.url()))
}

/// The status that one attempt brings.
fn status(courier: &Courier, endpoint: &Endpoint) -> u16 {
    match attempt(courier, endpoint).outcome {
        Outcome::Answered { status, .. } => status,
        Outcome::Failed(error) => panic!("no answer: {error}"),
    }
}

fn failure(courier: &Courier, endpoint: &Endpoint) -> AttemptError {
    match attempt(courier, endpoint).outcome {
        Outcome::Answered { status, .. } => panic!("an answer: {status}"),
        Outcome::Failed(error) => error,
    }
}
