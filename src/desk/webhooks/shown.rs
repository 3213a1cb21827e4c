//! Webhooks and deliveries as answers show them. Pure.

use serde_json::{Value, json};

use crate::delivery::{AttemptRecord, DeliveryRecord, EventKind, Replaying, Webhook};
use crate::protocol::rfc3339;

/// A webhook as every answer but those with a new secret shows it: without anything that signs.
pub fn webhook(webhook: &Webhook) -> Value {
    let mut shown = json!({
        "id": webhook.id.to_string(),
        "url": webhook.url.as_str(),
        "events": events(webhook),
        "is_active": webhook.is_active(),
        "created_at": rfc3339(webhook.created_ms),
        "failures": webhook.failures,
    });
    if let Some(disabled) = webhook.disabled {
        shown["disabled"] = json!({
            "reason": disabled.reason.as_str(),
            "at": rfc3339(disabled.at_ms),
            "since": disabled.from_seq.saturating_sub(1),
        });
    }
    if let Some((from, until)) = webhook.replay {
        shown["replay"] = json!({ "from": from, "until": until });
    }
    shown
}

/// The one time that a secret is shown.
pub fn with_secret(webhook: &Webhook) -> Value {
    json!({
        "id": webhook.id.to_string(),
        "url": webhook.url.as_str(),
        "events": events(webhook),
        "secret": webhook.secrets.current.expose(),
    })
}

pub fn delivery(record: &DeliveryRecord) -> Value {
    json!({
        "id": record.id.to_string(),
        "event_id": record.event.to_string(),
        "event_type": record.kind,
        "seq": record.seq,
        "status": record.state.as_str(),
        "created_at": rfc3339(record.created_ms),
        "next_attempt_at": record.due_ms.map(rfc3339),
        "attempts": record.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "note": record.note,
    })
}

/// What came of a test: the words of a success, or why it is none.
pub fn test(attempt: &AttemptRecord) -> Result<String, String> {
    let took = attempt.duration_ms;
    match (&attempt.error, attempt.status) {
        (None, Some(status @ 200..=299)) => {
            Ok(format!("Test delivered: your endpoint answered {status} in {took} ms."))
        }
        (_, Some(status)) => {
            Err(format!("your endpoint answered {status} after {took} ms: only an answer of 200 to 299 counts"))
        }
        (Some(reason), None) => Err(format!("the test did not arrive: {reason} (after {took} ms)")),
        (None, None) => Err(format!("the test did not arrive, and was given up after {took} ms")),
    }
}

pub fn replaying(Replaying { from, until }: &Replaying) -> Value {
    let message = if from < until {
        format!("Replay begun: what your watchlist holds of the events {from} to {} is sent again.", until - 1)
    } else {
        "There is nothing to replay: no event is newer.".to_owned()
    };
    json!({ "success": true, "message": message, "from": from, "until": until })
}

fn attempt(record: &AttemptRecord) -> Value {
    json!({
        "at": rfc3339(record.at_ms),
        "status_code": record.status,
        "duration_ms": record.duration_ms,
        "error": record.error,
    })
}

fn events(webhook: &Webhook) -> Vec<&'static str> {
    webhook.events.iter().map(EventKind::as_str).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::accounts::AccountId;
    use crate::delivery::guard::WebhookUrl;
    use crate::delivery::{
        DeliveryId, DeliveryState, DisableReason, Disabled, EventId, Secret, SigningSecrets, WebhookId,
    };

    fn sample() -> Webhook {
        let secret = || Arc::new(Secret::generate().expect("random numbers"));
        Webhook {
            id: WebhookId(0x1f),
            account: AccountId(7),
            url: WebhookUrl::stored("https://a.example/hook".to_owned()),
            events: [EventKind::TradeClose, EventKind::TradeNew].into_iter().collect(),
            secrets: SigningSecrets { current: secret(), previous: vec![(secret(), u64::MAX)] },
            created_ms: 1_736_937_000_000,
            from_seq: 5,
            disabled: None,
            failures: 0,
            failing_since_ms: None,
            replay: None,
        }
    }

    #[test]
    fn a_webhook_is_shown_without_its_secrets() {
        let shown = webhook(&sample());
        let expected = json!({
            "id": "wh_000000000000001f",
            "url": "https://a.example/hook",
            "events": ["trade.new", "trade.close"],
            "is_active": true,
            "created_at": "2025-01-15T10:30:00.000Z",
            "failures": 0,
        });
        assert_eq!(shown, expected);
        assert!(!shown.to_string().contains("whsec_"));
    }

    #[test]
    fn a_secret_is_shown_with_what_a_new_webhook_is_and_the_one_before_is_not() {
        let webhook = sample();
        let shown = with_secret(&webhook);
        let fields: Vec<&String> = shown.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["id", "url", "events", "secret"]);
        assert_eq!(shown["secret"], webhook.secrets.current.expose());
        let (previous, _) = webhook.secrets.previous.first().expect("one before");
        assert!(!shown.to_string().contains(previous.expose()));
    }

    #[test]
    fn a_disabled_webhook_tells_why_since_when_and_what_to_replay_from() {
        for (reason, told) in
            [(DisableReason::Owner, "owner"), (DisableReason::Failures, "failures"), (DisableReason::Gone, "gone")]
        {
            let disabled = Some(Disabled { reason, at_ms: 1_736_937_000_001, from_seq: 42 });
            let shown = webhook(&Webhook { disabled, failures: 50, ..sample() });
            assert_eq!((&shown["is_active"], &shown["failures"]), (&json!(false), &json!(50)));
            assert_eq!(shown["disabled"], json!({ "reason": told, "at": "2025-01-15T10:30:00.001Z", "since": 41 }));
        }
        let before_any_event = Some(Disabled { reason: DisableReason::Owner, at_ms: 0, from_seq: 0 });
        assert_eq!(webhook(&Webhook { disabled: before_any_event, ..sample() })["disabled"]["since"], 0);
    }

    #[test]
    fn a_replay_under_way_tells_how_far_it_is() {
        let shown = webhook(&Webhook { replay: Some((17, 90)), ..sample() });
        assert_eq!(shown["replay"], json!({ "from": 17, "until": 90 }));
    }

    #[test]
    fn a_replay_names_the_first_and_the_last_event_and_says_where_there_is_none() {
        let told = replaying(&Replaying { from: 42, until: 58 });
        assert_eq!((&told["success"], &told["from"], &told["until"]), (&json!(true), &json!(42), &json!(58)));
        assert!(told["message"].as_str().is_some_and(|words| words.contains("the events 42 to 57 ")), "{told}");
        let nothing = replaying(&Replaying { from: 1, until: 1 });
        assert!(nothing["message"].as_str().is_some_and(|words| words.contains("nothing")), "{nothing}");
        replaying(&Replaying { from: 0, until: 0 });
    }

    #[test]
    fn a_delivery_is_shown_with_every_attempt_and_a_field_for_all_there_may_be() {
        let record = DeliveryRecord {
            id: DeliveryId([0xab; 12]),
            event: EventId([0xcd; 12]),
            kind: "trade.new".to_owned(),
            seq: Some(42),
            state: DeliveryState::Pending,
            created_ms: 1_736_937_000_000,
            due_ms: Some(1_736_937_030_000),
            attempts: vec![
                AttemptRecord { at_ms: 1_736_937_000_035, duration_ms: 35, status: Some(500), error: None },
                AttemptRecord {
                    at_ms: 1_736_937_010_000,
                    duration_ms: 10_000,
                    status: None,
                    error: Some("no answer within 10 s".to_owned()),
                },
            ],
            note: None,
        };
        let expected = json!({
            "id": format!("dlv_{}", "ab".repeat(12)),
            "event_id": format!("evt_{}", "cd".repeat(12)),
            "event_type": "trade.new",
            "seq": 42,
            "status": "pending",
            "created_at": "2025-01-15T10:30:00.000Z",
            "next_attempt_at": "2025-01-15T10:30:30.000Z",
            "attempts": [
                { "at": "2025-01-15T10:30:00.035Z", "status_code": 500, "duration_ms": 35, "error": null },
                { "at": "2025-01-15T10:30:10.000Z", "status_code": null, "duration_ms": 10_000, "error": "no answer within 10 s" },
            ],
            "note": null,
        });
        assert_eq!(delivery(&record), expected);
        let notice = DeliveryRecord {
            seq: None,
            state: DeliveryState::Notice,
            due_ms: None,
            attempts: Vec::new(),
            note: Some("disabled".to_owned()),
            ..record
        };
        let shown = delivery(&notice);
        assert_eq!(
            (&shown["seq"], &shown["next_attempt_at"], &shown["attempts"]),
            (&Value::Null, &Value::Null, &json!([]))
        );
        assert_eq!((&shown["status"], &shown["note"]), (&json!("notice"), &json!("disabled")));
    }

    #[test]
    fn a_test_succeeds_with_2xx_alone_and_else_says_why() {
        let attempt = |status, error: Option<&str>| {
            test(&AttemptRecord { at_ms: 0, duration_ms: 35, status, error: error.map(str::to_owned) })
        };
        assert_eq!(attempt(Some(200), None), Ok("Test delivered: your endpoint answered 200 in 35 ms.".to_owned()));
        assert!(attempt(Some(299), None).is_ok());
        for status in [199, 300, 302, 404, 410, 500] {
            for error in [None, Some("it answered with an error")] {
                let words = attempt(Some(status), error).expect_err("no success");
                assert!(words.contains(&format!("answered {status} after 35 ms")), "{words}");
            }
        }
        let words = attempt(None, Some("no connection: refused")).expect_err("no success");
        assert_eq!(words, "the test did not arrive: no connection: refused (after 35 ms)");
        assert!(attempt(None, None).is_err());
    }
}
